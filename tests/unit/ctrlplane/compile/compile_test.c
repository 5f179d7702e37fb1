/*
 * States: which policies select a pod, what stands in the way of compiling, hashes that depend on
 * nothing but content, and that a sidecar takes what is compiled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "certs/chain.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"
#include "sidecar/snapshot/state.h"
#include "tests/support/worlds.h"

#define SELF POD("p", "10.0.0.1", "{app: a, tier: x}", "")
#define AP(name, ns, spec)                                                                           \
	"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: " name \
	", namespace: " ns "}\nspec: {" spec "}\n"
#define SELECT(labels) "selector: {matchLabels: {" labels "}}, "
#define ANY "rules: [{}]"

/* The policies among the required resources: "shop/a shop/b!", where ! is a denial. */
static void list_policies(const Weft__Mesh__V1__State *st, char *dst, size_t size)
{
	size_t used = 0;
	dst[0] = '\0';
	for (size_t i = 0; i < st->n_required; i++) {
		const Weft__Mesh__V1__AuthorizationPolicy *p =
			st->required[i]->authorization_policy;
		if (st->required[i]->kind_case !=
			WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY)
			continue;
		used += (size_t)snprintf(dst + used, size - used, "%s%s/%s%s", used > 0 ? " " : "",
			p->namespace_, p->name, p->broken[0] != '\0' ? "!" : "");
		/* a denial has no rules that could match first */
		assert_true(p->broken[0] == '\0' || p->n_rules == 0);
	}
}

