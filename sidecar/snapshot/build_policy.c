/*
 * Authorization policies from protobuf to the plain form that policy/authz.c reads. Refuses what it
 * does not know: an unknown kind of match must never widen a rule.
 */
#include "lib/base/err.h"
#include "sidecar/snapshot/build_internal.h"

static int build_matches(struct build *b, const char *field, size_t n,
	Weft__Mesh__V1__StringMatch *const *in, struct string_matches *out)
{
	out->n = n;
	out->v = arena_zalloc(&b->s->arena, n * sizeof(*out->v));
	for (size_t i = 0; i < n; i++) {
		out->v[i].value = build_str(b, in[i]->value);
		switch (in[i]->kind) {
		case WEFT__MESH__V1__STRING_MATCH__KIND__EXACT:
			out->v[i].kind = MATCH_EXACT;
			break;
		case WEFT__MESH__V1__STRING_MATCH__KIND__PREFIX:
			out->v[i].kind = MATCH_PREFIX;
			break;
		case WEFT__MESH__V1__STRING_MATCH__KIND__SUFFIX:
			out->v[i].kind = MATCH_SUFFIX;
			break;
		case WEFT__MESH__V1__STRING_MATCH__KIND__PRESENT:
			out->v[i].kind = MATCH_PRESENT;
			continue;
		case _WEFT__MESH__V1__STRING_MATCH__KIND_IS_INT_SIZE:
		default:
			return build_fail(b, field, "unknown kind of match");
		}
		if (out->v[i].value.n == 0)
			return build_fail(b, field, "empty value");
	}
	return 0;
}

static int build_port_list(struct build *b, const char *field, size_t n, const uint32_t *in,
	struct port_list *out)
{
	out->n = n;
	out->v = arena_zalloc(&b->s->arena, n * sizeof(*out->v));
	for (size_t i = 0; i < n; i++) {
		if (in[i] == 0 || in[i] > 65535)
			return build_fail(b, field, "not a port");
		out->v[i] = (uint16_t)in[i];
	}
	return 0;
}

static int build_source(struct build *b, const Weft__Mesh__V1__AuthorizationPolicy__Source *in,
	struct authz_source *out)
{
	int e = build_matches(b, "from.principals", in->n_principals, in->principals,
		&out->principals);
	if (e == 0)
		e = build_matches(b, "from.notPrincipals", in->n_not_principals, in->not_principals,
			&out->not_principals);
	if (e == 0)
		e = build_matches(b, "from.namespaces", in->n_namespaces, in->namespaces,
			&out->namespaces);
	if (e == 0)
		e = build_matches(b, "from.notNamespaces", in->n_not_namespaces, in->not_namespaces,
			&out->not_namespaces);
	if (e == 0)
		e = build_matches(b, "from.serviceAccounts", in->n_service_accounts,
			in->service_accounts, &out->service_accounts);
	if (e == 0)
		e = build_matches(b, "from.notServiceAccounts", in->n_not_service_accounts,
			in->not_service_accounts, &out->not_service_accounts);
	if (e == 0)
		e = build_cidrs(b, "from.ipBlocks", in->n_ip_blocks, in->ip_blocks,
			&out->ip_blocks);
	if (e == 0)
		e = build_cidrs(b, "from.notIpBlocks", in->n_not_ip_blocks, in->not_ip_blocks,
			&out->not_ip_blocks);
	return e;
}

static int build_rule(struct build *b, const Weft__Mesh__V1__AuthorizationPolicy__Rule *in,
	struct authz_rule *out)
{
	int e = 0;
	out->n_from = in->n_from;
	out->from = arena_zalloc(&b->s->arena, in->n_from * sizeof(*out->from));
	for (size_t i = 0; i < in->n_from && e == 0; i++)
		e = build_source(b, in->from[i], &out->from[i]);
	out->n_to = in->n_to;
	out->to = arena_zalloc(&b->s->arena, in->n_to * sizeof(*out->to));
	for (size_t i = 0; i < in->n_to && e == 0; i++) {
		e = build_port_list(b, "to.ports", in->to[i]->n_ports, in->to[i]->ports,
			&out->to[i].ports);
		if (e == 0)
			e = build_port_list(b, "to.notPorts", in->to[i]->n_not_ports,
				in->to[i]->not_ports, &out->to[i].not_ports);
	}
	return e;
}

int build_policy(struct build *b, const Weft__Mesh__V1__AuthorizationPolicy *in,
	struct authz_policy *out)
{
	int e = 0;
	out->ns = build_str(b, in->namespace_);
	out->name = build_str(b, in->name);
	out->broken = build_str(b, in->broken);
	if (out->ns.n == 0 || out->name.n == 0)
		return build_fail(b, "name", "namespace and name are required");
	switch (in->action) {
	case WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__ALLOW:
		out->action = AUTHZ_ALLOW;
		break;
	case WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__DENY:
		out->action = AUTHZ_DENY;
		break;
	case _WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION_IS_INT_SIZE:
	default:
		return build_fail(b, "action", "unknown action");
	}
	out->n_rules = in->n_rules;
	out->rules = arena_zalloc(&b->s->arena, in->n_rules * sizeof(*out->rules));
	for (size_t i = 0; i < in->n_rules && e == 0; i++)
		e = build_rule(b, in->rules[i], &out->rules[i]);
	return e;
}
