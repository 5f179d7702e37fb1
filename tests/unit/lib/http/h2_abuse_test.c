/*
 * The token buckets behind the limits on HTTP/2 peers, with times as values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/http/conn.h"
#include "lib/http/h2_abuse.h"

static void burst_then_rate(void **state)
{
	struct h2_bucket b;
	uint64_t now = 7 * NS_PER_S;

	(void)state;
	h2_bucket_init(&b, 10, 4, now);
	for (unsigned i = 0; i < 10; i++)
		assert_true(h2_bucket_take(&b, 1, now));
	assert_false(h2_bucket_take(&b, 1, now));
	assert_false(h2_bucket_take(&b, 1, now + NS_PER_S / 4 - 1));
	assert_true(h2_bucket_take(&b, 1, now + NS_PER_S / 4));
	assert_false(h2_bucket_take(&b, 1, now + NS_PER_S / 4));
	now += 100 * NS_PER_S;
	assert_true(h2_bucket_take(&b, 10, now));
	assert_false(h2_bucket_take(&b, 1, now));
}

/* Many small steps of time add up to the same as one large step. */
static void small_steps_lose_nothing(void **state)
{
	struct h2_bucket b;
	unsigned taken = 0;

	(void)state;
	h2_bucket_init(&b, 5, 33, 0);
	assert_true(h2_bucket_take(&b, 5, 0));
	for (uint64_t now = 0; now <= 10 * NS_PER_S; now += 1000003)
		taken += h2_bucket_take(&b, 1, now);
	assert_in_range(taken, 329, 330);
}

static void extremes(void **state)
{
	struct h2_bucket b;

	(void)state;
	h2_bucket_init(&b, 3, UINT64_MAX, 0);
	assert_true(h2_bucket_take(&b, 3, 0));
	assert_true(h2_bucket_take(&b, 3, UINT64_MAX));
	/* Time that stands still or goes back adds nothing. */
	assert_false(h2_bucket_take(&b, 1, 5));
	h2_bucket_init(&b, 3, 0, 0);
	assert_true(h2_bucket_take(&b, 3, 0));
	assert_false(h2_bucket_take(&b, 1, UINT64_MAX));
	h2_bucket_give(&b, UINT64_MAX);
	assert_true(h2_bucket_take(&b, 3, UINT64_MAX));
	assert_false(h2_bucket_take(&b, 1, UINT64_MAX));
	h2_bucket_init(&b, 0, 100, 0);
	assert_false(h2_bucket_take(&b, 1, NS_PER_S));
}

static void work_earns_what_comes_with_it(void **state)
{
	struct h2_abuse a;
	struct http_limits limits = http_limits_default();

	(void)state;
	h2_abuse_init(&a, &limits, 0);
	for (unsigned i = 0; i < 100000; i++) {
		assert_true(h2_abuse_act(&a, H2_ACT_DATA_OUT, 0));
		assert_true(h2_abuse_act(&a, H2_ACT_WINDOW_UPDATE, 0));
		assert_true(h2_abuse_act(&a, H2_ACT_WINDOW_UPDATE, 0));
		assert_true(h2_abuse_act(&a, H2_ACT_PING, 0));
	}
	unsigned n = 0; /* the last round left three short */

	while (h2_abuse_act(&a, H2_ACT_PING, 0))
		n++;
	assert_int_equal(n, limits.glitch_burst - 3);
	for (unsigned i = 0; i < limits.reset_burst; i++)
		assert_true(h2_abuse_reset(&a, 0));
	assert_false(h2_abuse_reset(&a, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_then_rate),
		cmocka_unit_test(small_steps_lose_nothing),
		cmocka_unit_test(extremes),
		cmocka_unit_test(work_earns_what_comes_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
