/*
 * A gRPC server's methods and calls, and its life as a whole. Owns struct grpc_server; its
 * listeners and connections are in server_conn.c. Made by the control plane and by tests.
 */
#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/rand.h"
#include "lib/grpc/server_internal.h"
#include "lib/grpc/wire.h"

#define MAX_CONNS 1024
#define MAX_HANDSHAKES 256
#define MAX_BUFFERED ((size_t)128 * 1024 * 1024)
#define KEEPALIVE_NS (30 * NS_PER_S)
#define KEEPALIVE_WAIT_NS (10 * NS_PER_S)
#define IDLE_NS (300 * NS_PER_S)
#define HEADER_NS (10 * NS_PER_S)
#define HEADER_BYTES ((size_t)32 * 1024)
/* Between telling all connections that it ends, and ending them. */
#define CLOSE_NS (2 * NS_PER_S)

/* One path. Owned by the server's map. */
struct grpc_route {
	const struct grpc_service *service;
	const struct grpc_method *method;
};

struct grpc_server *grpc_server_cast(void *arg)
{
	return OBJ_CAST(struct grpc_server, GRPC_SERVER_MAGIC, arg);
}

/* --- methods --- */

void grpc_server_add(struct grpc_server *s, const struct grpc_service *service)
{
	char path[256];

	ASSERT(s->n_listeners == 0);
	s->services = mem_resize(s->services, (s->n_services + 1) * sizeof(s->services[0]));
	s->services[s->n_services++] = service;
	for (size_t i = 0; i < service->n_methods; i++) {
		struct grpc_route *route = MEM_NEW(struct grpc_route);
		int n = snprintf(path, sizeof(path), "/%s/%s", service->name,
			service->methods[i].name);

		ASSERT(n > 0 && (size_t)n < sizeof(path));
		route->service = service;
		route->method = &service->methods[i];
		ASSERT(map_put(s->routes, str_from(path), route) == NULL);
	}
}

size_t grpc_server_services(const struct grpc_server *s, const struct grpc_service *const **out)
{
	*out = s->services;
	return s->n_services;
}

/* --- calls --- */

static const char *read_timeout(const struct grpc_call *c, uint64_t *ns)
{
	struct str name = STR("grpc-timeout");
	size_t n = http_fields_count(&c->metadata, name);

	*ns = 0;
	if (n == 0)
		return NULL;
	if (n > 1 || grpc_parse_timeout(http_fields_get(&c->metadata, name), ns) != 0)
		return "malformed grpc-timeout";
	return NULL;
}

static void start_call(struct grpc_server *s, struct grpc_call *c, const struct grpc_route *route)
{
	uint64_t now = loop_now(s->env.loop), timeout, at;
	const char *bad = read_timeout(c, &timeout);

	if (bad != NULL) {
		grpc_call_finish_str(c, GRPC_INVALID_ARGUMENT, str_from(bad));
		return;
	}
	if (http_fields_has(&c->metadata, STR("grpc-timeout"))) {
		if (__builtin_add_overflow(now, timeout, &at))
			at = UINT64_MAX;
		grpc_call_set_deadline(c, at);
	}
	grpc_call_begin(c, !route->method->client_streams, route->method->max_message);
	route->method->start(route->service->arg, c);
	ASSERT(c->ev != NULL || c->over);
}

static void on_call_head(void *owner, struct grpc_call *c, const struct http_head *head)
{
	struct grpc_server *s = grpc_server_cast(owner);

	if (!str_eq(head->method, STR("POST"))) {
		grpc_call_refuse_http(c, 405);
		return;
	}
	if (http_fields_count(&c->metadata, STR("content-type")) != 1 ||
		!grpc_is_content_type(http_fields_get(&c->metadata, STR("content-type")))) {
		grpc_call_refuse_http(c, 415);
		return;
	}
	s->stats.started++;
	c->counted = true;
	const struct grpc_route *route = map_get(s->routes, head->path);

	if (s->closing)
		grpc_call_finish_str(c, GRPC_UNAVAILABLE, STR("the server is closing"));
	else if (s->stats.calls > s->cfg.max_conns && grpc_server_conn_is_greedy(c->conn))
		grpc_call_finish_str(c, GRPC_RESOURCE_EXHAUSTED,
			STR("too many calls: one for each connection goes on"));
	else if (route == NULL)
		grpc_call_finish_str(c, GRPC_UNIMPLEMENTED, STR("no such method"));
	else
		start_call(s, c, route);
}

static void on_call_over(void *owner, struct grpc_call *c)
{
	struct grpc_server *s = grpc_server_cast(owner);

	list_remove(&c->node);
	s->stats.calls--;
	if (c->counted)
		s->stats.ended[c->end.status]++;
}

