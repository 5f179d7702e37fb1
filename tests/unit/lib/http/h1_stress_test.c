/*
 * HTTP/1 client against HTTP/1 server, both ours: long bodies both ways in little memory, readers
 * that hold back, and faults at random moments, after which nothing may be held and every exchange
 * must have ended once.
 */
#include "tests/unit/lib/http/fixture.h"

#define LONG_BODY (64ull << 20)
/* Wire buffers, send queues, what is on its way, and half-filled chunks. */
#define FLAT (1024 * 1024)

/* Two users, face to face. */
struct pair {
	struct http_world w;
	struct http_user client, server;
	struct io *ends[2];
	size_t peak;
};

static void pair_begin(struct pair *p)
{
	*p = (struct pair){0};
	http_world_init(&p->w);
	http_user_init(&p->client, &p->w);
	http_user_init(&p->server, &p->w);
	p->client.arg = p->server.arg = p;
}

static void pair_connect(struct pair *p)
{
	http_world_pair(&p->w, p->ends);
	http_user_start(&p->client, p->ends[0], HTTP_CLIENT, HTTP_V1);
	http_user_start(&p->server, p->ends[1], HTTP_SERVER, HTTP_V1);
}

static void pair_finish(struct pair *p)
{
	http_user_fini(&p->client);
	http_user_fini(&p->server);
	http_world_fini(&p->w);
}

static void watch_memory(struct exchange *x)
{
	struct pair *p = x->user->arg;
	size_t used = buf_pool_used(p->w.bufs);

	if (used > p->peak)
		p->peak = used;
}

static void move_long_bodies(bool chunked)
{
	struct pair p;

	pair_begin(&p);
	p.client.on_body = p.server.on_body = watch_memory;
	p.server.reply = REPLY_AT_HEAD;
	p.server.reply_source = LONG_BODY;
	p.server.reply_chunked = chunked;
	pair_connect(&p);
	struct exchange *x = http_user_request(&p.client, "POST", "/", NULL,
		chunked ? HTTP_LENGTH_UNKNOWN : LONG_BODY, false);

	exchange_source(x, LONG_BODY);
	http_world_settle(&p.w);
	struct exchange *y = p.server.x[0];

	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(y->reason, REASON_OK);
	assert_true(x->ended && y->ended);
	assert_int_equal(x->body_bytes, LONG_BODY);
	assert_int_equal(y->body_bytes, LONG_BODY);
	assert_int_equal(x->body_sum, y->sent_sum);
	assert_int_equal(y->body_sum, x->sent_sum);
	assert_in_range(p.peak, 1, FLAT);
	assert_int_equal(buf_pool_used(p.w.bufs), 0);
	pair_finish(&p);
}

static void test_long_bodies(void **state)
{
	(void)state;
	move_long_bodies(false);
	move_long_bodies(true);
}

/* A reader that takes a little now and then: the sender waits, nothing piles up, all arrives. */
static void test_slow_reader(void **state)
{
	struct pair p;
	const uint64_t size = 8 << 20;

	(void)state;
	pair_begin(&p);
	p.server.reply = REPLY_AT_HEAD;
	p.server.reply_source = size;
	p.client.hold = true;
	p.client.on_body = watch_memory;
	pair_connect(&p);
	struct exchange *x = http_user_request(&p.client, "GET", "/", NULL, 0, true);

	http_world_settle(&p.w);
	while (!x->ended) {
		assert_in_range(x->held, 1, p.w.limits.stream_window);
		exchange_consume(x);
		http_world_settle(&p.w);
	}
	assert_int_equal(x->body_bytes, size);
	assert_int_equal(x->body_sum, p.server.x[0]->sent_sum);
	assert_in_range(p.peak, 1, FLAT);
	pair_finish(&p);
}

