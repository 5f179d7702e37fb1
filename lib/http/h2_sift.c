/*
 * What becomes of a frame before nghttp2 sees it. nghttp2 answers several faults on one stream by
 * ending the connection, which RFC 9113 permits; between proxies that share a connection it would
 * punish all for one, so here they become stream errors. Pure: looks at the session, changes
 * nothing; called by h2_recv.c for every frame.
 */
#include "lib/http/h2.h"

/* SETTINGS_MAX_FRAME_SIZE as it is where nobody says otherwise; we do not. */
#define MAX_FRAME 16384

static bool stream_known(const struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_remote_close(h->session, id) >= 0;
}

/* The peer has ended its side (RFC 9113 5.1, half-closed (remote)). */
static bool stream_ended(const struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_remote_close(h->session, id) == 1;
}

static enum h2_verdict sift_data(const struct h2 *h, const struct h2_frame *f, uint32_t *code)
{
	if (!stream_known(h, f->id))
		return H2_PASS;
	if (stream_ended(h, f->id)) {
		*code = NGHTTP2_STREAM_CLOSED;
		return H2_STALL;
	}
	const struct h2_stream *hs = nghttp2_session_get_stream_user_data(h->session, f->id);

	if (h->c->role == HTTP_CLIENT && hs != NULL && hs->block.fields == NULL) {
		*code = NGHTTP2_PROTOCOL_ERROR;
		return H2_REJECT;
	}
	int32_t window = nghttp2_session_get_stream_local_window_size(h->session, f->id);

	if (window < 0 || f->length > (uint32_t)window) {
		*code = NGHTTP2_FLOW_CONTROL_ERROR;
		return H2_REJECT;
	}
	return H2_PASS;
}

static enum h2_verdict sift_headers(const struct h2 *h, const struct h2_frame *f, uint32_t *code)
{
	if (stream_ended(h, f->id)) {
		*code = NGHTTP2_STREAM_CLOSED;
		return H2_STALL;
	}
	return f->flags & NGHTTP2_FLAG_PRIORITY ? H2_UNBIND : H2_PASS;
}

/* Priorities of RFC 7540 are off; a frame of the wrong size is a stream error (6.3). */
static enum h2_verdict sift_priority(const struct h2 *h, const struct h2_frame *f, uint32_t *code)
{
	if (f->length > MAX_FRAME)
		return H2_PASS;
	if (f->id == 0) {
		*code = NGHTTP2_PROTOCOL_ERROR;
		return H2_BREAK;
	}
	if (f->length == 5 || !stream_known(h, f->id))
		return H2_DROP;
	*code = NGHTTP2_FRAME_SIZE_ERROR;
	return H2_REFUSE;
}

/* RFC 9113 6.9 and 6.9.1: an increment of nothing, or beyond the largest window. */
static enum h2_verdict sift_window_update(const struct h2 *h, const struct h2_frame *f,
	uint32_t *code)
{
	if (f->length != 4 || !stream_known(h, f->id))
		return H2_PASS;
	if (f->increment == 0) {
		*code = NGHTTP2_PROTOCOL_ERROR;
		return H2_REFUSE;
	}
	int32_t window = nghttp2_session_get_stream_remote_window_size(h->session, f->id);

	if (f->increment > (uint32_t)(NGHTTP2_MAX_WINDOW_SIZE - window)) {
		*code = NGHTTP2_FLOW_CONTROL_ERROR;
		return H2_REFUSE;
	}
	return H2_PASS;
}

enum h2_verdict h2_sift(const struct h2 *h, const struct h2_frame *f, uint32_t *code)
{
	/* Before SETTINGS and inside a header block nghttp2 knows what is due. */
	if (!h->settled || h->intake.in_block)
		return H2_PASS;
	switch (f->type) {
	case NGHTTP2_DATA:
		return sift_data(h, f, code);
	case NGHTTP2_HEADERS:
		return sift_headers(h, f, code);
	case NGHTTP2_PRIORITY:
		return sift_priority(h, f, code);
	case NGHTTP2_WINDOW_UPDATE:
		return sift_window_update(h, f, code);
	default:
		return H2_PASS;
	}
}
