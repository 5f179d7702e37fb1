/*
 * AuthorizationPolicy: decoded strictly and compiled into its final form at once, as it depends on
 * no other object. One that does not validate becomes a denial for what it selects.
 */
#include <stdio.h>

#include "certs/spiffe.h"
#include "ctrlplane/compile/decode_internal.h"

#define POLICY Weft__Mesh__V1__AuthorizationPolicy
#define RULE Weft__Mesh__V1__AuthorizationPolicy__Rule
#define SOURCE Weft__Mesh__V1__AuthorizationPolicy__Source
#define OPERATION Weft__Mesh__V1__AuthorizationPolicy__Operation
#define MATCH Weft__Mesh__V1__StringMatch
#define BLOCK Weft__Mesh__V1__IpBlock

/* A field that Istio has and this version refuses, with what to do. */
struct refusal {
	const char *key, *remedy;
};
#define NO_HTTP                                                                      \
	"not supported by this version: rules match by identity, address and port; " \
	"without it the rule would match more, so write one that needs no HTTP"
#define NO_JWT                                                                                  \
	"not supported by this version: it does not check tokens; name principals, namespaces " \
	"or service accounts"

static void refuse(struct decoder *d, const struct yaml_node *map, const struct refusal *list)
{
	for (; list->key != NULL; list++) {
		const struct yaml_node *node = yaml_field(map, str_from(list->key));
		if (node != NULL)
			yaml_problem(&d->r, node, "%s", list->remedy);
	}
}

/* The list of a rule's field; NULL where there is none. One without entries says nothing that two
 * readers would understand alike. */
static const struct yaml_node *read_entries(struct decoder *d, const struct yaml_node *map,
	const char *key, size_t max)
{
	const struct yaml_node *list = yaml_read_list(&d->r, map, key, YAML_OPTIONAL);
	if (list == NULL || !decode_within(d, list, max))
		return NULL;
	if (list->n == 0)
		yaml_problem(&d->r, list, "an empty list: leave the field out, or name a value");
	return list;
}

/* -- values ----------------------------------------------------------------------------------- */

/* "a", "a*", "*a" or "*". */
static bool decode_pattern(struct decoder *d, const struct yaml_node *node, MATCH *out)
{
	struct str s;
	if (!yaml_as_str(&d->r, node, &s))
		return false;
	out->kind = WEFT__MESH__V1__STRING_MATCH__KIND__EXACT;
	if (str_eq(s, STR("*"))) {
		out->kind = WEFT__MESH__V1__STRING_MATCH__KIND__PRESENT;
		s = STR_NULL;
	} else if (str_starts(s, STR("*"))) {
		out->kind = WEFT__MESH__V1__STRING_MATCH__KIND__SUFFIX;
		s = str_sub(s, 1, s.n);
	} else if (str_ends(s, STR("*"))) {
		out->kind = WEFT__MESH__V1__STRING_MATCH__KIND__PREFIX;
		s = str_sub(s, 0, s.n - 1);
	} else if (s.n == 0) {
		yaml_problem(&d->r, node, "an empty string matches nobody");
		return false;
	}
	if (str_find(s, '*') >= 0) {
		yaml_problem(&d->r, node, "'*' may only be the first or the last character");
		return false;
	}
	out->value = arena_strdup(&d->w->arena, s);
	return true;
}

static bool is_exact(const MATCH *m)
{
	return m->kind == WEFT__MESH__V1__STRING_MATCH__KIND__EXACT;
}

static bool decode_principal(struct decoder *d, const struct yaml_node *node, MATCH *out)
{
	const char *why;
	struct spiffe_id id;
	if (!decode_pattern(d, node, out))
		return false;
	if (str_starts(str_from(out->value), STR("spiffe://"))) {
		yaml_problem(&d->r, node, "write it without spiffe://");
		return false;
	}
	if (!is_exact(out))
		return true;
	struct str text = arena_printf(&d->w->arena, "spiffe://%s", out->value);
	if (spiffe_parse(text, false, &id, &why) == 0)
		return true;
	yaml_problem(&d->r, node,
		"not a principal, \"TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT\": %s", why);
	return false;
}