/* Small requests go on where some hold much. */
static bool on_call_buffered(void *owner, struct grpc_call *c, ssize_t delta)
{
	struct grpc_server *s = grpc_server_cast(owner);

	s->stats.buffered += (size_t)delta;
	return delta < 0 || s->stats.buffered <= s->cfg.max_buffered ||
		buf_len(&c->rx) <= s->cfg.max_buffered / s->stats.calls;
}

static void on_call_vouched(void *owner, struct grpc_call *c, bool vouched)
{
	(void)owner;
	grpc_server_conn_vouched(c->conn, vouched);
}

static const struct grpc_call_owner call_owner = {
	.on_over = on_call_over,
	.on_buffered = on_call_buffered,
	.on_head = on_call_head,
	.on_vouched = on_call_vouched,
};

void grpc_server_accept_call(struct grpc_server *s, void *conn, struct http_stream *stream)
{
	struct grpc_call *c = grpc_call_new(&s->env, true, &call_owner, s);

	c->conn = conn;
	list_append(&s->calls, &c->node);
	s->stats.calls++;
	grpc_call_accept(c, stream);
}

/* --- life --- */

static struct http_limits server_limits(const struct grpc_server_config *cfg)
{
	struct http_limits l = http_limits_default();

	l.header_bytes = HEADER_BYTES;
	l.header_timeout = HEADER_NS;
	l.idle_timeout = IDLE_NS;
	/* Streams may be silent for as long as they like; connections are asked whether they live.
	 */
	l.stream_idle_timeout = 0;
	l.server_ping_interval = cfg->keepalive_ns > 0 ? cfg->keepalive_ns : KEEPALIVE_NS;
	l.ping_timeout = cfg->keepalive_wait_ns > 0 ? cfg->keepalive_wait_ns : KEEPALIVE_WAIT_NS;
	return l;
}

struct grpc_server *grpc_server_new(const struct http_env *env, struct net *net,
	const struct grpc_server_config *cfg)
{
	struct grpc_server *s = MEM_NEW(struct grpc_server);
	struct rng rng;

	rng_seed_system(&rng);
	s->obj.magic = GRPC_SERVER_MAGIC;
	s->env = *env;
	s->net = net;
	s->cfg = *cfg;
	if (s->cfg.max_conns == 0)
		s->cfg.max_conns = MAX_CONNS;
	if (s->cfg.max_handshakes == 0)
		s->cfg.max_handshakes = MAX_HANDSHAKES;
	if (s->cfg.max_buffered == 0)
		s->cfg.max_buffered = MAX_BUFFERED;
	s->limits = server_limits(cfg);
	s->routes = map_new(rng_next(&rng));
	list_init(&s->conns);
	list_init(&s->handshakes);
	list_init(&s->calls);
	loop_timer_init(&s->close_timer, env->loop, grpc_server_on_close_timer, s);
	return s;
}

void grpc_server_stats(const struct grpc_server *s, struct grpc_server_stats *out)
{
	*out = s->stats;
	out->conns = s->n_conns;
}

static void server_free(void *ptr)
{
	struct grpc_server *s = grpc_server_cast(ptr);
	struct map_entry *cursor = NULL;
	struct str key;
	void *route;

	while (map_next(s->routes, &cursor, &key, &route))
		mem_free(route);
	map_free(&s->routes);
	mem_free(s->services);
	mem_free(s->listeners);
	s->obj.magic = 0;
	mem_free(s);
}

void grpc_server_finish_if_over(struct grpc_server *s)
{
	if (!s->closing || s->n_conns > 0 || s->n_handshakes > 0 || !list_empty(&s->calls))
		return;
	loop_timer_stop(&s->close_timer);
	loop_orphan_done(&s->orphan);
	loop_defer_free(s->env.loop, s, server_free);
}

void grpc_server_drain(struct grpc_server *s)
{
	grpc_server_stop_listening(s);
	grpc_server_drain_conns(s);
}

void grpc_server_close(struct grpc_server **server)
{
	struct grpc_server *s = *server;
	struct list_node *n;

	if (s == NULL)
		return;
	*server = NULL;
	s->closing = true;
	while ((n = list_first(&s->calls)) != NULL) {
		struct grpc_call *c = CONTAINER_OF(n, struct grpc_call, node);

		grpc_call_finish_str(c, GRPC_UNAVAILABLE, STR("the server is closing"));
		grpc_call_tell(c);
	}
	grpc_server_drain(s);
	loop_timer_start(&s->close_timer, CLOSE_NS);
	loop_adopt(s->env.loop, &s->orphan, grpc_server_on_close_timer, s);
	grpc_server_finish_if_over(s);
}
