/*
 * One call of Discovery: who calls, when it may begin, what it is sent and when it ends. Owned by
 * itself until on_end; started by the gRPC server, looked at by push.c.
 */
#include <inttypes.h>
#include <stdio.h>

#include "ctrlplane/push/push_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/obj.h"

#define LOOK_BUDGET 64 /* resources and keys per look: some tens of microseconds */
#define TEXT 512

/* One row of end.def. */
struct end_row {
	const char *label, *text;
	enum grpc_status status;
	enum log_level level;
};

static const struct end_row end_rows[] = {
#define PUSH_END(name, label, status, level, text) {label, text, GRPC_##status, level},
#include "ctrlplane/push/end.def"
#undef PUSH_END
};

const char *push_end_label(enum push_end why)
{
	return end_rows[why].label;
}

static struct push_stream *stream_of(void *arg)
{
	return OBJ_CAST(struct push_stream, PUSH_STREAM_MAGIC, arg);
}

/* --- ends --- */

static void stream_destroy(void *ptr)
{
	mem_free(ptr);
}

/* Everything but the object itself and the call. */
static void stream_release(struct push_stream *s)
{
	struct push *p = s->push;
	struct list_node *n;
	stream_set_behind(s, false);
	admit_forget(p, s);
	s->phase = PUSH_ENDED;
	list_append(&p->ended, &s->node);
	loop_timer_stop(&s->timer);
	loop_timer_stop(&s->resume);
	while ((n = list_pop(&s->parked)) != NULL)
		mem_free(CONTAINER_OF(n, struct push_parked, node));
	p->parked_bytes -= s->parked_bytes;
	s->parked_bytes = 0;
	if (s->has_ledger)
		ledger_fini(&s->ledger);
	s->has_ledger = false;
	mem_free(s->version);
	mem_free(s->reported);
	mem_free(s->position);
	mem_free(s->withheld);
	s->version = s->reported = s->position = s->withheld = NULL;
}

void stream_end(struct push_stream *s, enum push_end why, const char *text)
{
	const struct end_row *row = &end_rows[why];
	struct push *p = s->push;
	if (s->phase == PUSH_ENDED)
		return;
	text = text != NULL ? text : row->text;
	if (bucket_take(&p->told, loop_now(p->cfg.loop)))
		log_at(p->cfg.log, row->level, "push", "stream ended", LOG_Z("pod", s->key),
			LOG_Z("reason", row->label), LOG_Z("text", text));
	if (p->ends[why] != NULL)
		metric_add(p->ends[why], 1);
	stream_release(s);
	grpc_call_finish(s->call, row->status, "%s", text);
}

void stream_drop(struct push_stream *s)
{
	if (s->phase != PUSH_ENDED)
		stream_release(s);
	list_remove(&s->node);
	grpc_call_drop(&s->call);
	loop_defer_free(s->push->cfg.loop, s, stream_destroy);
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	(void)c;
	struct push_stream *s = stream_of(arg);
	struct loop *loop = s->push->cfg.loop;
	if (s->phase != PUSH_ENDED) {
		log_at(s->push->cfg.log, LOG_INFO, "push", "stream closed", LOG_Z("pod", s->key),
			LOG_Z("status", grpc_status_name(end->status)));
		stream_release(s);
	}
	list_remove(&s->node);
	loop_defer_free(loop, s, stream_destroy);
}

static void on_timer(void *arg)
{
	struct push_stream *s = stream_of(arg);
	switch (s->phase) {
	case PUSH_WAITING:
		stream_end(s, s->key == NULL ? PUSH_END_NOT_READY : PUSH_END_CROWDED, NULL);
		break;
	case PUSH_OPEN:
		stream_end(s, PUSH_END_SILENT, NULL);
		break;
	case PUSH_LIVE:
		stream_end(s, PUSH_END_UNANSWERED, NULL);
		break;
	case PUSH_ENDED:
		break;
	}
}

/* --- beginning --- */

bool stream_attest(struct push_stream *s)
{
	char err[TEXT] = "";
	struct arena *a = grpc_call_arena(s->call);
	enum grpc_status status =
		attest_call(s->push->cfg.attest, s->call, a, &s->who, err, sizeof(err));
	if (status == GRPC_OK) {
		s->key = (char *)(uintptr_t)arena_printf(a, "%.*s/%.*s", STR_ARG(s->who.ns),
			STR_ARG(s->who.pod))
				 .p;
		grpc_call_vouch(s->call);
		return true;
	}
	enum push_end why = status == GRPC_UNAVAILABLE ? PUSH_END_NOT_READY
		: status == GRPC_PERMISSION_DENIED     ? PUSH_END_DENIED
						       : PUSH_END_CREDENTIAL;
	stream_end(s, why, err[0] != '\0' ? err : NULL);
	return false;
}

