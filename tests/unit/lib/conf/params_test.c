/*
 * The parameter table end to end: precedence, every type with its bounds, words among flags,
 * negation, and the messages for what is refused. Each test runs conf_load on the demo program of
 * demo.h and owns the streams that it printed to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/err.h"
#include "tests/unit/lib/conf/demo.h"

#define ARGV_MAX 12

/* One call of conf_load and what it printed; freed by run_free. */
struct run {
	struct demo_conf conf;
	char *argv[ARGV_MAX + 1];
	int argc, n_args;
	char *out, *err;
	enum conf_result result;
};

static void run_demo(struct run *r, ...)
{
	size_t n;
	va_list words;

	memset(r, 0, sizeof(*r));
	r->argv[r->argc++] = (char *)(uintptr_t)"demo";
	va_start(words, r);
	for (char *w = va_arg(words, char *); w != NULL && r->argc < ARGV_MAX;
		w = va_arg(words, char *))
		r->argv[r->argc++] = w;
	va_end(words);
	FILE *out = open_memstream(&r->out, &n), *err = open_memstream(&r->err, &n);

	r->result = conf_load(&demo_program, r->argc, r->argv, &r->n_args, &r->conf, out, err);
	fclose(out);
	fclose(err);
}

static void run_free(struct run *r)
{
	conf_free(&demo_program, &r->conf);
	free(r->out);
	free(r->err);
}

static int clear_env(void **state)
{
	(void)state;
	for (size_t i = 0; i < demo_program.n_params; i++)
		if (demo_params[i].env != NULL)
			unsetenv(demo_params[i].env);
	return 0;
}

static void test_defaults(void **state)
{
	struct run r;
	char ip[ADDR_TEXT];

	(void)state;
	run_demo(&r, NULL);
	assert_int_equal(r.result, CONF_RUN);
	assert_string_equal(addr_format(&r.conf.admin, ip), "127.0.0.1:15000");
	assert_int_equal(r.conf.peer.family, ADDR_NONE);
	assert_int_equal(r.conf.max_conns, 1024);
	assert_int_equal(r.conf.buffer, 1 << 20);
	assert_int_equal(r.conf.drain, 5 * NS_PER_S);
	assert_int_equal(r.conf.format, 0);
	assert_true(r.conf.access_log);
	assert_string_equal(r.conf.state, "");
	assert_string_equal(r.conf.exclude, "");
	assert_int_equal(r.n_args, 0);
	assert_string_equal(r.err, "");
	run_free(&r);
}

static void test_flag_beats_environment_beats_default(void **state)
{
	struct run r;

	(void)state;
	setenv("DEMO_DRAIN_TIME", "7s", 1);
	setenv("DEMO_MAX_CONNS", "12", 1);
	setenv("DEMO_ACCESS_LOG", "off", 1);
	setenv("DEMO_LOG_FORMAT", "", 1);
	setenv("DEMO_EXCLUDE_PORTS", "1,2", 1);
	run_demo(&r, "--max-conns", "13", "--exclude-ports=3", NULL);
	assert_int_equal(r.result, CONF_RUN);
	assert_int_equal(r.conf.drain, 7 * NS_PER_S);
	assert_int_equal(r.conf.max_conns, 13);
	assert_false(r.conf.access_log);
	assert_int_equal(r.conf.format, 0);
	assert_string_equal(r.conf.exclude, "3");
	run_free(&r);
}

static void test_every_type_by_flag(void **state)
{
	struct run r;
	char ip[ADDR_TEXT];

	(void)state;
	run_demo(&r, "--admin=[::1]:9000", "--peer", "10.0.0.1", "--buffer-limit=64KiB",
		"--drain-time", "1m30s", "--log-format=text", "--no-access-log",
		"--state-file=/a b=c", "--exclude-ports", " 22, 25 ", NULL);
	assert_int_equal(r.result, CONF_RUN);
	assert_string_equal(addr_format(&r.conf.admin, ip), "[::1]:9000");
	assert_string_equal(addr_format(&r.conf.peer, ip), "10.0.0.1");
	assert_int_equal(r.conf.buffer, 65536);
	assert_int_equal(r.conf.drain, 90 * NS_PER_S);
	assert_int_equal(r.conf.format, 1);
	assert_false(r.conf.access_log);
	assert_string_equal(r.conf.state, "/a b=c");
	assert_string_equal(r.conf.exclude, "22,25");
	run_free(&r);
}

