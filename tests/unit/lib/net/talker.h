/*
 * An application at the outer end of what is tested: sends so many bytes of a pattern and checks
 * that it receives the same pattern, without a hole and in order.
 */
#ifndef TESTS_UNIT_LIB_NET_TALKER_H
#define TESTS_UNIT_LIB_NET_TALKER_H

#include "tests/unit/lib/net/support.h"

#define MIB (1024u * 1024u)
#define PATTERN 65521u /* prime: what is lost or doubled by a power of two is noticed */
#define TALKER_READ (64u * 1024u)

/* An application at one outer end: sends so many bytes of a pattern, checks what it receives. */
struct talker {
	struct io *io;
	struct buf_pool *pool;
	uint8_t *pattern; /* twice, so that any piece of it is contiguous */
	uint64_t to_send, sent, received;
	bool deaf;       /* does not read */
	bool shut_after; /* half-closes when everything is sent */
	bool shut, ended;
	int err;
};

static inline void talker_want(struct talker *t)
{
	unsigned events = 0;

	if (!t->deaf && !t->ended)
		events |= IO_READ;
	if (t->sent < t->to_send)
		events |= IO_WRITE;
	io_want(t->io, events);
}

static inline void talker_read(struct talker *t)
{
	struct buf in;
	ssize_t n;

	buf_init(&in, t->pool);
	while ((n = io_read(t->io, &in, TALKER_READ)) > 0) {
		while (buf_len(&in) > 0) {
			struct str piece = buf_peek(&in);
			size_t len = piece.n < PATTERN ? piece.n : PATTERN;
			assert_memory_equal(piece.p, t->pattern + t->received % PATTERN, len);
			t->received += len;
			buf_consume(&in, len);
		}
	}
	if (n != ERR_AGAIN) {
		t->ended = true;
		t->err = (int)n;
	}
}

static inline void talker_write(struct talker *t)
{
	struct buf out;

	buf_init(&out, t->pool);
	while (t->sent < t->to_send) {
		uint64_t left = t->to_send - t->sent;
		size_t len = left < PATTERN ? (size_t)left : PATTERN;
		buf_append(&out, t->pattern + t->sent % PATTERN, len);
		ssize_t n = io_write(t->io, &out);
		buf_clear(&out);
		if (n <= 0) {
			if (n != ERR_AGAIN)
				t->to_send = t->sent;
			break;
		}
		t->sent += (uint64_t)n;
	}
	if (t->shut_after && !t->shut && t->sent == t->to_send) {
		t->shut = true;
		io_shutdown(t->io);
	}
}

static inline void on_talker(void *arg, unsigned events)
{
	struct talker *t = arg;

	if (events & IO_READ)
		talker_read(t);
	if (events & IO_WRITE)
		talker_write(t);
	talker_want(t);
}

/* Lets the talkers speak with what was set since. */
static inline void talk(struct talker *t)
{
	talker_write(t);
	talker_want(t);
}

static inline void talker_init(struct talker *t, struct io *io, struct buf_pool *pool)
{
	t->io = io;
	t->pool = pool;
	t->pattern = malloc(2 * PATTERN);
	for (size_t i = 0; i < 2 * PATTERN; i++)
		t->pattern[i] = (uint8_t)((i % PATTERN) * 2654435761u >> 13);
	io_set_user(io, on_talker, t);
}

static inline void talker_free(struct talker *t)
{
	io_close(&t->io, false);
	free(t->pattern);
}

#endif
