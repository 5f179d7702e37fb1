/*
 * The order of a turn and the timers, on the simulated loop, whose clock the test turns by hand.
 */
#include "tests/unit/lib/net/support.h"

#include "lib/base/rand.h"

#define DIARY_MAX 64

/* What ran, in order: one letter per call. Owned by the test. */
struct diary {
	char text[DIARY_MAX + 1];
	size_t n;
};

static void write_down(struct diary *d, char c)
{
	assert_true(d->n < DIARY_MAX);
	d->text[d->n++] = c;
}

/* A timer and task that writes its letter, and then does what its fields say. */
struct actor {
	struct diary *diary;
	char letter;
	struct loop_timer timer;
	struct loop_task task;
	struct actor *stops, *starts, *defers, *flushes, *yields;
	uint64_t starts_ns;
	int times; /* how often it does that */
};

static void act(void *arg)
{
	struct actor *a = arg;

	write_down(a->diary, a->letter);
	if (a->times-- <= 0)
		return;
	if (a->stops != NULL)
		loop_timer_stop(&a->stops->timer);
	if (a->starts != NULL)
		loop_timer_start(&a->starts->timer, a->starts_ns);
	if (a->defers != NULL)
		loop_defer(&a->defers->task);
	if (a->flushes != NULL)
		loop_flush(&a->flushes->task);
	if (a->yields != NULL)
		loop_next_turn(&a->yields->task);
}

/* A loop, a diary and four actors. */
struct stage {
	struct loop *loop;
	struct diary diary;
	struct actor a, b, c, d;
};

static void actor_init(struct stage *s, struct actor *a, char letter)
{
	a->diary = &s->diary;
	a->letter = letter;
	a->times = 1;
	loop_timer_init(&a->timer, s->loop, act, a);
	loop_task_init(&a->task, s->loop, act, a);
}

static int setup(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	s->loop = loop_new_sim(1700000000 * NS_PER_S);
	actor_init(s, &s->a, 'a');
	actor_init(s, &s->b, 'b');
	actor_init(s, &s->c, 'c');
	actor_init(s, &s->d, 'd');
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stage *s = *state;

	loop_free(&s->loop);
	assert_null(s->loop);
	free(s);
	return 0;
}

static void expect(struct stage *s, const char *text)
{
	assert_string_equal(s->diary.text, text);
	memset(&s->diary, 0, sizeof(s->diary));
}

static void test_timers_fire_by_deadline(void **state)
{
	struct stage *s = *state;

	loop_timer_start(&s->a.timer, 30);
	loop_timer_start(&s->b.timer, 10);
	loop_timer_at(&s->c.timer, loop_now(s->loop) + 20);
	loop_timer_start(&s->d.timer, 10);
	loop_sim_advance(s->loop, 9);
	expect(s, "");
	loop_sim_advance(s->loop, 1);
	expect(s, "bd");
	loop_sim_advance(s->loop, 100);
	expect(s, "ca");
	assert_false(loop_timer_running(&s->a.timer));
	assert_false(loop_timer_running(&s->c.timer));
}

/* All of them due in one turn, as after a long stall. */
static void test_late_timers_fire_by_deadline(void **state)
{
	struct stage *s = *state;
	uint64_t now = loop_now(s->loop);

	loop_timer_at(&s->a.timer, now - 1);
	loop_timer_at(&s->b.timer, now - 3);
	loop_timer_at(&s->c.timer, now - 2);
	loop_timer_at(&s->d.timer, 0);
	assert_int_equal(loop_sim_settle(s->loop, 10), 1);
	expect(s, "dbca");
}

static void test_timer_restart_and_stop(void **state)
{
	struct stage *s = *state;

	loop_timer_start(&s->a.timer, 10);
	loop_timer_start(&s->b.timer, 10);
	loop_sim_advance(s->loop, 9);
	loop_timer_start(&s->a.timer, 10);
	loop_sim_advance(s->loop, 9);
	expect(s, "b");
	loop_timer_start(&s->a.timer, 50);
	loop_timer_stop(&s->b.timer);
	loop_sim_advance(s->loop, 49);
	expect(s, "");
	loop_timer_stop(&s->a.timer);
	loop_timer_stop(&s->a.timer);
	loop_timer_at(&s->c.timer, loop_now(s->loop) + 5);
	loop_timer_stop(&s->c.timer);
	loop_sim_advance(s->loop, 1000);
	expect(s, "");
}

