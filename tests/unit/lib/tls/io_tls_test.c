/*
 * The record layer as an io: data both ways, ends, backpressure, events and keys. Two ends of ours
 * over pipes in memory.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/rand.h"
#include "lib/tls/io_tls.h"
#include "tests/support/tls_world.h"

/* One user of an io: sends a pattern, checks the other one's, ends when it has sent all. */
struct flow {
	struct io *io;
	struct rng rng;
	struct buf out;
	uint64_t to_send, sent, received;
	uint64_t out_state, in_state;
	size_t read_max; /* 0: random */
	int end;         /* 1: running, else how reading ended */
	unsigned reads;
};

static uint8_t pattern(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint8_t)(*state >> 56);
}

static void flow_fill(struct flow *f)
{
	uint8_t bytes[4096];

	while (buf_len(&f->out) < 65536 && f->sent < f->to_send) {
		size_t n = (size_t)rng_between(&f->rng, 1, sizeof(bytes));
		if (n > f->to_send - f->sent)
			n = (size_t)(f->to_send - f->sent);
		for (size_t i = 0; i < n; i++)
			bytes[i] = pattern(&f->out_state);
		buf_append(&f->out, bytes, n);
		f->sent += n;
	}
}

static void flow_write(struct flow *f)
{
	flow_fill(f);
	while (buf_len(&f->out) > 0) {
		size_t before = buf_len(&f->out);
		ssize_t n = io_write(f->io, &f->out);
		if (n == ERR_AGAIN)
			return;
		assert_true(n > 0 && (size_t)n == before - buf_len(&f->out));
		flow_fill(f);
	}
	assert_int_equal(io_shutdown(f->io), 0);
	assert_int_equal(io_shutdown(f->io), 0);
}

static void flow_read(struct flow *f)
{
	struct buf in;
	size_t max = f->read_max != 0 ? f->read_max : (size_t)rng_between(&f->rng, 1, 100000);

	buf_init(&in, f->out.pool);
	ssize_t n = io_read(f->io, &in, max);
	f->reads++;
	assert_true(n <= (ssize_t)max && (n <= 0 || (size_t)n == buf_len(&in)));
	if (n != ERR_AGAIN && n <= 0)
		f->end = (int)n;
	f->received += buf_len(&in);
	while (buf_len(&in) > 0) {
		struct str piece = buf_peek(&in);
		for (size_t i = 0; i < piece.n; i++)
			if ((uint8_t)piece.p[i] != pattern(&f->in_state))
				fail_msg("wrong byte");
		buf_consume(&in, piece.n);
	}
}

static void on_flow(void *arg, unsigned events)
{
	struct flow *f = arg;
	bool writing = buf_len(&f->out) > 0 || f->sent < f->to_send;

	if ((events & IO_READ) != 0)
		flow_read(f);
	if ((events & IO_WRITE) != 0 && writing)
		flow_write(f);
	writing = buf_len(&f->out) > 0 || f->sent < f->to_send;
	io_want(f->io, (f->end == 1 ? IO_READ : 0u) | (writing ? IO_WRITE : 0u));
}

static void flow_start(struct tls_world *w, struct flow *f, struct io *io, uint64_t to_send,
	uint64_t seed, uint64_t peer)
{
	*f = (struct flow){
		.io = io, .to_send = to_send, .out_state = seed, .in_state = peer, .end = 1};
	rng_seed(&f->rng, seed);
	buf_init(&f->out, w->bufs);
	io_set_user(io, on_flow, f);
	io_want(io, IO_READ | IO_WRITE);
}

static void make_pair(struct tls_world *w, struct tls_pair *p, size_t capacity)
{
	struct tls_ctx *s = tls_world_ctx(w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);

	tls_pair_start(w, p, s, c, capacity, NULL, NULL);
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_settle(w);
	assert_non_null(p->server.io);
	assert_non_null(p->client.io);
}

static void settle_long(struct tls_world *w)
{
	while (loop_sim_settle(w->loop, 100000) == 100000)
		;
}

static void data_arrives_whole_through_small_pipes(void **state)
{
	static const struct {
		size_t capacity;
		uint64_t bytes;
	} rows[] = {{4096, 32ull << 20}, {65536, 8ull << 20}, {1, 2000}, {37, 100000},
		{1 << 20, 8ull << 20}};
	struct tls_world w;
	struct tls_pair p;
	struct flow s, c;

	(void)state;
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make_pair(&w, &p, rows[i].capacity);
		flow_start(&w, &s, p.server.io, rows[i].bytes, 1, 2);
		flow_start(&w, &c, p.client.io, rows[i].bytes, 2, 1);
		settle_long(&w);
		assert_int_equal(s.end, 0);
		assert_int_equal(c.end, 0);
		assert_int_equal(s.received, rows[i].bytes);
		assert_int_equal(c.received, rows[i].bytes);
		assert_int_equal(buf_pool_used(w.bufs), 0);
		tls_pair_close(&w, &p);
	}
	tls_world_close(&w);
}

