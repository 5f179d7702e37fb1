/*
 * A call in the role of the client: its head, the server's answer, and what stands for a status
 * where none came. Owns nothing beyond struct grpc_call; opened by channel.c when there is room on
 * a connection.
 */
#include "lib/base/process.h"
#include "lib/grpc/call_internal.h"
#include "lib/grpc/wire.h"

/* --- ending --- */

static void conclude_local(struct grpc_call *c, enum grpc_status status, struct str text,
	bool unprocessed)
{
	if (c->over)
		return;
	c->end.local = true;
	c->end.unprocessed = unprocessed;
	grpc_call_conclude(c, status, text);
}

void grpc_call_abandon(struct grpc_call *c, enum grpc_status status, const char *text)
{
	if (c->over)
		return;
	conclude_local(c, status, str_from(text), c->stream == NULL);
	if (c->stream != NULL)
		stream_reset(c->stream, REASON_CANCELLED);
}

void grpc_call_cancel(struct grpc_call *c)
{
	ASSERT(!c->server);
	grpc_call_abandon(c, GRPC_CANCELLED, "cancelled");
}

/* The server answered; what we still had to say, nobody wants. */
static void conclude_answered(struct grpc_call *c, enum grpc_status status, struct str text)
{
	grpc_call_conclude(c, status, text);
	if (c->stream != NULL && stream_out_part(c->stream) != PART_DONE)
		stream_reset(c->stream, REASON_CANCELLED);
}

void grpc_call_close_client(struct grpc_call *c, const struct http_fields *fields)
{
	struct str status = STR_NULL, text = STR_NULL;

	if (c->over)
		return;
	if (fields != NULL) {
		status = http_fields_get(fields, STR("grpc-status"));
		text = http_fields_get(fields, STR("grpc-message"));
	}
	if (status.p == NULL) {
		conclude_answered(c, GRPC_UNKNOWN, STR("the answer has no grpc-status"));
		return;
	}
	for (uint32_t i = 0; i < fields->n; i++)
		http_fields_add_copy(&c->trailers, fields->v[i].name, fields->v[i].value);
	c->end.trailers = &c->trailers;
	conclude_answered(c, grpc_parse_status(status), grpc_decode_text(&c->arena, text));
}

/* --- events of the stream --- */

/* False: it is no gRPC. */
static bool head_is_grpc(struct grpc_call *c, const struct http_head *head, bool end)
{
	if (end && http_fields_has(&head->fields, STR("grpc-status")))
		return true;
	if (head->status != 200) {
		conclude_answered(c, grpc_from_http(head->status),
			arena_printf(&c->arena, "HTTP status %u", head->status));
		return false;
	}
	if (!grpc_is_content_type(http_fields_get(&head->fields, STR("content-type")))) {
		conclude_answered(c, GRPC_UNKNOWN, STR("the answer is not gRPC"));
		return false;
	}
	return true;
}

static void on_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	struct grpc_call *c = grpc_call_cast(arg);

	if (c->over || head->status / 100 == 1)
		return;
	if (!head_is_grpc(c, head, end)) {
		if (!end)
			stream_reset(s, REASON_CANCELLED);
		return;
	}
	if (end) {
		c->in_end = true;
		grpc_call_close_client(c, &head->fields);
	} else if (c->ev != NULL && c->ev->on_open != NULL) {
		c->ev->on_open(c->arg, c, &head->fields);
	}
}

static void on_trailers(void *arg, struct http_stream *s, struct http_fields *trailers)
{
	struct grpc_call *c = grpc_call_cast(arg);

	(void)s;
	if (c->over)
		return;
	c->in_end = true;
	/* Of a message that was cut off nothing is left but what the status says of it. */
	if (str_eq(http_fields_get(trailers, STR("grpc-status")), STR("0")))
		grpc_call_pump(c);
	grpc_call_close_client(c, trailers);
}

static void on_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct grpc_call *c = grpc_call_cast(arg);
	struct str detail = stream_detail(s);
	enum grpc_status status = grpc_from_reason(reason, false);
	uint32_t code;

	if (stream_was_reset(s, &code))
		status = grpc_from_h2(code);
	conclude_local(c, status, detail.n > 0 ? detail : str_from(reason_info(reason)->text),
		reason == REASON_NOT_PROCESSED);
	c->stream = NULL;
	grpc_call_settle(c);
}

static const struct http_stream_events client_events = {
	.on_head = on_head,
	.on_body = grpc_call_on_body,
	.on_trailers = on_trailers,
	.on_writable = grpc_call_on_writable,
	.on_end = on_end,
};

/* --- the request --- */

static void add_timeout(struct grpc_call *c, struct http_fields *fields)
{
	uint64_t now = loop_now(c->env.loop);
	char text[GRPC_TIMEOUT_TEXT];

	if (c->deadline == 0)
		return;
	grpc_format_timeout(c->deadline > now ? c->deadline - now : 1, text);
	http_fields_add_copy(fields, STR("grpc-timeout"), str_from(text));
}

static void send_request_head(struct grpc_call *c, struct http_conn *conn)
{
	struct io_info info;
	struct http_head head;

	io_info(http_conn_io(conn), &info);
	http_head_init(&head, HTTP_REQUEST, &c->arena);
	head.method = STR("POST");
	head.scheme = info.tls ? STR("https") : STR("http");
	head.authority = c->authority;
	head.path = c->path;
	head.te_trailers = true;
	head.length = HTTP_LENGTH_UNKNOWN;
	add_timeout(c, &head.fields);
	http_fields_add(&head.fields, STR("content-type"), STR("application/grpc"));
	http_fields_add(&head.fields, STR("user-agent"),
		arena_printf(&c->arena, "weft/%s", process_version()));
	for (uint32_t i = 0; i < c->metadata.n; i++) {
		http_fields_add(&head.fields, c->metadata.v[i].name, c->metadata.v[i].value);
		head.fields.v[head.fields.n - 1].never_index = c->metadata.v[i].never_index;
	}
	c->head_out = true;
	stream_send_head(c->stream, &head, false);
}

void grpc_call_open(struct grpc_call *c, struct http_conn *conn)
{
	struct http_stream *s = http_conn_open(conn);

	ASSERT(s != NULL);
	c->stream = s;
	stream_set_user(s, &client_events, c);
	send_request_head(c, conn);
	if (buf_len(&c->tx) > 0 || c->closing) {
		ssize_t room = stream_send_body(s, &c->tx, c->closing);

		if (room <= 0)
			return;
	}
	if (c->wants_room)
		loop_defer(&c->room_task);
}

void grpc_call_close_send(struct grpc_call *c)
{
	struct buf none;

	ASSERT(!c->server);
	if (c->over || c->closing)
		return;
	c->closing = true;
	c->wants_room = false;
	if (c->stream == NULL)
		return;
	buf_init(&none, c->env.bufs);
	stream_send_body(c->stream, &none, true);
}
