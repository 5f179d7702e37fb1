/*
 * Reading, moving and sharing the bytes of a chain. A buf owns its segments, a segment one
 * reference on its chunk; nothing here copies bytes but buf_copy_out, buf_pullup and buf_prepend.
 * Called by ios, codecs and flows.
 */
#include "lib/base/buf.h"

#include "lib/base/buf_internal.h"
#include "lib/base/obj.h"

void buf_init(struct buf *b, struct buf_pool *pool)
{
	*b = (struct buf){.pool = pool};
}

void buf_link_last(struct buf *b, struct buf_seg *seg)
{
	seg->next = NULL;
	seg->prev = b->last;
	if (b->last != NULL)
		b->last->next = seg;
	else
		b->first = seg;
	b->last = seg;
}

void buf_link_first(struct buf *b, struct buf_seg *seg)
{
	seg->prev = NULL;
	seg->next = b->first;
	if (b->first != NULL)
		b->first->prev = seg;
	else
		b->last = seg;
	b->first = seg;
}

void buf_unlink(struct buf *b, struct buf_seg *seg)
{
	if (seg->prev != NULL)
		seg->prev->next = seg->next;
	else
		b->first = seg->next;
	if (seg->next != NULL)
		seg->next->prev = seg->prev;
	else
		b->last = seg->prev;
	seg->prev = seg->next = NULL;
}

static void buf_drop(struct buf *b, struct buf_seg *seg)
{
	buf_unlink(b, seg);
	buf_seg_give(b->pool, seg);
}

void buf_drop_empty_tail(struct buf *b)
{
	while (b->last != NULL && buf_seg_len(b->last) == 0)
		buf_drop(b, b->last);
}

void buf_clear(struct buf *b)
{
	while (b->first != NULL)
		buf_drop(b, b->first);
	b->len = 0;
}

struct str buf_peek(const struct buf *b)
{
	if (b->len == 0)
		return STR_NULL;
	return str_make(b->first->chunk->bytes + b->first->start, buf_seg_len(b->first));
}

int buf_iov(const struct buf *b, size_t limit, struct iovec *iov, int max)
{
	int count = 0;

	for (struct buf_seg *seg = b->first; seg != NULL && count < max && limit > 0;
		seg = seg->next) {
		size_t n = buf_seg_len(seg);
		if (n == 0)
			break;
		if (n > limit)
			n = limit;
		iov[count].iov_base = seg->chunk->bytes + seg->start;
		iov[count].iov_len = n;
		count++;
		limit -= n;
	}
	return count;
}

void buf_consume(struct buf *b, size_t n)
{
	ASSERT(n <= b->len);
	b->len -= n;
	while (n > 0) {
		struct buf_seg *seg = b->first;
		size_t piece = buf_seg_len(seg);
		if (piece > n) {
			seg->start += (uint32_t)n;
			return;
		}
		n -= piece;
		buf_drop(b, seg);
	}
	if (b->len == 0)
		buf_drop_empty_tail(b);
}

void buf_truncate(struct buf *b, size_t n)
{
	ASSERT(n <= b->len);
	buf_drop_empty_tail(b);
	b->len -= n;
	while (n > 0) {
		struct buf_seg *seg = b->last;
		size_t piece = buf_seg_len(seg);
		if (piece > n) {
			seg->end -= (uint32_t)n;
			return;
		}
		n -= piece;
		buf_drop(b, seg);
	}
}

size_t buf_copy_out(const struct buf *b, size_t offset, void *dst, size_t n)
{
	uint8_t *to = dst;
	size_t done = 0;

	for (struct buf_seg *seg = b->first; seg != NULL && done < n; seg = seg->next) {
		size_t piece = buf_seg_len(seg);
		if (offset >= piece) {
			offset -= piece;
			continue;
		}
		piece -= offset;
		if (piece > n - done)
			piece = n - done;
		memcpy(to + done, seg->chunk->bytes + seg->start + offset, piece);
		done += piece;
		offset = 0;
	}
	return done;
}

const uint8_t *buf_pullup(struct buf *b, size_t n)
{
	ASSERT(n <= BUF_LARGE);
	if (b->len < n || b->first == NULL)
		return NULL;
	struct buf_seg *seg = b->first;
	size_t have = buf_seg_len(seg);
	if (have < n) {
		/* The first piece grows where nobody else holds its chunk, and is replaced where
		 * somebody does or it is too short. */
		bool grow = seg->chunk->refs == 1 && seg->chunk->limit - seg->start >= n;
		if (!grow) {
			seg = buf_seg_fresh(b->pool,
				n <= BUF_SMALL ? BUF_CLASS_SMALL : BUF_CLASS_LARGE);
			have = 0;
		}
		size_t more = buf_copy_out(b, have, seg->chunk->bytes + seg->end, n - have);
		if (grow) {
			buf_unlink(b, seg);
			b->len -= have;
		}
		buf_consume(b, more);
		seg->end += (uint32_t)more;
		seg->chunk->fill = seg->end;
		buf_link_first(b, seg);
		b->len += buf_seg_len(seg);
	}
	return seg->chunk->bytes + seg->start;
}

