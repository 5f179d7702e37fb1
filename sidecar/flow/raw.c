/*
 * The way of raw bytes to their upstream: dialled when nothing but bytes is left to be, or before
 * that while a client is silent, because its server may speak first. Owns what is dialled until
 * tcp.c relays it or HTTP turns out not to need it; called by both flows.
 */
#include <stdio.h>

#include "sidecar/flow/find.h"
#include "sidecar/flow/raw.h"

static void raw_dial(struct conn *c, const struct connect_target *target);

/* -- where to
 * --------------------------------------------------------------------------------------------------
 */

/* Inbound there is one place: the application at its original address, from the pod's own. */
static int raw_target(struct conn *c, struct connect_target *out, const char **detail)
{
	*detail = NULL;
	if (c->direction == SPAN_OUTBOUND)
		return outbound_tcp_target(c, out, detail);
	*out = (struct connect_target){.to = c->orig, .from = addr_with_port(&c->orig, 0)};
	return 0;
}

static void give_back_endpoint(struct conn *c)
{
	if (c->load != NULL)
		c->load->in_flight--;
	c->load = NULL;
	c->endpoint = NULL;
}

/* A reset tells the other sidecar that nothing was meant by it, where an end would be passed on as
 * a half-close; to an application, which knows no speculation, an end is the quieter word. */
void raw_drop(struct conn *c)
{
	connect_cancel(&c->connect);
	io_close(&c->spec.io, c->direction == SPAN_OUTBOUND);
	if (c->direction == SPAN_OUTBOUND)
		cert_chain_unref(&c->peer_chain);
	give_back_endpoint(c);
	c->n_tried = 0;
	c->spec.failed = false;
	if (c->timer.loop != NULL)
		loop_timer_stop(&c->timer);
}

/* -- what became of it
 * -----------------------------------------------------------------------------------------
 */

static void on_spec_over(void *arg)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	conn_refuse(c, c->spec.reason, NULL, c->spec.text);
}

/*
 * The speculation came to nothing. An HTTP client that is merely slow shall not notice, for HTTP
 * may be answered otherwise; one that waits for a banner is let go in time. Inbound there is no
 * other answer than the application's, so the client hears of it at once.
 */
static void spec_fail(struct conn *c, int reason, const char *text)
{
	raw_drop(c);
	if (c->direction == SPAN_INBOUND) {
		conn_refuse(c, reason, NULL, text);
		return;
	}
	c->spec.failed = true;
	c->spec.reason = reason;
	snprintf(c->spec.text, sizeof(c->spec.text), "%s", text);
	loop_timer_init(&c->timer, c->flow->env.http.loop, on_spec_over, c);
	loop_timer_start(&c->timer, c->flow->params->detect_timeout);
}

/* The server spoke first: that, and nothing else, makes the destination opaque. */
static void server_first(struct conn *c, struct buf *bytes)
{
	struct io *up = c->spec.io;
	uint64_t now = flow_now(c->flow);
	c->spec.io = NULL;
	if (c->direction == SPAN_OUTBOUND)
		learned_opaque(c->flow->learned, &c->orig, now);
	else if (!c->mesh_peer)
		inbound_count_plaintext(c);
	c->decided_ns = now;
	telemetry_detected(c->flow->telemetry, c->direction, "server-first", now - c->accepted_ns);
	detect_stop(&c->detect, &c->first);
	tcp_open(c, "tcp");
	tcp_relay(c, up, bytes);
}

static bool is_http_server(struct buf *bytes)
{
	size_t n = buf_len(bytes) < BUF_LARGE ? buf_len(bytes) : BUF_LARGE;
	return sniff_http_server(str_make(buf_pullup(bytes, n), n));
}

static void on_spec_readable(void *arg, unsigned events)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	struct buf bytes;
	(void)events;
	buf_init(&bytes, c->flow->env.http.bufs);
	ssize_t n = io_read(c->spec.io, &bytes, BUF_LARGE);
	if (n == ERR_AGAIN)
		return;
	if (n <= 0)
		spec_fail(c,
			n == 0 ? REASON_UPSTREAM_CLOSED : (int)reason_from_upstream_err((int)n),
			"the upstream ended the connection before a byte went either way");
	else if (is_http_server(&bytes))
		raw_drop(c); /* its client speaks yet, and is waited for */
	else
		server_first(c, &bytes);
	buf_clear(&bytes);
}

/* Not a byte has left us: another endpoint of the service will do as well. True where one is being
 * tried. */
