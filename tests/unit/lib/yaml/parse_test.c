/*
 * YAML trees: structure and positions, what plain scalars mean, what is refused and where.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/yaml/yaml.h"

/* Parses and keeps; freed by the test's end. */
struct fixture {
	struct arena arena;
	struct yaml_error error;
};

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
	const struct yaml_node *docs;
	assert_int_equal(yaml_parse(&f->arena, str_from(text), &docs, &f->error), 0);
	return docs;
}

static void assert_text(struct str s, const char *expected)
{
	char text[256];
	assert_int_equal(str_copy(text, sizeof(text), s), 0);
	assert_string_equal(text, expected);
}

static void test_structure(void **state)
{
	const struct yaml_node *doc = parse(*state,
		"kind: Service\n"
		"spec:\n"
		"  ports:\n"
		"  - port: 80\n"
		"    name: \"http\"\n"
		"  - {port: 443}\n");
	assert_int_equal(doc->kind, YAML_MAP);
	assert_int_equal(doc->n, 2);
	assert_text(yaml_get(doc, "kind")->text, "Service");
	const struct yaml_node *ports = yaml_get(doc, "spec.ports");
	assert_int_equal(ports->kind, YAML_LIST);
	assert_int_equal(ports->n, 2);
	const struct yaml_node *name = yaml_get(ports->first, "name");
	assert_int_equal(name->line, 5);
	assert_int_equal(name->column, 11);
	assert_int_equal(name->key_line, 5);
	assert_int_equal(name->key_column, 5);
	assert_true(name->quoted);
	assert_int_equal(yaml_get(ports->first->next, "port")->number, 443);
	assert_int_equal(ports->first->next->index, 1);
	assert_null(ports->first->next->next);
	assert_null(yaml_get(doc, "spec.nothing.there"));
	assert_null(yaml_get(doc, "kind.below"));
	assert_null(yaml_field(NULL, STR("x")));
}

static void test_documents(void **state)
{
	const struct yaml_node *docs =
		parse(*state, "---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n");
	assert_non_null(docs);
	assert_int_equal(docs->line, 4);
	assert_int_equal(yaml_get(docs, "a")->number, 1);
	assert_int_equal(yaml_get(docs->next, "b")->number, 2);
	assert_null(docs->next->next);
	assert_null(parse(*state, ""));
	assert_null(parse(*state, "# only a comment\n"));
	assert_int_equal(parse(*state,
				 "\xef\xbb\xbf"
				 "a: 1\n")
				 ->kind,
		YAML_MAP);
}

static void test_json(void **state)
{
	const struct yaml_node *doc = parse(*state,
		"{\n\t\"a\": [1, -2, true, null, \"x\\/\\u00e9\\n\"],\n\t\"b\": {\"c.d\": {}}\n}\n");
	const struct yaml_node *a = yaml_get(doc, "a")->first;
	assert_int_equal(a->number, 1);
	assert_int_equal(a->next->number, -2);
	assert_true(a->next->next->truth);
	assert_int_equal(a->next->next->next->kind, YAML_NULL);
	assert_text(a->next->next->next->next->text, "x/\xc3\xa9\n");
	assert_int_equal(yaml_field(yaml_get(doc, "b"), STR("c.d"))->kind, YAML_MAP);
}

static void test_paths(void **state)
{
	struct fixture *f = *state;
	const struct yaml_node *doc =
		parse(f, "items:\n- spec: {ports: [{port: 1}], app.kubernetes.io/name: {x: 1}}\n");
	const struct yaml_node *item = yaml_get(doc, "items")->first;
	const struct yaml_node *port = yaml_get(yaml_get(item, "spec.ports")->first, "port");
	assert_text(yaml_path(&f->arena, NULL, port), "items[0].spec.ports[0].port");
	assert_text(yaml_path(&f->arena, item, port), "spec.ports[0].port");
	assert_text(yaml_path(&f->arena, port, port), "");
	assert_text(yaml_path(&f->arena, NULL, doc), "");
	const struct yaml_node *dotted =
		yaml_field(yaml_get(item, "spec"), STR("app.kubernetes.io/name"));
	assert_text(yaml_path(&f->arena, item, dotted->first),
		"spec[\"app.kubernetes.io/name\"].x");
}