static bool decode_ns(struct decoder *d, const struct yaml_node *node, MATCH *out)
{
	if (!decode_pattern(d, node, out))
		return false;
	if (!is_exact(out) || dns_label_valid(str_from(out->value)))
		return true;
	yaml_problem(&d->r, node, "not a namespace: lower-case letters, digits and '-'");
	return false;
}

/* "ns/account", or "account" in the policy's own namespace. */
static bool decode_account(struct decoder *d, const struct yaml_node *node, MATCH *out)
{
	struct str ns, rest;
	if (!decode_pattern(d, node, out))
		return false;
	rest = str_from(out->value);
	if (str_find(rest, '/') < 0) {
		if (out->kind == WEFT__MESH__V1__STRING_MATCH__KIND__PRESENT)
			return true;
		if (out->kind == WEFT__MESH__V1__STRING_MATCH__KIND__SUFFIX) {
			yaml_problem(&d->r, node,
				"'*' stands for namespaces too: write \"NAMESPACE/ACCOUNT\", or "
				"\"*/ACCOUNT\" for one account of every namespace");
			return false;
		}
		rest = arena_printf(&d->w->arena, "%.*s/%s", STR_ARG(d->meta.ns), out->value);
		out->value = arena_strdup(&d->w->arena, rest);
	}
	if (!is_exact(out))
		return true;
	if (str_split(&rest, '/', &ns) && dns_label_valid(ns) && dns_subdomain_valid(rest))
		return true;
	yaml_problem(&d->r, node, "not a service account: \"NAMESPACE/ACCOUNT\" or \"ACCOUNT\"");
	return false;
}

/* -- sources ---------------------------------------------------------------------------------- */

struct match_field {
	const char *key;
	bool (*decode)(struct decoder *d, const struct yaml_node *node, MATCH *out);
	size_t n, v; /* offsets in SOURCE */
};
#define MATCH_FIELD(key, fn, member) \
	{key, fn, offsetof(SOURCE, n_##member), offsetof(SOURCE, member)}
static const struct match_field match_fields[] = {
	MATCH_FIELD("principals", decode_principal, principals),
	MATCH_FIELD("notPrincipals", decode_principal, not_principals),
	MATCH_FIELD("namespaces", decode_ns, namespaces),
	MATCH_FIELD("notNamespaces", decode_ns, not_namespaces),
	MATCH_FIELD("serviceAccounts", decode_account, service_accounts),
	MATCH_FIELD("notServiceAccounts", decode_account, not_service_accounts),
};

static void decode_matches(struct decoder *d, const struct yaml_node *source,
	const struct match_field *f, SOURCE *out)
{
	const struct yaml_node *list = read_entries(d, source, f->key, OBJECT_MAX_VALUES);
	size_t n = 0;
	if (list == NULL)
		return;
	MATCH **all = arena_alloc(&d->w->arena, list->n * sizeof(MATCH *));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next) {
		MATCH *m = ARENA_NEW(&d->w->arena, MATCH);
		weft__mesh__v1__string_match__init(m);
		if (f->decode(d, c, m))
			all[n++] = m;
	}
	memcpy((char *)out + f->n, &n, sizeof(n));
	memcpy((char *)out + f->v, &all, sizeof(MATCH **));
}

static void decode_blocks(struct decoder *d, const struct yaml_node *source, const char *key,
	size_t *n, BLOCK ***out)
{
	const struct yaml_node *list = read_entries(d, source, key, OBJECT_MAX_VALUES);
	if (list == NULL)
		return;
	*out = arena_alloc(&d->w->arena, list->n * sizeof(BLOCK *));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next)
		*n += decode_block(d, c, &(*out)[*n]);
}

/* "source:" or "operation:" of an entry; NULL where that is missing, empty or wrong. */
static const struct yaml_node *read_inner(struct decoder *d, const struct yaml_node *entry,
	const char *key)
{
	const char *known[] = {key, NULL};
	if (!yaml_as_map(&d->r, entry))
		return NULL;
	yaml_check_keys(&d->r, entry, known);
	const struct yaml_node *inner = yaml_read_map(&d->r, entry, key, YAML_REQUIRED);
	if (inner != NULL && inner->n == 0) {
		yaml_problem(&d->r, inner, "empty: name at least one field");
		return NULL;
	}
	return inner;
}

