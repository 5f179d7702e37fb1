/*
 * Typed getters over document trees. The reader is the caller's, messages are made in its arena;
 * called by what decodes objects of a known form.
 */
#include "lib/yaml/read.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/conf/nearest.h"
#include "lib/json/json.h"

/* -- reports ---------------------------------------------------------------------------------- */

/* True where a problem is not to be reported; counts it then. */
static bool beyond(struct yaml_reader *r)
{
	if (r->problems < r->max)
		return false;
	r->problems++;
	return true;
}

static void report(struct yaml_reader *r, uint32_t line, struct str path, const char *fmt,
	va_list args) __attribute__((format(printf, 4, 0)));

static void report(struct yaml_reader *r, uint32_t line, struct str path, const char *fmt,
	va_list args)
{
	char text[512];
	vsnprintf(text, sizeof(text), fmt, args);
	r->report(r->arg, line, path, arena_str(r->arena, str_from(text)));
}

void yaml_problem(struct yaml_reader *r, const struct yaml_node *node, const char *fmt, ...)
{
	va_list args;
	if (beyond(r))
		return;
	r->problems++;
	va_start(args, fmt);
	report(r, node->line, yaml_path(r->arena, r->root, node), fmt, args);
	va_end(args);
}

void yaml_problem_at(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	const char *fmt, ...)
{
	va_list args;
	if (beyond(r))
		return;
	r->problems++;
	struct str path = yaml_path(r->arena, r->root, map);
	if (key != NULL)
		path = arena_printf(r->arena, "%.*s%s%s", STR_ARG(path), path.n > 0 ? "." : "",
			key);
	va_start(args, fmt);
	report(r, map->line, path, fmt, args);
	va_end(args);
}

struct str yaml_shown(struct arena *a, const struct yaml_node *node)
{
	char text[YAML_SHOWN * 2];
	struct str s = node->text;
	if (node->kind == YAML_NULL || node->kind == YAML_LIST || node->kind == YAML_MAP)
		return str_from(yaml_kind_text(node->kind));
	json_escape(text, sizeof(text), str_sub(s, 0, YAML_SHOWN));
	const char *more = s.n > YAML_SHOWN ? "..." : "";
	if (node->kind == YAML_STRING)
		return arena_printf(a, "\"%s%s\"", text, more);
	return arena_printf(a, "%s%s", text, more);
}

const char *yaml_nearest(struct arena *a, struct str word, const char *const *known)
{
	struct nearest near;
	nearest_init(&near, word);
	for (; *known != NULL; known++)
		nearest_offer(&near, str_from(*known));
	struct str best = nearest_pick(&near);
	return best.n == 0 ? "" : arena_printf(a, " (did you mean %.*s?)", STR_ARG(best)).p;
}

void yaml_check_keys(struct yaml_reader *r, const struct yaml_node *map, const char *const *known)
{
	if (map == NULL || map->kind != YAML_MAP)
		return;
	for (const struct yaml_node *c = map->first; c != NULL && r->problems < r->max;
		c = c->next) {
		const char *const *k = known;
		struct yaml_node at = *c;
		at.line = c->key_line;
		while (*k != NULL && !str_eq(c->key, str_from(*k)))
			k++;
		if (*k == NULL)
			yaml_problem(r, &at, "unknown field%s",
				yaml_nearest(r->arena, c->key, known));
		else if (c->kind == YAML_NULL)
			yaml_problem(r, &at, "has no value: leave the field out, or give it one");
	}
}

/* -- values ----------------------------------------------------------------------------------- */

static bool wrong(struct yaml_reader *r, const struct yaml_node *node, const char *expected)
{
	if (beyond(r))
		return false;
	struct str found = yaml_shown(r->arena, node);
	yaml_problem(r, node, "expected %s, found %.*s", expected, STR_ARG(found));
	return false;
}

