/*
 * One exchange of the small HTTP server: guard, route, bounded body, handler, answer. Lives in
 * its stream's arena and owns two bufs until the stream's on_end. Begun by server.c.
 */
#include <stdio.h>
#include <time.h>

#include "lib/base/obj.h"
#include "lib/http/server_internal.h"

#define CALL_MAGIC 0x6863616cu

/* Owned by its stream (arena). */
struct server_call {
	struct obj_head obj;
	struct http_server *server;
	struct http_stream *stream;
	const struct http_route *route;
	struct http_call call;
	struct io_info info;
	struct http_fields fields;
	struct buf body, out;
	size_t pending; /* our share of server->pending */
	bool answered;
	struct loop_timer deadline;
};

static struct server_call *call_cast(void *arg)
{
	return OBJ_CAST(struct server_call, CALL_MAGIC, arg);
}

/* --- the answer --- */

/* RFC 9110 5.6.7 IMF-fixdate. */
static struct str format_date(struct arena *arena, uint64_t wall_ns)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	return arena_str(arena,
		str_make(text, strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm)));
}

static void make_head(struct server_call *k, struct http_head *head)
{
	struct http_call *call = &k->call;

	http_head_init(head, HTTP_RESPONSE, call->arena);
	head->status = call->status;
	head->length = buf_len(call->out);
	http_fields_add(&head->fields, STR("date"),
		format_date(call->arena, loop_wall(k->server->env.loop)));
	http_fields_add(&head->fields, STR("content-type"), call->content_type);
	http_fields_add(&head->fields, STR("x-content-type-options"), STR("nosniff"));
	for (uint32_t i = 0; i < call->fields->n; i++)
		http_fields_add(&head->fields, call->fields->v[i].name, call->fields->v[i].value);
}

/* Sends what call holds. Once; what still comes of the request is not wanted. */
static void send_answer(struct server_call *k)
{
	struct http_head head;
	bool no_body = str_eq(k->call.head->method, STR("HEAD")) || buf_len(k->call.out) == 0;

	k->answered = true;
	make_head(k, &head);
	loop_timer_start(&k->deadline, HTTP_SERVER_CALL_NS);
	stream_send_head(k->stream, &head, no_body);
	if (!no_body) {
		k->pending = buf_len(k->call.out);
		k->server->pending += k->pending;
		stream_send_body(k->stream, k->call.out, true);
	}
	buf_clear(&k->body);
	buf_clear(&k->out);
	if (stream_in_part(k->stream) != PART_DONE)
		stream_stop(k->stream);
}

static void send_refusal(struct server_call *k, uint16_t status, const char *why)
{
	buf_clear(k->call.out);
	k->call.status = status;
	k->call.content_type = STR("text/plain; charset=utf-8");
	buf_printf(k->call.out, "%s\n", why);
	send_answer(k);
}

static void run_handler(struct server_call *k)
{
	struct http_server *s = k->server;

	if (s->closing)
		send_refusal(k, 503, "this server is closing");
	else if (s->pending > HTTP_SERVER_PENDING)
		send_refusal(k, 503, "too many answers wait for their readers");
	else {
		k->route->fn(s->cfg.arg, &k->call);
		send_answer(k);
	}
}

/* --- the request --- */

static const struct http_route *find_route(const struct http_server *s, struct str path)
{
	for (const struct http_route *r = s->cfg.routes; r->path != NULL; r++)
		if (str_eq(str_from(r->path), path))
			return r;
	return NULL;
}

static bool has_method(const struct http_route *route, struct str method)
{
	struct str rest = str_from(route->methods), piece;

	while (str_split(&rest, ',', &piece))
		if (str_eq(str_trim(piece), method))
			return true;
	return false;
}

