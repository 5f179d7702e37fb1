/*
 * Every message about a security object that does not validate: line, object, field, remedy. A
 * row is the spec of one policy, whose first line is the fifth of the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "tests/support/worlds.h"

#define NO_HTTP                                                                                 \
	"not supported by this version: rules match by identity, address and port; without it " \
	"the rule would match more, so write one that needs no HTTP"
#define NO_JWT                                                                                     \
	"not supported by this version: it does not check tokens; name principals, namespaces or " \
	"service accounts"
#define EMPTY "an empty list: leave the field out, or name a value"
#define NO_VALUE "has no value: leave the field out, or give it one"

struct row {
	const char *spec;
	uint32_t line;
	const char *said; /* field and text */
};

static void run_row(const char *kind, const struct row *row)
{
	char *yaml = mem_printf("apiVersion: mesh.weft.dev/v1alpha1\nkind: %s\n"
				"metadata: {name: p, namespace: shop}\nspec:\n%s",
		kind, row->spec);
	char *said = mem_printf("f.yaml:%u: %s shop/p: %s\n", row->line, kind, row->said);
	struct world *w = worlds_of(yaml);
	struct world_counts n;
	worlds_expect(w, row->said[0] != '\0' ? said : "");
	world_count(w, &n);
	/* It is there all the same, as a denial. */
	assert_int_equal(n.policies + n.peer_auths, 1);
	assert_int_equal(n.broken, row->said[0] != '\0');
	assert_true(world_can_fail_closed(w));
	world_free(&w);
	mem_free(said);
	mem_free(yaml);
}

