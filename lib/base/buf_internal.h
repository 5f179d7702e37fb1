/*
 * Chunks and segments, the parts that bufs are made of, and the pool that they come from. Private
 * to buf.c, buf_write.c and buf_pool.c; everyone else sees lib/base/buf.h.
 */
#ifndef WEFT_BASE_BUF_INTERNAL_H
#define WEFT_BASE_BUF_INTERNAL_H

#include "lib/base/buf.h"

enum buf_class { BUF_CLASS_SMALL, BUF_CLASS_LARGE, BUF_CLASS_COUNT };

/*
 * Bytes with a reference per segment. Bytes below fill may be seen by any owner and are never
 * written again while there is more than one; the room above it belongs to the writer, the segment
 * that filled it last.
 */
struct buf_chunk {
	struct buf_chunk *next; /* on the free list */
	struct buf_seg *writer; /* may be NULL */
	uint32_t refs, fill;
	uint32_t limit; /* end of the data room; the tailroom lies behind it */
	enum buf_class class;
	uint8_t bytes[];
};

/* A window into a chunk; owned by the buf whose list it is on, or by the pool while idle. Holds one
 * reference on its chunk. */
struct buf_seg {
	struct buf_seg *prev, *next;
	struct buf_chunk *chunk;
	uint32_t start, end;
};

/* A fresh chunk of the class in an empty segment that may write it. */
struct buf_seg *buf_seg_fresh(struct buf_pool *pool, enum buf_class class);
/* One more window into the chunk, from start to end. */
struct buf_seg *buf_seg_window(struct buf_pool *pool, struct buf_chunk *chunk, uint32_t start,
	uint32_t end);
/* Drops the segment's reference and gives both back where nobody else holds the chunk. */
void buf_seg_give(struct buf_pool *pool, struct buf_seg *seg);

static inline size_t buf_seg_len(const struct buf_seg *seg)
{
	return seg->end - seg->start;
}

/* Bytes that may be written directly behind the segment without anybody else's seeing it. */
static inline size_t buf_seg_room(const struct buf_seg *seg)
{
	const struct buf_chunk *c = seg->chunk;

	if (c->refs == 1)
		return c->limit - seg->end;
	return c->writer == seg && c->fill == seg->end ? c->limit - seg->end : 0;
}

/* The list operations, for buf.c and buf_write.c. */
void buf_link_last(struct buf *b, struct buf_seg *seg);
void buf_link_first(struct buf *b, struct buf_seg *seg);
void buf_unlink(struct buf *b, struct buf_seg *seg);
/* Gives back what buf_reserve took and nothing was committed to. */
void buf_drop_empty_tail(struct buf *b);

#endif
