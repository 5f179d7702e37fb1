/*
 * One try of a request at one endpoint: wait for a stream, hear its events, decide what a failure
 * means. The events of a stream that is no longer the chosen attempt's are only waited out.
 */
#include <stdio.h>

#include "sidecar/flow/find.h"
#include "sidecar/flow/request.h"

static void request_up_gone(struct request *r);

/* The request, where the stream is that of the chosen attempt; else NULL. */
static struct request *chosen(void *arg, const struct http_stream *s)
{
	struct request *r = OBJ_CAST(struct request, REQUEST_MAGIC, arg);
	return r->cur != NULL && r->cur->up == s && r->down != NULL && !r->failed ? r : NULL;
}

static void on_up_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	struct request *r = chosen(arg, s);
	if (r != NULL)
		forward_up_head(r, head, end);
}

static void on_up_body(void *arg, struct http_stream *s, struct buf *bytes, bool end)
{
	struct request *r = chosen(arg, s);
	if (r != NULL)
		forward_up_body(r, bytes, end);
}

static void on_up_trailers(void *arg, struct http_stream *s, struct http_fields *trailers)
{
	struct request *r = chosen(arg, s);
	if (r != NULL)
		forward_up_trailers(r, trailers);
}

static void on_up_writable(void *arg, struct http_stream *s)
{
	struct request *r = chosen(arg, s);
	if (r != NULL)
		forward_up_room(r);
}

static void attempt_release(struct attempt *a)
{
	a->state = ATTEMPT_OVER;
	if (a->load != NULL)
		a->load->in_flight--;
	a->load = NULL;
}

/* Nothing was sent: no connection came about, or the peer refused our certificate. The endpoint is
 * avoided for a while, by this request altogether. */
static bool is_unreachable(int reason)
{
	return reason == REASON_CONNECT_FAILED || reason == REASON_CONNECT_TIMEOUT ||
		reason == REASON_TLS_FAILED;
}

static void note_failure(struct request *r, struct attempt *a, int reason)
{
	if (!is_unreachable(reason))
		return;
	a->unreachable = true;
	if (a->load != NULL)
		a->load->failed_until = flow_now(r->flow) + r->flow->params->eject_time;
}

static void on_up_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct request *r = OBJ_CAST(struct request, REQUEST_MAGIC, arg);
	struct attempt *a = NULL;
	for (uint32_t i = 0; i < r->n_attempts; i++)
		if (r->attempts[i].up == s)
			a = &r->attempts[i];
	ASSERT(a != NULL);
	bool current = chosen(arg, s) != NULL;
	struct str detail = stream_detail(s);
	char text[sizeof(r->last_text)];
	snprintf(text, sizeof(text), "%.*s", STR_ARG(detail));
	a->up = NULL;
	note_failure(r, a, (int)reason);
	attempt_release(a);
	if (current && !r->response_done)
		attempt_failed(r, reason == REASON_OK ? REASON_UPSTREAM_CLOSED : (int)reason, text);
	else if (current && r->tunnel && reason != REASON_OK && r->down != NULL)
		stream_reset(r->down, reason);
	request_up_gone(r);
}

static const struct http_stream_events up_events = {.on_head = on_up_head,
	.on_body = on_up_body,
	.on_trailers = on_up_trailers,
	.on_writable = on_up_writable,
	.on_end = on_up_end};

void attempt_open(struct request *r, struct http_stream *up)
{
	struct attempt *a = r->cur;
	a->state = ATTEMPT_OPEN;
	a->up = up;
	r->ups++;
	r->span.upstream_ns = flow_now(r->flow);
	stream_set_user(up, &up_events, r);
}

static void on_pool_ready(void *arg, struct http_stream *up, bool reused,
	const struct pool_failure *failure)
{
	struct request *r = OBJ_CAST(struct request, REQUEST_MAGIC, arg);
	struct attempt *a = r->cur;
	a->wait = NULL;
	a->reused = reused;
	if (up == NULL) {
		if (failure->verdict != CERT_GOOD)
			telemetry_refused(r->flow->telemetry, r->span.direction,
				cert_verdict_label(failure->verdict));
		if (cert_is_stranger(failure->verdict))
			lookup_refresh(r->flow, &r->dest);
		note_failure(r, a, failure->reason);
		attempt_release(a);
		attempt_failed(r, failure->reason, failure->text);
		return;
	}
	attempt_open(r, up);
	r->step = STEP_SEND;
	request_run(r);
}

