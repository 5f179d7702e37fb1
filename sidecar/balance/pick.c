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

/* Plaintext is no answer to an endpoint without sidecar that demands mutual TLS. */
static bool may_be_dialled(const struct pick_in *in, const struct mesh_endpoint *ep)
{
	return ep->meshed || ep->ports[in->port_index].mtls != MTLS_STRICT;
}

static bool was_tried(const struct pick_in *in, const struct mesh_endpoint *ep)
{
	for (size_t i = 0; i < in->n_tried; i++)
		if (in->tried[i] == ep)
			return true;
	return false;
}

static const struct balance_load *load_of(const struct pick_in *in, const struct mesh_endpoint *ep)
{
	return in->load != NULL ? in->load(in->load_arg, ep) : NULL;
}

static bool usable(const struct pick_in *in, const struct mesh_endpoint *ep, bool healthy)
{
	struct addr a;
	if (!ep->ready || !endpoint_addr(ep, in->port_index, in->family, &a) ||
		!may_be_dialled(in, ep) || was_tried(in, ep))
		return false;
	const struct balance_load *load = healthy ? load_of(in, ep) : NULL;
	return load == NULL || load->failed_until <= in->now;
}

static uint32_t in_flight(const struct pick_in *in, const struct mesh_endpoint *ep)
{
	const struct balance_load *load = load_of(in, ep);
	return load != NULL ? load->in_flight : 0;
}

/* The usable endpoint at or after position from, in a circle; NULL: none. */
static const struct mesh_endpoint *usable_from(const struct pick_in *in, size_t from, bool healthy)
{
	const struct mesh_service *svc = in->service;
	for (size_t i = 0; i < svc->n_endpoints; i++) {
		const struct mesh_endpoint *ep = &svc->endpoints[(from + i) % svc->n_endpoints];
		if (usable(in, ep, healthy))
			return ep;
	}
	return NULL;
}

/* A random usable endpoint: a few throws, then the next one from a random place. */
static const struct mesh_endpoint *usable_random(const struct pick_in *in, struct rng *rng,
	bool healthy)
{
	const struct mesh_service *svc = in->service;
	for (int i = 0; i < PICK_TRIES; i++) {
		const struct mesh_endpoint *ep = &svc->endpoints[rng_below(rng, svc->n_endpoints)];
		if (usable(in, ep, healthy))
			return ep;
	}
	return usable_from(in, (size_t)rng_below(rng, svc->n_endpoints), healthy);
}

static const struct mesh_endpoint *pick_p2c(const struct pick_in *in, struct rng *rng, bool healthy)
{
	const struct mesh_endpoint *a = usable_random(in, rng, healthy);
	if (a == NULL || in->service->n_endpoints == 1)
		return a;
	const struct mesh_endpoint *b = usable_from(in,
		a->index + 1 + (size_t)rng_below(rng, in->service->n_endpoints - 1), healthy);
	return in_flight(in, b) < in_flight(in, a) ? b : a;
}

static const struct mesh_endpoint *pick_round_robin(const struct pick_in *in,
	struct balance_state *state, bool healthy)
{
	const struct mesh_endpoint *ep = usable_from(in, state->next, healthy);
	if (ep != NULL)
		state->next = ep->index + 1;
	return ep;
}

static const struct mesh_endpoint *pick(const struct pick_in *in, struct balance_state *state,
	struct rng *rng, bool healthy)
{
	switch (in->service->balancer) {
	case BALANCER_P2C:
		return pick_p2c(in, rng, healthy);
	case BALANCER_ROUND_ROBIN:
		return pick_round_robin(in, state, healthy);
	}
	return NULL;
}

static enum pick_none why_none(const struct pick_in *in)
{
	const struct mesh_service *svc = in->service;
	enum pick_none why = svc->n_endpoints == 0 ? PICK_EMPTY : PICK_NOT_READY;
	struct addr a;
	for (size_t i = 0; i < svc->n_endpoints; i++) {
		const struct mesh_endpoint *ep = &svc->endpoints[i];
		if (!ep->ready || !endpoint_addr(ep, in->port_index, in->family, &a))
			continue;
		if (may_be_dialled(in, ep))
			return PICK_TRIED;
		why = PICK_STRICT;
	}
	return why;
}

const struct mesh_endpoint *pick_endpoint(const struct pick_in *in, struct balance_state *state,
	struct rng *rng, enum pick_none *why)
{
	const struct mesh_endpoint *ep = NULL;
	if (in->service->n_endpoints > 0)
		ep = pick(in, state, rng, true);
	if (ep == NULL && in->service->n_endpoints > 0)
		ep = pick(in, state, rng, false);
	if (ep == NULL)
		*why = why_none(in);
	return ep;
}

const char *pick_none_text(enum pick_none why)
{
	switch (why) {
	case PICK_EMPTY:
		return "the service has no endpoints";
	case PICK_NOT_READY:
		return "no endpoint of the service is ready";
	case PICK_STRICT:
		return "no endpoint that is ready has a sidecar";
	case PICK_TRIED:
		return "every ready endpoint was tried";
	}
	return "";
}
