/*
 * What --help, --version and the documentation say: groups in order, wrapped lines, defaults,
 * bounds, environment names. Owns the text that it collects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/process.h"
#include "tests/unit/lib/conf/demo.h"

static char *collect(void (*print)(const struct conf_program *prog, FILE *out))
{
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	print(&demo_program, out);
	fclose(out);
	return text;
}

static const char *load(char *flag)
{
	char *argv[] = {NULL, flag, NULL}, *text;
	size_t n;
	int n_args;
	struct demo_conf conf = {0};
	FILE *out = open_memstream(&text, &n);

	assert_int_equal(conf_load(&demo_program, 2, argv, &n_args, &conf, out, out), CONF_EXIT_OK);
	fclose(out);
	return text;
}

static void assert_in_order(const char *text, const char *const *pieces, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *at = strstr(text, pieces[i]);

		if (at == NULL)
			fail_msg("missing or out of order: %s", pieces[i]);
		text = at + strlen(pieces[i]);
	}
}

static void assert_narrow(const char *text, size_t width)
{
	struct str rest = str_from(text), line;

	while (str_split(&rest, '\n', &line))
		if (line.n > width)
			fail_msg("too long: %.*s", STR_ARG(line));
}

static void test_help(void **state)
{
	static const char *const pieces[] = {
		"demo: a program that shows",
		"\nUsage\n  demo [flags]\n  demo run [flags] FILE\n",
		"\nListeners\n  --admin ADDRESS:PORT\n      Where the admin endpoints are served.\n",
		"      Default 127.0.0.1:15000. Environment: DEMO_ADMIN.\n",
		"  --peer ADDRESS[:PORT]\n      An address to prefer.\n  --max-conns N\n",
		"      1 to 65536 connections. Default 1024. Environment: DEMO_MAX_CONNS.\n",
		"\nLimits and times\n  --buffer-limit SIZE\n",
		"4KiB to 1GiB. Default 1MiB.",
		"At most 1h. Default 5s.",
		"\nLogging\n  --log-format CHOICE\n",
		"One of json, text, none. Default json.",
		"  --[no-]access-log\n",
		"  --state-file FILE\n",
		"  --exclude-ports PORTS\n",
		"Separated by commas, or the flag repeated. Environment: DEMO_EXCLUDE_PORTS.\n",
		"\nHelp\n  --help, -h\n",
		"\nNotations\n",
		"DURATION:",
		"SIZE:",
		"\nExamples\n  demo --drain-time 10s\n",
	};
	char *text = collect(conf_print_help);
	const char *by_flag = load((char *)(uintptr_t)"--help"),
		   *by_letter = load((char *)(uintptr_t)"-h");

	(void)state;
	assert_in_order(text, pieces, sizeof(pieces) / sizeof(pieces[0]));
	assert_narrow(text, 90);
	assert_string_equal(by_flag, text);
	assert_string_equal(by_letter, text);
	free((char *)(uintptr_t)by_flag);
	free((char *)(uintptr_t)by_letter);
	free(text);
}

static void test_version(void **state)
{
	const char *text = load((char *)(uintptr_t)"--version");

	(void)state;
	assert_true(str_starts(str_from(text), STR("demo ")));
	assert_non_null(strstr(text, process_version()));
	free((char *)(uintptr_t)text);
}

static void test_markdown(void **state)
{
	static const char *const pieces[] = {
		"## demo\n",
		"\n### Listeners\n\n| flag | environment | default | accepted | meaning |\n|---|---|---|---|---|\n",
		"| `--admin ADDRESS:PORT` | `DEMO_ADMIN` | `127.0.0.1:15000` |  | Where the admin endpoints are served. |\n",
		"| `--peer ADDRESS[:PORT]` |  |  |  | An address to prefer. |\n",
		"| `--max-conns N` | `DEMO_MAX_CONNS` | `1024` | 1 to 65536 connections |",
		"\n### Logging\n",
		"| `--[no-]access-log` | `DEMO_ACCESS_LOG` | `true` |  | Write a line for each request. |\n",
	};
	char *text = collect(conf_print_markdown);

	(void)state;
	assert_in_order(text, pieces, sizeof(pieces) / sizeof(pieces[0]));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_markdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
