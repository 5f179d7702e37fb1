/*
 * The verdict on a peer, row by row: defaults, ALLOW and DENY, plaintext, foreign trust domains,
 * negations, ports, broken policies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sidecar/policy/authz.h"

#define PLAIN ""
#define OWN "spiffe://cluster.local/ns/shop/sa/cart"
#define OTHER "spiffe://cluster.local/ns/dev/sa/cart"
#define FOREIGN "spiffe://partner.example/ns/shop/sa/cart"
#define NO_NS "spiffe://cluster.local/vm/7"

#define ONE(kind_, text) {.v = (struct string_match[]){{kind_, {text, sizeof(text) - 1}}}, .n = 1}
#define EXACT(text) ONE(MATCH_EXACT, text)
#define PREFIX(text) ONE(MATCH_PREFIX, text)
#define SUFFIX(text) ONE(MATCH_SUFFIX, text)
#define PRESENT ONE(MATCH_PRESENT, "")

/* One policy with one rule of one source. */
struct row {
	enum authz_action action;
	struct authz_source source;
	const char *matches[5]; /* of those below, whom the rule speaks of */
};

static const char *const peers[] = {PLAIN, OWN, OTHER, FOREIGN, NO_NS, NULL};

static bool check(struct authz_policy *policies, size_t n, const char *peer, uint16_t port)
{
	const struct snapshot s = {
		.trust_domain = STR("cluster.local"), .policies = policies, .n_policies = n};
	struct authz_in in = {.port = port};
	struct authz_out out;
	const char *why;
	assert_int_equal(addr_parse(STR("10.0.0.9"), &in.source), 0);
	if (peer[0] != '\0')
		assert_int_equal(spiffe_parse(str_from(peer), false, &in.peer, &why), 0);
	authz_check(&s, &in, &out);
	return out.allowed;
}

static bool listed(const char *const *list, const char *peer)
{
	for (int i = 0; i < 5 && list[i] != NULL; i++)
		if (strcmp(list[i], peer) == 0)
			return true;
	return false;
}

static void run(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct row row = rows[i];
		struct authz_rule rule = {.from = &row.source, .n_from = 1};
		/* What a DENY does not speak of is let in by an ALLOW that names everyone. */
		struct authz_source partner = {.principals = PREFIX("partner.example/")};
		struct authz_rule all[] = {{.n_from = 0}, {.from = &partner, .n_from = 1}};
		struct authz_policy policies[] = {
			{.name = STR("p"), .action = row.action, .rules = &rule, .n_rules = 1},
			{.name = STR("all"), .action = AUTHZ_ALLOW, .rules = all, .n_rules = 2}};
		bool deny = row.action == AUTHZ_DENY;
		for (int k = 0; peers[k] != NULL; k++)
			if (check(policies, deny ? 2 : 1, peers[k], 80) !=
				(listed(row.matches, peers[k]) != deny))
				fail_msg("row %zu: \"%s\"", i, peers[k]);
	}
}

static void test_default(void **state)
{
	(void)state;
	assert_true(check(NULL, 0, PLAIN, 80));
	assert_true(check(NULL, 0, OWN, 80));
	assert_true(check(NULL, 0, NO_NS, 80));
	assert_false(check(NULL, 0, FOREIGN, 80));
}

