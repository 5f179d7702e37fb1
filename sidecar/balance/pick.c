/*
 * Picks an endpoint of a service: round robin, or the less loaded of two taken at random. Reads
 * load through a callback, changes nothing but the round-robin position; called by flow for each
 * attempt.
 */
#include "sidecar/balance/pick.h"

#define PICK_TRIES 4

bool endpoint_addr(const struct mesh_endpoint *ep, int port_index, enum addr_family family,
	struct addr *out)
{
	if (port_index < 0 || (size_t)port_index >= ep->n_ports || ep->ports[port_index].port == 0)
		return false;
	const struct addr *first = family == ADDR_V6 ? &ep->v6 : &ep->v4;
	const struct addr *second = family == ADDR_V6 ? &ep->v4 : &ep->v6;
	const struct addr *a = first->family != ADDR_NONE ? first : second;
	if (a->family == ADDR_NONE)
		return false;
	*out = addr_with_port(a, ep->ports[port_index].port);
	return true;
}

static bool usable(const struct pick_in *in, const struct mesh_endpoint *ep)
{
	struct addr a;
	if (!ep->ready || !endpoint_addr(ep, in->port_index, in->family, &a))
		return false;
	for (size_t i = 0; i < in->n_tried; i++)
		if (in->tried[i] == ep)
			return false;
	return true;
}

/* Failing endpoints sort behind all others but are still taken when nothing else is left. */
static uint64_t cost(const struct pick_in *in, const struct mesh_endpoint *ep)
{
	const struct balance_load *load = in->load != NULL ? in->load(in->load_arg, ep) : NULL;
	if (load == NULL)
		return 0;
	return load->in_flight + (load->failed_until > in->now ? (uint64_t)1 << 32 : 0);
}

/* The usable endpoint at or after position from, in a circle; NULL: none. */
static const struct mesh_endpoint *usable_from(const struct pick_in *in, size_t from)
{
	const struct mesh_service *svc = in->service;
	for (size_t i = 0; i < svc->n_endpoints; i++) {
		const struct mesh_endpoint *ep = &svc->endpoints[(from + i) % svc->n_endpoints];
		if (usable(in, ep))
			return ep;
	}
	return NULL;
}

/* A random usable endpoint: a few throws, then the next one from a random place. */
static const struct mesh_endpoint *usable_random(const struct pick_in *in, struct rng *rng)
{
	const struct mesh_service *svc = in->service;
	for (int i = 0; i < PICK_TRIES; i++) {
		const struct mesh_endpoint *ep = &svc->endpoints[rng_below(rng, svc->n_endpoints)];
		if (usable(in, ep))
			return ep;
	}
	return usable_from(in, (size_t)rng_below(rng, svc->n_endpoints));
}

static const struct mesh_endpoint *pick_p2c(const struct pick_in *in, struct rng *rng)
{
	const struct mesh_endpoint *a = usable_random(in, rng);
	if (a == NULL || in->service->n_endpoints == 1)
		return a;
	const struct mesh_endpoint *b = usable_from(in,
		a->index + 1 + (size_t)rng_below(rng, in->service->n_endpoints - 1));
	return cost(in, b) < cost(in, a) ? b : a;
}

static const struct mesh_endpoint *pick_round_robin(const struct pick_in *in,
	struct balance_state *state)
{
	const struct mesh_service *svc = in->service;
	const struct mesh_endpoint *best = NULL;
	for (size_t i = 0; i < svc->n_endpoints; i++) {
		const struct mesh_endpoint *ep =
			&svc->endpoints[(state->next + i) % svc->n_endpoints];
		if (!usable(in, ep))
			continue;
		if (best == NULL)
			best = ep;
		if (cost(in, ep) >> 32 == 0) {
			best = ep;
			break;
		}
	}
	if (best != NULL)
		state->next = best->index + 1;
	return best;
}

const struct mesh_endpoint *pick_endpoint(const struct pick_in *in, struct balance_state *state,
	struct rng *rng, const char **why)
{
	const struct mesh_endpoint *ep = NULL;
	if (in->service->n_endpoints == 0) {
		*why = "the service has no endpoints";
		return NULL;
	}
	switch (in->service->balancer) {
	case BALANCER_P2C:
		ep = pick_p2c(in, rng);
		break;
	case BALANCER_ROUND_ROBIN:
		ep = pick_round_robin(in, state);
		break;
	}
	if (ep == NULL)
		*why = in->n_tried > 0 ? "every ready endpoint was tried"
				       : "no endpoint of the service is ready";
	return ep;
}
