/*
 * The world that tests of pools stand on; see pool_world.h. Owns what a test has not closed.
 */
#include "tests/support/pool_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"

#define SERVER "10.0.0.9:8080"

/* -- the server
 * ----------------------------------------------------------------------------------------------------
 */

static void on_accept(void *arg, struct io *io)
{
	struct pool_world *w = arg;
	if (w->hang_up) {
		w->accepted++;
		io_close(&io, false);
		return;
	}
	assert_true(w->accepted < POOL_WORLD_USERS);
	struct http_user *u = mem_alloc(sizeof(*u));
	http_user_init(u, &w->w);
	w->users[w->accepted++] = u;
	http_user_start(u, io, HTTP_SERVER, w->version);
}

/* -- a request
 * ------------------------------------------------------------------------------------------------------
 */

static void on_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct pool_call *c = arg;
	(void)s;
	c->stream = NULL;
	c->ended = true;
	c->reason = reason;
}

static void on_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	(void)arg;
	(void)s;
	(void)head;
	(void)end;
}

static void on_body(void *arg, struct http_stream *s, struct buf *bytes, bool end)
{
	(void)arg;
	(void)bytes;
	(void)s;
	(void)end;
}

static const struct http_stream_events events = {
	.on_head = on_head, .on_body = on_body, .on_end = on_end};

static void take(struct pool_call *c, struct http_stream *s, bool reused)
{
	struct http_head h;
	c->ready = true;
	c->reused = reused;
	c->stream = s;
	c->order = ++c->w->answered;
	stream_set_user(s, &events, c);
	http_head_init(&h, HTTP_REQUEST, stream_arena(s));
	h.method = STR("GET");
	h.scheme = STR("http");
	h.authority = STR("x");
	h.path = STR("/");
	stream_send_head(s, &h, true);
}

static void on_ready(void *arg, struct http_stream *s, bool reused, const struct pool_failure *f)
{
	struct pool_call *c = arg;
	assert_false(c->ready || c->failed);
	c->wait = NULL;
	if (s != NULL) {
		take(c, s, reused);
	} else {
		c->failed = true;
		c->reason = f->reason;
		c->order = ++c->w->answered;
		assert_true(strlen(f->text) > 0);
	}
	if (c->on_ready != NULL)
		c->on_ready(c);
}

struct pool_call *pool_world_ask(struct pool_world *w, bool upgrade)
{
	assert_true(w->n_calls < POOL_WORLD_CALLS);
	struct pool_call *c = &w->calls[w->n_calls++];
	bool reused;
	*c = (struct pool_call){.w = w};
	struct http_stream *s =
		pools_acquire(w->pools, &w->key, upgrade, on_ready, c, &c->wait, &reused);
	assert_true(s == NULL || c->wait == NULL);
	if (s != NULL)
		take(c, s, reused);
	return c;
}

void pool_world_answer(struct pool_world *w, unsigned user)
{
	struct http_user *u = w->users[user];
	for (unsigned i = 0; i < u->n; i++)
		if (u->x[i]->stream != NULL && stream_out_part(u->x[i]->stream) == PART_HEAD) {
			exchange_reply(u->x[i], 200, NULL, NULL);
			break;
		}
	http_world_settle(&w->w);
}

void pool_world_settle(struct pool_world *w)
{
	http_world_settle(&w->w);
}

void pool_world_advance(struct pool_world *w, uint64_t ns)
{
	loop_sim_advance(w->w.loop, ns);
	pool_world_settle(w);
}

/* -- worlds
 * --------------------------------------------------------------------------------------------------------
 */

static void listen_at(struct pool_world *w)
{
	struct listen_config cfg = {.addr = w->key.target.to};
	char err[128];
	assert_int_equal(listener_open(w->net, &cfg, on_accept, w, &w->listener, err, sizeof(err)),
		0);
}

void pool_world_open(struct pool_world *w, enum http_version version)
{
	memset(w, 0, sizeof(*w));
	http_world_init(&w->w);
	w->net = net_new_sim(w->w.loop, w->w.bufs, 65536);
	w->version = version;
	w->bounds = (struct pool_limits){.max_conns = 3,
		.max_waiting = 4,
		.max_pools = 2,
		.idle_ns = 60 * NS_PER_S,
		.wait_ns = 10 * NS_PER_S};
	w->connect = (struct connect_env){
		.net = w->net, .bufs = w->w.bufs, .connect_timeout_ns = 5 * NS_PER_S};
	w->pools = pools_new(&w->w.env, &w->connect, &w->w.limits, &w->bounds, 1);
	w->key.version = version;
	assert_int_equal(addr_parse(STR(SERVER), &w->key.target.to), 0);
	listen_at(w);
}

void pool_world_close(struct pool_world *w)
{
	for (unsigned i = 0; i < w->n_calls; i++) {
		pools_cancel(&w->calls[i].wait);
		if (w->calls[i].stream != NULL)
			stream_reset(w->calls[i].stream, REASON_CANCELLED);
	}
	pool_world_settle(w);
	pools_end(w->pools);
	pool_world_settle(w);
	assert_int_equal(pools_conns(w->pools), 0);
	assert_int_equal(pools_waiting(w->pools), 0);
	pools_free(&w->pools);
	if (w->listener != NULL)
		listener_close(&w->listener);
	pool_world_settle(w);
	for (unsigned i = 0; i < POOL_WORLD_USERS && w->users[i] != NULL; i++) {
		http_user_fini(w->users[i]);
		mem_free(w->users[i]);
	}
	pool_world_settle(w);
	net_free(&w->net);
	http_world_fini(&w->w);
}
