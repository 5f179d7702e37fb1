/*
 * Which destination an address is, and how it may be reached: by VIP and port, by pod, oneself,
 * outside, unknown; never by bare port.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/flow/dest.h"
#include "sidecar/flow/reason.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static struct addr at(const char *text)
{
	struct addr a;
	assert_int_equal(addr_parse(str_from(text), &a), 0);
	return a;
}

/* Service shop/web on 10.96.0.1 and fd00:96::1, port 80 (sniffed) and 443 (TLS), one endpoint; pods
 * 10.1.0.5 (meshed) and 10.1.0.6 (bare); we are 10.1.0.2. */
struct world {
	struct snapshot s;
	struct mesh_service service;
	struct mesh_service_port service_ports[2];
	struct addr vips[2], self_addr;
	struct mesh_endpoint endpoint;
	struct mesh_port endpoint_ports[2], pod_ports[2], self_ports[1];
	struct mesh_pod pods[2];
	struct cidr ranges[2];
};

static void index_addr(struct map *m, struct addr a, void *value)
{
	a.port = 0;
	map_put(m, addr_key(&a), value);
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->s.by_vip = map_new(1);
	w->s.by_pod = map_new(2);
	w->vips[0] = at("10.96.0.1");
	w->vips[1] = at("fd00:96::1");
	w->service_ports[0] = (struct mesh_service_port){.port = 80};
	w->service_ports[1] = (struct mesh_service_port){.port = 443, .protocol = MESH_PROTO_TLS};
	w->endpoint_ports[0] = (struct mesh_port){.port = 8080};
	w->endpoint_ports[1] = (struct mesh_port){.port = 8443};
	w->endpoint = (struct mesh_endpoint){.v4 = at("10.1.0.5"),
		.uid = STR("uid-5"),
		.spiffe_id = STR("spiffe://td/ns/shop/sa/web"),
		.meshed = true,
		.ready = true,
		.ports = w->endpoint_ports,
		.n_ports = 2};
	w->service = (struct mesh_service){.ns = STR("shop"),
		.name = STR("web"),
		.vips = w->vips,
		.n_vips = 2,
		.ports = w->service_ports,
		.n_ports = 2,
		.endpoints = &w->endpoint,
		.n_endpoints = 1};
	w->pod_ports[0] = (struct mesh_port){
		.port = 6379, .protocol = MESH_PROTO_TCP, .mtls = MTLS_PERMISSIVE};
	w->pods[0].endpoint = w->endpoint;
	w->pods[0].endpoint.ports = w->pod_ports;
	w->pods[0].endpoint.n_ports = 1;
	w->pods[1].endpoint =
		(struct mesh_endpoint){.v4 = at("10.1.0.6"), .ports = w->pod_ports, .n_ports = 1};
	w->self_addr = at("10.1.0.2");
	w->self_ports[0] = (struct mesh_port){.port = 8080, .protocol = MESH_PROTO_HTTP};
	w->s.self = (struct mesh_workload){.uid = STR("uid-2"),
		.spiffe_id = STR("spiffe://td/ns/shop/sa/me"),
		.addrs = &w->self_addr,
		.n_addrs = 1,
		.ports = w->self_ports,
		.n_ports = 1};
	assert_int_equal(cidr_parse(STR("10.0.0.0/8"), &w->ranges[0]), 0);
	assert_int_equal(cidr_parse(STR("fd00::/8"), &w->ranges[1]), 0);
	w->s.mesh_ranges = (struct cidrs){w->ranges, 2};
	for (int i = 0; i < 2; i++) {
		index_addr(w->s.by_vip, w->vips[i], &w->service);
		index_addr(w->s.by_pod, w->pods[i].endpoint.v4, &w->pods[i]);
	}
}

static void world_fini(struct world *w)
{
	map_free(&w->s.by_vip);
	map_free(&w->s.by_pod);
}

