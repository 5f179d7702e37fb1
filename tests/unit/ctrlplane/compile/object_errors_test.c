/*
 * Messages about objects other than policies: what is refused, warned about and passed over, and
 * what of it forbids even --fail-closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/worlds.h"

struct row {
	const char *yaml, *said;
};

#define META "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop"
#define POD_SPEC "}\nspec: {containers: [{name: a}]}\n"
#define SVC \
	"apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec:\n  selector: {app: x}\n"
#define IP "  clusterIP: 10.0.0.1\n"
#define CONFIG "apiVersion: mesh.weft.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: m}\nspec:\n"

static void run(const struct row *rows, size_t n, bool can_fail_closed)
{
	for (size_t i = 0; i < n; i++) {
		struct world *w = worlds_of(rows[i].yaml);
		worlds_expect(w, rows[i].said);
		assert_int_equal(world_can_fail_closed(w), can_fail_closed);
		world_free(&w);
	}
}
#define RUN(rows, closed) run(rows, sizeof(rows) / sizeof((rows)[0]), closed)

static void test_pods(void **state)
{
	static const struct row rows[] = {
		{META POD_SPEC, ""},
		{META "}\n", "f.yaml:1: Pod shop/p: spec: required: a map\n"},
		{"apiVersion: v1\nkind: Pod\nspec: {}\n",
			"f.yaml:1: Pod: metadata: required: a map\n"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\nspec: {}\n",
			"f.yaml:3: Pod: metadata.name: required: a string\n"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\nspec: {}\n",
			"f.yaml:3: Pod A_b: metadata.name: not a name: lower-case letters, "
			"digits, '-' and '.', at most 253\n"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a.b}\nspec: {}\n",
			"f.yaml:3: Pod p: metadata.namespace: not a namespace: lower-case letters, "
			"digits and '-', at most 63\n"},
		{META ", uid: \"a b\"" POD_SPEC,
			"f.yaml:3: Pod shop/p: metadata.uid: not a UID: 1 to 64 letters, digits, '.', "
			"'-' or '_'\n"},
		{META ", labels: {app: true}" POD_SPEC,
			"f.yaml:3: Pod shop/p: metadata.labels.app: expected a string, found true; put "
			"it in quotes: \"true\"\n"},
		{META "}\nspec: {serviceAccountName: \"A b\"}\n",
			"f.yaml:4: Pod shop/p: spec.serviceAccountName: not a name: lower-case letters, "
			"digits, '-' and '.', at most 253\n"},
		{META "}\nspec:\n  containers:\n  - name: a\n    ports: [{containerPort: http}]\n",
			"f.yaml:7: Pod shop/p: spec.containers[0].ports[0].containerPort: expected an "
			"integer in 1..65535, found \"http\"\n"},
		{META "}\nspec:\n  containers:\n  - name: a\n    ports: [{containerPort: 1, protocol: tcp}]\n",
			"f.yaml:7: Pod shop/p: spec.containers[0].ports[0].protocol: expected TCP, UDP "
			"or SCTP, found \"tcp\"\n"},
		{META POD_SPEC "status: {podIP: 10.0.0.256}\n",
			"f.yaml:5: Pod shop/p: status.podIP: expected an IP address, found "
			"\"10.0.0.256\"\n"},
		{META POD_SPEC "status: {podIP: 10.0.0.1/32}\n",
			"f.yaml:5: Pod shop/p: status.podIP: expected an IP address, found "
			"\"10.0.0.1/32\"\n"},
		{META POD_SPEC "status: {podIPs: [{ip: 169.254.169.254}]}\n",
			"f.yaml:5: Pod shop/p: status.podIPs[0].ip: loopback, link-local, multicast "
			"and unspecified addresses are nobody's\n"},
		{META POD_SPEC "status: {podIPs: [10.0.0.1]}\n",
			"f.yaml:5: Pod shop/p: status.podIPs[0]: expected a map with the key ip\n"},
		{META POD_SPEC "status: {conditions: [{status: \"True\"}]}\n",
			"f.yaml:5: Pod shop/p: status.conditions[0].type: required: a string\n"},
		{META ", uid: u1" POD_SPEC
		      "---\napiVersion: v1\nkind: Pod\nmetadata: {name: q, uid: u1" POD_SPEC,
			"f.yaml:8: Pod default/q: metadata.uid: is that of Pod shop/p too, at "
			"f.yaml:1\n"},
		{META POD_SPEC "---\n" META POD_SPEC,
			"f.yaml:6: Pod shop/p: defined again; it is already at f.yaml:1\n"},
	};
	(void)state;
	RUN(rows, true);
}

static void test_services(void **state)
{
	static const struct row rows[] = {
		{SVC IP "  ports: [{port: 80}]\n", ""},
		{SVC "  clusterIP: None\n", ""},
		{SVC,
			"f.yaml:1: warning: Service shop/s: spec.clusterIP is not set: its pods can be "
			"called by their own addresses alone (write None for a headless Service)\n"},
		{SVC "  clusterIP: web\n",
			"f.yaml:6: Service shop/s: spec.clusterIP: expected an IP address, found "
			"\"web\"\n"},
		{SVC "  clusterIP: 127.0.0.1\n",
			"f.yaml:6: Service shop/s: spec.clusterIP: loopback, link-local, multicast and "
			"unspecified addresses are nobody's\n"},
		{SVC "  clusterIP: 8.8.8.8\n",
			"f.yaml:1: warning: Service shop/s: 8.8.8.8 is in none of the mesh's ranges: add "
			"it to MeshConfig.spec.meshRanges\n"},
		{SVC IP "  ports: [{port: http}]\n",
			"f.yaml:7: Service shop/s: spec.ports[0].port: expected an integer in 1..65535, "
			"found \"http\"\n"},
		{SVC IP "  ports: [{port: 80, targetPort: \"8080\"}]\n",
			"f.yaml:7: Service shop/s: spec.ports[0].targetPort: a name of a container's "
			"port must have a letter; a number stands without quotes\n"},
		{SVC IP "  ports: [{port: 80, targetPort: 0}]\n",
			"f.yaml:7: Service shop/s: spec.ports[0].targetPort: expected an integer in "
			"1..65535, found 0\n"},
		{SVC IP "  ports: [{port: 80, targetprot: 8080}]\n",
			"f.yaml:7: warning: Service shop/s: spec.ports[0].targetprot: unknown field, "
			"passed over (did you mean targetPort?)\n"},
		{SVC IP "  ports:\n  - {port: 80, name: a}\n  - {port: 81}\n",
			"f.yaml:9: Service shop/s: spec.ports[1].name: required: a string\n"},
		{SVC IP "  ports:\n  - {port: 80, name: a}\n  - {port: 80, name: a}\n",
			"f.yaml:9: Service shop/s: spec.ports[1]: port 80 is there twice\n"
			"f.yaml:9: Service shop/s: spec.ports[1]: the name a is there twice\n"},
		{SVC IP "  ports:\n  - {port: 53, name: dns, protocol: UDP}\n  - {port: 53, name: dns-tcp}\n",
			""},
		{SVC IP "  ports: [{port: 80, appProtocol: example.org/x}]\n",
			"f.yaml:7: note: Service shop/s: spec.ports[0].appProtocol: not known, so the "
			"protocol is found by looking (known: http, http2, grpc, tcp, tls, https, "
			"kubernetes.io/h2c, kubernetes.io/ws, kubernetes.io/wss)\n"},
		{SVC "  type: ExternalName\n  externalName: example.org\n",
			"f.yaml:1: note: Service shop/s: passed over: ExternalName is an alias in DNS "
			"and has no address\n"},
		{SVC IP "  type: Cluster\n",
			"f.yaml:7: Service shop/s: spec.type: expected ClusterIP, NodePort, "
			"LoadBalancer or ExternalName, found \"Cluster\"\n"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {clusterIP: 10.0.0.1}\n",
			"f.yaml:1: note: Service default/s: has no selector and no EndpointSlices, so no endpoints\n"},
	};
	(void)state;
	RUN(rows, true);
}

/* What decides for everybody, or cannot be read at all: nothing may be written. */
static void test_unreadable(void **state)
{
	static const struct row rows[] = {
		{"a: [\n",
			"f.yaml:2: no valid YAML: did not find expected node content (while parsing "
			"a flow node that begins in line 2)\n"},
		{"- a\n", "f.yaml:1: object: expected a map, found a list\n"},
		{"a: 1\n",
			"f.yaml:1: object: kind: required: a string\n"
			"f.yaml:1: object: apiVersion: required: a string\n"},
		{"kind: 1\napiVersion: v1\n",
			"f.yaml:1: object: kind: expected a string, found 1; put it in quotes: \"1\"\n"},
		{CONFIG "  trustDomain: Example.org\n",
			"f.yaml:5: MeshConfig weft-system/m: spec.trustDomain: not a trust domain: "
			"lower-case letters, digits, '.', '-' and '_', at most 255\n"},
		{CONFIG "  meshRanges: []\n",
			"f.yaml:5: MeshConfig weft-system/m: spec.meshRanges: an empty list: leave the "
			"field out for the private ranges\n"},
		{CONFIG "  outboundTrafficPolicy: {mode: ALLOW}\n",
			"f.yaml:5: MeshConfig weft-system/m: spec.outboundTrafficPolicy.mode: expected "
			"ALLOW_ANY or REGISTRY_ONLY, found \"ALLOW\"\n"},
		{CONFIG "  trustdomain: x\n",
			"f.yaml:5: MeshConfig weft-system/m: spec.trustdomain: unknown field (did you "
			"mean trustDomain?)\n"},
		{"apiVersion: mesh.weft.dev/v1alpha1\nkind: MeshConfig\n"
		 "metadata: {name: m, namespace: shop}\n",
			"f.yaml:1: MeshConfig shop/m: a MeshConfig must be in namespace weft-system\n"},
		{CONFIG "  trustDomain: x\n---\n" OURS("MeshConfig", "n"),
			"f.yaml:8: MeshConfig weft-system/n: there is one already, m at f.yaml:1\n"},
		{"apiVersion: mesh.weft.dev/v1\nkind: MeshConfig\nmetadata: {name: m}\n",
			"f.yaml:1: MeshConfig weft-system/m: apiVersion: expected "
			"mesh.weft.dev/v1alpha1, found \"mesh.weft.dev/v1\"\n"},
	};
	(void)state;
	RUN(rows, false);
}

