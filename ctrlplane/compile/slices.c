/*
 * A Service's endpoints from its EndpointSlices: each address is its pod's where a pod has it, and
 * nobody's identity where none has. Owns nothing; called by join.c for Services that have slices.
 */
#include <stdlib.h>

#include "ctrlplane/compile/world_internal.h"

/* The endpoints of one Service while they are put together; on the stack. */
struct gather {
	struct world *w;
	struct kube_service *svc;
	struct map *known; /* address, or pod -> struct service_endpoint */
	size_t room;
	Weft__Mesh__V1__MtlsMode mode; /* of what has no pod */
};

static const struct kube_pod *claimed_by_pod(const struct claim *c)
{
	return (const struct kube_pod *)c->by; /* an object begins with its meta */
}

static void drop(struct gather *g, const struct kube_slice *slice, const struct addr *a,
	const char *why)
{
	char text[ADDR_TEXT];
	world_tell(g->w, PROBLEM_WARNING, &slice->meta, "endpoints", "%s is left out: %s",
		addr_format_ip(a, text), why);
}

static bool pod_has(const struct kube_pod *pod, const struct addr *a)
{
	for (size_t i = 0; i < pod->n_addrs; i++)
		if (addr_eq_ip(&pod->addrs[i], a))
			return true;
	return false;
}

/*
 * Whose address it is; *pod NULL: nobody's in this world. False where nobody could be sure of it:
 * an address of a pod that does not say so itself may be another's by now, and what two claim, or a
 * Service has, is no endpoint's.
 */
static bool find_owner(struct gather *g, const struct kube_slice *slice,
	const struct slice_endpoint *from, const struct addr *a, const struct kube_pod **pod)
{
	const struct claim *c = map_get(g->w->owners, addr_key(a));
	*pod = NULL;
	if (c != NULL && c->contested)
		drop(g, slice, a, "two objects claim it, or one that is refused");
	else if (c != NULL && !str_eq(c->by->kind, STR("Pod")))
		drop(g, slice, a, "it is a Service's own address");
	else if (c != NULL)
		*pod = claimed_by_pod(c);
	else if (from->pod.n > 0)
		*pod = world_pod(g->w, from->pod_ns, from->pod);
	else
		return true;
	if (*pod == NULL)
		return c == NULL;
	if (!(*pod)->finished && pod_has(*pod, a))
		return true;
	drop(g, slice, a, "the pod of its targetRef has finished, or has another address");
	return false;
}

static struct service_endpoint *new_endpoint(struct gather *g, struct str key)
{
	struct kube_service *svc = g->svc;
	if (svc->n_endpoints == g->room)
		return NULL;
	struct service_endpoint *ep = &svc->endpoints[svc->n_endpoints++];
	*ep = (struct service_endpoint){.mtls = g->mode,
		.addrs = arena_alloc(&g->w->arena, OBJECT_MAX_ADDRESSES * sizeof(*ep->addrs)),
		.targets = arena_zalloc(&g->w->arena, svc->n_ports * sizeof(*ep->targets))};
	map_put(g->known, key, ep);
	return ep;
}

/* One endpoint per pod, and one per address that has none. */
static struct service_endpoint *endpoint_of(struct gather *g, const struct kube_pod *pod,
	const struct addr *a)
{
	char text[ADDR_TEXT];
	struct str key = pod != NULL ? str_make(&pod, sizeof(pod)) : addr_key(a);
	struct service_endpoint *ep = map_get(g->known, key);
	if (ep != NULL)
		return ep;
	ep = new_endpoint(g, key);
	if (ep == NULL)
		return NULL;
	ep->pod = pod;
	if (pod != NULL)
		ep->name = pod->meta.name;
	else
		ep->name = arena_str(&g->w->arena, str_from(addr_format_ip(a, text)));
	return ep;
}

static void add_address(struct service_endpoint *ep, const struct addr *a)
{
	for (size_t i = 0; i < ep->n_addrs; i++)
		if (addr_eq_ip(&ep->addrs[i], a))
			return;
	if (ep->n_addrs < OBJECT_MAX_ADDRESSES)
		ep->addrs[ep->n_addrs++] = *a;
}

static void add_targets(const struct gather *g, const struct kube_slice *slice,
	struct service_endpoint *ep)
{
	for (size_t k = 0; k < g->svc->n_ports; k++)
		for (size_t i = 0; i < slice->n_ports && ep->targets[k] == 0; i++)
			if (str_eq(slice->ports[i].name, g->svc->ports[k].name))
				ep->targets[k] = slice->ports[i].port;
}

static void add_from(struct gather *g, const struct kube_slice *slice,
	const struct slice_endpoint *from)
{
	for (size_t i = 0; i < from->n_addrs; i++) {
		const struct addr *a = &from->addrs[i];
		const struct kube_pod *pod;
		if (!find_owner(g, slice, from, a, &pod))
			continue;
		struct service_endpoint *ep = endpoint_of(g, pod, a);
		if (ep == NULL)
			return;
		add_address(ep, a);
		ep->ready = ep->ready || (from->ready && (pod == NULL || !pod->meta.deleting));
		add_targets(g, slice, ep);
	}
}

/* Slices are in no order that means anything. */
static int order_endpoints(const void *a, const void *b)
{
	const struct service_endpoint *x = a, *y = b;
	int c = (x->pod == NULL) - (y->pod == NULL);
	if (c == 0 && x->pod != NULL)
		c = str_order(x->pod->meta.ns, y->pod->meta.ns);
	return c != 0 ? c : str_order(x->name, y->name);
}

static int order_addresses(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct addr));
}

/* What the world's pods learn from it: which Service leads to which of their ports. */
static void tell_pods(struct gather *g)
{
	struct kube_service *svc = g->svc;
	for (size_t i = 0; i < svc->n_endpoints; i++) {
		struct service_endpoint *ep = &svc->endpoints[i];
		qsort(ep->addrs, ep->n_addrs, sizeof(*ep->addrs), order_addresses);
		if (ep->pod == NULL)
			continue;
		struct kube_pod *pod = list_find(&g->w->pods, ep->pod->meta.ns, ep->name);
		if (pod->service.n == 0 && str_eq(pod->meta.ns, svc->meta.ns))
			pod->service = svc->meta.name;
		for (size_t k = 0; k < svc->n_ports; k++)
			join_port(g->w, svc, pod, k, ep->targets[k]);
	}
}

void join_slices(struct world *w, struct kube_service *svc)
{
	struct gather g = {.w = w, .svc = svc, .known = map_new(0)};
	g.mode = namespace_mode(w, svc->meta.ns);
	for (const struct kube_slice *s = svc->slices; s != NULL; s = s->next)
		for (size_t i = 0; i < s->n_endpoints; i++)
			g.room += s->endpoints[i].n_addrs;
	svc->endpoints = arena_alloc(&w->arena, g.room * sizeof(*svc->endpoints));
	for (const struct kube_slice *s = svc->slices; s != NULL; s = s->next)
		for (size_t i = 0; i < s->n_endpoints; i++)
			add_from(&g, s, &s->endpoints[i]);
	if (svc->n_endpoints > 1)
		qsort(svc->endpoints, svc->n_endpoints, sizeof(*svc->endpoints), order_endpoints);
	tell_pods(&g);
	map_free(&g.known);
}