void buf_prepend(struct buf *b, const void *p, size_t n)
{
	ASSERT(n <= BUF_HEADROOM);
	if (n == 0)
		return;
	struct buf_seg *seg = b->first;
	if (seg == NULL || seg->chunk->refs != 1 || seg->start < n) {
		seg = buf_seg_fresh(b->pool, BUF_CLASS_SMALL);
		seg->end = seg->start += (uint32_t)n;
		seg->chunk->fill = seg->end;
		buf_link_first(b, seg);
	}
	seg->start -= (uint32_t)n;
	memcpy(seg->chunk->bytes + seg->start, p, n);
	b->len += n;
}

/* Appends the segment, or lets the last one grow over it where both are neighbours in one chunk. */
static void buf_join(struct buf *b, struct buf_seg *seg)
{
	struct buf_seg *last = b->last;

	b->len += buf_seg_len(seg);
	if (last == NULL || last->chunk != seg->chunk || last->end != seg->start) {
		buf_link_last(b, seg);
		return;
	}
	last->end = seg->end;
	if (seg->chunk->writer == seg)
		seg->chunk->writer = last;
	buf_seg_give(b->pool, seg);
}

/* A short piece goes into room that the last chunk of b has, so that a queue of such pieces does
 * not hold a chunk for each. False where it is not short or there is no room. */
static bool buf_pack(struct buf *b, struct buf_seg *seg)
{
	const struct buf_seg *last = b->last;
	size_t n = buf_seg_len(seg);

	if (last == NULL || n > BUF_PACK || last->chunk == seg->chunk || buf_seg_room(last) < n)
		return false;
	buf_append(b, seg->chunk->bytes + seg->start, n);
	buf_seg_give(b->pool, seg);
	return true;
}

static void buf_take(struct buf *b, struct buf_seg *seg)
{
	if (!buf_pack(b, seg))
		buf_join(b, seg);
}

void buf_move(struct buf *dst, struct buf *src, size_t n)
{
	ASSERT(dst != src && dst->pool == src->pool && n <= src->len);
	if (n == 0)
		return;
	buf_drop_empty_tail(dst);
	src->len -= n;
	while (n > 0) {
		struct buf_seg *seg = src->first;
		size_t piece = buf_seg_len(seg);
		if (piece > n) {
			uint32_t cut = seg->start + (uint32_t)n;
			struct buf_seg *front =
				buf_seg_window(src->pool, seg->chunk, seg->start, cut);
			seg->start = cut;
			buf_take(dst, front);
			return;
		}
		buf_unlink(src, seg);
		buf_take(dst, seg);
		n -= piece;
	}
	if (src->len == 0)
		buf_drop_empty_tail(src);
}

void buf_move_all(struct buf *dst, struct buf *src)
{
	buf_move(dst, src, src->len);
}

void buf_share(struct buf *dst, const struct buf *src, size_t offset, size_t n)
{
	ASSERT(dst != src && dst->pool == src->pool);
	ASSERT(offset <= src->len && n <= src->len - offset);
	if (n == 0)
		return;
	buf_drop_empty_tail(dst);
	for (struct buf_seg *seg = src->first; seg != NULL && n > 0; seg = seg->next) {
		size_t piece = buf_seg_len(seg);
		if (offset >= piece) {
			offset -= piece;
			continue;
		}
		piece = piece - offset < n ? piece - offset : n;
		uint32_t start = seg->start + (uint32_t)offset;
		buf_join(dst,
			buf_seg_window(dst->pool, seg->chunk, start, start + (uint32_t)piece));
		offset = 0;
		n -= piece;
	}
}

ptrdiff_t buf_find(const struct buf *b, size_t from, char c)
{
	size_t base = 0;

	for (struct buf_seg *seg = b->first; seg != NULL; seg = seg->next) {
		size_t piece = buf_seg_len(seg);
		size_t skip = from > base ? from - base : 0;
		if (skip < piece) {
			const uint8_t *p = seg->chunk->bytes + seg->start;
			const uint8_t *at = memchr(p + skip, c, piece - skip);
			if (at != NULL)
				return (ptrdiff_t)(base + (size_t)(at - p));
		}
		base += piece;
	}
	return -1;
}

bool buf_eq(const struct buf *b, struct str s)
{
	if (b->len != s.n)
		return false;
	for (struct buf_seg *seg = b->first; seg != NULL; seg = seg->next) {
		size_t piece = buf_seg_len(seg);
		if (piece != 0 && memcmp(seg->chunk->bytes + seg->start, s.p, piece) != 0)
			return false;
		s = str_sub(s, piece, s.n);
	}
	return true;
}
