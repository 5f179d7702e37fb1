/*
 * What commands of `weft` share: the table that they stand in, the way from words to a function,
 * and how each reads its flags. A new command is a file with its function and a row in
 * cli/commands.def.
 */
#ifndef WEFT_CLI_COMMAND_H
#define WEFT_CLI_COMMAND_H

#include <stddef.h>

#include "lib/conf/params.h"

/* Exit codes: done (or: the answer is yes), failed (or: no), wrong usage. */
#define CLI_OK 0
#define CLI_FAIL 1
#define CLI_USAGE 2

/* argv[0] is the command's own name; what it returns is the exit code. */
typedef int command_fn(int argc, char **argv);

/* A row. Static storage. */
struct command {
	const char *name;
	command_fn *run;
	const char *summary;
};

/* A command that has commands: `weft` itself, `weft cert`. Static storage. */
struct command_group {
	const char *name;    /* "weft cert" */
	const char *summary; /* one sentence */
	const char *examples;
	const struct command *commands;
	size_t n;
};

/*
 * Runs the command that argv[1] names. `--help`, `help` and nothing print the list (nothing: as an
 * error), `help NAME` the command's own help; an unknown name gets the nearest one suggested.
 */
int command_run(const struct command_group *group, int argc, char **argv);

/*
 * conf_load for a command: `-o` stands for `--output`. True where the command goes on; else its
 * exit code is in *code. Words that are no flags must be at least min and at most max; usage is an
 * error else. They are argv[1..*n_words].
 */
bool command_load(const struct conf_program *prog, int argc, char **argv, int min, int max,
	void *values, int *n_words, int *code);

/* "weft cert leaf: MESSAGE" to stderr; returns CLI_FAIL, or CLI_USAGE with a hint at --help. */
int command_fail(const struct conf_program *prog, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int command_misuse(const struct conf_program *prog, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The functions of cli/commands.def. */
#define COMMAND(name, function, summary) int function(int argc, char **argv);
#include "cli/commands.def"
#undef COMMAND

#endif