static void test_scalars(void **state)
{
	static const struct {
		const char *text;
		enum yaml_kind kind;
		int64_t number;
	} rows[] = {
		{"", YAML_NULL, 0},
		{"~", YAML_NULL, 0},
		{"null", YAML_NULL, 0},
		{"Null", YAML_NULL, 0},
		{"nULL", YAML_STRING, 0},
		{"true", YAML_BOOL, 0},
		{"False", YAML_BOOL, 0},
		/* booleans of YAML 1.1 that are words to everyone else */
		{"yes", YAML_STRING, 0},
		{"no", YAML_STRING, 0},
		{"on", YAML_STRING, 0},
		{"off", YAML_STRING, 0},
		{"y", YAML_STRING, 0},
		{"N", YAML_STRING, 0},
		{"tRue", YAML_STRING, 0},
		{"0", YAML_INT, 0},
		{"8080", YAML_INT, 8080},
		{"-1", YAML_INT, -1},
		{"9223372036854775807", YAML_INT, INT64_MAX},
		/* numbers to some reader, each another one perhaps */
		{"9223372036854775808", YAML_REAL, 0},
		{"-0", YAML_REAL, 0},
		{"010", YAML_REAL, 0},
		{"+1", YAML_REAL, 0},
		{"0x1F", YAML_REAL, 0},
		{"0o17", YAML_REAL, 0},
		{"0b11", YAML_REAL, 0},
		{"1_000", YAML_REAL, 0},
		{"1.5", YAML_REAL, 0},
		{"1.", YAML_REAL, 0},
		{".5", YAML_REAL, 0},
		{"1e3", YAML_REAL, 0},
		{"1.5E-3", YAML_REAL, 0},
		{".inf", YAML_REAL, 0},
		{"-.Inf", YAML_REAL, 0},
		{".nan", YAML_REAL, 0},
		{"7e10", YAML_REAL, 0},
		{"10.0.0.1", YAML_STRING, 0},
		{"22:22", YAML_STRING, 0},
		{"2024-01-01", YAML_STRING, 0},
		{"0x", YAML_STRING, 0},
		{"0xG", YAML_STRING, 0},
		{"1e", YAML_STRING, 0},
		{"1e+", YAML_STRING, 0},
		{".", YAML_STRING, 0},
		{"+", YAML_STRING, 0},
		{"v1", YAML_STRING, 0},
		{"1.2.3", YAML_STRING, 0},
		{"_1", YAML_STRING, 0},
		{"5432/tcp", YAML_STRING, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[80];
		snprintf(text, sizeof(text), "x: %s\n", rows[i].text);
		const struct yaml_node *x = yaml_get(parse(*state, text), "x");
		if (x->kind != rows[i].kind || x->number != rows[i].number)
			fail_msg("%s is %s", rows[i].text, yaml_kind_text(x->kind));
		snprintf(text, sizeof(text), "x: \"%s\"\n", rows[i].text);
		x = yaml_get(parse(*state, text), "x");
		assert_int_equal(x->kind, YAML_STRING);
		assert_text(x->text, rows[i].text);
	}
}

static void test_styles(void **state)
{
	const struct yaml_node *doc =
		parse(*state, "a: '80'\nb: |\n  80\nc: !!str 80\nd: 80\ne: >-\n  true\n");
	for (const struct yaml_node *c = doc->first; c != NULL; c = c->next)
		assert_int_equal(c->kind, str_eq(c->key, STR("d")) ? YAML_INT : YAML_STRING);
	assert_text(yaml_get(doc, "b")->text, "80\n");
}

/* An anchor alone changes nothing; what refers to it is refused. */
static void test_anchor(void **state)
{
	assert_int_equal(yaml_get(parse(*state, "a: &x 1\n"), "a")->number, 1);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		uint32_t line;
		const char *error;
	} rows[] = {
		{"a: &x 1\nb: *x\n", 2, "the alias *x is not supported: write the value out"},
		{"a: 1\n<<: *x\n", 2, "the alias *x is not supported: write the value out"},
		{"a: !!binary aGk=\n", 1,
			"the tag tag:yaml.org,2002:binary is not supported: write the plain value"},
		{"a: !mine {}\n", 1, "the tag !mine is not supported: write the plain value"},
		{"a: !!str [x]\n", 1,
			"the tag tag:yaml.org,2002:str is not supported: write the plain value"},
		{"a: 1\nb: 2\na: 3\n", 3, "the key a is there twice; it was first in line 1"},
		{"{b: 1, a: 1,\n c: 1, \"a\": 2}\n", 2,
			"the key a is there twice; it was first in line 1"},
		{"? [a, b]\n: 1\n", 1, "a key must be a plain value, found a list"},
		{"? {a: b}\n: 1\n", 1, "a key must be a plain value, found a map"},
		{"a: [1\nb: 2\n", 2,
			"no valid YAML: did not find expected ',' or ']' (while parsing a flow "
			"sequence that begins in line 1)"},
		{"a:\n\t- 1\n", 2,
			"no valid YAML: found character that cannot start any token (while scanning "
			"for the next token that begins in line 2)"},
		{"a: b: c\n", 1, "no valid YAML: mapping values are not allowed in this context"},
		{"a: \"x\n", 2,
			"no valid YAML: found unexpected end of stream (while scanning a quoted "
			"scalar that begins in line 1)"},
		{"a: 1\nb: \xff\n", 2, "not UTF-8 text: invalid leading UTF-8 octet"},
		{"a: 1\nb: \x01\n", 2, "not UTF-8 text: control characters are not allowed"},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct yaml_node *docs;
		assert_int_equal(yaml_parse(&f->arena, str_from(rows[i].text), &docs, &f->error),
			ERR_INVAL);
		assert_null(docs);
		assert_string_equal(f->error.text, rows[i].error);
		assert_int_equal(f->error.line, rows[i].line);
	}
}