static void test_last_flag_wins_but_lists_join(void **state)
{
	struct run r;

	(void)state;
	run_demo(&r, "--max-conns=5", "--no-access-log", "--access-log", "--exclude-ports=22",
		"--max-conns", "6", "--exclude-ports", "25,80", NULL);
	assert_int_equal(r.result, CONF_RUN);
	assert_int_equal(r.conf.max_conns, 6);
	assert_true(r.conf.access_log);
	assert_string_equal(r.conf.exclude, "22,25,80");
	run_free(&r);
}

static void test_words_are_left(void **state)
{
	struct run r;

	(void)state;
	run_demo(&r, "run", "--access-log", "file", "--max-conns", "5", "-", "--", "--not-a-flag",
		NULL);
	assert_int_equal(r.result, CONF_RUN);
	assert_int_equal(r.n_args, 4);
	assert_string_equal(r.argv[1], "run");
	assert_string_equal(r.argv[2], "file");
	assert_string_equal(r.argv[3], "-");
	assert_string_equal(r.argv[4], "--not-a-flag");
	assert_null(r.argv[5]);
	run_free(&r);
}

struct refused {
	const char *word, *next, *message;
};

static void test_refused_values_say_what_is_accepted(void **state)
{
	static const struct refused cases[] = {
		{"--max-conns=0", NULL,
			"demo: --max-conns=0: expected a whole number, 1 to 65536 connections\n"},
		{"--max-conns", "65537",
			"demo: --max-conns=65537: expected a whole number, 1 to 65536 connections\n"},
		{"--max-conns=-1", NULL, "demo: --max-conns=-1: expected a whole number"},
		{"--max-conns=", NULL, "demo: --max-conns=: expected a whole number"},
		{"--drain-time", "5",
			"demo: --drain-time=5: expected a duration such as 250ms, 5s or 1m30s, at most 1h\n"},
		{"--drain-time=61m", NULL, "at most 1h\n"},
		{"--buffer-limit=1KiB", NULL,
			"expected bytes, or a number with KiB, MiB or GiB, 4KiB to 1GiB\n"},
		{"--log-format=jsno", NULL,
			"expected one of json, text, none; did you mean json?\n"},
		{"--access-log=maybe", NULL, "expected true or false\n"},
		{"--no-access-log=true", NULL,
			"takes no value; write --access-log=true or --access-log=false\n"},
		{"--admin", "localhost:15000",
			"expected an IP address with port, such as 127.0.0.1:15000"},
		{"--admin", "127.0.0.1", "expected an IP address with port"},
		{"--state-file=", NULL, "expected text, 1 to 100 bytes\n"},
		{"--exclude-ports=1,,2", NULL,
			"expected a list separated by commas, no item empty, at most 3 items\n"},
		{"--exclude-ports=1,2,3,4", NULL, "at most 3 items\n"},
		{"--drain-time", NULL, "demo: --drain-time needs a value: --drain-time DURATION\n"},
		{"--drain-time", "--access-log", "demo: --drain-time needs a value"},
		{"--drian-time=5s", NULL,
			"demo: unknown flag --drian-time=5s; did you mean --drain-time?\n"},
		{"--hepl", NULL, "did you mean --help?\n"},
		{"-max-conns", "5", "demo: unknown flag -max-conns; did you mean --max-conns?\n"},
		{"--no-max-conns", NULL,
			"demo: unknown flag --no-max-conns; did you mean --max-conns?\n"},
		{"--=5", NULL, "demo: unknown flag --=5\n"},
		{"-x", NULL, "demo: unknown flag -x\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r;

		run_demo(&r, cases[i].word, cases[i].next, NULL);
		assert_int_equal(r.result, CONF_EXIT_USAGE);
		if (strstr(r.err, cases[i].message) == NULL)
			fail_msg("%s %s gave: %s", cases[i].word, cases[i].next, r.err);
		assert_non_null(strstr(r.err, "Try 'demo --help'.\n"));
		run_free(&r);
	}
}

static void test_all_errors_are_told_and_nothing_is_left(void **state)
{
	struct run r;

	(void)state;
	setenv("DEMO_MAX_CONNS", "many", 1);
	run_demo(&r, "--state-file=kept", "--drain-time=x", "--bogus", NULL);
	assert_int_equal(r.result, CONF_EXIT_USAGE);
	assert_non_null(strstr(r.err, "DEMO_MAX_CONNS=many: expected a whole number"));
	assert_non_null(strstr(r.err, "--drain-time=x"));
	assert_non_null(strstr(r.err, "--bogus"));
	assert_null(r.conf.state);
	assert_null(r.conf.exclude);
	run_free(&r);
}

static void test_required(void **state)
{
	/* The only member of this program's struct. */
	struct token_conf {
		char *token;
	} conf = {NULL};
	static const struct param params[] = {PARAM_ROW(struct token_conf, token, STRING, "token",
		"DEMO_TOKEN", NULL, 1, 0, "TEXT", "A token.")};
	static const struct conf_program prog = {
		.name = "t", .summary = "s", .synopsis = "t", .params = params, .n_params = 1};
	char *argv[] = {NULL, NULL}, *text;
	size_t size;
	int n;
	FILE *err = open_memstream(&text, &size);

	(void)state;
	unsetenv("DEMO_TOKEN");
	assert_int_equal(conf_load(&prog, 1, argv, &n, &conf, err, err), CONF_EXIT_USAGE);
	fflush(err);
	assert_non_null(strstr(text,
		"t: --token is required (or the environment variable DEMO_TOKEN)\n"));
	setenv("DEMO_TOKEN", "abc", 1);
	assert_int_equal(conf_load(&prog, 1, argv, &n, &conf, err, err), CONF_RUN);
	assert_string_equal(conf.token, "abc");
	conf_free(&prog, &conf);
	fclose(err);
	free(text);
}

static void test_values_as_text(void **state)
{
	static const char *const expected[] = {NULL, "127.0.0.1:15000", "", "1024", NULL, "1MiB",
		"1m30s", NULL, "none", "false", "/x", "1,2"};
	struct run r;
	char text[64];

	(void)state;
	run_demo(&r, "--drain-time=90s", "--log-format=none", "--access-log=no", "--state-file=/x",
		"--exclude-ports=1, 2", NULL);
	for (size_t i = 0; i < demo_program.n_params; i++) {
		if (demo_params[i].flag == NULL)
			continue;
		assert_int_equal(conf_format_value(&demo_params[i], &r.conf, text, sizeof(text)),
			0);
		assert_string_equal(text, expected[i]);
	}
	assert_int_equal(conf_format_value(&demo_params[1], &r.conf, text, 5), ERR_LIMIT);
	assert_string_equal(text, "");
	run_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_defaults, clear_env),
		cmocka_unit_test_setup_teardown(test_flag_beats_environment_beats_default,
			clear_env, clear_env),
		cmocka_unit_test_setup(test_every_type_by_flag, clear_env),
		cmocka_unit_test_setup(test_last_flag_wins_but_lists_join, clear_env),
		cmocka_unit_test_setup(test_words_are_left, clear_env),
		cmocka_unit_test_setup(test_refused_values_say_what_is_accepted, clear_env),
		cmocka_unit_test_setup_teardown(test_all_errors_are_told_and_nothing_is_left,
			clear_env, clear_env),
		cmocka_unit_test(test_required),
		cmocka_unit_test_setup(test_values_as_text, clear_env),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
