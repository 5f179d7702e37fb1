/*
 * The way of an inbound connection, top to bottom: original destination -> first bytes -> TLS ->
 * peer identity -> L4 verdict -> protocol -> the application. Nothing is dialled before the
 * verdict, and in STRICT mode nothing before the handshake.
 */
#include <stdio.h>

#include "lib/base/log.h"
#include "sidecar/flow/request.h"

#define SELF_PIPE_BYTES (256 * 1024)

const char *const *inbound_alpn(void)
{
	static const char *const all[] = {
		"weft/h2", "weft/h2-h1", "weft/http1.1", "weft/tcp", NULL};
	return all;
}

/* -- 1. whose connection is it?
 * ---------------------------------------------------------------------------------- */

static bool is_own_port(const struct sidecar_params *p, uint16_t port)
{
	return port == p->outbound_port || port == p->inbound_port || port == p->admin_port ||
		port == p->metrics_port || port == p->health_port;
}

/* Only this pod's own addresses, none of our ports, nothing on loopback. */
static bool orig_dst_good(const struct conn *c)
{
	struct addr ip = addr_with_port(&c->orig, 0);
	return c->orig.family != ADDR_NONE && !addr_is_loopback(&ip) &&
		snapshot_is_self(c->snap, &ip) && !is_own_port(c->flow->params, c->orig.port);
}

/* -- 5. what the peer may do
 * ------------------------------------------------------------------------------------- */

void inbound_judge(struct conn *c, const struct snapshot *snap)
{
	struct authz_in in = {
		.peer = c->peer, .source = addr_with_port(&c->peer_addr, 0), .port = c->orig.port};
	authz_check(snap, &in, &c->verdict);
	if (c->verdict.policy.n > 0)
		authz_rule_text(&c->verdict, c->rule, sizeof(c->rule));
	else
		snprintf(c->rule, sizeof(c->rule), "default: %s", c->verdict.why);
	c->verdict.ns = c->verdict.policy =
		STR_NULL; /* borrowed from snap; their text is kept in rule */
}

static void refuse_denied(struct conn *c)
{
	conn_refuse(c, MESH_DENIED, NULL, c->verdict.why);
}

/* -- 7. to the application, at its original address and from the pod's own
 * ---------------------------------------- */

static void relay_to_app(struct conn *c, const char *protocol)
{
	struct connect_target target = {.to = c->orig, .from = addr_with_port(&c->orig, 0)};
	tcp_start(c, &target, protocol);
}

/* -- 6. protocol: by configuration and sniffing, never by what the client's ALPN claims
 * ----------------------------- */

static void on_inner(void *arg, enum detect_event ev, enum sniff_verdict verdict,
	const struct sniff_facts *facts, struct buf *bytes, int err)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	(void)facts;
	switch (ev) {
	case DETECT_QUIET: /* the server may speak first */
		detect_stop(&c->detect, NULL);
		break;
	case DETECT_DECIDED:
	case DETECT_TIMEOUT:
		c->detect = NULL;
		if (verdict == SNIFF_HTTP1 || verdict == SNIFF_HTTP2) {
			conn_push_back(c, bytes);
			session_start(c, verdict == SNIFF_HTTP2 ? HTTP_V2 : HTTP_V1);
			return;
		}
		buf_move_all(&c->first, bytes);
		break;
	case DETECT_ENDED:
		c->detect = NULL;
		conn_end(c, REASON_OK, NULL, false);
		return;
	case DETECT_FAILED:
		c->detect = NULL;
		conn_end(c, reason_from_downstream_err(err), err_text(err), true);
		return;
	}
	relay_to_app(c, verdict == SNIFF_TLS ? "tls" : "tcp");
}

static void start_inner(struct conn *c)
{
	struct mesh_port port = snapshot_own_port(c->snap, c->orig.port);
	if (port.protocol == MESH_PROTO_TCP || port.protocol == MESH_PROTO_TLS) {
		relay_to_app(c, port.protocol == MESH_PROTO_TLS ? "tls" : "tcp");
		return;
	}
	struct detect_config cfg = {.grace_ns = c->flow->params->detect_grace,
		.timeout_ns = c->flow->params->detect_timeout};
	conn_set_state(c, CONN_INNER);
	c->detect = detect_start(c->io, c->flow->env.http.bufs, &cfg, on_inner, c);
}

