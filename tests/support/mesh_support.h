/*
 * A mesh in one process: a simulated loop and network, certificates of its own, pods with and
 * without sidecars, services over them. What iptables does in a pod, the simulated network does
 * here.
 */
#ifndef TESTS_SUPPORT_MESH_SUPPORT_H
#define TESTS_SUPPORT_MESH_SUPPORT_H

#include "certs/issue.h"
#include "lib/base/rand.h"
#include "sidecar/proxy.h"
#include "tests/support/http_support.h"
#include "weft/mesh/v1/mesh.pb-c.h"

#define MESH_PODS 8
#define MESH_WALL 1800000000ll

struct mesh;

/* Owned by its mesh. */
struct mesh_test_pod {
	struct mesh *mesh;
	const char *name;
	char ip[32], uid[40], id[128];
	bool meshed, unready;
	bool hidden;             /* nobody is told of it */
	struct cert_chain *leaf; /* the last one, with its key; owned */
	struct cert_key *leaf_key;
	struct sidecar_params params;
	struct proxy *proxy; /* NULL: no sidecar */
	struct rng rng;
	bool done;
};

/* Owned by the test. */
struct mesh {
	struct http_world w; /* loop and pools */
	struct net *net;
	struct log *log;
	struct buf_pool *log_bufs; /* apart, so that memory in use is that of the mesh */
	struct buf log_text;
	struct cert_ca *ca, *other_ca; /* of cluster.local and of other.example */
	struct cert_ca *old_ca;        /* a second root of cluster.local; NULL: none. Owned */
	bool trust_other;              /* the bundle of other.example is known */
	bool v6;                       /* set before the first pod */
	struct mesh_test_pod pods[MESH_PODS];
	size_t n_pods;
	/* one service over all pods whose name begins with "web": VIP 10.96.0.1 */
	Weft__Mesh__V1__Protocol protocol;
	uint16_t port, target;
	/* policies of every pod; borrowed from the test, or made by mesh_policy */
	Weft__Mesh__V1__AuthorizationPolicy **policies;
	size_t n_policies;
	Weft__Mesh__V1__MtlsMode mtls, port_mtls; /* of pods; of their port, where not that */
	bool round_robin;
	int64_t leaf_seconds; /* 0: a day */
	int64_t state_age;    /* seconds since it was written */
	char *revoked[4];
	size_t n_revoked;
	struct arena made; /* of mesh_policy */
	Weft__Mesh__V1__AuthorizationPolicy *made_policies[8];
	bool keep_leaves; /* what has a leaf gets no other one */
	bool hide_service, registry_only;
	bool not_meshed_flag; /* endpoints of pods without sidecar are DISABLE instead of STRICT */
};

void mesh_init(struct mesh *m);
/* Quits every proxy, settles, frees; asserts that nothing is held. */
void mesh_fini(struct mesh *m);
/* name doubles as service account; address 10.77.0.<n+2>. */
struct mesh_test_pod *mesh_pod(struct mesh *m, const char *name, bool meshed);
/* The service's address and port, as text for mesh_dial. */
const char *mesh_vip(const struct mesh *m);
/* A root; the caller owns it. */
struct cert_ca *mesh_ca(const char *trust_domain);
/* Without configuration. */
void mesh_start_proxy(struct mesh_test_pod *p);
/* Compiles a snapshot for each meshed pod and starts (or updates) its proxy. */
void mesh_apply(struct mesh *m);
void mesh_apply_one(struct mesh *m, struct mesh_test_pod *p);
/* The same as a state file. */
void mesh_save_state(struct mesh *m, struct mesh_test_pod *p, const char *path);
/* Serial of the pod's leaf in force. */
const char *mesh_serial(const struct mesh_test_pod *p);
/* With a leaf of the caller's (broken variants) for one pod. */
void mesh_apply_leaf(struct mesh *m, struct mesh_test_pod *p, struct cert_ca *ca, const char *id,
	enum cert_flaw flaw);
void mesh_settle(struct mesh *m);
void mesh_advance(struct mesh *m, uint64_t ns);
/* Dials as an application of that pod; NULL where it was refused. Settles. */
struct io *mesh_dial(struct mesh *m, struct mesh_test_pod *from, const char *to);
/* The log so far contains that text. */
bool mesh_logged(struct mesh *m, const char *text);
/* How often. */
unsigned mesh_count_logged(struct mesh *m, const char *text);
/* For whoever looks why a test fails. */
void mesh_print_log(struct mesh *m);
/* Value of the series of that family whose line contains all of the words (NULL-terminated);
 * summed. */
double mesh_metric(struct mesh_test_pod *p, const char *name, ...) __attribute__((sentinel));

/*
 * Adds a policy that holds from the next mesh_apply on: action for one principal ("*": any; NULL:
 * no source, so everybody), on one container port (0: all).
 */
void mesh_policy(struct mesh *m, const char *name,
	Weft__Mesh__V1__AuthorizationPolicy__Action action, const char *principal, uint32_t port);
void mesh_policies_clear(struct mesh *m);
#define MESH_ALLOW WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__ALLOW
#define MESH_DENY WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__DENY
/* A few minutes later nothing is open or counted any more in any proxy: connections, requests,
 * waiters, load. */
void mesh_assert_idle(struct mesh *m);
/* Every pooled upstream connection of the pod breaks with err. Returns how many. */
unsigned mesh_break_upstreams(struct mesh_test_pod *p, int err);

/* An HTTP application of a pod: every connection to ip:port becomes a server-role connection of
 * user. */
struct mesh_app {
	struct mesh *mesh;
	struct listener *listener;
	struct http_user **users;
	size_t n;
	enum http_version version;
	void (*setup)(struct http_user *u); /* what each user shall do; its arg is the app */
	void *arg;                          /* the test's own */
	unsigned accepted;
};
void mesh_app_start(struct mesh_app *a, struct mesh_test_pod *p, uint16_t port,
	enum http_version version, void (*setup)(struct http_user *u));
void mesh_app_stop(struct mesh_app *a);

/* A raw application: every connection becomes a wire. */
struct mesh_raw {
	struct mesh *mesh;
	struct listener *listener;
	struct wire wires[64];
	size_t n;
	const char *banner; /* sent at accept; NULL: none */
};
void mesh_raw_start(struct mesh_raw *a, struct mesh_test_pod *p, uint16_t port, const char *banner);
void mesh_raw_stop(struct mesh_raw *a);

#endif
