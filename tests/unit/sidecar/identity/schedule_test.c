/*
 * When certificates are renewed: the bounds of every jitter, short lives, wrong clocks, and jumps
 * of the wall clock, all on a fake clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sidecar/identity/schedule.h"

#define WALL 1800000000ll
#define ROUNDS 2000

/* A loop, numbers, and what is being scheduled. */
struct world {
	struct loop *loop;
	struct rng rng;
	struct schedule s;
};

static int setup(void **state)
{
	static struct world w;
	w = (struct world){.loop = loop_new_sim((uint64_t)WALL * NS_PER_S)};
	rng_seed(&w.rng, 1);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	loop_free(&w->loop);
	return 0;
}

static struct cert_leaf leaf(int64_t from, int64_t to)
{
	return (struct cert_leaf){.not_before = WALL + from, .not_after = WALL + to};
}

/* Least and most of many tries. */
struct range {
	uint64_t low, high;
};

static void widen(struct range *r, uint64_t v)
{
	if (r->high == 0 || v < r->low)
		r->low = v;
	if (v > r->high)
		r->high = v;
}

/* Backdating is no part of a certificate's life: what counts is what was left when it was signed.
 */
static void test_from_half_life_on(void **state)
{
	struct world *w = *state;
	static const int64_t lives[] = {10, 60, 86400};
	for (size_t k = 0; k < sizeof(lives) / sizeof(lives[0]); k++) {
		struct cert_leaf l = leaf(-120, lives[k]);
		uint64_t life = (uint64_t)lives[k] * NS_PER_S;
		struct range r = {0};
		for (int i = 0; i < ROUNDS; i++)
			widen(&r, schedule_issued(&w->s, &w->rng, w->loop, &l, WALL));
		assert_true(r.low >= life / 2 && r.low < life / 100 * 52);
		assert_true(r.high <= life / 10 * 7 && r.high > life / 100 * 68);
		assert_int_equal(w->s.failures, 0);
	}
}

/* The signer's clock says how long it holds, ours may be hours off; nonsense is not believed. */
static void test_by_the_signers_clock(void **state)
{
	struct world *w = *state;
	struct cert_leaf l = leaf(-3600 - 120, -3600 + 600); /* our clock is an hour ahead */
	(void)schedule_issued(&w->s, &w->rng, w->loop, &l, WALL - 3600);
	assert_int_equal(w->s.life_ns, 600 * NS_PER_S);
	l = leaf(-60, 1000);
	(void)schedule_issued(&w->s, &w->rng, w->loop, &l, WALL + 5000);
	assert_int_equal(w->s.life_ns, 1000 * NS_PER_S);
	(void)schedule_issued(&w->s, &w->rng, w->loop, &l, 0);
	assert_int_equal(w->s.life_ns, 1000 * NS_PER_S);
	l = leaf(-60, 0); /* nothing is ever due all the time */
	(void)schedule_issued(&w->s, &w->rng, w->loop, &l, WALL - 1);
	assert_int_equal(w->s.life_ns, NS_PER_S);
}

static void test_restored(void **state)
{
	struct world *w = *state;
	struct cert_leaf young = leaf(-100, 900), old = leaf(-800, 200), gone = leaf(-800, -10);
	struct range y = {0}, o = {0}, g = {0};
	for (int i = 0; i < ROUNDS; i++) {
		widen(&y, schedule_restored(&w->s, &w->rng, w->loop, &young));
		widen(&o, schedule_restored(&w->s, &w->rng, w->loop, &old));
		widen(&g, schedule_restored(&w->s, &w->rng, w->loop, &gone));
	}
	assert_true(y.low >= 400 * NS_PER_S && y.high <= 600 * NS_PER_S);
	assert_true(o.high <= 30 * NS_PER_S && o.high > 25 * NS_PER_S);
	assert_true(g.high <= SCHEDULE_BASE_NS);
}

/* Full jitter, doubling, capped; with a short time left capped by a quarter of that. */
static void test_backoff(void **state)
{
	struct world *w = *state;
	for (unsigned n = 0; n < 20; n++) {
		uint64_t cap = n < 9 ? SCHEDULE_BASE_NS << n : SCHEDULE_CAP_NS;
		struct range r = {0}, soon = {0};
		if (cap > SCHEDULE_CAP_NS)
			cap = SCHEDULE_CAP_NS;
		for (int i = 0; i < ROUNDS; i++) {
			w->s.failures = n;
			widen(&r, schedule_failed(&w->s, &w->rng, w->loop, 0));
			assert_int_equal(w->s.failures, n + 1);
			w->s.failures = n;
			widen(&soon, schedule_failed(&w->s, &w->rng, w->loop, 4));
		}
		assert_true(r.low >= SCHEDULE_BASE_NS / 10 && r.low <= cap / 2);
		assert_true(r.high <= cap && r.high > cap / 10 * 9);
		assert_true(soon.high <= NS_PER_S);
	}
}

