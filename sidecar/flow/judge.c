/*
 * Open connections are judged again when the configuration changed: policy, mode, bundle,
 * revocations. Works through flow->conns (not judged yet in front) and the pools in slices of a
 * millisecond; started by flow.c.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "sidecar/flow/raw.h"
#include "sidecar/flow/request.h"

#define SLICE_NS NS_PER_MS

/* -- chains
 * ------------------------------------------------------------------------------------------------------
 */

/* A leaf that ran out since then is no reason: HTTP connections were retired before, and raw ones
 * may not be cut for a renewal that they cannot take part in. */
static int64_t judging_time(const struct flow *f, const struct cert_chain *chain)
{
	int64_t now = (int64_t)(loop_wall(f->env.http.loop) / NS_PER_S);
	int64_t end = cert_chain_leaf(chain)->not_after;
	return now < end ? now : end;
}

enum cert_verdict flow_judge_chain(const struct flow *f, const struct cert_chain *chain,
	uint32_t judged, bool server)
{
	if (chain == NULL)
		return CERT_GOOD;
	if (map_get(f->snap->revoked, cert_chain_leaf(chain)->serial) != NULL)
		return CERT_REVOKED;
	if (judged >= f->trust_generation)
		return CERT_GOOD;
	return cert_verify(chain, f->snap->bundle, judging_time(f, chain), server, NULL);
}

/* -- what a connection is refused for now
 * ---------------------------------------------------------------------------------
 */

/* Why it may not go on; reason 0: it may. */
struct objection {
	int reason;
	const char *label, *detail; /* static, or the connection's */
};

static struct objection judge_peer(struct conn *c)
{
	bool server = c->direction == SPAN_OUTBOUND;
	enum cert_verdict v = flow_judge_chain(c->flow, c->peer_chain, c->trusted_at, server);
	if (v != CERT_GOOD)
		return (struct objection){
			MESH_PEER_CERTIFICATE, cert_verdict_label(v), cert_verdict_text(v)};
	c->trusted_at = c->flow->generation;
	return (struct objection){0};
}

static struct objection judge_inbound(struct conn *c)
{
	const struct snapshot *snap = c->flow->snap;
	struct objection o = judge_peer(c);
	if (o.reason != 0)
		return o;
	if (!c->mesh_peer && snapshot_own_port(snap, c->orig.port).mtls == MTLS_STRICT)
		return (struct objection){MESH_PLAINTEXT, NULL, "the mode is STRICT now"};
	inbound_judge(c, snap);
	if (!c->verdict.allowed)
		return (struct objection){MESH_POLICY_CHANGED, NULL, c->rule};
	return (struct objection){0};
}

static struct objection judge_endpoint(const struct snapshot *s, const struct dest *d,
	const struct mesh_endpoint *ep)
{
	struct dest_hop hop;
	int reason = dest_hop(s, d, ep, &hop);
	if (reason == MESH_NOT_MESHED)
		return (struct objection){reason, NULL, "the mode is STRICT now"};
	if (hop.secure)
		return (struct objection){MESH_MESHED_NOW, NULL, "a new connection uses TLS"};
	return (struct objection){0};
}

/* Rule 2, for what went out in plaintext and goes on: not to whoever has a sidecar by now, not to a
 * STRICT endpoint without one. to: where it goes; NULL: it is not plaintext. */
static struct objection judge_plain(const struct flow *f, const struct addr *orig,
	const struct addr *to)
{
	struct dest d;
	if (to == NULL)
		return (struct objection){0};
	dest_find(f->snap, orig, true, &d);
	if (d.kind == DEST_POD)
		return judge_endpoint(f->snap, &d, &d.pod->endpoint);
	if (d.kind == DEST_REFUSED && d.reason == MESH_REGISTRY_ONLY)
		return (struct objection){d.reason, NULL, "the policy came later"};
	for (size_t i = 0; d.kind == DEST_SERVICE && i < d.service->n_endpoints; i++) {
		const struct mesh_endpoint *ep = &d.service->endpoints[i];
		bool this = addr_eq_ip(to, &ep->v4) || addr_eq_ip(to, &ep->v6);
		/* Passed on to a service, it has gone to nobody knows which. */
		struct objection o = this || addr_eq_ip(to, orig) ? judge_endpoint(f->snap, &d, ep)
								  : (struct objection){0};
		if (o.reason != 0)
			return o;
	}
	return (struct objection){0};
}

