/*
 * EndpointSlices: whose endpoints they are, what they refuse, and what wins over the selector.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cli/state_json.h"
#include "lib/base/alloc.h"
#include "tests/support/worlds.h"

#define SELF POD("self", "10.0.0.99", "{app: self}", "")
#define SVC(spec)                                                                    \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\n" \
	"spec: {clusterIP: 10.9.0.1, ports: [{name: http, port: 80}]" spec "}\n"
#define SLICE_(name, service, type, ports, endpoints)                                       \
	"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " name \
	", namespace: shop, labels: {kubernetes.io/service-name: " service                  \
	"}}\naddressType: " type "\nports: [" ports "]\nendpoints: [" endpoints "]\n"
#define SLICE(name, endpoints) SLICE_(name, "s", "IPv4", "{name: http, port: 8080}", endpoints)
#define P1 POD("p1", "10.0.0.1", "{app: a}", "")
#define P2 POD("p2", "10.0.0.2", "{app: a}", "")
#define PERMISSIVE \
	OURS("PeerAuthentication", "pa, namespace: shop") "spec: {mtls: {mode: PERMISSIVE}}\n"

/* A world with shop/self, and what of Service shop/s is told to it. */
static void describe(const Weft__Mesh__V1__Service *svc, char *dst, size_t size)
{
	size_t n = 0;
	char ip[ADDR_TEXT];
	dst[0] = '\0';
	for (size_t i = 0; i < svc->n_endpoints && n < size; i++) {
		const Weft__Mesh__V1__Endpoint *ep = svc->endpoints[i];
		n += (size_t)snprintf(dst + n, size - n, "%s%s", i > 0 ? "; " : "", ep->name);
		for (size_t k = 0; k < ep->n_addresses; k++)
			n += (size_t)snprintf(dst + n, size - n, " %s",
				state_address_text(&ep->addresses[k], ip));
		n += (size_t)snprintf(dst + n, size - n, "%s%s%s", ep->meshed ? " meshed" : "",
			ep->ready ? " ready" : "",
			ep->mtls_mode == WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_STRICT ? ""
										     : " plain");
		for (size_t k = 0; k < ep->n_ports; k++)
			n += (size_t)snprintf(dst + n, size - n, " %u", ep->ports[k]->port);
	}
}

/* said: all problems; NULL: whatever. */
static void expect(const char *yaml, const char *endpoints, const char *said)
{
	char text[1024];
	struct arena a;
	char *all = mem_printf("%s%s", SELF, yaml);
	struct world *w = worlds_of(all);
	arena_init(&a, NULL);
	const Weft__Mesh__V1__Resource *r =
		worlds_resource(worlds_state(w, "self", &a), "Service/shop/s");
	assert_non_null(r);
	describe(r->service, text, sizeof(text));
	assert_string_equal(text, endpoints);
	if (said != NULL)
		worlds_expect(w, said);
	arena_clear(&a);
	world_free(&w);
	mem_free(all);
}

