/*
 * A server's connections and a channel's: handshakes, bounds, draining and closing, dialling again.
 * Each test owns a grpc_world.
 */
#include "lib/net/net_sim.h"
#include "tests/support/grpc_world.h"

#define HELD 8

/* A hook that decides when a connection is secure. */
struct gate {
	struct grpc_world w;
	struct io *io[HELD];
	grpc_ready_fn *ready[HELD];
	void *arg[HELD];
	unsigned n;
};

static void hold(void *arg, struct io *io, grpc_ready_fn *ready, void *ready_arg)
{
	struct gate *g = arg;

	assert_true(g->n < HELD);
	g->io[g->n] = io;
	g->ready[g->n] = ready;
	g->arg[g->n++] = ready_arg;
}

static void release(struct gate *g, unsigned i, bool good)
{
	struct io *io = g->io[i];

	g->io[i] = NULL;
	if (!good)
		io_close(&io, true);
	g->ready[i](g->arg[i], good ? io : NULL);
}

static void open_gate(struct gate *g, const struct grpc_server_config *cfg)
{
	struct grpc_server_config own = *cfg;

	memset(g, 0, sizeof(*g));
	grpc_world_init(&g->w, 64 * 1024);
	own.secure = hold;
	own.secure_arg = g;
	grpc_world_serve(&g->w, &own);
	grpc_world_connect(&g->w);
}

static struct grpc_server_stats stats_of(const struct grpc_world *w)
{
	struct grpc_server_stats stats;

	grpc_server_stats(w->server, &stats);
	return stats;
}

/* --- handshakes and bounds --- */

static void test_secure_hook(void **state)
{
	struct gate g;

	(void)state;
	open_gate(&g, &(struct grpc_server_config){0});
	struct grpc_user *u = grpc_world_ask(&g.w, "Echo", "x");

	assert_int_equal(g.n, 1);
	assert_int_equal(u->ends, 0);
	release(&g, 0, true);
	grpc_world_settle(&g.w);
	grpc_user_expect_end(u, GRPC_OK, "");
	grpc_channel_reset(g.w.channel);
	u = grpc_world_ask(&g.w, "Echo", "x");
	release(&g, 1, false);
	grpc_world_settle(&g.w);
	grpc_user_expect_end(u, GRPC_UNAVAILABLE, NULL);
	assert_int_equal(stats_of(&g.w).accepted, 2);
	/* The server goes while one is under way. */
	u = grpc_world_ask(&g.w, "Echo", "x");
	grpc_server_close(&g.w.server);
	grpc_world_settle(&g.w);
	release(&g, 2, true);
	grpc_world_settle(&g.w);
	grpc_user_expect_end(u, GRPC_UNAVAILABLE, NULL);
	grpc_world_close(&g.w);
}

static void test_handshakes_are_bounded(void **state)
{
	struct gate g;
	struct io *ios[4];

	(void)state;
	open_gate(&g, &(struct grpc_server_config){.max_handshakes = 2});
	for (int i = 0; i < 4; i++)
		ios[i] = grpc_world_dial(&g.w);
	assert_int_equal(g.n, 2);
	release(&g, 0, false);
	grpc_world_settle(&g.w);
	assert_int_equal(g.n, 3);
	release(&g, 1, true);
	release(&g, 2, true);
	grpc_world_settle(&g.w);
	assert_int_equal(g.n, 4);
	release(&g, 3, true);
	grpc_world_settle(&g.w);
	assert_int_equal(stats_of(&g.w).conns, 3);
	assert_int_equal(stats_of(&g.w).refused, 0);
	for (int i = 0; i < 4; i++)
		io_close(&ios[i], false);
	grpc_world_close(&g.w);
}

static void test_nobody_has_all_handshakes(void **state)
{
	struct gate g;
	struct io *ios[6];

	(void)state;
	open_gate(&g, &(struct grpc_server_config){.max_handshakes = 4});
	for (int i = 0; i < 4; i++)
		ios[i] = grpc_world_dial(&g.w);
	assert_int_equal(g.n, 3);
	assert_int_equal(stats_of(&g.w).refused, 1);
	g.w.from = raw_addr("192.0.2.77:0");
	ios[4] = grpc_world_dial(&g.w);
	assert_int_equal(g.n, 4);
	release(&g, 0, false);
	release(&g, 3, true);
	g.w.from = (struct addr){.family = ADDR_NONE};
	ios[5] = grpc_world_dial(&g.w);
	assert_int_equal(g.n, 5);
	assert_int_equal(stats_of(&g.w).refused, 1);
	release(&g, 1, false);
	release(&g, 2, false);
	release(&g, 4, false);
	for (int i = 0; i < 6; i++)
		io_close(&ios[i], false);
	grpc_world_close(&g.w);
}

