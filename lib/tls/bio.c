/*
 * The connection as the TLS library sees it during a handshake: whole records from memory, and a
 * buf that takes all it writes. Also keeps what the library does not tell: the traffic secrets, the
 * suite, and the alert that ended it. Works on the struct tls_handshake of its caller, handshake.c.
 */
#include <string.h>

#include "lib/tls/handshake.h"

enum { HANDSHAKE_SERVER_HELLO = 2, SERVER_HELLO_SESSION = RECORD_HEADER + 4 + 2 + 32 };

/* The suite stands behind the session id of a ServerHello (RFC 8446 4.1.3); the library knows it
 * only when all is over. */
static void note_server_hello(struct tls_traffic *t, const uint8_t *record, size_t n)
{
	if (n <= SERVER_HELLO_SESSION || record[0] != RECORD_HANDSHAKE ||
		record[RECORD_HEADER] != HANDSHAKE_SERVER_HELLO)
		return;
	size_t at = SERVER_HELLO_SESSION + 1u + record[SERVER_HELLO_SESSION];
	if (at + 2 <= n)
		t->suite = record_suite_by_id(record[at] << 8 | record[at + 1]);
}

/* The next record is complete and begins to be handed out. */
static void begin_record(struct tls_handshake *h, const uint8_t *header, size_t n)
{
	uint8_t hello[SERVER_HELLO_SESSION + 1 + 32 + 2];
	struct tls_traffic *t = &h->traffic;

	t->left = n;
	t->last_n = n <= sizeof(t->last) ? buf_copy_out(&h->received, 0, t->last, n) : 0;
	if (header[0] == RECORD_APPLICATION_DATA)
		t->protected ++;
	note_server_hello(t, hello,
		buf_copy_out(&h->received, 0, hello, n < sizeof(hello) ? n : sizeof(hello)));
}

static bool plausible(const uint8_t header[RECORD_HEADER], size_t body)
{
	return header[0] >= RECORD_CHANGE_CIPHER_SPEC && header[0] <= RECORD_APPLICATION_DATA &&
		header[1] == 3 && body > 0 && body <= RECORD_CIPHER_MAX;
}

/* Whole records only; what cannot be one is handed out at once, for the library to refuse. */
static bool next_record(struct tls_handshake *h)
{
	uint8_t header[RECORD_HEADER];

	if (buf_copy_out(&h->received, 0, header, sizeof(header)) < sizeof(header))
		return false;
	size_t body = (size_t)header[3] << 8 | header[4];
	if (!plausible(header, body)) {
		h->traffic.left = sizeof(header);
		h->traffic.last_n = 0;
		return true;
	}
	if (buf_len(&h->received) < sizeof(header) + body)
		return false;
	begin_record(h, header, sizeof(header) + body);
	return true;
}

static int on_recv(void *arg, unsigned char *p, size_t n)
{
	struct tls_handshake *h = OBJ_CAST(struct tls_handshake, TLS_HANDSHAKE_MAGIC, arg);
	struct tls_traffic *t = &h->traffic;

	if (t->left == 0 && !next_record(h))
		return MBEDTLS_ERR_SSL_WANT_READ;
	if (t->taken > TLS_HANDSHAKE_BYTES) {
		t->too_much = true;
		return MBEDTLS_ERR_SSL_INVALID_RECORD;
	}
	n = buf_copy_out(&h->received, 0, p, n < t->left ? n : t->left);
	buf_consume(&h->received, n);
	t->left -= n;
	t->taken += n;
	return (int)n;
}

static int on_send(void *arg, const unsigned char *p, size_t n)
{
	struct tls_handshake *h = OBJ_CAST(struct tls_handshake, TLS_HANDSHAKE_MAGIC, arg);

	buf_append(&h->unsent, p, n);
	note_server_hello(&h->traffic, p, n);
	return (int)n;
}

static void keep(struct tls_secret *s, const unsigned char *p, size_t n)
{
	ASSERT(n <= sizeof(s->bytes));
	memcpy(s->bytes, p, n);
	s->n = n;
}

static void on_secret(void *arg, mbedtls_ssl_key_export_type type, const unsigned char *p, size_t n,
	const unsigned char client_random[32], const unsigned char server_random[32],
	mbedtls_tls_prf_types prf)
{
	struct tls_handshake *h = OBJ_CAST(struct tls_handshake, TLS_HANDSHAKE_MAGIC, arg);

	(void)client_random;
	(void)server_random;
	(void)prf;
	if (type == MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_HANDSHAKE_TRAFFIC_SECRET) {
		keep(&h->handshake[TLS_CLIENT], p, n);
		h->traffic.protected = 0;
	} else if (type == MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_HANDSHAKE_TRAFFIC_SECRET) {
		keep(&h->handshake[TLS_SERVER], p, n);
	} else if (type == MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_APPLICATION_TRAFFIC_SECRET) {
		keep(&h->application[TLS_CLIENT], p, n);
	} else if (type == MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_APPLICATION_TRAFFIC_SECRET) {
		keep(&h->application[TLS_SERVER], p, n);
	}
}

void tls_bio_attach(struct tls_handshake *h)
{
	mbedtls_ssl_set_bio(&h->ssl, h, on_send, on_recv, NULL);
	mbedtls_ssl_set_export_keys_cb(&h->ssl, on_secret, h);
}

/* The library opens an alert and keeps its number to itself; so it is opened once more here. */
static bool protected_alert(const struct tls_handshake *h, uint8_t *number)
{
	const struct tls_traffic *t = &h->traffic;
	const struct tls_secret *secret = &h->handshake[tls_peer_role(h)];
	uint8_t content[TLS_LAST_RECORD], type = 0;
	struct iovec out = {content, sizeof(content)};
	struct record_sealed r;
	struct record_key key;
	size_t n = 0;

	if (t->suite == NULL || t->suite->hash_n != secret->n || t->protected == 0 ||
		t->last_n <= RECORD_HEADER + RECORD_TAG)
		return false;
	size_t body = t->last_n - RECORD_HEADER - RECORD_TAG;
	memcpy(r.header, t->last, RECORD_HEADER);
	memcpy(r.tag, t->last + RECORD_HEADER + body, RECORD_TAG);
	memcpy(content, t->last + RECORD_HEADER, body);
	r.body[0] = (struct iovec){content, body};
	r.n_body = 1;
	record_key_init(&key, t->suite, secret->bytes);
	key.seq = t->protected - 1;
	int ret = record_open(&key, &r, &out, 1, &type, &n);
	record_key_free(&key);
	if (ret < 0 || type != RECORD_ALERT || n != 2)
		return false;
	*number = content[1];
	return true;
}

bool tls_bio_alert(const struct tls_handshake *h, uint8_t *number)
{
	const struct tls_traffic *t = &h->traffic;

	if (t->last_n == RECORD_HEADER + 2 && t->last[0] == RECORD_ALERT) {
		*number = t->last[RECORD_HEADER + 1];
		return true;
	}
	return t->last_n > 0 && t->last[0] == RECORD_APPLICATION_DATA && protected_alert(h, number);
}