static void test_timer_stops_and_restarts_others(void **state)
{
	struct stage *s = *state;

	s->a.stops = &s->b;
	s->c.starts = &s->d;
	s->c.starts_ns = 5;
	loop_timer_start(&s->a.timer, 10);
	loop_timer_start(&s->b.timer, 10);
	loop_timer_start(&s->c.timer, 10);
	loop_timer_start(&s->d.timer, 10);
	loop_sim_advance(s->loop, 10);
	expect(s, "ac");
	loop_sim_advance(s->loop, 4);
	expect(s, "");
	loop_sim_advance(s->loop, 1);
	expect(s, "d");
}

static void test_timer_restarts_itself(void **state)
{
	struct stage *s = *state;

	s->a.times = 3;
	s->a.starts = &s->a;
	s->a.starts_ns = 7;
	loop_timer_start(&s->a.timer, 7);
	loop_sim_advance(s->loop, 700);
	expect(s, "aaaa");
}

/* A duration of zero fires in the next turn, so a timer that restarts itself lets others run. */
static void test_timer_of_zero(void **state)
{
	struct stage *s = *state;

	s->a.times = 2;
	s->a.starts = &s->a;
	loop_timer_start(&s->a.timer, 0);
	assert_int_equal(loop_sim_settle(s->loop, 100), 3);
	expect(s, "aaa");
	s->a.times = 1000;
	loop_timer_start(&s->a.timer, 0);
	assert_int_equal(loop_sim_settle(s->loop, 20), 20);
	loop_timer_stop(&s->a.timer);
}

static void test_timer_forever(void **state)
{
	struct stage *s = *state;

	loop_timer_start(&s->a.timer, UINT64_MAX);
	loop_timer_at(&s->b.timer, UINT64_MAX);
	loop_sim_advance(s->loop, 3600 * 24 * 365 * NS_PER_S);
	expect(s, "");
	assert_true(loop_timer_running(&s->a.timer));
	loop_timer_stop(&s->a.timer);
	loop_timer_stop(&s->b.timer);
}

#define CROWD 5000

/* One of thousands; checks that its turn is right when it fires. */
struct member {
	struct loop_timer timer;
	uint64_t due;
	uint64_t *last;
	unsigned *fired;
};

static void on_member(void *arg)
{
	struct member *m = arg;

	assert_int_equal(loop_now(m->timer.loop), m->due);
	assert_true(m->due >= *m->last);
	*m->last = m->due;
	++*m->fired;
}

static void member_start(struct member *m, struct rng *rng)
{
	uint64_t ns = 1 + rng_below(rng, 3) * 1000 + rng_below(rng, 100);

	m->due = loop_now(m->timer.loop) + ns;
	if (rng_below(rng, 2) == 0)
		loop_timer_start(&m->timer, ns);
	else
		loop_timer_at(&m->timer, m->due);
}

/* More durations than there are lists, stops and restarts at random, heap and lists mixed. */
static void test_thousands_of_timers(void **state)
{
	struct stage *s = *state;
	struct member *crowd = calloc(CROWD, sizeof(*crowd));
	uint64_t last = 0;
	unsigned fired = 0, stopped = 0;
	struct rng rng;

	rng_seed(&rng, 7);
	for (size_t i = 0; i < CROWD; i++) {
		crowd[i] = (struct member){.last = &last, .fired = &fired};
		loop_timer_init(&crowd[i].timer, s->loop, on_member, &crowd[i]);
		member_start(&crowd[i], &rng);
	}
	for (size_t i = 0; i < CROWD; i += 3)
		member_start(&crowd[i], &rng);
	for (size_t i = 0; i < CROWD; i += 5, stopped++)
		loop_timer_stop(&crowd[i].timer);
	loop_sim_advance(s->loop, 5000);
	assert_int_equal(fired, CROWD - stopped);
	for (size_t i = 0; i < CROWD; i++)
		assert_false(loop_timer_running(&crowd[i].timer));
	free(crowd);
}

