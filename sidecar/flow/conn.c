/*
 * Life of a downstream connection: made at accept, ended once. Owns what the connection is made of
 * at each state; inbound.c and outbound.c move it along.
 */
#include "sidecar/flow/find.h"
#include "sidecar/flow/raw.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"

static const char *const state_names[] = {
	"accepted", "lookup", "detect", "tls", "inner", "connect", "relay", "http", "ended"};

void conn_set_state(struct conn *c, enum conn_state state)
{
	ASSERT(state > c->state);
	log_at(c->flow->env.log, LOG_TRACE, "flow", "connection state",
		LOG_Z("from", state_names[c->state]), LOG_Z("to", state_names[state]));
	c->state = state;
}

/* A quarter of the places is the own application's: strangers, who need no identity to take one,
 * shall not cut it off from the world. */
static bool is_full(const struct flow *f, enum span_direction direction)
{
	if (direction == SPAN_INBOUND && f->stats.conns_inbound >= f->max_conns - f->max_conns / 4)
		return true;
	return f->stats.conns >= f->max_conns;
}

struct conn *conn_new(struct flow *f, enum span_direction direction, struct io *io)
{
	const char *why = NULL;
	f->stats.accepted++;
	if (f->snap == NULL)
		why = flow_reason(MESH_NOT_READY)->label;
	else if (is_full(f, direction))
		why = flow_reason(REASON_OVERLOAD)->label;
	else if (flow_stale(f))
		why = flow_reason(MESH_STALE)->label;
	if (why != NULL) {
		f->stats.refused++;
		telemetry_refused(f->telemetry, direction, why);
		io_close(&io, true);
		return NULL;
	}
	struct conn *c = MEM_NEW(struct conn);
	struct io_info info = {0};
	io_info(io, &info);
	c->obj.magic = FLOW_CONN_MAGIC;
	c->flow = f;
	c->snap = snapshot_ref(f->snap);
	c->generation = f->generation;
	c->rules = f->rules_generation;
	c->direction = direction;
	c->state = CONN_ACCEPTED;
	c->accepted_ns = flow_now(f);
	c->peer_addr = info.peer;
	c->io = io;
	buf_init(&c->first, f->env.http.bufs);
	list_init(&c->requests);
	list_node_init(&c->wait_node);
	list_append(&f->conns, &c->node);
	f->stats.conns++;
	if (direction == SPAN_INBOUND)
		f->stats.conns_inbound++;
	flow_on_load(f);
	return c;
}

static void conn_free(void *p)
{
	struct conn *c = p;
	snapshot_unref(&c->snap);
	cert_chain_unref(&c->peer_chain);
	mem_free(c->peer_id);
	mem_free(c->labels);
	mem_free(c);
}

/* Gives up everything that is still in the making. */
static void conn_release(struct conn *c, bool reset)
{
	lookup_leave(c);
	lookup_unuse(c);
	detect_stop(&c->detect, NULL);
	tls_handshake_cancel(&c->handshake);
	connect_cancel(&c->connect);
	io_close(&c->spec.io, c->direction == SPAN_OUTBOUND);
	io_close(&c->io, reset);
	buf_clear(&c->first);
	if (c->load != NULL)
		c->load->in_flight--;
	c->load = NULL;
	if (c->timer.loop != NULL)
		loop_timer_stop(&c->timer);
	if (c->retire.loop != NULL)
		loop_timer_stop(&c->retire);
}

void conn_end(struct conn *c, int reason, const char *detail, bool reset)
{
	struct flow *f = c->flow;
	if (c->state == CONN_ENDED)
		return;
	conn_set_state(c, CONN_ENDED);
	conn_release(c, reset);
	tcp_close_span(c, flow_reason(reason), detail);
	list_remove(&c->node);
	f->stats.conns--;
	if (c->direction == SPAN_INBOUND)
		f->stats.conns_inbound--;
	flow_on_load(f);
	loop_defer_free(f->env.http.loop, c, conn_free);
	if (f->draining && f->stats.conns == 0 && f->on_idle != NULL)
		f->on_idle(f->on_idle_arg);
}

