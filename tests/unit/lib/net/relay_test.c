/*
 * The relay between two pairs of ends in memory, on the simulated clock: volume, half-close, reset,
 * timeouts and backpressure, each way.
 */
#include "lib/net/relay.h"

#include "tests/unit/lib/net/talker.h"

#define CAPACITY (64u * 1024u)

/* The relay in the middle, and the two talkers. */
struct bridge {
	struct world w;
	struct relay *relay;
	struct relay_config cfg;
	struct talker client, server;
	struct io *a, *b; /* the relay's ends; borrowed, until it closes them */
	struct relay_facts facts;
	int ends;
	size_t peak;
};

static void on_end(void *arg, const struct relay_facts *facts)
{
	struct bridge *g = arg;

	g->facts = *facts;
	g->ends++;
	g->relay = NULL;
}

static int setup(void **state)
{
	struct bridge *g = calloc(1, sizeof(*g));
	struct addr a = addr_of("10.0.0.1:1000"), b = addr_of("10.0.0.2:80");
	struct io *left[2], *right[2];

	g->w = world_new(loop_new_sim(0));
	io_mem_pair(g->w.loop, g->w.pool, CAPACITY, &a, &b, left);
	io_mem_pair(g->w.loop, g->w.pool, CAPACITY, &a, &b, right);
	talker_init(&g->client, left[0], g->w.pool);
	talker_init(&g->server, right[1], g->w.pool);
	g->a = left[1];
	g->b = right[0];
	*state = g;
	return 0;
}

static void start(struct bridge *g)
{
	g->relay = relay_start(g->a, g->b, g->w.pool, &g->cfg, NULL, NULL, on_end, g);
	talk(&g->client);
	talk(&g->server);
}

static void settle(struct bridge *g)
{
	for (int i = 0; i < 1000000; i++) {
		size_t turns = loop_sim_settle(g->w.loop, 1);
		size_t used = buf_pool_used(g->w.pool);
		g->peak = used > g->peak ? used : g->peak;
		if (turns == 0)
			return;
	}
	fail_msg("%s", "it never settles");
}

static int teardown(void **state)
{
	struct bridge *g = *state;

	if (g->relay != NULL)
		relay_abort(g->relay, ERR_RESET);
	settle(g);
	assert_int_equal(g->ends, 1);
	talker_free(&g->client);
	talker_free(&g->server);
	world_free(&g->w);
	free(g);
	return 0;
}

static void test_64_mib_both_ways(void **state)
{
	struct bridge *g = *state;

	g->client.to_send = 64 * MIB;
	g->server.to_send = 64 * MIB + 12345;
	g->client.shut_after = g->server.shut_after = true;
	start(g);
	settle(g);
	assert_int_equal(g->ends, 1);
	assert_int_equal(g->facts.err, 0);
	assert_int_equal(g->client.received, 64 * MIB + 12345);
	assert_int_equal(g->server.received, 64 * MIB);
	assert_int_equal(g->facts.a_to_b, 64 * MIB);
	assert_int_equal(g->facts.b_to_a, 64 * MIB + 12345);
	assert_true(g->client.ended && g->server.ended);
	assert_int_equal(g->client.err, 0);
	assert_int_equal(g->server.err, 0);
	assert_true(g->peak < 2 * MIB);
}

static void test_small_messages_and_first_bytes(void **state)
{
	struct bridge *g = *state;
	struct buf first;
	uint64_t start_ns = loop_now(g->w.loop);

	buf_init(&first, g->w.pool);
	buf_append(&first, g->client.pattern, 10);
	g->relay = relay_start(g->a, g->b, g->w.pool, &g->cfg, &first, NULL, on_end, g);
	assert_int_equal(buf_len(&first), 0);
	g->client.sent = g->client.to_send = 10; /* the pattern goes on behind the first bytes */
	talk(&g->server);
	settle(g);
	assert_int_equal(g->server.received, 10);
	assert_int_equal(relay_facts(g->relay)->a_to_b, 10);
	assert_int_equal(relay_facts(g->relay)->first_byte_a_ns, start_ns);
	assert_int_equal(relay_facts(g->relay)->first_byte_b_ns, 0);
	loop_sim_advance(g->w.loop, 77);
	g->client.to_send += 5;
	g->server.to_send += 3;
	talk(&g->client);
	talk(&g->server);
	settle(g);
	assert_int_equal(g->server.received, 15);
	assert_int_equal(g->client.received, 3);
	assert_int_equal(relay_facts(g->relay)->b_to_a, 3);
	assert_int_equal(relay_facts(g->relay)->first_byte_b_ns, start_ns + 77);
	assert_int_equal(buf_pool_used(g->w.pool), 0);
}

