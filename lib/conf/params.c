/*
 * The command line of every program: collects what environment and flags say for each parameter,
 * then checks and stores all of it. Owns nothing beyond the call but the strings it leaves in the
 * program's struct. Called by each main.
 */
#include "lib/conf/params.h"

#include <stdlib.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"
#include "lib/base/process.h"
#include "lib/conf/nearest.h"
#include "lib/conf/value_internal.h"

/* What was said about one parameter. */
struct given {
	char *text; /* owned; NULL: nothing, the default holds */
	bool by_flag;
	bool as_no; /* --no-flag, for messages */
};

/* One call of conf_load; lives on its stack, owns the array. */
struct load {
	const struct conf_program *prog;
	struct given *given; /* as many as params */
	FILE *out, *err;
	size_t errors;
	bool done; /* --help or --version was answered */
};

static void say_error(struct load *l)
{
	l->errors++;
	fprintf(l->err, "%s: ", l->prog->name);
}

static void give(struct given *g, const struct param *p, struct str text, bool by_flag)
{
	char *old = g->text;

	if (old != NULL && p->type == PARAM_LIST && by_flag && g->by_flag)
		g->text = mem_printf("%s,%.*s", old, STR_ARG(text));
	else
		g->text = mem_strndup(text.p != NULL ? text.p : "", text.n);
	g->by_flag = by_flag;
	g->as_no = false;
	mem_free(old);
}

static void read_env(struct load *l)
{
	for (size_t i = 0; i < l->prog->n_params; i++) {
		const struct param *p = &l->prog->params[i];
		const char *text = p->flag != NULL && p->env != NULL ? getenv(p->env) : NULL;

		if (text != NULL && text[0] != '\0')
			give(&l->given[i], p, str_from(text), false);
	}
}

/* Index of the parameter with that flag, or n_params. */
static size_t find_flag(const struct conf_program *prog, struct str name)
{
	size_t i;

	for (i = 0; i < prog->n_params; i++)
		if (prog->params[i].flag != NULL && str_eq(str_from(prog->params[i].flag), name))
			break;
	return i;
}

/* Index of the boolean that "no-NAME" negates, or n_params. */
static size_t find_negated(const struct conf_program *prog, struct str name)
{
	if (!str_starts(name, STR("no-")))
		return prog->n_params;
	size_t i = find_flag(prog, str_sub(name, 3, name.n - 3));

	return i < prog->n_params && prog->params[i].type == PARAM_BOOL ? i : prog->n_params;
}

static void on_unknown(struct load *l, const char *word, struct str name)
{
	struct nearest n;

	nearest_init(&n, name);
	for (size_t i = 0; i < l->prog->n_params; i++)
		if (l->prog->params[i].flag != NULL)
			nearest_offer(&n, str_from(l->prog->params[i].flag));
	nearest_offer(&n, STR("help"));
	nearest_offer(&n, STR("version"));
	struct str near = nearest_pick(&n);

	say_error(l);
	fprintf(l->err, "unknown flag %.200s", word);
	if (near.n > 0)
		fprintf(l->err, "; did you mean --%.*s?", STR_ARG(near));
	fputc('\n', l->err);
}

static void on_negated(struct load *l, size_t i, const char *word, bool has_value)
{
	if (has_value) {
		say_error(l);
		fprintf(l->err, "%.200s: takes no value; write --%s=true or --%s=false\n", word,
			l->prog->params[i].flag, l->prog->params[i].flag);
		return;
	}
	give(&l->given[i], &l->prog->params[i], STR("false"), true);
	l->given[i].as_no = true;
}

static void show_version(struct load *l)
{
	fprintf(l->out, "%s %s\n", l->prog->name, process_version());
	l->done = true;
}

static void show_help(struct load *l)
{
	conf_print_help(l->prog, l->out);
	l->done = true;
}

/* For docs/: not in --help, since nobody types it. */
static void show_markdown(struct load *l)
{
	conf_print_markdown(l->prog, l->out);
	l->done = true;
}

/*
 * A flag of ours. Returns true where next, the word after it or NULL, was used up as its value.
 */
static bool on_param(struct load *l, size_t i, bool has_value, struct str value, const char *next)
{
	const struct param *p = &l->prog->params[i];

	if (has_value || p->type == PARAM_BOOL) {
		give(&l->given[i], p, has_value ? value : STR("true"), true);
		return false;
	}
	/* A value that looks like a flag is more likely a forgotten value; "=" says that it is
	 * meant. */
	if (next != NULL && strncmp(next, "--", 2) != 0) {
		give(&l->given[i], p, str_from(next), true);
		return true;
	}
	say_error(l);
	fprintf(l->err, "--%s needs a value: --%s %s\n", p->flag, p->flag, param_placeholder(p));
	return false;
}

