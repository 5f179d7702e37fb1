/*
 * The way of an outbound connection, top to bottom: original destination -> which destination is
 * this -> protocol (declared, learned, or sniffed) -> HTTP session or byte relay. A server may
 * speak first, so a silent client gets a speculative upstream; only bytes of the server make it
 * opaque.
 */
#include <stdio.h>

#include "lib/base/log.h"
#include "sidecar/flow/conn.h"

/* -- 1. a destination that can be ours
 * ------------------------------------------------------------------------------ */

static bool orig_dst_good(const struct conn *c)
{
	const struct sidecar_params *p = c->flow->params;
	struct addr ip = addr_with_port(&c->orig, 0);
	if (c->orig.family == ADDR_NONE || addr_is_loopback(&ip) || addr_is_any(&ip))
		return false;
	if (!snapshot_is_self(c->snap, &ip))
		return true;
	return c->orig.port != p->outbound_port && c->orig.port != p->inbound_port &&
		c->orig.port != p->admin_port && c->orig.port != p->metrics_port &&
		c->orig.port != p->health_port;
}

/* -- 4b. raw bytes: one endpoint, one connection
 * ---------------------------------------------------------------------- */

static void target_from_hop(const struct conn *c, const struct dest_hop *hop, const char *alpn,
	struct connect_target *out)
{
	*out = (struct connect_target){
		.to = hop->to, .id = hop->id, .uid = hop->uid, .self = hop->self};
	out->alpn = hop->secure ? alpn : NULL;
	out->ctx = hop->secure && !hop->self ? c->flow->client_ctx : NULL;
}

int outbound_tcp_target(struct conn *c, struct connect_target *out, const char **detail)
{
	struct flow *f = c->flow;
	const struct mesh_endpoint *ep = NULL;
	struct dest_hop hop;
	*detail = NULL;
	if (c->dest.kind == DEST_SERVICE) {
		struct pick_in in = {.service = c->dest.service,
			.port_index = c->dest.port_index,
			.family = (enum addr_family)c->orig.family,
			.now = flow_now(f),
			.load = flow_load,
			.load_arg = f};
		ep = pick_endpoint(&in, flow_service_state(f, c->dest.service), f->env.rng, detail);
		if (ep == NULL)
			return MESH_NO_ENDPOINTS;
	} else if (c->dest.kind == DEST_POD) {
		ep = &c->dest.pod->endpoint;
	}
	int reason = dest_hop(c->snap, &c->dest, ep, &hop);
	if (reason != 0)
		return reason;
	c->endpoint = ep;
	if (ep != NULL && c->load == NULL) {
		c->load = flow_load(f, ep);
		c->load->in_flight++;
	}
	target_from_hop(c, &hop, "weft/tcp", out);
	return 0;
}

static void start_raw(struct conn *c, const char *protocol)
{
	struct connect_target target;
	const char *detail;
	int reason = c->dest.kind == DEST_REFUSED ? c->dest.reason
						  : outbound_tcp_target(c, &target, &detail);
	if (reason != 0) {
		conn_refuse(c, reason, NULL, c->dest.kind == DEST_REFUSED ? NULL : detail);
		return;
	}
	tcp_start(c, &target, protocol);
}

/* -- 3b. speculation: the client is silent, so perhaps the server speaks first
 * ----------------------------------------- */

static void spec_drop(struct conn *c)
{
	connect_cancel(&c->connect);
	io_close(&c->spec, false);
	if (c->load != NULL)
		c->load->in_flight--;
	c->load = NULL;
	c->endpoint = NULL;
}

/* The speculation came to nothing. An HTTP client that is merely slow shall not notice; one that
 * waits for a banner is let go in time. */
static void spec_fail(struct conn *c, int reason, const char *text)
{
	spec_drop(c);
	c->spec_failed = true;
	c->spec_reason = reason;
	snprintf(c->spec_text, sizeof(c->spec_text), "%s", text);
	loop_timer_start(&c->timer, c->flow->params->detect_timeout);
}

static void on_spec_over(void *arg)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	conn_refuse(c, c->spec_reason, NULL, c->spec_text);
}

static void on_spec_readable(void *arg, unsigned events)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	struct buf bytes;
	(void)events;
	buf_init(&bytes, c->flow->env.http.bufs);
	ssize_t n = io_read(c->spec, &bytes, 16384);
	if (n == ERR_AGAIN)
		return;
	if (n <= 0) {
		spec_fail(c,
			n == 0 ? REASON_UPSTREAM_CLOSED : (int)reason_from_upstream_err((int)n),
			"the upstream ended the connection before a byte went either way");
		return;
	}
	/* The server spoke first: that, and nothing else, makes the destination opaque. */
	struct io *up = c->spec;
	c->spec = NULL;
	learned_opaque(c->flow->learned, &c->orig, flow_now(c->flow));
	c->decided_ns = flow_now(c->flow);
	telemetry_detected(c->flow->telemetry, SPAN_OUTBOUND, "server-first",
		c->decided_ns - c->accepted_ns);
	detect_stop(&c->detect, &c->first);
	tcp_join(c, up, &bytes, "tcp");
}

