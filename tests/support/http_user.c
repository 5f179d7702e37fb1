/*
 * The user of the waist for tests: replies, sources and echoes as its struct says, writes down
 * every event, and aborts where the order of events breaks a rule of lib/http/stream.h. Used
 * through http_support.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/obj.h"
#include "tests/support/http_support.h"

#define SOURCE_PIECE 8192

/* --- writing down --- */

static void log_add(struct http_user *u, struct str s)
{
	if (u->log_n + s.n + 1 > u->log_cap) {
		u->log_cap = 2 * (u->log_n + s.n + 1);
		u->log = realloc(u->log, u->log_cap);
		ASSERT(u->log != NULL);
	}
	memcpy(u->log + u->log_n, s.p, s.n);
	u->log_n += s.n;
	u->log[u->log_n] = '\0';
}

__attribute__((format(printf, 2, 3))) static void note(struct http_user *u, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log_add(u, str_make(line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1));
}

static void note_fields(struct http_user *u, const struct http_fields *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		log_add(u, STR("  "));
		log_add(u, f->v[i].name);
		log_add(u, STR(": "));
		log_add(u, f->v[i].value);
		log_add(u, STR("\n"));
	}
}

static void note_body(struct exchange *x)
{
	if (x->body_bytes == 0)
		return;
	if (x->body_bytes < sizeof(x->body))
		note(x->user, "%u body %.*s\n", x->number, (int)x->body_bytes, x->body);
	else
		note(x->user, "%u body of %llu\n", x->number, (unsigned long long)x->body_bytes);
}

static void note_head(struct exchange *x, const struct http_head *h, bool end)
{
	struct http_user *u = x->user;

	if (h->kind == HTTP_REQUEST)
		note(u, "%u %.*s %.*s %.*s", x->number, STR_ARG(h->method), STR_ARG(h->authority),
			STR_ARG(h->path));
	else
		note(u, "%u %u", x->number, h->status);
	if (h->length != HTTP_LENGTH_UNKNOWN && h->length > 0)
		note(u, " length=%llu", (unsigned long long)h->length);
	if (h->protocol.n > 0)
		note(u, " protocol=%.*s", STR_ARG(h->protocol));
	note(u, "%s%s%s\n", h->te_trailers ? " te" : "", h->expect_continue ? " expect" : "",
		end ? " end" : "");
	note_fields(u, &h->fields);
}

const char *http_user_log(struct http_user *u)
{
	log_add(u, STR(""));
	u->log_n = 0;
	return u->log;
}

/* --- acting --- */

void http_support_fields(struct http_fields *f, const char *text)
{
	struct str rest = str_from(text), line;

	while (rest.n > 0 && str_split(&rest, '\n', &line)) {
		ptrdiff_t at = str_find(line, ':');

		ASSERT(at > 0);
		http_fields_add(f, str_sub(line, 0, (size_t)at),
			str_trim(str_sub(line, (size_t)at + 1, line.n)));
	}
}

ssize_t exchange_send(struct exchange *x, struct str text, bool end)
{
	struct buf bytes;

	buf_init(&bytes, x->user->w->bufs);
	buf_append(&bytes, text.p, text.n);
	x->sent_sum = http_support_sum(x->sent_sum, text.p, text.n);
	ssize_t room = stream_send_body(x->stream, &bytes, end);

	ASSERT(buf_len(&bytes) == 0);
	buf_clear(&bytes);
	return room;
}

/* As much of the source as there is room for. */
static void pump(struct exchange *x)
{
	unsigned char piece[SOURCE_PIECE];

	while (x->stream != NULL && x->source > 0 && stream_room(x->stream) > 0) {
		size_t n = x->source < sizeof(piece) ? (size_t)x->source : sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = x->tone++;
		x->source -= n;
		exchange_send(x, str_make(piece, n), x->source == 0);
	}
	x->writable_due = x->source > 0;
}

void exchange_source(struct exchange *x, uint64_t n)
{
	x->source = n;
	if (n == 0)
		exchange_send(x, STR(""), true);
	else
		pump(x);
}

void exchange_interim(struct exchange *x, uint16_t status)
{
	struct http_head h;

	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = status;
	stream_send_head(x->stream, &h, false);
}

void exchange_reply(struct exchange *x, uint16_t status, const char *fields, const char *body)
{
	struct http_head h;

	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = status;
	if (fields != NULL)
		http_support_fields(&h.fields, fields);
	h.length = body != NULL ? strlen(body) : 0;
	stream_send_head(x->stream, &h, body == NULL);
	if (body != NULL && x->stream != NULL)
		exchange_send(x, str_from(body), true);
}

