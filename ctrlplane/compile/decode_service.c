/*
 * Services: virtual addresses, selector, ports and their protocols. A Service that is wrong in a
 * field that is used is left out; unknown fields are only warned about, as Kubernetes adds some.
 */
#include "ctrlplane/compile/decode_internal.h"

enum service_type { TYPE_CLUSTER_IP, TYPE_NODE_PORT, TYPE_LOAD_BALANCER, TYPE_EXTERNAL_NAME };
static const char *const types[] = {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName", NULL};

static void warn_unknown(struct decoder *d, const struct yaml_node *map, const char *const *known)
{
	for (const struct yaml_node *c = map != NULL ? map->first : NULL; c != NULL; c = c->next) {
		const char *const *k = known;
		while (*k != NULL && !str_eq(c->key, str_from(*k)))
			k++;
		if (*k == NULL)
			decode_tell(d, PROBLEM_WARNING, c, "unknown field, passed over%s",
				yaml_nearest(&d->w->arena, c->key, known));
	}
}

/* -- addresses -------------------------------------------------------------------------------- */

static void add_vip(struct decoder *d, const struct yaml_node *node, struct kube_service *svc)
{
	struct addr a;
	if (node->kind == YAML_STRING && (node->text.n == 0 || str_eq(node->text, STR("None"))))
		return;
	if (!decode_address(d, node, &a))
		return;
	for (size_t i = 0; i < svc->n_vips; i++)
		if (addr_eq_ip(&svc->vips[i], &a))
			return;
	svc->vips[svc->n_vips++] = a;
}

static void decode_vips(struct decoder *d, const struct yaml_node *spec, struct kube_service *svc)
{
	const struct yaml_node *ip = yaml_field(spec, STR("clusterIP"));
	const struct yaml_node *ips = yaml_read_list(&d->r, spec, "clusterIPs", YAML_OPTIONAL);
	bool given = ip != NULL && ip->kind == YAML_STRING && ip->text.n > 0;
	if (!decode_within(d, ips, OBJECT_MAX_ADDRESSES))
		return;
	size_t room = (ips != NULL ? ips->n : 0) + 1;
	svc->vips = arena_alloc(&d->w->arena, room * sizeof(*svc->vips));
	if (ip != NULL && ip->kind != YAML_NULL)
		add_vip(d, ip, svc);
	for (const struct yaml_node *c = ips != NULL ? ips->first : NULL; c != NULL; c = c->next) {
		add_vip(d, c, svc);
		given = true;
	}
	if (!given)
		decode_tell(d, PROBLEM_WARNING, d->r.root,
			"spec.clusterIP is not set: its pods can be called by their own addresses "
			"alone (write None for a headless Service)");
}

/* -- ports ------------------------------------------------------------------------------------ */

static void decode_target(struct decoder *d, const struct yaml_node *node,
	struct service_port *port)
{
	const struct yaml_node *target = yaml_field(node, STR("targetPort"));
	int64_t number;
	port->target = port->port;
	if (target == NULL || target->kind == YAML_NULL)
		return;
	if (target->kind == YAML_STRING) {
		uint64_t digits;
		if (target->text.n == 0 || str_to_u64(target->text, UINT64_MAX, &digits) == 0)
			yaml_problem(&d->r, target,
				"a name of a container's port must have a letter; a number "
				"stands without quotes");
		port->target = 0;
		port->target_name = arena_str(&d->w->arena, target->text);
	} else if (yaml_as_int(&d->r, target, 1, 65535, &number)) {
		port->target = (uint16_t)number;
	}
}

static void decode_protocol(struct decoder *d, const struct yaml_node *node,
	struct service_port *port)
{
	struct str app = STR_NULL;
	port->protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED;
	if (!yaml_read_str(&d->r, node, "appProtocol", YAML_OPTIONAL, &app)) {
		(void)protocol_by_port_name(port->name, &port->protocol);
		return;
	}
	if (!protocol_by_name(app, &port->protocol))
		decode_tell(d, PROBLEM_NOTE, yaml_field(node, STR("appProtocol")),
			"not known, so the protocol is found by looking (known: http, http2, grpc, "
			"tcp, tls, https, kubernetes.io/h2c, kubernetes.io/ws, kubernetes.io/wss)");
}

static void check_port(struct decoder *d, const struct yaml_node *node,
	const struct kube_service *svc, const struct service_port *port)
{
	for (size_t i = 0; i < svc->n_ports; i++) {
		if (svc->ports[i].port == port->port)
			yaml_problem(&d->r, node, "port %u is there twice", port->port);
		if (port->name.n > 0 && str_eq(svc->ports[i].name, port->name))
			yaml_problem(&d->r, node, "the name %.*s is there twice",
				STR_ARG(port->name));
	}
	if (port->name.n > 0 && !dns_label_valid(port->name))
		yaml_problem_at(&d->r, node, "name",
			"not a name: lower-case letters, digits and '-', at most 63");
}

static void decode_service_port(struct decoder *d, const struct yaml_node *node,
	struct kube_service *svc, bool many)
{
	static const char *const protocols[] = {"TCP", "UDP", "SCTP", NULL};
	static const char *const known[] = {
		"name", "protocol", "appProtocol", "port", "targetPort", "nodePort", NULL};
	struct service_port port = {0};
	size_t protocol = 0;
	int64_t number = 0;
	if (!yaml_as_map(&d->r, node))
		return;
	warn_unknown(d, node, known);
	(void)yaml_read_str(&d->r, node, "name", many ? YAML_REQUIRED : YAML_OPTIONAL, &port.name);
	(void)yaml_read_choice(&d->r, node, "protocol", YAML_OPTIONAL, protocols, &protocol);
	if (!yaml_read_int(&d->r, node, "port", YAML_REQUIRED, 1, 65535, &number) || protocol != 0)
		return;
	port.port = (uint16_t)number;
	decode_target(d, node, &port);
	decode_protocol(d, node, &port);
	check_port(d, node, svc, &port);
	svc->ports[svc->n_ports++] = port;
}

static void decode_ports(struct decoder *d, const struct yaml_node *spec, struct kube_service *svc)
{
	const struct yaml_node *list = yaml_read_list(&d->r, spec, "ports", YAML_OPTIONAL);
	if (list == NULL || !decode_within(d, list, OBJECT_MAX_PORTS))
		return;
	svc->ports = arena_alloc(&d->w->arena, list->n * sizeof(*svc->ports));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next)
		decode_service_port(d, c, svc, list->n > 1);
}

