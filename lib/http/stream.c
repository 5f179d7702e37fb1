/*
 * The gate, calls of the user: keeps the order of what we send, counts it against the declared
 * length, hands it to the codec. Owns struct http_stream, which lives in its own arena; the
 * connection's list holds it until on_end.
 */
#include "lib/http/gate.h"

static struct http_stream *stream_cast(void *arg)
{
	return OBJ_CAST(struct http_stream, HTTP_STREAM_MAGIC, arg);
}

/* --- life --- */

struct http_stream *http_stream_new(struct http_conn *c, uint32_t id)
{
	struct arena arena;

	arena_init(&arena, c->env.arenas);
	struct http_stream *s = ARENA_NEW(&arena, struct http_stream);

	s->obj.magic = HTTP_STREAM_MAGIC;
	s->arena = arena;
	s->conn = c;
	s->id = id;
	s->expect_in = s->expect_out = HTTP_LENGTH_UNKNOWN;
	s->times.start = loop_now(c->env.loop);
	http_head_init(&s->head_in, c->role == HTTP_SERVER ? HTTP_REQUEST : HTTP_RESPONSE,
		&s->arena);
	buf_init(&s->send, c->env.bufs);
	loop_timer_init(&s->idle, c->env.loop, http_stream_on_idle, s);
	loop_task_init(&s->end_task, c->env.loop, http_stream_on_end_task, s);
	loop_task_init(&s->room_task, c->env.loop, http_stream_on_room_task, s);
	list_append(&c->streams, &s->node);
	http_conn_count_stream(c, 1);
	http_stream_touch(s);
	return s;
}

static void stream_free(void *ptr)
{
	struct http_stream *s = stream_cast(ptr);
	struct arena arena = s->arena;

	s->obj.magic = 0;
	arena_clear(&arena);
}

void http_stream_deliver_end(struct http_stream *s)
{
	struct http_conn *c = s->conn;

	loop_task_cancel(&s->end_task);
	loop_task_cancel(&s->room_task);
	loop_timer_stop(&s->idle);
	list_remove(&s->node);
	c->codec->forget(s);
	buf_clear(&s->send);
	http_conn_count_stream(c, -1);
	if (s->ev != NULL)
		s->ev->on_end(s->arg, s, s->reason);
	if (c->n_streams == 0 && c->state == HTTP_CONN_OPEN && c->ev->on_idle != NULL)
		c->ev->on_idle(c->arg, c);
	loop_defer_free(c->env.loop, s, stream_free);
}

/* --- questions --- */

void stream_set_user(struct http_stream *s, const struct http_stream_events *ev, void *arg)
{
	s->ev = ev;
	s->arg = arg;
}

void *stream_user(const struct http_stream *s)
{
	return s->arg;
}

struct http_conn *stream_conn(const struct http_stream *s)
{
	return s->conn;
}

struct arena *stream_arena(struct http_stream *s)
{
	return &s->arena;
}

const struct http_stream_times *stream_times(const struct http_stream *s)
{
	return &s->times;
}

enum http_part stream_in_part(const struct http_stream *s)
{
	return s->in;
}

enum http_part stream_out_part(const struct http_stream *s)
{
	return s->out;
}

uint64_t stream_bytes_in(const struct http_stream *s)
{
	return s->bytes_in;
}

uint64_t stream_bytes_out(const struct http_stream *s)
{
	return s->bytes_out;
}

uint32_t stream_id(const struct http_stream *s)
{
	return s->id;
}

struct str stream_detail(const struct http_stream *s)
{
	return s->detail;
}

size_t stream_queued(const struct http_stream *s)
{
	return buf_len(&s->send);
}

bool stream_was_reset(const struct http_stream *s, uint32_t *code)
{
	*code = s->reset_code;
	return s->reset_in;
}

ssize_t stream_room(const struct http_stream *s)
{
	return (ssize_t)s->conn->limits.send_high - (ssize_t)buf_len(&s->send);
}

/* --- sending --- */

bool http_stream_unsent(const struct http_stream *s)
{
	return s->out == PART_HEAD || s->wire_mark == s->conn->written;
}

bool http_stream_opens_tunnel(const struct http_stream *s, uint16_t status)
{
	if (s->protocol.n > 0)
		return status == 101;
	return str_eq(s->method, STR("CONNECT")) && status / 100 == 2;
}

/* Ours is the fault: what the user sends does not fit what it announced. */
static bool stream_misfit(struct http_stream *s, const char *detail)
{
	stream_reset(s, REASON_INTERNAL);
	s->detail = str_from(detail);
	return false;
}

