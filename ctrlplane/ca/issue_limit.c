/*
 * Token buckets by identity. A bucket holds time: a leaf costs the time between two of them, and
 * what has passed since the last look is paid in, up to the burst. Owned by Identity.
 */
#include "ctrlplane/ca/issue_limit.h"

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/rand.h"

/* Owned by the limit, in its map and on its list. */
struct bucket {
	struct list_node node;
	char *who;
	uint64_t credit, at; /* nanoseconds; loop time of the last look */
};

/* Owned by Identity. */
struct issue_limit {
	struct map *by_who;
	struct list order; /* who asked longest ago comes first */
	uint64_t cost, full;
	size_t max;
};

struct issue_limit *issue_limit_new(uint32_t burst, uint32_t per_minute, size_t max)
{
	struct issue_limit *l = MEM_NEW(struct issue_limit);
	struct rng rng;
	rng_seed_system(&rng);
	l->by_who = map_new(rng_next(&rng));
	list_init(&l->order);
	l->cost = 60 * NS_PER_S / (per_minute > 0 ? per_minute : 1);
	l->full = l->cost * (burst > 0 ? burst : 1);
	l->max = max;
	return l;
}

static void drop(struct issue_limit *l, struct bucket *b)
{
	map_remove(l->by_who, str_from(b->who));
	list_remove(&b->node);
	mem_free(b->who);
	mem_free(b);
}

void issue_limit_free(struct issue_limit **lp)
{
	struct issue_limit *l = *lp;
	*lp = NULL;
	if (l == NULL)
		return;
	LIST_EACH(&l->order, node)
	drop(l, CONTAINER_OF(node, struct bucket, node));
	map_free(&l->by_who);
	mem_free(l);
}

size_t issue_limit_count(const struct issue_limit *l)
{
	return map_count(l->by_who);
}

static void pay_in(const struct issue_limit *l, struct bucket *b, uint64_t now)
{
	uint64_t passed = now > b->at ? now - b->at : 0;
	b->credit = passed >= l->full - b->credit ? l->full : b->credit + passed;
	b->at = now;
}

/* A full bucket says nothing that a new one would not. */
static void make_room(struct issue_limit *l, uint64_t now)
{
	for (struct list_node *n = list_first(&l->order); n != NULL; n = list_first(&l->order)) {
		struct bucket *b = CONTAINER_OF(n, struct bucket, node);
		pay_in(l, b, now);
		if (b->credit < l->full && map_count(l->by_who) < l->max)
			return;
		drop(l, b);
	}
}

static struct bucket *find(struct issue_limit *l, struct str who, uint64_t now)
{
	struct bucket *b = map_get(l->by_who, who);
	if (b != NULL) {
		list_remove(&b->node);
	} else {
		make_room(l, now);
		b = MEM_NEW(struct bucket);
		b->who = mem_strndup(who.p, who.n);
		b->credit = l->full;
		b->at = now;
		map_put(l->by_who, who, b);
	}
	list_append(&l->order, &b->node);
	return b;
}

bool issue_limit_take(struct issue_limit *l, struct str who, uint64_t now, uint64_t *wait_ns)
{
	struct bucket *b = find(l, who, now);
	pay_in(l, b, now);
	if (b->credit < l->cost) {
		*wait_ns = l->cost - b->credit;
		return false;
	}
	b->credit -= l->cost;
	return true;
}
