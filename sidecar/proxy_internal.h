/*
 * The inside of struct proxy for its two files: proxy.c (life) and gauges.c (what it tells). Not
 * for anybody else.
 */
#ifndef WEFT_SIDECAR_PROXY_INTERNAL_H
#define WEFT_SIDECAR_PROXY_INTERNAL_H

#include "sidecar/live.h"
#include "sidecar/proxy.h"

#define PROXY_MAGIC 0x70727879u

/* Owned by run.c or a test. */
struct proxy {
	struct obj_head obj;
	struct proxy_env env;
	const struct sidecar_params *params;
	struct metrics *metrics;
	struct flow *flow;
	struct listener *inbound[2], *outbound[2];
	struct endpoints *endpoints;
	struct live *live;   /* NULL: no control plane, the state file alone */
	struct watch *watch; /* of the state file; NULL with a control plane */
	struct loop_timer housekeeping, min_drain, deadline, orphans;
	bool started, draining, min_over, quitting, done_called;
	char state_error[512]; /* of the last attempt to load; empty: good */
	uint64_t state_refused;
	proxy_done_fn *done;
	void *done_arg;
	struct loop_task done_task, quit_task;
};

static inline int64_t proxy_wall_s(const struct proxy *p)
{
	return (int64_t)(loop_wall(p->env.loop) / NS_PER_S);
}

/* gauges.c: metrics that are asked for at scrape. */
void proxy_add_gauges(struct proxy *p);

#endif
