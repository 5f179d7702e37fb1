/*
 * A byte stream as a stack of small layers: socket, TLS, prefix (replays sniffed bytes), memory
 * (tests). Codecs and relays see only this. Each layer owns the one below and is freed by io_close
 * of the top. Events never come from inside a call on the same io.
 */
#ifndef WEFT_NET_IO_H
#define WEFT_NET_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/net/addr.h"
#include "lib/net/loop.h"

enum { IO_READ = LOOP_READ, IO_WRITE = LOOP_WRITE };

/* Most that a reader takes from one connection per turn; the rest waits for the next turn. */
#define IO_TURN_BYTES (256 * 1024)

/* Facts answered through any stack; strings are borrowed from the io and live as long as it does.
 * Absent ones are empty/zero. */
struct io_info {
	struct addr local, peer;
	bool tls;
	struct str alpn;
	struct str peer_id;  /* verified SPIFFE ID of the peer */
	struct str peer_uid; /* pod UID in the peer's leaf */
	struct str peer_serial;
	struct str own_id;
	struct str tls_version; /* "TLSv1.3" */
	struct str cipher;
	struct str sni;
	/* Unix socket: the user that the peer's process was when it connected (SO_PEERCRED) */
	uint32_t unix_uid;
	bool unix_uid_known;
	int64_t peer_not_after, own_not_after; /* seconds since the epoch; 0: no TLS */
};

struct io;
/* events: IO_READ and/or IO_WRITE. Errors show up in the read or write that follows. */
typedef void io_event_fn(void *arg, unsigned events);

struct io_ops {
	const char *name;
	/* Appends at most max bytes to in. > 0 bytes; 0 end of stream; ERR_AGAIN; ERR_RESET,
	 * ERR_PROTOCOL, ERR_TIMEOUT, ... */
	ssize_t (*read)(struct io *io, struct buf *in, size_t max);
	/* Consumes from out what was taken. > 0 bytes; 0 where out is empty; ERR_AGAIN where
	 * nothing was taken; ERR_RESET, ... */
	ssize_t (*write)(struct io *io, struct buf *out);
	/* No more writes: sends what is buffered in the layer, then FIN or close_notify + FIN. 0
	 * done or on its way, or ERR_*. Idempotent. */
	int (*shutdown)(struct io *io);
	/* Level-triggered interest; events come to io->fn. A layer that holds readable bytes itself
	 * reports READ without a descriptor event. */
	void (*want)(struct io *io, unsigned events);
	/* Fills in what this layer knows, after the layer below has. */
	void (*info)(const struct io *io, struct io_info *info);
	/* No event comes after it; frees at the end of a turn. What write took is still sent, in
	 * the background and for a bounded time, as a kernel does after close(2). reset: nothing is
	 * sent any more, and RST instead of FIN where there is a socket. */
	void (*close)(struct io *io, bool reset);
};

/* Base of every layer; first member after the obj_head of the concrete type is this. Owned by the
 * layer above or the user. */
struct io {
	struct obj_head obj; /* IO_MAGIC */
	const struct io_ops *ops;
	struct io *below; /* owned; NULL at the bottom */
	struct loop *loop;
	io_event_fn *fn;
	void *arg;
};

#define IO_MAGIC 0x696f5f5fu

/* Who hears of readiness; replaces the earlier user. */
static inline void io_set_user(struct io *io, io_event_fn *fn, void *arg)
{
	io->fn = fn;
	io->arg = arg;
}

static inline ssize_t io_read(struct io *io, struct buf *in, size_t max)
{
	return io->ops->read(io, in, max);
}

static inline ssize_t io_write(struct io *io, struct buf *out)
{
	return io->ops->write(io, out);
}

static inline int io_shutdown(struct io *io)
{
	return io->ops->shutdown(io);
}

static inline void io_want(struct io *io, unsigned events)
{
	io->ops->want(io, events);
}

void io_info(const struct io *io, struct io_info *info);
/* Nulls the caller's pointer; safe on NULL. After it no event comes. */
void io_close(struct io **io, bool reset);

/* Bottom layer over a connected stream socket, which it owns from now on. */
struct io *io_sock_new(struct loop *loop, int fd);
/* Number of the descriptor under a stack, or -1 (memory). For SO_* questions such as the original
 * destination. */
int io_fd(const struct io *io);

/* Replays the bytes of prefix (moved out of it) before the stream of below, which it owns from now
 * on. */
struct io *io_prefix_new(struct io *below, struct buf *prefix);

/* Two ends of a pipe in memory, each with room for capacity bytes on the way to it; addresses are
 * made up by the caller. For tests. */
void io_mem_pair(struct loop *loop, struct buf_pool *pool, size_t capacity, const struct addr *a,
	const struct addr *b, struct io *ends[2]);
/* The next operation on this end, and all after it, fail with err (ERR_RESET, ...); its user is
 * woken. */
void io_mem_break(struct io *end, int err);

#endif
