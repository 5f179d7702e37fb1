/*
 * The sidecar's side of weft.mesh.v1.Discovery: what the pod calls is subscribed to, what is
 * required is waited for, everything that holds together becomes a State and, through its user, the
 * configuration in force and the last-good file. Owns stream, resources and answers; owned by
 * struct proxy.
 */
#ifndef WEFT_SIDECAR_DISCOVERY_DISCOVERY_H
#define WEFT_SIDECAR_DISCOVERY_DISCOVERY_H

#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/grpc/channel.h"
#include "lib/json/json.h"
#include "sidecar/snapshot/snapshot.h"
#include "weft/mesh/v1/discovery.pb-c.h"

struct discovery;

/* What its user does for it; all are required. */
struct discovery_user {
	/* Whether one resource by itself validates (snapshot_check_resource). 0, or ERR_* with the
	 * fault. */
	int (*check)(void *arg, const Weft__Mesh__V1__Resource *r, struct snapshot_fault *fault);
	/*
	 * Puts resources in force: a State with required, used, position and not_meshed; the rest
	 * (trust domain, pod, identity) is the user's affair, and while there is no identity it
	 * validates the resources alone (snapshot_try). Borrowed for the call. 0, or ERR_* with the
	 * fault; the former stays in force then. It may ask, touch and refresh from inside.
	 */
	int (*apply)(void *arg, const Weft__Mesh__V1__State *st, struct snapshot_fault *fault);
	/* An answer came for that address (port 0), and what it names is in force, if it can be:
	 * ask again. Deferred. */
	void (*answered)(void *arg, const struct addr *ip);
	/* Connections or requests that run use that address: it is not forgotten. */
	bool (*in_use)(void *arg, const struct addr *ip);
	/* Something changed that discovery_fill gives. Deferred, once per turn. */
	void (*changed)(void *arg);
	/* The credential was refused (UNAUTHENTICATED): another one may be got, and discovery_kick
	 * tries with it. */
	void (*refused)(void *arg);
};

/* Copied; what it points to is borrowed. */
struct discovery_config {
	struct loop *loop;
	struct log *log;
	struct rng *rng;
	struct grpc_channel *channel;
	/* The bearer credential of now; empty: none (Unix uid). Asked for each stream. */
	struct str (*credential)(void *arg);
	const struct discovery_user *user;
	void *arg;         /* of all of these */
	const char *names; /* comma-separated: subscribed to from the start, never forgotten */
	uint32_t max_destinations; /* remembered beyond those in use */
	uint32_t max_negatives;
};

struct discovery *discovery_new(const struct discovery_config *cfg);
/* Resources, answers and position of a last-good file that the user has put in force itself,
 * before discovery_start. Copied. */
void discovery_restore(struct discovery *d, const Weft__Mesh__V1__State *st);
/* Opens the stream, again and again, with full jitter between tries. */
void discovery_start(struct discovery *d);
/* The credential changed, or the identity came: tries at once where it waits. */
void discovery_kick(struct discovery *d);
void discovery_free(struct discovery **d);

/* As struct lookup (sidecar/snapshot/lookup.h) has them; arg is the discovery. */
int discovery_ask(void *d, const struct addr *ip); /* enum lookup_answer */
void discovery_touch(void *d, const struct addr *ip);
void discovery_refresh(void *d, const struct addr *ip);

/* Fills in required, used, position and not_meshed, borrowed until the next event. False where what
 * is required is not complete. */
bool discovery_fill(struct discovery *d, Weft__Mesh__V1__State *st);
/* What is missing or failed, one line each; true where nothing is. */
bool discovery_ready(const struct discovery *d, struct buf *reasons);
/* The stream is open and everything up to its position has come. */
bool discovery_connected(const struct discovery *d);
/* Counted since the start, and as it is now. */
struct discovery_stats {
	uint64_t rejections;  /* resources that were refused with a NACK */
	size_t subscriptions; /* by address or name */
};
void discovery_stats(const struct discovery *d, struct discovery_stats *out);
/* Members of an open JSON object. */
void discovery_describe(const struct discovery *d, struct json *j);

#endif