void stream_admit(struct push_stream *s)
{
	struct push *p = s->push;
	struct list_node *n;
	const struct ledger_config cfg = {.ns = s->who.ns,
		.pod = s->who.pod,
		.max_keys = p->cfg.max_keys,
		.response_bytes = LEDGER_RESPONSE_BYTES,
		.resource_bytes = LEDGER_MAX_RESOURCE,
		.seed = p->prefix};
	ledger_init(&s->ledger, &cfg);
	s->has_ledger = true;
	loop_timer_start(&s->timer, p->cfg.answer_ns);
	p->parked_bytes -= s->parked_bytes;
	s->parked_bytes = 0;
	while (s->phase != PUSH_ENDED && (n = list_pop(&s->parked)) != NULL) {
		struct push_parked *m = CONTAINER_OF(n, struct push_parked, node);
		request_take(s, str_make(m->bytes, m->n));
		mem_free(m);
	}
	if (s->phase == PUSH_OPEN && s->half_closed)
		stream_end(s, PUSH_END_NO_REQUEST, NULL);
}

/* Until it is admitted: nothing is read but kept, within bounds. */
static void park(struct push_stream *s, struct str bytes)
{
	struct push *p = s->push;
	if (s->parked_bytes + bytes.n > PUSH_MAX_FIRST + PUSH_MAX_REQUEST) {
		stream_end(s, PUSH_END_REQUEST_SIZE, NULL);
		return;
	}
	if (p->parked_bytes + bytes.n > PUSH_MAX_PARKED) {
		stream_end(s, PUSH_END_CROWDED, NULL);
		return;
	}
	struct push_parked *m = mem_alloc(sizeof(*m) + bytes.n);
	m->n = bytes.n;
	if (bytes.n != 0)
		memcpy(m->bytes, bytes.p, bytes.n);
	list_append(&s->parked, &m->node);
	s->parked_bytes += bytes.n;
	p->parked_bytes += bytes.n;
}

static void on_resume(void *arg)
{
	grpc_call_resume(stream_of(arg)->call);
}

/* Who sends faster than the rate is read at the rate: a large request is as much work as many. */
static void slow_down(struct push_stream *s, size_t bytes)
{
	struct push *p = s->push;
	uint64_t now = loop_now(p->cfg.loop);
	bucket_charge(&s->requests, now, 1 + bytes / PUSH_REQUEST_UNIT);
	if (bucket_ready(&s->requests) <= now)
		return;
	grpc_call_pause(s->call);
	loop_timer_at(&s->resume, bucket_ready(&s->requests));
	metric_add(p->slowed, 1);
}

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	(void)c;
	struct push_stream *s = stream_of(arg);
	if (s->phase == PUSH_ENDED)
		return;
	slow_down(s, bytes.n);
	if (s->phase == PUSH_WAITING)
		park(s, bytes);
	else
		request_take(s, bytes);
}

/* A response that is out cannot be answered any more: the stream is done. */
static void on_half_close(void *arg, struct grpc_call *c)
{
	(void)c;
	struct push_stream *s = stream_of(arg);
	s->half_closed = true;
	if (s->phase == PUSH_OPEN)
		stream_end(s, PUSH_END_NO_REQUEST, NULL);
	else if (s->phase == PUSH_LIVE && s->unanswered)
		stream_end(s, PUSH_END_SERVED, NULL);
	else if (s->phase == PUSH_LIVE)
		push_schedule(s->push, s);
}

static void on_writable(void *arg, struct grpc_call *c)
{
	(void)c;
	struct push_stream *s = stream_of(arg);
	s->full = false;
	if (s->phase == PUSH_LIVE && s->due)
		push_schedule(s->push, s);
}

static const struct grpc_call_events events = {
	.on_message = on_message,
	.on_half_close = on_half_close,
	.on_writable = on_writable,
	.on_end = on_end,
};

void stream_on_start(void *arg, struct grpc_call *c)
{
	struct push *p = OBJ_CAST(struct push, PUSH_MAGIC, arg);
	struct push_stream *s = MEM_NEW(struct push_stream);
	*s = (struct push_stream){.obj = {PUSH_STREAM_MAGIC},
		.push = p,
		.call = c,
		.serial = ++p->serial,
		.connected = loop_wall(p->cfg.loop),
		.requests = bucket_make(PUSH_REQUEST_RATE, PUSH_REQUEST_BURST)};
	list_init(&s->parked);
	loop_timer_init(&s->timer, p->cfg.loop, on_timer, s);
	loop_timer_init(&s->resume, p->cfg.loop, on_resume, s);
	grpc_call_set_user(c, &events, s);
	admit_enqueue(p, s);
}

