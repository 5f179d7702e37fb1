/*
 * Parameters of a program from one table: flag, environment variable, type, bounds, default and help. The table generates the parser, --help and the
 * documentation; values land in a struct of the program's own. Order of precedence: flag, environment, default.
 *
 * A program has a params.def: PARAM(field, TYPE, "flag-name", "ENV_NAME", "default", min, max, "unit or values", "help") and makes from it the struct
 * (PARAM_FIELD_<TYPE>) and the table of struct param. All values are kept as text until conf_load has checked every one of them.
 */
#ifndef WEFT_CONF_PARAMS_H
#define WEFT_CONF_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/net/addr.h"

enum param_type {
	PARAM_BOOL,	/* bool; flag alone means true; --no-flag */
	PARAM_U64,	/* uint64_t */
	PARAM_SIZE,	/* uint64_t bytes; suffixes KiB MiB GiB */
	PARAM_DURATION, /* uint64_t nanoseconds; suffixes us ms s m h */
	PARAM_STRING,	/* char *, owned by the struct */
	PARAM_CHOICE,	/* uint64_t index into the |-separated values */
	PARAM_ADDR,	/* struct addr */
	PARAM_LIST	/* char *, comma-separated, owned; repeated flags are joined */
};

/* One row. Static storage. */
struct param {
	const char *flag, *env, *def, *values, *help, *group;
	enum param_type type;
	uint64_t min, max;
	size_t offset;
};

/* The members that the types have in the program's struct. */
#define PARAM_FIELD_BOOL bool
#define PARAM_FIELD_U64 uint64_t
#define PARAM_FIELD_SIZE uint64_t
#define PARAM_FIELD_DURATION uint64_t
#define PARAM_FIELD_STRING char *
#define PARAM_FIELD_CHOICE uint64_t
#define PARAM_FIELD_ADDR struct addr
#define PARAM_FIELD_LIST char *

/* A program's face on the command line. Static storage. */
struct conf_program {
	const char *name;	 /* "weft-sidecar" */
	const char *summary;	 /* one sentence */
	const char *synopsis;	 /* "weft-sidecar [flags]\n  weft-sidecar capture [flags]" */
	const char *examples;	 /* shown at the end of --help; may be NULL */
	const struct param *params;
	size_t n_params;
};

enum conf_result { CONF_RUN, CONF_EXIT_OK, CONF_EXIT_USAGE };

/*
 * Reads defaults, environment and argv[1..] into values (a zeroed struct of the program). --help and --version print to out and give CONF_EXIT_OK;
 * errors go to err naming flag or variable, the value and what is accepted (with the nearest flag for a misspelt one) and give CONF_EXIT_USAGE. Words that are no flags are
 * left in argv; *n_args receives their number (argv[1..n_args]), "--" ends flags.
 */
enum conf_result conf_load(const struct conf_program *prog, int argc, char **argv, int *n_args, void *values, FILE *out, FILE *err);
/* Frees the strings in values. */
void conf_free(const struct conf_program *prog, void *values);
void conf_print_help(const struct conf_program *prog, FILE *out);
/* Markdown table for docs/. */
void conf_print_markdown(const struct conf_program *prog, FILE *out);
/* The value as text in the same notation, for config dumps. 0 or ERR_LIMIT. */
int conf_format_value(const struct param *p, const void *values, char *dst, size_t size);

/* The parsers, for other users of the same notations. 0 or ERR_INVAL / ERR_LIMIT. */
int conf_parse_duration(struct str s, uint64_t *ns);
int conf_parse_size(struct str s, uint64_t *bytes);

#endif