/* n times before, then n times after. */
static char *nest(size_t n, char before, char after)
{
	char *text = mem_alloc(2 * n + 1);
	memset(text, before, n);
	memset(text + n, after, n);
	return text;
}

static void test_depth(void **state)
{
	struct fixture *f = *state;
	const struct yaml_node *docs;
	char *text = nest(YAML_MAX_DEPTH, '[', ']');
	assert_int_equal(yaml_parse(&f->arena, str_from(text), &docs, &f->error), 0);
	mem_free(text);
	text = nest(YAML_MAX_DEPTH + 1, '[', ']');
	assert_int_equal(yaml_parse(&f->arena, str_from(text), &docs, &f->error), ERR_LIMIT);
	assert_string_equal(f->error.text, "more than 64 lists and maps inside one another");
	mem_free(text);
	text = nest(100000, '[', ']');
	assert_int_equal(yaml_parse(&f->arena, str_from(text), &docs, &f->error), ERR_LIMIT);
	mem_free(text);
}

static void test_sizes(void **state)
{
	struct fixture *f = *state;
	const struct yaml_node *docs;
	struct str large = {"", YAML_MAX_BYTES + 1};
	assert_int_equal(yaml_parse(&f->arena, large, &docs, &f->error), ERR_LIMIT);
	assert_string_equal(f->error.text, "larger than 32 MiB; split it");
	size_t n = 2u * (YAML_MAX_NODES + 1);
	char *text = mem_alloc(n + 2);
	text[0] = '[';
	for (size_t i = 0; i < n; i += 2)
		memcpy(text + 1 + i, "1,", 2);
	text[n + 1] = ']';
	assert_int_equal(yaml_parse(&f->arena, str_make(text, n + 2), &docs, &f->error), ERR_LIMIT);
	assert_string_equal(f->error.text, "more than 4000000 values in one file; split it");
	mem_free(text);
}

/* Keys are compared in order, not each with each. */
static void test_many_keys(void **state)
{
	struct fixture *f = *state;
	const struct yaml_node *docs;
	size_t n = 0, room = 200000 * 12;
	char *text = mem_alloc(room);
	for (unsigned i = 0; i < 200000; i++)
		n += (size_t)snprintf(text + n, room - n, "k%u: 1\n", i);
	assert_int_equal(yaml_parse(&f->arena, str_make(text, n), &docs, &f->error), 0);
	assert_int_equal(docs->n, 200000);
	mem_free(text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_structure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_documents, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_json, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_paths, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_scalars, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_styles, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_anchor, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_depth, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_keys, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
