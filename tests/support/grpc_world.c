/*
 * A gRPC server and channel in memory. Owns what the header says; called by the tests of lib/grpc
 * and of what is served over it.
 */
#include "tests/support/grpc_world.h"

#include "lib/base/alloc.h"

/* --- users --- */

static void on_open(void *arg, struct grpc_call *c, const struct http_fields *metadata)
{
	struct grpc_user *u = arg;

	(void)c;
	assert_true(http_fields_has(metadata, STR("content-type")));
	assert_int_equal(u->messages + u->ends, 0);
	u->opened++;
}

static void answer(struct grpc_user *u)
{
	char *bytes = mem_alloc(u->answer_size + 1);

	memset(bytes, 'a', u->answer_size);
	while (u->answers > 0) {
		u->answers--;
		if (grpc_call_send_bytes(u->call, str_make(bytes, u->answer_size)) <= 0)
			break;
	}
	mem_free(bytes);
	if (u->answers == 0)
		grpc_call_finish(u->call, GRPC_OK, NULL);
}

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	struct grpc_user *u = arg;

	assert_ptr_equal(u->call, c);
	assert_int_equal(u->ends + u->half_closes, 0);
	assert_non_null(bytes.p);
	u->messages++;
	u->bytes += bytes.n;
	snprintf(u->last, sizeof(u->last), "%.*s", STR_ARG(str_sub(bytes, 0, 63)));
	if (u->drop_at_message) {
		grpc_call_drop(&u->call);
		return;
	}
	if (u->echo)
		grpc_call_send_bytes(c, bytes);
	if (u->pause_at_message)
		grpc_call_pause(c);
	if (u->finish_at_message)
		grpc_call_finish(c, GRPC_ABORTED, "enough of %s", u->last);
	else if (u->answers > 0)
		answer(u);
}

static void on_half_close(void *arg, struct grpc_call *c)
{
	struct grpc_user *u = arg;

	u->half_closes++;
	if (u->finish)
		grpc_call_finish(c, GRPC_OK, NULL);
}

static void on_writable(void *arg, struct grpc_call *c)
{
	struct grpc_user *u = arg;

	(void)c;
	u->writables++;
	if (u->answers > 0)
		answer(u);
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	struct grpc_user *u = arg;

	assert_ptr_equal(u->call, c);
	u->call = NULL;
	u->ends++;
	u->status = end->status;
	u->local = end->local;
	u->unprocessed = end->unprocessed;
	u->trailers = end->trailers != NULL;
	snprintf(u->text, sizeof(u->text), "%.*s", STR_ARG(end->message));
	if (u->trailers)
		snprintf(u->trailer, sizeof(u->trailer), "%.*s",
			STR_ARG(http_fields_get(end->trailers, STR("x-trailer"))));
}

static const struct grpc_call_events user_events = {
	.on_open = on_open,
	.on_message = on_message,
	.on_half_close = on_half_close,
	.on_writable = on_writable,
	.on_end = on_end,
};

void grpc_user_expect_end(const struct grpc_user *u, enum grpc_status status, const char *text)
{
	assert_int_equal(u->ends, 1);
	assert_string_equal(grpc_status_name(u->status), grpc_status_name(status));
	if (text != NULL)
		assert_string_equal(u->text, text);
}

ssize_t grpc_user_send(struct grpc_user *u, const char *text)
{
	return grpc_call_send_bytes(u->call, str_from(text));
}

/* --- the service --- */

static void start(void *arg, struct grpc_call *c, const char *method)
{
	struct grpc_world *w = arg;
	struct grpc_user *u = &w->serving[w->n_serving++];

	assert_true(w->n_serving <= GRPC_USERS);
	*u = w->script;
	u->w = w;
	u->call = c;
	u->method = method;
	grpc_call_set_user(c, &user_events, u);
	if (u->vouch)
		grpc_call_vouch(c);
}

static void start_echo(void *arg, struct grpc_call *c)
{
	start(arg, c, "Echo");
}

static void start_sink(void *arg, struct grpc_call *c)
{
	start(arg, c, "Sink");
}

static void start_source(void *arg, struct grpc_call *c)
{
	start(arg, c, "Source");
}

static void start_chat(void *arg, struct grpc_call *c)
{
	start(arg, c, "Chat");
}

