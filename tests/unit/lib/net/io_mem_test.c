/*
 * The connection in memory: capacity, half-close, close and break, and that its readiness is the
 * level-triggered one of a socket.
 */
#include "tests/unit/lib/net/support.h"

#define CAPACITY 100

/* A pair of ends with a recorder on each. */
struct pair {
	struct world w;
	struct io *a, *b;
	struct recorder on_a, on_b;
};

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct addr a = addr_of("10.0.0.1:1111"), b = addr_of("10.0.0.2:80");
	struct io *ends[2];

	p->w = world_new(loop_new_sim(0));
	io_mem_pair(p->w.loop, p->w.pool, CAPACITY, &a, &b, ends);
	p->a = ends[0];
	p->b = ends[1];
	io_set_user(p->a, record_event, &p->on_a);
	io_set_user(p->b, record_event, &p->on_b);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	io_close(&p->a, false);
	io_close(&p->b, false);
	world_free(&p->w);
	free(p);
	return 0;
}

static void test_bytes_both_ways_and_facts(void **state)
{
	struct pair *p = *state;
	struct io_info info;
	char text[ADDR_TEXT];

	write_text(p->a, p->w.pool, "hello");
	write_text(p->b, p->w.pool, "world");
	read_text(p->b, p->w.pool, "hello");
	read_text(p->a, p->w.pool, "world");
	assert_int_equal(read_nothing(p->a, p->w.pool), ERR_AGAIN);
	io_info(p->a, &info);
	assert_string_equal(addr_format(&info.local, text), "10.0.0.1:1111");
	assert_string_equal(addr_format(&info.peer, text), "10.0.0.2:80");
	assert_false(info.tls);
	io_info(p->b, &info);
	assert_string_equal(addr_format(&info.local, text), "10.0.0.2:80");
	assert_string_equal(addr_format(&info.peer, text), "10.0.0.1:1111");
	assert_int_equal(io_fd(p->a), -1);
}

static void test_capacity(void **state)
{
	struct pair *p = *state;
	char bytes[CAPACITY + 50];
	struct buf out, in;

	memset(bytes, 'x', sizeof(bytes));
	buf_init(&out, p->w.pool);
	buf_init(&in, p->w.pool);
	buf_append(&out, bytes, sizeof(bytes));
	assert_int_equal(io_write(p->a, &out), CAPACITY);
	assert_int_equal(buf_len(&out), 50);
	assert_int_equal(io_write(p->a, &out), ERR_AGAIN);
	io_want(p->a, IO_WRITE);
	loop_sim_settle(p->w.loop, 100);
	assert_int_equal(p->on_a.calls, 0);
	p->on_a.quiet = p->a;
	assert_int_equal(io_read(p->b, &in, 30), 30);
	loop_sim_settle(p->w.loop, 100);
	assert_int_equal(p->on_a.calls, 1);
	assert_int_equal(p->on_a.last, IO_WRITE);
	assert_int_equal(io_write(p->a, &out), 30);
	assert_int_equal(io_read(p->b, &in, 1000), CAPACITY);
	assert_int_equal(io_write(p->a, &out), 20);
	assert_int_equal(io_write(p->a, &out), 0);
	buf_clear(&in);
}

static void test_readiness_is_level_triggered_by_turns(void **state)
{
	struct pair *p = *state;

	io_want(p->b, IO_READ);
	loop_sim_settle(p->w.loop, 100);
	assert_int_equal(p->on_b.calls, 0);
	write_text(p->a, p->w.pool, "x");
	assert_int_equal(p->on_b.calls, 0);
	assert_int_equal(loop_sim_settle(p->w.loop, 1), 1);
	assert_int_equal(p->on_b.calls, 1);
	loop_sim_settle(p->w.loop, 3);
	assert_int_equal(p->on_b.calls, 4);
	read_text(p->b, p->w.pool, "x");
	loop_sim_settle(p->w.loop, 100);
	assert_int_equal(p->on_b.calls, 4);
}

static void test_both_events_at_once(void **state)
{
	struct pair *p = *state;

	write_text(p->a, p->w.pool, "x");
	p->on_b.quiet = p->b;
	io_want(p->b, IO_READ | IO_WRITE);
	loop_sim_settle(p->w.loop, 100);
	assert_int_equal(p->on_b.calls, 1);
	assert_int_equal(p->on_b.last, IO_READ | IO_WRITE);
}

