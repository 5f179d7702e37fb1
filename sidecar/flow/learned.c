/*
 * A bounded map of destinations to the time at which they were learned. Owns its entries; asked by
 * outbound.c for undeclared ports.
 */
#include "sidecar/flow/learned.h"

#include "lib/base/alloc.h"
#include "lib/base/list.h"
#include "lib/base/map.h"

/* One destination. Owned by the table; on the list in the order of learning. */
struct learned_entry {
	struct list_node node;
	struct addr dst;
	uint64_t until;
};

/* Owned by struct flow. */
struct learned {
	struct map *map;
	struct list order;
};

struct learned *learned_new(uint64_t seed)
{
	struct learned *l = MEM_NEW(struct learned);
	l->map = map_new(seed);
	list_init(&l->order);
	return l;
}

static void entry_remove(struct learned *l, struct learned_entry *e)
{
	list_remove(&e->node);
	map_remove(l->map, addr_key(&e->dst));
	mem_free(e);
}

void learned_free(struct learned **lp)
{
	struct learned *l = *lp;
	if (l == NULL)
		return;
	*lp = NULL;
	while (!list_empty(&l->order))
		entry_remove(l, CONTAINER_OF(list_first(&l->order), struct learned_entry, node));
	map_free(&l->map);
	mem_free(l);
}

void learned_opaque(struct learned *l, const struct addr *dst, uint64_t now)
{
	struct learned_entry *e = map_get(l->map, addr_key(dst));
	if (e == NULL) {
		if (map_count(l->map) >= LEARNED_MAX)
			entry_remove(l,
				CONTAINER_OF(list_first(&l->order), struct learned_entry, node));
		e = MEM_NEW(struct learned_entry);
		e->dst = *dst;
		map_put(l->map, addr_key(&e->dst), e);
	}
	list_remove(&e->node);
	list_append(&l->order, &e->node);
	e->until = now + LEARNED_TTL_NS;
}

bool learned_is_opaque(const struct learned *l, const struct addr *dst, uint64_t now)
{
	const struct learned_entry *e = map_get(l->map, addr_key(dst));
	return e != NULL && e->until > now;
}

size_t learned_count(const struct learned *l)
{
	return map_count(l->map);
}