/* HTTP is answered with 403 request by request; raw bytes are cut off before the application hears
 * of them. */
static void start_protocol(struct conn *c)
{
	inbound_judge(c, c->snap);
	struct str alpn = str_from(c->alpn);
	if (str_eq(alpn, STR("weft/h2")) || str_eq(alpn, STR("weft/h2-h1"))) {
		session_start(c, HTTP_V2);
		return;
	}
	if (str_eq(alpn, STR("weft/http1.1"))) {
		session_start(c, HTTP_V1);
		return;
	}
	if (!c->verdict.allowed) {
		refuse_denied(c);
		return;
	}
	start_inner(c);
}

/* -- 4. who is it?
 * ------------------------------------------------------------------------------------------------
 */

static void set_peer(struct conn *c, struct str id, struct str alpn)
{
	const char *why;
	(void)str_copy(c->peer_id, sizeof(c->peer_id), id);
	(void)str_copy(c->alpn, sizeof(c->alpn), alpn);
	if (spiffe_parse(str_from(c->peer_id), false, &c->peer, &why) == 0)
		c->mesh_peer = true;
}

static void on_tls(void *arg, struct io *io, const struct tls_failure *failure)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	struct io_info info = {0};
	c->handshake = NULL;
	if (io == NULL) {
		bool cert = failure->verdict != CERT_GOOD;
		(void)str_copy(c->peer_id, sizeof(c->peer_id), str_from(failure->peer_id));
		conn_refuse(c, cert ? MESH_PEER_CERTIFICATE : MESH_HANDSHAKE,
			cert ? cert_verdict_label(failure->verdict) : NULL, failure->text);
		return;
	}
	c->io = io;
	io_info(io, &info);
	if (map_get(c->flow->snap->revoked, info.peer_serial) != NULL) {
		conn_refuse(c, MESH_PEER_CERTIFICATE, cert_verdict_label(CERT_REVOKED),
			cert_verdict_text(CERT_REVOKED));
		return;
	}
	set_peer(c, info.peer_id, info.alpn);
	(void)str_copy(c->cipher, sizeof(c->cipher), info.cipher);
	if (!c->mesh_peer) {
		conn_refuse(c, MESH_PEER_CERTIFICATE, NULL, "no SPIFFE ID after the handshake");
		return;
	}
	start_protocol(c);
}

/* -- 3. TLS
 * -------------------------------------------------------------------------------------------------------
 */

static void start_tls(struct conn *c, struct buf *bytes)
{
	struct tls_handshake_config cfg = {.ctx = c->flow->server_ctx,
		.bufs = c->flow->env.http.bufs,
		.timeout_ns = c->flow->params->handshake_timeout};
	conn_set_state(c, CONN_TLS);
	conn_push_back(c, bytes);
	struct io *io = c->io;
	c->io = NULL;
	c->handshake = tls_handshake_start(io, &cfg, on_tls, c);
}

/* -- 2. ours, or the application's own?
 * ------------------------------------------------------------------------------ */

/* Not ours: the mTLS mode decides. Without identity only what policy grants to anyone is allowed.
 */
static void start_plain(struct conn *c, enum detect_event ev, enum sniff_verdict verdict,
	struct buf *bytes)
{
	enum mesh_protocol declared = snapshot_own_port(c->snap, c->orig.port).protocol;
	bool http = verdict == SNIFF_HTTP1 || verdict == SNIFF_HTTP2;
	inbound_judge(c, c->snap);
	if (http && declared != MESH_PROTO_TCP && declared != MESH_PROTO_TLS) {
		conn_push_back(c, bytes);
		session_start(c, verdict == SNIFF_HTTP2 ? HTTP_V2 : HTTP_V1);
		return;
	}
	if (!c->verdict.allowed) {
		refuse_denied(c);
		return;
	}
	if (ev == DETECT_QUIET)
		detect_stop(&c->detect, NULL);
	else
		buf_move_all(&c->first, bytes);
	relay_to_app(c, verdict == SNIFF_TLS ? "tls" : "tcp");
}

