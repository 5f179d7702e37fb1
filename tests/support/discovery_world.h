/*
 * A sidecar's discovery and a control plane that says exactly what a test tells it to, over gRPC on
 * a simulated network. Everything lives in struct disc, owned by the test.
 */
#ifndef WEFT_TESTS_SUPPORT_DISCOVERY_WORLD_H
#define WEFT_TESTS_SUPPORT_DISCOVERY_WORLD_H

#include "tests/support/raw_client.h"

#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/grpc/channel.h"
#include "lib/grpc/server.h"
#include "lib/net/net_sim.h"
#include "sidecar/discovery/discovery_internal.h"
#include "sidecar/snapshot/build.h"

#define DISC_REQUESTS 4096

typedef Weft__Mesh__V1__DiscoveryResponse response;
typedef Weft__Mesh__V1__Resource resource;
typedef Weft__Mesh__V1__DiscoveryRequest request;

/* Owned by the test. */
struct disc {
	struct rig rig;
	struct rng rng;
	struct log *log;
	char log_text[16384];
	size_t log_n;
	struct arena a; /* of what is built */
	struct cert_ca *ca;
	/* the control plane */
	struct grpc_server *server;
	struct grpc_service service;
	struct addr addr;
	struct grpc_call *call; /* the stream of now */
	unsigned calls, nonce;
	bool deaf;  /* takes no stream: it hangs */
	int refuse; /* enum grpc_status of each new stream; 0: takes it */
	char bearer[64];
	request *requests[DISC_REQUESTS]; /* of the stream of now */
	size_t n_requests;
	uint64_t all_requests, all_keys; /* of all streams */
	void (*on_request)(struct disc *w, const request *q);
	/* the sidecar */
	struct grpc_channel *channel;
	struct dial *dial;
	grpc_dialled_fn *dialled;
	void *dialled_arg;
	unsigned dials;
	const char *names, *credential;
	uint32_t max_destinations, max_negatives;
	struct discovery *d;
	/* what its user sees */
	unsigned applied, changed, credential_refused;
	char in_force[8192]; /* "required: a b; used: c d" of the last State that was applied */
	char broken[1024];   /* reasons of the broken policies in it */
	const char
		*apply_fails; /* "NAME" of a resource in whose presence apply fails; "": always */
	char answered[1024];  /* addresses, in order */
	const char *in_use;   /* an address */
	void *arg;
};

void disc_init(struct disc *w);
/* The sidecar's side alone, against a server of the test's own; disc_detach. */
void disc_attach(struct disc *w, const struct http_env *env, struct net *net, struct addr to);
void disc_detach(struct disc *w);
/* The sidecar's side, not started. */
void disc_make(struct disc *w);
/* Made, started, settled. */
void disc_start(struct disc *w);
void disc_free(struct disc *w);
void disc_fini(struct disc *w);
void disc_settle(struct disc *w);
void disc_advance(struct disc *w, uint64_t ns);
void disc_serve(struct disc *w);
/* The control plane goes, with all streams. */
void disc_stop_server(struct disc *w);

/* -- what the control plane says -- */

response *say(struct disc *w);
/* Names "a b" of policies; NULL: that list is withheld. */
void say_required(struct disc *w, response *m, const char *policies);
void say_resource(struct disc *w, response *m, resource *r);
void say_removed(struct disc *w, response *m, const char *name);
/* resource NULL: not meshed. */
void say_answer(struct disc *w, response *m, const char *ip, const char *name);
void say_refused(struct disc *w, response *m, const char *ip, const char *why);
/* Required without policies, its resources, position. */
void say_basics(struct disc *w, response *m);
/* With the next nonce; settles (past the pace). */
void say_it(struct disc *w, response *m);
void say_bytes(struct disc *w, struct str bytes);

resource *make_workload(struct disc *w, const char *version);
resource *make_mesh(struct disc *w, const char *version);
resource *make_bundle(struct disc *w, const char *version);
resource *make_revocations(struct disc *w, const char *version);
/* "AuthorizationPolicy/shop/NAME"; bad: with an empty value of a principal. */
resource *make_policy(struct disc *w, const char *name, const char *version, bool bad);
/* "Service/shop/NAME" at a VIP; "": headless. */
resource *make_service(struct disc *w, const char *name, const char *vip, const char *version);
resource *make_pod(struct disc *w, const char *name, const char *ip, const char *version);
/* On the heap, as it comes from the wire. */
resource *make_unpacked(const resource *r);

/* -- what the sidecar does -- */

enum lookup_answer disc_ask(struct disc *w, const char *ip);
/* The last request of the stream of now that answers a response; NULL: none. */
const request *disc_last_answer(const struct disc *w);
/* Requests of this stream subscribe / unsubscribe to that address. */
unsigned disc_subscribed(const struct disc *w, const char *key);
unsigned disc_unsubscribed(const struct disc *w, const char *key);
/* "NAME: FIELD: REASON\n" of all that the last answer rejects; in a static buffer of the world. */
const char *disc_rejected(struct disc *w);
bool disc_held(const request *q, const char *name, const char *version);
/* Its JSON, in the world's arena. */
const char *disc_describe(struct disc *w);

#endif
