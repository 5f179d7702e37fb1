/*
 * Namespaces and pods: identity, ports, addresses, readiness. Fields that the compiler does not use
 * are not looked at; a pod that is wrong in one that it does use is left out.
 */
#include "ctrlplane/compile/decode_internal.h"

void decode_namespace(struct decoder *d)
{
	if (d->r.problems == 0)
		d->w->namespaces++;
}

/* -- spec ------------------------------------------------------------------------------------- */

static void decode_container_port(struct decoder *d, const struct yaml_node *node,
	struct kube_pod *pod)
{
	static const char *const protocols[] = {"TCP", "UDP", "SCTP", NULL};
	struct container_port port = {0};
	size_t protocol = 0;
	int64_t number = 0;
	if (!yaml_as_map(&d->r, node))
		return;
	(void)yaml_read_str(&d->r, node, "name", YAML_OPTIONAL, &port.name);
	(void)yaml_read_choice(&d->r, node, "protocol", YAML_OPTIONAL, protocols, &protocol);
	if (!yaml_read_int(&d->r, node, "containerPort", YAML_REQUIRED, 1, 65535, &number) ||
		protocol != 0)
		return;
	port.port = (uint16_t)number;
	pod->ports[pod->n_ports++] = port;
}

/* The TCP ports of one container behind those of the ones before it. */
static void decode_container_ports(struct decoder *d, const struct yaml_node *container,
	struct kube_pod *pod)
{
	const struct yaml_node *list = yaml_read_list(&d->r, container, "ports", YAML_OPTIONAL);
	if (list == NULL || !decode_within(d, list, OBJECT_MAX_PORTS - pod->n_ports))
		return;
	struct container_port *all =
		arena_alloc(&d->w->arena, (pod->n_ports + list->n) * sizeof(*all));
	for (size_t i = 0; i < pod->n_ports; i++)
		all[i] = pod->ports[i];
	pod->ports = all;
	for (const struct yaml_node *p = list->first; p != NULL; p = p->next)
		decode_container_port(d, p, pod);
}

static void decode_containers(struct decoder *d, const struct yaml_node *spec, const char *key,
	struct kube_pod *pod)
{
	const struct yaml_node *list = yaml_read_list(&d->r, spec, key, YAML_OPTIONAL);
	if (!decode_within(d, list, OBJECT_MAX_CONTAINERS))
		return;
	for (const struct yaml_node *c = list != NULL ? list->first : NULL; c != NULL;
		c = c->next) {
		struct str name;
		if (!yaml_as_map(&d->r, c) ||
			!yaml_read_str(&d->r, c, "name", YAML_REQUIRED, &name))
			continue;
		/* Its ports are ours, not the application's. */
		if (str_eq(name, STR(SIDECAR_CONTAINER)))
			pod->meshed = true;
		else
			decode_container_ports(d, c, pod);
	}
}

static void decode_spec(struct decoder *d, struct kube_pod *pod)
{
	const struct yaml_node *spec = yaml_read_map(&d->r, d->r.root, "spec", YAML_REQUIRED);
	pod->service_account = STR("default");
	if (yaml_read_str(&d->r, spec, "serviceAccountName", YAML_OPTIONAL,
		    &pod->service_account) &&
		!dns_subdomain_valid(pod->service_account))
		yaml_problem_at(&d->r, spec, "serviceAccountName",
			"not a name: lower-case letters, digits, '-' and '.', at most 253");
	(void)yaml_read_bool(&d->r, spec, "hostNetwork", YAML_OPTIONAL, &pod->host_network);
	decode_containers(d, spec, "containers", pod);
	decode_containers(d, spec, "initContainers", pod);
}

/* -- status ----------------------------------------------------------------------------------- */

static void add_address(struct decoder *d, const struct yaml_node *node, struct kube_pod *pod)
{
	struct addr a;
	if (!decode_address(d, node, &a))
		return;
	for (size_t i = 0; i < pod->n_addrs; i++)
		if (addr_eq_ip(&pod->addrs[i], &a))
			return;
	pod->addrs[pod->n_addrs++] = a;
}