/* One says everything and half-closes; the other answers a megabyte after that. */
static void half_close(struct bridge *g, struct talker *asks, struct talker *answers)
{
	asks->to_send = MIB;
	asks->shut_after = true;
	start(g);
	settle(g);
	assert_int_equal(answers->received, MIB);
	assert_true(answers->ended);
	assert_int_equal(answers->err, 0);
	assert_false(asks->ended);
	assert_int_equal(g->ends, 0);
	answers->to_send = MIB;
	answers->shut_after = true;
	talk(answers);
	settle(g);
	assert_int_equal(asks->received, MIB);
	assert_true(asks->ended);
	assert_int_equal(asks->err, 0);
	assert_int_equal(g->ends, 1);
	assert_int_equal(g->facts.err, 0);
}

static void test_half_close_from_a(void **state)
{
	struct bridge *g = *state;

	half_close(g, &g->client, &g->server);
}

static void test_half_close_from_b(void **state)
{
	struct bridge *g = *state;

	half_close(g, &g->server, &g->client);
}

/* What was said before the reset arrives, then the reset does. */
static void reset_by(struct bridge *g, struct talker *one, struct talker *other, bool from_b)
{
	one->to_send = 1000;
	start(g);
	io_close(&one->io, true);
	settle(g);
	assert_int_equal(g->ends, 1);
	assert_int_equal(g->facts.err, ERR_RESET);
	assert_int_equal(g->facts.err_from_b, from_b);
	assert_int_equal(other->received, 1000);
	assert_true(other->ended);
	assert_int_equal(other->err, ERR_RESET);
}

static void test_reset_from_a(void **state)
{
	struct bridge *g = *state;

	reset_by(g, &g->client, &g->server, false);
}

static void test_reset_from_b(void **state)
{
	struct bridge *g = *state;

	reset_by(g, &g->server, &g->client, true);
}

/* The server answers early and closes while the client still sends: the answer gets through. */
static void test_answer_before_a_reset(void **state)
{
	struct bridge *g = *state;

	g->client.to_send = 10 * MIB;
	g->server.deaf = true;
	start(g);
	settle(g);
	g->server.to_send = 5000;
	talk(&g->server);
	io_close(&g->server.io, false);
	settle(g);
	assert_int_equal(g->client.received, 5000);
	assert_int_equal(g->client.err, ERR_RESET);
	assert_int_equal(g->facts.err, ERR_RESET);
	assert_true(g->facts.err_from_b);
	assert_int_equal(g->facts.b_to_a, 5000);
}

static void test_break_of_our_own_end(void **state)
{
	struct bridge *g = *state;

	start(g);
	settle(g);
	io_mem_break(g->b, ERR_PROTOCOL);
	settle(g);
	assert_int_equal(g->ends, 1);
	assert_int_equal(g->facts.err, ERR_PROTOCOL);
	assert_true(g->facts.err_from_b);
	assert_int_equal(g->client.err, ERR_RESET);
	assert_int_equal(g->server.err, ERR_RESET);
}

static void test_idle_timeout(void **state)
{
	struct bridge *g = *state;

	g->cfg.idle_timeout_ns = 10 * NS_PER_S;
	start(g);
	for (int i = 0; i < 5; i++) {
		loop_sim_advance(g->w.loop, 9 * NS_PER_S);
		struct talker *t = i % 2 == 0 ? &g->client : &g->server;
		t->to_send++;
		talk(t);
		settle(g);
		assert_int_equal(g->ends, 0);
	}
	loop_sim_advance(g->w.loop, 10 * NS_PER_S - 1);
	assert_int_equal(g->ends, 0);
	loop_sim_advance(g->w.loop, 1);
	assert_int_equal(g->ends, 1);
	assert_int_equal(g->facts.err, ERR_TIMEOUT);
	assert_int_equal(g->facts.a_to_b, 3);
	assert_int_equal(g->facts.b_to_a, 2);
	assert_int_equal(g->client.err, ERR_RESET);
}

