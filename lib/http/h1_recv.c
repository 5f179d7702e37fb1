/*
 * HTTP/1, the reading side: bytes of c->in become heads, bodies and trailers, one message at a
 * time; what a pipelining peer sends ahead stays where it is. Owns the phase in struct h1; called
 * by the gate through h1_conn.c's table.
 */
#include "lib/http/h1.h"
#include "lib/http/h1_write.h"

/* RFC 9112 2.2 lets a server skip empty lines before a request line: two. */
#define MAX_BLANKS 4
/* Interim responses of one exchange. */
#define MAX_INTERIMS 32
/* Bytes of a head as on the wire beyond its target and fields: methods, phrases, white space. */
#define HEAD_SLACK 8192
/* Bytes of chunk framing between two body bytes: a chunk line with what little extensions it may
 * have. */
#define CHUNK_SLACK 1024

/* --- refusing --- */

/* The peer's fault, in the exchange under way or where there is none. Always false: nothing more is
 * read. */
static bool wrong(struct h1 *h, enum reason reason, const char *detail)
{
	if (h->cur != NULL) {
		http_up_fail(h->cur, reason, detail);
		return false;
	}
	/* Within the rest of a body its response is out already. */
	bool answer = h->c->role == HTTP_SERVER && h->phase != H1_BODY;

	if (answer)
		h1_refuse(h, reason, detail);
	http_conn_fail(h->c, reason, detail, h->c->role == HTTP_CLIENT);
	return false;
}

static bool malformed(struct h1 *h, const char *detail)
{
	return wrong(h, http_conn_fault(h->c), detail);
}

static bool stuck(struct h1 *h)
{
	http_conn_pause_read(h->c);
	return false;
}

/* --- between messages --- */

static bool skip_blank(struct h1 *h, char c)
{
	char expected = h->blanks % 2 == 0 ? '\r' : '\n';

	if (c != expected || ++h->blanks > MAX_BLANKS)
		return malformed(h, "malformed start line");
	buf_consume(&h->c->in, 1);
	return true;
}

static bool begin_message(struct h1 *h)
{
	struct http_conn *c = h->c;

	if (c->role == HTTP_CLIENT) {
		if (h->cur == NULL || !h->head_sent)
			return malformed(h, "bytes without a request");
	} else {
		struct http_stream *s = http_stream_begin(c, ++h->last_id);

		if (s == NULL)
			return false;
		h->cur = s;
		h->keep_alive = true;
		h->head_sent = h->continue_sent = h->refused = h->tunnel_wanted = false;
		h->out = H1_NONE;
		loop_timer_stop(&h->patience);
	}
	h->interims = 0;
	h->field_bytes = 0;
	h->dropped = 0;
	h->blanks = 0;
	h->phase = H1_LINE;
	h1_head_begin(h);
	return true;
}

static bool read_idle(struct h1 *h)
{
	char first = buf_peek(&h->c->in).p[0];

	if (h->c->role == HTTP_SERVER && (h->blanks % 2 == 1 || first == '\r' || first == '\n'))
		return skip_blank(h, first);
	return begin_message(h);
}

/* --- heads --- */

/* Runs the parser over the first n bytes of piece and takes them off. */
static bool feed_head(struct h1 *h, struct str piece, size_t n)
{
	size_t used;

	if (h1_parse(h, piece.p, n, &used) != 0)
		return wrong(h, h->why, h->detail);
	h->head_raw += used;
	buf_consume(&h->c->in, used);
	if (h->head_raw > h->c->limits.header_bytes + h->c->limits.target_bytes + HEAD_SLACK)
		return wrong(h,
			h->c->role == HTTP_SERVER ? REASON_HEADERS_TOO_LARGE
						  : REASON_RESPONSE_HEADERS_TOO_LARGE,
			"head exceeds the limit");
	return true;
}

static bool read_line(struct h1 *h)
{
	struct str piece = buf_peek(&h->c->in);
	size_t n;
	bool done;
	const char *bad = h1_line_scan(&h->line, piece.p, piece.n, &n, &done);

	if (bad != NULL)
		return malformed(h, bad);
	if (!feed_head(h, piece, n))
		return false;
	if (done)
		h->phase = H1_FIELDS;
	return true;
}

/* What llhttp found of the framing must be what the checks found. */
static bool framing_agrees(const struct h1 *h)
{
	const struct http_head *head = &h->cur->head_in;
	bool chunked = (h->parser.flags & F_CHUNKED) != 0;
	bool length = (h->parser.flags & F_CONTENT_LENGTH) != 0;

	if (chunked)
		return !length && head->length == HTTP_LENGTH_UNKNOWN;
	if (length)
		return head->length == h->parser.content_length;
	return head->kind == HTTP_RESPONSE || head->length == 0;
}

