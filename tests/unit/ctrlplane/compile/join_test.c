/*
 * What follows from several objects: who has an address, where a Service's ports lead, what they
 * speak, who is ready, who is meshed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cli/state_json.h"
#include "lib/base/alloc.h"
#include "lib/net/addr.h"
#include "tests/support/worlds.h"

#define SELF POD("self", "10.0.0.99", "{app: self}", "")
#define SVC(name, ip, ports)                                                                \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: shop}\n" \
	"spec:\n  clusterIP: " ip "\n  selector: {app: a}\n  ports: [" ports "]\n"

/* A world, and the state of shop/self in it. */
struct joined {
	struct world *w;
	struct arena arena;
	const Weft__Mesh__V1__State *st;
};

static void join(struct joined *j, const char *yaml)
{
	char *all = mem_printf("%s%s", SELF, yaml);
	j->w = worlds_of(all);
	arena_init(&j->arena, NULL);
	j->st = worlds_state(j->w, "self", &j->arena);
	mem_free(all);
}

static void leave(struct joined *j)
{
	arena_clear(&j->arena);
	world_free(&j->w);
}

static const Weft__Mesh__V1__Service *service(const struct joined *j, const char *name)
{
	const Weft__Mesh__V1__Resource *r = worlds_resource(j->st, name);
	assert_non_null(r);
	return r->service;
}

