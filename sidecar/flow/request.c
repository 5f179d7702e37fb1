/*
 * The steps of a request and its downstream events. Owns the request object from the first event of
 * its stream to the last of any of its streams; session.c makes it, attempt.c and forward.c do the
 * upstream half.
 */
#include "sidecar/flow/request.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "sidecar/flow/find.h"

typedef enum step_next step_fn(struct request *r);

/* -- steps, in the order of request.def
 * -------------------------------------------------------------------------------- */

static enum step_next fail(struct request *r, int reason, const char *detail)
{
	request_fail(r, reason, detail);
	return NEXT_END;
}

static enum step_next step_admit(struct request *r)
{
	struct flow *f = r->flow;
	if (f->stats.requests > f->params->max_requests)
		return fail(r, REASON_OVERLOAD, "max-requests");
	if (buf_pool_used(f->env.http.bufs) > f->params->max_buffer)
		return fail(r, REASON_OVERLOAD, "max-buffer");
	if (r->conn->direction == SPAN_OUTBOUND && r->dest.kind == DEST_REFUSED)
		return fail(r, r->dest.reason,
			r->dest.reason == MESH_DISCOVERY ? r->conn->unknown : NULL);
	if (str_eq(r->head->method, STR("CONNECT")) && r->head->protocol.n == 0)
		return fail(r, REASON_UNSUPPORTED, "CONNECT needs a declaration that permits it");
	return NEXT_CONTINUE;
}

static enum step_next step_authorise(struct request *r)
{
	struct conn *c = r->conn;
	if (c->direction != SPAN_INBOUND)
		return NEXT_CONTINUE;
	if (c->rules !=
		r->flow->rules_generation) { /* its turn to be judged again is yet to come */
		inbound_judge(c, r->flow->snap);
		snprintf(r->span.rule, sizeof(r->span.rule), "%s", c->rule);
	}
	return c->verdict.allowed ? NEXT_CONTINUE : fail(r, MESH_DENIED, c->verdict.why);
}

static enum step_next step_headers(struct request *r)
{
	struct http_head *h = r->head;
	headers_strip_reserved(&h->fields);
	if (h->authority.n == 0) { /* HTTP/1.0 without Host: the address that was dialled */
		char text[ADDR_TEXT];
		h->authority =
			arena_str(h->fields.arena, str_from(addr_format(&r->conn->orig, text)));
	}
	if (r->conn->direction == SPAN_INBOUND)
		headers_set_identity(&h->fields, r->snap->self.spiffe_id, r->conn->peer.id);
	return NEXT_CONTINUE;
}

/* Endpoints that could not be reached for this request, or would have nothing to do with us. */
static size_t tried_endpoints(const struct request *r,
	const struct mesh_endpoint *tried[REQUEST_ATTEMPTS])
{
	size_t n = 0;
	for (uint32_t i = 0; i + 1 < r->n_attempts; i++)
		if (r->attempts[i].unreachable && r->attempts[i].endpoint != NULL)
			tried[n++] = r->attempts[i].endpoint;
	return n;
}

static const struct mesh_endpoint *choose_endpoint(struct request *r, enum pick_none *why)
{
	const struct mesh_endpoint *tried[REQUEST_ATTEMPTS];
	const struct dest *d = &r->dest;
	struct pick_in in = {.service = d->service,
		.port_index = d->port_index,
		.family = (enum addr_family)d->addr.family,
		.now = flow_now(r->flow),
		.tried = tried,
		.n_tried = tried_endpoints(r, tried),
		.load = flow_load,
		.load_arg = r->flow};
	return pick_endpoint(&in, flow_service_state(r->flow, d->service), r->flow->env.rng, why);
}

static void name_endpoint(struct request *r, const struct attempt *a, bool secure)
{
	r->span.upstream = a->target.to;
	r->span.tls = secure;
	if (a->endpoint != NULL) {
		r->span.dest.workload = a->endpoint->workload;
		r->span.dest.ns = a->endpoint->ns;
		r->span.dest.identity = a->endpoint->spiffe_id;
	} else if (a->target.self) {
		r->span.dest = r->span.source;
	}
}

