/*
 * Bump allocation in blocks that come from and go back to a free list. Owns the idle blocks (pool)
 * and the blocks in use (arena). Called by whoever holds data that dies together: streams,
 * requests, compiled resources.
 */
#include "lib/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/base/poison.h"

#define ARENA_ALIGN 16u

/* Owned by the arena that took it, or by the pool while idle. size counts the bytes of data. */
struct arena_block {
	struct arena_block *next;
	size_t size;
	alignas(16) uint8_t data[];
};

#define ARENA_DATA (ARENA_BLOCK - sizeof(struct arena_block))

/* Owned by the worker; owns the idle blocks, all of ARENA_BLOCK bytes. */
struct arena_pool {
	struct arena_block *idle;
	size_t idle_count, idle_max, used_count;
};

struct arena_pool *arena_pool_new(size_t max_idle_blocks)
{
	struct arena_pool *pool = MEM_NEW(struct arena_pool);

	pool->idle_max = max_idle_blocks;
	return pool;
}

void arena_pool_trim(struct arena_pool *pool)
{
	while (pool->idle != NULL) {
		struct arena_block *block = pool->idle;

		pool->idle = block->next;
		UNPOISON(block->data, ARENA_DATA);
		mem_free(block);
	}
	pool->idle_count = 0;
}

void arena_pool_free(struct arena_pool **pool)
{
	struct arena_pool *p = *pool;

	*pool = NULL;
	if (p == NULL)
		return;
	ASSERT(p->used_count == 0);
	arena_pool_trim(p);
	mem_free(p);
}

static struct arena_block *arena_block_take(struct arena_pool *pool, size_t size)
{
	struct arena_block *block;

	if (pool == NULL || size != ARENA_DATA) {
		block = mem_alloc(sizeof(*block) + size);
	} else {
		pool->used_count++;
		block = pool->idle;
		if (block != NULL) {
			pool->idle = block->next;
			pool->idle_count--;
			UNPOISON(block->data, ARENA_DATA);
		} else {
			block = mem_alloc(ARENA_BLOCK);
		}
	}
	block->size = size;
	return block;
}

static void arena_block_give(struct arena_pool *pool, struct arena_block *block)
{
	UNPOISON(block->data, block->size);
	if (pool == NULL || block->size != ARENA_DATA) {
		mem_free(block);
		return;
	}
	ASSERT(pool->used_count > 0);
	pool->used_count--;
	if (pool->idle_count >= pool->idle_max) {
		mem_free(block);
		return;
	}
	POISON(block->data, ARENA_DATA);
	block->next = pool->idle;
	pool->idle = block;
	pool->idle_count++;
}

void arena_init(struct arena *a, struct arena_pool *pool)
{
	*a = (struct arena){.pool = pool};
}

void arena_clear(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *block = a->blocks;
		a->blocks = block->next;
		arena_block_give(a->pool, block);
	}
	arena_init(a, a->pool);
}

/* A request that no block holds gets its own, put behind the current one so that the current one's
 * rest stays in use. */
static void *arena_alloc_large(struct arena *a, size_t n)
{
	struct arena_block *block = arena_block_take(NULL, n);

	if (a->blocks == NULL) {
		block->next = NULL;
		a->blocks = block;
	} else {
		block->next = a->blocks->next;
		a->blocks->next = block;
	}
	return block->data;
}

void *arena_alloc(struct arena *a, size_t n)
{
	size_t size;

	if (__builtin_add_overflow(n, ARENA_ALIGN - 1, &size))
		obj_fail(__FILE__, __LINE__, "arena request overflows");
	size = size < ARENA_ALIGN ? ARENA_ALIGN : size & ~(size_t)(ARENA_ALIGN - 1);
	a->total += size;
	if (size > ARENA_DATA)
		return arena_alloc_large(a, size);
	if ((size_t)(a->end - a->next) < size) {
		struct arena_block *block = arena_block_take(a->pool, ARENA_DATA);
		block->next = a->blocks;
		a->blocks = block;
		a->next = block->data;
		a->end = block->data + ARENA_DATA;
		POISON(a->next, ARENA_DATA);
	}
	void *p = a->next;
	a->next += size;
	UNPOISON(p, n);
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

char *arena_strdup(struct arena *a, struct str s)
{
	char *copy = arena_alloc(a, s.n + 1);

	if (s.n != 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
	return str_make(arena_strdup(a, s), s.n);
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	ASSERT(n >= 0);
	char *text = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return str_make(text, (size_t)n);
}
