/*
 * One pool: connections to one endpoint under one identity, and the queue of those who wait for
 * one. Owns both; connections tell of room and of their end through http_conn_events. Called by
 * pools.c.
 */
#include "lib/base/alloc.h"
#include "sidecar/upstream/pool_internal.h"

/* HTTP/1 connections that are looked at for a free one: those with room are in front. */
#define POOL_LOOK 4
/* Connections in a row that ended before they carried anything, while requests waited. */
#define POOL_FRUITLESS 3
/* Exchanges broken off on one HTTP/2 connection to an application. With those that are open then it
 * stays below what servers tolerate (200 in half a minute). */
#define POOL_RESETS 64

/* -- waiters
 * ---------------------------------------------------------------------------------------------------
 */

void pool_wait_remove(struct pool_wait *w)
{
	list_remove(&w->node);
	loop_timer_stop(&w->timer);
	w->pool->n_waiting--;
	w->pool->owner->n_waiting--;
	loop_defer_free(w->pool->owner->http.loop, w, mem_free);
}

static void wait_answer(struct pool_wait *w, struct http_stream *s, bool reused,
	const struct pool_failure *failure)
{
	pool_ready_fn *ready = w->ready;
	void *arg = w->arg;
	pool_wait_remove(w);
	ready(arg, s, reused, failure);
}

static void on_wait_timeout(void *arg)
{
	struct pool_wait *w = arg;
	struct pool_failure f = {
		REASON_OVERLOAD, CERT_GOOD, "no connection to the upstream became free in time"};
	wait_answer(w, NULL, false, &f);
}

struct pool_wait *pool_wait_add(struct pool *pool, bool upgrade, pool_ready_fn *ready, void *arg)
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
		wait_answer(CONTAINER_OF(n, struct pool_wait, node), NULL, false, failure);
}

/* -- connections
 * -----------------------------------------------------------------------------------------------
 */

void pool_check_idle(struct pool *pool)
{
	bool idle = pool->n_conns == 0 && pool->n_waiting == 0;
	if (pool->removed)
		return;
	if (idle && pool->retired)
		pool_remove(pool);
	else if (idle && !list_linked(&pool->idle_node))
		list_append(&pool->owner->idle, &pool->idle_node);
	else if (!idle)
		list_remove(&pool->idle_node);
}

static void conn_remove(struct pool_conn *pc)
{
	loop_timer_stop(&pc->retire);
	list_remove(&pc->node);
	list_remove(&pc->secure_node);
	pc->pool->n_conns--;
	pc->pool->owner->n_conns--;
	pool_check_idle(pc->pool);
	loop_defer_free(pc->pool->owner->http.loop, pc, mem_free);
}

static void on_conn_room(void *arg, struct http_conn *c)
{
	struct pool_conn *pc = OBJ_CAST(struct pool_conn, POOL_CONN_MAGIC, arg);
	if (http_conn_room(c) > 0) {
		list_remove(&pc->node);
		list_prepend(&pc->pool->conns, &pc->node);
	}
	if (pc->pool->n_waiting > 0)
		loop_defer(&pc->pool->serve);
}

/* An upstream that takes connections and ends them at once would have us dial for ever on behalf of
 * those who wait. */