static enum step_next pick_outbound(struct request *r, struct attempt *a)
{
	const struct dest *d = &r->dest;
	enum pick_none why;
	struct dest_hop hop;
	if (d->kind == DEST_SERVICE) {
		a->endpoint = choose_endpoint(r, &why);
		if (a->endpoint == NULL && r->last_reason != 0) {
			lookup_refresh(r->flow, d);
			return fail(r, r->last_reason, r->last_text);
		}
		if (a->endpoint == NULL)
			return fail(r, why == PICK_STRICT ? MESH_NOT_MESHED : MESH_NO_ENDPOINTS,
				pick_none_text(why));
	} else if (d->kind == DEST_POD) {
		a->endpoint = &d->pod->endpoint;
	}
	int reason = dest_hop(r->snap, d, a->endpoint, &hop);
	if (reason == 0 && !hop.secure && r->snap != r->flow->snap)
		reason = dest_still(r->flow->snap, &r->conn->orig, a->endpoint, &hop.to);
	if (reason == 0 && hop.secure && !hop.self && flow_expired(r->flow))
		reason = MESH_OWN_CERTIFICATE;
	if (reason != 0)
		return fail(r, reason, NULL);
	if (a->endpoint != NULL) {
		a->load = flow_load(r->flow, a->endpoint);
		a->load->in_flight++;
	}
	a->target = (struct connect_target){
		.to = hop.to, .id = hop.id, .uid = hop.uid, .self = hop.self};
	if (hop.secure) {
		a->target.alpn = r->down_version == HTTP_V2 ? "weft/h2" : "weft/h2-h1";
		a->target.ctx = hop.self ? NULL : r->flow->client_ctx;
	}
	name_endpoint(r, a, hop.secure);
	return NEXT_CONTINUE;
}

static enum step_next step_pick(struct request *r)
{
	struct attempt *a = &r->attempts[r->n_attempts++];
	memset(a, 0, sizeof(*a));
	r->cur = a;
	r->span.attempts = r->n_attempts;
	if (r->conn->direction == SPAN_OUTBOUND)
		return pick_outbound(r, a);
	a->target = (struct connect_target){
		.to = r->conn->orig, .from = addr_with_port(&r->conn->orig, 0)};
	r->span.upstream = a->target.to;
	return NEXT_CONTINUE;
}

static enum step_next step_acquire(struct request *r)
{
	attempt_acquire(r);
	switch (r->cur->state) {
	case ATTEMPT_OPEN:
		return NEXT_CONTINUE;
	case ATTEMPT_WAITING:
		return NEXT_WAIT;
	case ATTEMPT_NONE:
	case ATTEMPT_OVER:
		break;
	}
	return fail(r, REASON_OVERLOAD, "pool-waiting or pool-endpoints");
}

/* The configuration changed while the connection was made: in plaintext it may lead to another pod
 * by now. 0, or a mesh reason. */
static int still_plain(const struct request *r)
{
	const struct attempt *a = r->cur;
	bool plain = a->target.ctx == NULL && !a->target.self;
	if (r->conn->direction == SPAN_INBOUND || !plain || r->snap == r->flow->snap)
		return 0;
	return dest_still(r->flow->snap, &r->conn->orig, a->endpoint, &a->target.to);
}

static enum step_next step_send(struct request *r)
{
	struct attempt *a = r->cur;
	int reason = still_plain(r);
	if (reason != 0)
		return fail(r, reason, NULL);
	struct http_conn *upc = stream_conn(a->up);
	if (r->head->protocol.n > 0 && !http_conn_can_upgrade(upc))
		return fail(r, REASON_UNSUPPORTED,
			"the upstream does not take upgrades over HTTP/2");
	bool end = r->body_end && buf_len(&r->held) == 0 && r->trailers == NULL &&
		r->head->protocol.n == 0;
	a->head_sent = true;
	stream_send_head(a->up, r->head, end);
	r->body_sent_end = end;
	if (!end)
		forward_request_body(r);
	return NEXT_CONTINUE;
}

