/*
 * Asks, reads the JSON of the answer (as YAML, of which JSON is a part, by the bounded reader) and
 * says what went wrong. Called by the commands for a running mesh.
 */
#include "cli/ask.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/table.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"

static struct str first_line(struct str s)
{
	struct str line;
	return str_split(&s, '\n', &line) ? line : s;
}

/* What the server answered in place of what was asked for. */
static void say_refusal(const struct conf_program *prog, const struct fetch *f, struct asked *a)
{
	struct str text = ask_str(a->json, "error");
	if (text.n == 0 && a->raw.status == 404) {
		command_fail(prog, "there is no %s there: is it %s that listens? (%s)", f->target,
			f->program, f->flag);
		return;
	}
	if (text.n == 0)
		text = first_line(str_make(a->raw.body, a->raw.n));
	text = table_safe(&a->arena, text);
	if (text.n > 0)
		command_fail(prog, "%.*s", STR_ARG(text));
	else
		command_fail(prog, "the answer is status %u", a->raw.status);
}

bool ask(const struct conf_program *prog, const struct fetch *f, struct asked *out)
{
	char err[600];
	struct yaml_error error;
	*out = (struct asked){0};
	arena_init(&out->arena, NULL);
	if (fetch(f, &out->raw, err, sizeof(err)) != 0) {
		command_fail(prog, "%s", err);
		return false;
	}
	int e = yaml_parse(&out->arena, str_make(out->raw.body, out->raw.n), &out->json, &error);
	if (e != 0 || (out->json != NULL && out->json->kind != YAML_MAP))
		out->json = NULL;
	if (out->raw.status != 200) {
		say_refusal(prog, f, out);
		return false;
	}
	if (out->json == NULL && e == ERR_LIMIT)
		command_fail(prog,
			"the answer has more in it than is read: %s; ask for one pod, or use "
			"curl",
			error.text);
	else if (out->json == NULL)
		command_fail(prog,
			"the answer is no JSON object: is it %s that listens there? (%s)",
			f->program, f->flag);
	return out->json != NULL;
}

void ask_print(const struct asked *a)
{
	fwrite(a->raw.body, 1, a->raw.n, stdout);
	if (a->raw.n == 0 || a->raw.body[a->raw.n - 1] != '\n')
		putchar('\n');
}

void ask_end(struct asked *a)
{
	fetch_answer_free(&a->raw);
	arena_clear(&a->arena);
}

/* --- reading --- */

struct str ask_str(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = yaml_field(map, str_from(key));
	return n != NULL && n->kind != YAML_MAP && n->kind != YAML_LIST && n->kind != YAML_NULL
		? n->text
		: STR_NULL;
}

uint64_t ask_u64(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = yaml_field(map, str_from(key));
	return n != NULL && n->kind == YAML_INT && n->number > 0 ? (uint64_t)n->number : 0;
}

bool ask_bool(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = yaml_field(map, str_from(key));
	return n != NULL && n->kind == YAML_BOOL && n->truth;
}

static const struct yaml_node *container(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = yaml_field(map, str_from(key));
	return n != NULL && (n->kind == YAML_MAP || n->kind == YAML_LIST) ? n : NULL;
}

const struct yaml_node *ask_first(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = container(map, key);
	return n != NULL ? n->first : NULL;
}

size_t ask_count(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n = container(map, key);
	return n != NULL ? n->n : 0;
}

struct str ask_age(struct arena *a, struct str time)
{
	char text[40];
	struct tm tm = {0};
	if (str_copy(text, sizeof(text), time) < 0 ||
		sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
			&tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return time;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	int64_t s = (int64_t)(clock_wall(clock_system()) / NS_PER_S) - (int64_t)timegm(&tm);
	if (s < 0)
		s = 0;
	if (s < 120)
		return arena_printf(a, "%ds", (int)s);
	if (s < 7200)
		return arena_printf(a, "%dm%ds", (int)(s / 60), (int)(s % 60));
	if (s < 172800)
		return arena_printf(a, "%dh%dm", (int)(s / 3600), (int)(s / 60 % 60));
	return arena_printf(a, "%dd%dh", (int)(s / 86400), (int)(s / 3600 % 24));
}

/* --- words --- */

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
			return false;
	}
	return s.n > 0 && s.n <= 253;
}

bool ask_is_pod(const struct conf_program *prog, const char *word, int *code)
{
	struct str name = str_from(word), ns;
	if (str_find(name, '/') > 0 && str_split(&name, '/', &ns) && is_name(ns) && is_name(name))
		return true;
	*code = command_misuse(prog, "%.100s: expected NAMESPACE/POD", word);
	return false;
}
