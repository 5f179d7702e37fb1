/*
 * What a cell becomes before it is printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/table.h"

static void check(struct arena *a, struct str in, struct str want)
{
	struct str got = table_safe(a, in);

	if (!str_eq(got, want))
		fail_msg("\"%.*s\" is not \"%.*s\"", STR_ARG(got), STR_ARG(want));
}

static void test_safe(void **state)
{
	struct arena a;
	(void)state;
	arena_init(&a, NULL);
	check(&a, STR(""), STR(""));
	check(&a, STR("shop/web 1"), STR("shop/web 1"));
	check(&a, STR("\x1b[31mred"), STR("\\x1b[31mred"));
	check(&a, STR("a\nb\\c\x7f"), STR("a\\x0ab\\x5cc\\x7f"));
	check(&a, STR("\xc3\xa9"), STR("\\xc3\\xa9"));
	arena_clear(&a);
}

static void test_cells(void **state)
{
	static const char *const titles[] = {"ONE", "TWO", NULL};
	struct arena a;
	struct table t;
	(void)state;
	arena_init(&a, NULL);
	table_init(&t, &a, titles);
	for (int i = 0; i < 1000; i++) {
		table_addf(&t, "%d", i);
		table_add(&t, STR_NULL);
	}
	assert_int_equal(t.n, 2002);
	assert_true(str_eq(t.cells[1], STR("TWO")));
	assert_true(str_eq(t.cells[2000], STR("999")));
	assert_true(str_eq(t.cells[2001], STR("-")));
	arena_clear(&a);
}

static void test_sort(void **state)
{
	static const char *const titles[] = {"POD", "N", NULL};
	static const char *const rows[] = {
		"shop/web", "1", "a/web-10", "2", "shop/we", "3", "a/web-1", "4"};
	static const char *const want[] = {
		"POD", "N", "a/web-1", "4", "a/web-10", "2", "shop/we", "3", "shop/web", "1"};
	struct arena a;
	struct table t;
	(void)state;
	arena_init(&a, NULL);
	table_init(&t, &a, titles);
	table_sort(&t);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		table_add(&t, str_from(rows[i]));
	table_sort(&t);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_true(str_eq(t.cells[i], str_from(want[i])));
	arena_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safe),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_sort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
