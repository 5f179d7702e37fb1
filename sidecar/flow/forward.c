/*
 * Moves bodies between the downstream stream and the chosen attempt, the same rule both ways: what
 * the other side has no room for is not consumed, so that the sender's window closes. Also heads
 * and trailers of responses. Called from stream events alone.
 */
#include "sidecar/flow/request.h"

#define STARVED_NS (10 * NS_PER_MS)

/* -- request: downstream to upstream
 * ------------------------------------------------------------------------------- */

/*
 * Over the worker's budget no window is granted: the request is put aside until buffers have been
 * written out. True where it was.
 */
static bool put_aside(struct request *r)
{
	struct flow *f = r->flow;
	if (buf_pool_used(f->env.http.bufs) <= f->params->max_buffer)
		return false;
	if (!list_linked(&r->starved_node))
		list_append(&f->starved, &r->starved_node);
	if (!loop_timer_running(&f->starved_timer))
		loop_timer_start(&f->starved_timer, STARVED_NS);
	return true;
}

static void consume_down(struct request *r)
{
	size_t n = r->unconsumed;
	if (n == 0 || r->down == NULL || put_aside(r))
		return;
	r->unconsumed = 0;
	stream_consume(r->down, n);
}

void forward_on_starved(void *arg)
{
	struct flow *f = arg;
	struct list now;
	struct list_node *n;
	list_init(&now);
	list_splice(&now, &f->starved);
	while ((n = list_pop(&now)) != NULL) {
		struct request *r = CONTAINER_OF(n, struct request, starved_node);
		/* Where there is no room meanwhile, on_writable will come. */
		if (r->cur == NULL || r->cur->up == NULL || stream_room(r->cur->up) > 0)
			consume_down(r);
		if (r->down != NULL && stream_room(r->down) > 0)
			forward_down_room(r);
	}
}

/*
 * The bound holds for what is on its way. Before the first byte of a body has left us its second
 * reference costs nothing, and a GOAWAY that crosses it in the same turn must not cost the request.
 */
static void trim_replay(struct request *r)
{
	const struct attempt *a = r->cur;
	if (buf_len(&r->replay) <= r->flow->params->replay_bytes)
		return;
	if (a != NULL && a->up != NULL && stream_bytes_out(a->up) == 0)
		return;
	r->replay_lost = true;
	buf_clear(&r->replay);
}

void forward_on_trim(void *arg)
{
	trim_replay(OBJ_CAST(struct request, REQUEST_MAGIC, arg));
}

/* Keeps a second reference while the request may have to be sent again. */
static void keep_replay(struct request *r)
{
	if (r->replay_lost)
		return;
	buf_share(&r->replay, &r->held, 0, buf_len(&r->held));
	if (buf_len(&r->replay) > r->flow->params->replay_bytes)
		loop_next_turn(&r->trim);
}

void forward_request_body(struct request *r)
{
	struct attempt *a = r->cur;
	if (a == NULL || a->up == NULL || !a->head_sent || r->body_sent_end)
		return;
	bool end = r->body_end && r->trailers == NULL;
	if (buf_len(&r->held) == 0 && !r->body_end)
		return;
	ssize_t room = 1;
	if (buf_len(&r->held) > 0 || end) {
		keep_replay(r);
		a->body_sent += buf_len(&r->held);
		room = stream_send_body(a->up, &r->held, end);
	}
	if (r->body_end && r->trailers != NULL)
		stream_send_trailers(a->up, r->trailers);
	r->body_sent_end = r->body_end;
	if (room > 0 || r->body_end)
		consume_down(r);
}

void forward_down_body(struct request *r, struct buf *bytes, bool end)
{
	size_t n = buf_len(bytes);
	r->span.bytes_in += n;
	r->body_end = r->body_end || end;
	if (r->stopped || (r->response_done && !r->tunnel)) {
		if (n > 0)
			stream_consume(r->down, n);
		return;
	}
	r->unconsumed += n;
	buf_move_all(&r->held, bytes);
	forward_request_body(r);
}

/* The upstream has room again. */
void forward_up_room(struct request *r)
{
	trim_replay(r);
	consume_down(r);
}

/* -- response: upstream to downstream
 * ------------------------------------------------------------------------------ */

/* The response is complete. A request body that still comes is of no use to anybody. */
static void response_done(struct request *r)
{
	r->response_done = true;
	if (r->tunnel || (r->body_end && r->body_sent_end))
		return;
	if (!r->body_end && !r->stopped) {
		r->stopped = true;
		stream_stop(r->down);
	}
	buf_clear(&r->held);
	consume_down(r);
	if (!r->body_sent_end && r->cur != NULL && r->cur->up != NULL)
		pools_reset_stream(r->cur->up, REASON_CANCELLED);
}

static int grpc_status_of(const struct http_fields *fields)
{
	uint64_t v;
	struct str s = http_fields_get(fields, STR("grpc-status"));
	return s.n > 0 && str_to_u64(s, 99, &v) == 0 ? (int)v : -1;
}

/* gRPC over HTTP/2 proper: gRPC-Web, which begins alike, has no trailers. */
static bool is_grpc(const struct http_head *head)
{
	struct str type = http_fields_get(&head->fields, STR("content-type"));
	struct str name = STR("application/grpc");
	return head->length == HTTP_LENGTH_UNKNOWN && str_starts_nocase(type, name) &&
		(type.n == name.n || type.p[name.n] == '+' || type.p[name.n] == ';');
}

static void commit(struct request *r, const struct http_head *head)
{
	r->committed = true;
	r->replay_lost = true;
	buf_clear(&r->replay);
	r->span.status = head->status;
	if (r->grpc)
		r->span.grpc_status = grpc_status_of(&head->fields);
	r->grpc_open = r->grpc && r->down_version == HTTP_V2 && is_grpc(head);
	r->tunnel = r->head->protocol.n > 0 && head->status == 101;
	if (r->tunnel) /* a request no more: idle time bounds it */
		loop_timer_stop(&r->timer);
}

/* What only Weft may set comes from another sidecar at most. */
static bool from_stranger(const struct request *r)
{
	return r->conn->direction == SPAN_INBOUND || !r->span.tls;
}

void forward_up_head(struct request *r, struct http_head *head, bool end)
{
	if (from_stranger(r))
		headers_strip_reserved(&head->fields);
	if (head->status >= 100 && head->status < 200 && head->status != 101) {
		stream_send_head(r->down, head, false);
		return;
	}
	commit(r, head);
	stream_send_head(r->down, head, end);
	if (end)
		response_done(r);
}

void forward_up_body(struct request *r, struct buf *bytes, bool end)
{
	size_t n = buf_len(bytes);
	struct attempt *a = r->cur;
	r->span.bytes_out += n;
	a->unconsumed += n;
	ssize_t room = stream_send_body(r->down, bytes, end);
	if (room > 0 || end)
		forward_down_room(r);
	if (end)
		response_done(r);
}

void forward_up_trailers(struct request *r, struct http_fields *trailers)
{
	if (from_stranger(r))
		headers_strip_reserved(trailers);
	if (r->grpc)
		r->span.grpc_status = grpc_status_of(trailers);
	stream_send_trailers(r->down, trailers);
	response_done(r);
}

/* The downstream has room again. */
void forward_down_room(struct request *r)
{
	struct attempt *a = r->cur;
	if (a == NULL || a->up == NULL || a->unconsumed == 0 || put_aside(r))
		return;
	size_t n = a->unconsumed;
	a->unconsumed = 0;
	stream_consume(a->up, n);
}
