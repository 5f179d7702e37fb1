/*
 * The HTTP/2 codec, bytes in: cuts c->in into frames, lets h2_sift judge each, counts it, and feeds
 * nghttp2, whose callbacks are in h2_recv.c. Owns nothing beyond struct h2; called by the gate when
 * bytes came and when reading may go on.
 */
#include "lib/http/h2.h"

/* Type of an unknown frame begins here (RFC 9113 6, 11.2). */
#define KNOWN_TYPES 10

/* -- pressure -- */

/*
 * Streams that ended are freed at the end of the turn, and what we must answer is written when the
 * peer reads: while there is too much of either, no more input is taken.
 */
static bool h2_pressed(const struct h2 *h)
{
	const struct http_limits *l = &h->c->limits;
	size_t queued = nghttp2_session_get_outbound_queue_size(h->session);

	return h->c->n_streams > 2 * (size_t)l->max_streams + 16 ||
		queued > 2 * (size_t)l->control_frames + 8 * (size_t)l->max_streams;
}

static void intake_pause(struct h2 *h)
{
	http_conn_pause_read(h->c);
	http_conn_kick(h->c);
}

void h2_recv_resume(struct h2 *h)
{
	struct h2_intake *in = &h->intake;

	if (!in->pressed && in->stalled == 0)
		return;
	if (in->stalled != 0 &&
		nghttp2_session_get_stream_remote_close(h->session, in->stalled) >= 0)
		return;
	if (h2_pressed(h))
		return;
	in->pressed = false;
	in->stalled = 0;
	http_conn_resume_read(h->c);
}

/* -- frames -- */

static uint32_t read_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_padded_data(const struct h2_frame *f)
{
	return f->type == NGHTTP2_DATA && (f->flags & NGHTTP2_FLAG_PADDED) && f->length > 0;
}

/* Bytes of the payload that h2_sift, the accounting or the unbinding needs. */
static size_t frame_needs(const struct h2_frame *f)
{
	if (is_padded_data(f))
		return 1;
	if (f->type == NGHTTP2_WINDOW_UPDATE && f->length == 4)
		return 4;
	if (f->type == NGHTTP2_HEADERS && (f->flags & NGHTTP2_FLAG_PRIORITY)) {
		size_t n = f->flags & NGHTTP2_FLAG_PADDED ? 6 : 5;
		return f->length >= n ? n : 0;
	}
	return 0;
}

static void frame_account(struct h2 *h, const struct h2_frame *f)
{
	bool ends = f->flags & NGHTTP2_FLAG_END_STREAM;

	if (f->type >= KNOWN_TYPES) {
		h2_act(h, H2_ACT_STRAY);
		return;
	}
	switch ((nghttp2_frame_type)f->type) {
	case NGHTTP2_DATA:
		h2_act(h, f->length > f->padding || ends ? H2_ACT_DATA_IN : H2_ACT_EMPTY_DATA);
		break;
	case NGHTTP2_HEADERS:
		h2_act(h, H2_ACT_REQUEST);
		break;
	case NGHTTP2_PRIORITY:
		h2_act(h, H2_ACT_PRIORITY);
		break;
	case NGHTTP2_RST_STREAM:
		h2_act(h, H2_ACT_STRAY);
		break;
	case NGHTTP2_SETTINGS:
		h2_act(h, H2_ACT_SETTINGS);
		break;
	case NGHTTP2_PING:
		h2_act(h, H2_ACT_PING);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		h2_act(h, H2_ACT_WINDOW_UPDATE);
		break;
	case NGHTTP2_CONTINUATION:
		h2_act(h, H2_ACT_CONTINUATION);
		break;
	case NGHTTP2_PUSH_PROMISE:
	case NGHTTP2_GOAWAY:
	case NGHTTP2_ALTSVC:
	case NGHTTP2_ORIGIN:
	case NGHTTP2_PRIORITY_UPDATE:
		break;
	}
}

static void intake_failed(struct h2 *h, int err)
{
	switch (err) {
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		h2_doom(h, REASON_PROTOCOL, NGHTTP2_PROTOCOL_ERROR, "no HTTP/2 preface");
		break;
	case NGHTTP2_ERR_FLOODED:
		h2_doom(h, REASON_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM,
			"PING or SETTINGS without reading the answers");
		break;
	case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
		h2_doom(h, REASON_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM, "too many CONTINUATION frames");
		break;
	case NGHTTP2_ERR_NOMEM:
		h2_try(h, err);
		break;
	default:
		h2_doom(h, REASON_INTERNAL, NGHTTP2_INTERNAL_ERROR, "nghttp2 failed");
	}
}

/* False where nghttp2 gave up. */
static bool intake_give(struct h2 *h, const void *p, size_t n)
{
	nghttp2_ssize rv = nghttp2_session_mem_recv2(h->session, p, n);

	buf_consume(&h->c->in, n);
	if (rv < 0)
		intake_failed(h, (int)rv);
	return rv >= 0;
}

/* Feeds the first bytes of a HEADERS frame with "depends on stream 0, not exclusive". */
static void frame_unbind(struct h2 *h, const struct h2_frame *f, uint8_t *head, size_t n)
{
	h->intake.left = f->length - (uint32_t)(n - H2_FRAME_HEAD);
	memset(head + n - 5, 0, 4);
	intake_give(h, head, n);
}

static void frame_pass(struct h2 *h, const struct h2_frame *f)
{
	h->intake.left = H2_FRAME_HEAD + f->length;
	if (f->type == NGHTTP2_HEADERS || f->type == NGHTTP2_PUSH_PROMISE ||
		f->type == NGHTTP2_CONTINUATION)
		h->intake.in_block = (f->flags & NGHTTP2_FLAG_END_HEADERS) == 0;
}