/* Never more than half a minute without a look at the clocks, for short lives less. */
static void test_looks(void **state)
{
	struct world *w = *state;
	struct cert_leaf day = leaf(0, 86400), brief = leaf(0, 10);
	(void)schedule_issued(&w->s, &w->rng, w->loop, &day, WALL);
	assert_int_equal(schedule_due(&w->s, &w->rng, w->loop, day.not_after), 30 * NS_PER_S);
	(void)schedule_issued(&w->s, &w->rng, w->loop, &brief, WALL);
	assert_int_equal(schedule_due(&w->s, &w->rng, w->loop, brief.not_after), 1250 * NS_PER_MS);
	loop_sim_advance(w->loop, 7 * NS_PER_S);
	assert_int_equal(schedule_due(&w->s, &w->rng, w->loop, brief.not_after), 0);
}

/* A machine that slept, or a clock that was set: one renewal, however the clock stands after it. */
static void test_jump_makes_one_renewal(void **state)
{
	struct world *w = *state;
	struct cert_leaf l = leaf(-60, 86400);
	(void)schedule_issued(&w->s, &w->rng, w->loop, &l, WALL);
	uint64_t planned = w->s.at;
	/* Backwards, or a little: nothing. */
	loop_sim_wall_jump(w->loop, -(int64_t)(36000 * NS_PER_S));
	assert_true(schedule_due(&w->s, &w->rng, w->loop, l.not_after) > 0);
	assert_int_equal(w->s.at, planned);
	loop_sim_wall_jump(w->loop, (int64_t)(36000 * NS_PER_S + 600 * NS_PER_S));
	assert_true(schedule_due(&w->s, &w->rng, w->loop, l.not_after) > 0);
	assert_int_equal(w->s.at, planned);
	/* Past its end: soon, and spread. */
	loop_sim_wall_jump(w->loop, (int64_t)(90000 * NS_PER_S));
	assert_true(schedule_due(&w->s, &w->rng, w->loop, l.not_after) <= 30 * NS_PER_S);
	assert_true(w->s.at <= loop_now(w->loop) + 30 * NS_PER_S);
	loop_sim_advance(w->loop, 30 * NS_PER_S);
	assert_int_equal(schedule_due(&w->s, &w->rng, w->loop, l.not_after), 0);
	/* The new one looks expired too, by this clock: it is renewed at its time all the same. */
	(void)schedule_issued(&w->s, &w->rng, w->loop, &l, WALL + 30);
	for (int i = 0; i < 100; i++) {
		loop_sim_advance(w->loop, 30 * NS_PER_S);
		assert_true(schedule_due(&w->s, &w->rng, w->loop, l.not_after) > 0);
	}
}

static void test_soon_and_timeouts(void **state)
{
	struct world *w = *state;
	struct cert_leaf l = leaf(0, 100);
	struct range r = {0};
	(void)schedule_issued(&w->s, &w->rng, w->loop, &l, WALL);
	for (int i = 0; i < ROUNDS; i++) {
		w->s.at = loop_now(w->loop) + 50 * NS_PER_S;
		widen(&r, schedule_soon(&w->s, &w->rng, w->loop, schedule_spread(&w->s)));
	}
	assert_true(r.high <= 10 * NS_PER_S && r.high > 9 * NS_PER_S);
	w->s.at = loop_now(w->loop) + NS_PER_MS; /* never later than it was */
	assert_true(schedule_soon(&w->s, &w->rng, w->loop, 10 * NS_PER_S) <= NS_PER_MS);
	assert_int_equal(schedule_timeout(0), 10 * NS_PER_S);
	assert_int_equal(schedule_timeout(-5), 10 * NS_PER_S);
	assert_int_equal(schedule_timeout(3), NS_PER_S);
	assert_int_equal(schedule_timeout(20), 5 * NS_PER_S);
	assert_int_equal(schedule_timeout(86400), 10 * NS_PER_S);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_from_half_life_on),
		TEST(test_by_the_signers_clock),
		TEST(test_restored),
		TEST(test_backoff),
		TEST(test_looks),
		TEST(test_jump_makes_one_renewal),
		TEST(test_soon_and_timeouts),
	};
	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
