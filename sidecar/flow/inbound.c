/*
 * The way of an inbound connection, top to bottom: original destination -> first bytes -> TLS ->
 * peer identity -> L4 verdict -> protocol -> the application. Nothing is dialled before the
 * verdict, and in STRICT mode nothing before the handshake. Each decision is made under the
 * configuration in force when it is made.
 */
#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "sidecar/flow/find.h"
#include "sidecar/flow/raw.h"

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

/* -- 6. protocol: by configuration and sniffing, never by what the client's ALPN claims
 * ----------------------------- */

static enum mesh_protocol declared(const struct conn *c)
{
	return snapshot_own_port(c->snap, c->orig.port).protocol;
}

static bool declared_http(const struct conn *c)
{
	return declared(c) == MESH_PROTO_HTTP || declared(c) == MESH_PROTO_HTTP2;
}

static bool declared_raw(const struct conn *c)
{
	return declared(c) == MESH_PROTO_TCP || declared(c) == MESH_PROTO_TLS;
}

/*
 * What the first bytes mean, plain or inside of weft/tcp. Bytes that could still become a request
 * when the time is up go to the parser, as all do on a port that is declared HTTP: relayed as
 * opaque they would take headers past us. HTTP is judged request by request, raw bytes here.
 */
static void start_by_bytes(struct conn *c, enum detect_event ev, enum sniff_verdict verdict,
	struct buf *bytes)
{
	size_t n = buf_len(bytes) > 0 ? 1 : 0;
	bool timeout_http =
		ev == DETECT_TIMEOUT && sniff_may_be_http(str_make(buf_pullup(bytes, n), n));
	bool http = verdict == SNIFF_HTTP1 || verdict == SNIFF_HTTP2 || timeout_http;
	if (declared_http(c) && verdict == SNIFF_TLS) {
		conn_refuse(c, REASON_PROTOCOL, NULL, "TLS to a port that is declared HTTP");
		return;
	}
	if ((http && !declared_raw(c)) || (declared_http(c) && n > 0)) {
		raw_drop(c);
		conn_push_back(c, bytes);
		session_start(c, verdict == SNIFF_HTTP2 ? HTTP_V2 : HTTP_V1);
		return;
	}
	if (declared_http(c)) { /* ended without a byte */
		conn_end(c, REASON_OK, NULL, false);
		return;
	}
	if (!c->verdict.allowed) {
		conn_refuse(c, MESH_DENIED, NULL, c->verdict.why);
		return;
	}
	buf_move_all(&c->first, bytes);
	raw_start(c, verdict == SNIFF_TLS ? "tls" : "tcp");
}

/* A client that says nothing may wait for the application to speak first; it learns nothing, not
 * even whether there is one, where it may not call. */
static void on_quiet(struct conn *c)
{
	if (c->verdict.allowed && !declared_http(c))
		raw_speculate(c);
}

static void on_inner(void *arg, enum detect_event ev, enum sniff_verdict verdict,
	const struct sniff_facts *facts, struct buf *bytes, int err)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	(void)facts;
	if (ev == DETECT_QUIET) {
		on_quiet(c);
		return;
	}
	c->detect = NULL;
	if (ev == DETECT_FAILED)
		conn_end(c, reason_from_downstream_err(err), err_text(err), true);
	else
		start_by_bytes(c, ev, verdict, bytes);
}

static void start_inner(struct conn *c)
{
	const struct sidecar_params *p = c->flow->params;
	if (declared_raw(c)) {
		raw_start(c, declared(c) == MESH_PROTO_TLS ? "tls" : "tcp");
		return;
	}
	struct detect_config cfg = {.grace_ns = p->detect_grace,
		.timeout_ns = p->detect_timeout,
		.silence_ns = p->idle_timeout};
	conn_set_state(c, CONN_INNER);
	c->detect = detect_start(c->io, c->flow->env.http.bufs, &cfg, on_inner, c);
}

/* HTTP is answered with 403 request by request; raw bytes are cut off before the application hears
 * of them. */
static void start_protocol(struct conn *c)
{
	conn_refresh(c);
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
	if (c->verdict.allowed)
		start_inner(c);
	else
		conn_refuse(c, MESH_DENIED, NULL, c->verdict.why);
}

/* -- 4. who is it?
 * ------------------------------------------------------------------------------------------------
 */

static void set_peer(struct conn *c, struct str id, struct str alpn)
{
	const char *why;
	c->peer_id = mem_strndup(id.p, id.n);
	(void)str_copy(c->alpn, sizeof(c->alpn), alpn);
	if (spiffe_parse(str_from(c->peer_id), false, &c->peer, &why) == 0)
		c->mesh_peer = true;
}

