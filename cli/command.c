/*
 * From words to a command, and what every command does with its flags. Owns nothing; called by main
 * and by the commands.
 */
#include "cli/command.h"

#include <stdarg.h>
#include <string.h>

#include "lib/conf/nearest.h"

static const struct command *find(const struct command_group *group, const char *name)
{
	for (size_t i = 0; i < group->n; i++)
		if (strcmp(group->commands[i].name, name) == 0)
			return &group->commands[i];
	return NULL;
}

static void print_list(const struct command_group *group, FILE *out)
{
	fprintf(out, "%s: %s\n\nUsage\n  %s COMMAND [flags]\n\nCommands\n", group->name,
		group->summary, group->name);
	for (size_t i = 0; i < group->n; i++)
		fprintf(out, "  %-14s%s\n", group->commands[i].name, group->commands[i].summary);
	fprintf(out, "\nHelp\n  '%s COMMAND --help' explains a command and shows examples.\n",
		group->name);
	if (group->examples != NULL)
		fprintf(out, "\nExamples\n  %s\n", group->examples);
}

static int on_unknown(const struct command_group *group, const char *name)
{
	struct nearest near;
	nearest_init(&near, str_from(name));
	for (size_t i = 0; i < group->n; i++)
		nearest_offer(&near, str_from(group->commands[i].name));
	struct str best = nearest_pick(&near);
	fprintf(stderr, "%s: unknown command %.100s", group->name, name);
	if (best.n > 0)
		fprintf(stderr, "; did you mean %.*s?", STR_ARG(best));
	fprintf(stderr, "\nTry '%s --help'.\n", group->name);
	return CLI_USAGE;
}

/* help NAME [NAME...] is NAME [NAME...] --help. */
static int run_help(const struct command_group *group, int argc, char **argv)
{
	char help[] = "--help", *words[8];
	int n = 0;
	const struct command *c = find(group, argv[2]);
	if (c == NULL)
		return on_unknown(group, argv[2]);
	for (int i = 2; i < argc && n < 6; i++)
		words[n++] = argv[i];
	words[n++] = help;
	words[n] = NULL;
	return c->run(n, words);
}

int command_run(const struct command_group *group, int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	if (name == NULL) {
		print_list(group, stderr);
		return CLI_USAGE;
	}
	bool help = strcmp(name, "help") == 0;
	if (help && argc > 2)
		return run_help(group, argc, argv);
	if (help || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		print_list(group, stdout);
		return CLI_OK;
	}
	const struct command *c = find(group, name);
	return c != NULL ? c->run(argc - 1, argv + 1) : on_unknown(group, name);
}

/* Our parser of flags has long ones alone; -o is what people type for the format of the output. */
static void lengthen(int argc, char **argv)
{
	static const char output[] = "--output";
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "-o") == 0)
			argv[i] = (char *)(uintptr_t)output;
}

bool command_load(const struct conf_program *prog, int argc, char **argv, int min, int max,
	void *values, int *n_words, int *code)
{
	lengthen(argc, argv);
	enum conf_result result = conf_load(prog, argc, argv, n_words, values, stdout, stderr);
	if (result != CONF_RUN) {
		*code = result == CONF_EXIT_OK ? CLI_OK : CLI_USAGE;
		return false;
	}
	if (*n_words >= min && *n_words <= max)
		return true;
	if (*n_words > max)
		*code = command_misuse(prog, "unexpected word %.100s", argv[max + 1]);
	else
		*code = command_misuse(prog, "a word is missing: %s", prog->synopsis);
	conf_free(prog, values);
	return false;
}

int command_fail(const struct conf_program *prog, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fprintf(stderr, "%s: ", prog->name);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	return CLI_FAIL;
}

int command_misuse(const struct conf_program *prog, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fprintf(stderr, "%s: ", prog->name);
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\nTry '%s --help'.\n", prog->name);
	va_end(args);
	return CLI_USAGE;
}
