/*
 * The loop on libev: descriptors, timers in real time, signals, and that it neither ends with work
 * queued nor blocks on it.
 */
#include "tests/unit/lib/net/support.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* A watcher that reads a byte per event and notes it. */
struct reader {
	struct loop_fd w;
	unsigned calls, events;
	char last;
	int stop_after;
	struct loop_fd *also; /* not NULL: stopped in the callback */
};

static void on_reader(void *arg, unsigned events)
{
	struct reader *r = arg;

	r->calls++;
	r->events |= events;
	if (events & LOOP_READ)
		assert_true(read(r->w.fd, &r->last, 1) >= 0);
	if (r->also != NULL)
		loop_fd_stop(r->also);
	if (r->stop_after > 0 && --r->stop_after == 0)
		loop_fd_stop(&r->w);
}

static void reader_init(struct reader *r, struct loop *loop, int fd)
{
	memset(r, 0, sizeof(*r));
	loop_fd_init(&r->w, loop, fd, on_reader, r);
}

static void make_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void test_level_triggered_until_stopped(void **state)
{
	struct loop *loop = loop_new(NULL);
	struct reader r;
	int fds[2];

	(void)state;
	make_pair(fds);
	reader_init(&r, loop, fds[0]);
	r.stop_after = 3;
	assert_int_equal(write(fds[1], "abc", 3), 3);
	loop_fd_want(&r.w, LOOP_READ);
	loop_run(loop);
	assert_int_equal(r.calls, 3);
	assert_int_equal(r.last, 'c');
	assert_int_equal(r.events, LOOP_READ);
	loop_fd_want(&r.w, LOOP_WRITE);
	r.stop_after = 1;
	loop_run(loop);
	assert_int_equal(r.events, LOOP_READ | LOOP_WRITE);
	close(fds[0]);
	close(fds[1]);
	loop_free(&loop);
}

/* Both are ready in one poll; the first to be called stops the other. */
static void test_stopped_watcher_is_not_called(void **state)
{
	struct loop *loop = loop_new(NULL);
	struct reader a, b;
	int x[2], y[2];

	(void)state;
	make_pair(x);
	make_pair(y);
	reader_init(&a, loop, x[0]);
	reader_init(&b, loop, y[0]);
	a.also = &b.w;
	b.also = &a.w;
	a.stop_after = b.stop_after = 1;
	assert_int_equal(write(x[1], "a", 1), 1);
	assert_int_equal(write(y[1], "b", 1), 1);
	loop_fd_want(&a.w, LOOP_READ);
	loop_fd_want(&b.w, LOOP_READ);
	loop_run(loop);
	assert_int_equal(a.calls + b.calls, 1);
	for (int i = 0; i < 2; i++) {
		close(x[i]);
		close(y[i]);
	}
	loop_free(&loop);
}

/* Counts down by one each time it runs. */
struct countdown {
	struct loop_task task;
	struct loop_timer timer;
	int left;
	uint64_t fired_ns;
};

static void on_countdown(void *arg)
{
	struct countdown *c = arg;

	if (--c->left > 0)
		loop_next_turn(&c->task);
}

static void test_next_turn_does_not_block(void **state)
{
	struct loop *loop = loop_new(NULL);
	struct countdown c = {.left = 1000};
	struct reader r;
	int fds[2];

	(void)state;
	make_pair(fds);
	reader_init(&r, loop, fds[0]);
	loop_fd_want(&r.w, LOOP_READ);
	loop_task_init(&c.task, loop, on_countdown, &c);
	loop_next_turn(&c.task);
	r.stop_after = 1;
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	loop_run(loop);
	assert_int_equal(c.left, 0);
	assert_int_equal(r.calls, 1);
	close(fds[0]);
	close(fds[1]);
	loop_free(&loop);
}

static void on_fired(void *arg)
{
	struct countdown *c = arg;

	c->fired_ns = loop_now(c->timer.loop);
	if (--c->left > 0)
		loop_timer_start(&c->timer, NS_PER_MS);
}

