/*
 * One sidecar: owns everything between its listeners and its pools. Several live in one process in
 * tests, for nothing is global; the edges (network, clock, original destination) are injected.
 */
#ifndef WEFT_SIDECAR_PROXY_H
#define WEFT_SIDECAR_PROXY_H

#include "lib/net/listen.h"
#include "sidecar/flow/flow.h"
#include "sidecar/params.h"

struct proxy;

/* All borrowed; outlive the proxy. */
struct proxy_env {
	struct loop *loop;
	struct net *net;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct log *log;
	struct rng *rng;
	orig_dst_fn *orig_dst;
	void *orig_dst_arg;
	uint32_t
		mark; /* of dialled sockets; 0: none (a uid of our own keeps them out of capture) */
	struct addr bind; /* simulation: all listeners bind this address; ADDR_NONE: each its own */
};

/* The proxy has nothing left to do after a drain. */
typedef void proxy_done_fn(void *arg);

/* done (may be NULL) is called once, when a drain or quit has nothing left to wait for. */
struct proxy *proxy_new(const struct proxy_env *env, const struct sidecar_params *params,
	proxy_done_fn *done, void *done_arg);
/* Opens listeners and endpoints, loads the state file and watches it, or lives from the control
 * plane where there is one. 0 or ERR_* with text for people in err. */
int proxy_start(struct proxy *p, char *err, size_t size);
/* Puts a snapshot in force (takes a reference); for tests and for the state file. 0 or ERR_INVAL.
 */
int proxy_set_snapshot(struct proxy *p, struct snapshot *snap, char *err, size_t size);
/* Reads the state file again; what does not validate is refused whole and the old one stays. With a
 * control plane: what waits after a failure is tried at once. */
void proxy_reload(struct proxy *p);
/* Rule 18: not ready at once, inbound still accepted for min-drain, then out when idle or before
 * the grace period ends. */
void proxy_drain(struct proxy *p);
/* Ends everything now; done follows. _soon: when no callback is on the stack, for handlers of our
 * own endpoints. */
void proxy_quit(struct proxy *p);
void proxy_quit_soon(struct proxy *p);
bool proxy_ready(const struct proxy *p, struct buf *reasons);
struct flow *proxy_flow(struct proxy *p);
struct metrics *proxy_metrics(struct proxy *p);
/* All has ended (done was called) and the loop has settled. */
void proxy_free(struct proxy **p);

#endif