static void on_conn_end(void *arg, struct http_conn *c, enum reason reason)
{
	(void)c;
	struct pool_conn *pc = OBJ_CAST(struct pool_conn, POOL_CONN_MAGIC, arg);
	struct pool *pool = pc->pool;
	bool used = pc->used;
	pc->http = NULL;
	conn_remove(pc);
	if (pool->n_waiting == 0)
		return;
	pool->fruitless = used ? 0 : pool->fruitless + 1;
	if (pool->fruitless < POOL_FRUITLESS) {
		loop_defer(&pool->serve);
		return;
	}
	struct pool_failure f = {reason != REASON_OK ? reason : REASON_UPSTREAM_CLOSED, CERT_GOOD,
		"the upstream ends connections before they carry a request"};
	pool->fruitless = 0;
	waiters_fail(pool, &f);
	pool_check_idle(pool);
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

/*
 * Nobody answered, or somebody else. Who waits may go elsewhere; to wait for the connections that
 * are busy is no help. Where the address is a stranger's now, what is open there takes no more.
 */
static void dial_failed(struct pool *pool, const struct connect_failure *failure)
{
	struct pool_failure f = {failure->reason, failure->verdict, failure->text};
	bool stranger = cert_is_stranger(failure->verdict);
	if (stranger)
		pool_drain(pool);
	if (pool->n_dialing == 0 || stranger)
		waiters_fail(pool, &f);
	pool_check_idle(pool);
}

void pool_drain(struct pool *pool)
{
	LIST_EACH(&pool->conns, n)
	http_conn_drain(CONTAINER_OF(n, struct pool_conn, node)->http);
}

static void on_connected(void *arg, struct io *io, const struct connect_failure *failure)
{
	struct pool_conn *pc = OBJ_CAST(struct pool_conn, POOL_CONN_MAGIC, arg);
	struct pool *pool = pc->pool;
	uint64_t retire_in;
	pc->connect = NULL;
	if (io == NULL) {
		pool->n_dialing--;
		conn_remove(pc);
		dial_failed(pool, failure);
		return;
	}
	pool->n_dialing--;
	list_remove(&pc->node);
	list_prepend(&pool->conns, &pc->node);
	pc->generation = pool->owner->generation;
	if (tls_io_peer_chain(io) != NULL)
		list_append(&pool->owner->secure, &pc->secure_node);
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
	list_node_init(&pc->secure_node);
	list_append(&pool->dialing, &pc->node);
	pool->n_dialing++;
	pool->n_conns++;
	pool->owner->n_conns++;
	pool_check_idle(pool);
	pc->connect = connect_start(pool->owner->connect, &pool->target, on_connected, pc);
}

/* A connection with room for such a request. The most recently used comes first: the others go idle
 * and are closed. */
struct pool_conn *pool_find(struct pool *pool, bool upgrade)
{
	int look = POOL_LOOK;
	LIST_EACH(&pool->conns, n)
	{
		struct pool_conn *pc = CONTAINER_OF(n, struct pool_conn, node);
		if (pool->version == HTTP_V1 && look-- == 0)
			return NULL;
		if (http_conn_room(pc->http) > 0 && (!upgrade || http_conn_settled(pc->http)))
			return pc;
	}
	return NULL;
}

struct http_stream *pool_conn_open(struct pool_conn *pc, bool *reused)
{
	struct pool *pool = pc->pool;
	*reused = pc->used;
	pc->used = true;
	pool->fruitless = 0;
	struct http_stream *s = http_conn_open(pc->http);
	list_remove(&pc->node);
	if (http_conn_room(pc->http) > 0)
		list_prepend(&pool->conns, &pc->node);
	else
		list_append(&pool->conns, &pc->node);
	return s;
}

void pools_reset_stream(struct http_stream *s, enum reason reason)
{
	struct pool_conn *pc =
		OBJ_CAST(struct pool_conn, POOL_CONN_MAGIC, http_conn_user(stream_conn(s)));
	/* Sidecars do not mind, and charge whoever is the cause. */
	bool application = pc->pool->version == HTTP_V2 && pc->pool->target.alpn == NULL;
	stream_reset(s, reason);
	if (application && ++pc->resets >= POOL_RESETS)
		http_conn_drain(stream_conn(s));
}

/* Whether one more connection should be made for those who wait. */
static bool pool_wants_dial(const struct pool *pool)
{
	if (pool->n_conns >= pool->owner->bounds.max_conns)
		return false;
	if (pool->version == HTTP_V1)
		return pool->n_dialing < pool->n_waiting;
	if (pool->n_dialing > 0)
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
	bool any = pool_find(pool, false) != NULL, settled = pool_find(pool, true) != NULL;
	LIST_EACH(&pool->waiters, n)
	{
		struct pool_wait *w = CONTAINER_OF(n, struct pool_wait, node);
		if (!any)
			return false;
		if (w->upgrade && !settled)
			continue;
		bool reused;
		struct http_stream *s = pool_conn_open(pool_find(pool, w->upgrade), &reused);
		ASSERT(s != NULL);
		wait_answer(w, s, reused, NULL);
		return true;
	}
	return false;
}

/* Gives connections with room to those who wait, in order, and dials for the rest. */
void pool_serve(struct pool *pool)
{
	static const struct pool_failure retired = {REASON_NOT_PROCESSED, CERT_GOOD,
		"the identity or the bundle changed while the request waited"};
	if (pool->retired)
		waiters_fail(pool, &retired);
	while (pool->n_waiting > 0 && pool_serve_one(pool))
		;
	while (pool->n_waiting > 0 && pool_wants_dial(pool))
		pool_dial(pool);
	pool_check_idle(pool);
}

void pool_cancel_dials(struct pool *pool)
{
	struct list_node *n;
	while ((n = list_first(&pool->dialing)) != NULL) {
		struct pool_conn *pc = CONTAINER_OF(n, struct pool_conn, node);
		connect_cancel(&pc->connect);
		pool->n_dialing--;
		conn_remove(pc);
	}
}
