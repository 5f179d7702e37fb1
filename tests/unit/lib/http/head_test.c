/*
 * Lists of fields, copies of heads, and the grammar of tokens, values, paths and authorities:
 * tables of what is and what is not.
 */
#include "lib/http/h1_write.h"
#include "tests/unit/lib/http/fixture.h"

#define L(text) {text, sizeof(text) - 1}

static void test_fields(void **state)
{
	struct arena a;
	struct http_fields f;

	(void)state;
	arena_init(&a, NULL);
	http_fields_init(&f, &a);
	assert_null(http_fields_get(&f, STR("x")).p);
	for (unsigned i = 0; i < 50; i++)
		http_fields_add_copy(&f, i % 2 ? STR("x") : STR("y"), arena_printf(&a, "%u", i));
	assert_int_equal(http_fields_count(&f, STR("x")), 25);
	assert_true(str_eq(http_fields_get(&f, STR("x")), STR("1")));
	assert_true(http_fields_has(&f, STR("y")));
	assert_false(http_fields_has(&f, STR("Y")));
	http_fields_set(&f, STR("y"), STR("only"));
	assert_int_equal(http_fields_count(&f, STR("y")), 1);
	assert_true(str_eq(f.v[f.n - 1].value, STR("only")));
	assert_int_equal(http_fields_remove(&f, STR("x")), 25);
	assert_int_equal(http_fields_remove(&f, STR("x")), 0);
	assert_int_equal(http_fields_size(&f), 1 + 4 + 32);
	arena_clear(&a);
}

static void test_tokens_in_lists(void **state)
{
	struct arena a;
	struct http_fields f;

	(void)state;
	arena_init(&a, NULL);
	http_fields_init(&f, &a);
	http_fields_add(&f, STR("connection"), STR("a , Upgrade,,"));
	http_fields_add(&f, STR("connection"), STR("close"));
	http_fields_add(&f, STR("other"), STR("x"));
	assert_true(http_fields_has_token(&f, STR("connection"), STR("upgrade")));
	assert_true(http_fields_has_token(&f, STR("connection"), STR("CLOSE")));
	assert_false(http_fields_has_token(&f, STR("connection"), STR("up")));
	assert_false(http_fields_has_token(&f, STR("connection"), STR("x")));
	arena_clear(&a);
}

static void test_copy(void **state)
{
	struct arena a, b;
	struct http_head h, copy;
	char path[] = "/path";

	(void)state;
	arena_init(&a, NULL);
	arena_init(&b, NULL);
	http_head_init(&h, HTTP_REQUEST, &a);
	h.method = STR("GET");
	h.path = str_from(path);
	h.length = 7;
	http_fields_add_copy(&h.fields, STR("cookie"), STR("c"));
	h.fields.v[0].never_index = true;
	http_head_copy(&copy, &h, &b);
	path[1] = 'X';
	arena_clear(&a);
	assert_true(str_eq(copy.path, STR("/path")));
	assert_true(str_eq(copy.fields.v[0].value, STR("c")));
	assert_true(copy.fields.v[0].never_index);
	assert_int_equal(copy.length, 7);
	arena_clear(&b);
}

struct sample {
	struct str text;
	bool good;
};

static void try_all(bool (*is)(struct str s), const struct sample *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is(v[i].text) != v[i].good)
			fail_msg("%.*s", STR_ARG(v[i].text));
	}
}

static void test_tokens_and_values(void **state)
{
	static const struct sample tokens[] = {{L("x"), true}, {L("!#$%&'*+-.^_`|~09azAZ"), true},
		{L(""), false}, {L("a b"), false}, {L("a:"), false}, {L("a\0"), false},
		{L("\xe9"), false}, {L("a/b"), false}, {L("(a)"), false}, {L("a\x7f"), false}};
	static const struct sample values[] = {{L(""), true}, {L("a b\tc"), true},
		{L("\xff\x80"), true}, {L(" a"), false}, {L("a "), false}, {L("\ta"), false},
		{L("a\r\nb"), false}, {L("a\rb"), false}, {L("a\nb"), false}, {L("a\0b"), false},
		{L("a\x7f"), false}, {L("a\x1f"), false}, {L("\v"), false}};

	(void)state;
	try_all(http_is_token, tokens, sizeof(tokens) / sizeof(tokens[0]));
	try_all(http_is_field_value, values, sizeof(values) / sizeof(values[0]));
	for (unsigned c = 0; c < 256; c++) {
		char byte = (char)c;
		bool tchar = c != 0 &&
			strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
			       "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
				(int)c) != NULL;

		assert_int_equal(http_is_token(str_make(&byte, 1)), tchar);
	}
}

