/*
 * What holds for every stack of ios: facts gathered from the bottom up, and the one way to close.
 * Owns nothing; called by whoever owns the top of a stack.
 */
#include "lib/net/io.h"

#include "lib/net/io_internal.h"

/* Stacks are a handful of layers deep, by construction. */
static void gather(const struct io *io, struct io_info *info)
{
	if (io->below != NULL)
		gather(io->below, info);
	if (io->ops->info != NULL)
		io->ops->info(io, info);
}

void io_info(const struct io *io, struct io_info *info)
{
	*info = (struct io_info){0};
	gather(io, info);
}

void io_close(struct io **io, bool reset)
{
	struct io *top = *io;

	if (top == NULL)
		return;
	*io = NULL;
	OBJ_CAST(struct io, IO_MAGIC, top);
	top->fn = NULL;
	top->ops->close(top, reset);
}

const struct io *io_bottom(const struct io *io)
{
	while (io->below != NULL)
		io = io->below;
	return io;
}
