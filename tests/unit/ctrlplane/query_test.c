/*
 * Queries of our own endpoints: which value a key has, what is malformed, what is unknown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ctrlplane/query.h"

/* want NULL: no value. */
static void check(struct arena *a, const char *query, const char *key, const char *want)
{
	struct str value = STR_NULL;
	bool found = query_get(str_from(query), str_from(key), a, &value);

	if (found != (want != NULL) || (found && !str_eq(value, str_from(want))))
		fail_msg("%s of %s: \"%.*s\"", key, query, (int)value.n, value.p);
}

static void test_get(void **state)
{
	struct arena a;
	(void)state;
	arena_init(&a, NULL);
	check(&a, "pod=shop/web&lifetime=10m", "pod", "shop/web");
	check(&a, "pod=shop/web&lifetime=10m", "lifetime", "10m");
	check(&a, "pod=shop%2Fweb", "pod", "shop/web");
	check(&a, "pod=shop%2fweb%2d1", "pod", "shop/web-1");
	check(&a, "&&pod=a", "pod", "a");
	check(&a, "pod", "pod", "");
	check(&a, "pod=", "pod", "");
	check(&a, "pod=a=b", "pod", "a=b");
	check(&a, "pod=a&pod=b", "pod", "a");
	check(&a, "pod=a+b", "pod", "a+b");
	check(&a, "", "pod", NULL);
	check(&a, "pods=a", "pod", NULL);
	check(&a, "x=pod=a", "pod", NULL);
	arena_clear(&a);
}

static void test_malformed(void **state)
{
	struct arena a;
	(void)state;
	arena_init(&a, NULL);
	check(&a, "pod=%", "pod", NULL);
	check(&a, "pod=%2", "pod", NULL);
	check(&a, "pod=a%2", "pod", NULL);
	check(&a, "pod=%zz", "pod", NULL);
	check(&a, "pod=%00", "pod", NULL);
	check(&a, "pod=a%0ab", "pod", NULL);
	check(&a, "pod=%7f", "pod", NULL);
	check(&a, "pod=%ff", "pod", "\xff");
	arena_clear(&a);
}

static void test_known(void **state)
{
	static const char *const known[] = {"pod", "lifetime", NULL};
	struct str unknown = STR_NULL;
	(void)state;
	assert_true(query_known(STR(""), known, &unknown));
	assert_true(query_known(STR("pod=a&lifetime=1"), known, &unknown));
	assert_false(query_known(STR("pod=a&lifetimes=1&x=2"), known, &unknown));
	assert_true(str_eq(unknown, STR("lifetimes")));
	assert_false(query_known(STR("pod%3d=a"), known, &unknown));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
