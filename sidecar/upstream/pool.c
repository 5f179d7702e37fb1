/*
 * Finds or makes a connection for a request. Owns pools, their connections and the queue of
 * waiters; connections tell of room and of their end through http_conn_events. Called by
 * flow/request.c alone.
 */
#include "sidecar/upstream/pool.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/map.h"

#define POOL_MAGIC 0x706f6f6cu
#define POOL_CONN_MAGIC 0x70636e6eu
#define POOL_KEY_MAX 1024

struct pool;

/* Everything of one worker. Owned by the proxy. */
struct pools {
	struct http_env http;
	const struct connect_env *connect;
	struct http_limits limits;
	struct pool_limits bounds;
	struct map *by_key;
	struct list idle; /* pools without connections, oldest first */
	size_t n_conns, n_waiting;
	uint64_t opened;
};

/* Connections to one endpoint under one identity. Owned by struct pools. */
struct pool {
	struct obj_head obj;
	struct pools *owner;
	struct list_node idle_node;
	struct list conns;   /* struct pool_conn with an http_conn, most recently used first */
	struct list dialing; /* struct pool_conn that connect */
	struct list waiters;
	size_t n_conns, n_waiting;
	struct connect_target target;
	enum http_version version;
	char id[512], uid[CERT_UID_MAX + 1];
	struct loop_task serve;
	struct str key; /* points behind the struct */
};

