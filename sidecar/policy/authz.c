/*
 * Evaluates authorization policies against the facts of a call. Pure: no clock, no I/O, no log.
 * Called by both flows once per connection and again when policy changes.
 */
#include "sidecar/policy/authz.h"

#include <stdio.h>

static bool match_one(const struct string_match *m, struct str value)
{
	switch (m->kind) {
	case MATCH_EXACT:
		return str_eq(m->value, value);
	case MATCH_PREFIX:
		return str_starts(value, m->value);
	case MATCH_SUFFIX:
		return str_ends(value, m->value);
	case MATCH_PRESENT:
		return value.n > 0;
	}
	return false;
}

static bool match_any(const struct string_matches *list, struct str value)
{
	for (size_t i = 0; i < list->n; i++)
		if (match_one(&list->v[i], value))
			return true;
	return false;
}

/*
 * An identity attribute: absent (plaintext, or an ID without that part) it matches no positive
 * list, and no negated one either when the policy allows; a negated list of a DENY does match what
 * has no identity, for "deny all but X" must hold for strangers too. A stranger is also who comes
 * from another trust domain (ours is false): its namespaces are none of ours.
 */
static bool match_identity(const struct string_matches *is, const struct string_matches *is_not,
	struct str value, enum authz_action action, bool ours)
{
	if (is->n > 0 && (value.n == 0 || !match_any(is, value)))
		return false;
	if (is_not->n == 0)
		return true;
	if (value.n == 0 || (!ours && action == AUTHZ_DENY))
		return action == AUTHZ_DENY;
	return !match_any(is_not, value);
}

static bool cidrs_contain(const struct cidrs *list, const struct addr *a)
{
	for (size_t i = 0; i < list->n; i++)
		if (cidr_contains(&list->v[i], a))
			return true;
	return false;
}

static bool ports_contain(const struct port_list *list, uint16_t port)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i] == port)
			return true;
	return false;
}

/* The principal as policies write it: the ID without its scheme. */
static struct str principal_of(const struct spiffe_id *id)
{
	static const size_t scheme = sizeof("spiffe://") - 1;
	if (id->id.n <= scheme)
		return STR_NULL;
	return str_sub(id->id, scheme, id->id.n - scheme);
}

/*
 * A foreign identity is let in only by a rule that names it: a principal that spells its trust
 * domain out. "*", suffixes, namespaces and the absence of a source name nobody.
 */
static bool names_foreign(const struct string_matches *principals, struct str principal)
{
	for (size_t i = 0; i < principals->n; i++) {
		const struct string_match *m = &principals->v[i];
		bool spelt = m->kind == MATCH_EXACT ||
			(m->kind == MATCH_PREFIX && str_find(m->value, '/') > 0);
		if (spelt && match_one(m, principal))
			return true;
	}
	return false;
}

static bool match_source(const struct authz_source *src, const struct authz_in *in,
	enum authz_action action, bool foreign)
{
	if (foreign && action == AUTHZ_ALLOW &&
		!names_foreign(&src->principals, principal_of(&in->peer)))
		return false;
	char account[SPIFFE_ID_MAX];
	struct str service_account = STR_NULL;
	if (in->peer.ns.n > 0 && in->peer.sa.n > 0 &&
		in->peer.ns.n + in->peer.sa.n + 2 < sizeof(account)) {
		int n = snprintf(account, sizeof(account), "%.*s/%.*s", STR_ARG(in->peer.ns),
			STR_ARG(in->peer.sa));
		service_account = str_make(account, (size_t)n);
	}
	if (!match_identity(&src->principals, &src->not_principals, principal_of(&in->peer), action,
		    true))
		return false;
	if (!match_identity(&src->namespaces, &src->not_namespaces, in->peer.ns, action, !foreign))
		return false;
	if (!match_identity(&src->service_accounts, &src->not_service_accounts, service_account,
		    action, !foreign))
		return false;
	if (src->ip_blocks.n > 0 && !cidrs_contain(&src->ip_blocks, &in->source))
		return false;
	return src->not_ip_blocks.n == 0 || !cidrs_contain(&src->not_ip_blocks, &in->source);
}

