/*
 * Finding and compiling on demand: by resource name, by address, by host name; what a pod must
 * have; who a pod is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrlplane/compile/catalog_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "tests/support/worlds.h"

#define SVC(ns, name, spec)                                                             \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: " ns \
	"}\nspec: {selector: {app: a}, " spec "}\n"
#define POLICY(ns, name, spec)                                                 \
	"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\n" \
	"metadata: {name: " name ", namespace: " ns "}\nspec: {" spec "}\n"
#define UNIX_POD(name, ip, uid)                                         \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name        \
	", namespace: shop, annotations: {mesh.weft.dev/unix-uid: " uid \
	"}}\nspec: {containers: [{name: weft-sidecar}]}\nstatus: {podIP: " ip "}\n"

#define WORLD                                                                            \
	SVC("shop", "web", "clusterIPs: [10.9.0.1, \"fd00:9::1\"], ports: [{port: 80}]") \
	SVC("shop", "db", "clusterIP: None, ports: [{port: 80}]")                        \
	SVC("svc", "web", "clusterIP: 10.9.0.2, ports: [{port: 80}]")                    \
	POD("web-0", "10.0.0.1", "{app: a}", "")                                         \
	POD("web-1", "10.0.0.2", "{app: b}", "")                                         \
	POD("old", "10.0.0.3", "{app: a}", ", phase: Failed")                            \
	POD("twin-0", "10.0.0.4", "{app: c}", "")                                        \
	POD("twin-1", "10.0.0.4", "{app: c}", "")                                        \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: plain, namespace: shop}\n"     \
	"spec: {containers: [{name: app}]}\nstatus: {podIP: 10.0.0.5}\n"                 \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: host, namespace: shop}\n"      \
	"spec: {hostNetwork: true, containers: [{name: weft-sidecar}]}\n"                \
	"status: {podIP: 10.0.0.6}\n" POLICY("shop", "all", "rules: [{}]")               \
		POLICY("shop", "a", "selector: {matchLabels: {app: a}}, rules: [{}]")    \
			POLICY("shop", "all", "action: DENY")                            \
				POLICY("weft-system", "mesh", "action: DENY, rules: []") \
					POLICY("other", "all", "rules: [{}]")

static const struct compile_bundle bundles[] = {
	{{"cluster.local", 13}, {"roots", 5}}, {{"b.example", 9}, {"other", 5}}};

static struct catalog *make(const char *yaml)
{
	static const struct str revoked[] = {{"0a", 2}, {"01", 2}};
	return catalog_new(worlds_of(yaml), bundles, 2, revoked, 2);
}

static void expect_name(const struct compiled *r, const char *name)
{
	if (name == NULL) {
		assert_null(r);
		return;
	}
	assert_non_null(r);
	assert_int_equal(r->name.n, strlen(name));
	assert_memory_equal(r->name.p, name, r->name.n);
}

/* What is packed is what was compiled, and is what compile_state puts into a file. */
static void expect_whole(const struct compiled *r)
{
	assert_int_equal(r->hash.n, SHA256_SIZE);
	assert_memory_equal(r->hash.p, r->resource->hash.data, SHA256_SIZE);
	Weft__Mesh__V1__Resource *again =
		weft__mesh__v1__resource__unpack(NULL, r->packed.n, (const uint8_t *)r->packed.p);
	assert_non_null(again);
	assert_string_equal(again->name, r->resource->name);
	assert_int_equal(again->kind_case, r->resource->kind_case);
	weft__mesh__v1__resource__free_unpacked(again, NULL);
}

static void test_resources(void **state)
{
	static const char *const there[] = {"Mesh", "Revocations", "TrustBundle/cluster.local",
		"TrustBundle/b.example", "Service/shop/web", "Service/shop/db", "Pod/shop/web-0",
		"Pod/shop/plain", "Workload/shop/web-0", "AuthorizationPolicy/shop/all",
		"AuthorizationPolicy/shop/all~2", "AuthorizationPolicy/weft-system/mesh"};
	static const char *const none[] = {"", "/", "//", "mesh", "Mesh/", "Mesh/a", "TrustBundle",
		"TrustBundle/", "TrustBundle/c", "Service/shop", "Service/shop/",
		"Service/shop/web/", "Service//web", "Service/shop/web-0", "Pod/shop/web",
		"Pod/shop/old", "Pod/shop/host", "Pod/shop/twin-0", "Workload/shop/plain",
		"Workload/shop/twin-0", "Workload/shop/old", "Endpoints/shop/web",
		"service/shop/web"};
	struct catalog *c = make(WORLD);
	(void)state;
	for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
		const struct compiled *r = catalog_resource(c, str_from(there[i]));
		expect_name(r, there[i]);
		expect_whole(r);
		assert_ptr_equal(catalog_resource(c, str_from(there[i])), r);
	}
	assert_int_equal(map_count(c->compiled), sizeof(there) / sizeof(there[0]));
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_null(catalog_resource(c, str_from(none[i])));
	assert_int_equal(map_count(c->compiled), sizeof(there) / sizeof(there[0]));
	const struct compiled *denial = catalog_resource(c, STR("AuthorizationPolicy/shop/all~2"));
	assert_true(*denial->resource->authorization_policy->broken != '\0');
	catalog_unref(&c);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *ip, *name;
	} rows[] = {
		{"10.9.0.1", "Service/shop/web"},
		{"fd00:9::1", "Service/shop/web"},
		{"10.0.0.1", "Pod/shop/web-0"},
		{"10.0.0.1:80", "Pod/shop/web-0"},
		{"10.0.0.5", "Pod/shop/plain"},
		{"10.0.0.3", NULL},
		{"10.0.0.4", NULL},
		{"10.0.0.6", NULL},
		{"10.0.0.7", NULL},
	};
	struct catalog *c = make(WORLD);
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr a;
		assert_int_equal(addr_parse(str_from(rows[i].ip), &a), 0);
		expect_name(catalog_by_address(c, &a), rows[i].name);
		assert_int_equal(catalog_contested(c, &a), strcmp(rows[i].ip, "10.0.0.4") == 0);
	}
	catalog_unref(&c);
}

