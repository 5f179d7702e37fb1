/*
 * Byte chains: what moves between ios, codecs and flows. A buf is a list of segments, each a window
 * into a refcounted chunk, so that bytes pass from reader to writer without a copy and may have a
 * second owner (buf_share). Chunks and segments come from a per-worker pool; an empty buf holds no
 * memory.
 */
#ifndef WEFT_BASE_BUF_H
#define WEFT_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/base/str.h"

#define BUF_SMALL 2048  /* data bytes of a small chunk, head and tailroom not counted */
#define BUF_LARGE 16384 /* data bytes of a large chunk: one full TLS record */
#define BUF_HEADROOM 64 /* free bytes before a fresh chunk's data: frame and record headers */
#define BUF_TAILROOM 32 /* free bytes kept behind the data of a full chunk: an AEAD tag */

#define BUF_PACK 512 /* pieces of up to so many bytes may be copied when they change owner */

struct buf_pool;
struct buf_seg;

/* Free lists of chunks and segments, LIFO. Owned by the worker; counts bytes held in chunks for the
 * worker's budget. */
struct buf_pool *buf_pool_new(size_t max_idle_bytes);
/* Every buf on it must be empty. */
void buf_pool_free(struct buf_pool **pool);
/* Bytes of chunks that are in use now (capacity, not fill). */
size_t buf_pool_used(const struct buf_pool *pool);
/* Gives idle chunks back to the system. */
void buf_pool_trim(struct buf_pool *pool);

/* Embedded in its owner, who calls buf_clear; owns one reference on each chunk of its segments. */
struct buf {
	struct buf_pool *pool;
	struct buf_seg *first, *last;
	size_t len;
};

void buf_init(struct buf *b, struct buf_pool *pool);
void buf_clear(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
	return b->len;
}

/* Copies n bytes to the end. */
void buf_append(struct buf *b, const void *p, size_t n);
void buf_append_str(struct buf *b, struct str s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Writable space at the end, at least min (1..BUF_LARGE) contiguous bytes; *room receives how many
 * there are. Nothing is part of the buf until buf_commit(b, n <= room) says so. Tailroom is not
 * offered. A small min is served from the last chunk where it has room.
 */
uint8_t *buf_reserve(struct buf *b, size_t min, size_t *room);
void buf_commit(struct buf *b, size_t n);
/* Up to max iovecs of writable space, together at least want bytes (rounded up to chunks); then
 * buf_commit_iov(b, n) with what was filled. */
int buf_reserve_iov(struct buf *b, size_t want, struct iovec *iov, int max);
void buf_commit_iov(struct buf *b, size_t n);

/* The first contiguous piece (empty slice when the buf is). Valid until the buf is changed. */
struct str buf_peek(const struct buf *b);
/* Fills up to max iovecs with the pieces from the start on, at most limit bytes; returns how many.
 */
int buf_iov(const struct buf *b, size_t limit, struct iovec *iov, int max);
/* Drops n (<= len) bytes from the start. */
void buf_consume(struct buf *b, size_t n);
/* Drops n (<= len) bytes from the end. */
void buf_truncate(struct buf *b, size_t n);
/* Copies n bytes from offset on to dst; returns how many there were. */
size_t buf_copy_out(const struct buf *b, size_t offset, void *dst, size_t n);
/* Makes the first n (<= len, <= BUF_LARGE) bytes contiguous and returns them, or NULL where len <
 * n. */
const uint8_t *buf_pullup(struct buf *b, size_t n);
/* Puts n (<= BUF_HEADROOM) bytes before the start, in headroom where the chunk is ours alone and
 * has it. */
void buf_prepend(struct buf *b, const void *p, size_t n);

/* Moves the first n (<= src->len) bytes from src to the end of dst; whole segments change owner,
 * and no byte is copied but pieces of up to BUF_PACK bytes for which dst's last chunk has room, so
 * that many small pieces in a queue do not hold a chunk each. Same pool. */
void buf_move(struct buf *dst, struct buf *src, size_t n);
void buf_move_all(struct buf *dst, struct buf *src);
/* Appends to dst a second reference to n bytes of src from offset on; src is unchanged, shared
 * bytes are never written again. */
void buf_share(struct buf *dst, const struct buf *src, size_t offset, size_t n);

/* Position of the first byte c at or after from, or -1. */
ptrdiff_t buf_find(const struct buf *b, size_t from, char c);
bool buf_eq(const struct buf *b, struct str s);

#endif