static void test_authz(void **state)
{
	static const struct row rows[] = {
		{"  rules: [{}]\n", 0, ""},
		{"  selctor: {matchLabels: {app: web}}\n", 5,
			"spec.selctor: unknown field (did you mean selector?)"},
		{"  selector: {matchLables: {app: web}}\n", 5,
			"spec.selector.matchLables: unknown field (did you mean matchLabels?)"},
		{"  selector: {matchExpressions: []}\n", 5,
			"spec.selector.matchExpressions: unknown field"},
		{"  selector: web\n", 5, "spec.selector: expected a map, found \"web\""},
		{"  selector:\n  rules: [{}]\n", 5, "spec.selector: " NO_VALUE},
		{"  selector: {matchLabels: {app: 1}}\n", 5,
			"spec.selector.matchLabels.app: expected a string, found 1; put it in quotes: "
			"\"1\""},
		{"  selector: {matchLabels: {app: }}\n", 5,
			"spec.selector.matchLabels.app: has no value"},
		{"  selector: {matchLabels: {app: \"web*\"}}\n", 5,
			"spec.selector.matchLabels.app: labels are compared whole: '*' is no wildcard "
			"here"},
		{"  selector: {matchLabels: {app: \"a b\"}}\n", 5,
			"spec.selector.matchLabels.app: no pod can have this value: letters, digits, "
			"'-', '_' and '.', at most 63"},
		{"  selector: {matchLabels: {\"a b\": x}}\n", 5,
			"spec.selector.matchLabels.a b: no pod can have a label of this name"},
		{"  action: AUDIT\n", 5,
			"spec.action: action AUDIT is not supported by this version; use ALLOW or "
			"DENY"},
		{"  action: CUSTOM\n", 5,
			"spec.action: action CUSTOM is not supported by this version; use ALLOW or "
			"DENY"},
		{"  action: deny\n  rules: [{}]\n", 5,
			"spec.action: expected ALLOW or DENY, found \"deny\""},
		{"  targetRefs: [{kind: Service, name: web}]\n", 5,
			"spec.targetRefs: not supported by this version: use selector.matchLabels"},
		{"  provider: {name: x}\n", 5,
			"spec.provider: not supported by this version, as action CUSTOM is not; use "
			"ALLOW or DENY"},
		{"  rules: {from: []}\n", 5, "spec.rules: expected a list, found a map"},
		{"  rules: [x]\n", 5, "spec.rules[0]: expected a map, found \"x\""},
		{"  rules:\n  -\n", 6, "spec.rules[0]: expected a map, found nothing"},
		{"  rules:\n  - form:\n    - source: {namespaces: [a]}\n", 6,
			"spec.rules[0].form: unknown field (did you mean from?)"},
		{"  rules:\n  - when: [{key: source.ip, values: [x]}]\n", 6,
			"spec.rules[0].when: not supported by this version: use from and to"},
		{"  rules:\n  - from: []\n", 6, "spec.rules[0].from: " EMPTY},
		{"  rules:\n  - from:\n", 6, "spec.rules[0].from: " NO_VALUE},
		{"  rules:\n  - to: []\n", 6, "spec.rules[0].to: " EMPTY},
		{"  rules:\n  - from:\n    - {}\n", 7,
			"spec.rules[0].from[0].source: required: a map"},
		{"  rules:\n  - from:\n    - source: {}\n", 7,
			"spec.rules[0].from[0].source: empty: name at least one field"},
		{"  rules:\n  - to:\n    - operation: {}\n", 7,
			"spec.rules[0].to[0].operation: empty: name at least one field"},
		{"  rules:\n  - from:\n    - namespaces: [a]\n      source: {namespaces: [b]}\n", 7,
			"spec.rules[0].from[0].namespaces: unknown field"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run_row("AuthorizationPolicy", &rows[i]);
}

/* One field of one source or operation each. */
static void test_fields(void **state)
{
	static const struct {
		const char *of, *field, *said; /* said: behind the path of the field */
	} rows[] = {
		{"source",
			"principals: [\"cluster.local/ns/a/sa/b\", \"cluster.local/*\", \"*/sa/b\", \"*\"]",
			NULL},
		{"source", "principals: []", ": " EMPTY},
		{"source", "principals:", ": " NO_VALUE},
		{"source", "principals: td/ns/a/sa/b", ": expected a list, found \"td/ns/a/sa/b\""},
		{"source", "principals: [1]",
			"[0]: expected a string, found 1; put it in quotes: \"1\""},
		{"source", "principals: [\"\"]", "[0]: an empty string matches nobody"},
		{"source", "principals: [\"a*b\"]",
			"[0]: '*' may only be the first or the last character"},
		{"source", "principals: [\"*a*\"]",
			"[0]: '*' may only be the first or the last character"},
		{"source", "principals: [\"**\"]",
			"[0]: '*' may only be the first or the last character"},
		{"source", "principals: [\"spiffe://td/ns/a/sa/b\"]",
			"[0]: write it without spiffe://"},
		{"source", "principals: [\"spiffe://*\"]", "[0]: write it without spiffe://"},
		{"source", "principals: [web]",
			"[0]: not a principal, \"TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT\": the ID "
			"has no path"},
		{"source", "notPrincipals: [\"TD/ns/a/sa/b\"]",
			"[0]: not a principal, \"TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT\": the "
			"trust domain has a character other than a-z, 0-9, '.', '-' and '_'"},
		{"source", "namespaces: [a, \"b-*\", \"*-c\", \"*\"]", NULL},
		{"source", "namespaces: [A]",
			"[0]: not a namespace: lower-case letters, digits and '-'"},
		{"source", "notNamespaces: [\"a/b\"]",
			"[0]: not a namespace: lower-case letters, digits and '-'"},
		{"source", "serviceAccounts: [a, \"b/c\", \"d-*\", \"*/e\", \"*\"]", NULL},
		{"source", "serviceAccounts: [\"*-batch\"]",
			"[0]: '*' stands for namespaces too: write \"NAMESPACE/ACCOUNT\", or "
			"\"*/ACCOUNT\" for one account of every namespace"},
		{"source", "notServiceAccounts: [\"a/b/c\"]",
			"[0]: not a service account: \"NAMESPACE/ACCOUNT\" or \"ACCOUNT\""},
		{"source", "ipBlocks: [10.0.0.0/8, 10.1.2.3, \"fd00::/8\"]", NULL},
		{"source", "ipBlocks: [10.0.0.1/8]",
			"[0]: \"10.0.0.1/8\" has bits behind its prefix: write 10.0.0.0/8 for the "
			"block, or the address alone"},
		{"source", "notIpBlocks: [\"fd00::1/7\"]",
			"[0]: \"fd00::1/7\" has bits behind its prefix: write fc00::/7 for the block, "
			"or the address alone"},
		{"source", "ipBlocks: [10.0.0.0/33]",
			"[0]: expected an address or block like \"10.0.0.0/8\", found "
			"\"10.0.0.0/33\""},
		{"source", "ipBlocks: [example.org]",
			"[0]: expected an address or block like \"10.0.0.0/8\", found "
			"\"example.org\""},
		{"source", "ipBlocks: [10.5]",
			"[0]: expected a string, found 10.5; put it in quotes: \"10.5\""},
		{"source", "remoteIpBlocks: [10.0.0.0/8]",
			": not supported by this version: use ipBlocks, the address of the connection"},
		{"source", "notRemoteIpBlocks: [10.0.0.0/8]",
			": not supported by this version: use notIpBlocks, the address of the "
			"connection"},
		{"source", "requestPrincipals: [x]", ": " NO_JWT},
		{"source", "notRequestPrincipals: [x]", ": " NO_JWT},
		{"source", "trustDomains: [x]",
			": not supported by this version: use principals, \"TRUST-DOMAIN/*\""},
		{"source", "notTrustDomains: [x]",
			": not supported by this version: use notPrincipals, \"TRUST-DOMAIN/*\""},
		{"source", "principal: [x]", ": unknown field (did you mean principals?)"},
		{"source", "ipblocks: [x]", ": unknown field (did you mean ipBlocks?)"},
		{"operation", "ports: [\"80\", 443]", NULL},
		{"operation", "ports: [\"http\"]",
			"[0]: expected an integer in 1..65535, found \"http\""},
		{"operation", "ports: [\"080\"]",
			"[0]: expected an integer in 1..65535, found \"080\""},
		{"operation", "notPorts: [0]", "[0]: expected an integer in 1..65535, found 0"},
		{"operation", "notPorts: [\"65536\"]",
			"[0]: expected an integer in 1..65535, found \"65536\""},
		{"operation", "ports: 80", ": expected a list, found 80"},
		{"operation", "port: [80]", ": unknown field (did you mean ports?)"},
		{"operation", "methods: [GET]", ": " NO_HTTP},
		{"operation", "notMethods: [GET]", ": " NO_HTTP},
		{"operation", "paths: [/x]", ": " NO_HTTP},
		{"operation", "notPaths: [/x]", ": " NO_HTTP},
		{"operation", "hosts: [x]", ": " NO_HTTP},
		{"operation", "notHosts: [x]", ": " NO_HTTP},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *list = strcmp(rows[i].of, "source") == 0 ? "from" : "to";
		int key = (int)strcspn(rows[i].field, ":");
		char *spec = mem_printf("  rules:\n  - %s:\n    - %s:\n        %s\n", list,
			rows[i].of, rows[i].field);
		char *said = rows[i].said == NULL
			? mem_strdup("")
			: mem_printf("spec.rules[0].%s[0].%s.%.*s%s", list, rows[i].of, key,
				  rows[i].field, rows[i].said);
		run_row("AuthorizationPolicy", &(struct row){spec, 8, said});
		mem_free(spec);
		mem_free(said);
	}
}

static void test_peer_auth(void **state)
{
	static const struct row rows[] = {
		{"  mtls: {mode: STRICT}\n", 0, ""},
		{"  mtls: {mode: UNSET}\n", 0, ""},
		{"  selector: {matchLabels: {app: a}}\n  portLevelMtls: {80: {mode: DISABLE}}\n", 0,
			""},
		{"  mtls: {mode: strict}\n", 5,
			"spec.mtls.mode: expected UNSET, STRICT, PERMISSIVE or DISABLE, found "
			"\"strict\""},
		{"  mtls: STRICT\n", 5, "spec.mtls: expected a map, found \"STRICT\""},
		{"  mtls:\n    moed: STRICT\n", 6,
			"spec.mtls.moed: unknown field (did you mean mode?)"},
		{"  mtl: {mode: STRICT}\n", 5, "spec.mtl: unknown field (did you mean mtls?)"},
		{"  portLevelMtls: {80: {mode: DISABLE}}\n", 5,
			"spec.portLevelMtls: needs a selector: ports are those of a workload, not of a "
			"namespace"},
		{"  selector: {matchLabels: {app: a}}\n  portLevelMtls:\n    http: {mode: STRICT}\n",
			7, "spec.portLevelMtls.http: the key must be a container port, 1..65535"},
		{"  selector: {matchLabels: {app: a}}\n  portLevelMtls:\n    0: {mode: STRICT}\n",
			7, "spec.portLevelMtls.0: the key must be a container port, 1..65535"},
		{"  selector: {matchLabels: {app: a}}\n  portLevelMtls:\n    80: STRICT\n", 7,
			"spec.portLevelMtls.80: expected a map, found \"STRICT\""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run_row("PeerAuthentication", &rows[i]);
}

/* A statement, even if an odd one. */
static void test_empty_deny(void **state)
{
	(void)state;
	struct world *w = worlds_of(OURS("AuthorizationPolicy", "p") "spec: {action: DENY}\n");
	worlds_expect(w,
		"f.yaml:2: warning: AuthorizationPolicy default/p: DENY without rules denies "
		"nothing; write \"rules: [{}]\" to deny everything\n");
	world_free(&w);
}

/* One run shows all that is wrong. */
static void test_all_at_once(void **state)
{
	(void)state;
	struct world *w = worlds_of(OURS("AuthorizationPolicy",
		"p") "spec:\n  action: NO\n  rules:\n  - from: [{source: {namespace: [a]}}]\n"
		     "    to: [{operation: {ports: [x, y]}}]\nextra: 1\n");
	worlds_expect(w,
		"f.yaml:10: AuthorizationPolicy default/p: extra: unknown field\n"
		"f.yaml:6: AuthorizationPolicy default/p: spec.action: expected ALLOW or DENY, found "
		"\"NO\"\n"
		"f.yaml:8: AuthorizationPolicy default/p: spec.rules[0].from[0].source.namespace: "
		"unknown field (did you mean namespaces?)\n"
		"f.yaml:9: AuthorizationPolicy default/p: spec.rules[0].to[0].operation.ports[0]: "
		"expected an integer in 1..65535, found \"x\"\n"
		"f.yaml:9: AuthorizationPolicy default/p: spec.rules[0].to[0].operation.ports[1]: "
		"expected an integer in 1..65535, found \"y\"\n");
	world_free(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_authz),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_peer_auth),
		cmocka_unit_test(test_empty_deny),
		cmocka_unit_test(test_all_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
