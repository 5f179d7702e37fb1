/*
 * A server, a network and pools in memory, and requests for streams that write down what came of
 * them. Owned by the test; used by the tests of sidecar/upstream.
 */
#ifndef TESTS_SUPPORT_POOL_WORLD_H
#define TESTS_SUPPORT_POOL_WORLD_H

#include "lib/net/net_sim.h"
#include "sidecar/upstream/pool_internal.h"
#include "tests/support/http_support.h"

#define POOL_WORLD_USERS 16
#define POOL_WORLD_CALLS 32

struct pool_world;

/* One request for a stream, and what came of it. */
struct pool_call {
	struct pool_world *w;
	struct pool_wait *wait;
	struct http_stream *stream; /* NULL after on_end */
	bool ready, failed, reused, ended;
	enum reason reason; /* of the failure, or of the end */
	unsigned order;     /* in which calls were answered, from 1 on */
	void (*on_ready)(struct pool_call *c);
};

struct pool_world {
	struct http_world w;
	struct net *net;
	struct connect_env connect;
	struct pools *pools;
	struct pool_limits bounds;
	struct listener *listener;
	enum http_version version;
	struct http_user *users[POOL_WORLD_USERS];
	unsigned accepted, answered, n_calls;
	bool hang_up; /* closes what it accepts at once */
	struct pool_key key;
	struct pool_call calls[POOL_WORLD_CALLS];
};

/* Bounds: three connections and four waiters to a pool, two pools. */
void pool_world_open(struct pool_world *w, enum http_version version);
/* Ends all, and asserts that nothing is left. */
void pool_world_close(struct pool_world *w);
/* Asks for a stream; does not settle. */
struct pool_call *pool_world_ask(struct pool_world *w, bool upgrade);
/* The server answers the oldest open exchange of its connection number user; settles. */
void pool_world_answer(struct pool_world *w, unsigned user);
void pool_world_settle(struct pool_world *w);
void pool_world_advance(struct pool_world *w, uint64_t ns);

#endif