static SOURCE *decode_source(struct decoder *d, const struct yaml_node *entry)
{
	static const struct refusal refused[] = {{"requestPrincipals", NO_JWT},
		{"notRequestPrincipals", NO_JWT},
		{"remoteIpBlocks",
			"not supported by this version: use ipBlocks, the address of the connection"},
		{"notRemoteIpBlocks",
			"not supported by this version: use notIpBlocks, the address of the "
			"connection"},
		{"trustDomains",
			"not supported by this version: use principals, \"TRUST-DOMAIN/*\""},
		{"notTrustDomains",
			"not supported by this version: use notPrincipals, \"TRUST-DOMAIN/*\""},
		{NULL, NULL}};
	static const char *const known[] = {"principals", "notPrincipals", "namespaces",
		"notNamespaces", "serviceAccounts", "notServiceAccounts", "ipBlocks", "notIpBlocks",
		"requestPrincipals", "notRequestPrincipals", "remoteIpBlocks", "notRemoteIpBlocks",
		"trustDomains", "notTrustDomains", NULL};
	const struct yaml_node *source = read_inner(d, entry, "source");
	SOURCE *out = ARENA_NEW(&d->w->arena, SOURCE);
	weft__mesh__v1__authorization_policy__source__init(out);
	if (source == NULL)
		return out;
	yaml_check_keys(&d->r, source, known);
	refuse(d, source, refused);
	for (size_t i = 0; i < sizeof(match_fields) / sizeof(match_fields[0]); i++)
		decode_matches(d, source, &match_fields[i], out);
	decode_blocks(d, source, "ipBlocks", &out->n_ip_blocks, &out->ip_blocks);
	decode_blocks(d, source, "notIpBlocks", &out->n_not_ip_blocks, &out->not_ip_blocks);
	return out;
}

/* -- operations ------------------------------------------------------------------------------- */

static void decode_ports(struct decoder *d, const struct yaml_node *operation, const char *key,
	size_t *n, uint32_t **out)
{
	const struct yaml_node *list = read_entries(d, operation, key, OBJECT_MAX_VALUES);
	if (list == NULL)
		return;
	*out = arena_alloc(&d->w->arena, list->n * sizeof(uint32_t));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next) {
		uint16_t port;
		if (decode_port(d, c, &port))
			(*out)[(*n)++] = port;
	}
}

static OPERATION *decode_operation(struct decoder *d, const struct yaml_node *entry)
{
	static const struct refusal refused[] = {{"hosts", NO_HTTP}, {"notHosts", NO_HTTP},
		{"methods", NO_HTTP}, {"notMethods", NO_HTTP}, {"paths", NO_HTTP},
		{"notPaths", NO_HTTP}, {NULL, NULL}};
	static const char *const known[] = {"ports", "notPorts", "hosts", "notHosts", "methods",
		"notMethods", "paths", "notPaths", NULL};
	const struct yaml_node *operation = read_inner(d, entry, "operation");
	OPERATION *out = ARENA_NEW(&d->w->arena, OPERATION);
	weft__mesh__v1__authorization_policy__operation__init(out);
	if (operation == NULL)
		return out;
	yaml_check_keys(&d->r, operation, known);
	refuse(d, operation, refused);
	decode_ports(d, operation, "ports", &out->n_ports, &out->ports);
	decode_ports(d, operation, "notPorts", &out->n_not_ports, &out->not_ports);
	return out;
}

/* -- rules ------------------------------------------------------------------------------------ */

static RULE *decode_rule(struct decoder *d, const struct yaml_node *rule)
{
	static const struct refusal refused[] = {
		{"when", "not supported by this version: use from and to"}, {NULL, NULL}};
	static const char *const known[] = {"from", "to", "when", NULL};
	RULE *out = ARENA_NEW(&d->w->arena, RULE);
	weft__mesh__v1__authorization_policy__rule__init(out);
	if (!yaml_as_map(&d->r, rule))
		return out;
	yaml_check_keys(&d->r, rule, known);
	refuse(d, rule, refused);
	const struct yaml_node *from = read_entries(d, rule, "from", OBJECT_MAX_RULES);
	const struct yaml_node *to = read_entries(d, rule, "to", OBJECT_MAX_RULES);
	if (from != NULL) {
		out->from = arena_alloc(&d->w->arena, from->n * sizeof(SOURCE *));
		for (const struct yaml_node *c = from->first; c != NULL; c = c->next)
			out->from[out->n_from++] = decode_source(d, c);
	}
	if (to != NULL) {
		out->to = arena_alloc(&d->w->arena, to->n * sizeof(OPERATION *));
		for (const struct yaml_node *c = to->first; c != NULL; c = c->next)
			out->to[out->n_to++] = decode_operation(d, c);
	}
	return out;
}

