/*
 * The gate, calls of the codecs: checks heads, keeps the order of what the peer sends, counts it
 * against the declared length, stamps times and delivers events. Owns nothing; what the user may do
 * inside an event is answered by s->ended afterwards.
 */
#include "lib/http/gate.h"

static struct http_stream *stream_cast(void *arg)
{
	return OBJ_CAST(struct http_stream, HTTP_STREAM_MAGIC, arg);
}

/* --- time --- */

/* How long nothing may move: 0 is for ever. */
static uint64_t stream_patience(const struct http_stream *s)
{
	const struct http_conn *c = s->conn;
	uint64_t ns = c->limits.stream_idle_timeout;

	if (s->tunnel)
		return c->limits.idle_timeout;
	if (c->role == HTTP_SERVER && c->eof && c->limits.half_close_timeout > 0 &&
		(ns == 0 || c->limits.half_close_timeout < ns))
		ns = c->limits.half_close_timeout;
	return ns;
}

void http_stream_touch(struct http_stream *s)
{
	http_timer_set(&s->idle, stream_patience(s));
}

void http_stream_on_idle(void *arg)
{
	struct http_stream *s = stream_cast(arg);
	bool gone = s->conn->role == HTTP_SERVER && s->conn->eof && !s->tunnel;

	http_up_fail(s, gone ? REASON_CLOSED : REASON_IDLE_TIMEOUT, NULL);
}

/* --- beginning and end --- */

struct http_stream *http_stream_begin(struct http_conn *c, uint32_t id)
{
	if (c->state != HTTP_CONN_OPEN)
		return NULL;
	struct http_stream *s = http_stream_new(c, id);

	http_timer_set(&c->header_timer, c->limits.header_timeout);
	c->ev->on_stream(c->arg, c, s);
	ASSERT(s->ev != NULL || s->ended);
	return c->state == HTTP_CONN_OPEN ? s : NULL;
}

void http_stream_on_end_task(void *arg)
{
	http_stream_deliver_end(stream_cast(arg));
}

void http_up_end(struct http_stream *s, enum reason reason, const char *detail)
{
	if (s->ended)
		return;
	s->ended = true;
	s->reason = reason;
	if (detail != NULL)
		s->detail = str_from(detail);
	loop_timer_stop(&s->idle);
	if (s->in == PART_HEAD && s->conn->role == HTTP_SERVER)
		loop_timer_stop(&s->conn->header_timer);
	loop_task_cancel(&s->room_task);
	loop_defer(&s->end_task);
}

void http_up_fail(struct http_stream *s, enum reason reason, const char *detail)
{
	if (s->ended)
		return;
	if (detail != NULL)
		s->detail = str_from(detail);
	s->conn->codec->reset(s, reason);
	http_up_end(s, reason, NULL);
	http_conn_kick(s->conn);
}

static bool stream_bad(struct http_stream *s, const char *detail)
{
	http_up_fail(s, http_conn_fault(s->conn), detail);
	return false;
}

/* --- heads --- */

/* What the body of a request will be. False: refused. */
static bool stream_expect_request(struct http_stream *s, bool *end)
{
	const struct http_head *h = &s->head_in;

	s->method = h->method;
	s->protocol = h->protocol;
	if (h->protocol.n > 0 || str_eq(h->method, STR("CONNECT"))) {
		/* What follows belongs to the tunnel, if one is opened. */
		s->expect_in = HTTP_LENGTH_UNKNOWN;
		return true;
	}
	s->expect_in = h->length;
	if (h->version_major == 1)
		*end = h->length == 0;
	return true;
}

static bool stream_expect_response(struct http_stream *s, bool *end)
{
	const struct http_head *h = &s->head_in;

	if (http_stream_opens_tunnel(s, h->status)) {
		s->tunnel = true;
		return true;
	}
	if (h->status == 101)
		return stream_bad(s, "101 to a request that asked for no upgrade");
	s->expect_in = http_no_body(s->method, h->status) ? 0 : h->length;
	if (h->version_major == 1)
		*end = s->expect_in == 0;
	return true;
}

static bool stream_is_interim(const struct http_stream *s)
{
	const struct http_head *h = &s->head_in;

	return h->kind == HTTP_RESPONSE && h->status / 100 == 1 && h->status != 101;
}

