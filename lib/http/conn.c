/*
 * The gate, connection side: making an HTTP connection, its timers, and the one way in which it
 * ends. Owns struct http_conn; codecs end it by http_conn_fail, users by http_conn_end or
 * http_conn_drain. Bytes move in conn_io.c.
 */
#include "lib/base/alloc.h"
#include "lib/http/gate.h"

static struct http_conn *conn_cast(void *arg)
{
	return OBJ_CAST(struct http_conn, HTTP_CONN_MAGIC, arg);
}

void http_timer_set(struct loop_timer *t, uint64_t ns)
{
	if (ns > 0)
		loop_timer_start(t, ns);
	else
		loop_timer_stop(t);
}

void http_conn_count_stream(struct http_conn *c, int delta)
{
	c->n_streams = delta > 0 ? c->n_streams + 1 : c->n_streams - 1;
	if (c->state != HTTP_CONN_OPEN || c->n_streams > 0)
		loop_timer_stop(&c->idle_timer);
	else
		http_timer_set(&c->idle_timer, c->limits.idle_timeout);
}

/* --- ending --- */

static void conn_free(void *ptr)
{
	struct http_conn *c = conn_cast(ptr);

	c->codec->fini(c);
	buf_clear(&c->in);
	buf_clear(&c->out);
	c->obj.magic = 0;
	mem_free(c);
}

static void conn_end_streams(struct http_conn *c)
{
	LIST_EACH(&c->streams, n)
	http_up_end(CONTAINER_OF(n, struct http_stream, node), c->reason, c->detail);
}

static void conn_on_end_task(void *arg)
{
	struct http_conn *c = conn_cast(arg);
	struct list_node *n;

	while ((n = list_first(&c->streams)) != NULL)
		http_stream_deliver_end(CONTAINER_OF(n, struct http_stream, node));
	loop_task_cancel(&c->flush_task);
	loop_task_cancel(&c->read_task);
	loop_task_cancel(&c->room_task);
	/* The user may still ask the io who the peer was. */
	if (c->ev->on_end != NULL)
		c->ev->on_end(c->arg, c, c->reason);
	io_close(&c->io, c->reset_on_close);
	loop_defer_free(c->env.loop, c, conn_free);
}

void http_conn_finish(struct http_conn *c)
{
	if (c->state == HTTP_CONN_ENDED)
		return;
	c->state = HTTP_CONN_ENDED;
	http_conn_want(c);
	conn_end_streams(c);
	loop_timer_stop(&c->idle_timer);
	loop_timer_stop(&c->header_timer);
	loop_timer_stop(&c->flush_timer);
	loop_defer(&c->end_task);
}

void http_conn_fail(struct http_conn *c, enum reason reason, const char *detail, bool reset)
{
	bool first = c->state == HTTP_CONN_OPEN;

	if (c->state == HTTP_CONN_ENDED)
		return;
	if (first) {
		c->state = HTTP_CONN_FLUSHING;
		c->reason = reason;
		c->detail = detail;
		loop_timer_stop(&c->idle_timer);
		loop_timer_stop(&c->header_timer);
		conn_end_streams(c);
		http_conn_want(c);
	}
	if (reset || c->write_failed) {
		c->reset_on_close = reset;
		http_conn_finish(c);
	} else if (first) {
		http_conn_kick(c);
	}
}

void http_conn_end(struct http_conn *c, enum reason reason)
{
	http_conn_fail(c, reason, NULL, reason != REASON_OK);
	http_conn_finish(c);
}

enum reason http_conn_fault(const struct http_conn *c)
{
	return c->role == HTTP_SERVER ? REASON_PROTOCOL : REASON_UPSTREAM_PROTOCOL;
}

/* --- timers --- */

static void conn_on_idle(void *arg)
{
	http_conn_fail(conn_cast(arg), REASON_IDLE_TIMEOUT, "idle connection", false);
}

