/*
 * What the parameter table says to people: --help wrapped to a terminal's width, and Markdown for
 * docs/. Owns nothing; writes to the stream it is given. Called by conf_load and by the
 * documentation target.
 */
#include "lib/base/alloc.h"
#include "lib/conf/value_internal.h"

#define WIDTH 88
#define INDENT 6

/* Words of text, wrapped; col is where the line stands. A newline in text begins a new line. */
static void print_wrapped(FILE *out, const char *text, size_t indent)
{
	struct str lines = str_from(text), line, word;

	while (str_split(&lines, '\n', &line)) {
		size_t col = 0;

		while (str_split(&line, ' ', &word)) {
			if (word.n == 0)
				continue;
			if (col > 0 && col + 1 + word.n > WIDTH) {
				fputc('\n', out);
				col = 0;
			}
			if (col == 0)
				fprintf(out, "%*s", (int)indent, "");
			else
				fputc(' ', out);
			fwrite(word.p, 1, word.n, out);
			col = (col == 0 ? indent : col + 1) + word.n;
		}
		fputc('\n', out);
	}
}

static bool has_text(const char *z)
{
	return z != NULL && z[0] != '\0';
}

/* "1 to 65536 connections", "one of a, b", "separated by commas ..."; empty where the placeholder
 * says it all. */
static void accepted(const struct param *p, char dst[PARAM_WORDS])
{
	char bounds[PARAM_WORDS];

	dst[0] = '\0';
	param_bounds(p, bounds);
	switch (p->type) {
	case PARAM_BOOL:
	case PARAM_STRING:
	case PARAM_ADDR:
		break;
	case PARAM_U64:
		snprintf(dst, PARAM_WORDS, "%.100s%s%.100s", bounds,
			bounds[0] != '\0' && has_text(p->values) ? " " : "",
			p->values != NULL ? p->values : "");
		break;
	case PARAM_SIZE:
	case PARAM_DURATION:
		memcpy(dst, bounds, PARAM_WORDS);
		break;
	case PARAM_CHOICE:
		param_describe(p, dst);
		break;
	case PARAM_LIST:
		snprintf(dst, PARAM_WORDS, "separated by commas, or the flag repeated");
		break;
	}
}

/* "One of a, b. Default a. Environment: X." */
static void print_facts(FILE *out, const struct param *p)
{
	char words[PARAM_WORDS], line[2 * PARAM_WORDS];
	size_t len = 0;

	accepted(p, words);
	if (words[0] != '\0')
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%c%s. ",
			words[0] >= 'a' && words[0] <= 'z' ? words[0] - 'a' + 'A' : words[0],
			words + 1);
	if (p->def == NULL)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "Required. ");
	else if (p->def[0] != '\0')
		len += (size_t)snprintf(line + len, sizeof(line) - len, "Default %.200s. ", p->def);
	if (p->env != NULL)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "Environment: %s.", p->env);
	if (len > 0)
		print_wrapped(out, line, INDENT);
}

static void print_param(FILE *out, const struct param *p)
{
	const char *placeholder = param_placeholder(p);

	fprintf(out, "  --%s%s%s%s\n", p->type == PARAM_BOOL ? "[no-]" : "", p->flag,
		placeholder[0] != '\0' ? " " : "", placeholder);
	print_wrapped(out, p->help, INDENT);
	print_facts(out, p);
}

/* The notations that this program's parameters use, explained once. */
static void print_notations(const struct conf_program *prog, FILE *out)
{
	bool used[PARAM_LIST + 1] = {false};

	for (size_t i = 0; i < prog->n_params; i++)
		if (prog->params[i].flag != NULL)
			used[prog->params[i].type] = true;
	fputs("\nNotations\n", out);
	print_wrapped(out,
		"A flag wins over its environment variable, that over the default. \"--flag value\" "
		"and \"--flag=value\" are the same; an empty variable counts as not set.",
		2);
	if (used[PARAM_DURATION])
		print_wrapped(out,
			"DURATION: numbers with the units us, ms, s, m, h, such as 250ms, 5s or 1m30s.",
			2);
	if (used[PARAM_SIZE])
		print_wrapped(out, "SIZE: bytes, or a number with KiB, MiB or GiB, such as 64KiB.",
			2);
	if (used[PARAM_ADDR])
		print_wrapped(out,
			"ADDRESS:PORT: an IP address and port, such as 127.0.0.1:15000 or [::1]:15000; "
			"no host names.",
			2);
}

void conf_print_help(const struct conf_program *prog, FILE *out)
{
	char *head = mem_printf("%s: %s", prog->name, prog->summary);
	bool in_group = false;

	print_wrapped(out, head, 0);
	mem_free(head);
	fprintf(out, "\nUsage\n  %s\n", prog->synopsis);
	for (size_t i = 0; i < prog->n_params; i++) {
		const struct param *p = &prog->params[i];

		if (p->flag == NULL || !in_group)
			fprintf(out, "\n%s\n", p->flag == NULL ? p->group : "Flags");
		in_group = true;
		if (p->flag != NULL)
			print_param(out, p);
	}
	fputs("\nHelp\n  --help, -h\n      This text.\n  --version\n      Name and version.\n",
		out);
	if (prog->n_params > 0)
		print_notations(prog, out);
	if (has_text(prog->examples))
		fprintf(out, "\nExamples\n  %s\n", prog->examples);
}

/* Text of a table cell: a bar would end it. */
static void print_cell(FILE *out, const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '|' || *c == '\\')
			fputc('\\', out);
		fputc(*c == '\n' ? ' ' : *c, out);
	}
}

static void print_markdown_row(FILE *out, const struct param *p)
{
	const char *placeholder = param_placeholder(p);
	char words[PARAM_WORDS];

	fprintf(out, "| `--%s%s%s%s` | ", p->type == PARAM_BOOL ? "[no-]" : "", p->flag,
		placeholder[0] != '\0' ? " " : "", placeholder);
	fprintf(out, p->env != NULL ? "`%s` | " : "%s | ", p->env != NULL ? p->env : "");
	if (p->def == NULL)
		fputs("required | ", out);
	else if (p->def[0] == '\0')
		fputs(" | ", out);
	else
		fprintf(out, "`%s` | ", p->def);
	accepted(p, words);
	print_cell(out, words);
	fputs(" | ", out);
	print_cell(out, p->help);
	fputs(" |\n", out);
}

void conf_print_markdown(const struct conf_program *prog, FILE *out)
{
	bool in_table = false;

	fprintf(out, "## %s\n\n%s\n\n```\n  %s\n```\n", prog->name, prog->summary, prog->synopsis);
	for (size_t i = 0; i < prog->n_params; i++) {
		const struct param *p = &prog->params[i];

		if (p->flag == NULL || !in_table)
			fprintf(out,
				"\n### %s\n\n| flag | environment | default | accepted | meaning |\n"
				"|---|---|---|---|---|\n",
				p->flag == NULL ? p->group : "Flags");
		in_table = true;
		if (p->flag != NULL)
			print_markdown_row(out, p);
	}
}