/* 0, or the status of a refusal with *why set. */
static uint16_t check_request(struct server_call *k, const struct http_head *head, const char **why)
{
	const struct http_server *s = k->server;
	int status;

	if (s->closing) {
		*why = "this server is closing";
		return 503;
	}
	status = s->cfg.guard != NULL ? s->cfg.guard(s->cfg.arg, head, &k->info, why) : 0;
	if (status != 0)
		return (uint16_t)status;
	k->route = find_route(s, k->call.path);
	*why = "no such path";
	if (k->route == NULL)
		return 404;
	if (!has_method(k->route, head->method)) {
		http_fields_add(k->call.fields, STR("allow"), str_from(k->route->methods));
		*why = "this method is not allowed here";
		return 405;
	}
	*why = "the request has a larger body than is accepted here";
	if (head->length != HTTP_LENGTH_UNKNOWN && head->length > k->route->max_body)
		return 413;
	return 0;
}

static void send_continue(struct server_call *k)
{
	struct http_head head;

	http_head_init(&head, HTTP_RESPONSE, k->call.arena);
	head.status = 100;
	stream_send_head(k->stream, &head, false);
}

static void set_head(struct server_call *k, const struct http_head *head)
{
	struct str rest = head->path;

	k->call.head = head;
	str_split(&rest, '?', &k->call.path);
	k->call.query = rest;
	io_info(http_conn_io(stream_conn(k->stream)), &k->info);
}

static void on_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	struct server_call *k = call_cast(arg);
	const char *why = "";

	(void)s;
	set_head(k, head);
	uint16_t status = check_request(k, head, &why);

	if (status != 0) {
		send_refusal(k, status, why);
		return;
	}
	if (end)
		run_handler(k);
	else if (head->expect_continue)
		send_continue(k);
}

static void on_body(void *arg, struct http_stream *s, struct buf *bytes, bool end)
{
	struct server_call *k = call_cast(arg);
	size_t n = buf_len(bytes);

	stream_consume(s, n);
	if (k->answered)
		return;
	if (k->server->closing) {
		send_refusal(k, 503, "this server is closing");
		return;
	}
	if (n > k->route->max_body - buf_len(&k->body)) {
		send_refusal(k, 413, "the request has a larger body than is accepted here");
		return;
	}
	buf_move_all(&k->body, bytes);
	if (end)
		run_handler(k);
}

static void on_trailers(void *arg, struct http_stream *s, struct http_fields *trailers)
{
	struct server_call *k = call_cast(arg);

	(void)s;
	(void)trailers;
	if (!k->answered)
		run_handler(k);
}

static void on_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct server_call *k = call_cast(arg);

	(void)s;
	(void)reason;
	k->server->pending -= k->pending;
	loop_timer_stop(&k->deadline);
	buf_clear(&k->body);
	buf_clear(&k->out);
	k->obj.magic = 0;
}

static const struct http_stream_events call_events = {
	.on_head = on_head,
	.on_body = on_body,
	.on_trailers = on_trailers,
	.on_end = on_end,
};

/* The request is not complete, or the answer not taken, in its time. */
static void on_deadline(void *arg)
{
	struct server_call *k = call_cast(arg);

	if (k->answered || k->call.head == NULL)
		stream_reset(k->stream, REASON_TIMEOUT);
	else
		send_refusal(k, 408, "the request took too long");
}

void server_call_begin(struct http_server *server, struct http_stream *s)
{
	struct arena *arena = stream_arena(s);
	struct server_call *k = ARENA_NEW(arena, struct server_call);

	k->obj.magic = CALL_MAGIC;
	k->server = server;
	k->stream = s;
	buf_init(&k->body, server->env.bufs);
	buf_init(&k->out, server->env.bufs);
	http_fields_init(&k->fields, arena);
	k->call = (struct http_call){.body = &k->body,
		.info = &k->info,
		.arena = arena,
		.status = 200,
		.content_type = STR("text/plain; charset=utf-8"),
		.fields = &k->fields,
		.out = &k->out};
	loop_timer_init(&k->deadline, server->env.loop, on_deadline, k);
	loop_timer_start(&k->deadline, HTTP_SERVER_CALL_NS);
	stream_set_user(s, &call_events, k);
}