static bool try_elsewhere(struct conn *c)
{
	struct connect_target target;
	const struct mesh_endpoint *last = c->endpoint;
	const char *detail;
	if (c->direction != SPAN_OUTBOUND || c->dest.kind != DEST_SERVICE ||
		c->n_tried + 1 >= CONN_ATTEMPTS)
		return false;
	c->tried[c->n_tried++] = last;
	give_back_endpoint(c);
	if (raw_target(c, &target, &detail) != 0) {
		c->endpoint = last; /* for the span */
		return false;
	}
	raw_dial(c, &target);
	return true;
}

static void raw_failed(struct conn *c, const struct connect_failure *failure)
{
	struct flow *f = c->flow;
	if (c->load != NULL)
		c->load->failed_until = flow_now(f) + f->params->eject_time;
	if (failure->verdict != CERT_GOOD)
		telemetry_refused(f->telemetry, c->direction, cert_verdict_label(failure->verdict));
	if (c->direction == SPAN_OUTBOUND && cert_is_stranger(failure->verdict))
		lookup_refresh(f, &c->dest);
	if (try_elsewhere(c))
		return;
	if (c->direction == SPAN_OUTBOUND)
		lookup_refresh(f, &c->dest);
	if (c->state == CONN_CONNECT)
		conn_end(c, failure->reason, failure->text, true);
	else
		spec_fail(c, failure->reason, failure->text);
}

/* What is known changed while it was dialled: in plaintext it may be another pod's by now. 0, or a
 * mesh reason. */
static int still_plain(const struct conn *c)
{
	bool plain =
		c->dest.kind == DEST_PASSTHROUGH || (c->endpoint != NULL && !c->endpoint->meshed);
	if (c->direction == SPAN_INBOUND || !plain)
		return 0;
	if (c->dest.kind == DEST_PASSTHROUGH && !lookup_still_nobody(c))
		return MESH_DISCOVERY; /* named, and what was named has not come yet */
	if (c->snap == c->flow->snap)
		return 0;
	return dest_still(c->flow->snap, &c->orig, c->endpoint, &c->span.upstream);
}

/* Nothing has been sent, and nothing will be. */
static void raw_outdated(struct conn *c, struct io *io, int reason)
{
	const char *text = flow_reason(reason)->text;
	io_close(&io, true);
	if (try_elsewhere(c))
		return;
	if (c->state == CONN_CONNECT)
		conn_end(c, reason, text, true);
	else
		spec_fail(c, reason, text);
}

static void on_connected(void *arg, struct io *io, const struct connect_failure *failure)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	c->connect = NULL;
	if (io == NULL) {
		raw_failed(c, failure);
		return;
	}
	int reason = still_plain(c);
	if (reason != 0) {
		raw_outdated(c, io, reason);
		return;
	}
	if (c->direction == SPAN_OUTBOUND)
		conn_keep_chain(c, io);
	if (c->state == CONN_CONNECT) {
		tcp_relay(c, io, NULL);
	} else {
		c->spec.io = io;
		io_set_user(io, on_spec_readable, c);
		io_want(io, IO_READ);
	}
}

static void raw_dial(struct conn *c, const struct connect_target *target)
{
	c->span.upstream = target->to;
	c->span.attempts = c->n_tried + 1;
	c->connect = connect_start(&c->flow->connect, target, on_connected, c);
}

/* -- public
 * ------------------------------------------------------------------------------------------------------
 */

void raw_speculate(struct conn *c)
{
	struct connect_target target;
	const char *detail;
	int reason = raw_target(c, &target, &detail);
	if (reason == 0)
		raw_dial(c, &target);
	else
		spec_fail(c, reason, detail != NULL ? detail : flow_reason(reason)->text);
}

void raw_start(struct conn *c, const char *protocol)
{
	struct connect_target target;
	const char *detail;
	struct io *up = c->spec.io;
	c->spec.io = NULL;
	if (c->timer.loop != NULL)
		loop_timer_stop(&c->timer);
	if (up != NULL) {
		tcp_open(c, protocol);
		tcp_relay(c, up, NULL);
		return;
	}
	if (c->spec.failed) {
		conn_refuse(c, c->spec.reason, NULL, c->spec.text);
		return;
	}
	if (c->connect == NULL) {
		int reason = raw_target(c, &target, &detail);
		if (reason != 0) {
			conn_refuse(c, reason, NULL, detail);
			return;
		}
		raw_dial(c, &target);
	}
	tcp_open(c, protocol);
	conn_set_state(c, CONN_CONNECT);
}
