/*
 * Drives a TLS 1.3 handshake (RFC 8446 section 4) of the TLS library over an io, and hands over to
 * the record layer (io_tls.c) when it is done. Owns the connection until then; a refused peer gets
 * its alert and nothing else. Called by whoever accepted or dialled.
 */
#include "lib/tls/handshake.h"

#include "lib/base/alloc.h"
#include "lib/tls/io_tls.h"

#define TLS_HANDSHAKE_TIMEOUT_NS (10 * NS_PER_S)
#define TLS_HANDSHAKE_READ (64 * 1024)
#define SNI_MAX 255 /* RFC 1035; a longer one names nobody */

/* --- ending --- */

static void handshake_free(void *ptr)
{
	struct tls_handshake *h = OBJ_CAST(struct tls_handshake, TLS_HANDSHAKE_MAGIC, ptr);

	mbedtls_ssl_free(&h->ssl);
	cert_chain_unref(&h->peer);
	tls_ctx_unref(&h->ctx);
	mem_free(h->expect_id);
	mem_free(h->expect_uid);
	mem_free(h->sni);
	mem_free_secret(h, sizeof(*h));
}

/* The one exit: after it nothing of the handshake moves any more. The io below has gone elsewhere
 * or is closed. */
static void handshake_end(struct tls_handshake *h)
{
	h->ended = true;
	loop_timer_stop(&h->timer);
	loop_task_cancel(&h->start);
	io_close(&h->below, false);
	buf_clear(&h->received);
	buf_clear(&h->unsent);
	loop_defer_free(h->loop, h, handshake_free);
}

/* Sends what the library wrote. 0, ERR_AGAIN, or the error of the layer below. */
static int flush(struct tls_handshake *h)
{
	if (buf_len(&h->unsent) == 0)
		return 0;
	ssize_t n = io_write(h->below, &h->unsent);
	if (n < 0)
		return (int)n;
	return buf_len(&h->unsent) > 0 ? ERR_AGAIN : 0;
}

static void fail(struct tls_handshake *h, const struct tls_failure *f)
{
	tls_done_fn *done = h->done;
	void *arg = h->arg;

	/* The alert goes out if it can. What the peer sent meanwhile is taken from the layer below,
	 * so that closing it does not reset the connection before the alert is read. */
	if (flush(h) == 0 && io_shutdown(h->below) == 0)
		io_read(h->below, &h->received, TLS_HANDSHAKE_READ);
	handshake_end(h);
	done(arg, NULL, f);
}

static void fail_own(struct tls_handshake *h, int err, const char *text)
{
	struct tls_failure f;

	tls_failure_own(h, err, text, &f);
	fail(h, &f);
}

/* One alert as the first record under a secret, to the end of what is to be sent. */
static void seal_alert(struct tls_handshake *h, const struct tls_secret *secret, enum alert number)
{
	uint8_t body[2] = {ALERT_LEVEL_FATAL, (uint8_t)number}, record[2 + RECORD_OVERHEAD];
	struct iovec iov = {body, sizeof(body)};
	struct record_key key;

	record_key_init(&key, h->traffic.suite, secret->bytes);
	record_seal(&key, RECORD_ALERT, &iov, 1, record);
	record_key_free(&key);
	buf_append(&h->unsent, record, sizeof(record));
}

/*
 * The library writes an alert under the keys that it used last. But a server that has sent its
 * Finished speaks under its application key (RFC 8446 A.2), and a client that has the handshake key
 * should not answer in the clear (A.1). So its alert, behind keep bytes of output, is replaced by
 * our own.
 */
static void replace_alert(struct tls_handshake *h, size_t keep, enum alert number)
{
	const struct tls_secret *secret = h->ctx->role == TLS_SERVER ? &h->application[TLS_SERVER]
								     : &h->handshake[TLS_CLIENT];

	if (secret->n == 0 || h->traffic.suite == NULL)
		return;
	buf_truncate(&h->unsent, buf_len(&h->unsent) - keep);
	seal_alert(h, secret, number);
}

