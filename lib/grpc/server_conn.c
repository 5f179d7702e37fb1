/*
 * A gRPC server's listeners, handshakes and connections, each within its bound. Owns
 * struct server_conn and struct handshake; the methods and calls are in server.c.
 */
#include "lib/base/alloc.h"
#include "lib/grpc/server_internal.h"

#define CONN_MAGIC 0x6772636eu
#define HANDSHAKE_MAGIC 0x67726873u

/* Owned by the server until its on_end. */
struct server_conn {
	struct obj_head obj;
	struct list_node node; /* on server->conns; off it: it is being ended to make room */
	struct grpc_server *server;
	struct http_conn *http;
	unsigned vouched; /* calls of which the user knows who calls */
};

/* Owned by itself until the hook that secures a connection has called back. */
struct handshake {
	struct obj_head obj;
	struct list_node node; /* server->handshakes */
	struct grpc_server *server;
	struct addr peer;
};

static struct server_conn *conn_cast(void *arg)
{
	return OBJ_CAST(struct server_conn, CONN_MAGIC, arg);
}

static void free_memory(void *ptr)
{
	mem_free(ptr);
}

/* --- connections --- */

static void on_stream(void *arg, struct http_conn *http, struct http_stream *stream)
{
	(void)http;
	grpc_server_accept_call(conn_cast(arg)->server, arg, stream);
}

static void on_conn_end(void *arg, struct http_conn *http, enum reason reason)
{
	struct server_conn *c = conn_cast(arg);
	struct grpc_server *s = c->server;
	struct str detail = http_conn_detail(http);

	if (reason != REASON_OK)
		log_at(s->cfg.log, LOG_DEBUG, "grpc", "connection ended",
			LOG_Z("reason", reason_info(reason)->text), LOG_S("detail", detail));
	list_remove(&c->node);
	s->n_conns--;
	c->obj.magic = 0;
	loop_defer_free(s->env.loop, c, free_memory);
	grpc_server_finish_if_over(s);
}

static const struct http_conn_events conn_events = {
	.on_stream = on_stream,
	.on_end = on_conn_end,
};

static void conn_start(struct grpc_server *s, struct io *io)
{
	struct server_conn *c = MEM_NEW(struct server_conn);

	c->obj.magic = CONN_MAGIC;
	c->server = s;
	list_append(&s->conns, &c->node);
	s->n_conns++;
	c->http = http_conn_new(&s->env, io, HTTP_SERVER, HTTP_V2, &s->limits, false, &conn_events,
		c);
	if (s->draining)
		http_conn_drain(c->http);
}

void grpc_server_conn_vouched(void *conn, bool vouched)
{
	struct server_conn *c = conn_cast(conn);

	c->vouched += vouched ? 1 : (unsigned)-1;
}

bool grpc_server_conn_is_greedy(const void *conn)
{
	const struct server_conn *c = conn;

	return c->vouched == 0 && http_conn_streams(c->http) > 1;
}

/*
 * Ends the oldest connection that carries no call, or else the oldest one that carries none of
 * somebody known: calls that anybody may make, and hold for as long as they like, keep nobody out.
 * False where there is none.
 */
static bool make_room(struct grpc_server *s)
{
	struct server_conn *one = NULL;

	LIST_EACH(&s->conns, n)
	{
		struct server_conn *c = CONTAINER_OF(n, struct server_conn, node);
		bool idle = http_conn_streams(c->http) == 0;

		if (idle || (one == NULL && c->vouched == 0))
			one = c;
		if (idle)
			break;
	}
	if (one == NULL)
		return false;
	list_remove(&one->node);
	http_conn_end(one->http, REASON_OVERLOAD);
	return true;
}

/* --- handshakes --- */

static void pause_if_busy(struct grpc_server *s)
{
	bool busy = s->n_handshakes >= s->cfg.max_handshakes;

	if (busy == s->paused)
		return;
	s->paused = busy;
	for (size_t i = 0; i < s->n_listeners; i++) {
		if (busy)
			listener_pause(s->listeners[i]);
		else
			listener_resume(s->listeners[i]);
	}
}

static void on_ready(void *arg, struct io *io)
{
	struct handshake *h = OBJ_CAST(struct handshake, HANDSHAKE_MAGIC, arg);
	struct grpc_server *s = h->server;

	h->obj.magic = 0;
	list_remove(&h->node);
	loop_defer_free(s->env.loop, h, free_memory);
	s->n_handshakes--;
	if (io != NULL && s->closing)
		io_close(&io, true);
	if (io != NULL)
		conn_start(s, io);
	if (!s->closing)
		pause_if_busy(s);
	grpc_server_finish_if_over(s);
}

/* Who opens connections and says nothing on them leaves some of the slots to others. */
static bool has_its_share(const struct grpc_server *s, const struct addr *peer)
{
	size_t share = s->cfg.max_handshakes - s->cfg.max_handshakes / 4, n = 0;

	if (s->n_handshakes < share || peer->family == ADDR_NONE)
		return false;
	LIST_EACH(&s->handshakes, node)
	{
		n += addr_eq_ip(&CONTAINER_OF(node, struct handshake, node)->peer, peer);
	}
	return n >= share;
}

static void refuse(struct grpc_server *s, struct io *io)
{
	s->stats.refused++;
	io_close(&io, true);
}

static void on_accept(void *arg, struct io *io)
{
	struct grpc_server *s = grpc_server_cast(arg);
	struct io_info info = {0};

	s->stats.accepted++;
	io_info(io, &info);
	if (has_its_share(s, &info.peer) ||
		(s->n_conns + s->n_handshakes >= s->cfg.max_conns && !make_room(s))) {
		refuse(s, io);
		return;
	}
	if (s->cfg.secure == NULL) {
		conn_start(s, io);
		return;
	}
	struct handshake *h = MEM_NEW(struct handshake);

	h->obj.magic = HANDSHAKE_MAGIC;
	h->server = s;
	h->peer = info.peer;
	list_append(&s->handshakes, &h->node);
	s->n_handshakes++;
	pause_if_busy(s);
	s->cfg.secure(s->cfg.secure_arg, io, on_ready, h);
}

/* --- listeners --- */

int grpc_server_listen(struct grpc_server *s, const struct listen_config *cfg, struct addr *bound,
	char *err, size_t size)
{
	struct listener *l;
	int rc = listener_open(s->net, cfg, on_accept, s, &l, err, size);

	if (rc != 0)
		return rc;
	s->listeners = mem_resize(s->listeners, (s->n_listeners + 1) * sizeof(s->listeners[0]));
	s->listeners[s->n_listeners++] = l;
	if (s->paused)
		listener_pause(l);
	if (bound != NULL)
		*bound = listener_addr(l);
	return 0;
}

void grpc_server_stop_listening(struct grpc_server *s)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		listener_close(&s->listeners[i]);
	s->n_listeners = 0;
}

void grpc_server_drain_conns(struct grpc_server *s)
{
	s->draining = true;
	LIST_EACH(&s->conns, n)
	{
		http_conn_drain(CONTAINER_OF(n, struct server_conn, node)->http);
	}
}

void grpc_server_on_close_timer(void *arg)
{
	struct grpc_server *s = grpc_server_cast(arg);

	LIST_EACH(&s->conns, n)
	{
		http_conn_end(CONTAINER_OF(n, struct server_conn, node)->http, REASON_DRAINING);
	}
}
