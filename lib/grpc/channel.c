/*
 * A gRPC client's connection: dialled when a call needs it, replaced when the server says GOAWAY,
 * and the calls that wait for it. Owns struct grpc_channel and its links; made by whoever talks to
 * one server.
 */
#include "lib/grpc/channel.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/grpc/call_internal.h"

#define CHANNEL_MAGIC 0x67726368u
#define LINK_MAGIC 0x67726c6bu
#define KEEPALIVE_NS (30 * NS_PER_S)
#define KEEPALIVE_WAIT_NS (10 * NS_PER_S)
#define FAILURE_TEXT 256

/* One connection. Owned by the channel until its on_end; outlives a channel that is freed. */
struct grpc_link {
	struct obj_head obj;
	struct list_node node;
	struct grpc_channel *channel; /* NULL: freed */
	struct loop *loop;
	struct http_conn *conn;
	bool used; /* some call went over it */
};

/* Owned by its maker. */
struct grpc_channel {
	struct obj_head obj;
	struct http_env env;
	struct grpc_dialler dialler;
	char *authority;
	struct http_limits limits;
	struct list waiting, calls; /* without and with a stream */
	struct list links;          /* the current one, and those that only finish */
	struct grpc_link *current;
	bool dialling;
	void *dial;
	struct loop_task work;
	char failure[FAILURE_TEXT];
};

static struct grpc_channel *channel_cast(void *arg)
{
	return OBJ_CAST(struct grpc_channel, CHANNEL_MAGIC, arg);
}

static struct grpc_link *link_cast(void *arg)
{
	return OBJ_CAST(struct grpc_link, LINK_MAGIC, arg);
}

static void free_memory(void *ptr)
{
	mem_free(ptr);
}

static void set_failure(struct grpc_channel *ch, const char *text, struct str detail)
{
	snprintf(ch->failure, sizeof(ch->failure), "%s%s%.*s", text, detail.n > 0 ? ": " : "",
		STR_ARG(detail));
}

/* Their on_end comes later, in this turn. */
static void give_up(struct list *calls, const char *text)
{
	LIST_EACH(calls, n)
	{
		grpc_call_abandon(CONTAINER_OF(n, struct grpc_call, node), GRPC_UNAVAILABLE, text);
	}
}

/* --- the connection --- */

/* A connection that carried nothing is not tried again by itself: whoever waits decides. */
static void leave_link(struct grpc_channel *ch, struct grpc_link *link)
{
	if (ch->current != link)
		return;
	ch->current = NULL;
	if (!link->used)
		give_up(&ch->waiting,
			ch->failure[0] != '\0' ? ch->failure : "the server takes no calls");
	loop_defer(&ch->work);
}

static void on_room(void *arg, struct http_conn *conn)
{
	struct grpc_link *link = link_cast(arg);

	if (link->channel == NULL)
		return;
	if (http_conn_draining(conn))
		leave_link(link->channel, link);
	loop_defer(&link->channel->work);
}

static void on_conn_end(void *arg, struct http_conn *conn, enum reason reason)
{
	struct grpc_link *link = link_cast(arg);
	struct grpc_channel *ch = link->channel;

	if (ch != NULL) {
		if (reason != REASON_OK)
			set_failure(ch, reason_info(reason)->text, http_conn_detail(conn));
		leave_link(ch, link);
	}
	list_remove(&link->node);
	link->obj.magic = 0;
	loop_defer_free(link->loop, link, free_memory);
}

static const struct http_conn_events link_events = {
	.on_room = on_room,
	.on_end = on_conn_end,
};

static void on_dialled(void *arg, struct io *io, int err, const char *text)
{
	struct grpc_channel *ch = channel_cast(arg);

	ch->dialling = false;
	ch->dial = NULL;
	if (io == NULL) {
		set_failure(ch, text != NULL ? text : err_text(err), STR_NULL);
		give_up(&ch->waiting, ch->failure);
		return;
	}
	struct grpc_link *link = MEM_NEW(struct grpc_link);

	ch->failure[0] = '\0';
	link->obj.magic = LINK_MAGIC;
	link->channel = ch;
	link->loop = ch->env.loop;
	list_append(&ch->links, &link->node);
	ch->current = link;
	link->conn = http_conn_new(&ch->env, io, HTTP_CLIENT, HTTP_V2, &ch->limits, false,
		&link_events, link);
	loop_defer(&ch->work);
}

/* --- calls and the connection --- */

/* The first that has not been given up: those leave the list when their end is told. */
static struct grpc_call *first_waiting(const struct grpc_channel *ch)
{
	LIST_EACH(&ch->waiting, n)
	{
		struct grpc_call *c = CONTAINER_OF(n, struct grpc_call, node);

		if (!c->over)
			return c;
	}
	return NULL;
}

