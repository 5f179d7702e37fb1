/*
 * Answers in our own name: from a reason to a response, once. HTTP gets the row's status with a
 * line of text, gRPC a Trailers-Only 200 with the row's gRPC status.
 */
#include "sidecar/flow/request.h"

static void add_grpc_status(struct request *r, const struct reason_info *info,
	struct http_fields *fields)
{
	http_fields_add(fields, STR("grpc-status"),
		arena_printf(fields->arena, "%u", info->grpc_status));
	http_fields_add(fields, STR("grpc-message"),
		arena_printf(fields->arena, "weft: %s (%s)", info->text, info->label));
	r->span.grpc_status = info->grpc_status;
}

static void reply_grpc(struct request *r, const struct reason_info *info, struct http_head *head)
{
	head->status = 200;
	http_fields_add(&head->fields, STR("content-type"), STR("application/grpc"));
	add_grpc_status(r, info, &head->fields);
	r->span.status = 200;
	stream_send_head(r->down, head, true);
}

static void reply_text(struct request *r, const struct reason_info *info, struct http_head *head)
{
	struct buf body;
	head->status = info->http_status != 0 ? info->http_status : 503;
	r->span.status = head->status;
	buf_init(&body, r->flow->env.http.bufs);
	buf_printf(&body, "weft: %s (%s)\n", info->text, info->label);
	head->length = buf_len(&body);
	http_fields_add(&head->fields, STR("content-type"), STR("text/plain; charset=utf-8"));
	if (str_eq(r->span.method, STR("HEAD"))) {
		buf_clear(&body);
		stream_send_head(r->down, head, true);
		return;
	}
	stream_send_head(r->down, head, false);
	stream_send_body(r->down, &body, true);
}

/* Of the request's body no more is wanted. */
static void stop_body(struct request *r)
{
	if (r->body_end || r->stopped)
		return;
	r->stopped = true;
	stream_stop(r->down);
}

void reply_reason(struct request *r, int reason)
{
	const struct reason_info *info = flow_reason(reason);
	struct http_head head;
	http_head_init(&head, HTTP_RESPONSE, stream_arena(r->down));
	http_fields_add(&head.fields, STR("x-weft-reason"), str_from(info->label));
	r->committed = r->response_done = true;
	if (r->grpc)
		reply_grpc(r, info, &head);
	else
		reply_text(r, info, &head);
	stop_body(r);
}

/* A reset would tell a gRPC caller INTERNAL, whatever happened; its messages have lengths of their
 * own, so that trailers make no torn one whole. */
void reply_cut(struct request *r, int reason)
{
	const struct reason_info *info = flow_reason(reason);
	struct http_fields trailers;
	if (!r->grpc_open || r->response_done) {
		stream_reset(r->down,
			reason < REASON_COUNT ? (enum reason)reason : REASON_CANCELLED);
		return;
	}
	http_fields_init(&trailers, stream_arena(r->down));
	http_fields_add(&trailers, STR("x-weft-reason"), str_from(info->label));
	add_grpc_status(r, info, &trailers);
	r->response_done = true;
	stream_send_trailers(r->down, &trailers);
	stop_body(r);
}
