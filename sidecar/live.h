/*
 * A sidecar's life with a control plane: channel, identity and discovery become the configuration
 * in force and the last-good file, and the file becomes the configuration of the next start. Owned
 * by struct proxy; without --control-plane there is none.
 */
#ifndef WEFT_SIDECAR_LIVE_H
#define WEFT_SIDECAR_LIVE_H

#include "lib/json/json.h"
#include "lib/obs/metric.h"
#include "sidecar/flow/flow.h"

struct live;

/* Copied; what it points to is borrowed. */
struct live_config {
	struct http_env http;
	struct net *net;
	struct log *log;
	struct rng *rng;
	uint32_t mark; /* of dialled sockets */
	const struct sidecar_params *params;
	struct metrics *metrics;
	struct flow *flow;
	/* Puts a snapshot in force (takes a reference of its own). 0 or ERR_* with text. */
	int (*in_force)(void *arg, struct snapshot *snap, char *err, size_t size);
	void *arg;
};

/* 0 or ERR_INVAL with text in err that names the flag. Adds its metrics. */
int live_new(const struct live_config *cfg, struct live **out, char *err, size_t size);
/* Restores what the last-good file has, then asks the control plane for the rest, for ever. */
void live_start(struct live *l);
/* Tries again at once what waits after a failure. */
void live_kick(struct live *l);
/* Writes what has not been written yet, and ends everything. Nulls; safe on NULL. */
void live_free(struct live **l);

/* Why the last-good file was refused at start; empty: it was not. */
struct str live_refusal(const struct live *l);
/* Why there is no configuration yet, or no certificate that holds; one line each. */
void live_reasons(const struct live *l, struct buf *reasons);
/* Members of an open JSON object. */
void live_describe(const struct live *l, struct json *j);

/* For metrics. */
struct live_stats {
	bool connected;
	uint64_t rejections, write_failures, files_refused;
	size_t subscriptions;
};
void live_stats(const struct live *l, struct live_stats *out);

#endif
