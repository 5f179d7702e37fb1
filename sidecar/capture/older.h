/*
 * TCP connections that are older than the rules: they bypass the sidecar until somebody closes
 * them.
 */
#ifndef WEFT_SIDECAR_CAPTURE_OLDER_H
#define WEFT_SIDECAR_CAPTURE_OLDER_H

#include "lib/base/log.h"
#include "sidecar/capture/backend.h"
#include "sidecar/capture/sockdiag.h"

/*
 * Which of the sockets are ends of connections that the rules would capture but did not. Pure:
 * names[i] is the interface that has all[i].local, or NULL. Writes the indices to out (room for
 * all->n) and returns how many. Left out are listeners, loopback, what the rules leave alone, the
 * sidecar's own connections and those that pass through its listeners.
 */
size_t older_find(const struct rules_by_family *rules, const struct tcp_sockets *all,
	const char *const *names, size_t *out);

/*
 * Lists the older connections in the log and, unless keep, closes them; a second look shows that
 * they are gone. 0, or ERR_* with t where some are still open.
 */
int older_end(const struct rules_by_family *rules, bool keep, struct log *log, struct trouble *t);

#endif