static void reply_chunked(struct exchange *x)
{
	struct http_user *u = x->user;
	struct http_head h;
	struct http_fields trailers;

	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = u->reply_status;
	if (u->reply_source > 0 && !u->reply_chunked)
		h.length = u->reply_source;
	stream_send_head(x->stream, &h, false);
	if (u->reply_source > 0) {
		exchange_source(x, u->reply_source);
		return;
	}
	exchange_send(x, str_from(u->reply_body), u->reply_trailer == NULL);
	if (u->reply_trailer == NULL)
		return;
	http_fields_init(&trailers, stream_arena(x->stream));
	http_fields_add(&trailers, STR("x-trailer"), str_from(u->reply_trailer));
	stream_send_trailers(x->stream, &trailers);
}

static void reply_now(struct exchange *x)
{
	struct http_user *u = x->user;

	if (x->stream == NULL || stream_out_part(x->stream) != PART_HEAD)
		return;
	if (u->reply_chunked || u->reply_source > 0)
		reply_chunked(x);
	else
		exchange_reply(x, u->reply_status, NULL, u->reply_body);
}

void exchange_consume(struct exchange *x)
{
	size_t n = (size_t)x->held;

	x->held = 0;
	if (x->stream != NULL)
		stream_consume(x->stream, n);
}

/* --- events of streams --- */

static void in_done(struct exchange *x)
{
	struct http_user *u = x->user;

	ASSERT(!x->in_done);
	x->in_done = true;
	if (u->reply == REPLY_AT_END)
		reply_now(x);
}

static void on_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	struct exchange *x = arg;
	struct http_user *u = x->user;

	ASSERT(x->stream == s && !x->ended && !x->in_done);
	ASSERT(x->head == NULL);
	if (head->kind == HTTP_RESPONSE && head->status < 200 && head->status != 101)
		x->interims++;
	else
		x->head = head;
	x->method = head->method;
	x->status = head->status;
	note_head(x, head, end);
	if (u->on_head != NULL)
		u->on_head(x);
	if (x->head == NULL || x->stream == NULL)
		return;
	if (u->stop)
		stream_stop(s);
	if (u->reply == REPLY_AT_HEAD)
		reply_now(x);
	if (end)
		in_done(x);
}

static void on_body(void *arg, struct http_stream *s, struct buf *bytes, bool end)
{
	struct exchange *x = arg;
	struct http_user *u = x->user;
	size_t n = buf_len(bytes),
	       had = x->body_bytes < sizeof(x->body) ? (size_t)x->body_bytes : sizeof(x->body);

	ASSERT(x->stream == s && !x->ended && !x->in_done && x->head != NULL);
	buf_copy_out(bytes, 0, x->body + had, sizeof(x->body) - had);
	for (size_t at = 0; at < n;) {
		char piece[4096];
		size_t got = buf_copy_out(bytes, at, piece, sizeof(piece));

		x->body_sum = http_support_sum(x->body_sum, piece, got);
		at += got;
	}
	x->body_bytes += n;
	x->held += n;
	ASSERT(x->held <= u->w->limits.stream_window);
	if (end) {
		note_body(x);
		note(u, "%u done\n", x->number);
	}
	if (u->on_body != NULL)
		u->on_body(x);
	if (x->stream == NULL)
		return;
	ssize_t room = 1;
	if (u->echo && stream_out_part(s) == PART_BODY)
		room = stream_send_body(s, bytes, end);
	if (!u->hold && (room > 0 || end))
		exchange_consume(x);
	if (end)
		in_done(x);
}

static void on_trailers(void *arg, struct http_stream *s, struct http_fields *trailers)
{
	struct exchange *x = arg;

	ASSERT(x->stream == s && !x->ended && !x->in_done && x->head != NULL);
	note_body(x);
	note(x->user, "%u trailers\n", x->number);
	note_fields(x->user, trailers);
	in_done(x);
}

static void on_writable(void *arg, struct http_stream *s)
{
	struct exchange *x = arg;

	ASSERT(x->stream == s && !x->ended);
	pump(x);
	if (x->user->echo && !x->user->hold)
		exchange_consume(x);
}

