/*
 * The way of an outbound connection, top to bottom: original destination -> which destination is
 * this (lookup.c, which may have to ask and wait) -> protocol (declared, learned, or sniffed) ->
 * HTTP session or byte relay. A server may speak first, so a silent client gets a speculative
 * upstream (raw.c); only bytes of the server make it opaque.
 */
#include "sidecar/flow/find.h"
#include "sidecar/flow/raw.h"

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

static int choose_endpoint(struct conn *c, const struct mesh_endpoint **out, const char **detail)
{
	struct flow *f = c->flow;
	enum pick_none why;
	struct pick_in in = {.service = c->dest.service,
		.port_index = c->dest.port_index,
		.family = (enum addr_family)c->orig.family,
		.now = flow_now(f),
		.tried = c->tried,
		.n_tried = c->n_tried,
		.load = flow_load,
		.load_arg = f};
	*out = pick_endpoint(&in, flow_service_state(f, c->dest.service), f->env.rng, &why);
	if (*out != NULL)
		return 0;
	*detail = pick_none_text(why);
	return why == PICK_STRICT ? MESH_NOT_MESHED : MESH_NO_ENDPOINTS;
}

static const char *unknown(const struct conn *c)
{
	return c->dest.reason == MESH_DISCOVERY ? c->unknown : NULL;
}

int outbound_tcp_target(struct conn *c, struct connect_target *out, const char **detail)
{
	const struct mesh_endpoint *ep = NULL;
	struct dest_hop hop;
	int reason = 0;
	if (c->dest.kind == DEST_SERVICE)
		reason = choose_endpoint(c, &ep, detail);
	else if (c->dest.kind == DEST_POD)
		ep = &c->dest.pod->endpoint;
	if (reason == 0)
		reason = dest_hop(c->snap, &c->dest, ep, &hop);
	if (reason == 0 && !hop.secure && c->snap != c->flow->snap)
		reason = dest_still(c->flow->snap, &c->orig, ep, &hop.to);
	if (reason == 0 && hop.secure && !hop.self && flow_expired(c->flow))
		reason = MESH_OWN_CERTIFICATE;
	if (reason == MESH_DISCOVERY)
		*detail = unknown(c);
	if (reason != 0)
		return reason;
	c->endpoint = ep;
	if (ep != NULL) {
		c->load = flow_load(c->flow, ep);
		c->load->in_flight++;
	}
	target_from_hop(c, &hop, "weft/tcp", out);
	return 0;
}

/* -- 3. protocol
 * -----------------------------------------------------------------------------------------------------
 */

static bool declared_http(const struct conn *c)
{
	return c->dest.protocol == MESH_PROTO_HTTP || c->dest.protocol == MESH_PROTO_HTTP2;
}

static void on_decided(struct conn *c, enum sniff_verdict verdict, struct buf *bytes)
{
	bool empty = buf_len(bytes) == 0;
	c->decided_ns = flow_now(c->flow);
	telemetry_detected(c->flow->telemetry, SPAN_OUTBOUND, sniff_name(verdict),
		c->decided_ns - c->accepted_ns);
	if (c->connect == NULL && c->spec.io == NULL)
		conn_refresh(c);
	/* Declared HTTP is never opaque: the parser answers what is not HTTP. TLS on an HTTP port
	 * has no answer in plaintext. */
	if (declared_http(c) && verdict == SNIFF_TLS) {
		conn_refuse(c, REASON_PROTOCOL, NULL, "TLS to a port that is declared HTTP");
		return;
	}
	if (verdict == SNIFF_HTTP1 || verdict == SNIFF_HTTP2 || (declared_http(c) && !empty)) {
		raw_drop(c);
		conn_push_back(c, bytes);
		session_start(c, verdict == SNIFF_HTTP2 ? HTTP_V2 : HTTP_V1);
		return;
	}
	/* Closed without a byte: a half-close, perhaps, of a client that only listens. */
	if (empty && (declared_http(c) || c->dest.kind == DEST_REFUSED)) {
		conn_end(c, REASON_OK, NULL, false);
		return;
	}
	buf_move_all(&c->first, bytes);
	raw_start(c, verdict == SNIFF_TLS ? "tls" : "tcp");
}

static void on_failed(struct conn *c, int err)
{
	if (err == ERR_TIMEOUT && c->dest.kind == DEST_REFUSED)
		conn_refuse(c, c->dest.reason, NULL, unknown(c));
	else
		conn_end(c, reason_from_downstream_err(err), err_text(err), true);
}

void outbound_speculate(struct conn *c)
{
	if (!declared_http(c) && c->dest.kind != DEST_REFUSED)
		raw_speculate(c);
}

static void on_first(void *arg, enum detect_event ev, enum sniff_verdict verdict,
	const struct sniff_facts *facts, struct buf *bytes, int err)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	(void)facts;
	switch (ev) {
	case DETECT_QUIET:
		outbound_speculate(c);
		return;
	case DETECT_DECIDED:
	case DETECT_TIMEOUT:
	case DETECT_ENDED:
		c->detect = NULL;
		on_decided(c, verdict, bytes);
		return;
	case DETECT_FAILED:
		c->detect = NULL;
		on_failed(c, err);
		return;
	}
}

/* -- 2. which destination is this?
 * -------------------------------------------------------------------------------------- */

void outbound_start(struct conn *c)
{
	const struct sidecar_params *p = c->flow->params;
	bool raw = c->dest.kind == DEST_PASSTHROUGH || c->dest.protocol == MESH_PROTO_TCP ||
		c->dest.protocol == MESH_PROTO_TLS ||
		(!declared_http(c) &&
			learned_is_opaque(c->flow->learned, &c->orig, flow_now(c->flow)));
	if (raw) {
		raw_start(c, c->dest.protocol == MESH_PROTO_TLS ? "tls" : "tcp");
		return;
	}
	struct detect_config cfg = {.grace_ns = p->detect_grace,
		.timeout_ns = p->detect_timeout,
		.silence_ns = c->dest.kind == DEST_REFUSED ? p->detect_timeout : p->idle_timeout};
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
	lookup_start(c);
}
