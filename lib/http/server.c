/*
 * Listener and connections of the small HTTP server: accepting within a bound, closing
 * gracefully. Owns both; the exchanges are in server_call.c. Opened by the admin endpoints and
 * the webhook.
 */
#include "lib/http/server.h"

#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/http/server_internal.h"

#define SERVER_MAGIC 0x68737276u
#define SERVER_CONN_MAGIC 0x6873636fu
#define MAX_CONNS 128

/*
 * Our own clients are near and their requests small; who is slower than this holds a slot for
 * ill.
 */
#define HEADER_BYTES (16 * 1024)
#define TARGET_BYTES (8 * 1024)
#define HEADER_NS (10 * NS_PER_S)
#define IDLE_NS (60 * NS_PER_S)
#define FLUSH_NS (10 * NS_PER_S)

static struct http_server *server_cast(void *arg)
{
	return OBJ_CAST(struct http_server, SERVER_MAGIC, arg);
}

static struct server_conn *conn_cast(void *arg)
{
	return OBJ_CAST(struct server_conn, SERVER_CONN_MAGIC, arg);
}

static void free_memory(void *ptr)
{
	mem_free(ptr);
}

static void finish_if_over(struct http_server *s)
{
	if (!s->closing || s->alive > 0)
		return;
	loop_timer_stop(&s->close_timer);
	loop_orphan_done(&s->orphan);
	s->obj.magic = 0;
	loop_defer_free(s->env.loop, s, free_memory);
}

/* --- connections --- */

static void on_stream(void *arg, struct http_conn *c, struct http_stream *stream)
{
	(void)c;
	server_call_begin(conn_cast(arg)->server, stream);
}

static void unlist(struct server_conn *c)
{
	if (!list_linked(&c->node))
		return;
	list_remove(&c->node);
	c->server->n_conns--;
}

static void on_conn_end(void *arg, struct http_conn *http, enum reason reason)
{
	struct server_conn *c = conn_cast(arg);
	struct http_server *s = c->server;

	(void)http;
	(void)reason;
	unlist(c);
	s->alive--;
	c->obj.magic = 0;
	loop_defer_free(s->env.loop, c, free_memory);
	finish_if_over(s);
}

static const struct http_conn_events conn_events = {
	.on_stream = on_stream,
	.on_end = on_conn_end,
};

/* Ends the oldest connection that has no exchange; false where all have one. */
static bool make_room(struct http_server *s)
{
	LIST_EACH(&s->conns, n)
	{
		struct server_conn *c = CONTAINER_OF(n, struct server_conn, node);

		if (http_conn_streams(c->http) > 0)
			continue;
		unlist(c);
		http_conn_end(c->http, REASON_OVERLOAD);
		return true;
	}
	return false;
}

static void on_accept(void *arg, struct io *io)
{
	struct http_server *s = server_cast(arg);

	if (s->n_conns >= s->cfg.max_conns && !make_room(s)) {
		io_close(&io, true);
		return;
	}
	struct server_conn *c = MEM_NEW(struct server_conn);

	c->obj.magic = SERVER_CONN_MAGIC;
	c->server = s;
	list_append(&s->conns, &c->node);
	s->n_conns++;
	s->alive++;
	c->http = http_conn_new(&s->env, io, HTTP_SERVER, HTTP_V1, &s->limits, false, &conn_events,
		c);
}

/* --- opening and closing --- */

static void on_close_timeout(void *arg)
{
	struct http_server *s = server_cast(arg);

	LIST_EACH(&s->conns, n)
	{
		http_conn_end(CONTAINER_OF(n, struct server_conn, node)->http, REASON_DRAINING);
	}
}

static struct http_limits server_limits(void)
{
	struct http_limits limits = http_limits_default();

	limits.header_bytes = HEADER_BYTES;
	limits.target_bytes = TARGET_BYTES;
	limits.header_timeout = HEADER_NS;
	limits.idle_timeout = IDLE_NS;
	limits.stream_idle_timeout = HTTP_SERVER_CALL_NS;
	limits.flush_timeout = FLUSH_NS;
	return limits;
}

int http_server_open(const struct http_env *env, struct net *net,
	const struct http_server_config *cfg, struct http_server **out, char *err, size_t size)
{
	struct http_server *s = MEM_NEW(struct http_server);
	int rc;

	s->obj.magic = SERVER_MAGIC;
	s->env = *env;
	s->cfg = *cfg;
	if (s->cfg.max_conns == 0)
		s->cfg.max_conns = MAX_CONNS;
	s->limits = server_limits();
	list_init(&s->conns);
	loop_timer_init(&s->close_timer, env->loop, on_close_timeout, s);
	rc = listener_open(net, &cfg->listen, on_accept, s, &s->listener, err, size);
	if (rc != 0) {
		mem_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

struct addr http_server_addr(const struct http_server *s)
{
	return listener_addr(s->listener);
}

size_t http_server_conns(const struct http_server *s)
{
	return s->alive;
}

void http_server_close(struct http_server **server)
{
	struct http_server *s = *server;

	if (s == NULL)
		return;
	*server = NULL;
	s->closing = true;
	listener_close(&s->listener);
	loop_timer_start(&s->close_timer, HTTP_SERVER_CLOSE_NS);
	loop_adopt(s->env.loop, &s->orphan, on_close_timeout, s);
	LIST_EACH(&s->conns, n)
	{
		struct http_conn *http = CONTAINER_OF(n, struct server_conn, node)->http;

		/* Draining would wait for a last request, which nobody would answer. */
		if (http_conn_streams(http) == 0)
			http_conn_end(http, REASON_OK);
		else
			http_conn_drain(http);
	}
	finish_if_over(s);
}