static void on_tls(void *arg, struct io *io, const struct tls_failure *failure)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	struct io_info info = {0};
	uint32_t begun = c->trusted_at;
	c->handshake = NULL;
	if (flow_expired(c->flow)) { /* whatever the peer thinks of it */
		io_close(&io, true);
		conn_refuse(c, MESH_OWN_CERTIFICATE, NULL, failure != NULL ? failure->text : NULL);
		return;
	}
	if (io == NULL) {
		bool cert = failure->verdict != CERT_GOOD;
		conn_refuse(c, cert ? MESH_PEER_CERTIFICATE : MESH_HANDSHAKE,
			cert ? cert_verdict_label(failure->verdict) : NULL, failure->text);
		return;
	}
	c->io = io;
	conn_keep_chain(c, io);
	enum cert_verdict v = flow_judge_chain(c->flow, c->peer_chain, begun, false);
	if (v != CERT_GOOD) {
		conn_refuse(c, MESH_PEER_CERTIFICATE, cert_verdict_label(v), cert_verdict_text(v));
		return;
	}
	io_info(io, &info);
	set_peer(c, info.peer_id, info.alpn);
	(void)str_copy(c->cipher, sizeof(c->cipher), info.cipher);
	if (c->mesh_peer)
		start_protocol(c);
	else
		conn_refuse(c, MESH_PEER_CERTIFICATE, NULL, "no SPIFFE ID after the handshake");
}

/* -- 3. TLS
 * -------------------------------------------------------------------------------------------------------
 */

static void start_tls(struct conn *c, struct buf *bytes)
{
	struct tls_handshake_config cfg = {.ctx = c->flow->server_ctx,
		.bufs = c->flow->env.http.bufs,
		.timeout_ns = c->flow->params->handshake_timeout};
	raw_drop(c);
	conn_set_state(c, CONN_TLS);
	conn_push_back(c, bytes);
	struct io *io = c->io;
	c->io = NULL;
	c->trusted_at = c->flow->generation;
	c->handshake = tls_handshake_start(io, &cfg, on_tls, c);
}

/* -- 2. ours, or the application's own?
 * ------------------------------------------------------------------------------ */

static bool is_strict(const struct conn *c)
{
	return snapshot_own_port(c->snap, c->orig.port).mtls == MTLS_STRICT;
}

/* Who may it be? By its address alone, for whoever migrates; no verdict rests on it. */
void inbound_count_plaintext(struct conn *c)
{
	struct addr ip = addr_with_port(&c->peer_addr, 0);
	const struct mesh_pod *pod = snapshot_pod(c->snap, &ip);
	if (pod == NULL)
		lookup_source(c);
	telemetry_plaintext(c->flow->telemetry, pod != NULL ? pod->endpoint.workload : STR_NULL,
		pod != NULL ? pod->endpoint.ns : STR_NULL, c->orig.port);
}

static void on_first_end(struct conn *c, enum detect_event ev, int err)
{
	if (ev == DETECT_ENDED)
		conn_end(c, REASON_OK, NULL, false);
	else if (err == ERR_TIMEOUT && is_strict(c))
		conn_refuse(c, MESH_HANDSHAKE, NULL, "no byte came in time");
	else
		conn_end(c, reason_from_downstream_err(err), err_text(err), true);
}

static void on_first(void *arg, enum detect_event ev, enum sniff_verdict verdict,
	const struct sniff_facts *facts, struct buf *bytes, int err)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	bool mesh = verdict == SNIFF_TLS && sniff_is_mesh(facts);
	if (ev != DETECT_QUIET)
		c->detect = NULL;
	if (c->connect == NULL && c->spec.io == NULL)
		conn_refresh(c);
	if (ev == DETECT_FAILED || (ev == DETECT_ENDED && is_strict(c))) {
		on_first_end(c, ev, err);
		return;
	}
	c->decided_ns = flow_now(c->flow);
	if (ev != DETECT_QUIET)
		telemetry_detected(c->flow->telemetry, SPAN_INBOUND,
			mesh ? "mesh" : sniff_name(verdict), c->decided_ns - c->accepted_ns);
	if (mesh) {
		start_tls(c, bytes);
		return;
	}
	if (is_strict(c)) {
		conn_refuse(c, MESH_PLAINTEXT, NULL, sniff_name(verdict));
		return;
	}
	/* Without identity only what policy grants to anyone is allowed. */
	inbound_judge(c, c->snap);
	if (ev == DETECT_QUIET) {
		on_quiet(c);
		return;
	}
	inbound_count_plaintext(c);
	start_by_bytes(c, ev, verdict, bytes);
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
	const struct sidecar_params *p = f->params;
	struct detect_config cfg = {.grace_ns = is_strict(c) ? 0 : p->detect_grace,
		.timeout_ns = p->detect_timeout,
		.silence_ns = is_strict(c) ? p->handshake_timeout : p->idle_timeout};
	conn_set_state(c, CONN_DETECT);
	c->detect = detect_start(io, f->env.http.bufs, &cfg, on_first, c);
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