static void test_kinds(void **state)
{
	static const struct row rows[] = {
		{"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: shop}\n",
			"f.yaml:1: note: Deployment shop/d: passed over: not used (apiVersion "
			"apps/v1)\n"},
		{"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n}\n",
			"f.yaml:1: warning: NetworkPolicy n: passed over: this version does not enforce "
			"NetworkPolicy\n"},
		{"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: n}\n",
			"f.yaml:1: warning: AuthorizationPolicy n: passed over: apiVersion is Istio's; "
			"write mesh.weft.dev/v1alpha1 to have it enforced here\n"},
		{OURS("AuthorisationPolicy", "n"),
			"f.yaml:2: AuthorisationPolicy default/n: kind: AuthorisationPolicy is not "
			"supported by this version (did you mean AuthorizationPolicy?)\n"},
		{OURS("RequestAuthentication", "n"),
			"f.yaml:2: RequestAuthentication default/n: kind: RequestAuthentication is not "
			"supported by this version\n"},
		{OURS("ServiceEntry", "n"),
			"f.yaml:2: ServiceEntry default/n: kind: ServiceEntry is not supported by "
			"this version\n"},
		{"apiVersion: mesh.weft.dev/v1\nkind: AuthorizationPolicy\nmetadata: {name: n}\n",
			"f.yaml:1: AuthorizationPolicy default/n: apiVersion: expected "
			"mesh.weft.dev/v1alpha1, found \"mesh.weft.dev/v1\"\n"},
		{"apiVersion: mesh.weft.dev/v1alpha1\nkind: Pod\nmetadata: {name: n}\n",
			"f.yaml:1: Pod default/n: kind: Pod is not supported by this version\n"},
		{"apiVersion: v1\nkind: AuthorizationPolicy\nmetadata: {name: n}\n",
			"f.yaml:1: AuthorizationPolicy default/n: apiVersion: expected "
			"mesh.weft.dev/v1alpha1, found \"v1\"\n"},
		{"apiVersion: mesh.weft.dev\nkind: PeerAuthentication\nmetadata: {name: n}\n",
			"f.yaml:1: PeerAuthentication default/n: apiVersion: expected "
			"mesh.weft.dev/v1alpha1, found \"mesh.weft.dev\"\n"},
		{"apiVersion: Mesh.Weft.dev/v1alpha1\nkind: AuthorizationPolicy\n"
		 "metadata: {name: n}\n",
			"f.yaml:1: AuthorizationPolicy default/n: apiVersion: expected "
			"mesh.weft.dev/v1alpha1, found \"Mesh.Weft.dev/v1alpha1\"\n"},
		{"apiVersion: policy.linkerd.io/v1alpha1\nkind: AuthorizationPolicy\n"
		 "metadata: {name: n}\n",
			"f.yaml:1: note: AuthorizationPolicy n: passed over: not used (apiVersion "
			"policy.linkerd.io/v1alpha1)\n"},
		{"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n", ""},
	};
	(void)state;
	RUN(rows, true);
}