static void test_endpoints(void **state)
{
	static const struct {
		const char *yaml, *endpoints;
	} rows[] = {
		/* an address of a pod is that pod; one of nobody has no identity */
		{SVC("") P1 SLICE("e", "{addresses: [10.0.0.1]}"), "p1 10.0.0.1 meshed ready 8080"},
		{SVC("") SLICE("e", "{addresses: [10.0.0.1]}"), "10.0.0.1 10.0.0.1 ready 8080"},
		{SVC("") PERMISSIVE SLICE("e", "{addresses: [10.0.0.1]}"),
			"10.0.0.1 10.0.0.1 ready plain 8080"},
		{SVC("") SLICE("e", "{addresses: [10.0.0.2, 10.0.0.1]}"),
			"10.0.0.1 10.0.0.1 ready 8080; 10.0.0.2 10.0.0.2 ready 8080"},
		/* several slices; once each, in an order of their own */
		{SVC("") P1 P2 SLICE("e", "{addresses: [10.0.0.2]}")
				SLICE("f", "{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}"),
			"p1 10.0.0.1 meshed ready 8080; p2 10.0.0.2 meshed ready 8080"},
		{SVC("") SLICE("e", "{addresses: [10.0.0.1]}")
				SLICE("f", "{addresses: [10.0.0.1]}"),
			"10.0.0.1 10.0.0.1 ready 8080"},
		{SVC("") POD("p", "10.0.0.1", "{}", ", podIPs: [{ip: 10.0.0.1}, {ip: \"fd00::1\"}]")
				SLICE("e", "{addresses: [10.0.0.1]}") SLICE_("f", "s", "IPv6",
					"{name: http, port: 8080}", "{addresses: [\"fd00::1\"]}"),
			"p 10.0.0.1 fd00::1 meshed ready 8080"},
		/* slices in the place of the selector; without them it is the selector */
		{SVC(", selector: {app: a}") P1 P2 SLICE("e", "{addresses: [10.0.0.2]}"),
			"p2 10.0.0.2 meshed ready 8080"},
		{SVC(", selector: {app: a}") P1 SLICE("e", ""), ""},
		{SVC(", selector: {app: a}") P1 SLICE_("e", "t", "IPv4", "", ""),
			"p1 10.0.0.1 meshed ready 80"},
		/* readiness */
		{SVC("") P1 SLICE("e", "{addresses: [10.0.0.1], conditions: {ready: false}}"),
			"p1 10.0.0.1 meshed 8080"},
		{SVC("") P1 SLICE("e",
			 "{addresses: [10.0.0.1], conditions: {ready: true, serving: "
			 "true, terminating: true}}"),
			"p1 10.0.0.1 meshed 8080"},
		{SVC("") P1 SLICE("e", "{addresses: [10.0.0.1], conditions: {}}"),
			"p1 10.0.0.1 meshed ready 8080"},
		{SVC(", publishNotReadyAddresses: true") P1 SLICE("e",
			 "{addresses: [10.0.0.1], conditions: {ready: false}}"),
			"p1 10.0.0.1 meshed ready 8080"},
		/* ports by name; another protocol is no port */
		{SVC("") P1 SLICE_("e", "s", "IPv4",
			 "{name: web, port: 1}, {name: http, port: 2, protocol: TCP}",
			 "{addresses: [10.0.0.1]}"),
			"p1 10.0.0.1 meshed ready 2"},
		{SVC("") P1 SLICE_("e", "s", "IPv4", "{name: http, port: 2, protocol: UDP}",
			 "{addresses: [10.0.0.1]}"),
			"p1 10.0.0.1 meshed ready 0"},
		/* whose it is no more, or cannot be */
		{SVC("") P1 P2 SLICE("e",
			 "{addresses: [10.0.0.7], targetRef: {kind: Pod, name: p1}}"),
			""},
		{SVC("") POD("p", "10.0.0.7", "{}", ", phase: Failed") SLICE("e",
			 "{addresses: [10.0.0.7], targetRef: {kind: Pod, name: p}}"),
			""},
		{SVC("") P1 POD("q", "10.0.0.1", "{}", "") SLICE("e", "{addresses: [10.0.0.1]}"),
			""},
		{SVC("") SLICE("e", "{addresses: [10.9.0.1]}"), ""},
		{SVC("") SLICE("e", "{addresses: [10.0.0.7], targetRef: {kind: Pod, name: gone}}"),
			"10.0.0.7 10.0.0.7 ready 8080"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect(rows[i].yaml, rows[i].endpoints, NULL);
}

#define WARN "f.yaml:13: warning: EndpointSlice shop/e: "

static void test_messages(void **state)
{
	static const struct {
		const char *yaml, *said;
	} rows[] = {
		{SLICE("e", "{addresses: [127.0.0.1]}"),
			"f.yaml:18: EndpointSlice shop/e: endpoints[0].addresses[0]: loopback, "
			"link-local, multicast and unspecified addresses are nobody's\n"
			"f.yaml:8: note: Service shop/s: has no selector and no EndpointSlices, so no "
			"endpoints\n"},
		{SLICE("e", "{addresses: [169.254.169.254]}"), NULL},
		{SLICE("e", "{addresses: [\"fd00::1\"]}"),
			"f.yaml:18: EndpointSlice shop/e: endpoints[0].addresses[0]: is no IPv4 "
			"address, as addressType says it is\n"
			"f.yaml:8: note: Service shop/s: has no selector and no EndpointSlices, so no "
			"endpoints\n"},
		{SLICE_("e", "s", "FQDN", "", "{addresses: [a.example]}"),
			WARN
			"passed over: addressType FQDN is not supported, only addresses are\n"
			"f.yaml:8: note: Service shop/s: has no selector and no EndpointSlices, so no "
			"endpoints\n"},
		{SLICE_("e", "t", "IPv4", "", ""),
			WARN
			"metadata.labels: there is no Service shop/t\n"
			"f.yaml:8: note: Service shop/s: has no selector and no EndpointSlices, so no "
			"endpoints\n"},
		{SLICE("e", "{addresses: [10.9.0.1]}"),
			WARN "endpoints: 10.9.0.1 is left out: it is a Service's own address\n"},
		{SLICE_("e", "s", "IPv4", "{name: web, port: 1}", "{addresses: [10.0.0.1]}"),
			"f.yaml:8: warning: Service shop/s: spec.ports: none of its EndpointSlices has "
			"a port named \"http\", so port 80 has no endpoints\n"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *yaml = mem_printf("%s%s", SVC(""), rows[i].yaml);
		expect(yaml,
			strstr(rows[i].yaml, "name: web") != NULL ? "10.0.0.1 10.0.0.1 ready 0"
								  : "",
			rows[i].said);
		mem_free(yaml);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
