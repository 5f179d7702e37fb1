/*
 * The HTTP/2 codec, bytes out: what the gate sends is queued here and encoded in the flush phase,
 * many frames at once; body bytes move from s->send to c->out without a copy. Streams with more
 * than one frame to send take turns. Owns nothing beyond struct h2; called by the gate.
 */
#include "lib/base/err.h"
#include "lib/http/h2.h"

/* Bodies up to that size are copied next to their frame header. */
#define COPY_MAX 512
/* A peer that lets us send no more than that at once makes us work for nothing. */
#define SLIVER 128
#define LAST_ID_OPEN INT32_MAX

static struct h2 *h2_cast(void *arg)
{
	return OBJ_CAST(struct h2, H2_MAGIC, arg);
}

/* -- down-calls -- */

static void stream_wants_turn(struct h2 *h, struct h2_stream *hs)
{
	if (hs == NULL || hs->closed)
		return;
	if (!list_linked(&hs->ready))
		list_append(&h->ready, &hs->ready);
	http_conn_kick(h->c);
}

static void submit_failed(struct h2 *h, struct http_stream *s, int err)
{
	h2_try(h, err);
	http_up_fail(s,
		err == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? REASON_NOT_PROCESSED : REASON_INTERNAL,
		"nghttp2 takes no head");
}

static nghttp2_ssize on_source(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
	uint32_t *flags, nghttp2_data_source *source, void *arg);

void h2_send_head(struct http_stream *s, const struct http_head *head, bool end)
{
	struct h2 *h = h2_of(s->conn);
	struct h2_stream *hs = h2_stream_of(s);
	nghttp2_data_provider2 body = {.read_callback = on_source};
	nghttp2_nv *nv;
	int32_t rv;

	if (hs == NULL || hs->closed)
		return;
	size_t n = h2_nv_head(s, head, end, &nv);

	hs->spoke = true;
	hs->quantum = H2_QUANTUM;
	if (s->conn->role == HTTP_CLIENT) {
		rv = nghttp2_submit_request2(h->session, NULL, nv, n, end ? NULL : &body, hs);
		if (rv > 0)
			s->id = (uint32_t)rv;
	} else if (head->status / 100 == 1 && head->status != 101) {
		rv = nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, (int32_t)s->id, NULL, nv,
			n, NULL);
	} else {
		rv = nghttp2_submit_response2(h->session, (int32_t)s->id, nv, n,
			end ? NULL : &body);
	}
	if (rv < 0)
		submit_failed(h, s, rv);
}

void h2_send_body(struct http_stream *s)
{
	stream_wants_turn(h2_of(s->conn), h2_stream_of(s));
}

void h2_send_trailers(struct http_stream *s, const struct http_fields *trailers)
{
	struct h2_stream *hs = h2_stream_of(s);
	nghttp2_nv *nv;

	if (hs == NULL || hs->closed)
		return;
	hs->n_trailers = h2_nv_trailers(s, trailers, &nv);
	hs->trailers = hs->n_trailers > 0 ? nv : NULL;
	stream_wants_turn(h2_of(s->conn), hs);
}

void h2_consume(struct http_stream *s, size_t n)
{
	struct h2 *h = h2_of(s->conn);
	struct h2_stream *hs = h2_stream_of(s);

	/* The window of a stream that shall send no more stays shut. */
	if (hs == NULL || hs->closed || s->stopped)
		return;
	h2_try(h, nghttp2_session_consume_stream(h->session, (int32_t)s->id, n));
	if (nghttp2_session_want_write(h->session))
		http_conn_kick(s->conn);
}

