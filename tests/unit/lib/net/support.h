/*
 * What the tests of this room share: the headers that cmocka wants, a loop with a pool, a recorder
 * of io events, and reads and writes of short texts. Owned by each test's fixture.
 */
#ifndef TESTS_UNIT_LIB_NET_SUPPORT_H
#define TESTS_UNIT_LIB_NET_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/net/io.h"
#include "lib/net/loop.h"

#define POOL_IDLE (1u << 20)

/* Owned by the test; owns loop and pool. */
struct world {
	struct loop *loop;
	struct buf_pool *pool;
};

static inline struct world world_new(struct loop *loop)
{
	return (struct world){loop, buf_pool_new(POOL_IDLE)};
}

/* All that ran on it must be closed by now; nothing may be held. */
static inline void world_free(struct world *w)
{
	loop_free(&w->loop);
	assert_int_equal(buf_pool_used(w->pool), 0);
	buf_pool_free(&w->pool);
}

static inline struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(str_from(text), &a), 0);
	return a;
}

/* Counts the events of one io; owned by the test. */
struct recorder {
	unsigned calls, last, seen;
	struct loop *stop; /* not NULL: stops this loop with each event */
	struct io *quiet;  /* not NULL: wants nothing any more after an event */
};

static inline void record_event(void *arg, unsigned events)
{
	struct recorder *r = arg;

	r->calls++;
	r->last = events;
	r->seen |= events;
	if (r->quiet != NULL)
		io_want(r->quiet, 0);
	if (r->stop != NULL)
		loop_stop(r->stop);
}

/* Writes text; everything must be taken. */
static inline void write_text(struct io *io, struct buf_pool *pool, const char *text)
{
	struct buf b;

	buf_init(&b, pool);
	buf_append(&b, text, strlen(text));
	assert_int_equal(io_write(io, &b), (int)strlen(text));
	assert_int_equal(buf_len(&b), 0);
}

/* Reads once; what came must be exactly text. */
static inline void read_text(struct io *io, struct buf_pool *pool, const char *text)
{
	struct buf b;

	buf_init(&b, pool);
	assert_int_equal(io_read(io, &b, 4096), (int)strlen(text));
	assert_true(buf_eq(&b, str_from(text)));
	buf_clear(&b);
}

/* The result of a read that must give no bytes. */
static inline int read_nothing(struct io *io, struct buf_pool *pool)
{
	struct buf b;

	buf_init(&b, pool);
	ssize_t n = io_read(io, &b, 4096);
	assert_int_equal(buf_len(&b), 0);
	assert_true(n <= 0);
	return (int)n;
}

/* The result of a write of one byte. */
static inline int write_byte(struct io *io, struct buf_pool *pool)
{
	struct buf b;

	buf_init(&b, pool);
	buf_append(&b, "x", 1);
	ssize_t n = io_write(io, &b);
	buf_clear(&b);
	return (int)n;
}

#endif