static void test_allow(void **state)
{
	const struct row rows[] = {
		{AUTHZ_ALLOW, {.principals = PRESENT}, {OWN, OTHER, NO_NS}},
		{AUTHZ_ALLOW, {.principals = EXACT("cluster.local/ns/shop/sa/cart")}, {OWN}},
		{AUTHZ_ALLOW, {.principals = PREFIX("cluster.local/ns/shop/")}, {OWN}},
		{AUTHZ_ALLOW, {.principals = SUFFIX("/sa/cart")}, {OWN, OTHER}},
		{AUTHZ_ALLOW, {.principals = PREFIX("partner.example/")}, {FOREIGN}},
		{AUTHZ_ALLOW, {.principals = PREFIX("partner")}, {NULL}},
		{AUTHZ_ALLOW, {.namespaces = EXACT("shop")}, {OWN}},
		{AUTHZ_ALLOW, {.service_accounts = EXACT("shop/cart")}, {OWN}},
		{AUTHZ_ALLOW, {.not_namespaces = EXACT("dev")}, {OWN}},
		{AUTHZ_ALLOW, {.not_principals = EXACT("cluster.local/ns/dev/sa/cart")},
			{OWN, NO_NS}},
		{AUTHZ_ALLOW, {.not_service_accounts = EXACT("dev/cart")}, {OWN}},
		{AUTHZ_ALLOW,
			{.principals = PREFIX("partner.example/"), .namespaces = EXACT("shop")},
			{FOREIGN}},
		{AUTHZ_ALLOW,
			{.principals = PREFIX("partner.example/"), .not_namespaces = EXACT("shop")},
			{NULL}},
	};
	(void)state;
	run(rows, sizeof(rows) / sizeof(rows[0]));
}

/* "Deny all but X" holds for strangers too, whatever they call themselves at home. */
static void test_deny(void **state)
{
	const struct row rows[] = {
		{AUTHZ_DENY, {.principals = PRESENT}, {OWN, OTHER, FOREIGN, NO_NS}},
		{AUTHZ_DENY, {.principals = SUFFIX("/sa/cart")}, {OWN, OTHER, FOREIGN}},
		{AUTHZ_DENY, {.namespaces = EXACT("shop")}, {OWN, FOREIGN}},
		{AUTHZ_DENY, {.not_namespaces = EXACT("shop")}, {PLAIN, OTHER, FOREIGN, NO_NS}},
		{AUTHZ_DENY, {.not_service_accounts = EXACT("shop/cart")},
			{PLAIN, OTHER, FOREIGN, NO_NS}},
		{AUTHZ_DENY, {.not_principals = PREFIX("cluster.local/")}, {PLAIN, FOREIGN}},
		{AUTHZ_DENY, {.not_principals = EXACT("partner.example/ns/shop/sa/cart")},
			{PLAIN, OWN, OTHER, NO_NS}},
		{AUTHZ_DENY, {.not_principals = PRESENT}, {PLAIN}},
	};
	(void)state;
	run(rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_ports(void **state)
{
	uint16_t eighty[] = {80};
	struct authz_operation on = {.ports = {eighty, 1}}, off = {.not_ports = {eighty, 1}};
	struct authz_rule rule = {.to = &on, .n_to = 1};
	struct authz_policy p = {.name = STR("p"), .rules = &rule, .n_rules = 1};
	(void)state;
	assert_true(check(&p, 1, OWN, 80));
	assert_true(check(&p, 1, PLAIN, 80));
	assert_false(check(&p, 1, OWN, 81));
	assert_false(check(&p, 1, FOREIGN, 80));
	rule.to = &off;
	assert_false(check(&p, 1, OWN, 80));
	assert_true(check(&p, 1, OWN, 81));
}

/* Broken ones deny all, ALLOW without rules allows nobody, DENY without rules denies nothing. */
static void test_empty_and_broken(void **state)
{
	struct authz_policy allow = {.name = STR("p"), .action = AUTHZ_ALLOW},
			    deny = {.name = STR("p"), .action = AUTHZ_DENY};
	(void)state;
	assert_false(check(&allow, 1, OWN, 80));
	assert_false(check(&allow, 1, PLAIN, 80));
	assert_true(check(&deny, 1, OWN, 80));
	allow.broken = deny.broken = STR("x");
	assert_false(check(&allow, 1, OWN, 80));
	assert_false(check(&deny, 1, OWN, 80));
	assert_false(check(&deny, 1, PLAIN, 80));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_deny),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_empty_and_broken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
