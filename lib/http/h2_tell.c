/*
 * The HTTP/2 codec, from nghttp2 to the gate: what the callbacks noted on a stream is told in
 * order (head, body, trailers, end) once nghttp2 has returned. Owns nothing; called by h2_recv.c
 * after each piece of input and by h2_send.c after a flush.
 */
#include "lib/http/h2.h"

void h2_note(struct h2 *h, struct h2_stream *hs)
{
	list_remove(&hs->due);
	list_append(&h->due, &hs->due);
}

void h2_note_body(struct h2 *h, struct h2_stream *hs)
{
	if (!list_linked(&hs->due))
		list_append(&h->filling, &hs->due);
}

void h2_note_fault(struct h2 *h, struct h2_stream *hs, enum reason reason, const char *detail)
{
	if (hs->fault != REASON_OK)
		return;
	hs->fault = reason;
	hs->detail = detail;
	h2_note(h, hs);
}

/* -- head, body, trailers: false where the stream has ended -- */

static bool parse_status(struct http_head *head, struct str value)
{
	uint64_t status;

	if (value.n != 3 || str_to_u64(value, 999, &status) != 0 || status < 100)
		return false;
	head->status = (uint16_t)status;
	return true;
}

/* The neutral form of an accepted tunnel is 101, whatever 2xx said so (RFC 8441 5). */
static void neutral_status(const struct http_stream *s, struct http_head *head)
{
	if (s->protocol.n > 0 && head->status / 100 == 2)
		head->status = 101;
}

static bool tell_head(struct h2_stream *hs)
{
	struct http_stream *s = hs->s;
	struct http_head *head = &s->head_in;
	bool client = s->conn->role == HTTP_CLIENT;

	h2_block_end(hs);
	if (hs->block.over) {
		http_up_fail(s,
			client ? REASON_RESPONSE_HEADERS_TOO_LARGE : REASON_HEADERS_TOO_LARGE,
			"header fields exceed the limit");
		return false;
	}
	if (client && !parse_status(head, hs->block.status)) {
		http_up_fail(s, REASON_UPSTREAM_PROTOCOL, "no valid :status");
		return false;
	}
	if (client && head->status / 100 == 1) {
		if (++hs->interim > H2_INTERIM_MAX) {
			http_up_fail(s, REASON_UPSTREAM_PROTOCOL, "too many interim responses");
			return false;
		}
		return http_up_head(s, hs->got_end);
	}
	if (client)
		neutral_status(s, head);
	hs->head_in = true;
	hs->end_in = hs->got_end && buf_len(&hs->rx) == 0;
	if (!http_up_head(s, hs->end_in))
		return false;
	h2_stop(s);
	return true;
}

static bool tell_trailers(struct h2_stream *hs)
{
	struct http_stream *s = hs->s;

	h2_block_end(hs);
	if (hs->block.over) {
		http_up_fail(s,
			s->conn->role == HTTP_CLIENT ? REASON_RESPONSE_HEADERS_TOO_LARGE
						     : REASON_HEADERS_TOO_LARGE,
			"trailer fields exceed the limit");
		return false;
	}
	hs->end_in = true;
	return http_up_trailers(s, &hs->trailers_in);
}

static bool tell_message(struct h2_stream *hs)
{
	struct http_stream *s = hs->s;

	if (hs->got_head) {
		hs->got_head = false;
		if (!tell_head(hs))
			return false;
	}
	bool ends = hs->got_end && !hs->got_trailers && !hs->end_in;

	if (buf_len(&hs->rx) > 0 || ends) {
		hs->end_in = hs->end_in || ends;
		if (!http_up_body(s, &hs->rx, ends))
			return false;
	}
	if (hs->got_trailers) {
		hs->got_trailers = false;
		return tell_trailers(hs);
	}
	return true;
}

/* -- end -- */

/* The peer reset a stream that may have been complete for whoever asked. */
static enum reason reset_reason(const struct h2_stream *hs)
{
	bool client = hs->s->conn->role == HTTP_CLIENT;

	if (client && hs->end_in && !hs->s->tunnel)
		return REASON_OK;
	if (!client && hs->end_out && hs->close_code == NGHTTP2_NO_ERROR)
		return REASON_OK;
	return reason_from_h2(hs->close_code, client);
}

static enum reason close_reason(const struct h2_stream *hs)
{
	if (hs->reset_in)
		return reset_reason(hs);
	/* CANCEL is how a client says h2_stop. */
	if (hs->close_code == NGHTTP2_NO_ERROR ||
		(hs->close_code == NGHTTP2_CANCEL && hs->s->stopped && hs->head_in))
		return REASON_OK;
	/* GOAWAY did not count it, or it could not be sent any more. */
	if (hs->close_code == NGHTTP2_REFUSED_STREAM && hs->s->conn->role == HTTP_CLIENT)
		return REASON_NOT_PROCESSED;
	return http_conn_fault(hs->s->conn);
}

static void tell_stream(struct h2_stream *hs)
{
	struct http_stream *s = hs->s;

	if (s->ended)
		return;
	if (hs->fault != REASON_OK) {
		http_up_fail(s, hs->fault, hs->detail);
		return;
	}
	if (!tell_message(hs) || !hs->closed)
		return;
	s->reset_in = hs->reset_in;
	s->reset_code = hs->close_code;
	http_up_end(s, close_reason(hs), NULL);
}

static void tell_list(struct list *list)
{
	struct list_node *n;

	while ((n = list_pop(list)) != NULL)
		tell_stream(CONTAINER_OF(n, struct h2_stream, due));
}

void h2_tell(struct h2 *h, bool all)
{
	tell_list(&h->due);
	if (all)
		tell_list(&h->filling);
}