/* Between sidecars HTTP/2. To an application what it declared, else the version that the client
 * speaks (which over "weft/h2-h1" is not that of the hop). */
static enum http_version wire_version(const struct request *r)
{
	enum mesh_protocol declared = r->dest.protocol;
	if (r->cur->target.alpn != NULL)
		return HTTP_V2;
	if (r->conn->direction == SPAN_INBOUND)
		declared = snapshot_own_port(r->snap, r->conn->orig.port).protocol;
	if (declared == MESH_PROTO_HTTP2)
		return HTTP_V2;
	return str_eq(str_from(r->conn->alpn), STR("weft/h2-h1")) ? HTTP_V1 : r->down_version;
}

void attempt_acquire(struct request *r)
{
	struct attempt *a = r->cur;
	bool upgrade = r->head->protocol.n > 0;
	struct pool_key key = {.target = a->target, .version = wire_version(r)};
	struct http_stream *up = pools_acquire(r->flow->pools, &key, upgrade, on_pool_ready, r,
		&a->wait, &a->reused);
	if (up != NULL)
		attempt_open(r, up);
	else if (a->wait != NULL)
		a->state = ATTEMPT_WAITING;
}

void attempt_drop(struct request *r, enum reason reason)
{
	struct attempt *a = r->cur;
	if (a == NULL)
		return;
	pools_cancel(&a->wait);
	if (a->up != NULL)
		pools_reset_stream(a->up, reason); /* its on_end releases the load */
	else if (a->state != ATTEMPT_OVER)
		attempt_release(a);
	r->cur = NULL;
}

/* Whether the request can and may be sent once more. */
static bool may_retry(const struct request *r, int reason)
{
	const struct attempt *a = r->cur;
	if (r->committed || r->n_attempts >= REQUEST_ATTEMPTS || r->down == NULL)
		return false;
	if (a->body_sent > 0 && r->replay_lost)
		return false;
	/* At once there is no better luck with the endpoint that could not be reached. */
	if (is_unreachable(reason))
		return r->dest.service != NULL && r->dest.service->n_endpoints > 1;
	switch (flow_reason(reason)->retry) {
	case R_NEVER:
		return false;
	case R_ALWAYS:
		return true;
	case R_SAFE: /* a kept connection that the upstream closed just then; a reset is an answer
		      */
		return a->reused && reason == REASON_UPSTREAM_CLOSED &&
			http_method_idempotent(r->span.method);
	}
	return false;
}

void attempt_failed(struct request *r, int reason, const char *text)
{
	r->last_reason = reason;
	snprintf(r->last_text, sizeof(r->last_text), "%s", text);
	if (!may_retry(r, reason)) {
		if (is_unreachable(reason))
			lookup_refresh(r->flow, &r->dest);
		request_fail(r, reason, r->last_text);
		return;
	}
	struct buf rest;
	buf_init(&rest, r->flow->env.http.bufs);
	buf_move_all(&rest, &r->held);
	buf_move_all(&r->held, &r->replay);
	buf_move_all(&r->held, &rest);
	r->body_sent_end = false;
	r->cur = NULL;
	r->step = STEP_PICK;
	request_run(r);
}

/* -- end of life
 * -------------------------------------------------------------------------------------------------------
 */

static void request_recycle(void *p)
{
	struct request *r = p;
	struct flow *f = r->flow;
	snapshot_unref(&r->snap);
	r->obj.magic = 0;
	list_prepend(&f->free_requests, &r->node);
}

static void request_up_gone(struct request *r)
{
	r->ups--;
	if (r->ups == 0 && r->down == NULL)
		loop_defer_free(r->flow->env.http.loop, r, request_recycle);
}

void request_down_gone(struct request *r)
{
	if (r->ups == 0)
		loop_defer_free(r->flow->env.http.loop, r, request_recycle);
}
