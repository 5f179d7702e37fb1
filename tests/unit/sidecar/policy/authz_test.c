/*
 * Authorization by the rules that authz.h promises: the whole truth table of identities against
 * positive and negated lists, DENY before ALLOW, foreign trust domains, ports, addresses, and
 * policies that could not be compiled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sidecar/policy/authz.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

/* Who calls. */
static const char *const callers[] = {
	NULL, /* plaintext */
	"spiffe://cluster.local/ns/shop/sa/web",
	"spiffe://cluster.local/ns/shop/sa/other",
	"spiffe://cluster.local/ns/bank/sa/web",
	"spiffe://cluster.local/odd/path", /* ours, but without namespace and account */
	"spiffe://partner.example/ns/shop/sa/web",
};
enum caller { PLAIN, WEB, OTHER, BANK, ODD, FOREIGN, CALLERS };

static struct authz_in call_by(enum caller who)
{
	struct authz_in in = {.port = 8080};
	const char *why;
	assert_int_equal(addr_parse(STR("10.1.2.3"), &in.source), 0);
	if (callers[who] != NULL)
		assert_int_equal(spiffe_parse(str_from(callers[who]), false, &in.peer, &why), 0);
	return in;
}

static struct string_match match(enum match_kind kind, const char *value)
{
	return (struct string_match){.kind = kind, .value = str_from(value)};
}

/* One policy with one rule with one source. */
struct one {
	struct authz_source source;
	struct authz_operation operation;
	struct authz_rule rule;
	struct authz_policy policy;
	struct snapshot snap;
};

static void one_init(struct one *o, enum authz_action action)
{
	*o = (struct one){0};
	o->rule.from = &o->source;
	o->rule.to = &o->operation;
	o->policy = (struct authz_policy){.ns = STR("shop"),
		.name = STR("p"),
		.action = action,
		.rules = &o->rule,
		.n_rules = 1};
	o->snap.trust_domain = STR("cluster.local");
	o->snap.policies = &o->policy;
	o->snap.n_policies = 1;
}

static bool allowed(const struct one *o, enum caller who)
{
	struct authz_in in = call_by(who);
	struct authz_out out;
	authz_check(&o->snap, &in, &out);
	assert_non_null(out.why);
	return out.allowed;
}

/* -- identities
 * ----------------------------------------------------------------------------------------------------
 */

/* Which list a row fills, and with what; expect: "01.." per caller, whether the source matches. */
struct row {
	const char *field;
	enum match_kind kind;
	const char *value;
	const char *allow; /* matches when the policy allows, */
	const char *deny;  /* and when it denies */
};

static const struct row rows[] = {
	/*                                            plain web other bank odd foreign */
	{"principals", MATCH_EXACT, "cluster.local/ns/shop/sa/web", "010000", "010000"},
	{"principals", MATCH_PREFIX, "cluster.local/ns/shop/", "011000", "011000"},
	{"principals", MATCH_SUFFIX, "/sa/web", "010100", "010101"},
	{"principals", MATCH_PRESENT, "", "011110", "011111"},
	{"principals", MATCH_EXACT, "partner.example/ns/shop/sa/web", "000001", "000001"},
	{"principals", MATCH_PREFIX, "partner.example/", "000001", "000001"},
	/* A prefix that ends within the trust domain names none. */
	{"principals", MATCH_PREFIX, "partner", "000000", "000001"},
	{"principals", MATCH_PREFIX, "", "011110", "011111"},
	{"not_principals", MATCH_EXACT, "cluster.local/ns/shop/sa/web", "001110", "101111"},
	{"not_principals", MATCH_PRESENT, "", "000000", "100000"},
	{"namespaces", MATCH_EXACT, "shop", "011000", "011001"},
	{"namespaces", MATCH_PRESENT, "", "011100", "011101"},
	{"not_namespaces", MATCH_EXACT, "shop", "000100", "100110"},
	{"service_accounts", MATCH_EXACT, "shop/web", "010000", "010001"},
	{"not_service_accounts", MATCH_EXACT, "shop/web", "001100", "101110"},
};

static struct string_matches *field_of(struct authz_source *s, const char *name)
{
	const struct {
		const char *name;
		struct string_matches *list;
	} fields[] = {
		{"principals", &s->principals},
		{"not_principals", &s->not_principals},
		{"namespaces", &s->namespaces},
		{"not_namespaces", &s->not_namespaces},
		{"service_accounts", &s->service_accounts},
		{"not_service_accounts", &s->not_service_accounts},
	};
	for (size_t i = 0; i < LEN(fields); i++)
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].list;
	return NULL;
}

