/*
 * A connection in memory: two ends, each with a bounded queue of bytes on the way to it. Owned by
 * whoever made the pair (tests, the simulated network); behaves like a socket: readiness is
 * level-triggered, a close with unread bytes resets the peer.
 */
#include "lib/base/alloc.h"
#include "lib/net/io_internal.h"

/* Owned by its user, freed by io_close; owns the bytes that wait to be read at this end. */
struct mem_end {
	struct io io;
	struct mem_end *peer; /* NULL once it is closed */
	struct buf in;
	size_t capacity;
	struct loop_task ready;
	unsigned wanted;
	bool shut;    /* this end writes no more */
	bool in_done; /* nothing comes after what is in the queue */
	int in_err;   /* what a read gives after the queue; 0: end of stream */
	int broken;   /* what every operation gives */
	bool delivering;
	struct addr local, remote, orig_dst;
};

static const struct io_ops mem_ops;

static struct mem_end *mem_of(struct io *io)
{
	ASSERT(io->ops == &mem_ops);
	return CONTAINER_OF(OBJ_CAST(struct io, IO_MAGIC, io), struct mem_end, io);
}

static size_t mem_room(const struct mem_end *e)
{
	return buf_len(&e->in) < e->capacity ? e->capacity - buf_len(&e->in) : 0;
}

static unsigned mem_readiness(const struct mem_end *e)
{
	unsigned events = 0;

	if (e->broken != 0 || e->in_done || buf_len(&e->in) > 0)
		events |= IO_READ;
	if (e->broken != 0 || e->peer == NULL || mem_room(e->peer) > 0)
		events |= IO_WRITE;
	return events & e->wanted;
}

/* Called wherever an end may have become ready. */
static void mem_wake(struct mem_end *e)
{
	if (e != NULL && !e->delivering && mem_readiness(e) != 0)
		loop_defer(&e->ready);
}

/* What is still ready after the callback is reported again in the next turn, as a poll would. */
static void on_mem_ready(void *arg)
{
	struct mem_end *e = arg;
	unsigned events = mem_readiness(e);

	if (events == 0 || e->io.fn == NULL)
		return;
	e->delivering = true;
	e->io.fn(e->io.arg, events);
	e->delivering = false;
	if (mem_readiness(e) != 0)
		loop_next_turn(&e->ready);
}

/* Bytes change owner without a copy, except between the pools of two workers. */
static void mem_transfer(struct buf *dst, struct buf *src, size_t n)
{
	if (dst->pool == src->pool) {
		buf_move(dst, src, n);
		return;
	}
	while (n > 0) {
		struct str piece = buf_peek(src);
		size_t len = piece.n < n ? piece.n : n;
		buf_append(dst, piece.p, len);
		buf_consume(src, len);
		n -= len;
	}
}

static ssize_t mem_read(struct io *io, struct buf *in, size_t max)
{
	struct mem_end *e = mem_of(io);
	size_t n = buf_len(&e->in) < max ? buf_len(&e->in) : max;

	if (e->broken != 0)
		return e->broken;
	if (buf_len(&e->in) == 0 && e->in_done)
		return e->in_err;
	if (n == 0)
		return ERR_AGAIN;
	mem_transfer(in, &e->in, n);
	mem_wake(e->peer);
	return (ssize_t)n;
}

static ssize_t mem_write(struct io *io, struct buf *out)
{
	struct mem_end *e = mem_of(io);

	if (e->broken != 0)
		return e->broken;
	if (buf_len(out) == 0)
		return 0;
	if (e->peer == NULL || e->shut)
		return ERR_RESET;
	size_t room = mem_room(e->peer);
	size_t n = buf_len(out) < room ? buf_len(out) : room;
	if (n == 0)
		return ERR_AGAIN;
	mem_transfer(&e->peer->in, out, n);
	mem_wake(e->peer);
	return (ssize_t)n;
}

static void mem_end_input(struct mem_end *e, int err)
{
	if (e->in_done)
		return;
	e->in_done = true;
	e->in_err = err;
	mem_wake(e);
}

static int mem_shutdown(struct io *io)
{
	struct mem_end *e = mem_of(io);

	if (e->broken != 0)
		return e->broken;
	if (e->shut)
		return 0;
	e->shut = true;
	if (e->peer != NULL)
		mem_end_input(e->peer, 0);
	return 0;
}

static void mem_want(struct io *io, unsigned events)
{
	struct mem_end *e = mem_of(io);

	e->wanted = events;
	mem_wake(e);
}

static void mem_info(const struct io *io, struct io_info *info)
{
	const struct mem_end *e = CONTAINER_OF(io, const struct mem_end, io);

	info->local = e->local;
	info->peer = e->remote;
}

/* What the peer has not read yet stays readable for it, as with a socket; then comes the end or the
 * reset. */
static void mem_close(struct io *io, bool reset)
{
	struct mem_end *e = mem_of(io), *peer = e->peer;

	if (e->broken != 0 || buf_len(&e->in) > 0)
		reset = true;
	loop_task_cancel(&e->ready);
	buf_clear(&e->in);
	e->wanted = 0;
	e->peer = NULL;
	if (peer != NULL) {
		peer->peer = NULL;
		if (reset && peer->in_done)
			peer->in_err = ERR_RESET;
		mem_end_input(peer, reset ? ERR_RESET : 0);
		mem_wake(peer);
	}
	loop_defer_free(io->loop, e, mem_free);
}

static const struct io_ops mem_ops = {
	.name = "mem",
	.read = mem_read,
	.write = mem_write,
	.shutdown = mem_shutdown,
	.want = mem_want,
	.info = mem_info,
	.close = mem_close,
};

static struct mem_end *mem_end_new(struct loop *loop, struct buf_pool *pool, size_t capacity)
{
	struct mem_end *e = MEM_NEW(struct mem_end);

	e->io.obj.magic = IO_MAGIC;
	e->io.ops = &mem_ops;
	e->io.loop = loop;
	e->capacity = capacity;
	buf_init(&e->in, pool);
	loop_task_init(&e->ready, loop, on_mem_ready, e);
	return e;
}

void io_mem_pair(struct loop *loop, struct buf_pool *pool, size_t capacity, const struct addr *a,
	const struct addr *b, struct io *ends[2])
{
	struct mem_end *x = mem_end_new(loop, pool, capacity);
	struct mem_end *y = mem_end_new(loop, pool, capacity);

	x->peer = y;
	y->peer = x;
	x->local = y->remote = *a;
	x->remote = y->local = *b;
	ends[0] = &x->io;
	ends[1] = &y->io;
}

void io_mem_break(struct io *end, int err)
{
	struct mem_end *e = mem_of(end);

	e->broken = err;
	mem_wake(e);
}

void io_mem_set_local(struct io *end, const struct addr *local)
{
	mem_of(end)->local = *local;
}

void io_mem_set_orig_dst(struct io *end, const struct addr *dst)
{
	mem_of(end)->orig_dst = *dst;
}

bool io_mem_orig_dst(const struct io *io, struct addr *out)
{
	const struct io *bottom = io_bottom(io);

	if (bottom->ops != &mem_ops)
		return false;
	*out = CONTAINER_OF(bottom, const struct mem_end, io)->orig_dst;
	return out->family != ADDR_NONE;
}
