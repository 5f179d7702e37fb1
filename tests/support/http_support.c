/*
 * World and wire for tests of HTTP: a simulated loop with its pools, and the far end of a
 * connection in memory as raw bytes. Owns what its headers say; used by unit tests, memory tests
 * and fuzzers of lib/http.
 */
#include "tests/support/http_support.h"

#include <stdlib.h>

#include "lib/base/obj.h"

#define MAX_TURNS 200000

/* --- world --- */

void http_world_init(struct http_world *w)
{
	*w = (struct http_world){0};
	w->loop = loop_new_sim(1800000000ull * NS_PER_S);
	w->bufs = buf_pool_new(1 << 20);
	w->arenas = arena_pool_new(64);
	w->env = (struct http_env){.loop = w->loop, .bufs = w->bufs, .arenas = w->arenas};
	w->limits = http_limits_default();
	w->capacity = 64 * 1024;
}

void http_world_fini(struct http_world *w)
{
	http_world_settle(w);
	ASSERT(buf_pool_used(w->bufs) == 0);
	loop_free(&w->loop);
	buf_pool_free(&w->bufs);
	arena_pool_free(&w->arenas);
}

void http_world_pair(struct http_world *w, struct io *ends[2])
{
	struct addr a, b;

	ASSERT(addr_parse(STR("10.0.0.1:1111"), &a) == 0);
	ASSERT(addr_parse(STR("10.0.0.2:80"), &b) == 0);
	io_mem_pair(w->loop, w->bufs, w->capacity, &a, &b, ends);
}

void http_world_settle(struct http_world *w)
{
	ASSERT(loop_sim_settle(w->loop, MAX_TURNS) < MAX_TURNS);
}

uint64_t http_support_sum(uint64_t sum, const void *p, size_t n)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3ull;
	return sum;
}

/* --- wire --- */

static void wire_gather(struct wire *x, size_t from)
{
	for (size_t at = from; at < buf_len(&x->got);) {
		char piece[4096];
		size_t n = buf_copy_out(&x->got, at, piece, sizeof(piece));

		x->sum = http_support_sum(x->sum, piece, n);
		at += n;
	}
	x->total += buf_len(&x->got) - from;
	if (x->discard)
		buf_clear(&x->got);
}

static void wire_on_io(void *arg, unsigned events)
{
	struct wire *x = arg;
	size_t before = buf_len(&x->got);

	(void)events;
	ssize_t n = io_read(x->io, &x->got, 64 * 1024);

	if (n > 0)
		wire_gather(x, before);
	if (n == 0)
		x->eof = true;
	if (n < 0 && n != ERR_AGAIN)
		x->err = (int)n;
	if (x->eof || x->err != 0)
		io_want(x->io, 0);
}

void wire_init(struct wire *x, struct http_world *w, struct io *io)
{
	*x = (struct wire){.w = w, .io = io};
	buf_init(&x->got, w->bufs);
	io_set_user(io, wire_on_io, x);
	io_want(io, IO_READ);
}

void wire_fini(struct wire *x)
{
	wire_close(x, false);
	buf_clear(&x->got);
}

void wire_listen(struct wire *x, bool on)
{
	x->deaf = !on;
	if (x->io != NULL && !x->eof && x->err == 0)
		io_want(x->io, on ? IO_READ : 0);
}

size_t wire_push(struct wire *x, struct str text)
{
	struct buf out;
	ssize_t n;

	if (x->io == NULL || text.n == 0)
		return 0;
	buf_init(&out, x->w->bufs);
	buf_append(&out, text.p, text.n);
	n = io_write(x->io, &out);
	buf_clear(&out);
	return n > 0 ? (size_t)n : 0;
}

void wire_send(struct wire *x, struct str text, size_t piece, struct rng *rng)
{
	while (text.n > 0) {
		size_t n = piece == 0 ? text.n : piece;

		if (rng != NULL)
			n = 1 + rng_below(rng, piece);
		if (n > text.n)
			n = text.n;
		n = wire_push(x, str_make(text.p, n));
		http_world_settle(x->w);
		if (n == 0)
			return; /* closed, or the far end takes no more */
		text = str_make(text.p + n, text.n - n);
	}
}

void wire_shutdown(struct wire *x)
{
	io_shutdown(x->io);
	http_world_settle(x->w);
}

void wire_close(struct wire *x, bool reset)
{
	io_close(&x->io, reset);
	http_world_settle(x->w);
}

char *wire_take(struct wire *x)
{
	size_t n = buf_len(&x->got);
	char *text = calloc(1, n + 1);

	ASSERT(text != NULL);
	buf_copy_out(&x->got, 0, text, n);
	buf_clear(&x->got);
	return text;
}
