/*
 * Files as a whole: what was written is read, modes and bounds are kept, and a replacement that
 * fails leaves what was there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"

static char folder[64], path[96], other[96], text[256];

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/weft-file-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/file", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	text[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(other);
	assert_int_equal(rmdir(folder), 0); /* nothing half-written is left */
	return 0;
}

static int read_file(size_t max, unsigned forbidden, const char *expect)
{
	char *p;
	size_t n;
	int err = file_read(path, max, forbidden, &p, &n, text, sizeof(text));
	if (err != 0) {
		assert_non_null(strstr(text, path));
		return err;
	}
	assert_string_equal(p, expect);
	assert_int_equal(n, strlen(expect));
	mem_free_secret(p, n);
	return 0;
}

static void test_round_trip(void **state)
{
	(void)state;
	struct stat st;
	assert_int_equal(read_file(10, 077, ""), ERR_NOTFOUND);
	assert_int_equal(file_replace(path, 0600, STR("first"), text, sizeof(text)), 0);
	assert_int_equal(read_file(10, 077, "first"), 0);
	assert_int_equal(file_replace(path, 0644, STR("second"), text, sizeof(text)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(read_file(6, 0, "second"), 0);
	assert_int_equal(file_replace(path, 0600, STR(""), text, sizeof(text)), 0);
	assert_int_equal(read_file(0, 0, ""), 0);
}

static void test_what_is_refused(void **state)
{
	(void)state;
	assert_int_equal(file_replace(path, 0640, STR("secret"), text, sizeof(text)), 0);
	assert_int_equal(read_file(10, 077, ""), ERR_DENIED);
	assert_non_null(strstr(text, "chmod 0600"));
	assert_int_equal(read_file(5, 0, ""), ERR_LIMIT);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(chmod(other, 0600), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(read_file(10, 0, "secret"), 0);
	assert_int_equal(read_file(10, 077, "secret"), 0);
	assert_int_equal(chmod(other, 0604), 0);
	assert_int_equal(read_file(10, 077, ""), ERR_DENIED);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(read_file(10, 0, ""), ERR_IO);
}

static void test_failure_leaves_what_was(void **state)
{
	(void)state;
	char below[128];
	assert_int_equal(file_replace(path, 0600, STR("kept"), text, sizeof(text)), 0);
	snprintf(below, sizeof(below), "%s/below", path);
	assert_int_equal(file_replace(below, 0600, STR("x"), text, sizeof(text)), ERR_IO);
	assert_non_null(strstr(text, below));
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(file_replace(other, 0600, STR("x"), text, sizeof(text)), ERR_IO);
	assert_int_equal(rmdir(other), 0);
	assert_int_equal(read_file(10, 077, "kept"), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_round_trip),
		T(test_what_is_refused),
		T(test_failure_leaves_what_was),
	};
	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
