/*
 * Tests lib/base/err.c: every number has a text, and texts are added within their bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/base/err.h"

static void test_texts(void **state)
{
	(void)state;
	for (int e = ERR_NOFILES; e <= ERR_AGAIN; e++)
		assert_string_not_equal(err_text(e), "unknown error");
	assert_string_equal(err_text(-1000), "unknown error");
	assert_int_equal(err_from_errno(EINTR), ERR_AGAIN);
}

static void test_append(void **state)
{
	char err[12] = "a port";
	(void)state;
	err_append(err, sizeof(err), " (-p)");
	assert_string_equal(err, "a port (-p)");
	err_append(err, sizeof(err), "more");
	assert_string_equal(err, "a port (-p)");
	strcpy(err, "a port");
	err_append(err, sizeof(err), " is taken by another");
	assert_string_equal(err, "a port is t");
	err_append(err, 0, "nothing");
	assert_string_equal(err, "a port is t");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_append),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
