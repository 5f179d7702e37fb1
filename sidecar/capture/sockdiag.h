/*
 * The TCP sockets of this network namespace as the kernel lists them, and the call that closes one
 * from outside (linux/sock_diag.h, linux/inet_diag.h).
 */
#ifndef WEFT_SIDECAR_CAPTURE_SOCKDIAG_H
#define WEFT_SIDECAR_CAPTURE_SOCKDIAG_H

#include "lib/net/addr.h"

/* One TCP socket; plain value. */
struct tcp_socket {
	struct addr local, peer;
	uint32_t uid;
	uint64_t inode; /* 0 where no process has it any more */
	bool listening;
	bool orphan; /* closed by its owner, its last bytes are on their way */
	/* what the kernel wants back to find it again */
	uint8_t family, state;
	uint32_t iface, cookie[2];
};

/* Owns the sockets. */
struct tcp_sockets {
	struct tcp_socket *v;
	size_t n, cap;
};

/* Lists all TCP sockets but those in TIME_WAIT and closed ones. 0 or ERR_*; what was read stays in
 * l. */
int sockdiag_list(struct tcp_sockets *l);
void tcp_sockets_clear(struct tcp_sockets *l);

/*
 * Closes the connection; its owner sees ECONNABORTED, its peer a reset. 0, also where it is gone
 * already; ERR_INVAL where this kernel cannot (CONFIG_INET_DIAG_DESTROY); ERR_DENIED; ERR_IO.
 */
int sockdiag_destroy(const struct tcp_socket *s);

#endif