static void conn_on_header_timeout(void *arg)
{
	struct http_conn *c = conn_cast(arg);
	const char *detail = "the head did not come in time";

	if (c->codec->version == HTTP_V2) {
		/* A header block that is not finished blocks every other stream. */
		http_conn_fail(c, REASON_HEADER_TIMEOUT, detail, false);
		return;
	}
	LIST_EACH(&c->streams, n)
	{
		struct http_stream *s = CONTAINER_OF(n, struct http_stream, node);

		if (s->in == PART_HEAD)
			http_up_fail(s, REASON_HEADER_TIMEOUT, detail);
	}
}

/* --- users and codecs --- */

static void conn_on_room_task(void *arg)
{
	struct http_conn *c = conn_cast(arg);

	if (c->state == HTTP_CONN_OPEN && c->ev->on_room != NULL)
		c->ev->on_room(c->arg, c);
}

struct http_conn *http_conn_new(const struct http_env *env, struct io *io, enum http_role role,
	enum http_version version, const struct http_limits *limits, bool trusted,
	const struct http_conn_events *ev, void *arg)
{
	struct http_conn *c = MEM_NEW(struct http_conn);

	c->obj.magic = HTTP_CONN_MAGIC;
	c->env = *env;
	c->io = io;
	c->role = role;
	c->codec = version == HTTP_V2 ? &http_codec_h2 : &http_codec_h1;
	c->limits = *limits;
	c->trusted = trusted;
	c->ev = ev;
	c->arg = arg;
	list_init(&c->streams);
	buf_init(&c->in, env->bufs);
	buf_init(&c->out, env->bufs);
	loop_task_init(&c->flush_task, env->loop, http_conn_on_flush, c);
	loop_task_init(&c->read_task, env->loop, http_conn_on_read_again, c);
	loop_task_init(&c->room_task, env->loop, conn_on_room_task, c);
	loop_task_init(&c->end_task, env->loop, conn_on_end_task, c);
	loop_timer_init(&c->idle_timer, env->loop, conn_on_idle, c);
	loop_timer_init(&c->flush_timer, env->loop, http_conn_on_flush_timeout, c);
	loop_timer_init(&c->header_timer, env->loop, conn_on_header_timeout, c);
	http_timer_set(&c->idle_timer, c->limits.idle_timeout);
	c->codec->init(c);
	io_set_user(io, http_conn_on_io, c);
	http_conn_want(c);
	http_conn_kick(c);
	return c;
}

uint32_t http_conn_room(const struct http_conn *c)
{
	if (c->state != HTTP_CONN_OPEN || c->draining || c->eof || c->write_failed)
		return 0;
	return c->codec->room(c);
}

struct http_stream *http_conn_open(struct http_conn *c)
{
	if (http_conn_room(c) == 0)
		return NULL;
	struct http_stream *s = http_stream_new(c, 0);
	c->codec->open(s);
	return s;
}

void http_conn_drain(struct http_conn *c)
{
	if (c->draining || c->state != HTTP_CONN_OPEN)
		return;
	c->draining = true;
	c->codec->drain(c);
	http_conn_kick(c);
}

void http_conn_kick(struct http_conn *c)
{
	if (c->state <= HTTP_CONN_FLUSHING)
		loop_flush(&c->flush_task);
}

void http_up_room(struct http_conn *c)
{
	if (c->state == HTTP_CONN_OPEN)
		loop_defer(&c->room_task);
}

enum http_version http_conn_version(const struct http_conn *c)
{
	return c->codec->version;
}

struct io *http_conn_io(const struct http_conn *c)
{
	return c->io;
}

size_t http_conn_streams(const struct http_conn *c)
{
	return c->n_streams;
}

bool http_conn_draining(const struct http_conn *c)
{
	return c->draining || c->state != HTTP_CONN_OPEN;
}

bool http_conn_can_upgrade(const struct http_conn *c)
{
	return c->state == HTTP_CONN_OPEN && c->codec->can_upgrade(c);
}

bool http_conn_settled(const struct http_conn *c)
{
	return c->state == HTTP_CONN_OPEN && c->codec->settled(c);
}

void *http_conn_user(const struct http_conn *c)
{
	return c->arg;
}

struct str http_conn_detail(const struct http_conn *c)
{
	return str_from(c->detail);
}