static void test_half_close(void **state)
{
	struct pair *p = *state;

	write_text(p->a, p->w.pool, "last");
	assert_int_equal(io_shutdown(p->a), 0);
	assert_int_equal(io_shutdown(p->a), 0);
	assert_int_equal(write_byte(p->a, p->w.pool), ERR_RESET);
	p->on_b.quiet = p->b;
	io_want(p->b, IO_READ);
	loop_sim_settle(p->w.loop, 100);
	assert_int_equal(p->on_b.seen, IO_READ);
	read_text(p->b, p->w.pool, "last");
	assert_int_equal(read_nothing(p->b, p->w.pool), 0);
	assert_int_equal(read_nothing(p->b, p->w.pool), 0);
	write_text(p->b, p->w.pool, "answer");
	read_text(p->a, p->w.pool, "answer");
	assert_int_equal(read_nothing(p->a, p->w.pool), ERR_AGAIN);
}

static void test_close_lets_the_peer_read_the_rest(void **state)
{
	struct pair *p = *state;

	write_text(p->a, p->w.pool, "rest");
	io_want(p->b, IO_READ);
	io_close(&p->a, false);
	assert_null(p->a);
	loop_sim_settle(p->w.loop, 1);
	assert_int_equal(p->on_b.seen, IO_READ);
	read_text(p->b, p->w.pool, "rest");
	assert_int_equal(read_nothing(p->b, p->w.pool), 0);
	assert_int_equal(write_byte(p->b, p->w.pool), ERR_RESET);
}

static void test_reset(void **state)
{
	struct pair *p = *state;

	write_text(p->a, p->w.pool, "rest");
	io_close(&p->a, true);
	read_text(p->b, p->w.pool, "rest");
	assert_int_equal(read_nothing(p->b, p->w.pool), ERR_RESET);
	assert_int_equal(write_byte(p->b, p->w.pool), ERR_RESET);
}

static void test_close_with_unread_bytes_resets(void **state)
{
	struct pair *p = *state;

	write_text(p->b, p->w.pool, "nobody reads this");
	io_close(&p->a, false);
	assert_int_equal(read_nothing(p->b, p->w.pool), ERR_RESET);
}

static void test_reset_after_half_close(void **state)
{
	struct pair *p = *state;

	io_shutdown(p->a);
	io_close(&p->a, true);
	assert_int_equal(read_nothing(p->b, p->w.pool), ERR_RESET);
}

static void test_break_fails_this_end_at_once(void **state)
{
	struct pair *p = *state;

	write_text(p->a, p->w.pool, "lost");
	io_want(p->b, IO_READ);
	p->on_b.quiet = p->b;
	io_mem_break(p->b, ERR_TIMEOUT);
	loop_sim_settle(p->w.loop, 100);
	assert_int_equal(p->on_b.calls, 1);
	assert_int_equal(read_nothing(p->b, p->w.pool), ERR_TIMEOUT);
	assert_int_equal(write_byte(p->b, p->w.pool), ERR_TIMEOUT);
	assert_int_equal(io_shutdown(p->b), ERR_TIMEOUT);
	assert_int_equal(read_nothing(p->a, p->w.pool), ERR_AGAIN);
	io_close(&p->b, false);
	assert_int_equal(read_nothing(p->a, p->w.pool), ERR_RESET);
}

static void close_other(void *arg, unsigned events)
{
	struct pair *p = arg;

	(void)events;
	io_close(&p->a, false);
	io_close(&p->b, false);
}

static void test_closed_in_a_callback(void **state)
{
	struct pair *p = *state;

	write_text(p->a, p->w.pool, "x");
	io_set_user(p->b, close_other, p);
	io_want(p->b, IO_READ);
	io_want(p->a, IO_WRITE);
	loop_sim_settle(p->w.loop, 100);
	assert_null(p->a);
	assert_null(p->b);
	assert_true(p->on_a.calls <= 1);
}

static void test_ends_on_different_pools(void **state)
{
	struct pair *p = *state;
	struct buf_pool *other = buf_pool_new(POOL_IDLE);

	write_text(p->a, other, "from another worker");
	read_text(p->b, other, "from another worker");
	assert_int_equal(buf_pool_used(other), 0);
	buf_pool_free(&other);
}

#define PAIRED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIRED(test_bytes_both_ways_and_facts),
		PAIRED(test_capacity),
		PAIRED(test_readiness_is_level_triggered_by_turns),
		PAIRED(test_both_events_at_once),
		PAIRED(test_half_close),
		PAIRED(test_close_lets_the_peer_read_the_rest),
		PAIRED(test_reset),
		PAIRED(test_close_with_unread_bytes_resets),
		PAIRED(test_reset_after_half_close),
		PAIRED(test_break_fails_this_end_at_once),
		PAIRED(test_closed_in_a_callback),
		PAIRED(test_ends_on_different_pools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