/* -- the dispatcher
 * ----------------------------------------------------------------------------------------------------
 */

static const struct {
	const char *name;
	step_fn *fn;
} steps[] = {
#define STEP(name, fn, text) {#name, fn},
#include "sidecar/flow/request.def"
#undef STEP
};

void request_run(struct request *r)
{
	while (r->step < STEP_DONE && !r->failed) {
		enum request_step now = r->step;
		log_at(r->flow->env.log, LOG_TRACE, "flow", "request step",
			LOG_Z("step", steps[now].name));
		enum step_next next = steps[now].fn(r);
		if (next != NEXT_CONTINUE)
			return;
		if (r->step == now)
			r->step = now + 1;
	}
}

void request_fail(struct request *r, int reason, const char *detail)
{
	const struct reason_info *info = flow_reason(reason);
	if (r->failed || r->down == NULL)
		return;
	r->failed = true;
	r->span.reason_label = info->label;
	r->span.reason_text = info->text;
	if (detail != NULL)
		snprintf(r->span.detail, sizeof(r->span.detail), "%s", detail);
	loop_timer_stop(&r->timer);
	attempt_drop(r, REASON_CANCELLED);
	buf_clear(&r->held);
	buf_clear(&r->replay);
	if (r->committed)
		reply_cut(r, reason);
	else
		reply_reason(r, reason);
	if (r->unconsumed > 0 && r->down != NULL)
		stream_consume(r->down, r->unconsumed);
	r->unconsumed = 0;
}

static void on_timeout(void *arg)
{
	request_fail(OBJ_CAST(struct request, REQUEST_MAGIC, arg), REASON_TIMEOUT,
		"request-timeout");
}

/* -- downstream events
 * ---------------------------------------------------------------------------------------------------
 */

/* A head may come slowly: the request goes by the configuration under which it has come. */
static void take_snapshot(struct request *r)
{
	struct conn *c = r->conn;
	if (r->snap == r->flow->snap)
		return;
	snapshot_unref(&r->snap);
	r->snap = snapshot_ref(r->flow->snap);
	if (c->direction == SPAN_OUTBOUND)
		(void)lookup_find(c, r->snap, &r->dest);
	r->span.service = STR_NULL;
	r->span.source = r->span.dest = (struct span_party){0};
	conn_fill_span(c, r->snap, &r->dest, &r->span);
}

static void on_down_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	struct request *r = OBJ_CAST(struct request, REQUEST_MAGIC, arg);
	(void)s;
	take_snapshot(r);
	r->head = head;
	r->body_end = end;
	r->span.method = head->method;
	r->span.authority = head->authority;
	r->span.path = head->path;
	r->span.request_id = http_fields_get(&head->fields, STR("x-request-id"));
	r->grpc = str_starts_nocase(http_fields_get(&head->fields, STR("content-type")),
		STR("application/grpc"));
	if (r->grpc)
		r->span.protocol = "grpc";
	if (r->flow->params->request_timeout > 0)
		loop_timer_start(&r->timer, r->flow->params->request_timeout);
	request_run(r);
}

static void on_down_body(void *arg, struct http_stream *s, struct buf *bytes, bool end)
{
	struct request *r = OBJ_CAST(struct request, REQUEST_MAGIC, arg);
	(void)s;
	forward_down_body(r, bytes, end);
}

static void on_down_trailers(void *arg, struct http_stream *s, struct http_fields *trailers)
{
	struct request *r = OBJ_CAST(struct request, REQUEST_MAGIC, arg);
	(void)s;
	headers_strip_reserved(trailers);
	r->trailers = trailers;
	r->body_end = true;
	if (!r->stopped)
		forward_request_body(r);
}