/* --- ends --- */

static void either_side_may_end_first(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	char bytes[64];
	size_t n;

	(void)state;
	tls_world_open(&w);
	for (int first = 0; first < 2; first++) {
		make_pair(&w, &p, 65536);
		struct io *a = first == 0 ? p.client.io : p.server.io,
			  *b = first == 0 ? p.server.io : p.client.io;
		struct buf out;
		buf_init(&out, w.bufs);
		tls_world_send(&w, a, "last words", 10);
		assert_int_equal(io_shutdown(a), 0);
		tls_world_settle(&w);
		assert_int_equal(tls_world_receive(&w, b, bytes, sizeof(bytes), &n), 0);
		assert_int_equal(n, 10);
		assert_int_equal(tls_world_receive(&w, b, bytes, sizeof(bytes), &n), 0);
		assert_int_equal(n, 0);
		/* The one that ended writes no more, but still reads. */
		buf_append(&out, "x", 1);
		assert_int_equal(io_write(a, &out), ERR_CLOSED);
		buf_clear(&out);
		for (int i = 0; i < 3; i++) {
			tls_world_send(&w, b, "and another thing", 17);
			assert_int_equal(tls_world_receive(&w, a, bytes, sizeof(bytes), &n),
				ERR_AGAIN);
			assert_int_equal(n, 17);
		}
		assert_int_equal(io_shutdown(b), 0);
		tls_world_settle(&w);
		assert_int_equal(tls_world_receive(&w, a, bytes, sizeof(bytes), &n), 0);
		assert_int_equal(tls_io_failure(a).n, 0);
		assert_int_equal(tls_io_failure(b).n, 0);
		tls_pair_close(&w, &p);
	}
	tls_world_close(&w);
}

static void an_end_without_close_notify_is_a_reset(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	char bytes[64];
	size_t n;

	(void)state;
	tls_world_open(&w);
	make_pair(&w, &p, 65536);
	tls_world_send(&w, p.client.io, "half a mess", 11);
	assert_int_equal(io_shutdown(p.mem[1]), 0);
	tls_world_settle(&w);
	assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n), ERR_RESET);
	assert_int_equal(n, 11);
	assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n), ERR_RESET);
	assert_true(str_eq(tls_io_failure(p.server.io),
		STR("the connection ended without close_notify")));
	tls_pair_close(&w, &p);

	/* In the middle of a record. */
	make_pair(&w, &p, 65536);
	struct buf raw;
	buf_init(&raw, w.bufs);
	buf_append(&raw, "\x17\x03\x03\x00\x40 not all of it", 19);
	assert_true(io_write(p.mem[1], &raw) > 0);
	assert_int_equal(io_shutdown(p.mem[1]), 0);
	tls_world_settle(&w);
	assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n), ERR_RESET);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void closing_is_orderly_unless_it_resets(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	char bytes[64];
	size_t n;

	(void)state;
	tls_world_open(&w);
	make_pair(&w, &p, 65536);
	io_close(&p.client.io, false);
	tls_world_settle(&w);
	assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n), 0);
	tls_pair_close(&w, &p);
	make_pair(&w, &p, 65536);
	io_close(&p.client.io, true);
	tls_world_settle(&w);
	assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n), ERR_RESET);
	tls_pair_close(&w, &p);
	/* The layer below breaks: what came before is still read. */
	make_pair(&w, &p, 65536);
	tls_world_send(&w, p.client.io, "before", 6);
	io_mem_break(p.mem[1], ERR_RESET);
	tls_world_settle(&w);
	assert_int_equal(tls_world_receive(&w, p.client.io, bytes, sizeof(bytes), &n), ERR_RESET);
	struct buf out;
	buf_init(&out, w.bufs);
	buf_append(&out, "x", 1);
	assert_int_equal(io_write(p.client.io, &out), ERR_RESET);
	assert_int_equal(io_shutdown(p.client.io), ERR_RESET);
	buf_clear(&out);
	io_close(&p.client.io, true);
	assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n), ERR_RESET);
	assert_int_equal(n, 6);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void a_write_after_a_refusal_tells_the_reason(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct buf out;

	(void)state;
	tls_world_open(&w);
	tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE),
		tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_EXPIRED));
	assert_non_null(p.client.io);
	buf_init(&out, w.bufs);
	buf_append(&out, "GET", 3);
	assert_int_equal(io_write(p.client.io, &out), ERR_VERIFY);
	tls_assert_refused(&w, p.client.io, ERR_VERIFY, "certificate_expired");
	buf_clear(&out);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

