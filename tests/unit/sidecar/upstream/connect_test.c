/*
 * One upstream stream: dialled, shaken hands with, judged; failing in each of these with the right
 * reason, and cancelled at every moment without a trace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/net/net_sim.h"
#include "sidecar/upstream/connect.h"
#include "tests/support/tls_world.h"

#define SERVER "10.0.0.9:15006"

static const char *const server_alpn[] = {"weft/h2", "weft/tcp", NULL};

/* A server with TLS, a client, and what became of one connect. */
struct world {
	struct tls_world t;
	struct net *net;
	struct listener *listener;
	struct tls_ctx *server_ctx, *client_ctx;
	struct connect_env env;
	struct connect_target target;
	struct tls_end accepted[4];
	unsigned n_accepted, judged, selves;
	enum cert_verdict verdict; /* of the judge */
	bool deaf;                 /* accepts and says nothing */
	struct io *self_end;
	bool no_self;
	/* outcome */
	struct connect *connect;
	struct io *io;
	unsigned calls;
	struct connect_failure failure;
};

static void on_accept(void *arg, struct io *io)
{
	struct world *w = arg;
	struct tls_handshake_config cfg = {.ctx = w->server_ctx, .alpn = server_alpn};
	assert_true(w->n_accepted < 4);
	struct tls_end *end = &w->accepted[w->n_accepted++];
	if (w->deaf)
		*end = (struct tls_end){.io = io};
	else
		tls_end_start(&w->t, end, io, &cfg);
}

static void on_done(void *arg, struct io *io, const struct connect_failure *failure)
{
	struct world *w = arg;
	assert_true((io == NULL) == (failure != NULL));
	w->calls++;
	w->connect = NULL;
	w->io = io;
	if (failure != NULL)
		w->failure = *failure;
}

static enum cert_verdict judge(void *arg, const struct cert_chain *chain, const struct tls_ctx *ctx)
{
	struct world *w = arg;
	assert_non_null(chain);
	assert_ptr_equal(ctx, w->client_ctx);
	w->judged++;
	return w->verdict;
}

static struct io *self(void *arg, const struct addr *to, const char *alpn)
{
	struct world *w = arg;
	struct io *ends[2];
	assert_string_equal(alpn, "weft/tcp");
	w->selves++;
	if (w->no_self)
		return NULL;
	io_mem_pair(w->t.loop, w->t.bufs, 4096, to, to, ends);
	w->self_end = ends[1];
	return ends[0];
}

static int setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	struct listen_config cfg = {0};
	char err[128];
	memset(w, 0, sizeof(*w));
	tls_world_open(&w->t);
	w->net = net_new_sim(w->t.loop, w->t.bufs, 128); /* many turns */
	w->server_ctx = tls_world_ctx(&w->t, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	w->client_ctx = tls_world_ctx(&w->t, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	assert_int_equal(addr_parse(STR(SERVER), &cfg.addr), 0);
	assert_int_equal(listener_open(w->net, &cfg, on_accept, w, &w->listener, err, sizeof(err)),
		0);
	w->env = (struct connect_env){.net = w->net,
		.bufs = w->t.bufs,
		.self = self,
		.self_arg = w,
		.judge = judge,
		.judge_arg = w,
		.connect_timeout_ns = 5 * NS_PER_S,
		.tls_timeout_ns = 10 * NS_PER_S};
	w->target = (struct connect_target){.to = cfg.addr,
		.ctx = w->client_ctx,
		.alpn = "weft/tcp",
		.id = STR(WORLD_SERVER),
		.uid = STR(WORLD_UID)};
	*state = w;
	return 0;
}

static void forget(struct world *w)
{
	connect_cancel(&w->connect);
	io_close(&w->io, true);
	io_close(&w->self_end, true);
	tls_world_settle(&w->t);
	for (unsigned i = 0; i < w->n_accepted; i++) {
		tls_handshake_cancel(&w->accepted[i].handshake);
		io_close(&w->accepted[i].io, true);
	}
	tls_world_settle(&w->t);
	assert_int_equal(buf_pool_used(w->t.bufs), 0);
	w->n_accepted = w->calls = w->judged = w->selves = 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	forget(w);
	listener_close(&w->listener);
	tls_ctx_unref(&w->server_ctx);
	tls_ctx_unref(&w->client_ctx);
	tls_world_settle(&w->t);
	net_free(&w->net);
	tls_world_close(&w->t);
	mem_free(w);
	return 0;
}

static void start(struct world *w)
{
	w->connect = connect_start(&w->env, &w->target, on_done, w);
	assert_int_equal(w->calls, 0); /* never from inside */
}

static void expect_failure(struct world *w, enum reason reason, enum cert_verdict verdict,
	const char *text)
{
	tls_world_settle(&w->t);
	assert_int_equal(w->calls, 1);
	assert_null(w->io);
	assert_int_equal(w->failure.reason, reason);
	assert_int_equal(w->failure.verdict, verdict);
	tls_assert_has(w->failure.text, text);
	tls_assert_has(w->failure.text, "10.0.0.9:15006");
	forget(w);
}

static void test_tls(void **state)
{
	struct world *w = *state;
	struct io_info info = {0};
	start(w);
	tls_world_settle(&w->t);
	assert_int_equal(w->calls, 1);
	assert_non_null(w->io);
	io_info(w->io, &info);
	assert_true(str_eq(info.alpn, STR("weft/tcp"))); /* of this connection, not the context's */
	assert_true(str_eq(info.peer_id, STR(WORLD_SERVER)));
	assert_int_equal(w->judged, 1);
	uint64_t ns;
	assert_true(upstream_retire_in(w->io, &ns));
	assert_in_range(ns / NS_PER_S, 86400 - 400, 86400);
}

static void test_plain(void **state)
{
	struct world *w = *state;
	uint64_t ns;
	w->deaf = true;
	w->target.ctx = NULL;
	start(w);
	tls_world_settle(&w->t);
	assert_int_equal(w->calls, 1);
	assert_non_null(w->io);
	assert_int_equal(w->judged, 0);
	assert_false(upstream_retire_in(w->io, &ns));
}

static void test_dial_failures(void **state)
{
	static const struct {
		int err;
		enum reason reason;
	} rows[] = {
		{ERR_REFUSED, REASON_CONNECT_FAILED},
		{ERR_UNREACHABLE, REASON_CONNECT_FAILED},
		{ERR_TIMEOUT, REASON_CONNECT_TIMEOUT},
	};
	struct world *w = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		net_sim_fail(w->net, &w->target.to, rows[i].err);
		start(w);
		tls_world_settle(&w->t);
		loop_sim_advance(w->t.loop, 6 * NS_PER_S);
		expect_failure(w, rows[i].reason, CERT_GOOD, "connect to");
	}
}