static void test_find(void **state)
{
	static const struct {
		const char *to;
		enum dest_kind kind;
		int reason;
		enum mesh_protocol protocol;
	} rows[] = {
		{"10.96.0.1:80", DEST_SERVICE, 0, MESH_PROTO_SNIFF},
		{"10.96.0.1:443", DEST_SERVICE, 0, MESH_PROTO_TLS},
		{"[fd00:96::1]:80", DEST_SERVICE, 0, MESH_PROTO_SNIFF},
		{"10.96.0.1:81", DEST_REFUSED, MESH_NO_PORT, MESH_PROTO_SNIFF},
		{"10.96.0.2:80", DEST_REFUSED, MESH_DISCOVERY, MESH_PROTO_SNIFF},
		{"[fd00:96::2]:80", DEST_REFUSED, MESH_DISCOVERY, MESH_PROTO_SNIFF},
		{"10.1.0.5:6379", DEST_POD, 0, MESH_PROTO_TCP},
		{"10.1.0.5:9999", DEST_POD, 0, MESH_PROTO_SNIFF},
		{"10.1.0.6:80", DEST_POD, 0, MESH_PROTO_SNIFF},
		{"10.1.0.2:8080", DEST_SELF, 0, MESH_PROTO_HTTP},
		{"10.1.0.2:1", DEST_SELF, 0, MESH_PROTO_SNIFF},
		{"192.0.2.1:80", DEST_PASSTHROUGH, 0, MESH_PROTO_SNIFF},
		{"[2001:db8::1]:80", DEST_PASSTHROUGH, 0, MESH_PROTO_SNIFF},
	};
	struct world w;
	(void)state;
	world_init(&w);
	for (size_t i = 0; i < LEN(rows); i++) {
		struct addr to = at(rows[i].to);
		struct dest d;
		dest_find(&w.s, &to, false, &d);
		if (d.kind != rows[i].kind || d.reason != rows[i].reason ||
			d.protocol != rows[i].protocol)
			fail_msg("%s: kind %d, reason %d, protocol %d", rows[i].to, d.kind,
				d.reason, d.protocol);
		assert_true(addr_eq(&d.addr, &to));
	}
	w.s.outbound = OUTBOUND_REGISTRY_ONLY;
	struct addr to = at("192.0.2.1:80");
	struct dest d;
	dest_find(&w.s, &to, false, &d);
	assert_int_equal(d.kind, DEST_REFUSED);
	assert_int_equal(d.reason, MESH_REGISTRY_ONLY);
	to = at("10.96.0.2:80"); /* within the ranges that is not the reason */
	dest_find(&w.s, &to, false, &d);
	assert_int_equal(d.reason, MESH_DISCOVERY);
	/* Known to be nobody's it is one like those outside of them; what is known is known. */
	dest_find(&w.s, &to, true, &d);
	assert_int_equal(d.reason, MESH_REGISTRY_ONLY);
	w.s.outbound = OUTBOUND_ALLOW_ANY;
	dest_find(&w.s, &to, true, &d);
	assert_int_equal(d.kind, DEST_PASSTHROUGH);
	to = at("10.96.0.1:80");
	dest_find(&w.s, &to, true, &d);
	assert_int_equal(d.kind, DEST_SERVICE);
	to = at("10.1.0.6:80");
	dest_find(&w.s, &to, true, &d);
	assert_int_equal(d.kind, DEST_POD);
	world_fini(&w);
}

static int hop_of(struct world *w, const char *to, struct dest_hop *hop)
{
	struct addr a = at(to);
	struct dest d;
	dest_find(&w->s, &a, false, &d);
	return dest_hop(&w->s, &d, d.kind == DEST_SERVICE ? &w->endpoint : NULL, hop);
}

static void test_hops(void **state)
{
	struct world w;
	struct dest_hop hop;
	char text[ADDR_TEXT];
	(void)state;
	world_init(&w);
	assert_int_equal(hop_of(&w, "10.96.0.1:80", &hop), 0);
	assert_string_equal(addr_format(&hop.to, text), "10.1.0.5:8080");
	assert_true(hop.secure && !hop.self);
	assert_true(str_eq(hop.id, w.endpoint.spiffe_id));
	assert_true(str_eq(hop.uid, w.endpoint.uid));
	assert_int_equal(hop_of(&w, "10.96.0.1:443", &hop), 0);
	assert_string_equal(addr_format(&hop.to, text), "10.1.0.5:8443");
	/* A meshed pod by its own address is itself, at the port that was dialled. */
	assert_int_equal(hop_of(&w, "10.1.0.5:9999", &hop), 0);
	assert_string_equal(addr_format(&hop.to, text), "10.1.0.5:9999");
	assert_true(hop.secure);
	/* One without sidecar: as its mode says, by port. */
	assert_int_equal(hop_of(&w, "10.1.0.6:80", &hop), MESH_NOT_MESHED);
	assert_int_equal(hop_of(&w, "10.1.0.6:6379", &hop), 0);
	assert_false(hop.secure);
	assert_int_equal(hop.id.n, 0);
	/* A meshed one never without TLS, whatever the mode. */
	w.endpoint.mtls = w.endpoint_ports[0].mtls = MTLS_DISABLE;
	assert_int_equal(hop_of(&w, "10.96.0.1:80", &hop), 0);
	assert_true(hop.secure);
	/* And never without knowing whom to expect. */
	w.endpoint.spiffe_id = STR_NULL;
	assert_int_equal(hop_of(&w, "10.96.0.1:80", &hop), MESH_DISCOVERY);
	assert_int_equal(hop_of(&w, "10.1.0.2:8080", &hop), 0);
	assert_true(hop.self && hop.secure);
	assert_true(str_eq(hop.id, w.s.self.spiffe_id));
	assert_int_equal(hop_of(&w, "192.0.2.1:80", &hop), 0);
	assert_false(hop.secure || hop.self);
	assert_int_equal(hop_of(&w, "10.96.0.1:81", &hop), MESH_NO_PORT);
	world_fini(&w);
}

/* A service without an endpoint for that port in any family. */
static void test_an_endpoint_without_the_port(void **state)
{
	struct world w;
	struct dest_hop hop;
	(void)state;
	world_init(&w);
	w.endpoint_ports[0].port = 0;
	assert_int_equal(hop_of(&w, "10.96.0.1:80", &hop), MESH_NO_ENDPOINTS);
	/* The client's family is the first choice, not the only one. */
	assert_int_equal(hop_of(&w, "[fd00:96::1]:443", &hop), 0);
	assert_int_equal(hop.to.family, ADDR_V4);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_hops),
		cmocka_unit_test(test_an_endpoint_without_the_port),
	};
	return cmocka_run_group_tests_name("dest", tests, NULL, NULL);
}