static void frame_reset_stream(struct h2 *h, const struct h2_frame *f, uint32_t code)
{
	struct h2_stream *hs = h2_find(h, f->id);

	h2_submit_reset(h, f->id, code);
	if (hs != NULL)
		h2_note_fault(h, hs, http_conn_fault(h->c), nghttp2_http2_strerror(code));
	h2_blame(h);
}

static void frame_judge(struct h2 *h, const struct h2_frame *f, uint8_t *head, size_t n)
{
	uint32_t code = NGHTTP2_NO_ERROR;
	enum h2_verdict verdict = h2_sift(h, f, &code);

	if (verdict >= H2_REFUSE && verdict <= H2_STALL)
		frame_reset_stream(h, f, code);
	if (verdict == H2_BREAK)
		h2_doom(h, http_conn_fault(h->c), code, nghttp2_http2_strerror(code));
	if (verdict == H2_STALL) {
		h->intake.stalled = f->id;
		intake_pause(h);
		return;
	}
	if (h->settled)
		frame_account(h, f);
	switch (verdict) {
	case H2_PASS:
	case H2_REJECT:
	case H2_STALL:
		frame_pass(h, f);
		break;
	case H2_UNBIND:
		frame_pass(h, f);
		if (n > H2_FRAME_HEAD)
			frame_unbind(h, f, head, n);
		break;
	case H2_DROP:
	case H2_REFUSE:
	case H2_BREAK:
		h->intake.skip = H2_FRAME_HEAD + f->length;
		break;
	}
}

/* False where more bytes are needed, or none may be taken. */
static bool intake_begin_frame(struct h2 *h)
{
	uint8_t head[H2_FRAME_HEAD + 6];
	size_t have = buf_copy_out(&h->c->in, 0, head, sizeof(head));

	if (have < H2_FRAME_HEAD)
		return false;
	if (h2_pressed(h)) {
		h->intake.pressed = true;
		intake_pause(h);
		return false;
	}
	struct h2_frame f = {
		.length = read_u32(head) >> 8,
		.type = head[3],
		.flags = head[4],
		.id = (int32_t)(read_u32(head + 5) & 0x7fffffff),
	};
	size_t needs = frame_needs(&f);

	if (have < H2_FRAME_HEAD + needs)
		return false;
	if (f.type == NGHTTP2_WINDOW_UPDATE && needs == 4)
		f.increment = read_u32(head + H2_FRAME_HEAD) & 0x7fffffff;
	if (is_padded_data(&f))
		f.padding = 1 + (uint32_t)head[H2_FRAME_HEAD];
	frame_judge(h, &f, head, H2_FRAME_HEAD + needs);
	return true;
}

/* One piece of input. False where nothing more can be taken now. */
static bool intake_step(struct h2 *h)
{
	struct h2_intake *in = &h->intake;
	struct http_conn *c = h->c;

	if (c->state != HTTP_CONN_OPEN || h->doomed || c->read_paused || buf_len(&c->in) == 0)
		return false;
	if (in->left == 0 && in->skip == 0)
		return intake_begin_frame(h);
	struct str piece = buf_peek(&c->in);

	if (in->skip > 0) {
		size_t n = piece.n < in->skip ? piece.n : in->skip;
		in->skip -= (uint32_t)n;
		buf_consume(&c->in, n);
		return true;
	}
	size_t n = piece.n < in->left ? piece.n : in->left;

	in->left -= (uint32_t)n;
	in->base = piece.p;
	intake_give(h, piece.p, n);
	in->base = NULL;
	return true;
}

/* -- the connection's input -- */

/* A header block that does not go on holds up every stream: it has as long as any head. */
static void intake_time_block(struct h2 *h)
{
	struct http_conn *c = h->c;

	if (h->intake.timed && !h->intake.in_block) {
		h->intake.timed = false;
		loop_timer_stop(&c->header_timer);
	}
	if (h->intake.in_block && c->limits.header_timeout > 0 &&
		!loop_timer_running(&c->header_timer)) {
		h->intake.timed = true;
		loop_timer_start(&c->header_timer, c->limits.header_timeout);
	}
}

static void h2_on_eof(struct h2 *h)
{
	struct http_conn *c = h->c;
	bool client = c->role == HTTP_CLIENT;

	LIST_EACH(&c->streams, n)
	{
		struct http_stream *s = CONTAINER_OF(n, struct http_stream, node);
		const struct h2_stream *hs = h2_stream_of(s);

		if (client && s->in == PART_DONE && !s->tunnel)
			http_up_end(s, REASON_OK, NULL);
		else if (client && hs != NULL && !hs->on_wire)
			http_up_end(s, REASON_NOT_PROCESSED, NULL);
	}
	if (h->open == 0)
		http_conn_fail(c, REASON_OK, NULL, false);
	else
		http_conn_fail(c, client ? REASON_UPSTREAM_CLOSED : REASON_CLOSED,
			"closed while streams were open", false);
}

void h2_on_bytes(struct http_conn *c, bool eof)
{
	struct h2 *h = h2_of(c);

	if (buf_len(&c->in) > 0)
		h->heard = true;
	while (intake_step(h))
		h2_tell(h, false);
	h2_tell(h, true);
	h2_perish(h);
	if (c->state != HTTP_CONN_OPEN)
		return;
	intake_time_block(h);
	h2_rest(h);
	if (eof && !c->read_paused)
		h2_on_eof(h);
	else if (nghttp2_session_want_write(h->session))
		http_conn_kick(c);
}