static enum h1_framing body_framing(const struct h1 *h)
{
	if (h->parser.flags & F_CHUNKED)
		return H1_CHUNKED;
	return h->cur->expect_in != HTTP_LENGTH_UNKNOWN ? H1_LENGTH : H1_CLOSE;
}

static void begin_body(struct h1 *h)
{
	h->phase = H1_BODY;
	h->in = body_framing(h);
	h->left = h->cur->expect_in;
	if (h->in == H1_CLOSE)
		h->keep_alive = false;
	h1_trailers_begin(h);
}

/* The final head was taken by the user: what follows it? */
static void after_head(struct h1 *h)
{
	struct http_stream *s = h->cur;
	bool server = h->c->role == HTTP_SERVER;

	h->keep_alive = h->keep_alive && s->head_in.keep_alive;
	if (server)
		h->tunnel_wanted = s->protocol.n > 0 || str_eq(s->method, STR("CONNECT"));
	if (s->tunnel) {
		h->phase = H1_TUNNEL;
		h->keep_alive = false;
	} else if (server && h->tunnel_wanted) {
		h->phase = H1_HOLD;
	} else if (s->in == PART_DONE) {
		h->phase = H1_WAIT;
	} else {
		begin_body(h);
	}
	if (!server && h->tunnel_wanted) {
		/* Open, or refused: then what was meant for the tunnel has nowhere to go. */
		h->refused = !s->tunnel;
		http_conn_kick(h->c);
	}
	h1_settle(h);
}

/* RFC 6455 4.1: a 101 that does not answer our key comes from a server that did not understand it.
 */
static bool accept_matches(const struct http_stream *s, struct str key)
{
	char accept[WS_ACCEPT_SIZE];

	ws_accept_make(key, accept);
	return str_eq(http_fields_get(&s->head_in.fields, STR("sec-websocket-accept")),
		str_from(accept));
}

static bool on_head(struct h1 *h)
{
	struct http_stream *s = h->cur;
	const char *bad = h1_head_finish(h);
	bool server = h->c->role == HTTP_SERVER;

	if (bad != NULL)
		return malformed(h, bad);
	bool interim = !server && s->head_in.status / 100 == 1 && s->head_in.status != 101;

	if (interim && ++h->interims > MAX_INTERIMS)
		return malformed(h, "too many interim responses");
	if (!server && s->head_in.status == 101 && s->protocol.n > 0 &&
		!accept_matches(s, h->ws_key))
		return malformed(h, "101 with a wrong sec-websocket-accept");
	if (!http_up_head(s, false))
		return false;
	if (interim) {
		http_head_init(&s->head_in, HTTP_RESPONSE, &s->arena);
		h->phase = H1_LINE;
		h1_head_begin(h);
		return true;
	}
	if (!s->tunnel && !framing_agrees(h))
		return malformed(h, "ambiguous framing");
	after_head(h);
	return true;
}

static bool read_fields(struct h1 *h)
{
	struct str piece = buf_peek(&h->c->in);

	if (!feed_head(h, piece, piece.n))
		return false;
	return h->event == H1_HEAD_DONE ? on_head(h) : true;
}

/* --- bodies --- */

/* How many body bytes may be taken now. */
static size_t body_room(const struct h1 *h)
{
	const struct http_stream *s = h->cur;
	size_t window = h->c->limits.stream_window;

	if (s == NULL || s->stopped)
		return window;
	return s->unconsumed < window ? window - s->unconsumed : 0;
}

/* n more bytes that nobody wants. False: too many of them. */
static bool drop(struct h1 *h, size_t n)
{
	h->dropped += n;
	if (h->dropped <= h->c->limits.drain_body_bytes)
		return true;
	h->keep_alive = false;
	if (h->cur == NULL)
		http_conn_fail(h->c, REASON_OK, NULL, false);
	return stuck(h);
}

/* Moves n bytes of c->in up. */
static bool deliver(struct h1 *h, size_t n, bool end)
{
	struct buf bytes;
	bool unwanted = h->cur == NULL || h->cur->stopped, ok = true;

	buf_init(&bytes, h->c->env.bufs);
	buf_move(&bytes, &h->c->in, n);
	if (h->cur != NULL)
		ok = http_up_body(h->cur, &bytes, end);
	buf_clear(&bytes);
	if (!ok)
		return false;
	return unwanted ? drop(h, n) : true;
}

