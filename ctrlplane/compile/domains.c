/*
 * Principals that name another trust domain than the mesh's: right between meshes, a mistake that
 * nobody sees otherwise (such as cluster.local, copied from an example). Called by world_join.
 */
#include "ctrlplane/compile/world_internal.h"

#define MATCHES Weft__Mesh__V1__StringMatch *const *

static void check_matches(struct world *w, const struct authz *policy, size_t n, MATCHES matches,
	const char *field)
{
	struct str own = world_trust_domain(w);
	for (size_t i = 0; i < n; i++) {
		struct str rest = str_from(matches[i]->value), domain;
		Weft__Mesh__V1__StringMatch__Kind kind = matches[i]->kind;
		bool prefix = kind == WEFT__MESH__V1__STRING_MATCH__KIND__PREFIX;
		bool spelt = prefix || kind == WEFT__MESH__V1__STRING_MATCH__KIND__EXACT;
		if (!spelt || str_find(rest, '/') < 0 || !str_split(&rest, '/', &domain) ||
			str_eq(domain, own))
			continue;
		world_tell(w, PROBLEM_WARNING, &policy->meta, field,
			"\"%s%s\" names trust domain %.*s; this mesh's is %.*s, so it matches nobody "
			"unless the bundle of %.*s is given",
			matches[i]->value, prefix ? "*" : "", STR_ARG(domain), STR_ARG(own),
			STR_ARG(domain));
	}
}

static void check_rule(struct world *w, const struct authz *policy,
	const Weft__Mesh__V1__AuthorizationPolicy__Rule *rule)
{
	for (size_t i = 0; i < rule->n_from; i++) {
		const Weft__Mesh__V1__AuthorizationPolicy__Source *s = rule->from[i];
		check_matches(w, policy, s->n_principals, s->principals, "principals");
		check_matches(w, policy, s->n_not_principals, s->not_principals, "notPrincipals");
	}
}

void join_domains(struct world *w)
{
	for (size_t i = 0; i < w->authz.n; i++) {
		const struct authz *policy = w->authz.v[i];
		for (size_t k = 0; k < policy->policy.n_rules; k++)
			check_rule(w, policy, policy->policy.rules[k]);
	}
}