/* -- what becomes of it
 * ------------------------------------------------------------------------------------------
 */

static void say(struct conn *c, const struct objection *o)
{
	const struct reason_info *info = flow_reason(o->reason);
	const char *label = o->label != NULL ? o->label : info->label;
	char from[ADDR_TEXT];
	telemetry_refused(c->flow->telemetry, c->direction, label);
	log_at(c->flow->env.log, LOG_WARN, "flow", "open connection ended", LOG_Z("reason", label),
		LOG_Z("text", info->text), LOG_Z("detail", o->detail),
		LOG_Z("downstream", addr_format(&c->peer_addr, from)),
		LOG_S("source_identity", c->peer.id), LOG_Z("policy", c->rule));
}

/* Requests whose head is not complete are judged when it is. */
static void fail_requests(struct conn *c, const struct objection *o)
{
	LIST_EACH(&c->requests, n)
	{
		struct request *r = CONTAINER_OF(n, struct request, node);
		if (r->head != NULL)
			request_fail(r, o->reason, o->detail);
	}
}

/* Policy is answered request by request, so that it may let the peer in again; a peer who is not to
 * be trusted goes with all it has. */
static void refuse_http(struct conn *c, const struct objection *o)
{
	fail_requests(c, o);
	if (o->reason == MESH_POLICY_CHANGED)
		return;
	say(c, o);
	http_conn_end(c->http, REASON_CANCELLED);
}

static void refuse_relay(struct conn *c, const struct objection *o)
{
	say(c, o);
	tcp_abort(c, o->reason, o->detail);
}

/* The verdict on an upstream that no exchange has (alone); it is counted and logged where it is
 * bad. */
static bool upstream_is_good(void *arg, const struct cert_chain *chain, uint32_t judged)
{
	struct flow *f = arg;
	enum cert_verdict v = flow_judge_chain(f, chain, judged, true);
	if (v == CERT_GOOD)
		return true;
	telemetry_refused(f->telemetry, SPAN_OUTBOUND, cert_verdict_label(v));
	log_at(f->env.log, LOG_WARN, "flow", "upstream connection ended",
		LOG_Z("reason", cert_verdict_label(v)), LOG_Z("text", cert_verdict_text(v)),
		LOG_S("destination_identity", cert_chain_leaf(chain)->id.id));
	return false;
}

/* Where the plaintext of a raw connection goes; NULL: it is none, or goes nowhere yet. */
static const struct addr *plain_upstream(const struct conn *c)
{
	bool plain =
		c->dest.kind == DEST_PASSTHROUGH || (c->endpoint != NULL && !c->endpoint->meshed);
	return plain ? &c->span.upstream : NULL;
}

/* A client that is still silent is decided on when it speaks. But what waits for it may not wait
 * any longer: an application's connection for one in plaintext, an upstream whose certificate is
 * refused now. The latter may have been about to speak, so another one is dialled. */
static void rejudge_silent(struct conn *c)
{
	if (c->connect == NULL && c->spec.io == NULL)
		return;
	if (c->direction == SPAN_INBOUND) {
		if (judge_inbound(c).reason != 0)
			raw_drop(c);
		return;
	}
	if (judge_plain(c->flow, &c->orig, plain_upstream(c)).reason == 0 &&
		upstream_is_good(c->flow, c->peer_chain, c->trusted_at)) {
		c->trusted_at = c->flow->generation;
		return;
	}
	raw_drop(c);
	conn_refresh(c);
	outbound_speculate(c);
}