static bool message_done(struct h1 *h)
{
	loop_timer_stop(&h->patience);
	if (h->cur == NULL) {
		h->phase = H1_IDLE;
		if (h->c->draining)
			http_conn_fail(h->c, REASON_OK, NULL, false);
		else
			http_up_room(h->c);
		return true;
	}
	h->phase = H1_WAIT;
	h1_settle(h);
	/* Where the exchange is over the next one waits until its user has heard of that. */
	return h->cur != NULL;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool read_plain(struct h1 *h, size_t room)
{
	size_t n = smaller(buf_len(&h->c->in), room);
	bool end = false;

	if (h->in == H1_LENGTH) {
		if (n > h->left)
			n = (size_t)h->left;
		h->left -= n;
		end = h->left == 0;
	}
	if (!deliver(h, n, end))
		return false;
	return end ? message_done(h) : true;
}

static bool chunks_done(struct h1 *h)
{
	if (h->cur != NULL && !http_up_trailers(h->cur, &h->trailers))
		return false;
	return message_done(h);
}

/* A chunk's line is bounded as a whole, whatever it is made of; so are all trailers. */
static bool count_overhead(struct h1 *h, size_t n)
{
	h->overhead += n;
	if (h->overhead <= CHUNK_SLACK + (h->in_trailers ? h->c->limits.trailer_bytes : 0))
		return true;
	return malformed(h, "chunk framing exceeds the limit");
}

static bool read_chunked(struct h1 *h, size_t room)
{
	struct str piece = buf_peek(&h->c->in);
	size_t used, before;

	if (h1_parse(h, piece.p, smaller(piece.n, room), &used) != 0)
		return wrong(h, h->why, h->detail);
	before = h->event == H1_DATA ? (size_t)(h->data - piece.p) : used;
	if (!count_overhead(h, before))
		return false;
	buf_consume(&h->c->in, before);
	if (h->event == H1_CHUNK) {
		h->overhead = 0;
		h->in_trailers = h->parser.content_length == 0;
	}
	if (h->event == H1_DATA) {
		h->overhead = 0;
		return deliver(h, h->data_len, false);
	}
	return h->event == H1_MESSAGE_DONE ? chunks_done(h) : true;
}

static bool read_body(struct h1 *h)
{
	size_t room = body_room(h);

	if (room == 0)
		return stuck(h);
	return h->in == H1_CHUNKED ? read_chunked(h, room) : read_plain(h, room);
}

static bool read_tunnel(struct h1 *h)
{
	size_t room = body_room(h);

	if (room == 0)
		return stuck(h);
	return deliver(h, smaller(buf_len(&h->c->in), room), false);
}

/* --- the end of the peer's bytes --- */

static void closed_early(struct h1 *h, const char *detail)
{
	enum reason reason = REASON_CLOSED;

	if (h->c->role == HTTP_CLIENT)
		reason = http_stream_unsent(h->cur) ? REASON_NOT_PROCESSED : REASON_UPSTREAM_CLOSED;
	http_conn_fail(h->c, reason, detail, false);
}

static void on_eof_idle(struct h1 *h)
{
	if (h->cur == NULL)
		http_conn_fail(h->c, REASON_OK, NULL, false);
	else
		closed_early(h, "closed before the response");
}

static void on_eof_body(struct h1 *h)
{
	if (h->cur == NULL)
		http_conn_fail(h->c, REASON_OK, NULL, false);
	else if (h->in != H1_CLOSE)
		closed_early(h, "closed within a body");
	else if (deliver(h, 0, true)) {
		message_done(h);
		/* The answer is whole; what we still had to say is of no interest any more. */
		http_conn_fail(h->c, REASON_OK, NULL, false);
	}
}

static void on_eof(struct h1 *h)
{
	switch (h->phase) {
	case H1_IDLE:
		on_eof_idle(h);
		break;
	case H1_LINE:
	case H1_FIELDS:
		closed_early(h, "closed within a head");
		break;
	case H1_BODY:
		on_eof_body(h);
		break;
	case H1_WAIT:
		/* A client gets its answer still; a server that has answered need not read the
		 * rest. */
		h->keep_alive = false;
		if (h->c->role == HTTP_CLIENT)
			http_conn_fail(h->c, REASON_OK, NULL, false);
		break;
	case H1_HOLD:
		h->keep_alive = false;
		break;
	case H1_TUNNEL:
		h->phase = H1_SHUT;
		if (deliver(h, 0, true))
			h1_settle(h);
		break;
	case H1_SHUT:
		break;
	}
}

/* --- all of it --- */

static bool step(struct h1 *h)
{
	switch (h->phase) {
	case H1_IDLE:
		return read_idle(h);
	case H1_LINE:
		return read_line(h);
	case H1_FIELDS:
		return read_fields(h);
	case H1_BODY:
		return read_body(h);
	case H1_WAIT:
	case H1_HOLD:
	case H1_SHUT:
		return stuck(h);
	case H1_TUNNEL:
		return read_tunnel(h);
	}
	return false;
}

void h1_on_bytes(struct http_conn *c, bool eof)
{
	struct h1 *h = h1_of(c);
	bool more = true;

	while (more && c->state == HTTP_CONN_OPEN && !c->read_paused && buf_len(&c->in) > 0)
		more = step(h);
	if (eof && c->state == HTTP_CONN_OPEN && !c->read_paused && buf_len(&c->in) == 0)
		on_eof(h);
}
