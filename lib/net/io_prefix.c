/*
 * A layer that first gives back bytes that somebody read to look at them, then the stream below.
 * Owns those bytes and the layer below; made by whoever sniffed, when the stream goes on to its
 * codec.
 */
#include "lib/base/alloc.h"
#include "lib/net/io.h"

/* Owned by its user, freed by io_close; owns the prefix and io.below. */
struct prefix {
	struct io io;
	struct buf bytes;
	struct loop_task ready; /* reports READ while there are bytes */
	unsigned wanted;
};

static struct prefix *prefix_of(struct io *io)
{
	return CONTAINER_OF(OBJ_CAST(struct io, IO_MAGIC, io), struct prefix, io);
}

static bool prefix_readable(const struct prefix *p)
{
	return buf_len(&p->bytes) > 0 && (p->wanted & IO_READ) != 0;
}

/* Below is asked for reading only when it is its turn to be read. */
static void prefix_want_below(struct prefix *p)
{
	unsigned events = p->wanted;

	if (buf_len(&p->bytes) > 0)
		events &= ~(unsigned)IO_READ;
	io_want(p->io.below, events);
}

/* Level-triggered: who did not take the bytes hears of them again in the next turn. */
static void on_prefix_ready(void *arg)
{
	struct prefix *p = arg;

	if (prefix_readable(p) && p->io.fn != NULL)
		p->io.fn(p->io.arg, IO_READ);
	if (prefix_readable(p))
		loop_next_turn(&p->ready);
}

static void on_below(void *arg, unsigned events)
{
	struct prefix *p = arg;

	if (p->io.fn != NULL)
		p->io.fn(p->io.arg, events);
}

static ssize_t prefix_read(struct io *io, struct buf *in, size_t max)
{
	struct prefix *p = prefix_of(io);
	size_t n = buf_len(&p->bytes) < max ? buf_len(&p->bytes) : max;

	if (buf_len(&p->bytes) == 0)
		return io_read(io->below, in, max);
	if (n == 0)
		return ERR_AGAIN;
	buf_move(in, &p->bytes, n);
	if (buf_len(&p->bytes) == 0) {
		loop_task_cancel(&p->ready);
		prefix_want_below(p);
	}
	return (ssize_t)n;
}

static ssize_t prefix_write(struct io *io, struct buf *out)
{
	return io_write(io->below, out);
}

static int prefix_shutdown(struct io *io)
{
	return io_shutdown(io->below);
}

static void prefix_want(struct io *io, unsigned events)
{
	struct prefix *p = prefix_of(io);

	p->wanted = events;
	prefix_want_below(p);
	if (prefix_readable(p))
		loop_defer(&p->ready);
	else
		loop_task_cancel(&p->ready);
}

static void prefix_close(struct io *io, bool reset)
{
	struct prefix *p = prefix_of(io);

	p->wanted = 0;
	loop_task_cancel(&p->ready);
	buf_clear(&p->bytes);
	io_close(&io->below, reset);
	loop_defer_free(io->loop, p, mem_free);
}

static const struct io_ops prefix_ops = {
	.name = "prefix",
	.read = prefix_read,
	.write = prefix_write,
	.shutdown = prefix_shutdown,
	.want = prefix_want,
	.close = prefix_close,
};

struct io *io_prefix_new(struct io *below, struct buf *prefix)
{
	struct prefix *p = MEM_NEW(struct prefix);

	p->io.obj.magic = IO_MAGIC;
	p->io.ops = &prefix_ops;
	p->io.below = below;
	p->io.loop = below->loop;
	buf_init(&p->bytes, prefix->pool);
	buf_move_all(&p->bytes, prefix);
	loop_task_init(&p->ready, below->loop, on_prefix_ready, p);
	io_set_user(below, on_below, p);
	return &p->io;
}
