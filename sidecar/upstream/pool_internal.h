/*
 * What the two files of the pools share: pools.c finds, makes and ends pools, pool.c serves those
 * who wait in one. Nobody else includes it.
 */
#ifndef WEFT_SIDECAR_UPSTREAM_POOL_INTERNAL_H
#define WEFT_SIDECAR_UPSTREAM_POOL_INTERNAL_H

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "sidecar/upstream/pool.h"

#define POOL_MAGIC 0x706f6f6cu
#define POOL_CONN_MAGIC 0x70636e6eu

struct pool;

/* Everything of one worker. Owned by the proxy. */
struct pools {
	struct http_env http;
	const struct connect_env *connect;
	struct http_limits limits;
	struct pool_limits bounds;
	struct map *by_key;
	struct list idle;   /* pools without connections, oldest first */
	struct list secure; /* struct pool_conn with a peer chain; in front those not judged yet */
	uint32_t generation;
	size_t n_conns, n_waiting;
	uint64_t opened;
};

/* Connections to one endpoint under one identity. Owned by struct pools. */
struct pool {
	struct obj_head obj;
	struct pools *owner;
	struct list_node idle_node;
	struct list conns;   /* struct pool_conn with an http_conn; in front those with room, most
				recently used first */
	struct list dialing; /* struct pool_conn that connect */
	struct list waiters;
	size_t n_conns, n_dialing, n_waiting;
	unsigned fruitless;
	bool retired; /* its identity is an old one: goes with its last connection */
	bool removed;
	struct connect_target target;
	enum http_version version;
	char *id, *uid; /* what target.id and target.uid point to */
	struct loop_task serve;
	struct str key; /* points behind the struct */
};

/* One connection, being made or in use. Owned by its pool until on_end. */
struct pool_conn {
	struct obj_head obj;
	struct list_node node, secure_node;
	uint32_t generation; /* under which its peer was judged */
	struct pool *pool;
	struct connect *connect;
	struct http_conn *http;
	struct loop_timer retire; /* before either leaf expires */
	unsigned resets;          /* exchanges that we broke off */
	bool used;
};

/* One request in the queue. Owned by its pool until ready or cancel. */
struct pool_wait {
	struct list_node node;
	struct pool *pool;
	pool_ready_fn *ready;
	void *arg;
	bool upgrade;
	struct loop_timer timer;
};

/* -- pool.c -- */
/* Gives connections with room to those who wait, in order, and dials for the rest. */
void pool_serve(struct pool *pool);
/* A connection with room for such a request, or NULL. */
struct pool_conn *pool_find(struct pool *pool, bool upgrade);
struct http_stream *pool_conn_open(struct pool_conn *pc, bool *reused);
struct pool_wait *pool_wait_add(struct pool *pool, bool upgrade, pool_ready_fn *ready, void *arg);
void pool_wait_remove(struct pool_wait *w);
void pool_cancel_dials(struct pool *pool);
/* Its connections finish what they carry and end. */
void pool_drain(struct pool *pool);
/* Puts the pool on the list of idle ones, or takes it off; a retired one goes. */
void pool_check_idle(struct pool *pool);

/* -- pools.c -- */
/* Off the index; freed at the end of the turn. */
void pool_remove(struct pool *pool);

#endif
