/*
 * Choice of an endpoint, pure but for the state handed in: round robin and P2C (power of two
 * choices by requests in flight and recent failure). Endpoints that were tried for this request,
 * are not ready or have no address of a usable family are passed over.
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

/* NULL where there is none; *why then says whether the service has no endpoints, none ready, or all
 * were tried. */
const struct mesh_endpoint *pick_endpoint(const struct pick_in *in, struct balance_state *state,
	struct rng *rng, const char **why);
/* Address of the endpoint for that service port, in the preferred family where it has one. False:
 * none. */
bool endpoint_addr(const struct mesh_endpoint *ep, int port_index, enum addr_family family,
	struct addr *out);

#endif
