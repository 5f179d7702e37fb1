/*
 * What becomes of bytes that an io took when its user closes it: sent in the background to a slow
 * reader, for a bounded time.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/tls/io_tls.h"
#include "tests/support/tls_world.h"

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

/* Writes until the io takes no more; returns how much it took. */
static size_t fill(struct tls_world *w, struct io *io)
{
	uint8_t *big = mem_alloc(1 << 20);
	struct buf out;

	memset(big, 'x', 1 << 20);
	buf_init(&out, w->bufs);
	buf_append(&out, big, 1 << 20);
	ssize_t n = io_write(io, &out);
	assert_true(n > 0);
	buf_clear(&out);
	mem_free(big);
	return (size_t)n;
}

static void what_was_taken_is_sent_after_the_close(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct buf in;

	(void)state;
	tls_world_open(&w);
	buf_init(&in, w.bufs);
	for (int shut_first = 0; shut_first < 2; shut_first++) {
		size_t got = 0;
		make_pair(&w, &p, 4096);
		size_t taken = fill(&w, p.client.io);
		if (shut_first)
			assert_int_equal(io_shutdown(p.client.io), 0);
		io_close(&p.client.io, false);
		assert_null(p.client.io);
		tls_world_settle(&w);
		/* A reader that takes its time, but less than the io waits. */
		for (ssize_t n = 1; n != 0;) {
			n = io_read(p.server.io, &in, 5000);
			assert_true(n >= 0 || n == ERR_AGAIN);
			got += buf_len(&in);
			buf_clear(&in);
			loop_sim_advance(w.loop, NS_PER_MS);
		}
		assert_int_equal(got, taken);
		tls_pair_close(&w, &p);
	}
	tls_world_close(&w);
}

static void a_reader_that_takes_nothing_is_given_up(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct buf in;
	ssize_t n = 1;

	(void)state;
	tls_world_open(&w);
	buf_init(&in, w.bufs);
	make_pair(&w, &p, 4096);
	fill(&w, p.client.io);
	io_close(&p.client.io, false);
	loop_sim_advance(w.loop, TLS_LINGER_NS - NS_PER_S);
	assert_true(buf_pool_used(w.bufs) > 65536);
	loop_sim_advance(w.loop, 2 * NS_PER_S);
	/* What lies in the pipe is all that is left. */
	assert_true(buf_pool_used(w.bufs) <= 2 * 16384);
	while (n > 0 || n == ERR_AGAIN) {
		n = io_read(p.server.io, &in, 5000);
		buf_clear(&in);
	}
	assert_int_equal(n, ERR_RESET);
	tls_pair_close(&w, &p);

	/* So is one that goes away. */
	make_pair(&w, &p, 4096);
	fill(&w, p.client.io);
	io_close(&p.client.io, false);
	tls_world_settle(&w);
	io_close(&p.server.io, true);
	tls_world_settle(&w);
	assert_int_equal(buf_pool_used(w.bufs), 0);

	/* A reset sends nothing more. */
	make_pair(&w, &p, 4096);
	fill(&w, p.client.io);
	io_close(&p.client.io, true);
	tls_world_settle(&w);
	assert_true(buf_pool_used(w.bufs) <= 2 * 16384);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

/* The program ends first: what was on its way is dropped, and nothing is left behind. */
static void a_loop_that_goes_releases_what_lingers(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	tls_world_open(&w);
	make_pair(&w, &p, 4096);
	assert_false(loop_has_orphans(w.loop));
	fill(&w, p.client.io);
	io_close(&p.client.io, false);
	assert_true(loop_has_orphans(w.loop));
	io_close(&p.server.io, true);
	loop_free(&w.loop);
	assert_int_equal(buf_pool_used(w.bufs), 0);
	buf_pool_free(&w.bufs);
	cert_bundle_unref(&w.bundle);
	cert_ca_free(&w.ca);
}

/* A write that fails tells of the peer's end, but takes nothing from what it sent before: a server
 * may answer and close while the client still sends. */
static void what_came_before_a_failed_write_is_still_read(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct buf in, out;
	char bytes[1000];
	size_t n;

	(void)state;
	tls_world_open(&w);
	buf_init(&in, w.bufs);
	buf_init(&out, w.bufs);
	for (int shut = 0; shut < 2; shut++) {
		make_pair(&w, &p, 65536);
		for (int i = 0; i < 5; i++)
			tls_world_send(&w, p.server.io, "0123456789", 10);
		/* One record is taken, the others wait in memory. */
		assert_int_equal(io_read(p.client.io, &in, 10), 10);
		buf_clear(&in);
		io_close(&p.server.io, shut == 0);
		tls_world_settle(&w);
		buf_append(&out, "more", 4);
		assert_int_equal(io_write(p.client.io, &out), ERR_RESET);
		buf_clear(&out);
		int ret = tls_world_receive(&w, p.client.io, bytes, sizeof(bytes), &n);
		assert_int_equal(n, 40);
		assert_int_equal(ret, shut == 0 ? ERR_RESET : 0);
		tls_pair_close(&w, &p);
	}
	tls_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_taken_is_sent_after_the_close),
		cmocka_unit_test(a_reader_that_takes_nothing_is_given_up),
		cmocka_unit_test(what_came_before_a_failed_write_is_still_read),
		cmocka_unit_test(a_loop_that_goes_releases_what_lingers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
