/*
 * The relay over loopback TCP on the libev loop: volume, half-close and reset as the kernel has
 * them, and that a blocked or half-closed relay costs no turns.
 */
#include "lib/net/relay.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/lib/net/talker.h"

/* The relay in the middle, and the two talkers. */
struct bridge {
	struct world w;
	struct relay *relay;
	struct relay_config cfg;
	struct talker client, server;
	struct relay_facts facts;
	int ends;
	struct loop_timer timer;
	uint64_t first_turn, turns;
	size_t peak;
	struct loop_task watch;
};

static void on_end(void *arg, const struct relay_facts *facts)
{
	struct bridge *g = arg;

	g->facts = *facts;
	g->ends++;
	g->relay = NULL;
	loop_stop(g->w.loop);
}

static void tcp_pair(struct loop *loop, struct io *ends[2])
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(l, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&in, &len), 0);
	assert_int_equal(connect(c, (struct sockaddr *)&in, len), 0);
	int s = accept(l, NULL, NULL);
	assert_true(s >= 0);
	close(l);
	ends[0] = io_sock_new(loop, c);
	ends[1] = io_sock_new(loop, s);
}

static int setup(void **state)
{
	struct bridge *g = calloc(1, sizeof(*g));
	struct io *left[2], *right[2];

	g->w = world_new(loop_new(NULL));
	tcp_pair(g->w.loop, left);
	tcp_pair(g->w.loop, right);
	talker_init(&g->client, left[0], g->w.pool);
	talker_init(&g->server, right[1], g->w.pool);
	g->relay = relay_start(left[1], right[0], g->w.pool, &g->cfg, NULL, NULL, on_end, g);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct bridge *g = *state;

	if (g->relay != NULL) {
		relay_abort(g->relay, ERR_RESET);
		loop_run(g->w.loop);
	}
	assert_int_equal(g->ends, 1);
	loop_timer_stop(&g->timer);
	loop_task_cancel(&g->watch);
	talker_free(&g->client);
	talker_free(&g->server);
	world_free(&g->w);
	free(g);
	return 0;
}

static void on_watch(void *arg)
{
	struct bridge *g = arg;
	size_t used = buf_pool_used(g->w.pool);

	g->peak = used > g->peak ? used : g->peak;
	loop_next_turn(&g->watch);
}

static void on_timer(void *arg)
{
	struct bridge *g = arg;

	g->turns = loop_turn(g->w.loop) - g->first_turn;
	g->first_turn = loop_turn(g->w.loop);
	loop_stop(g->w.loop);
}

static void run_for(struct bridge *g, uint64_t ns)
{
	loop_timer_init(&g->timer, g->w.loop, on_timer, g);
	loop_timer_start(&g->timer, ns);
	loop_run(g->w.loop);
}

static void test_32_mib_both_ways(void **state)
{
	struct bridge *g = *state;

	g->client.to_send = 32 * MIB;
	g->server.to_send = 32 * MIB + 777;
	g->client.shut_after = g->server.shut_after = true;
	loop_task_init(&g->watch, g->w.loop, on_watch, g);
	loop_next_turn(&g->watch);
	talk(&g->client);
	talk(&g->server);
	loop_run(g->w.loop);
	assert_int_equal(g->facts.err, 0);
	assert_int_equal(g->facts.a_to_b, 32 * MIB);
	assert_int_equal(g->facts.b_to_a, 32 * MIB + 777);
	assert_true(g->peak < 2 * MIB);
	while (!g->client.ended || !g->server.ended)
		run_for(g, 5 * NS_PER_MS);
	assert_int_equal(g->client.received, 32 * MIB + 777);
	assert_int_equal(g->server.received, 32 * MIB);
	assert_int_equal(g->client.err, 0);
}

static void test_blocked_relay_costs_no_turns(void **state)
{
	struct bridge *g = *state;

	g->client.to_send = 64 * MIB;
	g->server.deaf = true;
	talk(&g->client);
	talk(&g->server);
	do
		run_for(g, 50 * NS_PER_MS);
	while (g->turns > 8);
	assert_true(g->client.sent < 32 * MIB);
	g->server.deaf = false;
	g->client.shut_after = g->server.shut_after = true;
	talk(&g->server);
	loop_run(g->w.loop);
	assert_int_equal(g->facts.err, 0);
	assert_int_equal(g->facts.a_to_b, 64 * MIB);
}

static void test_half_closed_relay_costs_no_turns(void **state)
{
	struct bridge *g = *state;

	g->client.to_send = 100;
	g->client.shut_after = true;
	talk(&g->client);
	talk(&g->server);
	do
		run_for(g, 20 * NS_PER_MS);
	while (g->turns > 4);
	assert_true(g->server.ended);
	assert_int_equal(g->server.received, 100);
	assert_int_equal(g->ends, 0);
	g->server.to_send = 200;
	g->server.shut_after = true;
	talk(&g->server);
	loop_run(g->w.loop);
	assert_int_equal(g->facts.err, 0);
	assert_int_equal(g->facts.b_to_a, 200);
}

static void test_reset_passes_through(void **state)
{
	struct bridge *g = *state;

	talk(&g->client);
	talk(&g->server);
	io_close(&g->client.io, true);
	loop_run(g->w.loop);
	assert_int_equal(g->facts.err, ERR_RESET);
	assert_false(g->facts.err_from_b);
	while (!g->server.ended)
		run_for(g, 5 * NS_PER_MS);
	assert_int_equal(g->server.err, ERR_RESET);
}

#define BRIDGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BRIDGE(test_32_mib_both_ways),
		BRIDGE(test_blocked_relay_costs_no_turns),
		BRIDGE(test_half_closed_relay_costs_no_turns),
		BRIDGE(test_reset_passes_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