#define TRAFFIC                                                                                    \
	"apiVersion: mesh.weft.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: t, namespace: " \
	"shop}\nspec:\n"
#define TARGETS "  targetRefs: [{kind: Service, name: s}]\n"

static void test_traffic_policies(void **state)
{
	static const struct row rows[] = {
		{SVC IP "  ports: [{port: 80}]\n---\n" TRAFFIC TARGETS
			"  loadBalancer: {simple: ROUND_ROBIN}\n",
			""},
		{TRAFFIC TARGETS "  loadBalancer: {simple: ROUND_ROBIN}\n",
			"f.yaml:1: warning: TrafficPolicy shop/t: spec.targetRefs: there is no Service "
			"shop/s\n"},
		{TRAFFIC TARGETS "  loadBalancer: {simple: ROUNDROBIN}\n",
			"f.yaml:6: TrafficPolicy shop/t: spec.loadBalancer.simple: expected "
			"LEAST_REQUEST or ROUND_ROBIN, found \"ROUNDROBIN\"\n"},
		{TRAFFIC "  targetRefs: [{kind: Pod, name: s}]\n  loadBalancer: {simple: "
			 "ROUND_ROBIN}\n",
			"f.yaml:5: TrafficPolicy shop/t: spec.targetRefs[0].kind: expected kind "
			"Service of group \"\"\n"},
	};
	(void)state;
	RUN(rows, true);
}

