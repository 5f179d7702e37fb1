/*
 * Typed reading of YAML: values that are right, and the message of each that is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/yaml/read.h"

/* A reader whose reports end up as lines of text, "LINE PATH: TEXT". */
struct fixture {
	struct arena arena;
	struct yaml_reader r;
	char said[2048];
};

static void on_report(void *arg, uint32_t line, struct str path, struct str text)
{
	struct fixture *f = arg;
	size_t used = strlen(f->said);
	snprintf(f->said + used, sizeof(f->said) - used, "%u %.*s: %.*s\n", line, STR_ARG(path),
		STR_ARG(text));
}

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	arena_init(&f->arena, NULL);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	arena_clear(&f->arena);
	mem_free(f);
	return 0;
}

static const struct yaml_node *parse(struct fixture *f, const char *text)
{
	struct yaml_error error;
	const struct yaml_node *doc;
	assert_int_equal(yaml_parse(&f->arena, str_from(text), &doc, &error), 0);
	f->r = (struct yaml_reader){
		.arena = &f->arena, .root = doc, .report = on_report, .arg = f, .max = 4};
	f->said[0] = '\0';
	return doc;
}

static void test_good(void **state)
{
	static const char *const words[] = {"ALLOW", "DENY", NULL};
	struct fixture *f = *state;
	const struct yaml_node *doc =
		parse(f, "s: x\nb: true\ni: 80\nc: DENY\nm: {k: v}\nl: [a]\nn: null\n");
	struct str s;
	bool b = false;
	int64_t i = 0;
	size_t c = 0;
	assert_true(yaml_read_str(&f->r, doc, "s", YAML_REQUIRED, &s));
	assert_true(str_eq(s, STR("x")));
	assert_true(yaml_read_bool(&f->r, doc, "b", YAML_REQUIRED, &b) && b);
	assert_true(yaml_read_int(&f->r, doc, "i", YAML_REQUIRED, 1, 65535, &i) && i == 80);
	assert_true(yaml_read_choice(&f->r, doc, "c", YAML_REQUIRED, words, &c) && c == 1);
	assert_non_null(yaml_read_map(&f->r, doc, "m", YAML_REQUIRED));
	assert_non_null(yaml_read_list(&f->r, doc, "l", YAML_REQUIRED));
	assert_int_equal(f->r.problems, 0);
}

static void test_absent(void **state)
{
	struct fixture *f = *state;
	const struct yaml_node *doc = parse(f, "n: null\nspec: {a: 1}\n");
	const struct yaml_node *spec = yaml_get(doc, "spec");
	struct str s = STR("kept");
	int64_t i = 7;
	assert_false(yaml_read_str(&f->r, doc, "n", YAML_OPTIONAL, &s));
	assert_false(yaml_read_str(&f->r, doc, "x", YAML_OPTIONAL, &s));
	assert_false(yaml_read_str(&f->r, NULL, "x", YAML_REQUIRED, &s));
	assert_int_equal(f->r.problems, 0);
	assert_false(yaml_read_str(&f->r, doc, "n", YAML_REQUIRED, &s));
	assert_false(yaml_read_int(&f->r, spec, "port", YAML_REQUIRED, 1, 65535, &i));
	assert_null(yaml_read_map(&f->r, spec, "selector", YAML_REQUIRED));
	assert_null(yaml_read_list(&f->r, spec, "rules", YAML_REQUIRED));
	assert_int_equal(f->r.problems, 4);
	assert_string_equal(f->said,
		"1 n: required: a string\n"
		"2 spec.port: required: an integer in 1..65535\n"
		"2 spec.selector: required: a map\n"
		"2 spec.rules: required: a list\n");
	assert_true(str_eq(s, STR("kept")) && i == 7);
}

