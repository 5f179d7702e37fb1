/*
 * Raw bytes of either flow: connect, relay, and one span at the end. The connection owns the relay
 * until it ends; half-close, backpressure and idle time are the relay's.
 */
#include <stdio.h>

#include "sidecar/flow/conn.h"

#define TCP_ATTEMPTS 3

static void name_endpoint(struct conn *c)
{
	if (c->direction != SPAN_OUTBOUND)
		return;
	if (c->endpoint != NULL) {
		c->span.dest.workload = c->endpoint->workload;
		c->span.dest.ns = c->endpoint->ns;
		c->span.dest.identity = c->endpoint->spiffe_id;
		c->span.tls = c->endpoint->meshed;
	} else if (c->dest.kind == DEST_SELF) {
		c->span.dest = c->span.source;
		c->span.tls = true;
	}
}

static void open_span(struct conn *c, const char *protocol)
{
	conn_fill_span(c, c->snap, &c->dest, &c->span);
	c->span.protocol = protocol;
	c->span.start_ns = c->accepted_ns;
	c->span.attempts = 1;
	name_endpoint(c);
	c->span_open = true;
	telemetry_tcp_opened(c->flow->telemetry, &c->span);
}

static void on_relay_end(void *arg, const struct relay_facts *facts)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	int reason = REASON_OK;
	c->relay = NULL;
	c->span.bytes_in = facts->a_to_b;
	c->span.bytes_out = facts->b_to_a;
	if (c->abort_reason != 0)
		reason = c->abort_reason;
	else if (facts->err == ERR_TIMEOUT)
		reason = REASON_IDLE_TIMEOUT;
	else if (facts->err != 0)
		reason = facts->err_from_b ? (int)reason_from_upstream_err(facts->err)
					   : (int)reason_from_downstream_err(facts->err);
	conn_end(c, reason, facts->err != 0 && c->abort_reason == 0 ? err_text(facts->err) : NULL,
		false);
}

static void start_relay(struct conn *c, struct io *up, struct buf *up_first)
{
	const struct sidecar_params *p = c->flow->params;
	struct relay_config cfg = {.high_water = p->tcp_buffer, .idle_timeout_ns = p->idle_timeout};
	struct io_info info = {0};
	io_info(up, &info);
	c->span.upstream = info.peer;
	c->span.upstream_ns = flow_now(c->flow);
	conn_set_state(c, CONN_RELAY);
	struct io *down = c->io;
	c->io = NULL;
	c->relay = relay_start(down, up, c->flow->env.http.bufs, &cfg, &c->first, up_first,
		on_relay_end, c);
}

static void on_connected(void *arg, struct io *io, const struct connect_failure *failure);

/* Not a byte has left us: another endpoint of the service will do as well. True where one is being
 * tried. */
static bool try_elsewhere(struct conn *c)
{
	struct connect_target target;
	const char *detail;
	if (c->direction != SPAN_OUTBOUND || c->dest.kind != DEST_SERVICE ||
		c->dest.service->n_endpoints < 2 || c->span.attempts >= TCP_ATTEMPTS)
		return false;
	if (c->load != NULL)
		c->load->in_flight--;
	c->load = NULL;
	if (outbound_tcp_target(c, &target, &detail) != 0)
		return false;
	c->span.attempts++;
	name_endpoint(c);
	c->span.upstream = target.to;
	c->connect = connect_start(&c->flow->connect, &target, on_connected, c);
	return true;
}

static void on_connected(void *arg, struct io *io, const struct connect_failure *failure)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	c->connect = NULL;
	if (io != NULL) {
		start_relay(c, io, NULL);
		return;
	}
	if (c->load != NULL)
		c->load->failed_until = flow_now(c->flow) + c->flow->params->eject_time;
	if (!try_elsewhere(c))
		conn_end(c, failure->reason, failure->text, true);
}

void tcp_start(struct conn *c, const struct connect_target *target, const char *protocol)
{
	open_span(c, protocol);
	c->span.upstream = target->to;
	conn_set_state(c, CONN_CONNECT);
	c->connect = connect_start(&c->flow->connect, target, on_connected, c);
}

void tcp_abort(struct conn *c, int reason, const char *detail)
{
	c->abort_reason = reason;
	if (detail != NULL)
		snprintf(c->span.detail, sizeof(c->span.detail), "%s", detail);
	relay_abort(c->relay, ERR_DENIED);
}

void tcp_join(struct conn *c, struct io *up, struct buf *up_first, const char *protocol)
{
	open_span(c, protocol);
	start_relay(c, up, up_first);
}
