/*
 * Choice of an endpoint, pure but for the state handed in: round robin and P2C (power of two
 * choices by requests in flight). Endpoints that were tried for this request, are not ready, may
 * not be dialled or have no usable address are passed over; those that failed lately are taken
 * where nothing else is left.
 */
#ifndef WEFT_SIDECAR_BALANCE_PICK_H
#define WEFT_SIDECAR_BALANCE_PICK_H

#include "lib/base/rand.h"
#include "sidecar/snapshot/snapshot.h"

/* Load of one endpoint as this worker sees it; owned by balance_state. */
struct balance_load {
	uint32_t in_flight;
	uint64_t failed_until; /* monotonic ns; 0: healthy */
};

/* Per service and worker; kept across snapshots by endpoint uid (or address). */
struct balance_state {
	uint32_t next; /* round robin */
};

typedef struct balance_load *balance_load_fn(void *arg, const struct mesh_endpoint *ep);

struct pick_in {
	const struct mesh_service *service;
	int port_index;
	enum addr_family
		family; /* that the client used: preferred, the other one is second choice */
	uint64_t now;
	const struct mesh_endpoint *const *tried; /* endpoints of earlier attempts */
	size_t n_tried;
	balance_load_fn *load;
	void *load_arg;
};

/* Why none was picked. */
enum pick_none {
	PICK_EMPTY,     /* the service has no endpoints */
	PICK_NOT_READY, /* none is ready, or has an address for the port */
	PICK_STRICT, /* those that are have no sidecar and demand mutual TLS: not dialled at all */
	PICK_TRIED   /* all were tried for this request */
};
const char *pick_none_text(enum pick_none why);

/* NULL where there is none, with *why. */
const struct mesh_endpoint *pick_endpoint(const struct pick_in *in, struct balance_state *state,
	struct rng *rng, enum pick_none *why);
/* Address of the endpoint for that service port, in the preferred family where it has one. False:
 * none. */
bool endpoint_addr(const struct mesh_endpoint *ep, int port_index, enum addr_family family,
	struct addr *out);

#endif