static const struct grpc_method methods[] = {
	{.name = "Echo", .start = start_echo, .max_message = 1 << 20},
	{.name = "Sink", .start = start_sink, .client_streams = true, .max_message = 1 << 20},
	{.name = "Source", .start = start_source, .server_streams = true, .max_message = 1 << 20},
	{.name = "Chat",
		.start = start_chat,
		.client_streams = true,
		.server_streams = true,
		.max_message = 1 << 20},
};

/* --- the dialler --- */

static void on_dialled(void *arg, struct io *io, int err)
{
	struct grpc_world *w = arg;

	w->dial = NULL;
	w->dialled(w->dialled_arg, io, err, NULL);
}

static void *dial(void *arg, grpc_dialled_fn *done, void *done_arg)
{
	struct grpc_world *w = arg;
	struct dial_config cfg = {.to = w->addr};

	w->dials++;
	w->dialled = done;
	w->dialled_arg = done_arg;
	w->dial = dial_start(w->rig.net, &cfg, on_dialled, w);
	return w;
}

static void cancel(void *arg, void *handle)
{
	struct grpc_world *w = arg;

	assert_ptr_equal(w, handle);
	dial_cancel(&w->dial);
}

static void on_raw(void *arg, struct io *io, int err)
{
	assert_int_equal(err, 0);
	*(struct io **)arg = io;
}

struct io *grpc_world_dial(struct grpc_world *w)
{
	struct dial_config cfg = {.to = w->addr, .from = w->from};
	struct io *io = NULL;

	dial_start(w->rig.net, &cfg, on_raw, &io);
	grpc_world_settle(w);
	assert_non_null(io);
	return io;
}

/* --- the world --- */

void grpc_world_init(struct grpc_world *w, size_t pipe_capacity)
{
	memset(w, 0, sizeof(*w));
	rig_open(&w->rig, pipe_capacity);
	w->addr = raw_addr("127.0.0.1:15012");
	w->script.echo = true;
	w->script.finish = true;
	w->dialler = (struct grpc_dialler){dial, cancel, w};
	w->service = (struct grpc_service){.name = "test.Bytes",
		.methods = methods,
		.n_methods = sizeof(methods) / sizeof(methods[0]),
		.arg = w};
}

void grpc_world_serve(struct grpc_world *w, const struct grpc_server_config *cfg)
{
	struct listen_config listen = {.addr = w->addr};
	char err[128];

	w->server = grpc_server_new(&w->rig.env, w->rig.net, cfg);
	grpc_server_add(w->server, &w->service);
	assert_int_equal(grpc_server_listen(w->server, &listen, &w->addr, err, sizeof(err)), 0);
}

void grpc_world_connect(struct grpc_world *w)
{
	struct grpc_channel_config cfg = {.dialler = w->dialler, .authority = "localhost"};

	w->channel = grpc_channel_new(&w->rig.env, &cfg);
}

void grpc_world_open(struct grpc_world *w)
{
	struct grpc_server_config cfg = {0};

	grpc_world_init(w, 64 * 1024);
	grpc_world_serve(w, &cfg);
	grpc_world_connect(w);
}

void grpc_world_close(struct grpc_world *w)
{
	grpc_channel_free(&w->channel);
	grpc_server_close(&w->server);
	grpc_world_advance(w, 60 * NS_PER_S);
	rig_close(&w->rig);
}

void grpc_world_settle(struct grpc_world *w)
{
	rig_settle(&w->rig);
}

void grpc_world_advance(struct grpc_world *w, uint64_t ns)
{
	loop_sim_advance(w->rig.loop, ns);
}

struct grpc_user *grpc_world_call_cfg(struct grpc_world *w, const struct grpc_call_config *cfg)
{
	struct grpc_user *u = &w->client[w->n_client++];

	assert_true(w->n_client <= GRPC_USERS);
	u->w = w;
	u->call = grpc_channel_call(w->channel, cfg, &user_events, u);
	return u;
}

struct grpc_user *grpc_world_call(struct grpc_world *w, const char *method, uint64_t timeout_ns)
{
	char path[64];
	struct grpc_call_config cfg = {.path = path, .timeout_ns = timeout_ns};

	snprintf(path, sizeof(path), "/test.Bytes/%s", method);
	return grpc_world_call_cfg(w, &cfg);
}

struct grpc_user *grpc_world_ask(struct grpc_world *w, const char *method, const char *text)
{
	struct grpc_user *u = grpc_world_call(w, method, 0);

	grpc_user_send(u, text);
	grpc_call_close_send(u->call);
	grpc_world_settle(w);
	return u;
}