static void rejudge_inbound(struct conn *c)
{
	struct objection o = judge_inbound(c);
	if (o.reason == 0)
		return;
	if (c->state == CONN_HTTP)
		refuse_http(c, &o);
	else if (c->state == CONN_RELAY)
		refuse_relay(c, &o);
	else
		conn_refuse(c, o.reason, o.label, o.detail);
}

/* A server that was not known when its client turned out to be silent may want to speak. */
static void follow_silent(struct conn *c)
{
	bool refused = c->dest.kind == DEST_REFUSED;
	conn_follow(c);
	if (c->direction == SPAN_OUTBOUND && refused && c->dest.kind != DEST_REFUSED)
		outbound_speculate(c);
}

/* What is dialled in plaintext may be about to be sent what it must not have. */
static void rejudge_dialling(struct conn *c)
{
	struct objection o = judge_plain(c->flow, &c->orig, plain_upstream(c));
	if (o.reason == 0)
		return;
	say(c, &o);
	conn_end(c, o.reason, o.detail, true);
}

static void rejudge_relay(struct conn *c)
{
	const struct addr *to = c->span.tls ? NULL : &c->span.upstream;
	struct objection o = judge_plain(c->flow, &c->orig, to);
	if (o.reason == 0)
		o = judge_peer(c);
	if (o.reason != 0)
		refuse_relay(c, &o);
}

/* Those that go out in plaintext, of a client whose other requests may go elsewhere. */
static void rejudge_requests(struct conn *c)
{
	LIST_EACH(&c->requests, n)
	{
		struct request *r = CONTAINER_OF(n, struct request, node);
		const struct attempt *a = r->cur;
		bool plain = c->direction == SPAN_OUTBOUND && a != NULL && a->target.ctx == NULL &&
			!a->target.self && !r->failed;
		struct objection o = judge_plain(c->flow, &c->orig, plain ? &a->target.to : NULL);
		if (o.reason != 0)
			request_fail(r, o.reason, o.detail);
		request_let_go(r);
	}
}

/* Rules and trust are the same for all connections; what is sent in plaintext hangs on its
 * destination alone. */
static void rejudge_conn(struct conn *c, bool rules)
{
	bool inbound = c->direction == SPAN_INBOUND;
	switch (c->state) {
	case CONN_ACCEPTED:
	case CONN_LOOKUP:
	case CONN_TLS:
	case CONN_ENDED:
		return; /* not judged yet */
	case CONN_DETECT:
		rejudge_silent(c);
		follow_silent(c);
		return;
	case CONN_INNER:
		conn_follow(c);
		if (rules)
			rejudge_inbound(c);
		return;
	case CONN_CONNECT:
		if (!inbound)
			rejudge_dialling(c); /* whom it reaches is judged when it has */
		else if (rules)
			rejudge_inbound(c);
		return;
	case CONN_RELAY:
		if (!inbound)
			rejudge_relay(c);
		else if (rules)
			rejudge_inbound(c);
		return;
	case CONN_HTTP:
		rejudge_requests(c);
		if (inbound && rules)
			rejudge_inbound(c);
		return;
	}
}

/* False where all are judged. */
static bool rejudge_next(struct flow *f)
{
	struct list_node *n = list_first(&f->conns);
	if (n == NULL)
		return false;
	struct conn *c = CONTAINER_OF(n, struct conn, node);
	if (c->generation == f->generation)
		return false;
	bool rules = c->rules != f->rules_generation;
	c->generation = f->generation;
	c->rules = f->rules_generation;
	list_remove(n);
	list_append(&f->conns, n);
	rejudge_conn(c, rules);
	return true;
}

void flow_on_judge(void *arg)
{
	struct flow *f = arg;
	const struct clock *clock = loop_clock(f->env.http.loop);
	uint64_t begun = clock_mono(clock);
	while (rejudge_next(f) || pools_judge(f->pools, f->rules_generation, upstream_is_good, f)) {
		if (clock_mono(clock) - begun >= SLICE_NS) {
			loop_next_turn(&f->judge);
			return;
		}
	}
}
