/*
 * A map from "namespace key value" to the pods that have it. Owns the lists; made and freed by
 * join.c.
 */
#include "ctrlplane/compile/label_index.h"

#include "lib/base/alloc.h"

struct label_index {
	struct map *lists; /* -> struct object_list */
	struct object_list none;
};

/* Neither namespaces nor keys have a NUL in them. */
static struct str key_of(struct arena *a, struct str ns, const struct label *l)
{
	size_t n = ns.n + 1 + l->key.n + 1 + l->value.n;
	char *p = arena_alloc(a, n), *at = p;
	const struct str parts[] = {ns, STR("\0"), l->key, STR("\0"), l->value};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].n > 0)
			memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	return str_make(p, n);
}

static void add_pod(struct label_index *x, struct arena *a, struct kube_pod *pod)
{
	for (size_t i = 0; i < pod->meta.labels.n; i++) {
		struct str key = key_of(a, pod->meta.ns, &pod->meta.labels.v[i]);
		struct object_list *l = map_get(x->lists, key);
		if (l == NULL) {
			l = MEM_NEW(struct object_list);
			map_put(x->lists, key, l);
		}
		object_list_add(l, pod);
	}
}

struct label_index *label_index_new(struct world *w)
{
	struct label_index *x = MEM_NEW(struct label_index);
	struct arena scratch;
	arena_init(&scratch, NULL);
	x->lists = map_new(0);
	for (size_t i = 0; i < w->pods.n; i++)
		add_pod(x, &scratch, w->pods.v[i]);
	arena_clear(&scratch);
	return x;
}

void label_index_free(struct label_index **xp)
{
	struct label_index *x = *xp;
	struct map_entry *at = NULL;
	void *value;
	*xp = NULL;
	while (map_next(x->lists, &at, NULL, &value)) {
		mem_free(((struct object_list *)value)->v);
		mem_free(value);
	}
	map_free(&x->lists);
	mem_free(x);
}

const struct object_list *label_index_find(const struct label_index *x, struct str ns,
	const struct labels *selector)
{
	struct arena scratch;
	const struct object_list *best = NULL;
	arena_init(&scratch, NULL);
	for (size_t i = 0; i < selector->n; i++) {
		const struct object_list *l =
			map_get(x->lists, key_of(&scratch, ns, &selector->v[i]));
		if (l == NULL)
			l = &x->none;
		if (best == NULL || l->n < best->n)
			best = l;
	}
	arena_clear(&scratch);
	return best;
}
