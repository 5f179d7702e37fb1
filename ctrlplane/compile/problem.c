/*
 * The list of problems. Owns nothing beyond what its arena holds; filled while objects are decoded
 * and joined.
 */
#include "ctrlplane/compile/problem.h"

void problems_init(struct problems *l, struct arena *a)
{
	*l = (struct problems){.arena = a};
}

bool problems_full(struct problems *l, enum problem_severity s)
{
	if (l->count[s] < PROBLEMS_MAX)
		return false;
	l->count[s]++;
	return true;
}

void problems_add(struct problems *l, const struct problem *p)
{
	if (problems_full(l, p->severity))
		return;
	l->count[p->severity]++;
	struct problem *copy = ARENA_NEW(l->arena, struct problem);
	*copy = *p;
	copy->file = arena_str(l->arena, p->file);
	copy->object = arena_str(l->arena, p->object);
	copy->field = arena_str(l->arena, p->field);
	copy->text = arena_str(l->arena, p->text);
	copy->next = NULL;
	if (l->last == NULL)
		l->first = copy;
	else
		l->last->next = copy;
	l->last = copy;
}

const char *problem_severity_text(enum problem_severity s)
{
	switch (s) {
	case PROBLEM_ERROR:
		return "error";
	case PROBLEM_WARNING:
		return "warning";
	case PROBLEM_NOTE:
		return "note";
	case PROBLEM_SEVERITIES:
		break;
	}
	return "error";
}

struct str problem_text(const struct problems *l, const struct problem *p)
{
	struct str where = p->line == 0
		? p->file
		: arena_printf(l->arena, "%.*s:%u", STR_ARG(p->file), p->line);
	const char *severity = problem_severity_text(p->severity);
	if (p->severity == PROBLEM_ERROR)
		severity = "";
	return arena_printf(l->arena, "%.*s: %s%s%.*s%s%.*s%s%.*s", STR_ARG(where), severity,
		*severity != '\0' ? ": " : "", STR_ARG(p->object), p->object.n > 0 ? ": " : "",
		STR_ARG(p->field), p->field.n > 0 ? ": " : "", STR_ARG(p->text));
}

void problems_json(const struct problems *l, struct json *j)
{
	json_array(j);
	for (const struct problem *p = l->first; p != NULL; p = p->next) {
		json_object(j);
		json_key_str(j, "severity", str_from(problem_severity_text(p->severity)));
		json_key_str(j, "file", p->file);
		json_key_u64(j, "line", p->line);
		json_key_str(j, "object", p->object);
		json_key_str(j, "field", p->field);
		json_key_str(j, "message", p->text);
		json_object_end(j);
	}
	json_array_end(j);
}