static void check_row(const struct row *r, enum authz_action action)
{
	struct one o;
	struct string_match m = match(r->kind, r->value);
	one_init(&o, action);
	o.rule.n_from = 1;
	struct string_matches *list = field_of(&o.source, r->field);
	list->v = &m;
	list->n = 1;
	const char *expected = action == AUTHZ_ALLOW ? r->allow : r->deny;
	for (int who = 0; who < CALLERS; who++) {
		bool matches = expected[who] == '1';
		/* Who is not denied by the rule falls to the default: our own, or plaintext. */
		bool want = action == AUTHZ_ALLOW ? matches : !matches && who != FOREIGN;
		if (allowed(&o, (enum caller)who) != want)
			fail_msg("%s of %s \"%s\": %s", action == AUTHZ_ALLOW ? "ALLOW" : "DENY",
				r->field, r->value,
				callers[who] != NULL ? callers[who] : "plaintext");
	}
}

static void test_identities(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(rows); i++) {
		check_row(&rows[i], AUTHZ_ALLOW);
		check_row(&rows[i], AUTHZ_DENY);
	}
}

/* All lists of a source must match, one value of each. */
static void test_lists_are_joined(void **state)
{
	struct one o;
	struct string_match principals[] = {
		match(MATCH_SUFFIX, "/sa/web"), match(MATCH_EXACT, "x")};
	struct string_match namespaces[] = {match(MATCH_EXACT, "bank"), match(MATCH_EXACT, "none")};
	(void)state;
	one_init(&o, AUTHZ_ALLOW);
	o.rule.n_from = 1;
	o.source.principals = (struct string_matches){principals, 2};
	assert_true(allowed(&o, WEB) && allowed(&o, BANK));
	o.source.namespaces = (struct string_matches){namespaces, 2};
	assert_false(allowed(&o, WEB));
	assert_true(allowed(&o, BANK));
	o.source.not_namespaces = (struct string_matches){namespaces, 1};
	assert_false(allowed(&o, BANK));
}

/* -- rules, ports, addresses
 * ------------------------------------------------------------------------------------------- */

/* A rule without source and operation is for everybody of our own, plaintext included where the
 * mode lets it so far; a foreign identity is never meant. */
static void test_empty_rules(void **state)
{
	struct one o;
	(void)state;
	one_init(&o, AUTHZ_ALLOW);
	assert_true(allowed(&o, WEB) && allowed(&o, PLAIN));
	assert_false(allowed(&o, FOREIGN));
	o.policy.n_rules = 0; /* allows nothing */
	for (int who = 0; who < CALLERS; who++)
		assert_false(allowed(&o, (enum caller)who));
	one_init(&o, AUTHZ_DENY);
	for (int who = 0; who < CALLERS; who++)
		assert_false(allowed(&o, (enum caller)who));
	o.policy.n_rules = 0; /* denies nothing */
	assert_true(allowed(&o, WEB) && allowed(&o, PLAIN));
}

static void test_ports(void **state)
{
	static uint16_t some[] = {80, 8080}, others[] = {9090};
	struct one o;
	(void)state;
	one_init(&o, AUTHZ_DENY);
	o.rule.n_to = 1;
	o.operation.ports = (struct port_list){some, 2};
	assert_false(allowed(&o, WEB));
	o.operation.ports = (struct port_list){others, 1};
	assert_true(allowed(&o, WEB));
	o.operation.ports = (struct port_list){0};
	o.operation.not_ports = (struct port_list){some, 2};
	assert_true(allowed(&o, WEB));
	o.operation.not_ports = (struct port_list){others, 1};
	assert_false(allowed(&o, WEB));
	o.operation.ports = (struct port_list){some, 2};
	assert_false(allowed(&o, WEB));
	o.operation.not_ports = (struct port_list){some, 1};
	assert_false(allowed(&o, WEB));
}