static void test_selection(void **state)
{
	static const struct {
		const char *yaml, *policies;
	} rows[] = {
		{"", ""},
		{AP("n", "shop", ANY) AP("o", "other", ANY) AP("m", "weft-system", ANY),
			"shop/n weft-system/m"},
		{AP("a", "shop", SELECT("app: a") ANY) AP("b", "shop", SELECT("app: b") ANY),
			"shop/a"},
		{AP("a", "shop", SELECT("app: a, tier: x") ANY), "shop/a"},
		{AP("a", "shop", SELECT("app: a, tier: y") ANY), ""},
		{AP("a", "shop", SELECT("") ANY), "shop/a"},
		/* in the root namespace a selector means the pods of every namespace */
		{AP("a", "weft-system", SELECT("app: a") ANY)
				AP("b", "weft-system", SELECT("app: b") ANY),
			"weft-system/a"},
		/* broken: what it selects, and no more, where that can be read */
		{AP("a", "shop", SELECT("app: a") "action: NO"), "shop/a!"},
		{AP("a", "shop", SELECT("app: b") "action: NO"), ""},
		{AP("a", "other", "action: NO"), ""},
		{AP("a", "other", SELECT("app: a") "action: NO"), ""},
		{AP("a", "weft-system", "action: NO"), "weft-system/a!"},
		{AP("a", "weft-system", SELECT("app: b") "action: NO"), ""},
		/* its namespace where the selector cannot be read */
		{AP("a", "shop", "selector: {matchLabel: {app: b}}, " ANY), "shop/a!"},
		{AP("a", "shop", SELECT("app: 1") ANY), "shop/a!"},
		{AP("a", "shop", "selector: 7, " ANY), "shop/a!"},
		/* everything where not even the namespace can */
		{AP("a", "Shop", SELECT("app: a") ANY), "weft-system/a!"},
		{AP("a", "[]", ANY), "weft-system/a!"},
		{"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\nspec: {" ANY
		 "}\n",
			"weft-system/line-8!"},
		{AP("A_", "shop", ANY), "shop/line-8!"},
		/* twice: nobody can say which is meant */
		{AP("a", "shop", ANY) AP("a", "shop", ANY), "shop/a shop/a~2!"},
		{AP("a", "shop", ANY) AP("a", "shop", SELECT("app: b") ANY), "shop/a"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char policies[256];
		struct arena a;
		char *yaml = mem_printf("%s%s", SELF, rows[i].yaml);
		struct world *w = worlds_of(yaml);
		arena_init(&a, NULL);
		list_policies(worlds_state(w, "p", &a), policies, sizeof(policies));
		assert_string_equal(policies, rows[i].policies);
		arena_clear(&a);
		world_free(&w);
		mem_free(yaml);
	}
}

static void test_broken_reason(void **state)
{
	struct arena a;
	struct world *w = worlds_of(SELF AP("a", "shop", "action: NO, x: 1"));
	(void)state;
	arena_init(&a, NULL);
	const Weft__Mesh__V1__Resource *r =
		worlds_resource(worlds_state(w, "p", &a), "AuthorizationPolicy/shop/a");
	assert_string_equal(r->authorization_policy->broken, "spec.x: unknown field");
	arena_clear(&a);
	world_free(&w);
}

static void test_refused(void **state)
{
	static const struct {
		const char *yaml, *pod, *said;
		int err;
	} rows[] = {
		{SELF, "q", "Pod shop/q: not found in what was read", ERR_NOTFOUND},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\nspec: {}\n", "p",
			"f.yaml:1: Pod shop/p: has no container named weft-sidecar: it is not meshed",
			ERR_INVAL},
		{POD("p", "10.0.0.1", "{}", ", phase: Failed"), "p",
			"f.yaml:2: Pod shop/p: has finished", ERR_INVAL},
		{POD("p", "null", "{}", ""), "p",
			"f.yaml:2: Pod shop/p: has no address of its own: see its status.podIP, and the "
			"warnings",
			ERR_INVAL},
		{POD("p", "10.0.0.1", "{}", "") POD("q", "10.0.0.1", "{}", ""), "p",
			"f.yaml:2: Pod shop/p: has no address of its own: see its status.podIP, and the "
			"warnings",
			ERR_INVAL},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\nspec: {hostNetwork: "
		 "true, containers: [{name: weft-sidecar}]}\nstatus: {podIP: 10.0.0.1}\n",
			"p",
			"f.yaml:1: Pod shop/p: is on the host's network: its traffic is not captured, "
			"so it cannot be meshed",
			ERR_INVAL},
		{SELF OURS("MeshConfig", "m") "spec: {trustDomain: example.org}\n", "p",
			"no bundle of the mesh's own trust domain, example.org", ERR_INVAL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char err[512];
		struct arena a;
		Weft__Mesh__V1__State *st;
		struct world *w = worlds_of(rows[i].yaml);
		const struct compile_bundle bundle = {STR("cluster.local"), STR("roots")};
		const struct compile_in in = {.ns = STR("shop"),
			.pod = str_from(rows[i].pod),
			.bundles = &bundle,
			.n_bundles = 1};
		arena_init(&a, NULL);
		assert_int_equal(compile_state(w, &in, &a, &st, err, sizeof(err)), rows[i].err);
		assert_string_equal(err, rows[i].said);
		arena_clear(&a);
		world_free(&w);
	}
}

/* A UID that is not there follows from namespace and name, and is a UUID. */
static void test_uid(void **state)
{
	struct arena a;
	struct world *w = worlds_of(SELF);
	(void)state;
	arena_init(&a, NULL);
	const Weft__Mesh__V1__State *st = worlds_state(w, "p", &a);
	assert_string_equal(st->pod_uid, "b833ebaf-c9e8-8715-a705-cc3320a2ab61");
	assert_true(cert_uid_valid(str_from(st->pod_uid)));
	arena_clear(&a);
	world_free(&w);
}

/* Bytes of the state of shop/p; mem_free. */
static uint8_t *pack(const char *yaml, size_t *n)
{
	struct arena a;
	struct world *w = worlds_of(yaml);
	arena_init(&a, NULL);
	const Weft__Mesh__V1__State *st = worlds_state(w, "p", &a);
	*n = weft__mesh__v1__state__get_packed_size(st);
	uint8_t *bytes = mem_alloc(*n);
	weft__mesh__v1__state__pack(st, bytes);
	arena_clear(&a);
	world_free(&w);
	return bytes;
}

#define PODS_AND_MORE                                                                      \
	POD("q", "10.0.0.2", "{app: a}", "")                                               \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: " \
	"{clusterIP: 10.9.0.1, selector: {app: a}, ports: [{port: 80, name: http}]}\n"

/* The order of files and documents means nothing. */
static void test_order(void **state)
{
	size_t n, m;
	uint8_t *x = pack(SELF PODS_AND_MORE AP("a", "shop", ANY) AP("b", "shop", ANY), &n);
	uint8_t *y = pack(AP("b", "shop", ANY) PODS_AND_MORE AP("a", "shop", ANY) SELF, &m);
	(void)state;
	assert_int_equal(n, m);
	assert_memory_equal(x, y, n);
	mem_free(x);
	mem_free(y);
}

static void hash_of(const char *yaml, const char *name, uint8_t out[32])
{
	struct arena a;
	struct world *w = worlds_of(yaml);
	arena_init(&a, NULL);
	const Weft__Mesh__V1__Resource *r = worlds_resource(worlds_state(w, "p", &a), name);
	assert_non_null(r);
	assert_int_equal(r->hash.len, 32);
	memcpy(out, r->hash.data, 32);
	arena_clear(&a);
	world_free(&w);
}

static void test_hashes(void **state)
{
	uint8_t x[32], y[32];
	(void)state;
	hash_of(SELF PODS_AND_MORE, "Service/shop/s", x);
	hash_of(SELF PODS_AND_MORE AP("a", "shop", ANY), "Service/shop/s", y);
	assert_memory_equal(x, y, 32);
	/* an endpoint more is another Service, but the same pod */
	hash_of(SELF PODS_AND_MORE POD("r", "10.0.0.3", "{app: a}", ""), "Service/shop/s", y);
	assert_memory_not_equal(x, y, 32);
	hash_of(SELF PODS_AND_MORE, "Pod/shop/q", x);
	hash_of(SELF PODS_AND_MORE POD("r", "10.0.0.3", "{app: a}", ""), "Pod/shop/q", y);
	assert_memory_equal(x, y, 32);
}

/* With a real identity in it, the reader of the sidecar takes it. */
static void test_taken(void **state)
{
	char err[512];
	struct arena a;
	struct snapshot *snapshot;
	struct world *w =
		worlds_of(SELF PODS_AND_MORE AP("a", "shop", ANY) AP("b", "shop", "x: 1"));
	(void)state;
	arena_init(&a, NULL);
	Weft__Mesh__V1__State *st = worlds_state(w, "p", &a);
	worlds_identify(st, &a, WORLDS_NOW + 3600);
	size_t n;
	void *bytes = state_encode(st, &n);
	const struct state_expect expect = {
		.trust_domain = STR("cluster.local"), .now = WORLDS_NOW};
	if (state_parse("s", str_make(bytes, n), &expect, 0, &snapshot, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	assert_int_equal(snapshot->n_services, 1);
	assert_int_equal(snapshot->n_pods, 2);
	assert_int_equal(snapshot->n_policies, 2);
	snapshot_unref(&snapshot);
	mem_free_secret(bytes, n);
	arena_clear(&a);
	world_free(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_broken_reason),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_uid),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_taken),
	};
	if (crypto_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