bool yaml_as_str(struct yaml_reader *r, const struct yaml_node *node, struct str *out)
{
	if (node->kind == YAML_BOOL || node->kind == YAML_INT || node->kind == YAML_REAL) {
		if (beyond(r))
			return false;
		struct str found = yaml_shown(r->arena, node);
		yaml_problem(r, node, "expected a string, found %.*s; put it in quotes: \"%.*s\"",
			STR_ARG(found), STR_ARG(found));
		return false;
	}
	if (node->kind != YAML_STRING)
		return wrong(r, node, "a string");
	if (node->text.n > 0 && memchr(node->text.p, '\0', node->text.n) != NULL)
		return wrong(r, node, "a string without NUL characters");
	*out = arena_str(r->arena, node->text);
	return true;
}

bool yaml_as_int(struct yaml_reader *r, const struct yaml_node *node, int64_t min, int64_t max,
	int64_t *out)
{
	if (node->kind != YAML_INT || node->number < min || node->number > max) {
		char text[80];
		snprintf(text, sizeof(text), "an integer in %lld..%lld", (long long)min,
			(long long)max);
		return wrong(r, node, text);
	}
	*out = node->number;
	return true;
}

bool yaml_as_map(struct yaml_reader *r, const struct yaml_node *node)
{
	return node->kind == YAML_MAP || wrong(r, node, "a map");
}

/* The value of a key, or NULL; reports it where it is required and missing. */
static const struct yaml_node *value(struct yaml_reader *r, const struct yaml_node *map,
	const char *key, enum yaml_need need, const char *expected)
{
	const struct yaml_node *node = yaml_field(map, str_from(key));
	if (node != NULL && node->kind != YAML_NULL)
		return node;
	if (need == YAML_REQUIRED && map != NULL)
		yaml_problem_at(r, map, key, "required: %s", expected);
	return NULL;
}

bool yaml_read_str(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	enum yaml_need need, struct str *out)
{
	const struct yaml_node *node = value(r, map, key, need, "a string");
	return node != NULL && yaml_as_str(r, node, out);
}

bool yaml_read_bool(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	enum yaml_need need, bool *out)
{
	const struct yaml_node *node = value(r, map, key, need, "true or false");
	if (node == NULL)
		return false;
	if (node->kind != YAML_BOOL)
		return wrong(r, node, "true or false");
	*out = node->truth;
	return true;
}

bool yaml_read_int(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	enum yaml_need need, int64_t min, int64_t max, int64_t *out)
{
	char text[80];
	snprintf(text, sizeof(text), "an integer in %lld..%lld", (long long)min, (long long)max);
	const struct yaml_node *node = value(r, map, key, need, text);
	return node != NULL && yaml_as_int(r, node, min, max, out);
}

static void list_words(char *dst, size_t size, const char *const *words)
{
	size_t used = 0;
	for (size_t i = 0; words[i] != NULL && used < size; i++) {
		const char *before = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
		used += (size_t)snprintf(dst + used, size - used, "%s%s", before, words[i]);
	}
}

bool yaml_read_choice(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	enum yaml_need need, const char *const *words, size_t *out)
{
	char text[160];
	list_words(text, sizeof(text), words);
	const struct yaml_node *node = value(r, map, key, need, text);
	if (node == NULL)
		return false;
	for (size_t i = 0; node->kind == YAML_STRING && words[i] != NULL; i++) {
		if (str_eq(node->text, str_from(words[i]))) {
			*out = i;
			return true;
		}
	}
	return wrong(r, node, text);
}

const struct yaml_node *yaml_read_map(struct yaml_reader *r, const struct yaml_node *map,
	const char *key, enum yaml_need need)
{
	const struct yaml_node *node = value(r, map, key, need, "a map");
	return node != NULL && yaml_as_map(r, node) ? node : NULL;
}

const struct yaml_node *yaml_read_list(struct yaml_reader *r, const struct yaml_node *map,
	const char *key, enum yaml_need need)
{
	const struct yaml_node *node = value(r, map, key, need, "a list");
	if (node != NULL && node->kind != YAML_LIST) {
		(void)wrong(r, node, "a list");
		return NULL;
	}
	return node;
}