static void on_down_writable(void *arg, struct http_stream *s)
{
	struct request *r = OBJ_CAST(struct request, REQUEST_MAGIC, arg);
	(void)s;
	forward_down_room(r);
}

/* The one exit: the exchange is over, whatever happened. The span is written here. */
static void on_down_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct request *r = OBJ_CAST(struct request, REQUEST_MAGIC, arg);
	struct flow *f = r->flow;
	if (reason != REASON_OK && !r->failed) {
		const struct reason_info *info = flow_reason(reason);
		struct str detail = stream_detail(s);
		r->span.reason_label = info->label;
		r->span.reason_text = info->text;
		snprintf(r->span.detail, sizeof(r->span.detail), "%.*s", STR_ARG(detail));
	}
	r->failed = true;
	loop_timer_stop(&r->timer);
	loop_task_cancel(&r->trim);
	if (r->cur != NULL && r->cur->up != NULL && r->response_done && r->body_sent_end &&
		reason == REASON_OK)
		r->cur = NULL; /* finishes by itself */
	attempt_drop(r, REASON_CANCELLED);
	buf_clear(&r->held);
	buf_clear(&r->replay);
	r->down = NULL;
	f->stats.requests--;
	flow_on_load(f);
	if (r->head != NULL || reason != REASON_OK)
		span_emit(f->telemetry, &r->span, flow_now(f));
	list_remove(&r->node);
	list_remove(&r->starved_node);
	r->conn = NULL;
	request_down_gone(r);
}

void request_let_go(struct request *r)
{
	if (!r->committed || r->down == NULL || r->snap == NULL || r->snap == r->flow->snap)
		return;
	span_labels_keep(&r->span,
		arena_alloc(stream_arena(r->down), span_labels_size(&r->span) + 1));
	r->dest = (struct dest){.kind = r->dest.kind, .addr = r->dest.addr};
	for (uint32_t i = 0; i < r->n_attempts; i++) {
		r->attempts[i].endpoint = NULL;
		r->attempts[i].target.id = r->attempts[i].target.uid = STR_NULL;
	}
	snapshot_unref(&r->snap);
}

static const struct http_stream_events down_events = {.on_head = on_down_head,
	.on_body = on_down_body,
	.on_trailers = on_down_trailers,
	.on_writable = on_down_writable,
	.on_end = on_down_end};

static struct request *request_take(struct flow *f)
{
	struct list_node *n = list_pop(&f->free_requests);
	struct request *r =
		n != NULL ? CONTAINER_OF(n, struct request, node) : MEM_NEW(struct request);
	memset(r, 0, sizeof(*r));
	list_node_init(&r->node);
	list_node_init(&r->starved_node);
	return r;
}

void request_start(struct conn *c, struct http_stream *s)
{
	struct flow *f = c->flow;
	struct request *r = request_take(f);
	r->obj.magic = REQUEST_MAGIC;
	r->flow = f;
	r->conn = c;
	r->snap = snapshot_ref(f->snap);
	if (c->direction == SPAN_OUTBOUND)
		(void)lookup_find(c, r->snap, &r->dest);
	r->down = s;
	r->down_version = http_conn_version(c->http);
	buf_init(&r->held, f->env.http.bufs);
	buf_init(&r->replay, f->env.http.bufs);
	loop_timer_init(&r->timer, f->env.http.loop, on_timeout, r);
	loop_task_init(&r->trim, f->env.http.loop, forward_on_trim, r);
	conn_fill_span(c, r->snap, &r->dest, &r->span);
	r->span.http = true;
	r->span.protocol = r->down_version == HTTP_V2 ? "http/2" : "http/1.1";
	r->span.start_ns = flow_now(f);
	list_append(&c->requests, &r->node);
	f->stats.requests++;
	flow_on_load(f);
	stream_set_user(s, &down_events, r);
}