/* An object that is refused has no address, but its addresses are not outside the mesh. */
static void test_doubtful(void **state)
{
	static const struct {
		const char *ip;
		bool contested;
	} rows[] = {
		{"10.9.0.7", true}, {"10.0.0.7", true}, {"10.0.0.8", false}, {"10.0.0.1", false}};
	struct catalog *c = make(WORLD SVC("shop", "bad", "clusterIP: 10.9.0.7, ports: [{port: 0}]")
			POD("bad-1", "10.0.0.7", "{app: 1}", "")
				POD("bad-2", "10.0.0.8", "{app: 1}", ", phase: Failed")
					POD("bad-3", "10.0.0.1", "{app: 1}", ""));
	(void)state;
	assert_int_equal(world_problems(catalog_world(c))->count[PROBLEM_ERROR], 5);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr a;
		assert_int_equal(addr_parse(str_from(rows[i].ip), &a), 0);
		assert_int_equal(catalog_contested(c, &a), rows[i].contested);
		assert_int_equal(catalog_by_address(c, &a) != NULL,
			strcmp(rows[i].ip, "10.0.0.1") == 0);
	}
	catalog_unref(&c);
}

static void test_names(void **state)
{
	static const struct {
		const char *host, *name;
	} rows[] = {
		{"shop/web", "Service/shop/web"},
		{"web.shop", "Service/shop/web"},
		{"web.shop.svc", "Service/shop/web"},
		{"web.shop.svc.cluster.local", "Service/shop/web"},
		{"web.shop.svc.cluster.local.", "Service/shop/web"},
		{"WEB.Shop.svc.Cluster.Local", "Service/shop/web"},
		{"web.svc", "Service/svc/web"},
		{"web.svc.svc", "Service/svc/web"},
		{"db.shop", "Service/shop/db"},
		/* a pod has a name below a headless Service that it is an endpoint of */
		{"web-0.db.shop.svc.cluster.local", "Pod/shop/web-0"},
		{"web-0.db.shop.svc", "Pod/shop/web-0"},
		{"web-1.db.shop.svc", NULL},
		{"web-0.web.shop.svc", NULL},
		{"web-0.db.shop", NULL},
		{"", NULL},
		{".", NULL},
		{"..", NULL},
		{"/", NULL},
		{"/web", NULL},
		{"shop/", NULL},
		{"shop/web/", NULL},
		{"web", NULL},
		{"web.", NULL},
		{"web.shop..", NULL},
		{".shop", NULL},
		{"web.shop.svc.example", NULL},
		{"web.shop.cluster.local", NULL},
		{".svc", NULL},
		{".svc.cluster.local", NULL},
		{"a.b.c.d.e.svc.cluster.local", NULL},
		{"example.com", NULL},
	};
	char longest[400];
	struct catalog *c = make(WORLD);
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_name(catalog_by_name(c, str_from(rows[i].host)), rows[i].name);
	memset(longest, 'a', sizeof(longest));
	for (size_t n = 250; n < sizeof(longest); n++)
		assert_null(catalog_by_name(c, str_make(longest, n)));
	catalog_unref(&c);
}