static void test_connections_are_bounded(void **state)
{
	struct grpc_world w;
	struct grpc_server_config cfg = {.max_conns = 2};

	(void)state;
	grpc_world_init(&w, 64 * 1024);
	grpc_world_serve(&w, &cfg);
	grpc_world_connect(&w);
	w.script.vouch = true;
	struct grpc_user *u = grpc_world_call(&w, "Chat", 0);

	grpc_world_settle(&w);
	/* One that carries nothing makes room, one that carries a call of somebody known does not.
	 */
	struct io *idle = grpc_world_dial(&w), *next = grpc_world_dial(&w);

	assert_int_equal(stats_of(&w).conns, 2);
	assert_int_equal(stats_of(&w).refused, 0);
	struct grpc_channel *first = w.channel;

	grpc_world_connect(&w);
	struct grpc_user *second = grpc_world_call(&w, "Chat", 0);

	grpc_world_settle(&w);
	assert_int_equal(stats_of(&w).conns, 2);
	struct io *refused = grpc_world_dial(&w);

	assert_int_equal(stats_of(&w).refused, 1);
	assert_int_equal(u->ends + second->ends, 0);
	io_close(&idle, false);
	io_close(&next, false);
	io_close(&refused, false);
	grpc_channel_free(&first);
	grpc_world_close(&w);
}

/* Calls that anybody may make and hold keep nobody out: not as connections, nor as many of them on
 * one. */
static void test_unknown_callers_make_room(void **state)
{
	struct grpc_world w;
	struct grpc_server_config cfg = {.max_conns = 3};
	struct grpc_channel *channels[3];
	struct grpc_user *u[3];

	(void)state;
	grpc_world_init(&w, 64 * 1024);
	grpc_world_serve(&w, &cfg);
	for (int i = 0; i < 3; i++) {
		grpc_world_connect(&w);
		channels[i] = w.channel;
		w.script.vouch = i == 0;
		u[i] = grpc_world_call(&w, "Chat", 0);
		grpc_world_settle(&w);
	}
	struct io *next = grpc_world_dial(&w);

	/* The oldest of the unknown, not the oldest. */
	assert_int_equal(stats_of(&w).refused, 0);
	assert_int_equal(u[0]->ends, 0);
	grpc_user_expect_end(u[1], GRPC_UNAVAILABLE, NULL);
	assert_int_equal(u[2]->ends, 0);
	/* Two calls are open, and then three: one more of the unknown is too much. */
	struct grpc_user *more = grpc_world_call(&w, "Chat", 0);

	grpc_world_settle(&w);
	assert_int_equal(more->ends, 0);
	more = grpc_world_call(&w, "Chat", 0);
	grpc_world_settle(&w);
	grpc_user_expect_end(more, GRPC_RESOURCE_EXHAUSTED,
		"too many calls: one for each connection goes on");
	w.channel = channels[0];
	more = grpc_world_call(&w, "Chat", 0);
	grpc_world_settle(&w);
	assert_int_equal(more->ends, 0);
	/* Who is known no more makes room like others. */
	grpc_call_close_send(u[0]->call);
	grpc_world_settle(&w);
	grpc_user_expect_end(u[0], GRPC_OK, "");
	assert_int_equal(more->ends, 0);
	io_close(&next, false);
	grpc_world_settle(&w);
	grpc_world_connect(&w);
	struct grpc_user *last = grpc_world_call(&w, "Chat", 0);

	grpc_world_settle(&w);
	next = grpc_world_dial(&w);
	grpc_user_expect_end(more, GRPC_UNAVAILABLE, NULL);
	assert_int_equal(last->ends, 0);
	assert_int_equal(stats_of(&w).refused, 0);
	io_close(&next, false);
	grpc_channel_free(&channels[0]);
	grpc_channel_free(&channels[1]);
	grpc_channel_free(&channels[2]);
	grpc_world_close(&w);
}