static void test_lists(void **state)
{
	static const struct row rows[] = {
		{"apiVersion: v1\nkind: List\nmetadata: {resourceVersion: \"\"}\nitems: []\n", ""},
		{"{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: p},"
		 "\nspec: {hostNetwork: 1}}]}\n",
			"f.yaml:2: Pod default/p: spec.hostNetwork: expected true or false, found 1\n"},
		{"{apiVersion: v1, kind: PodList, items: [{metadata: {name: p},\nspec: {x: 1}},"
		 "{metadata: {name: p},spec: {x: 1}}]}\n",
			"f.yaml:2: Pod default/p: defined again; it is already at f.yaml:1\n"},
	};
	(void)state;
	RUN(rows, true);
}

/* What denies in the place of something that cannot be read, and what does not. */
static void test_denials(void **state)
{
	static const struct {
		const char *yaml;
		size_t policies, peer_auths;
	} rows[] = {
		{OURS("AuthorisationPolicy", "n"), 1, 0},
		{OURS("RequestAuthentication", "n"), 1, 0},
		{OURS("TrafficPolicy", "n"), 0, 0},
		{"apiVersion: mesh.weft.dev/v1\nkind: AuthorizationPolicy\nmetadata: {name: n}\n",
			1, 0},
		{"apiVersion: mesh.weft.dev/v1\nkind: PeerAuthentication\nmetadata: {name: n}\n", 0,
			1},
		{"apiVersion: mesh.weft.dev\nkind: AuthorizationPolicy\nmetadata: {name: n}\n", 1,
			0},
		{"apiVersion: MESH.weft.dev/v1alpha1\nkind: PeerAuthentication\n"
		 "metadata: {name: n}\n",
			0, 1},
		{"apiVersion: v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: n}\n", 1, 0},
		{"apiVersion: v1alpha1\nkind: RequestAuthentication\nmetadata: {name: n}\n", 1, 0},
		{"apiVersion: x.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: n}\n", 0, 0},
		{OURS("AuthorizationPolicy", "n") OURS("AuthorizationPolicy", "n"), 2, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world_counts n;
		struct world *w = worlds_of(rows[i].yaml);
		world_count(w, &n);
		assert_int_equal(n.policies, rows[i].policies);
		assert_int_equal(n.peer_auths, rows[i].peer_auths);
		world_free(&w);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pods),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_traffic_policies),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_denials),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
