/*
 * The inside of a handshake, shared by its parts: handshake.c drives it, bio.c is what the TLS
 * library sees of the connection, judge.c decides about the peer, failure.c puts into words how it
 * ended. Private to lib/tls.
 */
#ifndef WEFT_TLS_HANDSHAKE_H
#define WEFT_TLS_HANDSHAKE_H

#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "lib/base/obj.h"
#include "lib/tls/alert.h"
#include "lib/tls/ctx.h"
#include "lib/tls/record.h"

/* Bytes that a peer may make the library read before the handshake is over. */
#define TLS_HANDSHAKE_BYTES (64 * 1024)
/* A record this short is kept until the next one, in case that it is an alert. */
#define TLS_LAST_RECORD 64

/* One traffic secret; n is 0 before the key schedule gets there. */
struct tls_secret {
	uint8_t bytes[RECORD_SECRET_MAX];
	size_t n;
};

/* What bio.c knows of the records that went by. Embedded in struct tls_handshake. */
struct tls_traffic {
	size_t left;        /* of the record that is being handed out */
	size_t taken;       /* bytes handed out in all */
	uint64_t protected; /* records handed out under the peer's handshake key */
	uint8_t last[TLS_LAST_RECORD];
	size_t last_n;                    /* 0: the last record was longer */
	const struct record_suite *suite; /* from the ServerHello; NULL before */
	bool too_much;
};

/* Owns all it points to; frees itself after done or cancel, at the end of the turn. */
struct tls_handshake {
	struct obj_head obj; /* TLS_HANDSHAKE_MAGIC */
	struct io *below;
	struct loop *loop;
	struct tls_ctx *ctx;
	struct buf_pool *bufs;
	const struct tls_variant *variant; /* of ctx; what we offer or accept */
	mbedtls_ssl_context ssl;
	struct buf received, unsent;
	struct tls_traffic traffic;
	struct tls_secret handshake[2], application[2]; /* by enum tls_role of the sender */
	char *expect_id, *expect_uid, *sni;             /* mem_free */
	struct cert_chain *peer;
	enum cert_verdict verdict;
	bool judged; /* verdict is that of cert_verify */
	uint64_t timeout_ns;
	struct loop_timer timer;
	struct loop_task start;
	tls_done_fn *done;
	void *arg;
	bool ended;
};

#define TLS_HANDSHAKE_MAGIC 0x746c7368u

static inline enum tls_role tls_peer_role(const struct tls_handshake *h)
{
	return h->ctx->role == TLS_SERVER ? TLS_CLIENT : TLS_SERVER;
}

/* --- bio.c: the library's view of the connection --- */
void tls_bio_attach(struct tls_handshake *h);
/* The alert with which the peer ended the handshake; false where the last record was none. */
bool tls_bio_alert(const struct tls_handshake *h, uint8_t *number);

/* --- judge.c --- */
/* The library's verify callback (arg: the handshake). Nothing is trusted but what this one clears,
 * and it clears what cert_verify calls good. */
int tls_judge(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags);

/* --- failure.c --- */
/* Describes the error ret of the library. */
void tls_failure_library(struct tls_handshake *h, int ret, struct tls_failure *f);
/* Describes an error of ours (ERR_*), with text. */
void tls_failure_own(struct tls_handshake *h, int err, const char *text, struct tls_failure *f);

#endif
