/*
 * EndpointSlices: who serves a Service, as somebody else has found out (discovery.k8s.io/v1). One
 * that is wrong in a field that is used is left out.
 */
#include "ctrlplane/compile/decode_internal.h"

#define SERVICE_LABEL "kubernetes.io/service-name"

enum slice_type { TYPE_IPV4, TYPE_IPV6, TYPE_FQDN };
static const char *const types[] = {"IPv4", "IPv6", "FQDN", NULL};

/* -- endpoints -------------------------------------------------------------------------------- */

static void decode_addresses(struct decoder *d, const struct yaml_node *node, enum slice_type type,
	struct slice_endpoint *out)
{
	const struct yaml_node *list = yaml_read_list(&d->r, node, "addresses", YAML_REQUIRED);
	if (list == NULL || !decode_within(d, list, OBJECT_MAX_ADDRESSES))
		return;
	out->addrs = arena_alloc(&d->w->arena, list->n * sizeof(*out->addrs));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next) {
		struct addr *a = &out->addrs[out->n_addrs];
		if (!decode_address(d, c, a))
			continue;
		if ((a->family == ADDR_V4) != (type == TYPE_IPV4))
			yaml_problem(&d->r, c, "is no %s address, as addressType says it is",
				types[type]);
		out->n_addrs++;
	}
}

/* Unknown (nothing said) is ready; what is terminating gets nothing new. */
static bool decode_ready(struct decoder *d, const struct yaml_node *node)
{
	bool ready = true, serving, terminating = false;
	const struct yaml_node *c = yaml_read_map(&d->r, node, "conditions", YAML_OPTIONAL);
	(void)yaml_read_bool(&d->r, c, "ready", YAML_OPTIONAL, &ready);
	(void)yaml_read_bool(&d->r, c, "serving", YAML_OPTIONAL, &serving);
	(void)yaml_read_bool(&d->r, c, "terminating", YAML_OPTIONAL, &terminating);
	return ready && !terminating;
}

static void decode_target(struct decoder *d, const struct yaml_node *node,
	struct slice_endpoint *out)
{
	struct str kind = STR_NULL;
	const struct yaml_node *ref = yaml_read_map(&d->r, node, "targetRef", YAML_OPTIONAL);
	if (!yaml_read_str(&d->r, ref, "kind", YAML_OPTIONAL, &kind) || !str_eq(kind, STR("Pod")))
		return;
	out->pod_ns = d->meta.ns;
	(void)yaml_read_str(&d->r, ref, "namespace", YAML_OPTIONAL, &out->pod_ns);
	(void)yaml_read_str(&d->r, ref, "name", YAML_REQUIRED, &out->pod);
}

static void decode_endpoints(struct decoder *d, enum slice_type type, struct kube_slice *slice)
{
	const struct yaml_node *list = yaml_read_list(&d->r, d->r.root, "endpoints", YAML_OPTIONAL);
	if (list == NULL || !decode_within(d, list, OBJECT_MAX_SLICE))
		return;
	slice->endpoints = arena_zalloc(&d->w->arena, list->n * sizeof(*slice->endpoints));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next) {
		struct slice_endpoint *ep = &slice->endpoints[slice->n_endpoints];
		if (!yaml_as_map(&d->r, c))
			continue;
		decode_addresses(d, c, type, ep);
		ep->ready = decode_ready(d, c);
		decode_target(d, c, ep);
		slice->n_endpoints++;
	}
}

/* -- ports ------------------------------------------------------------------------------------ */

static void decode_slice_port(struct decoder *d, const struct yaml_node *node,
	struct kube_slice *slice)
{
	static const char *const protocols[] = {"TCP", "UDP", "SCTP", NULL};
	struct slice_port port = {0};
	size_t protocol = 0;
	int64_t number = 0;
	if (!yaml_as_map(&d->r, node))
		return;
	(void)yaml_read_str(&d->r, node, "name", YAML_OPTIONAL, &port.name);
	(void)yaml_read_choice(&d->r, node, "protocol", YAML_OPTIONAL, protocols, &protocol);
	if (!yaml_read_int(&d->r, node, "port", YAML_OPTIONAL, 1, 65535, &number) || protocol != 0)
		return;
	port.port = (uint16_t)number;
	for (size_t i = 0; i < slice->n_ports; i++)
		if (str_eq(slice->ports[i].name, port.name))
			yaml_problem(&d->r, node, "the name \"%.*s\" is there twice",
				STR_ARG(port.name));
	slice->ports[slice->n_ports++] = port;
}

static void decode_slice_ports(struct decoder *d, struct kube_slice *slice)
{
	const struct yaml_node *list = yaml_read_list(&d->r, d->r.root, "ports", YAML_OPTIONAL);
	if (list == NULL || !decode_within(d, list, OBJECT_MAX_PORTS))
		return;
	slice->ports = arena_alloc(&d->w->arena, list->n * sizeof(*slice->ports));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next)
		decode_slice_port(d, c, slice);
}

void decode_slice(struct decoder *d)
{
	struct kube_slice *slice = ARENA_NEW(&d->w->arena, struct kube_slice);
	size_t type = TYPE_IPV4;
	if (!yaml_read_choice(&d->r, d->r.root, "addressType", YAML_REQUIRED, types, &type))
		return;
	if (type == TYPE_FQDN) {
		decode_tell(d, PROBLEM_WARNING, d->r.root,
			"passed over: addressType FQDN is not supported, only addresses are");
		return;
	}
	slice->service = labels_get(&d->meta.labels, SERVICE_LABEL);
	decode_endpoints(d, (enum slice_type)type, slice);
	decode_slice_ports(d, slice);
	if (d->r.problems == 0 && d->w->slices.n == WORLD_MAX_SLICES)
		yaml_problem(&d->r, d->r.root, "more than %d EndpointSlices", WORLD_MAX_SLICES);
	if (d->r.problems > 0)
		return;
	if (slice->service.n == 0) {
		decode_tell(d, PROBLEM_NOTE, d->r.root,
			"passed over: has no label " SERVICE_LABEL ", so it is no Service's");
		return;
	}
	slice->meta = d->meta;
	object_list_add(&d->w->slices, slice);
}