static void on_work(void *arg)
{
	struct grpc_channel *ch = channel_cast(arg);
	struct grpc_call *c;

	if (ch->current != NULL && http_conn_draining(ch->current->conn))
		leave_link(ch, ch->current);
	while ((c = first_waiting(ch)) != NULL && ch->current != NULL &&
		http_conn_room(ch->current->conn) > 0) {
		list_remove(&c->node);
		list_append(&ch->calls, &c->node);
		ch->current->used = true;
		grpc_call_open(c, ch->current->conn);
	}
	if (c == NULL || ch->current != NULL || ch->dialling)
		return;
	ch->dialling = true;
	ch->dial = ch->dialler.start(ch->dialler.arg, on_dialled, ch);
}

static void on_call_over(void *owner, struct grpc_call *c)
{
	(void)owner;
	list_remove(&c->node);
}

static const struct grpc_call_owner call_owner = {.on_over = on_call_over};

struct grpc_call *grpc_channel_call(struct grpc_channel *ch, const struct grpc_call_config *cfg,
	const struct grpc_call_events *ev, void *arg)
{
	struct grpc_call *c = grpc_call_new(&ch->env, false, &call_owner, ch);
	uint64_t at;

	grpc_call_set_user(c, ev, arg);
	c->path = arena_str(&c->arena, str_from(cfg->path));
	c->authority = arena_str(&c->arena, str_from(ch->authority));
	c->room = ch->limits.send_high;
	if (cfg->max_message > 0)
		c->max_message = cfg->max_message;
	for (size_t i = 0; i < cfg->n_metadata; i++) {
		http_fields_add_copy(&c->metadata, cfg->metadata[i].name, cfg->metadata[i].value);
		c->metadata.v[i].never_index = cfg->metadata[i].secret;
	}
	if (cfg->timeout_ns > 0 &&
		!__builtin_add_overflow(loop_now(ch->env.loop), cfg->timeout_ns, &at))
		grpc_call_set_deadline(c, at);
	list_append(&ch->waiting, &c->node);
	loop_defer(&ch->work);
	return c;
}

/* --- life --- */

struct grpc_channel *grpc_channel_new(const struct http_env *env,
	const struct grpc_channel_config *cfg)
{
	struct grpc_channel *ch = MEM_NEW(struct grpc_channel);

	ch->obj.magic = CHANNEL_MAGIC;
	ch->env = *env;
	ch->dialler = cfg->dialler;
	ch->authority = mem_strdup(cfg->authority);
	ch->limits = http_limits_default();
	/* Streams may be silent for as long as they like; PINGs ask whether the server lives. */
	ch->limits.stream_idle_timeout = 0;
	ch->limits.ping_interval = cfg->keepalive_ns > 0 ? cfg->keepalive_ns : KEEPALIVE_NS;
	ch->limits.ping_timeout =
		cfg->keepalive_wait_ns > 0 ? cfg->keepalive_wait_ns : KEEPALIVE_WAIT_NS;
	list_init(&ch->waiting);
	list_init(&ch->calls);
	list_init(&ch->links);
	loop_task_init(&ch->work, env->loop, on_work, ch);
	return ch;
}

static void cancel_dial(struct grpc_channel *ch)
{
	if (ch->dialling)
		ch->dialler.cancel(ch->dialler.arg, ch->dial);
	ch->dialling = false;
	ch->dial = NULL;
}

static void end_links(struct grpc_channel *ch)
{
	ch->current = NULL;
	LIST_EACH(&ch->links, n)
	{
		struct grpc_link *link = CONTAINER_OF(n, struct grpc_link, node);

		http_conn_end(link->conn, REASON_OK);
	}
}

void grpc_channel_reset(struct grpc_channel *ch)
{
	cancel_dial(ch);
	give_up(&ch->waiting, "the connection was given up");
	give_up(&ch->calls, "the connection was given up");
	end_links(ch);
}

static void drop_calls(struct list *calls)
{
	struct list_node *n;

	while ((n = list_first(calls)) != NULL) {
		struct grpc_call *c = CONTAINER_OF(n, struct grpc_call, node);

		grpc_call_drop(&c);
	}
}

static void channel_burn(void *ptr)
{
	struct grpc_channel *ch = channel_cast(ptr);

	mem_free(ch->authority);
	ch->obj.magic = 0;
	mem_free(ch);
}

void grpc_channel_free(struct grpc_channel **channel)
{
	struct grpc_channel *ch = *channel;

	if (ch == NULL)
		return;
	*channel = NULL;
	cancel_dial(ch);
	drop_calls(&ch->waiting);
	drop_calls(&ch->calls);
	end_links(ch);
	LIST_EACH(&ch->links, n)
	{
		CONTAINER_OF(n, struct grpc_link, node)->channel = NULL;
		list_remove(n);
	}
	loop_task_cancel(&ch->work);
	loop_defer_free(ch->env.loop, ch, channel_burn);
}

struct str grpc_channel_failure(const struct grpc_channel *ch)
{
	return str_from(ch->failure);
}

bool grpc_channel_connected(const struct grpc_channel *ch)
{
	return ch->current != NULL && http_conn_settled(ch->current->conn) &&
		!http_conn_draining(ch->current->conn);
}
