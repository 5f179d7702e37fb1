/*
 * Parameters of a program from one table: flag, environment variable, type, bounds, default and
 * help. The table generates the parser, --help and the documentation; values land in a struct of
 * the program's own. A flag wins over the environment, that over the default.
 *
 * A program writes its parameters once, in a params.def:
 *
 *	PARAM_GROUP("Draining")
 *	PARAM(drain_time, DURATION, "drain-time", "WEFT_DRAIN_TIME", "5s", 0, 600 * NS_PER_S, "",
 *		"How long to drain after SIGTERM.")
 *	PARAM(field, TYPE, "flag", "ENVIRONMENT", "default", min, max,
 *		"unit, placeholder or values", "help")
 *
 * and includes it twice, for the struct and for the table (tests/unit/lib/conf/demo.h does):
 *
 *	struct demo_conf {
 *	#define PARAM PARAM_MEMBER
 *	#define PARAM_GROUP PARAM_GROUP_MEMBER
 *	#include "demo/params.def"
 *	#undef PARAM
 *	#undef PARAM_GROUP
 *	};
 *	static const struct param demo_params[] = {
 *	#define PARAM(...) PARAM_ROW(struct demo_conf, __VA_ARGS__)
 *	#define PARAM_GROUP PARAM_GROUP_ROW
 *	#include "demo/params.def"
 *	#undef PARAM
 *	#undef PARAM_GROUP
 *	};
 */
#ifndef WEFT_CONF_PARAMS_H
#define WEFT_CONF_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/net/addr.h"

/* min and max bound the value itself unless noted; max 0: no upper bound. */
enum param_type {
	PARAM_BOOL,     /* bool; flag alone means true; --no-flag */
	PARAM_U64,      /* uint64_t; values: its unit in words, may be "" */
	PARAM_SIZE,     /* uint64_t bytes; suffixes KiB MiB GiB */
	PARAM_DURATION, /* uint64_t nanoseconds; suffixes us ms s m h, also combined: 1m30s */
	PARAM_STRING,   /* char *, never NULL; min, max: length; values: placeholder ("FILE") */
	PARAM_CHOICE,   /* uint64_t index into the |-separated values */
	PARAM_ADDR,     /* struct addr; min, max: its port, so min 1 demands one */
	PARAM_LIST, /* char *, never NULL, comma-separated; min, max: items; values: placeholder */
};

/*
 * One row, or (flag NULL) the heading of those that follow. Static storage.
 * def: NULL: must be given; "": zero or empty unless given.
 */
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

/* A row of params.def as a member of the struct, and as a row of the table. */
#define PARAM_MEMBER(field, TYPE, flag_, env_, def_, min_, max_, values_, help_) \
	PARAM_FIELD_##TYPE field;
#define PARAM_GROUP_MEMBER(title)
#define PARAM_ROW(S, field, TYPE, flag_, env_, def_, min_, max_, values_, help_) \
	{.flag = (flag_),                                                        \
		.env = (env_),                                                   \
		.def = (def_),                                                   \
		.values = (values_),                                             \
		.help = (help_),                                                 \
		.type = PARAM_##TYPE,                                            \
		.min = (min_),                                                   \
		.max = (max_),                                                   \
		.offset = offsetof(S, field)},
#define PARAM_GROUP_ROW(title) {.group = (title)},

/* A program's face on the command line. Static storage. */
struct conf_program {
	const char *name;     /* "weft-sidecar" */
	const char *summary;  /* one sentence */
	const char *synopsis; /* "weft-sidecar [flags]\n  weft-sidecar capture [flags]" */
	const char *examples; /* shown at the end of --help; may be NULL */
	const struct param *params;
	size_t n_params; /* headings included */
};

enum conf_result { CONF_RUN, CONF_EXIT_OK, CONF_EXIT_USAGE };

/*
 * Reads defaults, environment (an empty variable counts as not set) and argv[1..] into values (a
 * zeroed struct of the program, borrowed). --help (-h) and --version print to out and give
 * CONF_EXIT_OK. Errors, all of them, go to err naming flag or variable, the value and what is
 * accepted (with the nearest flag for a misspelt one) and give CONF_EXIT_USAGE. Without CONF_RUN
 * values holds nothing to free. "--flag value" and "--flag=value" are the same; of a flag given
 * twice the last wins. Words that are no flags are left in argv[1..*n_args]; "--" ends flags.
 */
enum conf_result conf_load(const struct conf_program *prog, int argc, char **argv, int *n_args,
	void *values, FILE *out, FILE *err);
/* Frees the strings in values. Safe on a zeroed struct. */
void conf_free(const struct conf_program *prog, void *values);
void conf_print_help(const struct conf_program *prog, FILE *out);
/* Headings and tables in Markdown, for docs/. */
void conf_print_markdown(const struct conf_program *prog, FILE *out);
/*
 * The value as text in the same notation, for config dumps. 0 or ERR_LIMIT (dst is then empty).
 */
int conf_format_value(const struct param *p, const void *values, char *dst, size_t size);

/*
 * For other users of the notations. 0, ERR_INVAL, or ERR_LIMIT over 2^64 - 1. "0" needs no unit.
 */
int conf_parse_duration(struct str s, uint64_t *ns);
int conf_parse_size(struct str s, uint64_t *bytes);
/* The reverse: "1m30s", "64KiB". dst has room for CONF_TEXT bytes. */
#define CONF_TEXT 40
void conf_format_duration(uint64_t ns, char dst[CONF_TEXT]);
void conf_format_size(uint64_t bytes, char dst[CONF_TEXT]);

#endif
