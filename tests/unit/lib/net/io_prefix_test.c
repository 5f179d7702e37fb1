/*
 * The layer that replays sniffed bytes: they come first, in pieces too, and readiness tells of them
 * without a byte from below.
 */
#include "tests/unit/lib/net/support.h"

/* The top of a stack over one end of a pair; the other end is the peer. */
struct stack {
	struct world w;
	struct io *top, *peer;
	struct recorder on_top;
};

static struct stack *stack_new(const char *prefix)
{
	struct stack *s = calloc(1, sizeof(*s));
	struct addr a = addr_of("10.0.0.1:1111"), b = addr_of("10.0.0.2:80");
	struct io *ends[2];
	struct buf bytes;

	s->w = world_new(loop_new_sim(0));
	io_mem_pair(s->w.loop, s->w.pool, 1000, &a, &b, ends);
	buf_init(&bytes, s->w.pool);
	buf_append(&bytes, prefix, strlen(prefix));
	s->top = io_prefix_new(ends[0], &bytes);
	assert_int_equal(buf_len(&bytes), 0);
	s->peer = ends[1];
	io_set_user(s->top, record_event, &s->on_top);
	return s;
}

static void stack_free(struct stack *s)
{
	io_close(&s->top, false);
	io_close(&s->peer, false);
	world_free(&s->w);
	free(s);
}

static void test_prefix_comes_first(void **state)
{
	struct stack *s = stack_new("GET / ");
	struct buf in;

	(void)state;
	write_text(s->peer, s->w.pool, "HTTP/1.1");
	buf_init(&in, s->w.pool);
	assert_int_equal(io_read(s->top, &in, 4), 4);
	assert_int_equal(io_read(s->top, &in, 100), 2);
	assert_int_equal(io_read(s->top, &in, 100), 8);
	assert_int_equal(io_read(s->top, &in, 100), ERR_AGAIN);
	assert_true(buf_eq(&in, STR("GET / HTTP/1.1")));
	buf_clear(&in);
	stack_free(s);
}

static void test_prefix_is_readiness(void **state)
{
	struct stack *s = stack_new("early");

	(void)state;
	io_want(s->top, IO_READ);
	assert_int_equal(s->on_top.calls, 0);
	loop_sim_settle(s->w.loop, 1);
	assert_int_equal(s->on_top.calls, 1);
	loop_sim_settle(s->w.loop, 2);
	assert_int_equal(s->on_top.calls, 3);
	io_want(s->top, 0);
	loop_sim_settle(s->w.loop, 10);
	assert_int_equal(s->on_top.calls, 3);
	io_want(s->top, IO_READ);
	read_text(s->top, s->w.pool, "early");
	loop_sim_settle(s->w.loop, 10);
	assert_int_equal(s->on_top.calls, 3);
	write_text(s->peer, s->w.pool, "late");
	loop_sim_settle(s->w.loop, 1);
	assert_int_equal(s->on_top.calls, 4);
	read_text(s->top, s->w.pool, "late");
	stack_free(s);
}

static void test_write_and_shutdown_pass_through(void **state)
{
	struct stack *s = stack_new("early");

	(void)state;
	s->on_top.quiet = s->top;
	io_want(s->top, IO_WRITE);
	loop_sim_settle(s->w.loop, 10);
	assert_int_equal(s->on_top.seen, IO_WRITE);
	write_text(s->top, s->w.pool, "out");
	read_text(s->peer, s->w.pool, "out");
	io_shutdown(s->top);
	assert_int_equal(read_nothing(s->peer, s->w.pool), 0);
	io_shutdown(s->peer);
	read_text(s->top, s->w.pool, "early");
	assert_int_equal(read_nothing(s->top, s->w.pool), 0);
	stack_free(s);
}

static void test_empty_prefix_and_facts(void **state)
{
	struct stack *s = stack_new("");
	struct io_info info;
	char text[ADDR_TEXT];

	(void)state;
	write_text(s->peer, s->w.pool, "x");
	read_text(s->top, s->w.pool, "x");
	io_info(s->top, &info);
	assert_string_equal(addr_format(&info.peer, text), "10.0.0.2:80");
	stack_free(s);
}

static void test_close_resets_below(void **state)
{
	struct stack *s = stack_new("never read");

	(void)state;
	io_want(s->top, IO_READ);
	io_close(&s->top, true);
	assert_int_equal(read_nothing(s->peer, s->w.pool), ERR_RESET);
	loop_sim_settle(s->w.loop, 10);
	assert_int_equal(s->on_top.calls, 0);
	stack_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefix_comes_first),
		cmocka_unit_test(test_prefix_is_readiness),
		cmocka_unit_test(test_write_and_shutdown_pass_through),
		cmocka_unit_test(test_empty_prefix_and_facts),
		cmocka_unit_test(test_close_resets_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