/* One word that begins with '-'; as on_param. */
static bool on_flag(struct load *l, const char *word, const char *next)
{
	bool two_dashes = word[1] == '-';
	struct str rest = str_from(two_dashes ? word + 2 : word + 1), name = STR_NULL;
	bool has_value = str_find(rest, '=') >= 0;
	size_t none = l->prog->n_params;

	str_split(&rest, '=', &name);
	size_t i = find_flag(l->prog, name), negated = find_negated(l->prog, name);

	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		show_help(l);
	else if (strcmp(word, "--help-markdown") == 0)
		show_markdown(l);
	else if (strcmp(word, "--version") == 0)
		show_version(l);
	else if (two_dashes && i < none)
		return on_param(l, i, has_value, rest, next);
	else if (two_dashes && negated < none)
		on_negated(l, negated, word, has_value);
	else
		on_unknown(l, word, name);
	return false;
}

/* Reads all of argv; moves the words that are no flags to the front. Returns how many. */
static int read_argv(struct load *l, int argc, char **argv)
{
	int words = 0;
	bool flags = true;

	for (int i = 1; i < argc && !l->done; i++) {
		if (flags && strcmp(argv[i], "--") == 0)
			flags = false;
		else if (!flags || argv[i][0] != '-' || argv[i][1] == '\0')
			argv[++words] = argv[i];
		else if (on_flag(l, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
			i++;
	}
	if (words + 1 < argc)
		argv[words + 1] = NULL;
	return words;
}

static void suggest_choice(struct load *l, const struct param *p, const char *text)
{
	struct nearest n;
	struct str rest = str_from(p->values), piece;

	nearest_init(&n, str_from(text));
	while (str_split(&rest, '|', &piece))
		nearest_offer(&n, piece);
	struct str near = nearest_pick(&n);

	if (near.n > 0)
		fprintf(l->err, "; did you mean %.*s?", STR_ARG(near));
}

static void on_refused(struct load *l, const struct param *p, const struct given *g)
{
	char words[PARAM_WORDS];

	param_describe(p, words);
	say_error(l);
	if (g->by_flag)
		fprintf(l->err, "--%s%s=%.200s: expected %s", g->as_no ? "no-" : "", p->flag,
			g->text, words);
	else
		fprintf(l->err, "%s=%.200s: expected %s", p->env, g->text, words);
	if (p->type == PARAM_CHOICE)
		suggest_choice(l, p, g->text);
	fputc('\n', l->err);
}

static void on_missing(struct load *l, const struct param *p)
{
	say_error(l);
	fprintf(l->err, "--%s is required", p->flag);
	if (p->env != NULL)
		fprintf(l->err, " (or the environment variable %s)", p->env);
	fputc('\n', l->err);
}

/* "" means zero or empty and is not held against the bounds. */
static void store_default(const struct param *p, void *values)
{
	if (p->def[0] != '\0')
		ASSERT(param_store(p, str_from(p->def), values) == 0);
	else if (p->type == PARAM_STRING || p->type == PARAM_LIST)
		*(char **)param_slot(p, values) = mem_strdup("");
}

static void store_all(struct load *l, void *values)
{
	for (size_t i = 0; i < l->prog->n_params; i++) {
		const struct param *p = &l->prog->params[i];
		const struct given *g = &l->given[i];

		if (p->flag == NULL)
			continue;
		if (g->text == NULL && p->def == NULL)
			on_missing(l, p);
		else if (g->text == NULL)
			store_default(p, values);
		else if (param_store(p, str_from(g->text), values) != 0)
			on_refused(l, p, g);
	}
}

static void free_given(struct load *l)
{
	for (size_t i = 0; i < l->prog->n_params; i++)
		mem_free(l->given[i].text);
	mem_free(l->given);
}

enum conf_result conf_load(const struct conf_program *prog, int argc, char **argv, int *n_args,
	void *values, FILE *out, FILE *err)
{
	struct load l = {.prog = prog, .out = out, .err = err};

	l.given = mem_alloc_array(prog->n_params + 1, sizeof(*l.given));
	read_env(&l);
	*n_args = read_argv(&l, argc, argv);
	if (!l.done)
		store_all(&l, values);
	free_given(&l);
	if (l.done)
		return CONF_EXIT_OK;
	if (l.errors == 0)
		return CONF_RUN;
	fprintf(err, "Try '%s --help'.\n", prog->name);
	conf_free(prog, values);
	return CONF_EXIT_USAGE;
}

void conf_free(const struct conf_program *prog, void *values)
{
	for (size_t i = 0; i < prog->n_params; i++) {
		const struct param *p = &prog->params[i];

		if (p->flag == NULL || (p->type != PARAM_STRING && p->type != PARAM_LIST))
			continue;
		char **slot = param_slot(p, values);

		mem_free(*slot);
		*slot = NULL;
	}
}