static void test_timers_in_real_time(void **state)
{
	struct loop *loop = loop_new(NULL);
	struct countdown a = {.left = 5}, b = {.left = 1}, never = {.left = 1};
	uint64_t start = loop_now(loop);

	(void)state;
	loop_timer_init(&a.timer, loop, on_fired, &a);
	loop_timer_init(&b.timer, loop, on_fired, &b);
	loop_timer_init(&never.timer, loop, on_fired, &never);
	loop_timer_start(&never.timer, 3600 * NS_PER_S);
	loop_timer_start(&a.timer, NS_PER_MS);
	loop_timer_at(&b.timer, start + 3 * NS_PER_MS);
	loop_timer_stop(&never.timer);
	loop_run(loop);
	assert_int_equal(a.left, 0);
	assert_int_equal(b.left, 0);
	assert_true(a.fired_ns >= start + 5 * NS_PER_MS);
	assert_true(b.fired_ns >= start + 3 * NS_PER_MS);
	assert_int_equal(never.left, 1);
	loop_free(&loop);
}

/* What it is after its run, and how many signals came. */
struct signals {
	struct loop *loop;
	int got[8];
	size_t n;
};

static void on_signal(void *arg, int signo)
{
	struct signals *s = arg;

	s->got[s->n++] = signo;
	if (s->n == 2)
		loop_stop(s->loop);
}

static void test_signals(void **state)
{
	static const int wanted[] = {SIGUSR1, SIGUSR2, 0};
	struct signals s = {.loop = loop_new(NULL)};

	(void)state;
	assert_int_equal(loop_signals(s.loop, wanted, on_signal, &s), 0);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR2);
	loop_run(s.loop);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.got[0] + s.got[1], SIGUSR1 + SIGUSR2);
	loop_free(&s.loop);
}

static void on_stop(void *arg)
{
	loop_stop(arg);
}

static void test_stop_before_and_within(void **state)
{
	struct loop *loop = loop_new(NULL);
	struct loop_task stop;
	struct loop_timer t;
	struct countdown c = {.left = 1};

	(void)state;
	loop_timer_init(&t, loop, on_stop, loop);
	loop_timer_start(&t, 3600 * NS_PER_S);
	loop_stop(loop);
	loop_run(loop);
	loop_task_init(&stop, loop, on_stop, loop);
	loop_task_init(&c.task, loop, on_countdown, &c);
	loop_defer(&stop);
	loop_flush(&c.task);
	loop_run(loop);
	assert_int_equal(c.left, 0);
	loop_timer_stop(&t);
	loop_run(loop);
	loop_free(&loop);
}

/* A descriptor that hangs up while nothing is wanted of it must not turn the loop. */
struct turns {
	struct loop_timer timer;
	uint64_t first, last;
};

static void on_first(void *arg)
{
	struct turns *t = arg;

	if (t->first == 0) {
		t->first = loop_turn(t->timer.loop);
		loop_timer_start(&t->timer, 30 * NS_PER_MS);
		return;
	}
	t->last = loop_turn(t->timer.loop);
	loop_stop(t->timer.loop);
}

static void test_hangup_that_nobody_wants_does_not_spin(void **state)
{
	struct loop *loop = loop_new(NULL);
	struct reader r, idle;
	struct turns t = {0};
	int fds[2], other[2];

	(void)state;
	make_pair(fds);
	make_pair(other);
	reader_init(&r, loop, fds[0]);
	reader_init(&idle, loop, other[0]);
	loop_fd_want(&idle.w, LOOP_READ);
	loop_fd_want(&r.w, LOOP_READ);
	r.stop_after = 1;
	assert_int_equal(write(fds[1], "x", 1), 1);
	close(fds[1]);
	loop_timer_init(&t.timer, loop, on_first, &t);
	loop_timer_start(&t.timer, 10 * NS_PER_MS);
	loop_run(loop);
	assert_int_equal(r.calls, 1);
	assert_true(t.last - t.first <= 4);
	loop_fd_stop(&idle.w);
	close(fds[0]);
	close(other[0]);
	close(other[1]);
	loop_free(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_level_triggered_until_stopped),
		cmocka_unit_test(test_stopped_watcher_is_not_called),
		cmocka_unit_test(test_next_turn_does_not_block),
		cmocka_unit_test(test_timers_in_real_time),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_stop_before_and_within),
		cmocka_unit_test(test_hangup_that_nobody_wants_does_not_spin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
