/*
 * Where a redirected connection was going before the kernel's redirect rule turned it to us. Asked
 * once for each accepted connection, on both listeners.
 */
#ifndef WEFT_SIDECAR_CAPTURE_ORIG_DST_H
#define WEFT_SIDECAR_CAPTURE_ORIG_DST_H

#include "lib/net/addr.h"

/*
 * Original destination of the accepted TCP socket fd (borrowed), IPv4 or IPv6, also IPv4 on a
 * dual-stack socket. For a connection that came to the listener directly it is the listener's own
 * address: the caller compares (rule "bad_original_dst"). ERR_NOTFOUND where the kernel does not
 * track the connection, so that nothing is known; ERR_INVAL where fd is no TCP socket; other ERR_*
 * of the system call.
 */
int orig_dst_get(int fd, struct addr *out);

#endif
