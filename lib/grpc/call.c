/*
 * A call's life and what its user does with it, the same for client and server. Owns struct
 * grpc_call; made by server.c and channel.c, ended by whoever learns of the end first, told once.
 */
#include "lib/base/alloc.h"
#include "lib/grpc/call_internal.h"
#include "lib/grpc/wire.h"

struct grpc_call *grpc_call_cast(void *arg)
{
	return OBJ_CAST(struct grpc_call, GRPC_CALL_MAGIC, arg);
}

/* --- life --- */

static void call_free(void *ptr)
{
	struct grpc_call *c = grpc_call_cast(ptr);
	struct arena arena = c->arena;

	buf_clear(&c->rx);
	buf_clear(&c->tx);
	c->obj.magic = 0;
	arena_clear(&arena);
}

void grpc_call_settle(struct grpc_call *c)
{
	if (!c->told || c->stream != NULL)
		return;
	loop_timer_stop(&c->deadline_timer);
	loop_timer_stop(&c->patience);
	loop_task_cancel(&c->end_task);
	loop_task_cancel(&c->room_task);
	loop_task_cancel(&c->resume_task);
	loop_defer_free(c->env.loop, c, call_free);
}

/* No one hears of the call any more but its stream. */
static void call_close(struct grpc_call *c)
{
	c->told = true;
	loop_task_cancel(&c->end_task);
	c->owner->on_over(c->owner_arg, c);
}

void grpc_call_tell(struct grpc_call *c)
{
	if (!c->over || c->told)
		return;
	call_close(c);
	if (c->ev != NULL)
		c->ev->on_end(c->arg, c, &c->end);
	c->ev = NULL;
	grpc_call_settle(c);
}

static void on_end_task(void *arg)
{
	grpc_call_tell(grpc_call_cast(arg));
}

static void on_room_task(void *arg)
{
	struct grpc_call *c = grpc_call_cast(arg);

	if (c->over || !c->wants_room)
		return;
	c->wants_room = false;
	if (c->ev != NULL && c->ev->on_writable != NULL)
		c->ev->on_writable(c->arg, c);
}

static void on_resume_task(void *arg)
{
	grpc_call_pump(grpc_call_cast(arg));
}

static void on_deadline(void *arg)
{
	struct grpc_call *c = grpc_call_cast(arg);

	if (c->over)
		return;
	if (c->server)
		grpc_call_finish_str(c, GRPC_DEADLINE_EXCEEDED, STR("the deadline has passed"));
	else
		grpc_call_abandon(c, GRPC_DEADLINE_EXCEEDED, "no answer before the deadline");
}

/*
 * Server: a single request has not come whole in time, or a client takes nothing of the answer that
 * it was given.
 */
static void on_patience(void *arg)
{
	struct grpc_call *c = grpc_call_cast(arg);

	if (!c->over)
		grpc_call_finish_str(c, GRPC_DEADLINE_EXCEEDED,
			STR("the request did not come in time"));
	else if (c->stream != NULL)
		stream_reset(c->stream, REASON_TIMEOUT);
}

struct grpc_call *grpc_call_new(const struct http_env *env, bool server,
	const struct grpc_call_owner *owner, void *owner_arg)
{
	struct arena arena;

	arena_init(&arena, env->arenas);
	struct grpc_call *c = ARENA_NEW(&arena, struct grpc_call);

	c->obj.magic = GRPC_CALL_MAGIC;
	c->arena = arena;
	c->env = *env;
	c->server = server;
	c->owner = owner;
	c->owner_arg = owner_arg;
	c->max_message = GRPC_MESSAGE_BYTES;
	list_node_init(&c->node);
	buf_init(&c->rx, env->bufs);
	buf_init(&c->tx, env->bufs);
	http_fields_init(&c->metadata, &c->arena);
	http_fields_init(&c->trailers, &c->arena);
	loop_timer_init(&c->deadline_timer, env->loop, on_deadline, c);
	loop_timer_init(&c->patience, env->loop, on_patience, c);
	loop_task_init(&c->end_task, env->loop, on_end_task, c);
	loop_task_init(&c->room_task, env->loop, on_room_task, c);
	loop_task_init(&c->resume_task, env->loop, on_resume_task, c);
	return c;
}

void grpc_call_set_deadline(struct grpc_call *c, uint64_t at)
{
	c->deadline = at;
	if (at != 0)
		loop_timer_at(&c->deadline_timer, at);
}

void grpc_call_conclude(struct grpc_call *c, enum grpc_status status, struct str text)
{
	if (c->over)
		return;
	if (c->vouched)
		c->owner->on_vouched(c->owner_arg, c, false);
	c->vouched = false;
	c->over = true;
	c->end.status = status;
	c->end.message = arena_str(&c->arena, text);
	loop_timer_stop(&c->deadline_timer);
	loop_task_cancel(&c->room_task);
	loop_task_cancel(&c->resume_task);
	buf_clear(&c->rx);
	buf_clear(&c->tx);
	grpc_call_account(c);
	loop_defer(&c->end_task);
}