static void fail_library(struct tls_handshake *h, int ret, size_t keep)
{
	struct tls_failure f;

	tls_failure_library(h, ret, &f);
	if (!f.alert_from_peer)
		replace_alert(h, keep,
			f.verdict != CERT_GOOD ? alert_for_verdict(f.verdict)
					       : alert_for_library(ret));
	fail(h, &f);
}

/* --- succeeding --- */

/* What must hold beyond the library's own idea of success; NULL where it does. */
static const char *check_outcome(struct tls_handshake *h, const struct record_suite *suite)
{
	bool verify = h->ctx->role == TLS_CLIENT || !h->ctx->anonymous_client;

	if (mbedtls_ssl_get_version_number(&h->ssl) != MBEDTLS_SSL_VERSION_TLS1_3 ||
		suite == NULL || h->application[TLS_CLIENT].n != suite->hash_n ||
		h->application[TLS_SERVER].n != suite->hash_n)
		return "negotiated what was not offered";
	if (verify && (!h->judged || h->verdict != CERT_GOOD || h->peer == NULL))
		return "the peer has not been verified";
	if (mbedtls_ssl_check_pending(&h->ssl) != 0 || h->traffic.left > 0)
		return "data behind the Finished in its record";
	if (h->variant->alpn[0] != NULL && mbedtls_ssl_get_alpn_protocol(&h->ssl) == NULL)
		return "the peer chose no ALPN protocol";
	return NULL;
}

static void succeed(struct tls_handshake *h)
{
	const struct record_suite *suite =
		record_suite_by_id(mbedtls_ssl_get_ciphersuite_id_from_ssl(&h->ssl));
	const char *objection = check_outcome(h, suite);
	tls_done_fn *done = h->done;
	void *arg = h->arg;

	if (objection != NULL) {
		if (suite != NULL && suite == h->traffic.suite &&
			h->application[h->ctx->role].n == suite->hash_n)
			seal_alert(h, &h->application[h->ctx->role], ALERT_UNEXPECTED_MESSAGE);
		fail_own(h, ERR_PROTOCOL, objection);
		return;
	}
	struct tls_io_config cfg = {
		.below = h->below,
		.ctx = h->ctx,
		.bufs = h->bufs,
		.suite = suite,
		.secret_in = h->application[tls_peer_role(h)].bytes,
		.secret_out = h->application[h->ctx->role].bytes,
		.peer = h->peer,
		.alpn = mbedtls_ssl_get_alpn_protocol(&h->ssl),
		.sni = str_from(h->sni),
		.received = &h->received,
		.unsent = &h->unsent,
	};
	h->below = NULL;
	struct io *io = tls_io_new(&cfg);
	handshake_end(h);
	done(arg, io, NULL);
}

/* --- running --- */

/* Lets the library go as far as the received bytes carry it. True while the handshake goes on. */
static bool run(struct tls_handshake *h)
{
	while (!mbedtls_ssl_is_handshake_over(&h->ssl)) {
		size_t written = buf_len(&h->unsent);
		int ret = mbedtls_ssl_handshake_step(&h->ssl);
		if (ret == MBEDTLS_ERR_SSL_WANT_READ)
			return true;
		if (ret != 0) {
			fail_library(h, ret, written);
			return false;
		}
	}
	succeed(h);
	return false;
}

/* One turn: at most one read, all that the library makes of it, one write. */
static void turn(struct tls_handshake *h, bool readable)
{
	ssize_t n = ERR_AGAIN;

	if (readable)
		n = io_read(h->below, &h->received, TLS_HANDSHAKE_READ);
	if (!run(h))
		return;
	int ret = flush(h);
	/* A peer that takes no more may have said why. */
	if (ret < 0 && ret != ERR_AGAIN && !readable)
		turn(h, true);
	else if (n == 0)
		fail_own(h, ERR_CLOSED, "the peer closed the connection");
	else if (n < 0 && n != ERR_AGAIN)
		fail_own(h, (int)n, err_text((int)n));
	else if (ret < 0 && ret != ERR_AGAIN)
		fail_own(h, ret, err_text(ret));
	else
		io_want(h->below, ret == ERR_AGAIN ? IO_READ | IO_WRITE : IO_READ);
}

