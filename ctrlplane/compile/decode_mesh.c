/*
 * PeerAuthentication and MeshConfig, decoded strictly. A PeerAuthentication that does not validate
 * means STRICT for what it selects; without a valid MeshConfig nothing is compiled.
 */
#include "certs/spiffe.h"
#include "ctrlplane/compile/decode_internal.h"

/* -- PeerAuthentication ----------------------------------------------------------------------- */

static Weft__Mesh__V1__MtlsMode decode_mode(struct decoder *d, const struct yaml_node *mtls)
{
	static const char *const known[] = {"mode", NULL};
	static const char *const modes[] = {"UNSET", "STRICT", "PERMISSIVE", "DISABLE", NULL};
	static const Weft__Mesh__V1__MtlsMode values[] = {
		WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_UNSPECIFIED,
		WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_STRICT,
		WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE,
		WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_DISABLE};
	size_t mode = 0;
	yaml_check_keys(&d->r, mtls, known);
	(void)yaml_read_choice(&d->r, mtls, "mode", YAML_OPTIONAL, modes, &mode);
	return values[mode];
}

static bool port_of_key(struct decoder *d, const struct yaml_node *node, uint16_t *out)
{
	uint64_t port;
	if (node->key.n == 0 || node->key.p[0] == '0' || str_to_u64(node->key, 65535, &port) != 0) {
		yaml_problem(&d->r, node, "the key must be a container port, 1..65535");
		return false;
	}
	*out = (uint16_t)port;
	return true;
}

static void decode_port_modes(struct decoder *d, const struct yaml_node *spec,
	struct peer_auth *out)
{
	const struct yaml_node *map = yaml_read_map(&d->r, spec, "portLevelMtls", YAML_OPTIONAL);
	if (map == NULL || !decode_within(d, map, OBJECT_MAX_PORTS))
		return;
	if (out->scope.selector.n == 0)
		yaml_problem(&d->r, map,
			"needs a selector: ports are those of a workload, not of a namespace");
	out->ports = arena_alloc(&d->w->arena, map->n * sizeof(*out->ports));
	for (const struct yaml_node *c = map->first; c != NULL; c = c->next) {
		struct port_mode *p = &out->ports[out->n_ports];
		if (!yaml_as_map(&d->r, c) || !port_of_key(d, c, &p->port))
			continue;
		p->mode = decode_mode(d, c);
		out->n_ports++;
	}
}

void decode_peer_auth(struct decoder *d)
{
	static const char *const known[] = {"selector", "mtls", "portLevelMtls", NULL};
	struct peer_auth *out = ARENA_NEW(&d->w->arena, struct peer_auth);
	const struct yaml_node *spec = yaml_read_map(&d->r, d->r.root, "spec", YAML_OPTIONAL);
	decode_check_top(d);
	yaml_check_keys(&d->r, spec, known);
	/* A namespace that cannot be read may be any. */
	out->scope.ns = d->meta.ns.n > 0 ? d->meta.ns : STR(ROOT_NAMESPACE);
	if (decode_selector(d, spec, &out->scope.selector))
		decode_port_modes(d, spec, out);
	out->mode = decode_mode(d, yaml_read_map(&d->r, spec, "mtls", YAML_OPTIONAL));
	if (d->w->peer_auths.n == WORLD_MAX_POLICIES) {
		yaml_problem(&d->r, d->r.root, "more than %d of them", WORLD_MAX_POLICIES);
		d->w->unreadable = true;
		return;
	}
	out->meta = d->meta;
	out->meta.ns = out->scope.ns;
	out->broken = d->r.problems > 0;
	out->stray = out->broken && !d->named;
	d->w->broken += out->broken;
	object_list_add(&d->w->peer_auths, out);
}

/* -- MeshConfig ------------------------------------------------------------------------------- */

static void decode_ranges(struct decoder *d, const struct yaml_node *spec,
	Weft__Mesh__V1__Mesh *mesh)
{
	const struct yaml_node *list = yaml_read_list(&d->r, spec, "meshRanges", YAML_OPTIONAL);
	if (list == NULL || !decode_within(d, list, OBJECT_MAX_VALUES))
		return;
	mesh->n_mesh_ranges = 0;
	mesh->mesh_ranges = arena_alloc(&d->w->arena, list->n * sizeof(*mesh->mesh_ranges));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next)
		mesh->n_mesh_ranges += decode_block(d, c, &mesh->mesh_ranges[mesh->n_mesh_ranges]);
	if (list->n == 0)
		yaml_problem(&d->r, list,
			"an empty list: leave the field out for the private ranges");
}

static void decode_outbound(struct decoder *d, const struct yaml_node *spec,
	Weft__Mesh__V1__Mesh *mesh)
{
	static const char *const known[] = {"mode", NULL};
	static const char *const modes[] = {"ALLOW_ANY", "REGISTRY_ONLY", NULL};
	size_t mode = 0;
	const struct yaml_node *map =
		yaml_read_map(&d->r, spec, "outboundTrafficPolicy", YAML_OPTIONAL);
	yaml_check_keys(&d->r, map, known);
	if (yaml_read_choice(&d->r, map, "mode", YAML_OPTIONAL, modes, &mode) && mode == 1)
		mesh->outbound_traffic_policy =
			WEFT__MESH__V1__OUTBOUND_TRAFFIC_POLICY__OUTBOUND_TRAFFIC_POLICY_REGISTRY_ONLY;
}

static void check_only_one(struct decoder *d)
{
	const struct object_meta *before = &d->w->config.meta;
	if (d->meta_ok && !str_eq(d->meta.ns, STR(ROOT_NAMESPACE)))
		yaml_problem(&d->r, d->r.root, "a MeshConfig must be in namespace %s",
			ROOT_NAMESPACE);
	if (before->name.n > 0 && !d->again)
		yaml_problem(&d->r, d->r.root, "there is one already, %.*s at %.*s:%u",
			STR_ARG(before->name), STR_ARG(before->file), before->line);
}

void decode_mesh_config(struct decoder *d)
{
	static const char *const known[] = {
		"trustDomain", "meshRanges", "outboundTrafficPolicy", NULL};
	const struct yaml_node *spec = yaml_read_map(&d->r, d->r.root, "spec", YAML_OPTIONAL);
	Weft__Mesh__V1__Mesh mesh = d->w->config.mesh;
	struct str td;
	decode_check_top(d);
	yaml_check_keys(&d->r, spec, known);
	check_only_one(d);
	if (yaml_read_str(&d->r, spec, "trustDomain", YAML_OPTIONAL, &td)) {
		if (!spiffe_td_valid(td))
			yaml_problem(&d->r, yaml_field(spec, STR("trustDomain")),
				"not a trust domain: lower-case letters, digits, '.', '-' and "
				"'_', at most %d",
				SPIFFE_TD_MAX);
		mesh.trust_domain = arena_strdup(&d->w->arena, td);
	}
	decode_ranges(d, spec, &mesh);
	decode_outbound(d, spec, &mesh);
	if (d->r.problems > 0) {
		d->w->config_broken = true;
		return;
	}
	d->w->config.mesh = mesh;
	d->w->config.meta = d->meta;
}