/* Many requests that are not finished: those that hold most are refused, small ones go on. */
static void test_unfinished_requests_are_bounded(void **state)
{
	enum { N = 10 };
	struct grpc_world w;
	struct grpc_server_config cfg = {.max_buffered = 1 << 20};
	struct grpc_user *u[N];
	static char block[300000];
	unsigned refused = 0;

	(void)state;
	grpc_world_init(&w, 64 * 1024);
	grpc_world_serve(&w, &cfg);
	grpc_world_connect(&w);
	for (int i = 0; i < N; i++) {
		u[i] = grpc_world_call(&w, "Echo", 0);
		grpc_call_send_bytes(u[i]->call, str_make(block, sizeof(block)));
		grpc_world_settle(&w);
		assert_true(stats_of(&w).buffered <= 2 << 20);
		if (u[i]->ends == 1)
			refused++;
		else
			assert_int_equal(w.serving[i].messages, 0);
	}
	assert_true(refused >= 5 && refused < N);
	grpc_user_expect_end(u[N - 1], GRPC_RESOURCE_EXHAUSTED, NULL);
	grpc_user_expect_end(grpc_world_ask(&w, "Echo", "small"), GRPC_OK, "");
	for (int i = 0; i < N; i++) {
		if (u[i]->call != NULL)
			grpc_call_close_send(u[i]->call);
	}
	grpc_world_settle(&w);
	for (int i = 0; i < N; i++)
		assert_int_equal(u[i]->ends, 1);
	assert_int_equal(stats_of(&w).buffered, 0);
	grpc_world_close(&w);
}

/* --- the end of a server --- */

static void test_drain(void **state)
{
	struct grpc_world w;

	(void)state;
	grpc_world_open(&w);
	struct grpc_user *u = grpc_world_call(&w, "Chat", 0);

	grpc_user_send(u, "x");
	grpc_world_settle(&w);
	grpc_server_drain(w.server);
	grpc_world_advance(&w, 10 * NS_PER_S);
	assert_false(grpc_channel_connected(w.channel));
	/* Nobody listens any more. */
	struct grpc_user *late = grpc_world_ask(&w, "Echo", "x");

	grpc_user_expect_end(late, GRPC_UNAVAILABLE, NULL);
	assert_true(late->local && late->unprocessed);
	grpc_user_send(u, "still");
	grpc_call_close_send(u->call);
	grpc_world_settle(&w);
	grpc_user_expect_end(u, GRPC_OK, "");
	assert_int_equal(u->messages, 2);
	grpc_world_settle(&w);
	assert_int_equal(stats_of(&w).conns, 0);
	grpc_world_close(&w);
}

static void test_close(void **state)
{
	struct grpc_world w;

	(void)state;
	grpc_world_open(&w);
	struct grpc_user *u = grpc_world_call(&w, "Chat", 0);

	grpc_user_send(u, "x");
	grpc_world_settle(&w);
	grpc_server_close(&w.server);
	assert_null(w.server);
	grpc_user_expect_end(&w.serving[0], GRPC_UNAVAILABLE, "the server is closing");
	grpc_world_settle(&w);
	grpc_user_expect_end(u, GRPC_UNAVAILABLE, "the server is closing");
	assert_false(u->local);
	grpc_server_close(&w.server);
	grpc_world_close(&w);
}

/* --- channels --- */

static void test_dialling(void **state)
{
	struct grpc_world w;

	(void)state;
	grpc_world_open(&w);
	net_sim_fail(w.rig.net, &w.addr, ERR_REFUSED);
	struct grpc_user *a = grpc_world_call(&w, "Echo", 0), *b = grpc_world_call(&w, "Echo", 0);

	grpc_world_settle(&w);
	grpc_user_expect_end(a, GRPC_UNAVAILABLE, err_text(ERR_REFUSED));
	grpc_user_expect_end(b, GRPC_UNAVAILABLE, err_text(ERR_REFUSED));
	assert_true(a->local && a->unprocessed);
	assert_int_equal(w.dials, 1);
	assert_true(str_eq(grpc_channel_failure(w.channel), str_from(err_text(ERR_REFUSED))));
	net_sim_fail(w.rig.net, &w.addr, 0);
	a = grpc_world_ask(&w, "Echo", "x");
	grpc_user_expect_end(a, GRPC_OK, "");
	assert_int_equal(w.dials, 2);
	assert_true(grpc_channel_connected(w.channel));
	assert_int_equal(grpc_channel_failure(w.channel).n, 0);
	grpc_world_close(&w);
}