static void test_deferred_and_flush_alternate(void **state)
{
	struct stage *s = *state;

	s->a.defers = &s->b;
	s->c.defers = &s->d;
	loop_flush(&s->c.task);
	loop_defer(&s->a.task);
	loop_defer(&s->a.task);
	assert_int_equal(loop_sim_settle(s->loop, 10), 1);
	expect(s, "acbd");
}

static void test_next_turn_waits_for_a_poll(void **state)
{
	struct stage *s = *state;

	s->a.yields = &s->b;
	s->a.defers = &s->c;
	loop_defer(&s->a.task);
	assert_int_equal(loop_sim_settle(s->loop, 1), 1);
	expect(s, "ac");
	assert_int_equal(loop_sim_settle(s->loop, 10), 1);
	expect(s, "b");
}

static void test_asked_twice_runs_once_and_earlier(void **state)
{
	struct stage *s = *state;

	loop_next_turn(&s->b.task);
	loop_flush(&s->b.task);
	loop_next_turn(&s->b.task);
	loop_flush(&s->a.task);
	loop_defer(&s->a.task);
	loop_flush(&s->a.task);
	loop_sim_settle(s->loop, 10);
	expect(s, "ab");
}

static void test_rounds_are_bounded(void **state)
{
	struct stage *s = *state;

	s->a.defers = &s->b;
	s->b.defers = &s->a;
	s->a.times = s->b.times = 10;
	loop_defer(&s->a.task);
	assert_int_equal(loop_sim_settle(s->loop, 1), 1);
	expect(s, "abababab");
	assert_int_equal(loop_sim_settle(s->loop, 100), 2);
	expect(s, "ababababababa");
}

static void test_timers_come_between_endless_tasks(void **state)
{
	struct stage *s = *state;

	s->a.defers = &s->a;
	s->a.times = 30;
	loop_defer(&s->a.task);
	for (int i = 0; i < 2; i++) {
		loop_timer_at(&s->b.timer, 1);
		loop_sim_settle(s->loop, 1);
		expect(s, "baaaaaaaa");
	}
	loop_task_cancel(&s->a.task);
}

static void test_cancelled_task_does_not_run(void **state)
{
	struct stage *s = *state;

	loop_defer(&s->a.task);
	loop_flush(&s->b.task);
	loop_next_turn(&s->c.task);
	loop_task_cancel(&s->a.task);
	loop_task_cancel(&s->b.task);
	loop_task_cancel(&s->c.task);
	loop_task_cancel(&s->d.task);
	assert_int_equal(loop_sim_settle(s->loop, 10), 0);
	expect(s, "");
	loop_defer(&s->a.task);
	loop_sim_settle(s->loop, 10);
	expect(s, "a");
}

/* Freed when nothing of the turn is on the stack any more. */
struct mortal {
	struct loop *loop;
	struct diary *diary;
	struct mortal *heir;
	struct loop_task task;
};

static void on_freed(void *ptr)
{
	struct mortal *m = ptr;

	write_down(m->diary, 'f');
	if (m->heir != NULL)
		loop_defer_free(m->loop, m->heir, on_freed);
}

static void on_dying(void *arg)
{
	struct mortal *m = arg;

	loop_defer_free(m->loop, m, on_freed);
	write_down(m->diary, 'x');
}

static void test_free_comes_last(void **state)
{
	struct stage *s = *state;
	struct mortal heir = {.loop = s->loop, .diary = &s->diary};
	struct mortal m = {.loop = s->loop, .diary = &s->diary, .heir = &heir};

	loop_task_init(&m.task, s->loop, on_dying, &m);
	loop_defer(&m.task);
	loop_flush(&s->b.task);
	s->b.defers = &s->c;
	assert_int_equal(loop_sim_settle(s->loop, 10), 1);
	expect(s, "xbcff");
}