/* One connection, being made or in use. Owned by its pool until on_end. */
struct pool_conn {
	struct obj_head obj;
	struct list_node node;
	struct pool *pool;
	struct connect *connect;
	struct http_conn *http;
	struct loop_timer retire; /* before either leaf expires */
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

static void pool_serve(struct pool *pool);

/* -- waiters
 * ---------------------------------------------------------------------------------------------------
 */

static void wait_remove(struct pool_wait *w)
{
	list_remove(&w->node);
	loop_timer_stop(&w->timer);
	w->pool->n_waiting--;
	w->pool->owner->n_waiting--;
	loop_defer_free(w->pool->owner->http.loop, w, mem_free);
}

static void wait_answer(struct pool_wait *w, struct http_stream *s,
	const struct pool_failure *failure)
{
	pool_ready_fn *ready = w->ready;
	void *arg = w->arg;
	wait_remove(w);
	ready(arg, s, failure);
}

static void on_wait_timeout(void *arg)
{
	struct pool_wait *w = arg;
	struct pool_failure f = {
		REASON_OVERLOAD, CERT_GOOD, "no connection to the upstream became free in time"};
	wait_answer(w, NULL, &f);
}

static struct pool_wait *wait_add(struct pool *pool, bool upgrade, pool_ready_fn *ready, void *arg)
{
	struct pool_wait *w = MEM_NEW(struct pool_wait);
	w->pool = pool;
	w->ready = ready;
	w->arg = arg;
	w->upgrade = upgrade;
	loop_timer_init(&w->timer, pool->owner->http.loop, on_wait_timeout, w);
	loop_timer_start(&w->timer, pool->owner->bounds.wait_ns);
	list_append(&pool->waiters, &w->node);
	pool->n_waiting++;
	pool->owner->n_waiting++;
	return w;
}

/* All who wait now; those who come meanwhile are served by the next connection. */
static void waiters_fail(struct pool *pool, const struct pool_failure *failure)
{
	struct list now;
	list_init(&now);
	list_splice(&now, &pool->waiters);
	struct list_node *n;
	while ((n = list_first(&now)) != NULL)
		wait_answer(CONTAINER_OF(n, struct pool_wait, node), NULL, failure);
}

/* -- connections
 * -----------------------------------------------------------------------------------------------
 */

static void pool_check_idle(struct pool *pool)
{
	bool idle = list_empty(&pool->conns) && list_empty(&pool->dialing) &&
		list_empty(&pool->waiters);
	if (idle && !list_linked(&pool->idle_node))
		list_append(&pool->owner->idle, &pool->idle_node);
	else if (!idle)
		list_remove(&pool->idle_node);
}

static void conn_remove(struct pool_conn *pc)
{
	loop_timer_stop(&pc->retire);
	list_remove(&pc->node);
	pc->pool->n_conns--;
	pc->pool->owner->n_conns--;
	pool_check_idle(pc->pool);
	loop_defer_free(pc->pool->owner->http.loop, pc, mem_free);
}

static void on_conn_room(void *arg, struct http_conn *c)
{
	(void)c;
	struct pool_conn *pc = OBJ_CAST(struct pool_conn, POOL_CONN_MAGIC, arg);
	if (!list_empty(&pc->pool->waiters))
		loop_defer(&pc->pool->serve);
}

static void on_conn_end(void *arg, struct http_conn *c, enum reason reason)
{
	(void)c;
	(void)reason;
	struct pool_conn *pc = OBJ_CAST(struct pool_conn, POOL_CONN_MAGIC, arg);
	struct pool *pool = pc->pool;
	pc->http = NULL;
	conn_remove(pc);
	if (!list_empty(&pool->waiters))
		loop_defer(&pool->serve);
}

static const struct http_conn_events conn_events = {
	.on_room = on_conn_room, .on_idle = on_conn_room, .on_end = on_conn_end};

/* GOAWAY, or no reuse: the next request makes a connection under fresh leaves. */
static void on_retire(void *arg)
{
	struct pool_conn *pc = OBJ_CAST(struct pool_conn, POOL_CONN_MAGIC, arg);
	if (pc->http != NULL)
		http_conn_drain(pc->http);
}

static void on_connected(void *arg, struct io *io, const struct connect_failure *failure)
{
	struct pool_conn *pc = OBJ_CAST(struct pool_conn, POOL_CONN_MAGIC, arg);
	struct pool *pool = pc->pool;
	uint64_t retire_in;
	pc->connect = NULL;
	if (io == NULL) {
		struct pool_failure f = {failure->reason, failure->verdict, failure->text};
		conn_remove(pc);
		if (list_empty(&pool->conns) && list_empty(&pool->dialing))
			waiters_fail(pool, &f);
		pool_check_idle(pool);
		return;
	}
	list_remove(&pc->node);
	list_prepend(&pool->conns, &pc->node);
	pool->owner->opened++;
	pc->http = http_conn_new(&pool->owner->http, io, HTTP_CLIENT, pool->version,
		&pool->owner->limits, true, &conn_events, pc);
	if (upstream_retire_in(io, &retire_in))
		loop_timer_at(&pc->retire, loop_now(pool->owner->http.loop) + retire_in);
	pool_serve(pool);
}

static void pool_dial(struct pool *pool)
{
	struct pool_conn *pc = MEM_NEW(struct pool_conn);
	pc->obj.magic = POOL_CONN_MAGIC;
	pc->pool = pool;
	loop_timer_init(&pc->retire, pool->owner->http.loop, on_retire, pc);
	list_append(&pool->dialing, &pc->node);
	pool->n_conns++;
	pool->owner->n_conns++;
	pool_check_idle(pool);
	pc->connect = connect_start(pool->owner->connect, &pool->target, on_connected, pc);
}

/* A connection with room for such a request. The most recently used comes first: the others go idle
 * and are closed. */
static struct pool_conn *pool_find(struct pool *pool, bool upgrade)
{
	LIST_EACH(&pool->conns, n)
	{
		struct pool_conn *pc = CONTAINER_OF(n, struct pool_conn, node);
		if (http_conn_room(pc->http) > 0 && (!upgrade || http_conn_settled(pc->http)))
			return pc;
	}
	return NULL;
}

static struct http_stream *conn_open(struct pool_conn *pc, bool *reused)
{
	*reused = pc->used;
	pc->used = true;
	list_remove(&pc->node);
	list_prepend(&pc->pool->conns, &pc->node);
	return http_conn_open(pc->http);
}

/* How many connections the waiters would like to have made now. */
static bool pool_wants_dial(const struct pool *pool)
{
	size_t dialing = 0;
	LIST_EACH(&pool->dialing, n)
	dialing++;
	if (pool->n_conns >= pool->owner->bounds.max_conns)
		return false;
	if (pool->version == HTTP_V1)
		return dialing < pool->n_waiting;
	if (dialing > 0)
		return false;
	/* A shared connection that has not heard its peer's SETTINGS yet may soon have room for
	 * those who wait. */
	LIST_EACH(&pool->conns, n)
	{
		struct pool_conn *pc = CONTAINER_OF(n, struct pool_conn, node);
		if (!http_conn_draining(pc->http) && !http_conn_settled(pc->http))
			return false;
	}
	return true;
}

/* Answers the first waiter that a connection has room for; false where there is none. Answering may
 * change the queue. */
static bool pool_serve_one(struct pool *pool)
{
	LIST_EACH(&pool->waiters, n)
	{
		struct pool_wait *w = CONTAINER_OF(n, struct pool_wait, node);
		struct pool_conn *pc = pool_find(pool, w->upgrade);
		bool reused;
		struct http_stream *s = pc != NULL ? conn_open(pc, &reused) : NULL;
		if (s != NULL) {
			wait_answer(w, s, NULL);
			return true;
		}
	}
	return false;
}

/* Gives connections with room to those who wait, in order, and dials for the rest. */
static void pool_serve(struct pool *pool)
{
	while (pool_serve_one(pool))
		;
	while (!list_empty(&pool->waiters) && pool_wants_dial(pool))
		pool_dial(pool);
	pool_check_idle(pool);
}

static void on_serve(void *arg)
{
	pool_serve(OBJ_CAST(struct pool, POOL_MAGIC, arg));
}

/* -- pools
 * -----------------------------------------------------------------------------------------------------
 */

static size_t key_text(const struct pool_key *key, char *dst, size_t size)
{
	const struct connect_target *t = &key->target;
	char to[ADDR_TEXT], from[ADDR_TEXT];
	int n = snprintf(dst, size, "%s|%s|%s|%d|%d|%p|%.*s|%.*s", addr_format(&t->to, to),
		t->from.family != ADDR_NONE ? addr_format_ip(&t->from, from) : "",
		t->alpn != NULL ? t->alpn : "-", (int)key->version, (int)t->self, (void *)t->ctx,
		STR_ARG(t->uid), STR_ARG(t->id));
	ASSERT(n > 0);
	return (size_t)n < size ? (size_t)n : 0;
}

static void pool_free(void *p)
{
	struct pool *pool = p;
	tls_ctx_unref(&pool->target.ctx);
	mem_free(pool);
}

static void pool_remove(struct pool *pool)
{
	list_remove(&pool->idle_node);
	loop_task_cancel(&pool->serve);
	map_remove(pool->owner->by_key, pool->key);
	loop_defer_free(pool->owner->http.loop, pool, pool_free);
}

static struct pool *pool_new(struct pools *p, const struct pool_key *key, struct str text)
{
	while (map_count(p->by_key) >= p->bounds.max_pools && !list_empty(&p->idle))
		pool_remove(CONTAINER_OF(list_first(&p->idle), struct pool, idle_node));
	if (map_count(p->by_key) >= p->bounds.max_pools)
		return NULL;
	struct pool *pool = mem_alloc(sizeof(*pool) + text.n);
	pool->obj.magic = POOL_MAGIC;
	pool->owner = p;
	list_node_init(&pool->idle_node);
	list_init(&pool->conns);
	list_init(&pool->dialing);
	list_init(&pool->waiters);
	pool->target = key->target;
	pool->target.ctx = key->target.ctx != NULL ? tls_ctx_ref(key->target.ctx) : NULL;
	(void)str_copy(pool->id, sizeof(pool->id), key->target.id);
	(void)str_copy(pool->uid, sizeof(pool->uid), key->target.uid);
	pool->target.id = str_from(pool->id);
	pool->target.uid = str_from(pool->uid);
	pool->version = key->version;
	memcpy(pool + 1, text.p, text.n);
	pool->key = str_make(pool + 1, text.n);
	loop_task_init(&pool->serve, p->http.loop, on_serve, pool);
	map_put(p->by_key, pool->key, pool);
	return pool;
}

struct pools *pools_new(const struct http_env *http, const struct connect_env *connect,
	const struct http_limits *limits, const struct pool_limits *bounds, uint64_t seed)
{
	struct pools *p = MEM_NEW(struct pools);
	p->http = *http;
	p->connect = connect;
	p->limits = *limits;
	p->limits.idle_timeout = bounds->idle_ns;
	p->bounds = *bounds;
	p->by_key = map_new(seed);
	list_init(&p->idle);
	return p;
}

/* Ends what the pool has; its connections leave the lists through their on_end or cancel. */
static void pool_end(struct pool *pool)
{
	struct list_node *n;
	while ((n = list_first(&pool->dialing)) != NULL) {
		struct pool_conn *pc = CONTAINER_OF(n, struct pool_conn, node);
		connect_cancel(&pc->connect);
		conn_remove(pc);
	}
	LIST_EACH(&pool->conns, c)
	http_conn_end(CONTAINER_OF(c, struct pool_conn, node)->http, REASON_DRAINING);
}

void pools_free(struct pools **pp)
{
	struct pools *p = *pp;
	if (p == NULL)
		return;
	*pp = NULL;
	struct map_entry *cursor = NULL;
	struct str key;
	void *value;
	while (map_next(p->by_key, &cursor, &key, &value)) {
		struct pool *pool = value;
		ASSERT(list_empty(&pool->waiters));
		pool_remove(pool);
	}
	map_free(&p->by_key);
	mem_free(p);
}

struct http_stream *pools_acquire(struct pools *p, const struct pool_key *key, bool upgrade,
	pool_ready_fn *ready, void *arg, struct pool_wait **wait, bool *reused)
{
	char text[POOL_KEY_MAX];
	*wait = NULL;
	*reused = false;
	size_t n = key_text(key, text, sizeof(text));
	if (n == 0)
		return NULL;
	struct pool *pool = map_get(p->by_key, str_make(text, n));
	if (pool == NULL)
		pool = pool_new(p, key, str_make(text, n));
	if (pool == NULL)
		return NULL;
	struct pool_conn *pc = list_empty(&pool->waiters) ? pool_find(pool, upgrade) : NULL;
	if (pc != NULL) {
		struct http_stream *s = conn_open(pc, reused);
		if (s != NULL)
			return s;
	}
	if (pool->n_waiting >= p->bounds.max_waiting)
		return NULL;
	*wait = wait_add(pool, upgrade, ready, arg);
	loop_defer(&pool->serve);
	pool_check_idle(pool);
	return NULL;
}

void pools_cancel(struct pool_wait **wait)
{
	struct pool_wait *w = *wait;
	if (w == NULL)
		return;
	*wait = NULL;
	struct pool *pool = w->pool;
	wait_remove(w);
	pool_check_idle(pool);
}

void pools_retire(struct pools *p)
{
	struct map_entry *cursor = NULL;
	struct str key;
	void *value;
	while (map_next(p->by_key, &cursor, &key, &value)) {
		struct pool *pool = value;
		LIST_EACH(&pool->conns, n)
		http_conn_drain(CONTAINER_OF(n, struct pool_conn, node)->http);
	}
}

void pools_end(struct pools *p)
{
	struct map_entry *cursor = NULL;
	struct str key;
	void *value;
	while (map_next(p->by_key, &cursor, &key, &value))
		pool_end(value);
}

size_t pools_conns(const struct pools *p)
{
	return p->n_conns;
}

size_t pools_waiting(const struct pools *p)
{
	return p->n_waiting;
}

uint64_t pools_opened(const struct pools *p)
{
	return p->opened;
}
