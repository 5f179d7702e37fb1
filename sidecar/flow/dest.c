/*
 * Looks an original destination up in the snapshot. Pure; called through lookup.c for each
 * connection and request.
 */
#include "sidecar/flow/dest.h"

#include <string.h>

#include "sidecar/balance/pick.h"
#include "sidecar/flow/reason.h"

static enum mesh_protocol pod_port_protocol(const struct mesh_endpoint *ep, uint16_t port)
{
	for (size_t i = 0; i < ep->n_ports; i++)
		if (ep->ports[i].port == port)
			return ep->ports[i].protocol;
	return MESH_PROTO_SNIFF;
}

static void refuse(struct dest *out, int reason)
{
	out->kind = DEST_REFUSED;
	out->reason = reason;
}

static void find_outside(const struct snapshot *s, bool not_meshed, struct dest *out)
{
	if (!not_meshed && snapshot_in_mesh(s, &out->addr))
		refuse(out, MESH_DISCOVERY);
	else if (s->outbound == OUTBOUND_REGISTRY_ONLY)
		refuse(out, MESH_REGISTRY_ONLY);
	else
		out->kind = DEST_PASSTHROUGH;
}

void dest_find(const struct snapshot *s, const struct addr *orig, bool not_meshed, struct dest *out)
{
	memset(out, 0, sizeof(*out));
	out->addr = *orig;
	struct addr ip = addr_with_port(orig, 0);
	if (snapshot_is_self(s, &ip)) {
		out->kind = DEST_SELF;
		out->protocol = snapshot_own_port(s, orig->port).protocol;
		return;
	}
	out->service = snapshot_service(s, &ip);
	if (out->service != NULL) {
		out->port_index = mesh_service_port_index(out->service, orig->port);
		if (out->port_index < 0) {
			refuse(out, MESH_NO_PORT);
			return;
		}
		out->kind = DEST_SERVICE;
		out->protocol = out->service->ports[out->port_index].protocol;
		return;
	}
	out->pod = snapshot_pod(s, &ip);
	if (out->pod != NULL) {
		out->kind = DEST_POD;
		out->protocol = pod_port_protocol(&out->pod->endpoint, orig->port);
		return;
	}
	find_outside(s, not_meshed, out);
}

/* A meshed endpoint is dialled with TLS and nothing else; one without sidecar only where its mode
 * admits plaintext. */
static int endpoint_hop(const struct mesh_endpoint *ep, enum mesh_mtls mode, struct dest_hop *out)
{
	out->self = ep->self;
	out->secure = ep->meshed;
	if (ep->meshed) {
		out->id = ep->spiffe_id;
		out->uid = ep->uid;
		return ep->spiffe_id.n > 0 ? 0 : MESH_DISCOVERY;
	}
	return mode == MTLS_STRICT ? MESH_NOT_MESHED : 0;
}

static enum mesh_mtls pod_port_mode(const struct mesh_endpoint *ep, uint16_t port)
{
	for (size_t i = 0; i < ep->n_ports; i++)
		if (ep->ports[i].port == port)
			return ep->ports[i].mtls;
	return ep->mtls;
}

int dest_hop(const struct snapshot *s, const struct dest *d, const struct mesh_endpoint *ep,
	struct dest_hop *out)
{
	memset(out, 0, sizeof(*out));
	out->to = d->addr;
	switch (d->kind) {
	case DEST_SERVICE:
		if (!endpoint_addr(ep, d->port_index, (enum addr_family)d->addr.family, &out->to))
			return MESH_NO_ENDPOINTS;
		return endpoint_hop(ep, ep->ports[d->port_index].mtls, out);
	case DEST_POD:
		return endpoint_hop(&d->pod->endpoint,
			pod_port_mode(&d->pod->endpoint, d->addr.port), out);
	case DEST_SELF:
		out->self = out->secure = true;
		out->id = s->self.spiffe_id;
		out->uid = s->self.uid;
		return 0;
	case DEST_PASSTHROUGH:
		return 0;
	case DEST_REFUSED:
		return d->reason;
	}
	return MESH_DISCOVERY;
}

static bool same_endpoint(const struct mesh_endpoint *a, const struct mesh_endpoint *b)
{
	return str_eq(a->uid, b->uid) && str_eq(a->spiffe_id, b->spiffe_id) &&
		a->meshed == b->meshed && addr_eq(&a->v4, &b->v4) && addr_eq(&a->v6, &b->v6);
}

const struct mesh_endpoint *dest_find_again(const struct dest *d, const struct mesh_endpoint *ep)
{
	if (d->kind == DEST_POD && same_endpoint(&d->pod->endpoint, ep))
		return &d->pod->endpoint;
	for (size_t i = 0; d->kind == DEST_SERVICE && i < d->service->n_endpoints; i++)
		if (same_endpoint(&d->service->endpoints[i], ep))
			return &d->service->endpoints[i];
	return NULL;
}

int dest_still(const struct snapshot *s, const struct addr *orig, const struct mesh_endpoint *ep,
	const struct addr *to)
{
	struct dest d;
	struct dest_hop hop;
	dest_find(s, orig, true, &d);
	if (ep == NULL && d.kind == DEST_PASSTHROUGH)
		return 0;
	if (d.kind == DEST_REFUSED)
		return d.reason;
	if (ep == NULL)
		return MESH_MESHED_NOW;
	ep = dest_find_again(&d, ep);
	if (ep == NULL)
		return MESH_NO_ENDPOINTS;
	int reason = dest_hop(s, &d, ep, &hop);
	return reason != 0 || addr_eq(&hop.to, to) ? reason : MESH_NO_ENDPOINTS;
}
