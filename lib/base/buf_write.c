/*
 * Filling a buf: appending and handing out room that others write into. Owns nothing of its own;
 * room is only ever the part of a chunk that no other segment can see. Called by ios when they read
 * and by codecs when they encode.
 */
#include "lib/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/buf_internal.h"
#include "lib/base/obj.h"

/* A rest smaller than this is no piece of its own in a gathered read. */
#define BUF_MIN_PIECE 256u

static enum buf_class buf_class_for(size_t n)
{
	return n <= BUF_SMALL ? BUF_CLASS_SMALL : BUF_CLASS_LARGE;
}

/* Makes n bytes of the segment's room part of the buf. */
static void buf_seg_extend(struct buf *b, struct buf_seg *seg, size_t n)
{
	ASSERT(n <= buf_seg_room(seg));
	if (n == 0)
		return;
	seg->end += (uint32_t)n;
	seg->chunk->fill = seg->end;
	seg->chunk->writer = seg;
	b->len += n;
}

/* From here on the room behind the segment is its own, also when its bytes get a second owner
 * before the commit. */
static uint8_t *buf_seg_claim(struct buf_seg *seg)
{
	seg->chunk->writer = seg;
	seg->chunk->fill = seg->end;
	return seg->chunk->bytes + seg->end;
}

/* Of several empty segments that a gathered reserve left, keeps one, so that none ends up between
 * full ones. */
static void buf_keep_one_empty(struct buf *b)
{
	struct buf_seg *last = b->last;

	if (last != NULL && buf_seg_len(last) == 0 && last->prev != NULL &&
		buf_seg_len(last->prev) == 0)
		buf_drop_empty_tail(b);
}

uint8_t *buf_reserve(struct buf *b, size_t min, size_t *room)
{
	ASSERT(min >= 1 && min <= BUF_LARGE);
	buf_keep_one_empty(b);
	struct buf_seg *seg = b->last;
	if (seg == NULL || buf_seg_room(seg) < min) {
		buf_drop_empty_tail(b);
		seg = b->last;
	}
	if (seg == NULL || buf_seg_room(seg) < min) {
		seg = buf_seg_fresh(b->pool, buf_class_for(min));
		buf_link_last(b, seg);
	}
	*room = buf_seg_room(seg);
	return buf_seg_claim(seg);
}

void buf_commit(struct buf *b, size_t n)
{
	if (n > 0) {
		ASSERT(b->last != NULL);
		buf_seg_extend(b, b->last, n);
	}
	buf_drop_empty_tail(b);
}

int buf_reserve_iov(struct buf *b, size_t want, struct iovec *iov, int max)
{
	int count = 0;

	ASSERT(max > 0);
	buf_drop_empty_tail(b);
	if (want == 0)
		want = 1;
	struct buf_seg *seg = b->last;
	size_t got = 0;
	while (count < max && got < want) {
		if (count > 0 || seg == NULL || buf_seg_room(seg) < BUF_MIN_PIECE) {
			seg = buf_seg_fresh(b->pool, buf_class_for(want - got));
			buf_link_last(b, seg);
		}
		iov[count].iov_len = buf_seg_room(seg);
		iov[count].iov_base = buf_seg_claim(seg);
		got += iov[count].iov_len;
		count++;
	}
	return count;
}

void buf_commit_iov(struct buf *b, size_t n)
{
	struct buf_seg *seg = b->last;

	/* Back to where buf_reserve_iov began: the fresh segments are the empty ones. */
	while (seg != NULL && buf_seg_len(seg) == 0 && seg->prev != NULL)
		seg = seg->prev;
	if (seg != NULL && buf_seg_len(seg) > 0 && buf_seg_room(seg) < BUF_MIN_PIECE)
		seg = seg->next;
	while (n > 0) {
		ASSERT(seg != NULL);
		size_t piece = buf_seg_room(seg) < n ? buf_seg_room(seg) : n;
		buf_seg_extend(b, seg, piece);
		n -= piece;
		seg = seg->next;
	}
	buf_drop_empty_tail(b);
}

void buf_append(struct buf *b, const void *p, size_t n)
{
	const uint8_t *from = p;

	buf_keep_one_empty(b);
	while (n > 0) {
		struct buf_seg *seg = b->last;
		if (seg == NULL || buf_seg_room(seg) == 0) {
			seg = buf_seg_fresh(b->pool, buf_class_for(n));
			buf_link_last(b, seg);
		}
		size_t piece = buf_seg_room(seg) < n ? buf_seg_room(seg) : n;
		memcpy(seg->chunk->bytes + seg->end, from, piece);
		buf_seg_extend(b, seg, piece);
		from += piece;
		n -= piece;
	}
}

void buf_append_str(struct buf *b, struct str s)
{
	buf_append(b, s.p, s.n);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	size_t room;
	char *at = (char *)buf_reserve(b, 1, &room);

	va_start(ap, fmt);
	int n = vsnprintf(at, room, fmt, ap);
	va_end(ap);
	ASSERT(n >= 0);
	if ((size_t)n < room) {
		buf_commit(b, (size_t)n);
		return;
	}
	buf_commit(b, 0);
	char *text = mem_alloc((size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf_append(b, text, (size_t)n);
	mem_free(text);
}