/* An empty list of rules is a statement: nobody (ALLOW) or nothing (DENY). */
static void decode_rules(struct decoder *d, const struct yaml_node *spec, POLICY *policy)
{
	const struct yaml_node *list = yaml_read_list(&d->r, spec, "rules", YAML_OPTIONAL);
	if (list == NULL || !decode_within(d, list, OBJECT_MAX_RULES))
		return;
	policy->rules = arena_alloc(&d->w->arena, list->n * sizeof(RULE *));
	for (const struct yaml_node *c = list->first; c != NULL; c = c->next)
		policy->rules[policy->n_rules++] = decode_rule(d, c);
}

static void decode_action(struct decoder *d, const struct yaml_node *spec, POLICY *policy)
{
	static const char *const actions[] = {"ALLOW", "DENY", NULL};
	const struct yaml_node *node = yaml_field(spec, STR("action"));
	size_t action = 0;
	if (node != NULL &&
		(str_eq(node->text, STR("AUDIT")) || str_eq(node->text, STR("CUSTOM")))) {
		yaml_problem(&d->r, node,
			"action %.*s is not supported by this version; use ALLOW or DENY",
			STR_ARG(node->text));
		return;
	}
	if (yaml_read_choice(&d->r, spec, "action", YAML_OPTIONAL, actions, &action) && action == 1)
		policy->action = WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__DENY;
}

static struct authz *new_authz(struct decoder *d)
{
	struct arena *a = &d->w->arena;
	struct authz *out = ARENA_NEW(a, struct authz);
	/* Where the namespace cannot be read, only the whole mesh is sure to hold it. */
	struct str ns = d->meta.ns.n > 0 ? d->meta.ns : STR(ROOT_NAMESPACE);
	struct str name = d->meta.name;
	if (name.n == 0)
		name = arena_printf(a, "line-%u", d->meta.line);
	out->meta = d->meta;
	out->meta.ns = out->scope.ns = ns;
	out->meta.name = name;
	weft__mesh__v1__authorization_policy__init(&out->policy);
	out->policy.namespace_ = arena_strdup(a, ns);
	out->policy.name = arena_strdup(a, name);
	return out;
}

static void add_authz(struct decoder *d, struct authz *policy)
{
	if (d->w->authz.n == WORLD_MAX_POLICIES) {
		yaml_problem(&d->r, d->r.root, "more than %d policies", WORLD_MAX_POLICIES);
		d->w->unreadable = true;
		return;
	}
	if (d->r.problems > 0) {
		policy->policy.broken = arena_strdup(&d->w->arena, d->first_problem);
		policy->policy.n_rules = 0;
		policy->stray = !d->named;
		d->w->broken++;
	}
	object_list_add(&d->w->authz, policy);
}

void decode_unknown_security(struct decoder *d)
{
	add_authz(d, new_authz(d));
}

void decode_authz(struct decoder *d)
{
	static const struct refusal refused[] = {
		{"targetRefs", "not supported by this version: use selector.matchLabels"},
		{"targetRef", "not supported by this version: use selector.matchLabels"},
		{"provider",
			"not supported by this version, as action CUSTOM is not; use ALLOW or DENY"},
		{NULL, NULL}};
	static const char *const known[] = {
		"selector", "action", "rules", "targetRefs", "targetRef", "provider", NULL};
	struct authz *out = new_authz(d);
	const struct yaml_node *spec = yaml_read_map(&d->r, d->r.root, "spec", YAML_OPTIONAL);
	decode_check_top(d);
	yaml_check_keys(&d->r, spec, known);
	refuse(d, spec, refused);
	(void)decode_selector(d, spec, &out->scope.selector);
	decode_action(d, spec, &out->policy);
	decode_rules(d, spec, &out->policy);
	if (out->policy.action == WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__DENY &&
		out->policy.n_rules == 0)
		decode_tell(d, PROBLEM_WARNING, d->r.root,
			"DENY without rules denies nothing; write \"rules: [{}]\" to deny "
			"everything");
	add_authz(d, out);
}
