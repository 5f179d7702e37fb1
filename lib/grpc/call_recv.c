/*
 * A call, bytes in: messages cut out of a body whatever its pieces are, and handed over whole. Owns
 * nothing beyond struct grpc_call; called by the HTTP stream for both roles.
 *
 * A server hands over only while its own queue has room, so that nobody makes it answer more than
 * he reads.
 */
#include "lib/base/alloc.h"
#include "lib/grpc/call_internal.h"
#include "lib/grpc/wire.h"

void grpc_call_refuse(struct grpc_call *c, enum grpc_status status, const char *text)
{
	if (c->server)
		grpc_call_finish_str(c, status, str_from(text));
	else
		grpc_call_abandon(c, status, text);
}

static void consume(struct grpc_call *c)
{
	size_t n = c->unconsumed;

	c->unconsumed = 0;
	if (c->stream != NULL)
		stream_consume(c->stream, n);
}

/* --- one message --- */

static void refuse_compressed(struct grpc_call *c)
{
	if (c->server)
		grpc_call_add_trailer(c, STR("grpc-accept-encoding"), STR("identity"));
	grpc_call_refuse(c, GRPC_UNIMPLEMENTED, "compressed messages are not supported");
}

/* The whole length of the first message in rx, or 0: not known yet, or refused. */
static size_t first_length(struct grpc_call *c)
{
	uint8_t head[GRPC_PREFIX];

	if (buf_copy_out(&c->rx, 0, head, sizeof(head)) < sizeof(head))
		return 0;
	size_t n = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];

	if (head[0] == 1)
		refuse_compressed(c);
	else if (head[0] != 0)
		grpc_call_refuse(c, GRPC_INTERNAL, "malformed message prefix");
	else if (n > c->max_message)
		grpc_call_refuse(c, GRPC_RESOURCE_EXHAUSTED, "a message exceeds the limit");
	return c->over ? 0 : sizeof(head) + n;
}

/* The user may end the call meanwhile, so the bytes are kept apart. */
static void hand_over(struct grpc_call *c, size_t n)
{
	struct buf one;
	char *flat = NULL;

	buf_init(&one, c->env.bufs);
	buf_consume(&c->rx, GRPC_PREFIX);
	buf_move(&one, &c->rx, n);
	struct str bytes = buf_peek(&one);

	if (bytes.n < n) {
		flat = mem_alloc(n);
		buf_copy_out(&one, 0, flat, n);
		bytes = str_make(flat, n);
	}
	if (bytes.n == 0)
		bytes = STR("");
	if (c->ev != NULL)
		c->ev->on_message(c->arg, c, bytes);
	mem_free(flat);
	buf_clear(&one);
}

/* --- what has come so far --- */

static void half_close(struct grpc_call *c)
{
	if (c->over || !c->in_end || c->half_closed)
		return;
	if (buf_len(&c->rx) > 0) {
		grpc_call_refuse(c, GRPC_INTERNAL, "the stream ended inside a message");
		return;
	}
	c->half_closed = true;
	loop_timer_stop(&c->patience);
	if (c->server && c->ev != NULL && c->ev->on_half_close != NULL)
		c->ev->on_half_close(c->arg, c);
}

/* statuscodes.md: a wrong number of requests is UNIMPLEMENTED. */
static void pump_single(struct grpc_call *c)
{
	size_t n = first_length(c);

	if (c->over)
		return;
	if (n != 0 && buf_len(&c->rx) > n)
		grpc_call_refuse(c, GRPC_UNIMPLEMENTED, "more than one request message");
	else if (c->in_end && buf_len(&c->rx) == 0)
		grpc_call_refuse(c, GRPC_UNIMPLEMENTED, "no request message");
	if (c->over || !c->in_end || n == 0 || buf_len(&c->rx) != n)
		return;
	c->single = false; /* what comes now is the end alone */
	hand_over(c, n - GRPC_PREFIX);
}

static void pump_many(struct grpc_call *c)
{
	size_t n;

	while (!c->over && !c->paused && (n = first_length(c)) != 0 && buf_len(&c->rx) >= n) {
		if (c->server && c->stream != NULL && stream_room(c->stream) <= 0)
			return;
		hand_over(c, n - GRPC_PREFIX);
	}
}

/* Messages wait for room. */
static bool is_held(struct grpc_call *c)
{
	return !c->single && buf_len(&c->rx) >= GRPC_PREFIX && !c->over && c->server &&
		c->stream != NULL && stream_room(c->stream) <= 0;
}

static void hand_over_all(struct grpc_call *c)
{
	if (c->over || c->half_closed || c->paused)
		return;
	if (c->single)
		pump_single(c);
	else
		pump_many(c);
	if (c->paused || is_held(c))
		return;
	consume(c);
	half_close(c);
}

void grpc_call_account(struct grpc_call *c)
{
	size_t now = buf_len(&c->rx);
	ssize_t delta = (ssize_t)now - (ssize_t)c->counted_rx;

	c->counted_rx = now;
	if (delta == 0 || c->owner->on_buffered == NULL)
		return;
	if (!c->owner->on_buffered(c->owner_arg, c, delta))
		grpc_call_refuse(c, GRPC_RESOURCE_EXHAUSTED,
			"too much of unfinished requests is waiting");
}

void grpc_call_pump(struct grpc_call *c)
{
	hand_over_all(c);
	grpc_call_account(c);
}

/* --- events of the stream --- */

void grpc_call_on_body(void *arg, struct http_stream *s, struct buf *bytes, bool end)
{
	struct grpc_call *c = grpc_call_cast(arg);

	if (c->over) {
		stream_consume(s, buf_len(bytes));
		return;
	}
	c->unconsumed += buf_len(bytes);
	buf_move_all(&c->rx, bytes);
	c->in_end = c->in_end || end;
	grpc_call_pump(c);
	if (end && !c->server)
		grpc_call_close_client(c, NULL);
}

/* What the user owes the peer's messages comes before what it has to say by itself. */
void grpc_call_on_writable(void *arg, struct http_stream *s)
{
	struct grpc_call *c = grpc_call_cast(arg);

	if (c->over)
		return;
	if (c->server)
		grpc_call_pump(c);
	if (c->over || !c->wants_room || stream_room(s) <= 0)
		return;
	c->wants_room = false;
	if (c->ev != NULL && c->ev->on_writable != NULL)
		c->ev->on_writable(c->arg, c);
}
