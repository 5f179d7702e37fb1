/*
 * Record protection of TLS 1.3 (RFC 8446 5.2 and 7.3): the keys of one direction, sealing and
 * opening. Pure: bytes in, bytes out, no io. Private to lib/tls; used by the record layer
 * (io_tls.c) and by the handshake for alerts that its library cannot send or name.
 */
#ifndef WEFT_TLS_RECORD_H
#define WEFT_TLS_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <mbedtls/chachapoly.h>
#include <mbedtls/gcm.h>
#include <mbedtls/md.h>

#define RECORD_HEADER 5
#define RECORD_TAG 16
#define RECORD_OVERHEAD (RECORD_HEADER + 1 + RECORD_TAG) /* what sealing adds to the content */
#define RECORD_CONTENT_MAX 16384                         /* RFC 8446 5.1 */
#define RECORD_CIPHER_MAX (RECORD_CONTENT_MAX + 256)     /* RFC 8446 5.2 */
#define RECORD_SECRET_MAX 48                             /* SHA-384 */

enum record_type {
	RECORD_CHANGE_CIPHER_SPEC = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_APPLICATION_DATA = 23
};

/* One cipher suite; static storage. */
struct record_suite {
	const char *name; /* as the registry of TLS has it */
	int id;
	mbedtls_md_type_t md;
	uint8_t hash_n, key_n;
	bool chacha;
};

/* NULL: none of those that we offer. */
const struct record_suite *record_suite_by_id(int id);

/* Keys of one direction, embedded in their owner, who calls record_key_free. suite is NULL before
 * record_key_init. */
struct record_key {
	const struct record_suite *suite;
	uint64_t seq; /* records under this generation of the key */
	uint8_t iv[12];
	uint8_t secret[RECORD_SECRET_MAX];
	union {
		mbedtls_gcm_context gcm;
		mbedtls_chachapoly_context chacha;
	} u;
};

/* From a traffic secret of suite->hash_n bytes. */
void record_key_init(struct record_key *k, const struct record_suite *suite, const uint8_t *secret);
void record_key_free(struct record_key *k);
/* The next generation (RFC 8446 7.2); seq starts again. */
void record_key_update(struct record_key *k);

/* Seals the n bytes of in as one record of type into dst, which has room for n + RECORD_OVERHEAD.
 */
void record_seal(struct record_key *k, enum record_type type, const struct iovec *in, int n_in,
	uint8_t *dst);

/* One protected record on its way in; all borrowed. */
struct record_sealed {
	uint8_t header[RECORD_HEADER];
	uint8_t tag[RECORD_TAG];
	struct iovec body[8]; /* what is encrypted, without the tag */
	int n_body;
};

/*
 * Opens r into the pieces of out, which together hold at least as many bytes as the body. 0 with
 * the type and length of the content, or ERR_VERIFY (the tag does not hold; out is wiped), or
 * ERR_PROTOCOL (no content type, RFC 8446 5.4).
 */
int record_open(struct record_key *k, const struct record_sealed *r, const struct iovec *out,
	int n_out, uint8_t *type, size_t *content);
/* Byte i of the pieces, which hold more than i. */
uint8_t record_byte(const struct iovec *iov, size_t i);

#endif