void grpc_call_drop(struct grpc_call **call)
{
	struct grpc_call *c = *call;

	if (c == NULL)
		return;
	*call = NULL;
	grpc_call_cast(c)->ev = NULL;
	if (c->told)
		return;
	if (c->server)
		grpc_call_finish_str(c, GRPC_CANCELLED, STR("the server gave the call up"));
	else
		grpc_call_abandon(c, GRPC_CANCELLED, "given up");
	call_close(c);
	grpc_call_settle(c);
}

/* --- questions --- */

void grpc_call_set_user(struct grpc_call *c, const struct grpc_call_events *ev, void *arg)
{
	c->ev = ev;
	c->arg = arg;
}

struct arena *grpc_call_arena(struct grpc_call *c)
{
	return &c->arena;
}

const struct http_fields *grpc_call_metadata(const struct grpc_call *c)
{
	return &c->metadata;
}

/* RFC 6750 2.1: token68. */
static bool is_token68(struct str s)
{
	size_t n = 0;

	while (n < s.n &&
		((s.p[n] >= 'a' && s.p[n] <= 'z') || (s.p[n] >= 'A' && s.p[n] <= 'Z') ||
			(s.p[n] >= '0' && s.p[n] <= '9') || strchr("-._~+/", s.p[n]) != NULL))
		n++;
	if (n == 0)
		return false;
	while (n < s.n && s.p[n] == '=')
		n++;
	return n == s.n;
}

struct str grpc_call_bearer(const struct grpc_call *c)
{
	struct str name = STR("authorization");
	struct str value = http_fields_get(&c->metadata, name);

	if (http_fields_count(&c->metadata, name) != 1 || !str_starts_nocase(value, STR("Bearer ")))
		return STR_NULL;
	value = str_trim(str_sub(value, 7, value.n));
	return is_token68(value) ? value : STR_NULL;
}

void grpc_call_info(const struct grpc_call *c, struct io_info *info)
{
	*info = (struct io_info){0};
	if (c->stream != NULL)
		io_info(http_conn_io(stream_conn(c->stream)), info);
}

void grpc_call_vouch(struct grpc_call *c)
{
	ASSERT(c->server);
	if (c->over || c->vouched || c->stream == NULL)
		return;
	c->vouched = true;
	c->owner->on_vouched(c->owner_arg, c, true);
}

uint64_t grpc_call_deadline(const struct grpc_call *c)
{
	return c->deadline;
}

size_t grpc_call_queued(const struct grpc_call *c)
{
	return buf_len(&c->tx) + (c->stream != NULL ? stream_queued(c->stream) : 0);
}

/* --- receiving, which is call_recv.c's --- */

void grpc_call_pause(struct grpc_call *c)
{
	c->paused = true;
	loop_task_cancel(&c->resume_task);
}

void grpc_call_resume(struct grpc_call *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	if (!c->over)
		loop_defer(&c->resume_task);
}

/* --- sending --- */

static void send_response_head(struct grpc_call *c)
{
	struct http_head head;

	if (c->head_out)
		return;
	c->head_out = true;
	http_head_init(&head, HTTP_RESPONSE, &c->arena);
	head.status = 200;
	head.length = HTTP_LENGTH_UNKNOWN;
	http_fields_add(&head.fields, STR("content-type"), STR("application/grpc"));
	stream_send_head(c->stream, &head, false);
}

/* One message with its prefix is in bytes. */
static ssize_t call_send(struct grpc_call *c, struct buf *bytes)
{
	ssize_t room;

	if (c->stream == NULL) {
		buf_move_all(&c->tx, bytes);
		room = (ssize_t)c->room - (ssize_t)buf_len(&c->tx);
	} else {
		if (c->server)
			send_response_head(c);
		room = stream_send_body(c->stream, bytes, false);
	}
	c->wants_room = c->wants_room || room <= 0;
	return room;
}

static bool may_send(const struct grpc_call *c)
{
	return !c->over && !c->closing && (!c->server || c->stream != NULL);
}

static void put_prefix(struct buf *out, size_t n)
{
	const uint8_t prefix[GRPC_PREFIX] = {
		0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	ASSERT(n <= UINT32_MAX);
	buf_append(out, prefix, sizeof(prefix));
}

ssize_t grpc_call_send(struct grpc_call *c, const ProtobufCMessage *m)
{
	struct buf bytes;
	size_t n;

	if (!may_send(c))
		return 0;
	n = protobuf_c_message_get_packed_size(m);
	buf_init(&bytes, c->env.bufs);
	put_prefix(&bytes, n);
	ASSERT(grpc_pack(&bytes, m) == n);
	return call_send(c, &bytes);
}

ssize_t grpc_call_send_bytes(struct grpc_call *c, struct str data)
{
	struct buf bytes;

	if (!may_send(c))
		return 0;
	buf_init(&bytes, c->env.bufs);
	put_prefix(&bytes, data.n);
	buf_append_str(&bytes, data);
	return call_send(c, &bytes);
}
