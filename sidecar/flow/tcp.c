/*
 * Raw bytes of either flow that have an upstream: the relay, and one span at the end. The
 * connection owns the relay until it ends; half-close, backpressure and idle time are the relay's.
 */
#include <stdio.h>

#include "lib/base/alloc.h"
#include "sidecar/flow/raw.h"

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

void tcp_open(struct conn *c, const char *protocol)
{
	struct addr upstream = c->span.upstream;
	uint32_t attempts = c->span.attempts;
	conn_fill_span(c, c->snap, &c->dest, &c->span);
	c->span.upstream = upstream;
	c->span.attempts = attempts;
	c->span.protocol = protocol;
	c->span.start_ns = c->accepted_ns;
	c->span_open = true;
}

/* The last endpoint that was tried is the one that is counted, as opened and as closed. */
void tcp_close_span(struct conn *c, const struct reason_info *info, const char *detail)
{
	if (!c->span_open)
		return;
	c->span_open = false;
	if (c->relay_started == 0) {
		name_endpoint(c);
		telemetry_tcp_opened(c->flow->telemetry, &c->span);
	}
	c->span.reason_label = info->label;
	c->span.reason_text = info->text;
	if (detail != NULL)
		snprintf(c->span.detail, sizeof(c->span.detail), "%s", detail);
	span_emit(c->flow->telemetry, &c->span, flow_now(c->flow));
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

void tcp_relay(struct conn *c, struct io *up, struct buf *up_first)
{
	const struct sidecar_params *p = c->flow->params;
	struct relay_config cfg = {.high_water = p->tcp_buffer, .idle_timeout_ns = p->idle_timeout};
	struct io_info info = {0};
	struct io *down = c->io;
	io_info(up, &info);
	name_endpoint(c);
	c->span.upstream = info.peer;
	c->span.upstream_ns = c->relay_started = flow_now(c->flow);
	telemetry_tcp_opened(c->flow->telemetry, &c->span);
	c->labels = mem_alloc(span_labels_size(&c->span) + 1);
	span_labels_keep(&c->span, c->labels);
	conn_let_go(c);
	if (c->timer.loop != NULL)
		loop_timer_stop(&c->timer);
	conn_set_state(c, CONN_RELAY);
	c->io = NULL;
	c->relay = relay_start(down, up, c->flow->env.http.bufs, &cfg, &c->first, up_first,
		on_relay_end, c);
}

void tcp_abort(struct conn *c, int reason, const char *detail)
{
	if (c->relay == NULL || c->abort_reason != 0)
		return;
	c->abort_reason = reason;
	if (detail != NULL)
		snprintf(c->span.detail, sizeof(c->span.detail), "%s", detail);
	relay_abort(c->relay, ERR_DENIED);
}