bool http_up_head(struct http_stream *s, bool end)
{
	struct http_conn *c = s->conn;
	struct http_head *h = &s->head_in;
	const char *detail = NULL;

	if (s->ended)
		return false;
	if (s->in != PART_HEAD || (c->role == HTTP_CLIENT && s->out == PART_HEAD))
		return stream_bad(s, "a head out of order");
	int reason = http_check_head(h, &c->limits, &detail);

	if (reason != 0) {
		http_up_fail(s, (enum reason)reason, detail);
		return false;
	}
	http_stream_touch(s);
	if (stream_is_interim(s)) {
		if (end)
			return stream_bad(s, "an interim response that ends the stream");
		s->ev->on_head(s->arg, s, h, false);
		return !s->ended;
	}
	loop_timer_stop(&c->header_timer);
	if (!(h->kind == HTTP_REQUEST ? stream_expect_request(s, &end)
				      : stream_expect_response(s, &end)))
		return false;
	if (end && s->expect_in != 0 && s->expect_in != HTTP_LENGTH_UNKNOWN)
		return stream_bad(s, "the body does not have the declared length");
	http_stream_touch(s); /* a tunnel has more time */
	s->in = end ? PART_DONE : PART_BODY;
	s->times.head_in = loop_now(c->env.loop);
	if (end)
		s->times.last_in = s->times.head_in;
	s->ev->on_head(s->arg, s, h, end);
	return !s->ended;
}

/* --- bodies --- */

/* Counts and stamps n more bytes. False: the stream failed. */
static bool stream_count_in(struct http_stream *s, size_t n, bool end)
{
	if (s->ended)
		return false;
	if (s->in != PART_BODY)
		return stream_bad(s, "a body out of order");
	s->bytes_in += n;
	if (s->expect_in != HTTP_LENGTH_UNKNOWN &&
		(s->bytes_in > s->expect_in || (end && s->bytes_in < s->expect_in)))
		return stream_bad(s, "the body does not have the declared length");
	uint64_t now = loop_now(s->conn->env.loop);

	if (n > 0 && s->times.first_in == 0)
		s->times.first_in = now;
	if (end) {
		s->times.last_in = now;
		s->in = PART_DONE;
	}
	http_stream_touch(s);
	return true;
}

bool http_up_body(struct http_stream *s, struct buf *bytes, bool end)
{
	size_t n = buf_len(bytes);

	if (!stream_count_in(s, n, end)) {
		buf_clear(bytes);
		return false;
	}
	if (s->stopped) {
		buf_clear(bytes);
		if (n > 0)
			s->conn->codec->consume(s, n);
		return true;
	}
	s->unconsumed += n;
	s->ev->on_body(s->arg, s, bytes, end);
	buf_clear(bytes);
	return !s->ended;
}

bool http_up_trailers(struct http_stream *s, struct http_fields *trailers)
{
	if (!stream_count_in(s, 0, true))
		return false;
	if (s->stopped)
		return true;
	http_check_trailers(trailers);
	if (trailers->n > 0 && s->ev->on_trailers != NULL) {
		s->ev->on_trailers(s->arg, s, trailers);
	} else {
		struct buf none;

		buf_init(&none, s->conn->env.bufs);
		s->ev->on_body(s->arg, s, &none, true);
		buf_clear(&none);
	}
	return !s->ended;
}

/* --- what went out --- */

void http_stream_on_room_task(void *arg)
{
	struct http_stream *s = stream_cast(arg);

	if (!s->ended && s->ev->on_writable != NULL)
		s->ev->on_writable(s->arg, s);
}

void http_up_sent(struct http_stream *s, size_t n, bool out_done)
{
	uint64_t now = loop_now(s->conn->env.loop);

	if (s->ended)
		return;
	s->bytes_out += n;
	if (n > 0 && s->times.first_out == 0)
		s->times.first_out = now;
	if (out_done) {
		s->times.last_out = now;
		s->out = PART_DONE;
	}
	http_stream_touch(s);
	if (s->wants_room && buf_len(&s->send) < s->conn->limits.send_low) {
		s->wants_room = false;
		loop_defer(&s->room_task);
	}
}
