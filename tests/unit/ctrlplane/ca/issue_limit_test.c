/*
 * The limit of issuance: bursts, what comes back with time, one identity apart from another, and a
 * table that does not grow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ctrlplane/ca/issue_limit.h"
#include "lib/base/clock.h"

static const struct str a = {"a", 1}, b = {"b", 1};

static void test_burst_and_rate(void **state)
{
	(void)state;
	struct issue_limit *l = issue_limit_new(3, 60, 10);
	uint64_t now = 5 * NS_PER_S, wait = 0;
	for (int i = 0; i < 3; i++)
		assert_true(issue_limit_take(l, a, now, &wait));
	assert_false(issue_limit_take(l, a, now, &wait));
	assert_int_equal(wait, NS_PER_S);
	assert_true(issue_limit_take(l, b, now, &wait));
	now += 400 * NS_PER_MS;
	assert_false(issue_limit_take(l, a, now, &wait));
	assert_int_equal(wait, 600 * NS_PER_MS);
	now += wait;
	assert_true(issue_limit_take(l, a, now, &wait));
	assert_false(issue_limit_take(l, a, now, &wait));
	now += 1000 * NS_PER_S; /* no more than the burst comes together */
	for (int i = 0; i < 3; i++)
		assert_true(issue_limit_take(l, a, now, &wait));
	assert_false(issue_limit_take(l, a, now, &wait));
	issue_limit_free(&l);
	issue_limit_free(&l);
}

static void take(struct issue_limit *l, unsigned who, uint64_t now, bool expect)
{
	char name[32];
	uint64_t wait;
	int n = snprintf(name, sizeof(name), "pod-%u", who);
	assert_int_equal(issue_limit_take(l, str_make(name, (size_t)n), now, &wait), expect);
}

/* Over the bound those go that asked longest ago; full buckets go first of all. */
static void test_bounded(void **state)
{
	(void)state;
	struct issue_limit *l = issue_limit_new(1, 1, 100);
	for (unsigned i = 0; i < 10000; i++) {
		take(l, i, NS_PER_S, true);
		assert_true(issue_limit_count(l) <= 100);
	}
	take(l, 9999, NS_PER_S, false);
	take(l, 9900, NS_PER_S, false);
	take(l, 1, NS_PER_S, true);
	take(l, 20000, 120 * NS_PER_S, true);
	assert_int_equal(issue_limit_count(l), 1);
	issue_limit_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_rate),
		cmocka_unit_test(test_bounded),
	};
	return cmocka_run_group_tests_name("issue_limit", tests, NULL, NULL);
}