/* --- events and pressure --- */

static void readers_may_take_as_little_as_they_like(void **state)
{
	static const size_t sizes[] = {1, 7, 1000, 16384, 16385, 100000};
	struct tls_world w;
	struct tls_pair p;
	struct flow s, c;

	(void)state;
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t bytes = sizes[i] < 100 ? 5000 : 200000;
		make_pair(&w, &p, 1 << 20);
		flow_start(&w, &c, p.client.io, bytes, 3, 4);
		flow_start(&w, &s, p.server.io, 1, 4, 3);
		s.read_max = sizes[i];
		settle_long(&w);
		/* One read per event: everything still comes, each event being repeated while there
		 * is more. */
		assert_int_equal(s.received, bytes);
		assert_int_equal(s.end, 0);
		assert_true(s.reads >= bytes / sizes[i]);
		assert_int_equal(c.end, 0);
		tls_pair_close(&w, &p);
	}
	tls_world_close(&w);
}

static void count_events(void *arg, unsigned events)
{
	unsigned *seen = arg;

	*seen |= events;
}

static void a_slow_peer_bounds_what_is_kept(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct buf out, in;
	unsigned seen = 0;

	(void)state;
	tls_world_open(&w);
	make_pair(&w, &p, 10000);
	buf_init(&out, w.bufs);
	buf_init(&in, w.bufs);
	uint8_t *big = mem_alloc(1 << 20);
	buf_append(&out, big, 1 << 20);
	size_t held = buf_pool_used(w.bufs);
	ssize_t n = io_write(p.client.io, &out);
	assert_true(n > 0 && n <= 160 * 1024);
	for (int i = 0; i < 10; i++)
		assert_int_equal(io_write(p.client.io, &out), ERR_AGAIN);
	assert_true(buf_pool_used(w.bufs) < held + 200 * 1024);
	io_set_user(p.client.io, count_events, &seen);
	io_want(p.client.io, IO_WRITE);
	tls_world_settle(&w);
	assert_int_equal(seen, 0);
	/* The reader takes all that was sealed; the writer hears of it. */
	size_t got = 0;
	while (got < (size_t)n) {
		ssize_t r = io_read(p.server.io, &in, 100000);
		if (r > 0)
			got += (size_t)r;
		else
			assert_int_equal(r, ERR_AGAIN);
		loop_sim_settle(w.loop, 5);
	}
	assert_int_equal(got, n);
	assert_int_equal(seen, IO_WRITE);
	assert_true(io_write(p.client.io, &out) > 0);
	io_want(p.client.io, 0);
	buf_clear(&out);
	buf_clear(&in);
	mem_free(big);
	io_close(&p.client.io, true);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void a_user_who_stops_wanting_hears_nothing(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct buf in;
	unsigned seen = 0;

	(void)state;
	tls_world_open(&w);
	make_pair(&w, &p, 65536);
	io_set_user(p.server.io, count_events, &seen);
	tls_world_send(&w, p.client.io, "four records", 12);
	assert_int_equal(seen, 0);
	io_want(p.server.io, IO_READ);
	loop_sim_settle(w.loop, 4);
	assert_int_equal(seen, IO_READ);
	/* Part of the record has been read: the rest is inside, and reported only as long as it is
	 * wanted. */
	buf_init(&in, w.bufs);
	assert_int_equal(io_read(p.server.io, &in, 4), 4);
	seen = 0;
	loop_sim_settle(w.loop, 4);
	assert_int_equal(seen, IO_READ);
	io_want(p.server.io, 0);
	seen = 0;
	tls_world_settle(&w);
	assert_int_equal(seen, 0);
	io_want(p.server.io, IO_READ);
	loop_sim_settle(w.loop, 4);
	assert_int_equal(seen, IO_READ);
	assert_int_equal(io_read(p.server.io, &in, 100), 8);
	seen = 0;
	tls_world_settle(&w);
	assert_int_equal(seen, 0);
	buf_clear(&in);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_arrives_whole_through_small_pipes),
		cmocka_unit_test(either_side_may_end_first),
		cmocka_unit_test(an_end_without_close_notify_is_a_reset),
		cmocka_unit_test(closing_is_orderly_unless_it_resets),
		cmocka_unit_test(a_write_after_a_refusal_tells_the_reason),
		cmocka_unit_test(readers_may_take_as_little_as_they_like),
		cmocka_unit_test(a_slow_peer_bounds_what_is_kept),
		cmocka_unit_test(a_user_who_stops_wanting_hears_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
