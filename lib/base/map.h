/*
 * Hash map from byte keys to pointers, seeded at random per process against hash flooding. Keys are
 * copied; values are the caller's. Used for indexes of resources, pools and learned protocols; not
 * for per-request data.
 */
#ifndef WEFT_BASE_MAP_H
#define WEFT_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

/* Owned by its creator; owns the copies of the keys, never the values. */
struct map;

struct map *map_new(uint64_t seed);
void map_free(struct map **m);
/* NULL where absent. */
void *map_get(const struct map *m, struct str key);
/* Inserts or replaces; value must not be NULL. Returns the value that was there before, or NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Returns the removed value, or NULL. */
void *map_remove(struct map *m, struct str key);
size_t map_count(const struct map *m);

/* Walks all entries in insertion order; start with *cursor = NULL. False at the end. The current
 * entry may be removed while walking. */
struct map_entry;
bool map_next(const struct map *m, struct map_entry **cursor, struct str *key, void **value);

/* Seeded 64-bit hash (XXH3), also for consistent choices elsewhere. */
uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);

#endif
