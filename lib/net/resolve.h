/*
 * Host names to addresses, without blocking: the hosts file, then the name servers of resolv.conf,
 * both as they are when the question is asked (c-ares). For the few names that a program is
 * configured with; owned by whoever asks.
 */
#ifndef WEFT_NET_RESOLVE_H
#define WEFT_NET_RESOLVE_H

#include "lib/base/str.h"
#include "lib/net/addr.h"
#include "lib/net/loop.h"

#define RESOLVE_ADDRESSES 16 /* of one answer; more are left out */

struct resolve;

/* v: with port 0, borrowed for the call; n is 0 where there is none, and text says why (static). */
typedef void resolve_done_fn(void *arg, const struct addr *v, size_t n, const char *text);

/*
 * servers: "127.0.0.1:5353", comma-separated, instead of resolv.conf's; NULL: those. done is called
 * exactly once, never from inside, within five seconds. Not on a simulated loop.
 */
struct resolve *resolve_start(struct loop *loop, const char *servers, const char *name,
	resolve_done_fn *done, void *arg);
/* No call to done after it. Nulls; safe on NULL. */
void resolve_cancel(struct resolve **r);
/* A host name by its form (RFC 1123 2.1), a dot at the end allowed; no address. */
bool resolve_name_valid(struct str name);

#endif