void conn_refuse(struct conn *c, int reason, const char *label, const char *detail)
{
	const struct reason_info *info = flow_reason(reason);
	char from[ADDR_TEXT], to[ADDR_TEXT];
	if (label == NULL)
		label = info->label;
	c->flow->stats.refused++;
	telemetry_refused(c->flow->telemetry, c->direction, label);
	log_at(c->flow->env.log, LOG_WARN, "flow", "connection refused",
		LOG_Z("direction", c->direction == SPAN_INBOUND ? "inbound" : "outbound"),
		LOG_Z("reason", label), LOG_Z("text", info->text),
		LOG_Z("detail", detail != NULL ? detail : ""),
		LOG_Z("downstream", addr_format(&c->peer_addr, from)),
		LOG_Z("destination", addr_format(&c->orig, to)),
		LOG_S("source_identity", c->peer.id), LOG_Z("policy", c->rule));
	conn_end(c, reason, detail, true);
}

void conn_push_back(struct conn *c, struct buf *bytes)
{
	if (buf_len(bytes) > 0)
		c->io = io_prefix_new(c->io, bytes);
}

void conn_refresh(struct conn *c)
{
	if (c->snap == c->flow->snap)
		return;
	ASSERT(c->endpoint == NULL && c->connect == NULL && !c->span_open);
	snapshot_unref(&c->snap);
	c->snap = snapshot_ref(c->flow->snap);
	c->n_tried = 0;
	if (c->direction == SPAN_OUTBOUND)
		(void)lookup_find(c, c->snap, &c->dest);
}

void conn_keep_chain(struct conn *c, const struct io *io)
{
	const struct cert_chain *chain = tls_io_peer_chain(io);
	cert_chain_unref(&c->peer_chain);
	if (chain != NULL)
		c->peer_chain = cert_chain_ref((struct cert_chain *)(uintptr_t)chain);
	c->trusted_at = c->flow->generation;
}

void conn_follow(struct conn *c)
{
	struct snapshot *now = c->flow->snap;
	const struct mesh_endpoint *ep = NULL;
	struct dest d = {0};
	if (c->snap == now)
		return;
	if (c->direction == SPAN_OUTBOUND) {
		(void)lookup_find(c, now, &d);
		if (c->endpoint != NULL && (ep = dest_find_again(&d, c->endpoint)) == NULL)
			return;
		c->dest = d;
		c->endpoint = ep;
		c->n_tried = 0;
	}
	snapshot_unref(&c->snap);
	c->snap = snapshot_ref(now);
}

void conn_let_go(struct conn *c)
{
	enum dest_kind kind = c->dest.kind;
	ASSERT(c->connect == NULL && c->detect == NULL);
	c->dest = (struct dest){.kind = kind, .addr = c->orig};
	c->endpoint = NULL;
	snapshot_unref(&c->snap);
}

void conn_fill_span(const struct conn *c, const struct snapshot *snap, const struct dest *dest,
	struct span *s)
{
	const struct mesh_workload *self = &snap->self;
	struct span_party own = {
		.workload = self->workload, .ns = self->ns, .identity = self->spiffe_id};
	s->direction = c->direction;
	s->downstream = c->peer_addr;
	s->destination = c->orig;
	s->grpc_status = -1;
	s->reason_label = "-";
	s->reason_text = "";
	s->detect_ns = c->decided_ns > c->accepted_ns ? c->decided_ns - c->accepted_ns : 0;
	snprintf(s->rule, sizeof(s->rule), "%s", c->rule);
	if (c->direction == SPAN_INBOUND) {
		s->dest = own;
		s->service = self->service;
		s->source.ns = c->peer.ns;
		s->source.workload = c->peer.sa;
		s->source.identity = c->peer.id;
		s->tls = c->mesh_peer;
		s->cipher = str_from(c->cipher);
		return;
	}
	s->source = own;
	if (dest->service != NULL) {
		s->service = dest->service->name;
		s->dest.ns = dest->service->ns; /* until there is an endpoint */
	} else if (dest->pod != NULL) {
		s->service = dest->pod->service;
	}
}