static void decode_addresses(struct decoder *d, const struct yaml_node *status,
	struct kube_pod *pod)
{
	const struct yaml_node *ip = yaml_field(status, STR("podIP"));
	const struct yaml_node *ips = yaml_read_list(&d->r, status, "podIPs", YAML_OPTIONAL);
	if (!decode_within(d, ips, OBJECT_MAX_ADDRESSES))
		return;
	size_t room = (ips != NULL ? ips->n : 0) + 1;
	pod->addrs = arena_alloc(&d->w->arena, room * sizeof(*pod->addrs));
	if (ip != NULL && ip->kind != YAML_NULL)
		add_address(d, ip, pod);
	for (const struct yaml_node *c = ips != NULL ? ips->first : NULL; c != NULL; c = c->next) {
		ip = yaml_field(c, STR("ip"));
		if (ip != NULL)
			add_address(d, ip, pod);
		else
			yaml_problem(&d->r, c, "expected a map with the key ip");
	}
}

/* A pod whose status says nothing about readiness is taken for ready: manifests that nobody
 * updates have no conditions. */
static bool decode_ready(struct decoder *d, const struct yaml_node *status)
{
	const struct yaml_node *list = yaml_read_list(&d->r, status, "conditions", YAML_OPTIONAL);
	if (list == NULL)
		return true;
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next) {
		struct str type = STR_NULL, is = STR_NULL;
		if (yaml_as_map(&d->r, c) &&
			yaml_read_str(&d->r, c, "type", YAML_REQUIRED, &type) &&
			str_eq(type, STR("Ready")))
			return yaml_read_str(&d->r, c, "status", YAML_REQUIRED, &is) &&
				str_eq(is, STR("True"));
	}
	return false;
}

static void decode_status(struct decoder *d, struct kube_pod *pod)
{
	struct str phase = STR_NULL;
	const struct yaml_node *status = yaml_read_map(&d->r, d->r.root, "status", YAML_OPTIONAL);
	(void)yaml_read_str(&d->r, status, "phase", YAML_OPTIONAL, &phase);
	pod->finished = str_eq(phase, STR("Succeeded")) || str_eq(phase, STR("Failed"));
	pod->ready = decode_ready(d, status) && !d->meta.deleting;
	decode_addresses(d, status, pod);
}

/* A UID is what peers demand of a pod's certificate: two pods with one would be each other. */
static void check_uid(struct decoder *d)
{
	struct object_meta *m = &d->meta;
	if (m->uid.n == 0 || d->r.problems > 0)
		return;
	const struct object_meta *before = map_get(d->w->uids, m->uid);
	if (before != NULL) {
		yaml_problem_at(&d->r, yaml_field(d->r.root, STR("metadata")), "uid",
			"is that of %.*s too, at %.*s:%u",
			STR_ARG(object_title(&d->w->arena, before)), STR_ARG(before->file),
			before->line);
		return;
	}
	struct object_meta *copy = ARENA_NEW(&d->w->arena, struct object_meta);
	*copy = *m;
	map_put(d->w->uids, m->uid, copy);
}

/* As text, which is what Kubernetes has annotations be, or as a number. */
static void decode_unix_uid(struct decoder *d, struct kube_pod *pod)
{
	const struct yaml_node *metadata = yaml_field(d->r.root, STR("metadata"));
	const struct yaml_node *all = yaml_read_map(&d->r, metadata, "annotations", YAML_OPTIONAL);
	const struct yaml_node *node = yaml_field(all, STR(UNIX_UID_ANNOTATION));
	uint64_t uid = 0;
	if (node == NULL)
		return;
	/* The last number is "no user". */
	if ((node->kind != YAML_STRING && node->kind != YAML_INT) ||
		str_to_u64(node->text, UINT32_MAX - 1, &uid) != 0) {
		struct str shown = yaml_shown(&d->w->arena, node);
		yaml_problem(&d->r, node, "expected a Unix user's number, found %.*s",
			STR_ARG(shown));
		return;
	}
	pod->has_unix_uid = true;
	pod->unix_uid = (uint32_t)uid;
}

void decode_pod(struct decoder *d)
{
	struct kube_pod *pod = ARENA_NEW(&d->w->arena, struct kube_pod);
	decode_unix_uid(d, pod);
	decode_spec(d, pod);
	decode_status(d, pod);
	check_uid(d);
	if (d->r.problems == 0 && d->w->pods.n == WORLD_MAX_PODS)
		yaml_problem(&d->r, d->r.root, "more than %d pods", WORLD_MAX_PODS);
	if (d->r.problems > 0) {
		if (!pod->finished && !pod->host_network)
			decode_doubt(d, pod->addrs, pod->n_addrs);
		return;
	}
	pod->meta = d->meta;
	object_list_add(&d->w->pods, pod);
}