static void test_addresses(void **state)
{
	static const struct {
		const char *block, *source;
		bool inside;
	} table[] = {
		{"10.1.2.0/24", "10.1.2.3", true},
		{"10.1.3.0/24", "10.1.2.3", false},
		{"10.1.2.3", "10.1.2.3", true},
		{"0.0.0.0/0", "10.1.2.3", true},
		{"0.0.0.0/0", "fd00::1", false},
		{"fd00::/8", "fd00::1", true},
		{"fd00::/8", "fe00::1", false},
		{"::/0", "fd00::1", true},
		{"::/0", "10.1.2.3", false},
		{"10.1.2.0/24", "::ffff:10.1.2.3", true},
	};
	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		struct one o;
		struct cidr block;
		struct authz_in in = call_by(WEB);
		struct authz_out out;
		one_init(&o, AUTHZ_DENY);
		o.rule.n_from = 1;
		assert_int_equal(cidr_parse(str_from(table[i].block), &block), 0);
		assert_int_equal(addr_parse(str_from(table[i].source), &in.source), 0);
		o.source.ip_blocks = (struct cidrs){&block, 1};
		authz_check(&o.snap, &in, &out);
		assert_int_equal(!out.allowed, table[i].inside);
		o.source.ip_blocks = (struct cidrs){0};
		o.source.not_ip_blocks = (struct cidrs){&block, 1};
		authz_check(&o.snap, &in, &out);
		assert_int_equal(out.allowed, table[i].inside);
	}
}

/* -- order and failure
 * -------------------------------------------------------------------------------------------------
 */

static void test_deny_comes_before_allow(void **state)
{
	struct one allow, deny;
	struct authz_in in = call_by(WEB);
	struct authz_out out;
	char text[64];
	(void)state;
	one_init(&allow, AUTHZ_ALLOW);
	one_init(&deny, AUTHZ_DENY);
	deny.policy.name = STR("no");
	for (int first = 0; first < 2; first++) {
		struct authz_policy both[] = {
			first ? deny.policy : allow.policy, first ? allow.policy : deny.policy};
		struct snapshot snap = allow.snap;
		snap.policies = both;
		snap.n_policies = 2;
		authz_check(&snap, &in, &out);
		assert_false(out.allowed);
		assert_string_equal(authz_rule_text(&out, text, sizeof(text)), "shop/no rule 0");
	}
}

static void test_the_second_rule_is_named(void **state)
{
	struct one o;
	struct authz_source never = {0};
	struct string_match m = match(MATCH_EXACT, "nobody");
	struct authz_in in = call_by(WEB);
	struct authz_out out;
	char text[64];
	(void)state;
	one_init(&o, AUTHZ_ALLOW);
	never.principals = (struct string_matches){&m, 1};
	struct authz_rule two[] = {{.from = &never, .n_from = 1}, {0}};
	o.policy.rules = two;
	o.policy.n_rules = 2;
	authz_check(&o.snap, &in, &out);
	assert_true(out.allowed);
	assert_string_equal(authz_rule_text(&out, text, sizeof(text)), "shop/p rule 1");
	o.policy.n_rules = 1;
	authz_check(&o.snap, &in, &out);
	assert_false(out.allowed);
	assert_string_equal(out.why, "no ALLOW rule matches");
	assert_string_equal(authz_rule_text(&out, text, sizeof(text)), "default");
}

static void test_broken_policies_deny(void **state)
{
	struct one o;
	char text[64];
	(void)state;
	for (int action = 0; action < 2; action++) {
		one_init(&o, action == 0 ? AUTHZ_ALLOW : AUTHZ_DENY);
		o.policy.n_rules = 0;
		o.policy.broken = STR("spec.rules[0]: unknown field");
		for (int who = 0; who < CALLERS; who++) {
			struct authz_in in = call_by((enum caller)who);
			struct authz_out out;
			authz_check(&o.snap, &in, &out);
			assert_false(out.allowed);
			assert_string_equal(authz_rule_text(&out, text, sizeof(text)), "shop/p");
		}
	}
}

static void test_without_policies(void **state)
{
	struct one o;
	(void)state;
	one_init(&o, AUTHZ_ALLOW);
	o.snap.n_policies = 0;
	assert_true(allowed(&o, PLAIN));
	assert_true(allowed(&o, WEB) && allowed(&o, BANK) && allowed(&o, ODD));
	assert_false(allowed(&o, FOREIGN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identities),
		cmocka_unit_test(test_lists_are_joined),
		cmocka_unit_test(test_empty_rules),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_deny_comes_before_allow),
		cmocka_unit_test(test_the_second_rule_is_named),
		cmocka_unit_test(test_broken_policies_deny),
		cmocka_unit_test(test_without_policies),
	};
	return cmocka_run_group_tests_name("authz", tests, NULL, NULL);
}
