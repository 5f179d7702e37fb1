/*
 * What the two directions of the probe share. Private to probe.c, probe_in.c and probe_out.c.
 */
#ifndef WEFT_SIDECAR_CAPTURE_PROBE_INTERNAL_H
#define WEFT_SIDECAR_CAPTURE_PROBE_INTERNAL_H

#include "lib/base/clock.h"
#include "sidecar/capture/backend.h"

#define PROBE_TIMEOUT (2 * NS_PER_S)

/* One family's probe. On the stack of probe_run; owns no descriptor. */
struct probe {
	const struct ruleset *rules;
	struct addr local, peer; /* of PROBE_LINK_IN, and beyond it */
	int index_out;           /* of PROBE_LINK_OUT */
	uint8_t mac_in[6];
};

/* A call to p->peer with its port must end at the outbound listener. 0 or ERR_* with t. */
int probe_out(const struct probe *p, struct trouble *t);
/* A call from p->peer to p->local must end at the inbound listener. 0 or ERR_* with t. */
int probe_in(const struct probe *p, struct trouble *t);

/* For messages: "inbound IPv4". */
const char *probe_what(const struct probe *p, bool inbound);
int probe_family(const struct probe *p);

/*
 * Listens on the port of every address of the family. A descriptor; ERR_EXISTS where somebody does
 * already; ERR_* with t.
 */
int probe_listen(const struct probe *p, bool inbound, struct trouble *t);
/* Accepts until a connection comes that was going to want, by deadline. 0, ERR_TIMEOUT or ERR_*. */
int probe_accept(int listener, const struct addr *want, uint64_t deadline);
/* Closes with a reset, so that no trace stays in TIME_WAIT. */
void probe_close(int fd);
/* Waits for the descriptor; false where the deadline passed. */
bool probe_wait(int fd, short events, uint64_t deadline);

#endif
