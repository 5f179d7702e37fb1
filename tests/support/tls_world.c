/*
 * Trust domain, leaves and connections for tests of TLS; see tls_world.h. Owns nothing of its own.
 * Linked into every test.
 */
#include "tests/support/tls_world.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/crypto/crypto.h"

#define WORLD_TURNS 200000

static const char *const world_alpn[] = {"weft/h2", "weft/tcp", NULL};

void tls_world_open(struct tls_world *w)
{
	assert_int_equal(crypto_init(), 0);
	w->loop = loop_new_sim((uint64_t)WORLD_START * NS_PER_S);
	w->bufs = buf_pool_new(1 << 20);
	assert_int_equal(cert_ca_create(STR(WORLD_TD), WORLD_START - 86400 * 30,
				 WORLD_START + 86400 * 365, &w->ca),
		0);
	w->bundle = cert_bundle_new();
	char *pem = cert_ca_cert_pem(w->ca);
	assert_int_equal(cert_bundle_add(w->bundle, STR(WORLD_TD), str_from(pem)), 0);
	mem_free(pem);
}

void tls_world_close(struct tls_world *w)
{
	tls_world_settle(w);
	assert_int_equal(buf_pool_used(w->bufs), 0);
	cert_bundle_unref(&w->bundle);
	cert_ca_free(&w->ca);
	loop_free(&w->loop);
	buf_pool_free(&w->bufs);
}

void tls_world_settle(struct tls_world *w)
{
	assert_true(loop_sim_settle(w->loop, WORLD_TURNS) < WORLD_TURNS);
}

struct cert_chain *tls_world_leaf(struct tls_world *w, const struct cert_ca *ca, const char *id,
	const char *uid, enum cert_flaw flaw, struct cert_key **key)
{
	int64_t now = (int64_t)(clock_wall(loop_clock(w->loop)) / NS_PER_S);
	struct cert_issue what = {
		.spiffe_id = str_from(id),
		.pod_uid = str_from(uid),
		.not_before = now - 300,
		.not_after = now + 86400,
		.flaw = flaw,
	};
	struct cert_chain *chain;

	*key = flaw == CERT_FLAW_OTHER_CURVE ? cert_key_generate_p384() : cert_key_generate();
	assert_int_equal(cert_ca_issue(ca != NULL ? ca : w->ca, NULL, *key, &what, &chain), 0);
	return chain;
}

struct tls_ctx *tls_world_ctx_of(struct tls_world *w, struct tls_ctx_config cfg)
{
	char err[128] = "";
	struct tls_ctx *ctx;

	if (cfg.bundle == NULL)
		cfg.bundle = w->bundle;
	if (cfg.clock == NULL)
		cfg.clock = loop_clock(w->loop);
	if (tls_ctx_new(&cfg, &ctx, err, sizeof(err)) < 0)
		fail_msg("tls_ctx_new: %s", err);
	return ctx;
}

struct tls_ctx *tls_world_ctx(struct tls_world *w, enum tls_role role, const char *id,
	enum cert_flaw flaw)
{
	struct tls_ctx_config cfg = {.role = role, .alpn = world_alpn};

	if (id != NULL)
		cfg.chain = tls_world_leaf(w, NULL, id, WORLD_UID, flaw, &cfg.key);
	struct tls_ctx *ctx = tls_world_ctx_of(w, cfg);
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
	return ctx;
}

static void on_done(void *arg, struct io *io, const struct tls_failure *failure)
{
	struct tls_end *end = arg;

	assert_true((io == NULL) == (failure != NULL));
	end->calls++;
	end->handshake = NULL;
	end->io = io;
	if (failure != NULL)
		end->failure = *failure;
}

void tls_end_start(struct tls_world *w, struct tls_end *end, struct io *below,
	const struct tls_handshake_config *cfg)
{
	struct tls_handshake_config c = *cfg;

	*end = (struct tls_end){0};
	c.bufs = w->bufs;
	end->handshake = tls_handshake_start(below, &c, on_done, end);
	assert_int_equal(end->calls, 0);
}

void tls_pair_start(struct tls_world *w, struct tls_pair *p, struct tls_ctx *server,
	struct tls_ctx *client, size_t capacity, const char *id, const char *uid)
{
	struct addr a = {.family = ADDR_V4, .port = 15006, .bytes = {10, 0, 0, 1}};
	struct addr b = {.family = ADDR_V4, .port = 40000, .bytes = {10, 0, 0, 2}};
	struct tls_handshake_config cfg = {.ctx = server};

	io_mem_pair(w->loop, w->bufs, capacity, &a, &b, p->mem);
	struct io *ends[2] = {p->mem[0], p->mem[1]};
	tls_end_start(w, &p->server, ends[0], &cfg);
	cfg.ctx = client;
	cfg.expect.id = str_from(id != NULL ? id : WORLD_SERVER);
	cfg.expect.uid = str_from(uid);
	tls_end_start(w, &p->client, ends[1], &cfg);
}

void tls_pair_run(struct tls_world *w, struct tls_pair *p, struct tls_ctx *server,
	struct tls_ctx *client)
{
	tls_pair_start(w, p, server, client, 65536, NULL, NULL);
	tls_ctx_unref(&server);
	tls_ctx_unref(&client);
	tls_world_settle(w);
}

void tls_pair_good(struct tls_world *w, struct tls_pair *p)
{
	tls_pair_run(w, p, tls_world_ctx(w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE),
		tls_world_ctx(w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE));
	if (p->server.io == NULL || p->client.io == NULL)
		fail_msg("server: %s; client: %s", p->server.failure.text, p->client.failure.text);
}

void tls_pair_close(struct tls_world *w, struct tls_pair *p)
{
	tls_handshake_cancel(&p->server.handshake);
	tls_handshake_cancel(&p->client.handshake);
	io_close(&p->server.io, false);
	io_close(&p->client.io, false);
	tls_world_settle(w);
}

void tls_world_send(struct tls_world *w, struct io *io, const void *bytes, size_t n)
{
	struct buf out;

	buf_init(&out, w->bufs);
	buf_append(&out, bytes, n);
	while (buf_len(&out) > 0)
		assert_true(io_write(io, &out) > 0);
	tls_world_settle(w);
}

int tls_world_receive(struct tls_world *w, struct io *io, void *out, size_t size, size_t *n)
{
	struct buf in;
	ssize_t got;

	int idle = 0;

	buf_init(&in, w->bufs);
	/* A read that found half a record says ERR_AGAIN, though the next one may find more. */
	do {
		got = io_read(io, &in, IO_TURN_BYTES);
		idle = got == ERR_AGAIN ? idle + 1 : 0;
	} while (got > 0 || (got == ERR_AGAIN && idle < 2));
	assert_true(buf_len(&in) <= size);
	*n = buf_copy_out(&in, 0, out, size);
	buf_clear(&in);
	return (int)got;
}

void tls_assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

void tls_assert_refused(struct tls_world *w, struct io *io, int err, const char *alert)
{
	char bytes[16];
	size_t n;

	assert_non_null(io);
	assert_int_equal(tls_world_receive(w, io, bytes, sizeof(bytes), &n), err);
	assert_int_equal(n, 0);
	struct str why = tls_io_failure(io);
	char *text = mem_strndup(why.p, why.n);
	tls_assert_has(text, alert);
	mem_free(text);
}