/* --- what it is sent --- */

void stream_set_behind(struct push_stream *s, bool behind)
{
	struct push *p = s->push;
	if (s->behind == behind)
		return;
	s->behind = behind;
	p->n_behind += behind ? 1 : (size_t)-1;
	if (behind)
		log_at(p->cfg.log, LOG_WARN, "push",
			"the sidecar has seen a later position: nothing is sent before it is reached",
			LOG_Z("pod", s->key), LOG_Z("reported", s->reported),
			LOG_S("position", store_position(p->cfg.store)));
}

/* By the catalog and not by what attestation once said. */
static bool pod_is_there(const struct push_stream *s, const struct catalog *c)
{
	const struct kube_pod *pod = catalog_pod(c, s->who.ns, s->who.pod);
	return pod != NULL && str_eq(pod->meta.uid, s->who.uid);
}

static void withhold(struct push_stream *s, const char *why)
{
	if (s->withheld != NULL && strcmp(s->withheld, why) == 0)
		return;
	mem_free(s->withheld);
	s->withheld = mem_strdup(why);
	log_at(s->push->cfg.log, LOG_WARN, "push", "nothing to tell the pod", LOG_Z("pod", s->key),
		LOG_Z("text", why));
}

static void send_response(struct push_stream *s)
{
	struct push *p = s->push;
	snprintf(s->nonce, sizeof(s->nonce), "%08" PRIx32 "-%" PRIx64 "-%" PRIx64,
		(uint32_t)p->prefix, s->serial, ++s->responses);
	struct ledger_taken t = ledger_take(&s->ledger, str_from(s->nonce));
	s->full = grpc_call_send_bytes(s->call, str_make(t.bytes, t.n)) <= 0;
	s->unanswered = true;
	loop_timer_start(&s->timer, p->cfg.answer_ns);
	metric_add(p->responses, 1);
	metric_add(p->resources, t.resources);
	metric_add(p->removals, t.removed);
	log_at(p->cfg.log, LOG_DEBUG, "push", "response", LOG_Z("pod", s->key),
		LOG_Z("nonce", s->nonce), LOG_U("resources", t.resources),
		LOG_U("removed", t.removed), LOG_U("answers", t.answers), LOG_U("bytes", t.n),
		LOG_B("complete", t.complete));
	if (t.complete) {
		mem_free(s->position);
		s->position = t.position;
	}
	s->due = t.more;
	mem_free(t.bytes);
}

static void tell_large(struct push_stream *s)
{
	struct push *p = s->push;
	if (s->ledger.too_large > s->too_large && bucket_take(&p->told, loop_now(p->cfg.loop)))
		log_at(p->cfg.log, LOG_ERROR, "push", "a resource is larger than a message may be",
			LOG_Z("pod", s->key), LOG_Z("resource", s->ledger.large),
			LOG_U("limit", LEDGER_MAX_RESOURCE));
	s->too_large = s->ledger.too_large;
}

/* True where the stream is to be looked at again. */
static bool stream_next(struct push_stream *s, struct catalog *c)
{
	struct push *p = s->push;
	char err[TEXT] = "";
	s->due = false;
	enum ledger_verdict v = ledger_run(&s->ledger, c, store_position(p->cfg.store), LOOK_BUDGET,
		err, sizeof(err));
	if (v == LEDGER_WITHHELD) {
		withhold(s, err);
	} else {
		mem_free(s->withheld);
		s->withheld = NULL;
	}
	if (v == LEDGER_RESPONSE)
		send_response(s);
	tell_large(s);
	return v == LEDGER_MORE;
}

void stream_look(struct push_stream *s)
{
	struct push *p = s->push;
	struct catalog *c = store_catalog(p->cfg.store);
	list_append(&p->idle, &s->node);
	s->asks = false;
	if (c == NULL)
		return;
	if (!pod_is_there(s, c)) {
		stream_end(s, PUSH_END_DENIED, NULL);
		return;
	}
	if (s->phase != PUSH_LIVE)
		return;
	stream_set_behind(s,
		s->reported != NULL &&
			position_compare(store_position(p->cfg.store), str_from(s->reported)) ==
				-1);
	if (s->behind || s->unanswered || s->full) {
		s->due = true;
		return;
	}
	if (stream_next(s, c))
		push_schedule(p, s);
	else if (s->half_closed)
		stream_end(s, s->withheld == NULL ? PUSH_END_SERVED : PUSH_END_NOT_READY,
			s->withheld == NULL ? NULL : "nothing can be told to the pod now");
}
