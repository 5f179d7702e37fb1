/*
 * Workload, services, endpoints and pods from protobuf to plain data. Addresses that may be no
 * endpoint (loopback, link-local, multicast) are refused, whoever sent them.
 */
#include <string.h>

#include "lib/base/err.h"
#include "sidecar/snapshot/build_internal.h"

/* One address of each family at most; further ones of a family are ignored, as dual-stack pods have
 * one each. */
static int build_endpoint_addrs(struct build *b, const Weft__Mesh__V1__Endpoint *in,
	struct mesh_endpoint *out)
{
	for (size_t i = 0; i < in->n_addresses; i++) {
		struct addr a;
		int e = build_unicast(b, "addresses", &in->addresses[i], &a);
		if (e != 0)
			return e;
		struct addr *slot = a.family == ADDR_V4 ? &out->v4 : &out->v6;
		if (slot->family == ADDR_NONE)
			*slot = a;
	}
	if (out->v4.family == ADDR_NONE && out->v6.family == ADDR_NONE)
		return build_fail(b, "addresses", "an endpoint needs an address");
	return 0;
}

static int build_endpoint(struct build *b, const Weft__Mesh__V1__Endpoint *in,
	struct mesh_endpoint *out)
{
	const char *why;
	struct spiffe_id id;
	int e = build_endpoint_addrs(b, in, out);
	if (e != 0)
		return e;
	out->uid = build_str(b, in->uid);
	out->spiffe_id = build_str(b, in->spiffe_id);
	out->ns = build_str(b, in->namespace_);
	out->name = build_str(b, in->name);
	out->workload = build_str(b, in->workload);
	out->meshed = in->meshed;
	out->ready = in->ready;
	if (out->uid.n > 0 && !cert_uid_valid(out->uid))
		return build_fail(b, "uid", "at most 64 letters, digits, '-', '_' and '.'");
	if (out->meshed && spiffe_parse(out->spiffe_id, false, &id, &why) != 0)
		return build_fail(b, "spiffe_id", why);
	e = build_mtls(b, in->mtls_mode, MTLS_STRICT, &out->mtls);
	if (e != 0)
		return e;
	out->n_ports = in->n_ports;
	return build_ports(b, in->n_ports, in->ports, out->mtls, true, &out->ports);
}

static int build_service_ports(struct build *b, const Weft__Mesh__V1__Service *in,
	struct mesh_service *out)
{
	out->n_ports = in->n_ports;
	out->ports = arena_zalloc(&b->s->arena, in->n_ports * sizeof(*out->ports));
	for (size_t i = 0; i < in->n_ports; i++) {
		if (in->ports[i]->port == 0 || in->ports[i]->port > 65535)
			return build_fail(b, "ports.port", "not a port");
		out->ports[i].port = (uint16_t)in->ports[i]->port;
		out->ports[i].name = build_str(b, in->ports[i]->name);
		int e = build_protocol(b, in->ports[i]->protocol, &out->ports[i].protocol);
		if (e != 0)
			return e;
	}
	return 0;
}

int build_service(struct build *b, const Weft__Mesh__V1__Service *in, struct mesh_service *out)
{
	struct arena *a = &b->s->arena;
	int e = build_service_ports(b, in, out);
	out->ns = build_str(b, in->namespace_);
	out->name = build_str(b, in->name);
	if (in->load_balancer == WEFT__MESH__V1__LOAD_BALANCER__LOAD_BALANCER_ROUND_ROBIN)
		out->balancer = BALANCER_ROUND_ROBIN;
	out->n_vips = in->n_addresses;
	out->vips = arena_zalloc(a, in->n_addresses * sizeof(*out->vips));
	for (size_t i = 0; i < in->n_addresses && e == 0; i++)
		e = build_unicast(b, "addresses", &in->addresses[i], &out->vips[i]);
	out->n_endpoints = in->n_endpoints;
	out->endpoints = arena_zalloc(a, in->n_endpoints * sizeof(*out->endpoints));
	for (size_t i = 0; i < in->n_endpoints && e == 0; i++) {
		e = build_endpoint(b, in->endpoints[i], &out->endpoints[i]);
		out->endpoints[i].index = (uint32_t)i;
		if (e == 0 && out->endpoints[i].n_ports != out->n_ports)
			e = build_fail(b, "endpoints.ports",
				"must have one entry per port of the service");
	}
	return e;
}

int build_pod(struct build *b, const Weft__Mesh__V1__Pod *in, struct mesh_pod *out)
{
	if (in->endpoint == NULL)
		return build_fail(b, "endpoint", "required");
	out->service = build_str(b, in->service);
	return build_endpoint(b, in->endpoint, &out->endpoint);
}

int build_workload(struct build *b, const Weft__Mesh__V1__Workload *in)
{
	struct mesh_workload *w = &b->s->self;
	char id[SPIFFE_ID_MAX + 1];
	int e = build_mtls(b, in->mtls_mode, MTLS_STRICT, &w->mtls);
	w->ns = build_str(b, in->namespace_);
	w->name = build_str(b, in->name);
	w->uid = build_str(b, in->uid);
	w->service_account = build_str(b, in->service_account);
	w->workload = build_str(b, in->workload);
	w->service = build_str(b, in->service);
	if (w->name.n == 0 || w->uid.n == 0)
		return build_fail(b, "name", "the pod's name and uid are required");
	if (!cert_uid_valid(w->uid))
		return build_fail(b, "uid", "at most 64 letters, digits, '-', '_' and '.'");
	if (spiffe_format(id, sizeof(id), b->s->trust_domain, w->ns, w->service_account) != 0)
		return build_fail(b, "service_account",
			"namespace and service account must be DNS labels");
	w->spiffe_id = arena_str(&b->s->arena, str_from(id));
	w->n_addrs = in->n_addresses;
	w->addrs = arena_zalloc(&b->s->arena, in->n_addresses * sizeof(*w->addrs));
	for (size_t i = 0; i < in->n_addresses && e == 0; i++)
		e = build_unicast(b, "addresses", &in->addresses[i], &w->addrs[i]);
	if (e == 0 && w->n_addrs == 0)
		e = build_fail(b, "addresses", "the pod needs an address");
	w->n_ports = in->n_ports;
	return e != 0 ? e : build_ports(b, in->n_ports, in->ports, w->mtls, false, &w->ports);
}
