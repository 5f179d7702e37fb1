/*
 * The JSON writer: commas, nesting, indentation, escapes of hostile text. Each test owns a buf.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/json/json.h"

struct fixture {
	struct buf_pool *pool;
	struct buf out;
	struct json j;
};

static int setup(void **state)
{
	static struct fixture f;

	f.pool = buf_pool_new(1 << 20);
	buf_init(&f.out, f.pool);
	json_init(&f.j, &f.out, false);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	buf_clear(&f->out);
	buf_pool_free(&f->pool);
	return 0;
}

static void assert_written(struct fixture *f, const char *text)
{
	size_t n = buf_len(&f->out);
	char got[4096] = "";

	assert_true(n < sizeof(got));
	buf_copy_out(&f->out, 0, got, n);
	assert_string_equal(got, text);
}

static void write_sample(struct json *j)
{
	json_object(j);
	json_key_str(j, "name", STR("a"));
	json_key(j, "empty");
	json_object(j);
	json_object_end(j);
	json_key(j, "list");
	json_array(j);
	json_u64(j, UINT64_MAX);
	json_i64(j, INT64_MIN);
	json_null(j);
	json_array(j);
	json_array_end(j);
	json_object(j);
	json_key_bool(j, "t", true);
	json_key_u64(j, "n", 0);
	json_object_end(j);
	json_array_end(j);
	json_key_bool(j, "f", false);
	json_object_end(j);
}

static void test_compact(void **state)
{
	struct fixture *f = *state;

	write_sample(&f->j);
	assert_written(f,
		"{\"name\":\"a\",\"empty\":{},\"list\":[18446744073709551615,-9223372036854775808,null,"
		"[],{\"t\":true,\"n\":0}],\"f\":false}");
}

static void test_pretty(void **state)
{
	struct fixture *f = *state;

	json_init(&f->j, &f->out, true);
	write_sample(&f->j);
	assert_written(f,
		"{\n  \"name\": \"a\",\n  \"empty\": {},\n  \"list\": [\n    18446744073709551615,\n"
		"    -9223372036854775808,\n    null,\n    [],\n    {\n      \"t\": true,\n      \"n\": 0\n"
		"    }\n  ],\n  \"f\": false\n}");
}

static void test_text_is_escaped(void **state)
{
	struct fixture *f = *state;

	json_array(&f->j);
	json_str(&f->j, STR("a\"b\\c\n\x01"));
	json_str(&f->j, STR("\xc3\xa9\xff\xe2\x82"));
	json_str(&f->j, STR(""));
	json_str(&f->j, STR_NULL);
	json_array_end(&f->j);
	assert_written(f,
		"[\"a\\\"b\\\\c\\n\\u0001\",\"\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"\",\"\"]");
}

static void test_keys_are_escaped(void **state)
{
	struct fixture *f = *state;

	json_object(&f->j);
	json_key_slice(&f->j, str_make("a\"b,", 3));
	json_null(&f->j);
	json_object_end(&f->j);
	assert_written(f, "{\"a\\\"b\":null}");
}

static void test_long_text_crosses_chunks(void **state)
{
	struct fixture *f = *state;
	static char text[50000];

	memset(text, '\n', sizeof(text));
	json_str(&f->j, str_make(text, sizeof(text)));
	assert_int_equal(buf_len(&f->out), 2 * sizeof(text) + 2);
	for (size_t i = 0; i < sizeof(text); i++) {
		char pair[2];

		buf_copy_out(&f->out, 1 + 2 * i, pair, 2);
		assert_memory_equal(pair, "\\n", 2);
	}
}

static void test_escape_into_an_array(void **state)
{
	char dst[8];

	(void)state;
	assert_int_equal(json_escape(dst, sizeof(dst), STR("abc")), 3);
	assert_string_equal(dst, "abc");
	assert_int_equal(json_escape(dst, sizeof(dst), STR("abcdefgh")), 7);
	assert_string_equal(dst, "abcdefg");
	/* A pair that does not fit whole is left out whole, as is a character of two bytes. */
	assert_int_equal(json_escape(dst, sizeof(dst), STR("abcdef\"")), 6);
	assert_string_equal(dst, "abcdef");
	assert_int_equal(json_escape(dst, sizeof(dst), STR("abcdef\xc3\xa9")), 6);
	assert_string_equal(dst, "abcdef");
	assert_int_equal(json_escape(dst, 1, STR("a")), 0);
	assert_string_equal(dst, "");
	assert_int_equal(json_escape(dst, 0, STR("a")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_compact, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pretty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_is_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_are_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_text_crosses_chunks, setup, teardown),
		cmocka_unit_test(test_escape_into_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