static void add(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void add(char *dst, size_t size, const char *fmt, ...)
{
	size_t used = strlen(dst);
	va_list args;
	va_start(args, fmt);
	vsnprintf(dst + used, size - used, fmt, args);
	va_end(args);
}

/* "p 10.0.0.1 meshed ready 8080/HTTP,...; q ..." */
static void describe(const Weft__Mesh__V1__Service *svc, char *dst, size_t size)
{
	char ip[ADDR_TEXT];
	dst[0] = '\0';
	for (size_t i = 0; i < svc->n_endpoints; i++) {
		const Weft__Mesh__V1__Endpoint *ep = svc->endpoints[i];
		add(dst, size, "%s%s", i > 0 ? "; " : "", ep->name);
		for (size_t k = 0; k < ep->n_addresses; k++)
			add(dst, size, " %s", state_address_text(&ep->addresses[k], ip));
		add(dst, size, "%s%s", ep->meshed ? " meshed" : "", ep->ready ? " ready" : "");
		for (size_t k = 0; k < ep->n_ports; k++)
			add(dst, size, " %u/%s", ep->ports[k]->port,
				state_protocol_text(ep->ports[k]->protocol));
	}
}

static void expect_endpoints(const char *yaml, const char *expected)
{
	char text[1024];
	struct joined j;
	join(&j, yaml);
	describe(service(&j, "Service/shop/s"), text, sizeof(text));
	assert_string_equal(text, expected);
	leave(&j);
}

#define PODX(name, meta, spec, status)                                                           \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: shop, labels: "   \
	"{app: a}" meta "}\nspec: {containers: [{name: app, ports: [{name: web, containerPort: " \
	"8080}, {name: dns, containerPort: 53, protocol: UDP}]}]" spec "}\nstatus: {" status "}\n"
#define S SVC("s", "10.9.0.1", "{port: 80, name: http, targetPort: web}")

static void test_endpoints(void **state)
{
	static const struct {
		const char *yaml, *endpoints;
	} rows[] = {
		{S POD("p", "10.0.0.1", "{app: b}", ""), ""},
		{S PODX("p", "", "", "podIP: 10.0.0.1"), "p 10.0.0.1 ready 8080/HTTP"},
		{S PODX("p", "", "",
			 "podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: \"fd00::1\"}]"),
			"p 10.0.0.1 fd00::1 ready 8080/HTTP"},
		/* the name is that of each pod's own port; where a pod has none, it has no port */
		{S PODX("p", "", "", "podIP: 10.0.0.1") POD("q", "10.0.0.2", "{app: a}", ""),
			"p 10.0.0.1 ready 8080/HTTP; q 10.0.0.2 meshed ready 0/HTTP"},
		{SVC("s", "10.9.0.1", "{port: 80}") PODX("p", "", "", "podIP: 10.0.0.1"),
			"p 10.0.0.1 ready 80/UNSPECIFIED"},
		{SVC("s", "10.9.0.1", "{port: 80, targetPort: 90}")
				PODX("p", "", "", "podIP: 10.0.0.1"),
			"p 10.0.0.1 ready 90/UNSPECIFIED"},
		/* readiness */
		{S PODX("p", "", "",
			 "podIP: 10.0.0.1, conditions: [{type: Ready, status: \"False\"}]"),
			"p 10.0.0.1 8080/HTTP"},
		{S PODX("p", "", "",
			 "podIP: 10.0.0.1, conditions: [{type: Ready, status: Unknown}]"),
			"p 10.0.0.1 8080/HTTP"},
		{S PODX("p", "", "",
			 "podIP: 10.0.0.1, conditions: [{type: Other, status: \"True\"}]"),
			"p 10.0.0.1 8080/HTTP"},
		{S PODX("p", ", deletionTimestamp: 2024-01-01T00:00:00Z", "", "podIP: 10.0.0.1"),
			"p 10.0.0.1 8080/HTTP"},
		/* finished, or without address */
		{S PODX("p", "", "", "podIP: 10.0.0.1, phase: Succeeded"), ""},
		{S PODX("p", "", "", "podIP: 10.0.0.1, phase: Failed"), ""},
		{S PODX("p", "", "", "phase: Pending"), ""},
		/* on the host's network: somebody to call, but nobody to be sure of */
		{S PODX("p", "", ", hostNetwork: true", "podIP: 10.0.0.1"),
			"p 10.0.0.1 ready 8080/HTTP"},
		{S PODX("p", "", ", hostNetwork: true, initContainers: [{name: weft-sidecar}]",
			 "podIP: 10.0.0.1"),
			"p 10.0.0.1 ready 8080/HTTP"},
		/* meshed by a native sidecar too */
		{S PODX("p", "", ", initContainers: [{name: weft-sidecar}]", "podIP: 10.0.0.1"),
			"p 10.0.0.1 meshed ready 8080/HTTP"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_endpoints(rows[i].yaml, rows[i].endpoints);
}

static void test_not_ready_published(void **state)
{
	(void)state;
	expect_endpoints(
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: "
		"{clusterIP: None, publishNotReadyAddresses: true, selector: {app: a}, ports: []}\n" PODX(
			"p", "", "",
			"podIP: 10.0.0.1, conditions: [{type: Ready, status: \"False\"}]"),
		"p 10.0.0.1 ready");
}

/* Two claimants of an address: neither has it, and both are told. */
static void test_claims(void **state)
{
	struct joined j;
	(void)state;
	join(&j,
		S PODX("p", "", "", "podIP: 10.0.0.1, podIPs: [{ip: \"fd00::1\"}]")
			POD("q", "10.0.0.1", "{app: a}", ""));
	char text[256];
	describe(service(&j, "Service/shop/s"), text, sizeof(text));
	assert_string_equal(text, "p fd00::1 ready 8080/HTTP");
	assert_null(worlds_resource(j.st, "Pod/shop/q"));
	assert_int_equal(worlds_resource(j.st, "Pod/shop/p")->pod->endpoint->n_addresses, 1);
	worlds_expect(j.w,
		"f.yaml:22: warning: Pod shop/q: 10.0.0.1 is claimed by Pod shop/p too, so it "
		"belongs to neither\n");
	leave(&j);
}

static void test_claims_of_services(void **state)
{
	struct joined j;
	(void)state;
	/* two Services; a Service and a pod; a pod on the host's network and a pod */
	join(&j,
		SVC("s", "10.9.0.1", "") SVC("t", "10.9.0.1", "") SVC("u", "10.0.0.1", "")
			PODX("p", "", "", "podIP: 10.0.0.1") PODX("q", "", "", "podIP: 10.0.0.2")
				PODX("h", "", ", hostNetwork: true", "podIP: 10.0.0.2"));
	assert_int_equal(service(&j, "Service/shop/s")->n_addresses, 0);
	assert_int_equal(service(&j, "Service/shop/t")->n_addresses, 0);
	assert_int_equal(service(&j, "Service/shop/u")->n_addresses, 0);
	assert_null(worlds_resource(j.st, "Pod/shop/p"));
	assert_non_null(worlds_resource(j.st, "Pod/shop/q"));
	assert_null(worlds_resource(j.st, "Pod/shop/h"));
	assert_int_equal(service(&j, "Service/shop/s")->n_endpoints, 1);
	leave(&j);
}

static void test_protocols(void **state)
{
	static const struct {
		const char *port, *protocol;
	} rows[] = {
		{"", "UNSPECIFIED"},
		{", name: web", "UNSPECIFIED"},
		{", name: http", "HTTP"},
		{", name: http-web", "HTTP"},
		{", name: httpx", "UNSPECIFIED"},
		{", name: http2", "HTTP2"},
		{", name: grpc", "HTTP2"},
		{", name: grpc-web", "HTTP"},
		{", name: grpc-web-x", "HTTP"},
		{", name: grpc-api", "HTTP2"},
		{", name: https", "TLS"},
		{", name: tls-db", "TLS"},
		{", name: tcp", "TCP"},
		{", name: redis", "TCP"},
		{", name: mysql-a", "TCP"},
		{", appProtocol: http", "HTTP"},
		{", appProtocol: HTTP", "HTTP"},
		{", appProtocol: https", "TLS"},
		{", appProtocol: grpc", "HTTP2"},
		{", appProtocol: kubernetes.io/h2c", "HTTP2"},
		{", appProtocol: kubernetes.io/ws", "HTTP"},
		{", appProtocol: kubernetes.io/wss", "TLS"},
		{", appProtocol: tcp", "TCP"},
		{", appProtocol: tls", "TLS"},
		{", appProtocol: x/y", "UNSPECIFIED"},
		/* appProtocol is what counts where both are there */
		{", name: http, appProtocol: tcp", "TCP"},
		{", name: http, appProtocol: x/y", "UNSPECIFIED"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct joined j;
		char *yaml = mem_printf("%s  ports: [{port: 80%s}]\n",
			"---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\n"
			"spec:\n  clusterIP: None\n  selector: {app: self}\n",
			rows[i].port);
		join(&j, yaml);
		const Weft__Mesh__V1__Workload *own =
			worlds_resource(j.st, "Workload/shop/self")->workload;
		assert_string_equal(
			state_protocol_text(service(&j, "Service/shop/s")->ports[0]->protocol),
			rows[i].protocol);
		/* what the receiver goes by */
		assert_int_equal(own->n_ports, 1);
		assert_string_equal(state_protocol_text(own->ports[0]->protocol), rows[i].protocol);
		leave(&j);
		mem_free(yaml);
	}
}

/* Services that disagree about a port leave it to detection; one that says nothing does not. */
static void test_contradiction(void **state)
{
	struct joined j;
	(void)state;
	join(&j,
		SVC("s", "10.9.0.1", "{port: 80, name: http}") SVC("t", "10.9.0.2", "{port: 80}")
			PODX("p", "", "", "podIP: 10.0.0.1"));
	const Weft__Mesh__V1__Endpoint *ep = worlds_resource(j.st, "Pod/shop/p")->pod->endpoint;
	assert_int_equal(ep->n_ports, 2);
	assert_string_equal(state_protocol_text(ep->ports[0]->protocol), "HTTP");
	assert_string_equal(worlds_resource(j.st, "Pod/shop/p")->pod->service, "s");
	leave(&j);
	join(&j,
		SVC("s", "10.9.0.1", "{port: 80, name: http}") SVC("t", "10.9.0.2",
			"{port: 80, name: tcp}") PODX("p", "", "", "podIP: 10.0.0.1"));
	ep = worlds_resource(j.st, "Pod/shop/p")->pod->endpoint;
	assert_string_equal(state_protocol_text(ep->ports[0]->protocol), "UNSPECIFIED");
	worlds_expect(j.w,
		"f.yaml:16: warning: Service shop/t: spec.ports: Service s declares another protocol "
		"for port 80 of pod p, so it is found by looking\n");
	leave(&j);
}

static void test_missing_target(void **state)
{
	struct joined j;
	(void)state;
	join(&j,
		SVC("s", "10.9.0.1", "{port: 80, targetPort: wbe}")
			PODX("p", "", "", "podIP: 10.0.0.1"));
	worlds_expect(j.w,
		"f.yaml:8: warning: Service shop/s: spec.ports: none of its pods has a container port "
		"named wbe, so port 80 has no endpoints\n");
	leave(&j);
}

static void test_names(void **state)
{
	static const struct {
		const char *meta, *workload, *service;
	} rows[] = {
		{"", "p", "p"},
		{", labels: {app: a}", "a", "a"},
		{", labels: {app.kubernetes.io/name: b}", "b", "b"},
		{", labels: {app: a, app.kubernetes.io/name: b}", "a", "b"},
		{", labels: {app: a, mesh.weft.dev/canonical-name: c}", "a", "c"},
		{", ownerReferences: [{name: db}]", "db", "db"},
		{", ownerReferences: [{name: x}, {name: web-7d4b, controller: true}], labels: "
		 "{pod-template-hash: 7d4b}",
			"web", "web"},
		{", ownerReferences: [{name: web-7d4b}], labels: {pod-template-hash: zz}",
			"web-7d4b", "web-7d4b"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a;
		char *yaml = mem_printf(
			"apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop%s}\nspec: "
			"{containers: [{name: weft-sidecar}]}\nstatus: {podIP: 10.0.0.1}\n",
			rows[i].meta);
		struct world *w = worlds_of(yaml);
		arena_init(&a, NULL);
		const Weft__Mesh__V1__Workload *own =
			worlds_resource(worlds_state(w, "p", &a), "Workload/shop/p")->workload;
		assert_string_equal(own->workload, rows[i].workload);
		assert_string_equal(own->service, rows[i].service);
		assert_string_equal(own->service_account, "default");
		arena_clear(&a);
		world_free(&w);
		mem_free(yaml);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_not_ready_published),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_claims_of_services),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_contradiction),
		cmocka_unit_test(test_missing_target),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
