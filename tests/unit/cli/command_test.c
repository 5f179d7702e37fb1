/*
 * From words to a command: which function gets which words, help, and exit codes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/command.h"

/* Both give their exit code for what they were called with. */
static int run_first(int argc, char **argv)
{
	assert_string_equal(argv[0], "first");
	assert_null(argv[argc]);
	return 10 + argc;
}

static int run_help(int argc, char **argv)
{
	return strcmp(argv[argc - 1], "--help") == 0 ? 20 + argc : 1;
}

static const struct command commands[] = {
	{"first", run_first, "the first"},
	{"second", run_help, "the second"},
};

static const struct command_group group = {
	.name = "test", .summary = "a test.", .commands = commands, .n = 2};

static int run(int argc, const char *const *words)
{
	char *argv[8] = {NULL};
	for (int i = 0; i < argc; i++)
		argv[i] = (char *)(uintptr_t)words[i];
	return command_run(&group, argc, argv);
}

#define RUN(...)                                                                \
	run((int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)), \
		(const char *const[]){__VA_ARGS__})

static void words_reach_the_command(void **state)
{
	(void)state;
	assert_int_equal(RUN("test", "first"), 11);
	assert_int_equal(RUN("test", "first", "--a", "b"), 13);
}

static void help(void **state)
{
	(void)state;
	assert_int_equal(RUN("test", "--help"), CLI_OK);
	assert_int_equal(RUN("test", "-h"), CLI_OK);
	assert_int_equal(RUN("test", "help"), CLI_OK);
	assert_int_equal(RUN("test", "help", "second"), 22);
	assert_int_equal(RUN("test", "help", "second", "third"), 23);
	assert_int_equal(RUN("test", "second", "--help"), 22);
}

static void misuse(void **state)
{
	(void)state;
	assert_int_equal(RUN("test"), CLI_USAGE);
	assert_int_equal(RUN("test", "frist"), CLI_USAGE);
	assert_int_equal(RUN("test", ""), CLI_USAGE);
	assert_int_equal(RUN("test", "help", "nobody"), CLI_USAGE);
}

/* A program with one flag, for command_load. */
struct load_conf {
	char *output;
};

static const struct param params[] = {PARAM_ROW(struct load_conf, output, STRING, "output", NULL,
	"text", 0, 10, "FORMAT", "Format.")};

static const struct conf_program program = {.name = "test load",
	.summary = "a test.",
	.synopsis = "test load FILE",
	.params = params,
	.n_params = 1};

static bool load(int argc, const char *const *words, const char *want, int *code)
{
	struct load_conf conf = {0};
	char *argv[8] = {NULL};
	int n_words = -1;
	for (int i = 0; i < argc; i++)
		argv[i] = (char *)(uintptr_t)words[i];
	if (!command_load(&program, argc, argv, 1, 2, &conf, &n_words, code))
		return false;
	assert_string_equal(conf.output, want);
	assert_true(n_words >= 1 && n_words <= 2);
	conf_free(&program, &conf);
	return true;
}

#define LOAD(want, code, ...)                                                    \
	load((int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)), \
		(const char *const[]){__VA_ARGS__}, want, code)

static void loading(void **state)
{
	(void)state;
	int code = -1;
	assert_true(LOAD("text", &code, "load", "a"));
	assert_true(LOAD("json", &code, "load", "-o", "json", "a", "b"));
	assert_true(LOAD("json", &code, "load", "a", "--output=json"));
	assert_true(LOAD("text", &code, "load", "--", "-o"));
	assert_false(LOAD("text", &code, "load"));
	assert_int_equal(code, CLI_USAGE);
	assert_false(LOAD("text", &code, "load", "a", "b", "c"));
	assert_int_equal(code, CLI_USAGE);
	assert_false(LOAD("text", &code, "load", "a", "--nothing"));
	assert_int_equal(code, CLI_USAGE);
	assert_false(LOAD("text", &code, "load", "--help"));
	assert_int_equal(code, CLI_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_reach_the_command),
		cmocka_unit_test(help),
		cmocka_unit_test(misuse),
		cmocka_unit_test(loading),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