static void test_many_exchanges(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p);
	p.server.reply = REPLY_AT_END;
	p.server.reply_body = "answer";
	pair_connect(&p);
	for (unsigned i = 0; i < 20000; i++) {
		struct exchange *x =
			http_user_request(&p.client, "GET", "/", "x-one: 1\nx-two: 2", 0, true);

		assert_non_null(x);
		http_world_settle(&p.w);
		assert_true(x->ended);
		assert_int_equal(x->reason, REASON_OK);
		http_user_log(&p.client);
		http_user_log(&p.server);
	}
	/* An idle connection holds no buffers. */
	assert_int_equal(buf_pool_used(p.w.bufs), 0);
	pair_finish(&p);
}

/* --- faults --- */

static struct exchange *newest(struct http_user *u)
{
	return u->n > 0 ? u->x[(u->n - 1) % (sizeof(u->x) / sizeof(u->x[0]))] : NULL;
}

static void reset_newest(struct http_user *u, enum reason reason)
{
	struct exchange *x = newest(u);

	if (x != NULL && x->stream != NULL)
		stream_reset(x->stream, reason);
}

static void stop_newest(struct http_user *u)
{
	struct exchange *x = newest(u);

	if (x != NULL && x->stream != NULL)
		stream_stop(x->stream);
}

static void strike(struct pair *p, struct rng *rng)
{
	struct http_user *u = rng_below(rng, 2) ? &p->client : &p->server;

	switch (rng_below(rng, 8)) {
	case 0:
		reset_newest(u, REASON_TIMEOUT);
		break;
	case 1:
		reset_newest(u, REASON_CANCELLED);
		break;
	case 2:
		stop_newest(u);
		break;
	case 3:
		if (u->conn != NULL)
			http_conn_end(u->conn, REASON_DRAINING);
		break;
	case 4:
		if (u->conn != NULL)
			http_conn_drain(u->conn);
		break;
	case 5:
		if (!p->client.ended && !p->server.ended)
			io_mem_break(p->ends[rng_below(rng, 2)], ERR_RESET);
		break;
	case 6:
		loop_sim_advance(p->w.loop, rng_below(rng, 400) * NS_PER_S);
		break;
	default:
		if (newest(u) != NULL)
			exchange_consume(newest(u));
		break;
	}
}

static struct exchange *random_request(struct pair *p, struct rng *rng)
{
	uint64_t size = rng_below(rng, 300000);

	if (rng_below(rng, 3) == 0)
		return http_user_request(&p->client, "GET", "/", NULL, 0, true);
	struct exchange *x = http_user_request(&p->client, "POST", "/", NULL,
		rng_below(rng, 2) ? HTTP_LENGTH_UNKNOWN : size, false);

	if (x != NULL)
		exchange_source(x, size);
	return x;
}

static void random_life(uint64_t seed)
{
	struct pair p;
	struct rng rng;

	rng_seed(&rng, seed);
	pair_begin(&p);
	p.w.capacity = 1 + rng_below(&rng, 40000);
	p.w.limits.stream_window = 1000 + rng_below(&rng, 50000);
	p.server.reply = rng_below(&rng, 2) ? REPLY_AT_HEAD : REPLY_AT_END;
	p.server.reply_chunked = rng_below(&rng, 2);
	p.server.reply_source = 1 + rng_below(&rng, 300000);
	p.server.hold = rng_below(&rng, 4) == 0;
	p.client.hold = rng_below(&rng, 4) == 0;
	p.server.stop = rng_below(&rng, 6) == 0;
	p.client.stop = rng_below(&rng, 6) == 0;
	pair_connect(&p);
	for (unsigned i = 0; i < 6 && !p.client.ended; i++) {
		random_request(&p, &rng);
		loop_sim_settle(p.w.loop, rng_below(&rng, 30));
		strike(&p, &rng);
		loop_sim_settle(p.w.loop, rng_below(&rng, 30));
	}
	/* Whatever was left hanging is ended by a timer. */
	loop_sim_advance(p.w.loop, 2 * p.w.limits.idle_timeout);
	pair_finish(&p);
}

static void test_random_faults(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 1500; seed++)
		random_life(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_bodies),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_many_exchanges),
		cmocka_unit_test(test_random_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
