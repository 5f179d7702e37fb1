/*
 * Which pods a Service leads to, and what that says about their ports. Called by world_join, when
 * addresses and modes are known.
 */
#include <stdlib.h>

#include "ctrlplane/compile/label_index.h"

/* -- ports of pods ---------------------------------------------------------------------------- */

/* NULL where there are too many. */
static struct port_facts *facts_of(struct world *w, struct kube_pod *pod, uint16_t port)
{
	for (size_t i = 0; i < pod->n_facts; i++)
		if (pod->facts[i].port == port)
			return &pod->facts[i];
	if (pod->n_facts == OBJECT_MAX_FACTS)
		return NULL;
	if (pod->n_facts == pod->facts_room) {
		size_t room = pod->facts_room == 0 ? 4 : pod->facts_room * 2;
		struct port_facts *all = arena_alloc(&w->arena, room * sizeof(*all));
		for (size_t i = 0; i < pod->n_facts; i++)
			all[i] = pod->facts[i];
		pod->facts = all;
		pod->facts_room = room;
	}
	struct port_facts *f = &pod->facts[pod->n_facts++];
	*f = (struct port_facts){.port = port, .mtls = pod_port_mode(pod, port)};
	return f;
}

static void pod_own_ports(struct world *w, struct kube_pod *pod)
{
	for (size_t i = 0; i < pod->n_ports; i++)
		(void)facts_of(w, pod, pod->ports[i].port);
	const struct peer_auth *pa = pod->peer_auth;
	for (size_t i = 0; pa != NULL && i < pa->n_ports; i++)
		(void)facts_of(w, pod, pa->ports[i].port);
}

uint16_t pod_target(const struct kube_pod *pod, const struct service_port *port)
{
	if (port->target != 0)
		return port->target;
	for (size_t i = 0; i < pod->n_ports; i++)
		if (str_eq(pod->ports[i].name, port->target_name))
			return pod->ports[i].port;
	return 0;
}

/* Where two Services disagree about a port, neither is believed: its bytes are looked at. */
void join_port(struct world *w, struct kube_service *svc, struct kube_pod *pod, size_t i,
	uint16_t target)
{
	const struct service_port *port = &svc->ports[i];
	if (target == 0)
		return;
	struct port_facts *f = facts_of(w, pod, target);
	if (f == NULL || port->protocol == WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED ||
		f->contradicted)
		return;
	if (f->service.n == 0) {
		f->service = svc->meta.name;
		f->protocol = port->protocol;
	} else if (f->protocol != port->protocol) {
		f->contradicted = true;
		f->protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED;
		world_tell(w, PROBLEM_WARNING, &svc->meta, "spec.ports",
			"Service %.*s declares another protocol for port %u of pod %.*s, so it is "
			"found by looking",
			STR_ARG(f->service), target, STR_ARG(pod->meta.name));
	}
}

/* -- services --------------------------------------------------------------------------------- */

static bool is_endpoint(const struct kube_service *svc, const struct kube_pod *pod)
{
	return !pod->finished && pod->n_addrs > 0 &&
		labels_match(&svc->selector, &pod->meta.labels);
}

static void add_selected(struct world *w, struct kube_service *svc, struct kube_pod *pod)
{
	struct service_endpoint *ep = &svc->endpoints[svc->n_endpoints++];
	*ep = (struct service_endpoint){.pod = pod,
		.name = pod->meta.name,
		.addrs = pod->addrs,
		.n_addrs = pod->n_addrs,
		.ready = pod->ready,
		.targets = arena_alloc(&w->arena, svc->n_ports * sizeof(*ep->targets))};
	if (pod->service.n == 0)
		pod->service = svc->meta.name;
	for (size_t k = 0; k < svc->n_ports; k++) {
		ep->targets[k] = pod_target(pod, &svc->ports[k]);
		join_port(w, svc, pod, k, ep->targets[k]);
	}
}

static void join_selector(struct world *w, const struct label_index *pods, struct kube_service *svc)
{
	size_t n = 0;
	if (svc->selector.n == 0) {
		world_tell(w, PROBLEM_NOTE, &svc->meta, "",
			"has no selector and no EndpointSlices, so no endpoints");
		return;
	}
	const struct object_list *l = label_index_find(pods, svc->meta.ns, &svc->selector);
	for (size_t i = 0; i < l->n; i++)
		n += is_endpoint(svc, l->v[i]);
	svc->endpoints = arena_alloc(&w->arena, n * sizeof(*svc->endpoints));
	for (size_t i = 0; i < l->n; i++)
		if (is_endpoint(svc, l->v[i]))
			add_selected(w, svc, l->v[i]);
}

/* A name that no endpoint of the Service has is a mistake that shows only as "no endpoints". */
static void check_targets(struct world *w, const struct kube_service *svc)
{
	for (size_t k = 0; k < svc->n_ports; k++) {
		const struct service_port *port = &svc->ports[k];
		bool found = svc->n_endpoints == 0;
		for (size_t i = 0; i < svc->n_endpoints && !found; i++)
			found = svc->endpoints[i].targets[k] != 0;
		if (found)
			continue;
		if (svc->slices != NULL)
			world_tell(w, PROBLEM_WARNING, &svc->meta, "spec.ports",
				"none of its EndpointSlices has a port named \"%.*s\", so port %u "
				"has no endpoints",
				STR_ARG(port->name), port->port);
		else
			world_tell(w, PROBLEM_WARNING, &svc->meta, "spec.ports",
				"none of its pods has a container port named %.*s, so port %u has "
				"no endpoints",
				STR_ARG(port->target_name), port->port);
	}
}

/* From the last to the first, so that each Service has its own in order. */
static void find_slices(struct world *w)
{
	for (size_t i = w->slices.n; i > 0; i--) {
		struct kube_slice *slice = w->slices.v[i - 1];
		struct kube_service *svc = list_find(&w->services, slice->meta.ns, slice->service);
		if (svc == NULL) {
			world_tell(w, PROBLEM_WARNING, &slice->meta, "metadata.labels",
				"there is no Service %.*s/%.*s", STR_ARG(slice->meta.ns),
				STR_ARG(slice->service));
			continue;
		}
		slice->next = svc->slices;
		svc->slices = slice;
	}
}

static int order_facts(const void *a, const void *b)
{
	return (int)((const struct port_facts *)a)->port -
		(int)((const struct port_facts *)b)->port;
}

void join_services(struct world *w)
{
	for (size_t i = 0; i < w->pods.n; i++)
		pod_own_ports(w, w->pods.v[i]);
	find_slices(w);
	struct label_index *pods = label_index_new(w);
	for (size_t i = 0; i < w->services.n; i++) {
		struct kube_service *svc = w->services.v[i];
		if (svc->slices != NULL)
			join_slices(w, svc);
		else
			join_selector(w, pods, svc);
		check_targets(w, svc);
	}
	label_index_free(&pods);
	for (size_t i = 0; i < w->pods.n; i++) {
		struct kube_pod *pod = w->pods.v[i];
		if (pod->n_facts > 1)
			qsort(pod->facts, pod->n_facts, sizeof(*pod->facts), order_facts);
	}
}
