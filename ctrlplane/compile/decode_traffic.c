/*
 * TrafficPolicy, decoded strictly: how a Service's endpoints are chosen. One that does not validate
 * is left out, for it decides nothing about who may call whom. Its join gives each Service the
 * policy that holds.
 */
#include "ctrlplane/compile/decode_internal.h"

static Weft__Mesh__V1__LoadBalancer decode_balancer(struct decoder *d, const struct yaml_node *spec)
{
	static const char *const known[] = {"simple", NULL};
	static const char *const names[] = {"LEAST_REQUEST", "ROUND_ROBIN", NULL};
	static const Weft__Mesh__V1__LoadBalancer values[] = {
		WEFT__MESH__V1__LOAD_BALANCER__LOAD_BALANCER_P2C,
		WEFT__MESH__V1__LOAD_BALANCER__LOAD_BALANCER_ROUND_ROBIN};
	size_t i = 0;
	const struct yaml_node *lb = yaml_read_map(&d->r, spec, "loadBalancer", YAML_REQUIRED);
	yaml_check_keys(&d->r, lb, known);
	if (lb != NULL)
		(void)yaml_read_choice(&d->r, lb, "simple", YAML_REQUIRED, names, &i);
	return values[i];
}

/* As the Gateway API's local policy targets: group "" and kind Service, in the policy's own
 * namespace. */
static bool decode_target(struct decoder *d, const struct yaml_node *node, struct str *name)
{
	static const char *const known[] = {"group", "kind", "name", NULL};
	struct str group = STR_NULL, kind = STR_NULL;
	if (!yaml_as_map(&d->r, node))
		return false;
	yaml_check_keys(&d->r, node, known);
	(void)yaml_read_str(&d->r, node, "group", YAML_OPTIONAL, &group);
	(void)yaml_read_str(&d->r, node, "kind", YAML_REQUIRED, &kind);
	if (group.n > 0 || (kind.n > 0 && !str_eq(kind, STR("Service"))))
		yaml_problem_at(&d->r, node, "kind", "expected kind Service of group \"\"");
	return yaml_read_str(&d->r, node, "name", YAML_REQUIRED, name);
}

static void decode_targets(struct decoder *d, const struct yaml_node *spec,
	struct traffic_policy *out)
{
	const struct yaml_node *list = yaml_read_list(&d->r, spec, "targetRefs", YAML_REQUIRED);
	if (list == NULL || !decode_within(d, list, OBJECT_MAX_VALUES))
		return;
	if (list->n == 0)
		yaml_problem(&d->r, list, "an empty list: name at least one Service");
	out->services = arena_alloc(&d->w->arena, list->n * sizeof(*out->services));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next)
		out->n_services += decode_target(d, c, &out->services[out->n_services]);
}

void decode_traffic(struct decoder *d)
{
	static const char *const known[] = {"targetRefs", "loadBalancer", NULL};
	struct traffic_policy *out = ARENA_NEW(&d->w->arena, struct traffic_policy);
	const struct yaml_node *spec = yaml_read_map(&d->r, d->r.root, "spec", YAML_REQUIRED);
	decode_check_top(d);
	yaml_check_keys(&d->r, spec, known);
	if (spec != NULL) {
		decode_targets(d, spec, out);
		out->balancer = decode_balancer(d, spec);
	}
	if (d->w->traffic.n == WORLD_MAX_POLICIES)
		yaml_problem(&d->r, d->r.root, "more than %d of them", WORLD_MAX_POLICIES);
	if (d->r.problems > 0)
		return;
	out->meta = d->meta;
	object_list_add(&d->w->traffic, out);
}

/* -- join ---------------------------------------------------------------------------------------
 */

static bool is_older(const struct object_meta *a, const struct object_meta *b)
{
	int c = str_order(a->created, b->created);
	return c != 0 ? c < 0 : object_order(a, b) < 0;
}

static void join_target(struct world *w, struct traffic_policy *t, struct str name)
{
	struct kube_service *svc = list_find(&w->services, t->meta.ns, name);
	if (svc == NULL) {
		world_tell(w, PROBLEM_WARNING, &t->meta, "spec.targetRefs",
			"there is no Service %.*s/%.*s", STR_ARG(t->meta.ns), STR_ARG(name));
		return;
	}
	struct traffic_policy *now = svc->traffic, *loser = t;
	if (now == NULL || is_older(&t->meta, &now->meta)) {
		svc->traffic = t;
		loser = now;
	}
	if (loser != NULL && loser != svc->traffic)
		world_tell(w, PROBLEM_WARNING, &loser->meta, "spec.targetRefs",
			"%.*s is older (or first by name): it holds for Service %.*s in this one's place",
			STR_ARG(object_title(&w->arena, &svc->traffic->meta)), STR_ARG(name));
}

void join_traffic(struct world *w)
{
	for (size_t i = 0; i < w->traffic.n; i++) {
		struct traffic_policy *t = w->traffic.v[i];
		for (size_t k = 0; k < t->n_services; k++)
			join_target(w, t, t->services[k]);
	}
}
