/*
 * Token buckets against a clock turned by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctrlplane/push/bucket.h"

static unsigned take_all(struct bucket *b, uint64_t now)
{
	unsigned n = 0;
	while (bucket_take(b, now))
		n++;
	return n;
}

static void test_rate(void **state)
{
	(void)state;
	struct bucket b = bucket_make(10, 5);
	uint64_t now = 1000 * NS_PER_S;
	assert_int_equal(take_all(&b, now), 5);
	assert_true(bucket_ready(&b) == now + NS_PER_S / 10);
	assert_int_equal(take_all(&b, now + NS_PER_S / 10 - 1), 0);
	assert_int_equal(take_all(&b, now + NS_PER_S / 10), 1);
	assert_int_equal(take_all(&b, now + 3 * NS_PER_S / 10), 2);
	/* Never more than the burst. */
	assert_int_equal(take_all(&b, now + 100 * NS_PER_S), 5);
}

static void test_least(void **state)
{
	(void)state;
	struct bucket b = bucket_make(0, 0);
	assert_int_equal(take_all(&b, 0), 1);
	assert_int_equal(take_all(&b, NS_PER_S), 1);
	assert_int_equal(take_all(&b, NS_PER_S), 0);
}

static void test_charge(void **state)
{
	(void)state;
	struct bucket b = bucket_make(10, 5);
	uint64_t now = 1000 * NS_PER_S;
	bucket_charge(&b, now, 2);
	assert_int_equal(take_all(&b, now), 3);
	bucket_charge(&b, now, 10);
	assert_int_equal(take_all(&b, now + NS_PER_S), 0);
	assert_int_equal(take_all(&b, now + 11 * NS_PER_S / 10), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_charge),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