static void on_below(void *arg, unsigned events)
{
	struct tls_handshake *h = OBJ_CAST(struct tls_handshake, TLS_HANDSHAKE_MAGIC, arg);

	turn(h, (events & IO_READ) != 0);
}

static void on_start(void *arg)
{
	struct tls_handshake *h = OBJ_CAST(struct tls_handshake, TLS_HANDSHAKE_MAGIC, arg);

	turn(h, h->ctx->role == TLS_SERVER);
}

static void on_timeout(void *arg)
{
	struct tls_handshake *h = OBJ_CAST(struct tls_handshake, TLS_HANDSHAKE_MAGIC, arg);

	fail_own(h, ERR_TIMEOUT, "took too long");
}

/* A client that offers no protocol is refused before anything is computed for it; RFC 7301 leaves
 * that to the server. */
int tls_on_client_hello(mbedtls_ssl_context *ssl)
{
	struct tls_handshake *h = OBJ_CAST(struct tls_handshake, TLS_HANDSHAKE_MAGIC,
		mbedtls_ssl_get_user_data_p(ssl));
	size_t n = 0;
	const unsigned char *sni = mbedtls_ssl_get_hs_sni(ssl, &n);

	mem_free(h->sni);
	h->sni = sni != NULL ? mem_strndup((const char *)sni, n < SNI_MAX ? n : SNI_MAX) : NULL;
	if (h->variant->alpn[0] == NULL || mbedtls_ssl_get_alpn_protocol(ssl) != NULL)
		return 0;
	mbedtls_ssl_send_alert_message(ssl, ALERT_LEVEL_FATAL, ALERT_NO_APPLICATION_PROTOCOL);
	return MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL;
}

/* --- beginning --- */

static char *copy(struct str s)
{
	return s.n > 0 ? mem_strndup(s.p, s.n) : NULL;
}

static void setup_library(struct tls_handshake *h)
{
	mbedtls_ssl_init(&h->ssl);
	int ret = mbedtls_ssl_setup(&h->ssl, &h->variant->conf);
	/* Explicitly none where there is no name: the identity is judged by SPIFFE ID, never by
	 * host name. */
	if (ret == 0 && h->ctx->role == TLS_CLIENT)
		ret = mbedtls_ssl_set_hostname(&h->ssl, h->sni);
	ASSERT(ret == 0);
	mbedtls_ssl_set_user_data_p(&h->ssl, h);
	mbedtls_ssl_set_verify(&h->ssl, tls_judge, h);
	tls_bio_attach(h);
}

struct tls_handshake *tls_handshake_start(struct io *below, const struct tls_handshake_config *cfg,
	tls_done_fn *done, void *arg)
{
	struct tls_handshake *h = MEM_NEW(struct tls_handshake);

	ASSERT(cfg->ctx->role == TLS_SERVER || cfg->expect.id.n > 0);
	h->obj.magic = TLS_HANDSHAKE_MAGIC;
	h->below = below;
	h->loop = below->loop;
	h->ctx = tls_ctx_ref(cfg->ctx);
	h->bufs = cfg->bufs;
	h->variant = tls_ctx_variant(cfg->ctx, cfg->alpn);
	h->expect_id = copy(cfg->expect.id);
	h->expect_uid = copy(cfg->expect.uid);
	h->sni = cfg->sni.n <= SNI_MAX ? copy(cfg->sni) : NULL;
	h->verdict = CERT_UNTRUSTED;
	h->done = done;
	h->arg = arg;
	buf_init(&h->received, cfg->bufs);
	buf_init(&h->unsent, cfg->bufs);
	setup_library(h);
	loop_timer_init(&h->timer, h->loop, on_timeout, h);
	loop_timer_start(&h->timer,
		cfg->timeout_ns != 0 ? cfg->timeout_ns : TLS_HANDSHAKE_TIMEOUT_NS);
	loop_task_init(&h->start, h->loop, on_start, h);
	loop_defer(&h->start);
	io_set_user(below, on_below, h);
	return h;
}

void tls_handshake_cancel(struct tls_handshake **h_p)
{
	struct tls_handshake *h = *h_p;

	*h_p = NULL;
	if (h != NULL && !h->ended)
		handshake_end(h);
}