static void on_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct exchange *x = arg;
	struct http_user *u = x->user;

	ASSERT(x->stream == s && !x->ended);
	if (!x->in_done)
		note_body(x);
	note(u, "%u end %s", x->number, reason_info((int)reason)->name);
	if (stream_detail(s).n > 0)
		note(u, " (%.*s)", STR_ARG(stream_detail(s)));
	note(u, "\n");
	x->ended = true;
	x->reason = reason;
	x->stream = NULL;
	if (u->on_end != NULL)
		u->on_end(x);
}

static const struct http_stream_events stream_events = {
	.on_head = on_head,
	.on_body = on_body,
	.on_trailers = on_trailers,
	.on_writable = on_writable,
	.on_end = on_end,
};

static struct exchange *exchange_new(struct http_user *u, struct http_stream *s)
{
	unsigned slot = u->n % (sizeof(u->x) / sizeof(u->x[0]));
	struct exchange *x = calloc(1, sizeof(*x));

	ASSERT(x != NULL && s != NULL);
	if (u->x[slot] != NULL) {
		ASSERT(u->x[slot]->ended);
		free(u->x[slot]);
	}
	x->user = u;
	x->stream = s;
	x->number = ++u->n;
	u->x[slot] = x;
	stream_set_user(s, &stream_events, x);
	return x;
}

/* --- events of the connection --- */

static void on_stream(void *arg, struct http_conn *c, struct http_stream *s)
{
	struct http_user *u = arg;

	ASSERT(u->conn == c || u->conn == NULL);
	exchange_new(u, s);
}

static void on_room(void *arg, struct http_conn *c)
{
	struct http_user *u = arg;

	(void)c;
	ASSERT(!u->ended);
	u->rooms++;
}

static void on_idle(void *arg, struct http_conn *c)
{
	struct http_user *u = arg;

	ASSERT(!u->ended && http_conn_streams(c) == 0);
	u->idles++;
}

static void on_conn_end(void *arg, struct http_conn *c, enum reason reason)
{
	struct http_user *u = arg;
	struct io_info info;

	ASSERT(!u->ended && http_conn_streams(c) == 0);
	for (unsigned i = 0; i < sizeof(u->x) / sizeof(u->x[0]) && u->x[i] != NULL; i++)
		ASSERT(u->x[i]->ended);
	io_info(http_conn_io(c), &info);
	note(u, "conn end %s", reason_info((int)reason)->name);
	if (http_conn_detail(c).n > 0)
		note(u, " (%.*s)", STR_ARG(http_conn_detail(c)));
	note(u, "\n");
	u->ended = true;
	u->reason = reason;
	u->conn = NULL;
}

static const struct http_conn_events conn_events = {
	.on_stream = on_stream,
	.on_room = on_room,
	.on_idle = on_idle,
	.on_end = on_conn_end,
};

/* --- life --- */

void http_user_init(struct http_user *u, struct http_world *w)
{
	*u = (struct http_user){.w = w, .reply_status = 200};
}

void http_user_start(struct http_user *u, struct io *io, enum http_role role,
	enum http_version version)
{
	u->conn =
		http_conn_new(&u->w->env, io, role, version, &u->w->limits, false, &conn_events, u);
}

void http_user_fini(struct http_user *u)
{
	if (u->conn != NULL)
		http_conn_end(u->conn, REASON_INTERNAL);
	http_world_settle(u->w);
	ASSERT(u->ended);
	for (unsigned i = 0; i < sizeof(u->x) / sizeof(u->x[0]); i++)
		free(u->x[i]);
	free(u->log);
}

struct exchange *http_user_open(struct http_user *u, const struct http_head *head, bool end)
{
	struct http_stream *s = u->conn != NULL ? http_conn_open(u->conn) : NULL;

	if (s == NULL)
		return NULL;
	struct exchange *x = exchange_new(u, s);

	stream_send_head(s, head, end);
	return x;
}

struct exchange *http_user_request(struct http_user *u, const char *method, const char *path,
	const char *fields, uint64_t length, bool end)
{
	struct http_head h;
	struct arena arena;

	arena_init(&arena, u->w->arenas);
	http_head_init(&h, HTTP_REQUEST, &arena);
	h.method = str_from(method);
	h.scheme = STR("http");
	h.authority = STR("example.test");
	h.path = str_from(path);
	h.length = end ? 0 : length;
	if (fields != NULL)
		http_support_fields(&h.fields, fields);
	struct exchange *x = http_user_open(u, &h, end);

	arena_clear(&arena);
	return x;
}