static void on_spec_ready(void *arg, struct io *io, const struct connect_failure *failure)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	c->connect = NULL;
	if (io == NULL) {
		spec_fail(c, failure->reason, failure->text);
		return;
	}
	c->spec = io;
	io_set_user(io, on_spec_readable, c);
	io_want(io, IO_READ);
}

static void spec_start(struct conn *c)
{
	struct connect_target target;
	const char *detail;
	if (c->dest.kind == DEST_REFUSED)
		return;
	int reason = outbound_tcp_target(c, &target, &detail);
	if (reason != 0)
		spec_fail(c, reason, detail != NULL ? detail : flow_reason(reason)->text);
	else
		c->connect = connect_start(&c->flow->connect, &target, on_spec_ready, c);
}

/* -- 3. protocol
 * -----------------------------------------------------------------------------------------------------
 */

static void start_opaque(struct conn *c, enum sniff_verdict verdict)
{
	const char *protocol = verdict == SNIFF_TLS ? "tls" : "tcp";
	struct io *up = c->spec;
	c->spec = NULL;
	if (up != NULL) {
		tcp_join(c, up, NULL, protocol);
		return;
	}
	if (c->spec_failed) {
		conn_refuse(c, c->spec_reason, NULL, c->spec_text);
		return;
	}
	spec_drop(c);
	start_raw(c, protocol);
}

static bool declared_http(const struct conn *c)
{
	return c->dest.protocol == MESH_PROTO_HTTP || c->dest.protocol == MESH_PROTO_HTTP2;
}

static void on_decided(struct conn *c, enum sniff_verdict verdict, struct buf *bytes)
{
	loop_timer_stop(&c->timer);
	c->decided_ns = flow_now(c->flow);
	telemetry_detected(c->flow->telemetry, SPAN_OUTBOUND, sniff_name(verdict),
		c->decided_ns - c->accepted_ns);
	if (verdict == SNIFF_HTTP1 || verdict == SNIFF_HTTP2) {
		spec_drop(c);
		conn_push_back(c, bytes);
		session_start(c, verdict == SNIFF_HTTP2 ? HTTP_V2 : HTTP_V1);
		return;
	}
	if (declared_http(c)) {
		/* Declared HTTP is never opaque: the parser answers what is not HTTP. TLS on an
		 * HTTP port has no answer in plaintext. */
		if (verdict == SNIFF_TLS) {
			conn_refuse(c, REASON_PROTOCOL, NULL,
				"TLS to a port that is declared HTTP");
			return;
		}
		conn_push_back(c, bytes);
		session_start(c, HTTP_V1);
		return;
	}
	buf_move_all(&c->first, bytes);
	start_opaque(c, verdict);
}

static void on_first(void *arg, enum detect_event ev, enum sniff_verdict verdict,
	const struct sniff_facts *facts, struct buf *bytes, int err)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	(void)facts;
	switch (ev) {
	case DETECT_QUIET:
		if (!declared_http(c))
			spec_start(c);
		return;
	case DETECT_DECIDED:
	case DETECT_TIMEOUT:
		c->detect = NULL;
		on_decided(c, verdict, bytes);
		return;
	case DETECT_ENDED:
		c->detect = NULL;
		conn_end(c, REASON_OK, NULL, false);
		return;
	case DETECT_FAILED:
		c->detect = NULL;
		conn_end(c, reason_from_downstream_err(err), err_text(err), true);
		return;
	}
}

/* -- 2. which destination is this?
 * -------------------------------------------------------------------------------------- */

static void start_dest(struct conn *c)
{
	const struct sidecar_params *p = c->flow->params;
	dest_find(c->snap, &c->orig, &c->dest);
	bool raw = c->dest.kind == DEST_PASSTHROUGH || c->dest.protocol == MESH_PROTO_TCP ||
		c->dest.protocol == MESH_PROTO_TLS ||
		(!declared_http(c) &&
			learned_is_opaque(c->flow->learned, &c->orig, flow_now(c->flow)));
	if (raw) {
		start_raw(c, c->dest.protocol == MESH_PROTO_TLS ? "tls" : "tcp");
		return;
	}
	struct detect_config cfg = {.grace_ns = p->detect_grace,
		.timeout_ns = p->detect_timeout,
		.silence_ns = c->dest.kind == DEST_REFUSED ? p->detect_timeout : p->idle_timeout};
	loop_timer_init(&c->timer, c->flow->env.http.loop, on_spec_over, c);
	conn_set_state(c, CONN_DETECT);
	c->detect = detect_start(c->io, c->flow->env.http.bufs, &cfg, on_first, c);
}

void outbound_accept(void *arg, struct io *io)
{
	struct flow *f = arg;
	struct conn *c = conn_new(f, SPAN_OUTBOUND, io);
	if (c == NULL)
		return;
	if (f->env.orig_dst(f->env.orig_dst_arg, io, &c->orig) != 0 || !orig_dst_good(c)) {
		conn_refuse(c, MESH_BAD_ORIGINAL_DST, NULL, NULL);
		return;
	}
	start_dest(c);
}
