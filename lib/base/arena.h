/*
 * Arena: memory that is freed all at once. One per stream, request or compiled resource; blocks
 * come from a free list (struct arena_pool, one per worker) so that a warm request calls no malloc.
 */
#ifndef WEFT_BASE_ARENA_H
#define WEFT_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

/* Free list of equal blocks. Owned by the worker (or NULL-like: arena_init with pool NULL uses
 * malloc). */
struct arena_pool;
struct arena_block;

#define ARENA_BLOCK 4096

struct arena_pool *arena_pool_new(size_t max_idle_blocks);
/* Frees the idle blocks. */
void arena_pool_trim(struct arena_pool *pool);
/* All arenas on it must have been freed. */
void arena_pool_free(struct arena_pool **pool);

/* Embedded in its owner; owns every block it took. */
struct arena {
	struct arena_pool *pool;
	struct arena_block *blocks;
	uint8_t *next, *end;
	size_t total; /* bytes handed out, for budgets */
};

void arena_init(struct arena *a, struct arena_pool *pool);
/* Gives everything back; the arena may be used again. */
void arena_clear(struct arena *a);
/* Aligned to 16; contents undefined. Requests over a block get a block of their own. Never NULL. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
/* NUL-terminated copy. */
char *arena_strdup(struct arena *a, struct str s);
struct str arena_str(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))

#endif