static void on_first(void *arg, enum detect_event ev, enum sniff_verdict verdict,
	const struct sniff_facts *facts, struct buf *bytes, int err)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	if (ev != DETECT_QUIET)
		c->detect = NULL;
	c->decided_ns = flow_now(c->flow);
	if (ev == DETECT_ENDED || ev == DETECT_FAILED) {
		conn_end(c,
			ev == DETECT_ENDED ? (int)REASON_OK : (int)reason_from_downstream_err(err),
			NULL, err != 0);
		return;
	}
	telemetry_detected(c->flow->telemetry, SPAN_INBOUND,
		verdict == SNIFF_TLS && sniff_is_mesh(facts) ? "mesh" : sniff_name(verdict),
		c->decided_ns - c->accepted_ns);
	if (verdict == SNIFF_TLS && sniff_is_mesh(facts))
		start_tls(c, bytes);
	else if (snapshot_own_port(c->snap, c->orig.port).mtls == MTLS_STRICT)
		conn_refuse(c, MESH_PLAINTEXT, NULL, sniff_name(verdict));
	else
		start_plain(c, ev, verdict, bytes);
}

void inbound_accept(void *arg, struct io *io)
{
	struct flow *f = arg;
	struct conn *c = conn_new(f, SPAN_INBOUND, io);
	if (c == NULL)
		return;
	if (f->env.orig_dst(f->env.orig_dst_arg, io, &c->orig) != 0 || !orig_dst_good(c)) {
		conn_refuse(c, MESH_BAD_ORIGINAL_DST, NULL, NULL);
		return;
	}
	bool strict = snapshot_own_port(c->snap, c->orig.port).mtls == MTLS_STRICT;
	struct detect_config cfg = {.grace_ns = strict ? 0 : f->params->detect_grace,
		.timeout_ns = f->params->detect_timeout,
		.silence_ns = strict ? f->params->handshake_timeout : 0};
	conn_set_state(c, CONN_DETECT);
	c->detect = detect_start(io, f->env.http.bufs, &cfg, on_first, c);
}

/* -- open connections when policy changes
 * ----------------------------------------------------------------------------- */

static void fail_requests(struct conn *c)
{
	LIST_EACH(&c->requests, n)
	request_fail(CONTAINER_OF(n, struct request, node), MESH_POLICY_CHANGED, c->rule);
}

void inbound_rejudge(struct conn *c, const struct snapshot *snap)
{
	switch (c->state) {
	case CONN_ACCEPTED:
	case CONN_DETECT:
	case CONN_TLS:
	case CONN_ENDED:
		return; /* not judged yet */
	case CONN_INNER:
	case CONN_CONNECT:
		inbound_judge(c, snap);
		if (!c->verdict.allowed)
			conn_refuse(c, MESH_POLICY_CHANGED, NULL, c->verdict.why);
		return;
	case CONN_RELAY:
		inbound_judge(c, snap);
		if (!c->verdict.allowed)
			tcp_abort(c, MESH_POLICY_CHANGED, c->rule);
		return;
	case CONN_HTTP:
		inbound_judge(c, snap);
		if (!c->verdict.allowed)
			fail_requests(c);
		return;
	}
}

/* -- a pod that calls itself: the same way from step 5 on, under the pod's own identity
 * ------------------------------- */

static void on_self(void *arg)
{
	start_protocol(OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg));
}

struct io *inbound_accept_self(void *arg, const struct addr *to, const char *alpn)
{
	struct flow *f = arg;
	struct io *ends[2];
	struct addr from = addr_with_port(to, 0);
	io_mem_pair(f->env.http.loop, f->env.http.bufs, SELF_PIPE_BYTES, &from, to, ends);
	struct conn *c = conn_new(f, SPAN_INBOUND, ends[1]);
	if (c == NULL) {
		io_close(&ends[0], true);
		return NULL;
	}
	c->orig = *to;
	c->peer_addr = from;
	if (!orig_dst_good(c)) {
		conn_refuse(c, MESH_BAD_ORIGINAL_DST, NULL, NULL);
		return ends[0];
	}
	set_peer(c, c->snap->self.spiffe_id, str_from(alpn));
	loop_timer_init(&c->timer, f->env.http.loop, on_self, c);
	loop_timer_start(&c->timer, 0);
	return ends[0];
}