static void test_free_outside_of_turns(void **state)
{
	struct stage *s = *state;
	struct mortal m = {.loop = s->loop, .diary = &s->diary};

	loop_defer_free(s->loop, &m, on_freed);
	expect(s, "");
	loop_sim_settle(s->loop, 10);
	expect(s, "f");
	loop_defer_free(s->loop, &m, on_freed);
	loop_free(&s->loop);
	expect(s, "f");
}

/* Sees the number of its turn and the clocks from inside. */
struct observer {
	struct loop_task task;
	uint64_t turn, now, wall;
};

static void observe(void *arg)
{
	struct observer *o = arg;

	o->turn = loop_turn(o->task.loop);
	o->now = loop_now(o->task.loop);
	o->wall = loop_wall(o->task.loop);
}

static void test_clocks_and_turns(void **state)
{
	struct stage *s = *state;
	struct observer o;

	loop_task_init(&o.task, s->loop, observe, &o);
	assert_int_equal(loop_turn(s->loop), 0);
	loop_defer(&o.task);
	loop_sim_settle(s->loop, 10);
	struct observer before = o;
	assert_true(before.turn > 0);
	assert_int_equal(before.wall, 1700000000 * NS_PER_S);
	loop_sim_advance(s->loop, 5 * NS_PER_S);
	loop_sim_wall_jump(s->loop, -(int64_t)(3600 * NS_PER_S));
	loop_defer(&o.task);
	loop_sim_settle(s->loop, 10);
	assert_int_equal(o.turn, before.turn + 1);
	assert_int_equal(o.now, before.now + 5 * NS_PER_S);
	assert_int_equal(o.wall, before.wall + 5 * NS_PER_S - 3600 * NS_PER_S);
	assert_int_equal(clock_mono(loop_clock(s->loop)), o.now);
	assert_int_equal(clock_wall(loop_clock(s->loop)), o.wall);
}

static void test_wall_jump_moves_no_timer(void **state)
{
	struct stage *s = *state;

	loop_timer_start(&s->a.timer, 10);
	loop_sim_wall_jump(s->loop, (int64_t)(1000 * NS_PER_S));
	loop_sim_settle(s->loop, 10);
	expect(s, "");
	loop_sim_advance(s->loop, 10);
	expect(s, "a");
}

static void on_stop(void *arg)
{
	loop_stop(arg);
}

static void test_run_on_the_simulated_loop(void **state)
{
	struct stage *s = *state;
	struct loop_timer stop;
	uint64_t start = loop_now(s->loop);

	loop_timer_start(&s->a.timer, 10);
	s->a.starts = &s->b;
	s->a.starts_ns = 10;
	loop_run(s->loop);
	expect(s, "ab");
	assert_int_equal(loop_now(s->loop), start + 20);
	loop_timer_init(&stop, s->loop, on_stop, s->loop);
	loop_timer_start(&stop, 5);
	loop_timer_start(&s->c.timer, 6);
	loop_run(s->loop);
	expect(s, "");
	loop_run(s->loop);
	expect(s, "c");
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGED(test_timers_fire_by_deadline),
		STAGED(test_late_timers_fire_by_deadline),
		STAGED(test_timer_restart_and_stop),
		STAGED(test_timer_stops_and_restarts_others),
		STAGED(test_timer_restarts_itself),
		STAGED(test_timer_of_zero),
		STAGED(test_timer_forever),
		STAGED(test_thousands_of_timers),
		STAGED(test_deferred_and_flush_alternate),
		STAGED(test_next_turn_waits_for_a_poll),
		STAGED(test_asked_twice_runs_once_and_earlier),
		STAGED(test_rounds_are_bounded),
		STAGED(test_timers_come_between_endless_tasks),
		STAGED(test_cancelled_task_does_not_run),
		STAGED(test_free_comes_last),
		STAGED(test_free_outside_of_turns),
		STAGED(test_clocks_and_turns),
		STAGED(test_wall_jump_moves_no_timer),
		STAGED(test_run_on_the_simulated_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
