/*
 * What the two flows share: environment, configuration in force, pools, counters and the list of
 * live connections. Owned by struct proxy; everything below flow/ borrows it.
 */
#ifndef WEFT_SIDECAR_FLOW_FLOW_H
#define WEFT_SIDECAR_FLOW_FLOW_H

#include "lib/http/conn.h"
#include "sidecar/balance/pick.h"
#include "sidecar/flow/learned.h"
#include "sidecar/snapshot/lookup.h"
#include "sidecar/params.h"
#include "sidecar/snapshot/snapshot.h"
#include "sidecar/telemetry/span.h"
#include "sidecar/upstream/pool.h"

/* The original destination of an accepted connection: 0 or ERR_*. */
typedef int orig_dst_fn(void *arg, const struct io *io, struct addr *out);

/* The edges of the world, injected; all borrowed. */
struct flow_env {
	struct http_env http;
	struct net *net;
	struct log *log;
	struct rng *rng;
	orig_dst_fn *orig_dst;
	void *orig_dst_arg;
	uint32_t mark;
};

/* Counted here and read by the admin endpoint. */
struct flow_stats {
	size_t conns, conns_inbound, requests;
	uint64_t accepted, refused;
};

/* Called when the last connection has ended while draining. */
typedef void flow_idle_fn(void *arg);

/* Owned by struct proxy. Owns pools, contexts, balance state and (through the list) all
 * connections. */
struct flow {
	struct flow_env env;
	const struct sidecar_params *params;
	struct http_limits down_limits, up_limits;
	struct snapshot *snap;     /* in force; NULL before the first */
	uint32_t generation;       /* counts snapshots */
	uint32_t trust_generation; /* the last one whose bundle differed from the one before */
	uint32_t rules_generation; /* the last one that differed in more than destinations */
	struct loop_task judge;    /* goes on with judging what is open */
	struct tls_ctx *server_ctx, *client_ctx;
	struct connect_env connect;
	struct pools *pools;
	struct telemetry *telemetry;
	struct learned *learned;
	struct map *loads;    /* endpoint key -> struct balance_load */
	struct map *services; /* service key -> struct balance_state */
	size_t sweep_at;      /* entries of both that are worth a look who still needs them */
	struct list conns;    /* struct conn; in front those not judged under snap yet */
	struct lookup lookup; /* ask is NULL: nothing but the snapshot is ever known */
	struct list waiting;  /* struct conn whose destination was asked for, and ... */
	struct list answered; /* ... those that are to look again */
	size_t n_waiting;     /* on either */
	struct loop_task answer;
	struct map *uses; /* address -> number of outbound connections to it */
	struct list free_requests;
	struct list starved; /* requests whose windows stay shut while max-buffer is passed */
	struct loop_timer starved_timer;
	struct flow_stats stats;
	size_t peak_load;        /* most connections and requests at a time since quiet */
	struct loop_timer quiet; /* load is far below its peak */
	size_t max_conns;
	bool draining;
	flow_idle_fn *on_idle;
	void *on_idle_arg;
};

struct flow *flow_new(const struct flow_env *env, const struct sidecar_params *params,
	struct metrics *metrics, struct log *access_log);
/* Everything has ended (flow_end, then a settled loop). */
void flow_free(struct flow **f);
/*
 * Puts a new configuration in force (takes a reference). Live connections are judged again, in
 * slices; pools are retired where identity or bundle changed. 0, or ERR_INVAL with text in err: the
 * old one stays.
 */
int flow_set_snapshot(struct flow *f, struct snapshot *snap, char *err, size_t size);
/* Before the first connection. */
void flow_set_lookup(struct flow *f, const struct lookup *lookup);
/* What lookup->ask says of that address (port 0) is another thing now; a new snapshot says it by
 * itself. */
void flow_lookup_done(struct flow *f, const struct addr *ip);
/* Connections or requests to that address (port 0) are open. */
bool flow_uses(const struct flow *f, const struct addr *ip);
/* Inbound HTTP connections finish what they carry and end; on_idle is called whenever the last
 * connection of any kind has ended. */
void flow_drain(struct flow *f, flow_idle_fn *on_idle, void *arg);
/* Ends every connection now. */
void flow_end(struct flow *f);
/* judge.c: judges what is open under the configuration in force, one slice; a loop_task_fn. */
void flow_on_judge(void *flow);
/* lookup.c */
void lookup_init(struct flow *f, struct metrics *metrics);
void lookup_fini(struct flow *f);
/* The configuration is another one: all who wait look again. */
void lookup_again(struct flow *f);
/* trim.c: connections or requests have come or gone. */
void flow_on_load(struct flow *f);
/* The loop_timer_fn of quiet: what a burst left on free lists goes back to the system. */
void flow_on_quiet(void *flow);
void flow_free_requests(struct flow *f);
/* The configuration is older than max-stale. */
bool flow_stale(const struct flow *f);
/* The own leaf is over: nobody would believe it, so nothing is begun with it. */
bool flow_expired(const struct flow *f);

/* Accept functions of the two listeners; arg is the flow. */
void inbound_accept(void *arg, struct io *io);
void outbound_accept(void *arg, struct io *io);
/* A connection of this pod to itself: a connect_self_fn; arg is the flow. */
struct io *inbound_accept_self(void *arg, const struct addr *to, const char *alpn);

/* Balance state, made on first use. */
struct balance_load *flow_load(void *flow, const struct mesh_endpoint *ep);
struct balance_state *flow_service_state(struct flow *f, const struct mesh_service *svc);

static inline uint64_t flow_now(const struct flow *f)
{
	return loop_now(f->env.http.loop);
}

#endif
