/*
 * Token files: trimmed, bounded, and refused with words that name the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "sidecar/identity/token.h"

static char path[64];

static int setup(void **state)
{
	(void)state;
	strcpy(path, "/tmp/weft-token-test-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void put(const char *p, size_t n)
{
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	fclose(f);
}

static void expect(const char *text, const char *want)
{
	char *token, err[256] = "";
	put(text, strlen(text));
	assert_int_equal(token_read(path, &token, err, sizeof(err)), 0);
	assert_string_equal(token, want);
	mem_free_secret(token, strlen(token));
}

static void refuse(const char *name, int want, const char *text)
{
	char *token, err[256] = "";
	assert_int_equal(token_read(name, &token, err, sizeof(err)), want);
	assert_null(token);
	if (strstr(err, text) == NULL)
		fail_msg("no \"%s\" in \"%s\"", text, err);
}

static void test_trimmed(void **state)
{
	(void)state;
	expect("wtj_abc", "wtj_abc");
	expect("wtj_abc\n", "wtj_abc");
	expect(" \t\r\n wtj_abc \r\n\n", "wtj_abc");
	expect("x", "x");
}

static void test_refused(void **state)
{
	char big[TOKEN_BYTES_MAX + 1];
	(void)state;
	memset(big, 'a', sizeof(big));
	put("", 0);
	refuse(path, ERR_INVAL, "empty");
	put(" \n", 2);
	refuse(path, ERR_INVAL, "empty");
	put("two words", 9);
	refuse(path, ERR_INVAL, path);
	put("a\0b", 3);
	refuse(path, ERR_INVAL, "bytes");
	put("caf\xc3\xa9", 5);
	refuse(path, ERR_INVAL, "bytes");
	put("a\nb", 3);
	refuse(path, ERR_INVAL, "bytes");
	put(big, sizeof(big));
	refuse(path, ERR_LIMIT, path);
	refuse("/nonexistent/token", ERR_NOTFOUND, "/nonexistent/token");
	refuse("/tmp", ERR_IO, "/tmp");
	refuse("", ERR_NOTFOUND, "--token");
	refuse(NULL, ERR_NOTFOUND, "--token");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_trimmed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};
	return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
