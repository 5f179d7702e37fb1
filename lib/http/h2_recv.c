/*
 * The HTTP/2 codec, what nghttp2 says while it reads: noted on the stream that it is about, for
 * h2_tell. Owns nothing beyond struct h2; called by nghttp2 from inside h2_intake.c.
 */
#include "lib/http/h2.h"

/* Body bytes in smaller pieces are copied, so that they do not hold a large chunk each. */
#define SHARE_MIN 1024

static struct h2 *h2_cast(void *arg)
{
	return OBJ_CAST(struct h2, H2_MAGIC, arg);
}

/* The one place where a callback of nghttp2 calls up: the arena of the stream is needed now. */
static int begin_request(struct h2 *h, int32_t id)
{
	struct http_stream *s = http_stream_begin(h->c, (uint32_t)id);

	if (s == NULL || s->ended)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	struct h2_stream *hs = h2_stream_new(h, s);

	nghttp2_session_set_stream_user_data(h->session, id, hs);
	h2_block_begin(hs, false);
	h->reading = hs;
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = h2_cast(arg);

	(void)session;
	h->reading = NULL;
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		return begin_request(h, frame->hd.stream_id);
	struct h2_stream *hs = h2_find(h, frame->hd.stream_id);

	if (hs != NULL)
		h2_block_begin(hs, h->c->role == HTTP_SERVER || hs->head_in);
	h->reading = hs;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
	nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
	struct h2 *h = h2_cast(arg);
	struct h2_stream *hs = h->reading;

	(void)session;
	if (hs == NULL)
		return 0;
	if (h2_block_field(hs, name, value, flags & NGHTTP2_NV_FLAG_NO_INDEX) == 0)
		return 0;
	h2_submit_reset(h, frame->hd.stream_id, NGHTTP2_ENHANCE_YOUR_CALM);
	h2_note_fault(h, hs,
		h->c->role == HTTP_SERVER ? REASON_HEADERS_TOO_LARGE
					  : REASON_RESPONSE_HEADERS_TOO_LARGE,
		"header fields far beyond the limit");
	h2_blame(h);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* nghttp2 would leave such a field out; we do not forward what is left. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
	nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
	(void)session;
	(void)frame;
	(void)name;
	(void)value;
	(void)flags;
	(void)arg;
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
	size_t len, void *arg)
{
	struct h2 *h = h2_cast(arg);
	struct h2_stream *hs = h2_find(h, id);

	(void)flags;
	/* The connection's window is for all: a stream that is not consumed holds up itself alone.
	 */
	h2_try(h, nghttp2_session_consume_connection(session, len));
	if (hs == NULL || hs->s->ended)
		return 0;
	if (len < SHARE_MIN)
		buf_append(&hs->rx, data, len);
	else
		buf_share(&hs->rx, &h->c->in, (size_t)((const char *)data - h->intake.base), len);
	h2_note_body(h, hs);
	return 0;
}

static void on_message_frame(struct h2 *h, const nghttp2_frame *frame)
{
	struct h2_stream *hs = h2_find(h, frame->hd.stream_id);

	if (hs == NULL)
		return;
	if (frame->hd.type == NGHTTP2_HEADERS) {
		if (hs->block.trailers)
			hs->got_trailers = true;
		else
			hs->got_head = true;
	}
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		hs->got_end = true;
	else if (frame->hd.type == NGHTTP2_DATA)
		return;
	h2_note(h, hs);
}

static void on_rst_stream(struct h2 *h, const nghttp2_frame *frame)
{
	struct h2_stream *hs = h2_find(h, frame->hd.stream_id);

	if (hs == NULL)
		return;
	hs->reset_in = true;
	if (!hs->end_out)
		h2_blame(h);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = h2_cast(arg);

	(void)session;
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
	case NGHTTP2_HEADERS:
		on_message_frame(h, frame);
		break;
	case NGHTTP2_RST_STREAM:
		on_rst_stream(h, frame);
		break;
	case NGHTTP2_SETTINGS:
		if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
			h2_settle(h);
		break;
	case NGHTTP2_GOAWAY:
		h2_on_goaway(h);
		break;
	default:
		break;
	}
	return 0;
}

static const char *fault_text(int err)
{
	switch (err) {
	case NGHTTP2_ERR_HTTP_HEADER:
		return "a field that HTTP/2 forbids";
	case NGHTTP2_ERR_HTTP_MESSAGING:
		return "a message that HTTP/2 forbids";
	default:
		return "frames that HTTP/2 forbids";
	}
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int err,
	void *arg)
{
	struct h2 *h = h2_cast(arg);

	(void)session;
	if (frame->hd.stream_id == 0)
		return 0;
	if (err == NGHTTP2_ERR_REFUSED_STREAM) {
		h2_act(h, H2_ACT_REFUSED);
		return 0;
	}
	struct h2_stream *hs = h2_find(h, frame->hd.stream_id);

	if (hs != NULL)
		h2_note_fault(h, hs, http_conn_fault(h->c), fault_text(err));
	h2_blame(h);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2 *h = h2_cast(arg);
	struct h2_stream *hs = h2_find(h, id);

	(void)session;
	if (hs == NULL)
		return 0;
	hs->close_code = code;
	hs->closed = true;
	h2_release(h, hs);
	h2_note(h, hs);
	return 0;
}

void h2_recv_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback2(cb, on_invalid_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
}