static bool stream_length_holds(struct http_stream *s, bool end)
{
	if (s->expect_out == HTTP_LENGTH_UNKNOWN)
		return true;
	if (s->queued_out > s->expect_out || (end && s->queued_out < s->expect_out))
		return stream_misfit(s, "what is sent does not have the declared length");
	return true;
}

static bool stream_begin_response(struct http_stream *s, const struct http_head *head, bool end)
{
	if (http_stream_opens_tunnel(s, head->status)) {
		s->tunnel = true;
		s->expect_in = HTTP_LENGTH_UNKNOWN;
	} else if (head->status == 101) {
		return stream_misfit(s, "101 to a request that asked for no upgrade");
	} else if (http_no_body(s->method, head->status)) {
		s->out_void = !end;
	} else {
		s->expect_out = head->length;
	}
	return true;
}

static bool stream_begin_request(struct http_stream *s, const struct http_head *head)
{
	s->method = arena_str(&s->arena, head->method);
	s->protocol = arena_str(&s->arena, head->protocol);
	if (s->protocol.n == 0 && !str_eq(s->method, STR("CONNECT")))
		s->expect_out = head->length;
	return true;
}

static bool stream_interim(const struct http_stream *s, const struct http_head *head)
{
	return s->conn->role == HTTP_SERVER && head->status / 100 == 1 && head->status != 101;
}

void stream_send_head(struct http_stream *s, const struct http_head *head, bool end)
{
	struct http_conn *c = s->conn;

	if (s->ended)
		return;
	ASSERT(s->out == PART_HEAD);
	http_stream_touch(s);
	if (stream_interim(s, head)) {
		c->codec->send_head(s, head, false);
		http_conn_kick(c);
		return;
	}
	bool ok = c->role == HTTP_SERVER ? stream_begin_response(s, head, end)
					 : stream_begin_request(s, head);
	if (ok && end && !s->tunnel && s->expect_out != HTTP_LENGTH_UNKNOWN)
		ok = stream_length_holds(s, true);
	if (!ok)
		return;
	http_stream_touch(s); /* a tunnel has more time */
	end = end || s->out_void;
	s->out = end ? PART_TRAILERS : PART_BODY;
	s->send_end = end;
	s->times.head_out = loop_now(c->env.loop);
	s->wire_mark = c->written;
	c->codec->send_head(s, head, end);
	http_conn_kick(c);
}

ssize_t stream_send_body(struct http_stream *s, struct buf *bytes, bool end)
{
	struct http_conn *c = s->conn;

	if (s->ended || s->out_void) {
		buf_clear(bytes);
		return s->ended ? 0 : (ssize_t)c->limits.send_high;
	}
	ASSERT(s->out == PART_BODY);
	s->queued_out += buf_len(bytes);
	if (!stream_length_holds(s, end)) {
		buf_clear(bytes);
		return 0;
	}
	http_stream_touch(s);
	buf_move_all(&s->send, bytes);
	if (end) {
		s->out = PART_TRAILERS;
		s->send_end = true;
	}
	c->codec->send_body(s);
	http_conn_kick(c);
	ssize_t room = stream_room(s);

	s->wants_room = room <= 0 && !end;
	return room;
}

void stream_send_trailers(struct http_stream *s, const struct http_fields *trailers)
{
	if (s->ended || s->out_void)
		return;
	ASSERT(s->out == PART_BODY);
	if (!stream_length_holds(s, true))
		return;
	http_stream_touch(s);
	s->out = PART_TRAILERS;
	s->send_end = true;
	s->wants_room = false;
	s->conn->codec->send_trailers(s, trailers);
	http_conn_kick(s->conn);
}

/* --- receiving --- */

void stream_consume(struct http_stream *s, size_t n)
{
	if (s->ended || n == 0)
		return;
	ASSERT(n <= s->unconsumed);
	s->unconsumed -= n;
	s->conn->codec->consume(s, n);
}

void stream_stop(struct http_stream *s)
{
	if (s->ended || s->stopped || s->in == PART_DONE)
		return;
	s->stopped = true;
	s->conn->codec->stop(s);
	http_conn_kick(s->conn);
}

void stream_reset(struct http_stream *s, enum reason reason)
{
	if (s->ended)
		return;
	s->conn->codec->reset(s, reason);
	http_up_end(s, reason, NULL);
	http_conn_kick(s->conn);
}
