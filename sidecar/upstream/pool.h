/*
 * Pools of HTTP connections to upstreams, keyed by address, wire protocol, expected identity and
 * pod UID. HTTP/2 connections are shared by many requests, HTTP/1 ones are kept for reuse; what is
 * asked beyond the bounds waits in a bounded queue. Owned by the proxy.
 */
#ifndef WEFT_SIDECAR_UPSTREAM_POOL_H
#define WEFT_SIDECAR_UPSTREAM_POOL_H

#include "lib/http/conn.h"
#include "sidecar/upstream/connect.h"

/* What makes two requests share a connection. Borrowed for the call. */
struct pool_key {
	struct connect_target target;
	enum http_version version;
};

/* Bounds by name; see the sidecar's parameters. */
struct pool_limits {
	uint32_t max_conns;   /* of one pool */
	uint32_t max_waiting; /* requests that wait for a connection, of one pool */
	uint32_t max_pools;   /* idle ones go first */
	uint64_t idle_ns;     /* a connection without requests */
	uint64_t wait_ns;     /* longest wait of a request */
};

struct pools;
struct pool_wait;

struct pool_failure {
	enum reason reason;
	enum cert_verdict verdict;
	const char *text; /* borrowed for the call */
};

/* stream is NULL on failure; reused as below. Exactly once, never from inside pools_acquire. */
typedef void pool_ready_fn(void *arg, struct http_stream *stream, bool reused,
	const struct pool_failure *failure);

struct pools *pools_new(const struct http_env *http, const struct connect_env *connect,
	const struct http_limits *limits, const struct pool_limits *bounds, uint64_t seed);
/* Ends every connection now; their streams get on_end. pools_free comes after the loop has settled.
 */
void pools_end(struct pools *p);
/* No connection and no waiter may be left. */
void pools_free(struct pools **p);

/*
 * A fresh exchange on a connection with room: returned at once where there is one; else NULL with
 * *wait set, and ready comes later. upgrade: the exchange needs RFC 8441 (HTTP/2), so the
 * connection's SETTINGS are awaited first. NULL without *wait: the bounds are reached. *reused: the
 * connection carried a request before, so the peer may just have closed it.
 */
struct http_stream *pools_acquire(struct pools *p, const struct pool_key *key, bool upgrade,
	pool_ready_fn *ready, void *arg, struct pool_wait **wait, bool *reused);
/*
 * Resets an exchange that came from the pools. Applications end connections on which too much is
 * reset, with all that others have on them; so one that has seen much of that takes no more.
 */
void pools_reset_stream(struct http_stream *s, enum reason reason);
/* No call to ready after it. Safe on NULL. */
void pools_cancel(struct pool_wait **wait);
/*
 * The identity or bundle changed: connections under another context than current finish what they
 * carry and end, who waits for one fails with NOT_PROCESSED, and their pools go. Plaintext is left
 * alone.
 */
void pools_retire(struct pools *p, const struct tls_ctx *current);
/*
 * Judges one upstream connection that was not judged since that generation began; false where none
 * is left. is_good is told the generation at which it was judged before (0: when it was made);
 * where it says no, the connection is reset.
 */
typedef bool pool_judge_fn(void *arg, const struct cert_chain *chain, uint32_t judged);
bool pools_judge(struct pools *p, uint32_t generation, pool_judge_fn *is_good, void *arg);
size_t pools_conns(const struct pools *p);
size_t pools_waiting(const struct pools *p);
uint64_t pools_opened(const struct pools *p);

#endif
