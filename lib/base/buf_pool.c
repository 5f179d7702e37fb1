/*
 * The free lists behind bufs: last in, first out, so that the bytes handed out are warm in the
 * cache. Owns idle chunks and segments and counts those in use; called by buf.c alone, made and
 * freed by the worker.
 */
#include "lib/base/buf_internal.h"

#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/base/poison.h"

/* Owned by the worker; owns everything on its free lists. */
struct buf_pool {
	struct buf_chunk *idle[BUF_CLASS_COUNT];
	struct buf_seg *idle_segs;
	size_t max_idle_bytes, idle_bytes, used_bytes, used_segs;
};

static size_t buf_class_room(enum buf_class class)
{
	size_t data = class == BUF_CLASS_SMALL ? BUF_SMALL : BUF_LARGE;

	return BUF_HEADROOM + data + BUF_TAILROOM;
}

struct buf_pool *buf_pool_new(size_t max_idle_bytes)
{
	struct buf_pool *pool = MEM_NEW(struct buf_pool);

	pool->max_idle_bytes = max_idle_bytes;
	return pool;
}

void buf_pool_trim(struct buf_pool *pool)
{
	for (int class = 0; class < BUF_CLASS_COUNT; class ++) {
		while (pool->idle[class] != NULL) {
			struct buf_chunk *c = pool->idle[class];
			pool->idle[class] = c->next;
			UNPOISON(c->bytes, buf_class_room(c->class));
			mem_free(c);
		}
	}
	while (pool->idle_segs != NULL) {
		struct buf_seg *seg = pool->idle_segs;
		pool->idle_segs = seg->next;
		mem_free(seg);
	}
	pool->idle_bytes = 0;
}

void buf_pool_free(struct buf_pool **pool)
{
	struct buf_pool *p = *pool;

	*pool = NULL;
	if (p == NULL)
		return;
	ASSERT(p->used_segs == 0 && p->used_bytes == 0);
	buf_pool_trim(p);
	mem_free(p);
}

size_t buf_pool_used(const struct buf_pool *pool)
{
	return pool->used_bytes;
}

static bool buf_pool_keeps(struct buf_pool *pool, size_t bytes)
{
	if (pool->idle_bytes + bytes > pool->max_idle_bytes)
		return false;
	pool->idle_bytes += bytes;
	return true;
}

static struct buf_chunk *buf_chunk_take(struct buf_pool *pool, enum buf_class class)
{
	struct buf_chunk *c = pool->idle[class];
	size_t room = buf_class_room(class);

	if (c != NULL) {
		pool->idle[class] = c->next;
		pool->idle_bytes -= room;
		UNPOISON(c->bytes, room);
	} else {
		c = mem_alloc(sizeof(*c) + room);
	}
	pool->used_bytes += room;
	c->next = NULL;
	c->writer = NULL;
	c->refs = 0;
	c->fill = BUF_HEADROOM;
	c->limit = (uint32_t)(room - BUF_TAILROOM);
	c->class = class;
	return c;
}

static void buf_chunk_give(struct buf_pool *pool, struct buf_chunk *c)
{
	size_t room = buf_class_room(c->class);

	pool->used_bytes -= room;
	if (!buf_pool_keeps(pool, room)) {
		mem_free(c);
		return;
	}
	POISON(c->bytes, room);
	c->next = pool->idle[c->class];
	pool->idle[c->class] = c;
}

struct buf_seg *buf_seg_window(struct buf_pool *pool, struct buf_chunk *chunk, uint32_t start,
	uint32_t end)
{
	struct buf_seg *seg = pool->idle_segs;

	if (seg != NULL) {
		pool->idle_segs = seg->next;
		pool->idle_bytes -= sizeof(*seg);
	} else {
		seg = MEM_NEW(struct buf_seg);
	}
	pool->used_segs++;
	chunk->refs++;
	*seg = (struct buf_seg){.chunk = chunk, .start = start, .end = end};
	return seg;
}

struct buf_seg *buf_seg_fresh(struct buf_pool *pool, enum buf_class class)
{
	struct buf_chunk *c = buf_chunk_take(pool, class);
	struct buf_seg *seg = buf_seg_window(pool, c, BUF_HEADROOM, BUF_HEADROOM);

	c->writer = seg;
	return seg;
}

void buf_seg_give(struct buf_pool *pool, struct buf_seg *seg)
{
	struct buf_chunk *c = seg->chunk;

	if (c->writer == seg)
		c->writer = NULL;
	if (--c->refs == 0)
		buf_chunk_give(pool, c);
	pool->used_segs--;
	if (!buf_pool_keeps(pool, sizeof(*seg))) {
		mem_free(seg);
		return;
	}
	seg->chunk = NULL;
	seg->next = pool->idle_segs;
	pool->idle_segs = seg;
}
