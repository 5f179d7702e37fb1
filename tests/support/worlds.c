/*
 * Worlds for tests of the compiler. The test owns what it gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "tests/support/worlds.h"

struct world *worlds_of(const char *yaml)
{
	struct world *w = world_new();
	world_add(w, "f.yaml", str_from(yaml));
	world_join(w);
	return w;
}

char *worlds_said(const struct world *w)
{
	const struct problems *l = world_problems(w);
	char *all = mem_strdup("");
	for (const struct problem *p = l->first; p != NULL; p = p->next) {
		struct str line = problem_text(l, p);
		char *longer = mem_printf("%s%.*s\n", all, STR_ARG(line));
		mem_free(all);
		all = longer;
	}
	return all;
}

void worlds_expect(const struct world *w, const char *said)
{
	char *all = worlds_said(w);
	assert_string_equal(all, said);
	mem_free(all);
}

Weft__Mesh__V1__State *worlds_state(const struct world *w, const char *pod, struct arena *a)
{
	char err[512];
	Weft__Mesh__V1__State *st;
	const struct compile_bundle bundle = {world_trust_domain(w), STR("roots")};
	const struct compile_in in = {.ns = STR("shop"),
		.pod = str_from(pod),
		.now = WORLDS_NOW,
		.bundles = &bundle,
		.n_bundles = 1};
	if (compile_state(w, &in, a, &st, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	return st;
}

const Weft__Mesh__V1__Resource *worlds_resource(const Weft__Mesh__V1__State *st, const char *name)
{
	for (size_t i = 0; i < st->n_required; i++)
		if (strcmp(st->required[i]->name, name) == 0)
			return st->required[i];
	for (size_t i = 0; i < st->n_used; i++)
		if (strcmp(st->used[i]->name, name) == 0)
			return st->used[i];
	return NULL;
}