static void test_wrong(void **state)
{
	static const char *const words[] = {"STRICT", "PERMISSIVE", "DISABLE", NULL};
	static const struct {
		const char *value, *as, *said;
	} rows[] = {
		{"http", "int", "expected an integer in 1..65535, found \"http\""},
		{"\"80\"", "int", "expected an integer in 1..65535, found \"80\""},
		{"0", "int", "expected an integer in 1..65535, found 0"},
		{"65536", "int", "expected an integer in 1..65535, found 65536"},
		{"010", "int", "expected an integer in 1..65535, found 010"},
		{"[1]", "int", "expected an integer in 1..65535, found a list"},
		{"8080", "str", "expected a string, found 8080; put it in quotes: \"8080\""},
		{"1e3", "str", "expected a string, found 1e3; put it in quotes: \"1e3\""},
		{"true", "str", "expected a string, found true; put it in quotes: \"true\""},
		{"{a: b}", "str", "expected a string, found a map"},
		{"\"a\\0b\"", "str",
			"expected a string without NUL characters, found \"a\\u0000b\""},
		{"yes", "bool", "expected true or false, found \"yes\""},
		{"1", "bool", "expected true or false, found 1"},
		{"strict", "choice", "expected STRICT, PERMISSIVE or DISABLE, found \"strict\""},
		{"true", "choice", "expected STRICT, PERMISSIVE or DISABLE, found true"},
		{"x", "map", "expected a map, found \"x\""},
		{"[x]", "map", "expected a map, found a list"},
		{"{x: y}", "list", "expected a list, found a map"},
		{"\"\\e[31m\"", "list", "expected a list, found \"\\u001b[31m\""},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			"list",
			"expected a list, found \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			"aaaaaaaaaaaaaaaaa...\""},
	};
	struct fixture *f = *state;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		char text[256], expected[512];
		struct str s;
		bool b;
		int64_t i;
		size_t c;
		snprintf(text, sizeof(text), "spec:\n  ports:\n  - port: %s\n", rows[n].value);
		const struct yaml_node *doc = parse(f, text);
		const struct yaml_node *port = yaml_get(doc, "spec.ports")->first;
		if (strcmp(rows[n].as, "int") == 0)
			(void)yaml_read_int(&f->r, port, "port", YAML_REQUIRED, 1, 65535, &i);
		else if (strcmp(rows[n].as, "str") == 0)
			(void)yaml_read_str(&f->r, port, "port", YAML_REQUIRED, &s);
		else if (strcmp(rows[n].as, "bool") == 0)
			(void)yaml_read_bool(&f->r, port, "port", YAML_REQUIRED, &b);
		else if (strcmp(rows[n].as, "choice") == 0)
			(void)yaml_read_choice(&f->r, port, "port", YAML_REQUIRED, words, &c);
		else if (strcmp(rows[n].as, "map") == 0)
			(void)yaml_read_map(&f->r, port, "port", YAML_REQUIRED);
		else
			(void)yaml_read_list(&f->r, port, "port", YAML_REQUIRED);
		snprintf(expected, sizeof(expected), "3 spec.ports[0].port: %s\n", rows[n].said);
		assert_string_equal(f->said, expected);
	}
}

static void test_keys(void **state)
{
	static const char *const known[] = {"principals", "namespaces", "ipBlocks", NULL};
	struct fixture *f = *state;
	const struct yaml_node *doc =
		parse(f, "principal: [x]\nnamespaces: [y]\nipBlocks:\nzzz: 1\nnamespace:\n  - 1\n");
	yaml_check_keys(&f->r, doc, known);
	yaml_check_keys(&f->r, NULL, known);
	assert_string_equal(f->said,
		"1 principal: unknown field (did you mean principals?)\n"
		"3 ipBlocks: has no value: leave the field out, or give it one\n"
		"4 zzz: unknown field\n"
		"5 namespace: unknown field (did you mean namespaces?)\n");
}

/* What is beyond the bound is wrong all the same. */
static void test_max(void **state)
{
	static const char *const known[] = {"alpha", NULL};
	struct fixture *f = *state;
	const struct yaml_node *doc = parse(f, "{b: 1, c: 1, d: 1}");
	struct str s;
	f->r.max = 2;
	yaml_check_keys(&f->r, doc, known);
	assert_int_equal(f->r.problems, 2);
	assert_false(yaml_read_str(&f->r, doc, "d", YAML_REQUIRED, &s));
	assert_null(yaml_read_map(&f->r, doc, "d", YAML_REQUIRED));
	assert_null(yaml_read_map(&f->r, doc, "x", YAML_REQUIRED));
	assert_int_equal(f->r.problems, 5);
	assert_string_equal(f->said, "1 b: unknown field\n1 c: unknown field\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_absent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keys, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_max, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