static bool match_operation(const struct authz_operation *op, const struct authz_in *in)
{
	if (op->ports.n > 0 && !ports_contain(&op->ports, in->port))
		return false;
	return op->not_ports.n == 0 || !ports_contain(&op->not_ports, in->port);
}

static bool match_rule(const struct authz_rule *rule, const struct authz_in *in,
	enum authz_action action, bool foreign)
{
	bool from = rule->n_from == 0 && !(foreign && action == AUTHZ_ALLOW), to = rule->n_to == 0;
	for (size_t i = 0; i < rule->n_from && !from; i++)
		from = match_source(&rule->from[i], in, action, foreign);
	for (size_t i = 0; i < rule->n_to && !to; i++)
		to = match_operation(&rule->to[i], in);
	return from && to;
}

/* Index of the first rule of the policy that matches, or -1. */
static int policy_match(const struct snapshot *s, const struct authz_policy *p,
	const struct authz_in *in)
{
	bool foreign = in->peer.id.n > 0 && !str_eq(in->peer.trust_domain, s->trust_domain);
	for (size_t i = 0; i < p->n_rules; i++)
		if (match_rule(&p->rules[i], in, p->action, foreign))
			return (int)i;
	return -1;
}

static void decide(struct authz_out *out, bool allowed, const struct authz_policy *p, int rule,
	const char *why)
{
	*out = (struct authz_out){.allowed = allowed, .rule = rule, .why = why};
	if (p != NULL) {
		out->ns = p->ns;
		out->policy = p->name;
	}
}

/* True where a policy denies; out is filled then. */
static bool check_deny(const struct snapshot *s, const struct authz_in *in, struct authz_out *out)
{
	for (size_t i = 0; i < s->n_policies; i++) {
		const struct authz_policy *p = &s->policies[i];
		if (p->broken.n > 0) {
			decide(out, false, p, -1,
				"the policy could not be compiled and fails closed");
			return true;
		}
		if (p->action != AUTHZ_DENY)
			continue;
		int rule = policy_match(s, p, in);
		if (rule >= 0) {
			decide(out, false, p, rule, "denied by rule");
			return true;
		}
	}
	return false;
}

/* No ALLOW policy selects this workload: any identity of our own trust domain. */
static void check_default(const struct snapshot *s, const struct authz_in *in,
	struct authz_out *out)
{
	if (in->peer.id.n == 0)
		decide(out, true, NULL, -1, "no policy; plaintext where the mTLS mode admits it");
	else if (str_eq(in->peer.trust_domain, s->trust_domain))
		decide(out, true, NULL, -1, "no policy; own trust domain");
	else
		decide(out, false, NULL, -1,
			"an identity of a foreign trust domain is allowed only by a rule that names it");
}

void authz_check(const struct snapshot *s, const struct authz_in *in, struct authz_out *out)
{
	if (check_deny(s, in, out))
		return;
	bool any_allow = false;
	for (size_t i = 0; i < s->n_policies; i++) {
		const struct authz_policy *p = &s->policies[i];
		if (p->action != AUTHZ_ALLOW)
			continue;
		any_allow = true;
		int rule = policy_match(s, p, in);
		if (rule >= 0) {
			decide(out, true, p, rule, "allowed by rule");
			return;
		}
	}
	if (any_allow)
		decide(out, false, NULL, -1, "no ALLOW rule matches");
	else
		check_default(s, in, out);
}

const char *authz_rule_text(const struct authz_out *out, char *dst, size_t size)
{
	if (out->policy.n == 0)
		snprintf(dst, size, "%s", "default");
	else if (out->rule < 0)
		snprintf(dst, size, "%.*s/%.*s", STR_ARG(out->ns), STR_ARG(out->policy));
	else
		snprintf(dst, size, "%.*s/%.*s rule %d", STR_ARG(out->ns), STR_ARG(out->policy),
			out->rule);
	return dst;
}
