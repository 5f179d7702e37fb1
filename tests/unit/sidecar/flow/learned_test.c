/*
 * What servers taught: remembered for an hour, at most so many, the oldest goes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sidecar/flow/learned.h"

static struct addr dst(uint32_t i)
{
	return (struct addr){.family = ADDR_V4,
		.port = 25,
		.bytes = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
}

static void test_expiry(void **state)
{
	struct learned *l = learned_new(1);
	struct addr a = dst(1), other = dst(1);
	(void)state;
	other.port = 26;
	assert_false(learned_is_opaque(l, &a, 0));
	learned_opaque(l, &a, 1000);
	assert_true(learned_is_opaque(l, &a, 1000));
	assert_true(learned_is_opaque(l, &a, 1000 + LEARNED_TTL_NS - 1));
	assert_false(learned_is_opaque(l, &a, 1000 + LEARNED_TTL_NS));
	assert_false(learned_is_opaque(l, &other, 1000)); /* never by address alone */
	/* Learned again: from then on anew. */
	learned_opaque(l, &a, 5000);
	assert_true(learned_is_opaque(l, &a, 1000 + LEARNED_TTL_NS));
	assert_int_equal(learned_count(l), 1);
	learned_free(&l);
	assert_null(l);
	learned_free(&l);
}

static void test_bound(void **state)
{
	struct learned *l = learned_new(2);
	(void)state;
	for (uint32_t i = 0; i < LEARNED_MAX; i++) {
		struct addr a = dst(i);
		learned_opaque(l, &a, i);
	}
	assert_int_equal(learned_count(l), LEARNED_MAX);
	/* The first is refreshed, so the second is the oldest. */
	struct addr first = dst(0), second = dst(1), third = dst(2), next = dst(LEARNED_MAX);
	learned_opaque(l, &first, LEARNED_MAX);
	learned_opaque(l, &next, LEARNED_MAX);
	assert_int_equal(learned_count(l), LEARNED_MAX);
	assert_true(learned_is_opaque(l, &first, LEARNED_MAX));
	assert_false(learned_is_opaque(l, &second, LEARNED_MAX));
	assert_true(learned_is_opaque(l, &third, LEARNED_MAX));
	assert_true(learned_is_opaque(l, &next, LEARNED_MAX));
	for (uint32_t i = 0; i < 3 * LEARNED_MAX; i++) {
		struct addr a = dst(100000 + i);
		learned_opaque(l, &a, i);
		assert_true(learned_count(l) <= LEARNED_MAX);
	}
	learned_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_bound),
	};
	return cmocka_run_group_tests_name("learned", tests, NULL, NULL);
}
