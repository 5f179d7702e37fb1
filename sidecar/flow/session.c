/*
 * HTTP on a downstream connection: a server-role connection whose streams become requests. Ends the
 * connection when the HTTP connection ends.
 */
#include "sidecar/flow/request.h"

static void on_stream(void *arg, struct http_conn *h, struct http_stream *s)
{
	(void)h;
	request_start(OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg), s);
}

static void on_end(void *arg, struct http_conn *h, enum reason reason)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	struct str detail = http_conn_detail(h);
	c->http = NULL;
	if (reason == REASON_FLOOD || reason == REASON_PROTOCOL) {
		char from[ADDR_TEXT];
		telemetry_refused(c->flow->telemetry, c->direction, flow_reason(reason)->label);
		log_at(c->flow->env.log, LOG_WARN, "flow", "HTTP connection ended",
			LOG_Z("text", flow_reason(reason)->text), LOG_S("detail", detail),
			LOG_Z("downstream", addr_format(&c->peer_addr, from)),
			LOG_S("source_identity", c->peer.id));
	}
	conn_end(c, reason, NULL, false);
}

static const struct http_conn_events session_events = {.on_stream = on_stream, .on_end = on_end};

/* Either leaf is about to expire: what comes next shall come under a fresh one (GOAWAY, or
 * "Connection: close"). */
static void on_retire(void *arg)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	if (c->http != NULL)
		http_conn_drain(c->http);
}

void session_start(struct conn *c, enum http_version version)
{
	struct flow *f = c->flow;
	struct io *io = c->io;
	uint64_t retire_in;
	/* Limits that end a session are for those who share it with nobody else's good requests:
	 * who may not call has none on it. */
	bool trusted = c->direction == SPAN_INBOUND && c->mesh_peer && c->verdict.allowed;
	c->io = NULL;
	conn_set_state(c, CONN_HTTP);
	conn_let_go(c); /* requests have their own */
	c->http = http_conn_new(&f->env.http, io, HTTP_SERVER, version, &f->down_limits, trusted,
		&session_events, c);
	bool leaves = upstream_retire_in(http_conn_io(c->http), &retire_in);
	loop_timer_init(&c->retire, f->env.http.loop, on_retire, c);
	if (f->draining && c->direction == SPAN_INBOUND)
		loop_timer_start(&c->retire, CONNECT_LEAST_LIFE);
	else if (leaves)
		loop_timer_at(&c->retire, flow_now(f) + retire_in);
}
