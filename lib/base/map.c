/*
 * Hash table of chained entries that are also on one list in the order of their insertion. Owns
 * entries and the keys in them; the seed makes collisions unpredictable for a peer. Called by
 * owners of indexes.
 */
#include "lib/base/map.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/alloc.h"
#include "lib/base/obj.h"

#define MAP_MIN_BUCKETS 8u

/* Owned by the map; the list's head is an entry without a key. */
struct map_entry {
	struct map_entry *prev, *next; /* in order of insertion */
	struct map_entry *chain;       /* in the bucket */
	uint64_t hash;
	void *value;
	size_t n;
	char key[];
};

struct map {
	struct map_entry *head;
	struct map_entry **buckets;
	size_t mask, count;
	uint64_t seed;
};

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(n != 0 ? p : "", n, seed);
}

struct map *map_new(uint64_t seed)
{
	struct map *m = MEM_NEW(struct map);

	m->seed = seed;
	m->head = MEM_NEW(struct map_entry);
	m->head->prev = m->head->next = m->head;
	m->mask = MAP_MIN_BUCKETS - 1;
	m->buckets = mem_alloc_array(MAP_MIN_BUCKETS, sizeof(struct map_entry *));
	return m;
}

void map_free(struct map **map)
{
	struct map *m = *map;

	*map = NULL;
	if (m == NULL)
		return;
	for (struct map_entry *e = m->head->next, *next; e != m->head; e = next) {
		next = e->next;
		mem_free(e);
	}
	mem_free(m->head);
	mem_free(m->buckets);
	mem_free(m);
}

/* The link that points to the entry, or to the NULL where it would be. */
static struct map_entry **map_slot(const struct map *m, struct str key, uint64_t hash)
{
	struct map_entry **slot = &m->buckets[hash & m->mask];

	while (*slot != NULL &&
		((*slot)->hash != hash || !str_eq(str_make((*slot)->key, (*slot)->n), key)))
		slot = &(*slot)->chain;
	return slot;
}

void *map_get(const struct map *m, struct str key)
{
	const struct map_entry *e = *map_slot(m, key, hash_bytes(key.p, key.n, m->seed));

	return e != NULL ? e->value : NULL;
}

/* At most one entry per bucket on average, and no less than one per eight. */
static void map_resize(struct map *m, size_t buckets)
{
	mem_free(m->buckets);
	m->buckets = mem_alloc_array(buckets, sizeof(struct map_entry *));
	m->mask = buckets - 1;
	for (struct map_entry *e = m->head->next; e != m->head; e = e->next) {
		struct map_entry **slot = &m->buckets[e->hash & m->mask];
		e->chain = *slot;
		*slot = e;
	}
}

void *map_put(struct map *m, struct str key, void *value)
{
	uint64_t hash = hash_bytes(key.p, key.n, m->seed);
	struct map_entry **slot = map_slot(m, key, hash);
	struct map_entry *e = *slot;

	ASSERT(value != NULL);
	if (e != NULL) {
		void *old = e->value;
		e->value = value;
		return old;
	}
	e = mem_alloc(sizeof(*e) + key.n);
	e->hash = hash;
	e->value = value;
	e->n = key.n;
	if (key.n != 0)
		memcpy(e->key, key.p, key.n);
	*slot = e;
	e->next = m->head;
	e->prev = m->head->prev;
	e->prev->next = e;
	m->head->prev = e;
	if (++m->count > m->mask + 1)
		map_resize(m, (m->mask + 1) * 2);
	return NULL;
}

void *map_remove(struct map *m, struct str key)
{
	struct map_entry **slot = map_slot(m, key, hash_bytes(key.p, key.n, m->seed));
	struct map_entry *e = *slot;

	if (e == NULL)
		return NULL;
	void *value = e->value;
	*slot = e->chain;
	e->prev->next = e->next;
	e->next->prev = e->prev;
	mem_free(e);
	m->count--;
	if (m->mask + 1 > MAP_MIN_BUCKETS && m->count < (m->mask + 1) / 8)
		map_resize(m, (m->mask + 1) / 2);
	return value;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

bool map_next(const struct map *m, struct map_entry **cursor, struct str *key, void **value)
{
	/* The cursor is one ahead of what the caller sees, so that what he sees may go. */
	struct map_entry *e = *cursor != NULL ? *cursor : m->head->next;

	*cursor = e;
	if (e == m->head)
		return false;
	*cursor = e->next;
	if (key != NULL)
		*key = str_make(e->key, e->n);
	if (value != NULL)
		*value = e->value;
	return true;
}
