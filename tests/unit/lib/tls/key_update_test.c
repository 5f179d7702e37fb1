/*
 * Keys wear out with the records under them and are renewed in time, whichever side thinks of it.
 * Bounds are lowered so that it happens within a test.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/tls/io_tls.h"
#include "tests/support/tls_world.h"

static struct tls_io *inside(struct io *io)
{
	return OBJ_CAST(struct tls_io, IO_MAGIC, io);
}

static void keys_are_renewed_before_they_wear_out(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	char bytes[64];
	size_t n;

	(void)state;
	tls_world_open(&w);
	tls_pair_good(&w, &p);
	/* The server renews on its own; the client asks as the receiver, also for a peer that would
	 * not think of it. */
	tls_io_limit(p.server.io, 5, 12);
	tls_io_limit(p.client.io, 1000, 12);
	for (int i = 0; i < 200; i++) {
		tls_world_send(&w, p.server.io, "tick", 4);
		assert_int_equal(tls_world_receive(&w, p.client.io, bytes, sizeof(bytes), &n),
			ERR_AGAIN);
		assert_int_equal(n, 4);
		assert_true(inside(p.server.io)->out.seq <= 6);
		tls_world_send(&w, p.client.io, "tock", 4);
		assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n),
			ERR_AGAIN);
		assert_int_equal(n, 4);
		assert_true(inside(p.client.io)->out.seq <= 12);
	}
	assert_true(tls_io_records(p.server.io) > 400);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void a_one_way_stream_gets_new_keys_too(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	char bytes[64];
	size_t n;

	(void)state;
	tls_world_open(&w);
	tls_pair_good(&w, &p);
	/* The writer never reads on its own account: it acts on the request when it looks. */
	tls_io_limit(p.server.io, 8, 40);
	for (int i = 0; i < 300; i++) {
		tls_world_send(&w, p.client.io, "data", 4);
		assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n),
			ERR_AGAIN);
		assert_int_equal(n, 4);
		assert_int_equal(tls_world_receive(&w, p.client.io, bytes, sizeof(bytes), &n),
			ERR_AGAIN);
	}
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void a_peer_that_keeps_its_key_is_cut_off(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	char bytes[64];
	size_t n;
	int ret = ERR_AGAIN;

	(void)state;
	tls_world_open(&w);
	tls_pair_good(&w, &p);
	tls_io_limit(p.server.io, 1000, 20);
	for (int i = 0; i < 30 && ret == ERR_AGAIN; i++) {
		tls_world_send(&w, p.client.io, "data", 4);
		ret = tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n);
	}
	assert_int_equal(ret, ERR_LIMIT);
	assert_int_equal(inside(p.server.io)->in.seq, 20);
	tls_assert_refused(&w, p.client.io, ERR_PROTOCOL, "unexpected_message");
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

/* The request for new keys may be what finds the connection broken: the writer hears of it, and is
 * not told for ever that there is no room. */
static void a_break_found_by_a_request_reaches_the_writer(void **state)
{
	static uint8_t big[300000];
	struct tls_world w;
	struct tls_pair p;
	struct buf in, out;

	(void)state;
	tls_world_open(&w);
	tls_pair_good(&w, &p);
	buf_init(&in, w.bufs);
	buf_init(&out, w.bufs);
	for (int i = 0; i < 3; i++)
		tls_world_send(&w, p.server.io, "data", 4);
	tls_io_limit(p.client.io, 1, 1000);
	assert_int_equal(io_read(p.client.io, &in, 4), 4);
	buf_append(&out, big, sizeof(big));
	while (io_write(p.client.io, &out) > 0)
		;
	assert_true(inside(p.client.io)->blocked);
	io_mem_break(p.mem[1], ERR_RESET);
	assert_int_equal(io_read(p.client.io, &in, 4), 4);
	assert_int_equal(io_write(p.client.io, &out), ERR_RESET);
	buf_clear(&in);
	buf_clear(&out);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_renewed_before_they_wear_out),
		cmocka_unit_test(a_one_way_stream_gets_new_keys_too),
		cmocka_unit_test(a_break_found_by_a_request_reaches_the_writer),
		cmocka_unit_test(a_peer_that_keeps_its_key_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
