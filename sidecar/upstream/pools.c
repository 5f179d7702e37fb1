/*
 * All pools of a worker: finds or makes the one for a request, retires and judges what they hold.
 * Owns the pools by their key. Called by flow/.
 */
#include <stdio.h>

#include "lib/base/alloc.h"
#include "sidecar/upstream/pool_internal.h"

#define POOL_KEY_MAX (SPIFFE_ID_MAX + 512)

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

static void on_serve(void *arg)
{
	pool_serve(OBJ_CAST(struct pool, POOL_MAGIC, arg));
}

static void pool_free(void *p)
{
	struct pool *pool = p;
	tls_ctx_unref(&pool->target.ctx);
	mem_free(pool->id);
	mem_free(pool->uid);
	mem_free(pool);
}

void pool_remove(struct pool *pool)
{
	pool->removed = true;
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
	pool->id = mem_strndup(key->target.id.n > 0 ? key->target.id.p : "", key->target.id.n);
	pool->uid = mem_strndup(key->target.uid.n > 0 ? key->target.uid.p : "", key->target.uid.n);
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
	list_init(&p->secure);
	return p;
}

/* Ends what the pool has; its connections leave the lists through their on_end or cancel. */
static void pool_end(struct pool *pool)
{
	pool_cancel_dials(pool);
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
		struct http_stream *s = pool_conn_open(pc, reused);
		if (s != NULL)
			return s;
	}
	if (pool->n_waiting >= p->bounds.max_waiting)
		return NULL;
	*wait = pool_wait_add(pool, upgrade, ready, arg);
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
	pool_wait_remove(w);
	pool_check_idle(pool);
}

/* What waits here is failed deferred, for its owners come back at once, to other pools. */
static void pool_retire(struct pool *pool)
{
	pool->retired = true;
	pool_cancel_dials(pool);
	pool_drain(pool);
	if (pool->n_waiting > 0)
		loop_defer(&pool->serve);
	pool_check_idle(pool);
}

void pools_retire(struct pools *p, const struct tls_ctx *current)
{
	struct map_entry *cursor = NULL;
	struct str key;
	void *value;
	while (map_next(p->by_key, &cursor, &key, &value)) {
		struct pool *pool = value;
		if (pool->target.ctx != NULL && pool->target.ctx != current)
			pool_retire(pool);
	}
}

bool pools_judge(struct pools *p, uint32_t generation, pool_judge_fn *is_good, void *arg)
{
	struct list_node *n = list_first(&p->secure);
	p->generation = generation;
	if (n == NULL)
		return false;
	struct pool_conn *pc = CONTAINER_OF(n, struct pool_conn, secure_node);
	uint32_t judged = pc->generation;
	if (judged == generation)
		return false;
	pc->generation = generation;
	list_remove(n);
	list_append(&p->secure, n);
	if (!is_good(arg, tls_io_peer_chain(http_conn_io(pc->http)), judged))
		http_conn_end(pc->http, REASON_UPSTREAM_RESET);
	return true;
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