static void test_required(void **state)
{
	static const struct {
		const char *pod;
		int err;
		const char *policies; /* or text of the error */
	} rows[] = {
		{"web-0", 0,
			"AuthorizationPolicy/shop/a AuthorizationPolicy/shop/all "
			"AuthorizationPolicy/shop/all~2 AuthorizationPolicy/weft-system/mesh "},
		{"web-1", 0,
			"AuthorizationPolicy/shop/all AuthorizationPolicy/shop/all~2 "
			"AuthorizationPolicy/weft-system/mesh "},
		{"none", ERR_NOTFOUND, "not found"},
		{"plain", ERR_INVAL, "it is not meshed"},
		{"host", ERR_INVAL, "host's network"},
		{"old", ERR_INVAL, "has finished"},
		{"twin-0", ERR_INVAL, "no address"},
	};
	char err[512];
	struct catalog *c = make(WORLD);
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct catalog_required *r, *again;
		int got = catalog_required(c, STR("shop"), str_from(rows[i].pod), &r, err,
			sizeof(err));
		assert_int_equal(got, rows[i].err);
		if (got != 0) {
			assert_null(r);
			assert_non_null(strstr(err, rows[i].policies));
			continue;
		}
		char all[512] = "";
		for (size_t k = 0; k < r->n_policies; k++)
			snprintf(all + strlen(all), sizeof(all) - strlen(all), "%.*s ",
				STR_ARG(r->policies[k]));
		assert_string_equal(all, rows[i].policies);
		for (size_t k = 0; k < r->n_policies; k++)
			assert_non_null(catalog_resource(c, r->policies[k]));
		assert_non_null(catalog_resource(c, r->workload));
		assert_non_null(catalog_resource(c, r->mesh));
		assert_non_null(catalog_resource(c, r->revocations));
		assert_int_equal(r->n_bundles, 2);
		assert_non_null(catalog_resource(c, r->bundles[1]));
		(void)catalog_required(c, STR("shop"), str_from(rows[i].pod), &again, err,
			sizeof(err));
		assert_ptr_equal(r, again);
	}
	catalog_unref(&c);
}

static void test_identity(void **state)
{
	struct catalog *c = make(WORLD UNIX_POD("u1", "10.1.0.1", "\"1001\"") UNIX_POD("u2",
		"10.1.0.2", "1002") UNIX_POD("u3", "10.1.0.3", "1003")
			UNIX_POD("u4", "10.1.0.4", "\"1003\"") UNIX_POD("u5", "10.1.0.5", "0"));
	(void)state;
	assert_non_null(catalog_pod(c, STR("shop"), STR("web-0")));
	assert_non_null(catalog_pod(c, STR("shop"), STR("twin-0")));
	assert_null(catalog_pod(c, STR("shop"), STR("plain")));
	assert_null(catalog_pod(c, STR("shop"), STR("host")));
	assert_null(catalog_pod(c, STR("shop"), STR("old")));
	assert_null(catalog_pod(c, STR("shop"), STR("none")));
	assert_true(str_eq(catalog_pod_by_unix_uid(c, 1001)->meta.name, STR("u1")));
	assert_true(str_eq(catalog_pod_by_unix_uid(c, 1002)->meta.name, STR("u2")));
	assert_null(catalog_pod_by_unix_uid(c, 1003));
	assert_true(str_eq(catalog_pod_by_unix_uid(c, 0)->meta.name, STR("u5")));
	assert_null(catalog_pod_by_unix_uid(c, 1));
	catalog_unref(&c);
}

static void test_unix_uid_messages(void **state)
{
	static const struct {
		const char *yaml, *said;
	} rows[] = {
		{UNIX_POD("p", "10.1.0.1", "root"),
			"f.yaml:4: Pod shop/p: metadata.annotations[\"mesh.weft.dev/unix-uid\"]: "
			"expected a Unix user's number, found \"root\"\n"},
		{UNIX_POD("p", "10.1.0.1", "4294967295"), NULL},
		{UNIX_POD("p", "10.1.0.1", "-1"), NULL},
		{UNIX_POD("p", "10.1.0.1", "true"), NULL},
		{UNIX_POD("p", "10.1.0.1", "\"7\"") UNIX_POD("q", "10.1.0.2", "\"7\""),
			"f.yaml:8: warning: Pod shop/q: metadata.annotations: mesh.weft.dev/unix-uid 7 "
			"is that of Pod shop/p too, so it is neither's\n"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world *w = worlds_of(rows[i].yaml);
		if (rows[i].said != NULL)
			worlds_expect(w, rows[i].said);
		else
			assert_int_equal(world_problems(w)->count[PROBLEM_ERROR], 1);
		world_free(&w);
	}
}

/* The catalog outlives the references that it was made with. */
static void test_life(void **state)
{
	char domain[] = "cluster.local", roots[] = "roots", serial[] = "0a";
	const struct compile_bundle b = {str_from(domain), str_from(roots)};
	const struct str s = str_from(serial);
	struct catalog *c = catalog_new(worlds_of(WORLD), &b, 1, &s, 1), *other = catalog_ref(c);
	(void)state;
	memset(domain, 'x', sizeof(domain) - 1);
	memset(roots, 'x', sizeof(roots) - 1);
	memset(serial, 'x', sizeof(serial) - 1);
	catalog_unref(&c);
	assert_null(c);
	assert_memory_equal(catalog_resource(other, STR("TrustBundle/cluster.local"))
				    ->resource->trust_bundle->roots.data,
		"roots", 5);
	assert_string_equal(catalog_resource(other, STR("Revocations"))
				    ->resource->revocations->serials[0],
		"0a");
	catalog_unref(&other);
	catalog_unref(&other);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_doubtful),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_unix_uid_messages),
		cmocka_unit_test(test_life),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
