/*
 * What the layers of this room know of one another beyond io.h: sockets whose peer is known
 * already, and the original destination that a simulated network remembers for an accepted end.
 * Included by lib/net alone.
 */
#ifndef WEFT_NET_IO_INTERNAL_H
#define WEFT_NET_IO_INTERNAL_H

#include "lib/net/io.h"

/* Like io_sock_new, without asking the kernel who the peer is. The descriptor is non-blocking and
 * has its options. */
struct io *io_sock_adopt(struct loop *loop, int fd, const struct addr *peer);
/* Turns Nagle's algorithm off where the descriptor is a TCP socket. */
void io_sock_no_delay(int fd);
/* Makes close send RST. */
void io_sock_linger_none(int fd);

/* The lowest layer of a stack. */
const struct io *io_bottom(const struct io *io);

/* On a memory end: its own address, where a redirect made it another than the dialler's. */
void io_mem_set_local(struct io *end, const struct addr *local);
/* On a memory end: where the dialler wanted to go. */
void io_mem_set_orig_dst(struct io *end, const struct addr *dst);
/* False where the stack does not stand on a memory end that somebody dialled. */
bool io_mem_orig_dst(const struct io *io, struct addr *out);

#endif