/* RFC 9113 8.1: without error, and only after the whole answer. */
static void stream_say_stop(struct h2 *h, int32_t id)
{
	if (nghttp2_session_get_stream_remote_close(h->session, id) != 0)
		return;
	h2_submit_reset(h, id, h->c->role == HTTP_SERVER ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
	http_conn_kick(h->c);
}

/* A client that wants no body still wants to know what it would have been. */
void h2_stop(struct http_stream *s)
{
	struct h2_stream *hs = h2_stream_of(s);

	if (hs == NULL || hs->closed || !s->stopped || !hs->end_out)
		return;
	if (s->conn->role == HTTP_SERVER || hs->head_in)
		stream_say_stop(h2_of(s->conn), (int32_t)s->id);
}

/* Refusals that HTTP has a status for, where nothing was sent. Static: they outlive the stream. */
static struct str plain_status(enum reason reason)
{
	if (reason == REASON_HEADERS_TOO_LARGE)
		return STR("431");
	if (reason == REASON_URI_TOO_LONG)
		return STR("414");
	if (reason == REASON_UNSUPPORTED)
		return STR("501");
	return STR_NULL;
}

static bool stream_answer(struct h2 *h, const struct http_stream *s, enum reason reason)
{
	struct str status = plain_status(reason);

	if (h->c->role != HTTP_SERVER || status.n == 0)
		return false;
	nghttp2_nv nv[] = {
		{(uint8_t *)(uintptr_t)":status", (uint8_t *)(uintptr_t)status.p, 7, status.n,
			NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE},
		{(uint8_t *)(uintptr_t)"content-length", (uint8_t *)(uintptr_t)"0", 14, 1,
			NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE},
	};
	return nghttp2_submit_response2(h->session, (int32_t)s->id, nv, 2, NULL) == 0;
}

void h2_reset(struct http_stream *s, enum reason reason)
{
	struct h2 *h = h2_of(s->conn);
	struct h2_stream *hs = h2_stream_of(s);
	bool open = s->id != 0 && (hs == NULL || !hs->closed);
	/* What was queued lies in the arena, which goes: only RST_STREAM keeps it off the wire. */
	bool fresh = hs != NULL && !hs->spoke;

	/* An answer is followed by RST_STREAM when it is written, see on_end_sent. */
	if (open && !(fresh && stream_answer(h, s, reason)))
		h2_submit_reset(h, (int32_t)s->id, reason_info(reason)->h2_code);
	if (hs != NULL)
		h2_detach(h, hs);
}

/* -- what nghttp2 asks while it encodes -- */

static nghttp2_ssize on_source(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
	uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2 *h = h2_cast(arg);
	struct h2_stream *hs = h2_find(h, id);

	(void)buf;
	(void)source;
	if (hs == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t have = buf_len(&hs->s->send), n = have;

	if (n > length)
		n = length;
	if (n > hs->quantum)
		n = hs->quantum;
	bool last = n == have && hs->s->send_end;

	if (n == 0 && !last) {
		/* Where it has bytes, its turn is over. */
		if (have > 0)
			stream_wants_turn(h, hs);
		return NGHTTP2_ERR_DEFERRED;
	}
	hs->quantum -= (uint32_t)n;
	if (n > 0)
		h2_act(h, n == length && n < SLIVER ? H2_ACT_SLIVER_OUT : H2_ACT_DATA_OUT);
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (!last)
		return (nghttp2_ssize)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (hs->trailers != NULL) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		h2_try(h, nghttp2_submit_trailer(session, id, hs->trailers, hs->n_trailers));
	}
	return (nghttp2_ssize)n;
}

static void move_body(struct buf *dst, struct buf *src, size_t n)
{
	if (n > COPY_MAX) {
		buf_move(dst, src, n);
		return;
	}
	while (n > 0) {
		struct str piece = buf_peek(src);
		size_t len = piece.n < n ? piece.n : n;

		buf_append(dst, piece.p, len);
		buf_consume(src, len);
		n -= len;
	}
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
	size_t length, nghttp2_data_source *source, void *arg)
{
	struct h2 *h = h2_cast(arg);
	struct h2_stream *hs = h2_find(h, frame->hd.stream_id);
	struct http_conn *c = h->c;

	(void)session;
	(void)source;
	if (hs == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	buf_append(&c->out, head, H2_FRAME_HEAD);
	move_body(&c->out, &hs->s->send, length);
	return buf_len(&c->out) < HTTP_WIRE_HIGH ? 0 : NGHTTP2_ERR_PAUSE;
}

/* Our side of a stream is written whole. */
static void on_end_sent(struct h2 *h, struct h2_stream *hs, int32_t id)
{
	if (hs == NULL) {
		stream_say_stop(h, id);
		return;
	}
	hs->end_out = true;
	h2_stop(hs->s);
}

static enum reason goaway_reason(const struct h2 *h, uint32_t code)
{
	bool limiter = code == NGHTTP2_INTERNAL_ERROR && h->wary && h->c->role == HTTP_SERVER;

	if (code == NGHTTP2_ENHANCE_YOUR_CALM || limiter)
		return REASON_FLOOD;
	return code == NGHTTP2_INTERNAL_ERROR ? REASON_INTERNAL : http_conn_fault(h->c);
}

/* Ours, or the verdict of nghttp2 on what the peer sent. */
static void on_goaway_sent(struct h2 *h, const nghttp2_goaway *goaway)
{
	uint32_t code = goaway->error_code;

	if (goaway->last_stream_id == LAST_ID_OPEN && code == NGHTTP2_NO_ERROR)
		return;
	h->goaway_out = true;
	if (code != NGHTTP2_NO_ERROR)
		h2_doom(h, goaway_reason(h, code), code, nghttp2_http2_strerror(code));
	else if (h->drain == H2_DRAIN_FINAL)
		h->drain = H2_DRAIN_SAID;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = h2_cast(arg);

	(void)session;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		on_goaway_sent(h, &frame->goaway);
	if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	struct h2_stream *hs = h2_find(h, frame->hd.stream_id);
	bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	size_t body = frame->hd.type == NGHTTP2_DATA ? frame->hd.length : 0;

	if (hs != NULL) {
		hs->on_wire = true;
		if (body > 0 || ends)
			http_up_sent(hs->s, body, ends);
	}
	if (ends)
		on_end_sent(h, hs, frame->hd.stream_id);
	return 0;
}

/* A head that nghttp2 cannot encode; heads of streams that ended meanwhile are no loss. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int err,
	void *arg)
{
	struct h2 *h = h2_cast(arg);

	(void)session;
	if (frame->hd.type != NGHTTP2_HEADERS || err != NGHTTP2_ERR_FRAME_SIZE_ERROR)
		return 0;
	struct h2_stream *hs = h2_find(h, frame->hd.stream_id);

	if (hs != NULL)
		h2_note_fault(h, hs, REASON_INTERNAL, "a head too large to be sent");
	return 0;
}

void h2_send_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
}

/* -- the flush phase -- */

static bool wire_full(const struct h2 *h)
{
	return buf_len(&h->c->out) >= HTTP_WIRE_HIGH;
}

static bool encode(struct h2 *h)
{
	while (!wire_full(h)) {
		const uint8_t *p;
		nghttp2_ssize n = nghttp2_session_mem_send2(h->session, &p);

		if (n < 0) {
			h2_try(h, (int)n);
			http_conn_fail(h->c, h->doomed ? h->reason : REASON_INTERNAL,
				h->doomed ? h->detail : "nghttp2 failed", true);
			return false;
		}
		if (n == 0)
			break;
		buf_append(&h->c->out, p, (size_t)n);
	}
	return true;
}

static void encode_all(struct h2 *h)
{
	struct list_node *n;

	while (encode(h) && !wire_full(h) && (n = list_pop(&h->ready)) != NULL) {
		struct h2_stream *hs = CONTAINER_OF(n, struct h2_stream, ready);

		hs->quantum = H2_QUANTUM;
		h2_try(h, nghttp2_session_resume_data(h->session, (int32_t)hs->s->id));
	}
}

/* The connection ends for a reason of the gate's: the peer learns which streams were served. */
static void say_goodbye(struct h2 *h)
{
	const struct http_conn *c = h->c;
	uint32_t code = reason_info(c->reason)->h2_code;

	if (c->state != HTTP_CONN_FLUSHING || h->goaway_out || wire_full(h))
		return;
	if (code != NGHTTP2_PROTOCOL_ERROR && code != NGHTTP2_INTERNAL_ERROR)
		code = NGHTTP2_NO_ERROR;
	nghttp2_session_terminate_session(h->session, code);
	encode_all(h);
}

bool h2_flush(struct http_conn *c)
{
	struct h2 *h = h2_of(c);

	encode_all(h);
	h2_tell(h, true);
	h2_perish(h);
	say_goodbye(h);
	h2_recv_resume(h);
	h2_rest(h);
	return nghttp2_session_want_write(h->session) || !list_empty(&h->ready);
}