static void warn_spec(struct decoder *d, const struct yaml_node *spec)
{
	static const char *const known[] = {"type", "clusterIP", "clusterIPs", "selector", "ports",
		"publishNotReadyAddresses", "externalName", "externalIPs", "ipFamilies",
		"ipFamilyPolicy", "sessionAffinity", "sessionAffinityConfig", "loadBalancerIP",
		"loadBalancerClass", "loadBalancerSourceRanges", "externalTrafficPolicy",
		"internalTrafficPolicy", "trafficDistribution", "healthCheckNodePort",
		"allocateLoadBalancerNodePorts", NULL};
	warn_unknown(d, spec, known);
}

void decode_service(struct decoder *d)
{
	struct kube_service *svc = ARENA_NEW(&d->w->arena, struct kube_service);
	const struct yaml_node *spec = yaml_read_map(&d->r, d->r.root, "spec", YAML_REQUIRED);
	size_t type = TYPE_CLUSTER_IP;
	(void)yaml_read_choice(&d->r, spec, "type", YAML_OPTIONAL, types, &type);
	if (type == TYPE_EXTERNAL_NAME) {
		decode_tell(d, PROBLEM_NOTE, d->r.root,
			"passed over: ExternalName is an alias in DNS and has no address");
		return;
	}
	if (spec != NULL)
		warn_spec(d, spec);
	(void)yaml_read_bool(&d->r, spec, "publishNotReadyAddresses", YAML_OPTIONAL,
		&svc->publish_not_ready);
	decode_labels(d, yaml_read_map(&d->r, spec, "selector", YAML_OPTIONAL), &svc->selector);
	decode_vips(d, spec, svc);
	decode_ports(d, spec, svc);
	if (d->r.problems == 0 && d->w->services.n == WORLD_MAX_SERVICES)
		yaml_problem(&d->r, d->r.root, "more than %d Services", WORLD_MAX_SERVICES);
	if (d->r.problems > 0) {
		decode_doubt(d, svc->vips, svc->n_vips);
		return;
	}
	svc->meta = d->meta;
	object_list_add(&d->w->services, svc);
}