static void test_paths(void **state)
{
	static const struct sample paths[] = {{L("/"), true}, {L("/a/../b//c;d?e=f&g=%zz"), true},
		{L("/{}|\\^`<>\"[]"), true}, {L(""), false}, {L("a"), false}, {L("*"), false},
		{L("/a b"), false}, {L("/#"), false}, {L("/\x7f"), false}, {L("/\xc3\xa9"), false},
		{L("/a\r\n"), false}, {L("/\0"), false}};

	(void)state;
	try_all(http_is_path, paths, sizeof(paths) / sizeof(paths[0]));
}

static void test_authorities(void **state)
{
	static const struct sample authorities[] = {{L("a"), true}, {L("A.b-c_d~1."), true},
		{L("a:0"), true}, {L("a:65535"), true}, {L("10.0.0.1:80"), true},
		{L("[::1]"), true}, {L("[::ffff:10.0.0.1]:80"), true}, {L("a%2fb"), true},
		{L("a!$&'()*+;=b"), true}, {L(""), false}, {L(":80"), false}, {L("a:"), false},
		{L("a:65536"), false}, {L("a:8o"), false}, {L("a:-1"), false}, {L("a:1:2"), false},
		{L("a,b"), false}, {L("u@a"), false}, {L("a b"), false}, {L("a/b"), false},
		{L("a?b"), false}, {L("a#b"), false}, {L("a\\b"), false}, {L("a%2"), false},
		{L("a%zz"), false}, {L("[]"), false}, {L("[::1"), false}, {L("::1"), false},
		{L("[::1]x"), false}, {L("[::1]:"), false}, {L("[v1.a]"), false},
		{L("[1.2.3.4]"), false}, {L("[::1%25eth0]"), false}, {L("[::1\0]"), false},
		{L("a\0"), false}, {L("\xc3\xa9"), false}};

	(void)state;
	try_all(http_is_authority, authorities, sizeof(authorities) / sizeof(authorities[0]));
}

static void test_meaning(void **state)
{
	(void)state;
	assert_true(http_no_body(STR("HEAD"), 200));
	assert_true(http_no_body(STR("GET"), 204));
	assert_true(http_no_body(STR("GET"), 304));
	assert_true(http_no_body(STR("GET"), 103));
	assert_true(http_no_body(STR("CONNECT"), 200));
	assert_false(http_no_body(STR("CONNECT"), 404));
	assert_false(http_no_body(STR("GET"), 205));
	assert_true(http_method_idempotent(STR("PUT")));
	assert_false(http_method_idempotent(STR("POST")));
	assert_false(http_method_idempotent(STR("get")));
	assert_true(str_eq(http_status_phrase(200), STR("OK")));
	assert_true(str_eq(http_status_phrase(431), STR("Request Header Fields Too Large")));
	assert_true(str_eq(http_status_phrase(299), STR("Unknown")));
}

/* Text that crosses the ends of chunks is whole. */
static void test_writer(void **state)
{
	struct buf_pool *pool = buf_pool_new(1 << 20);
	struct buf out;
	struct h1_writer w;
	char *run = run_of('r', 1000);

	(void)state;
	buf_init(&out, pool);
	h1_write_begin(&w, &out);
	h1_write_u64(&w, 0);
	h1_write_u64(&w, UINT64_MAX);
	for (unsigned i = 0; i < 100; i++)
		h1_write(&w, str_make(run, 1000));
	h1_write_end(&w);
	assert_int_equal(buf_len(&out), 21 + 100000);
	buf_truncate(&out, 100000);
	assert_true(buf_eq(&out, STR("018446744073709551615")));
	buf_clear(&out);
	buf_pool_free(&pool);
	free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_tokens_in_lists),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_tokens_and_values),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_authorities),
		cmocka_unit_test(test_meaning),
		cmocka_unit_test(test_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