static void test_half_close_timeout(void **state)
{
	struct bridge *g = *state;

	g->cfg.idle_timeout_ns = 100 * NS_PER_S;
	g->cfg.half_close_ns = 5 * NS_PER_S;
	start(g);
	settle(g);
	loop_sim_advance(g->w.loop, 50 * NS_PER_S);
	assert_int_equal(g->ends, 0);
	g->client.shut_after = true;
	talk(&g->client);
	loop_sim_advance(g->w.loop, 4 * NS_PER_S);
	g->server.to_send++;
	talk(&g->server);
	loop_sim_advance(g->w.loop, 5 * NS_PER_S - 1);
	assert_int_equal(g->client.received, 1);
	assert_int_equal(g->ends, 0);
	loop_sim_advance(g->w.loop, 1);
	assert_int_equal(g->ends, 1);
	assert_int_equal(g->facts.err, ERR_TIMEOUT);
}

static void test_without_timeouts_it_waits(void **state)
{
	struct bridge *g = *state;

	start(g);
	loop_sim_advance(g->w.loop, 1000000 * NS_PER_S);
	assert_int_equal(g->ends, 0);
}

/* A side that does not read stops the other soon, and costs bounded memory and no turns. */
static void not_reading(struct bridge *g, struct talker *deaf, struct talker *loud)
{
	deaf->deaf = true;
	loud->to_send = 32 * MIB;
	start(g);
	settle(g);
	assert_true(loud->sent <= 2 * CAPACITY + 256 * 1024);
	assert_true(g->peak < MIB);
	deaf->to_send = 100000;
	talk(deaf);
	settle(g);
	assert_int_equal(loud->received, 100000);
	deaf->deaf = false;
	talk(deaf);
	settle(g);
	assert_int_equal(deaf->received, 32 * MIB);
	assert_int_equal(loud->sent, 32 * MIB);
	assert_true(g->peak < 2 * MIB);
	assert_int_equal(buf_pool_used(g->w.pool), 0);
}

static void test_b_does_not_read(void **state)
{
	struct bridge *g = *state;

	not_reading(g, &g->server, &g->client);
}

static void test_a_does_not_read(void **state)
{
	struct bridge *g = *state;

	not_reading(g, &g->client, &g->server);
}

static void test_high_water(void **state)
{
	struct bridge *g = *state;

	g->cfg.high_water = 8192;
	g->server.deaf = true;
	g->client.to_send = 8 * MIB;
	start(g);
	settle(g);
	assert_true(g->client.sent <= 2 * CAPACITY + 8192);
	g->server.deaf = false;
	talk(&g->server);
	settle(g);
	assert_int_equal(g->server.received, 8 * MIB);
}

/* A turn takes its share of one side and no more, so that others have theirs. */
static void test_share_of_a_turn(void **state)
{
	struct bridge *g = *state;
	uint64_t last = 0;
	int turns = 0;

	g->client.to_send = 4 * MIB;
	start(g);
	while (loop_sim_settle(g->w.loop, 1) > 0 && turns++ < 10000) {
		uint64_t now = relay_facts(g->relay)->a_to_b;
		assert_true(now - last <= IO_TURN_BYTES);
		last = now;
	}
	assert_int_equal(last, 4 * MIB);
}

static void test_abort(void **state)
{
	struct bridge *g = *state;

	g->client.to_send = MIB;
	start(g);
	loop_sim_settle(g->w.loop, 1);
	relay_abort(g->relay, ERR_DENIED);
	assert_int_equal(g->ends, 0);
	relay_abort(g->relay, ERR_TIMEOUT);
	settle(g);
	assert_int_equal(g->ends, 1);
	assert_int_equal(g->facts.err, ERR_DENIED);
	assert_int_equal(g->client.err, ERR_RESET);
	assert_int_equal(g->server.err, ERR_RESET);
}

static void test_abort_at_once(void **state)
{
	struct bridge *g = *state;

	start(g);
	relay_abort(g->relay, ERR_DENIED);
	settle(g);
	assert_int_equal(g->facts.err, ERR_DENIED);
	assert_int_equal(g->facts.a_to_b, 0);
}

#define BRIDGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BRIDGE(test_64_mib_both_ways),
		BRIDGE(test_small_messages_and_first_bytes),
		BRIDGE(test_half_close_from_a),
		BRIDGE(test_half_close_from_b),
		BRIDGE(test_reset_from_a),
		BRIDGE(test_reset_from_b),
		BRIDGE(test_answer_before_a_reset),
		BRIDGE(test_break_of_our_own_end),
		BRIDGE(test_idle_timeout),
		BRIDGE(test_half_close_timeout),
		BRIDGE(test_without_timeouts_it_waits),
		BRIDGE(test_b_does_not_read),
		BRIDGE(test_a_does_not_read),
		BRIDGE(test_high_water),
		BRIDGE(test_share_of_a_turn),
		BRIDGE(test_abort),
		BRIDGE(test_abort_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
