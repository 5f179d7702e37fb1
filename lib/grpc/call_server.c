/*
 * A call in the role of the server: its head, its status as trailers or Trailers-Only, its end.
 * Owns nothing beyond struct grpc_call; made and judged by server.c.
 */
#include <stdarg.h>
#include <stdio.h>

#include "lib/grpc/call_internal.h"
#include "lib/grpc/wire.h"

/* A single request must be whole by then. */
#define REQUEST_NS (60 * NS_PER_S)
/* What was sent up to the status must be taken by then. */
#define LINGER_NS (30 * NS_PER_S)

/* --- what we say --- */

static void add_status(struct grpc_call *c, struct http_fields *fields, enum grpc_status status,
	struct str text)
{
	char number[4];
	int n = snprintf(number, sizeof(number), "%u", (unsigned)status);

	http_fields_add_copy(fields, STR("grpc-status"), str_make(number, (size_t)n));
	if (text.n > 0)
		http_fields_add(fields, STR("grpc-message"), grpc_encode_text(&c->arena, text));
	for (uint32_t i = 0; i < c->trailers.n; i++)
		http_fields_add(fields, c->trailers.v[i].name, c->trailers.v[i].value);
}

static void send_status(struct grpc_call *c, enum grpc_status status, struct str text)
{
	struct http_head head;
	struct http_fields fields;

	if (c->head_out) {
		http_fields_init(&fields, &c->arena);
		add_status(c, &fields, status, text);
		stream_send_trailers(c->stream, &fields);
		return;
	}
	http_head_init(&head, HTTP_RESPONSE, &c->arena);
	head.status = 200;
	head.length = HTTP_LENGTH_UNKNOWN;
	http_fields_add(&head.fields, STR("content-type"), STR("application/grpc"));
	add_status(c, &head.fields, status, text);
	c->head_out = true;
	stream_send_head(c->stream, &head, true);
}

static void after_last_word(struct grpc_call *c)
{
	stream_stop(c->stream);
	loop_timer_start(&c->patience, LINGER_NS);
}

void grpc_call_finish_str(struct grpc_call *c, enum grpc_status status, struct str text)
{
	if (c->over)
		return;
	if (c->stream != NULL) {
		send_status(c, status, text);
		after_last_word(c);
	}
	grpc_call_conclude(c, status, text);
}

void grpc_call_finish(struct grpc_call *c, enum grpc_status status, const char *fmt, ...)
{
	char text[GRPC_TEXT_MAX + 1] = "";
	va_list ap;

	ASSERT(c->server);
	if (fmt != NULL) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
	}
	grpc_call_finish_str(c, status, str_from(text));
}

void grpc_call_add_trailer(struct grpc_call *c, struct str name, struct str value)
{
	ASSERT(c->server);
	http_fields_add_copy(&c->trailers, name, value);
}

void grpc_call_refuse_http(struct grpc_call *c, uint16_t status)
{
	struct http_head head;

	http_head_init(&head, HTTP_RESPONSE, &c->arena);
	head.status = status;
	head.length = 0;
	if (status == 405)
		http_fields_add(&head.fields, STR("allow"), STR("POST"));
	c->head_out = true;
	stream_send_head(c->stream, &head, true);
	after_last_word(c);
	grpc_call_conclude(c, grpc_from_http(status), STR("not a gRPC request"));
}

/* --- events of the stream --- */

static void on_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	struct grpc_call *c = grpc_call_cast(arg);

	(void)s;
	if (c->over)
		return;
	for (uint32_t i = 0; i < head->fields.n; i++)
		http_fields_add_copy(&c->metadata, head->fields.v[i].name, head->fields.v[i].value);
	c->in_end = end;
	c->owner->on_head(c->owner_arg, c, head);
	if (end)
		grpc_call_pump(c);
}

/* Requests have none that mean anything. */
static void on_trailers(void *arg, struct http_stream *s, struct http_fields *trailers)
{
	struct grpc_call *c = grpc_call_cast(arg);

	(void)s;
	(void)trailers;
	c->in_end = true;
	grpc_call_pump(c);
}

static struct str reason_of_end(const struct http_stream *s, enum reason reason)
{
	struct str detail = stream_detail(s);

	return detail.n > 0 ? detail : str_from(reason_info(reason)->text);
}

static void on_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct grpc_call *c = grpc_call_cast(arg);

	grpc_call_conclude(c, grpc_from_reason(reason, true), reason_of_end(s, reason));
	c->stream = NULL;
	grpc_call_settle(c);
}

static const struct http_stream_events server_events = {
	.on_head = on_head,
	.on_body = grpc_call_on_body,
	.on_trailers = on_trailers,
	.on_writable = grpc_call_on_writable,
	.on_end = on_end,
};

void grpc_call_accept(struct grpc_call *c, struct http_stream *s)
{
	c->stream = s;
	stream_set_user(s, &server_events, c);
}

void grpc_call_begin(struct grpc_call *c, bool single, size_t max)
{
	c->single = single;
	if (max > 0)
		c->max_message = max;
	if (single)
		loop_timer_start(&c->patience, REQUEST_NS);
}