static void test_handshake_failures(void **state)
{
	struct world *w = *state;
	w->target.id = STR("spiffe://mesh.test/ns/shop/sa/other");
	start(w);
	expect_failure(w, REASON_TLS_FAILED, CERT_IDENTITY, "someone else");
	w->target.id = STR(WORLD_SERVER);
	w->target.uid = STR("another-uid");
	start(w);
	expect_failure(w, REASON_TLS_FAILED, CERT_POD_UID, "another pod");
	w->target.uid = STR(WORLD_UID);
	/* Nobody is expected: nobody is good enough. */
	w->verdict = CERT_REVOKED;
	start(w);
	expect_failure(w, REASON_TLS_FAILED, CERT_REVOKED, "revoked");
	w->verdict = CERT_GOOD;
	w->deaf = true;
	start(w);
	tls_world_settle(&w->t);
	loop_sim_advance(w->t.loop, 9 * NS_PER_S);
	assert_int_equal(w->calls, 0);
	loop_sim_advance(w->t.loop, 2 * NS_PER_S);
	expect_failure(w, REASON_TLS_FAILED, CERT_GOOD, "took too long");
	/* The peer goes in the middle. */
	start(w);
	tls_world_settle(&w->t);
	io_close(&w->accepted[0].io, true);
	expect_failure(w, REASON_TLS_FAILED, CERT_GOOD, "reset");
}

static void test_self(void **state)
{
	struct world *w = *state;
	w->target.self = true;
	w->target.ctx = NULL;
	start(w);
	assert_int_equal(w->selves, 0); /* never from inside */
	tls_world_settle(&w->t);
	assert_int_equal(w->calls, 1);
	assert_non_null(w->io);
	assert_int_equal(w->n_accepted, 0);
	forget(w);
	w->no_self = true;
	start(w);
	tls_world_settle(&w->t);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->failure.reason, REASON_OVERLOAD);
	forget(w);
	start(w);
	connect_cancel(&w->connect);
	tls_world_settle(&w->t);
	assert_int_equal(w->selves, 0);
	assert_int_equal(w->calls, 0);
}

/* After every turn, until it would have been there by itself. */
static void test_cancelled_at_every_moment(void **state)
{
	struct world *w = *state;
	unsigned turns = 0;
	for (bool over = false; !over; turns++) {
		start(w);
		loop_sim_settle(w->t.loop, turns);
		over = w->calls > 0;
		connect_cancel(&w->connect);
		assert_null(w->connect);
		connect_cancel(&w->connect);
		unsigned before = w->calls;
		tls_world_settle(&w->t);
		loop_sim_advance(w->t.loop, 30 * NS_PER_S);
		assert_int_equal(w->calls, before);
		forget(w);
	}
	assert_true(turns > 2);
}

/* The context may go while the connect runs: it holds its own reference. */
static void test_the_context_goes(void **state)
{
	struct world *w = *state;
	start(w);
	struct tls_ctx *mine = w->client_ctx;
	tls_ctx_unref(&w->client_ctx);
	w->client_ctx = mine; /* for the judge, which compares */
	w->target.id = STR("overwritten");
	tls_world_settle(&w->t);
	assert_int_equal(w->calls, 1);
	assert_non_null(w->io);
	io_close(&w->io, false);
	w->client_ctx = NULL;
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_tls),
		T(test_plain),
		T(test_dial_failures),
		T(test_handshake_failures),
		T(test_self),
		T(test_cancelled_at_every_moment),
		T(test_the_context_goes),
	};
	return cmocka_run_group_tests_name("connect", tests, NULL, NULL);
}