static void test_reset_and_free(void **state)
{
	struct grpc_world w;

	(void)state;
	grpc_world_open(&w);
	struct grpc_user *a = grpc_world_call(&w, "Chat", 0);

	grpc_world_settle(&w);
	struct grpc_user *b = grpc_world_call(&w, "Chat", 0);

	grpc_channel_reset(w.channel);
	assert_int_equal(a->ends + b->ends, 0);
	grpc_world_settle(&w);
	grpc_user_expect_end(a, GRPC_UNAVAILABLE, NULL);
	grpc_user_expect_end(b, GRPC_UNAVAILABLE, NULL);
	assert_false(a->unprocessed);
	assert_true(b->unprocessed);
	grpc_user_expect_end(&w.serving[0], GRPC_CANCELLED, NULL);
	a = grpc_world_call(&w, "Chat", 0);
	grpc_world_settle(&w);
	b = grpc_world_call(&w, "Chat", 0);
	grpc_channel_free(&w.channel);
	grpc_world_settle(&w);
	assert_int_equal(a->ends + b->ends, 0);
	assert_int_equal(w.serving[1].ends, 1);
	/* While it dials. */
	grpc_world_connect(&w);
	grpc_world_call(&w, "Chat", 0);
	loop_sim_settle(w.rig.loop, 1);
	grpc_channel_free(&w.channel);
	grpc_world_close(&w);
}

/* More than the server lets run at once wait their turn. */
static void test_many_calls(void **state)
{
	enum { N = 300 };
	struct grpc_world w;
	struct grpc_user *u[N];

	(void)state;
	grpc_world_open(&w);
	for (int i = 0; i < N; i++)
		u[i] = grpc_world_call(&w, "Chat", 0);
	grpc_world_settle(&w);
	assert_int_equal(w.n_serving, 100);
	for (int i = 0; i < N; i++) {
		grpc_call_close_send(u[i]->call);
		grpc_world_settle(&w);
		grpc_user_expect_end(u[i], GRPC_OK, "");
	}
	assert_int_equal(w.n_serving, N);
	assert_int_equal(w.dials, 1);
	assert_int_equal(stats_of(&w).ended[GRPC_OK], N);
	grpc_world_close(&w);
}

/* Users go while their calls begin, run and end, in every order that chance makes. */
static void test_drops_at_any_moment(void **state)
{
	struct grpc_world w;
	struct rng rng;

	(void)state;
	grpc_world_open(&w);
	rng_seed(&rng, 11);
	for (int round = 0; round < 400; round++) {
		struct grpc_user *u = grpc_world_call(&w, "Chat", 0);

		w.script.drop_at_message = rng_below(&rng, 4) == 0;
		w.script.finish_at_message = rng_below(&rng, 4) == 0;
		for (uint64_t n = rng_below(&rng, 5); n > 0 && u->call != NULL; n--) {
			grpc_user_send(u, "x");
			loop_sim_settle(w.rig.loop, rng_below(&rng, 6));
		}
		if (u->call != NULL && rng_below(&rng, 2) == 0)
			grpc_call_close_send(u->call);
		loop_sim_settle(w.rig.loop, rng_below(&rng, 8));
		if (rng_below(&rng, 3) == 0)
			grpc_call_drop(&u->call);
		if (rng_below(&rng, 40) == 0)
			grpc_channel_reset(w.channel);
		if (w.n_serving > 0 && rng_below(&rng, 6) == 0)
			grpc_call_drop(&w.serving[w.n_serving - 1].call);
	}
	assert_true(w.n_serving > 200);
	grpc_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secure_hook),
		cmocka_unit_test(test_handshakes_are_bounded),
		cmocka_unit_test(test_nobody_has_all_handshakes),
		cmocka_unit_test(test_connections_are_bounded),
		cmocka_unit_test(test_unknown_callers_make_room),
		cmocka_unit_test(test_unfinished_requests_are_bounded),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_dialling),
		cmocka_unit_test(test_reset_and_free),
		cmocka_unit_test(test_many_calls),
		cmocka_unit_test(test_drops_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
