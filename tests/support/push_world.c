/*
 * Discovery over a simulated network: the server with its store, and clients that answer. The test
 * owns world and clients; fuzzers link this too, so it asserts by itself.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "tests/support/push_world.h"
#include "tests/support/worlds.h"

#define TURNS 1000000
#define PIPE (256 * 1024)

/* --- the server --- */

static void on_log(void *arg, struct str line)
{
	struct push_world *w = arg;
	if (w->n_logged + line.n >= sizeof(w->logged))
		return;
	memcpy(w->logged + w->n_logged, line.p, line.n);
	w->n_logged += line.n;
}

void push_world_init(struct push_world *w)
{
	char err[256];
	*w = (struct push_world){.dir = "/tmp/weft-push-XXXXXX"};
	ASSERT(mkdtemp(w->dir) != NULL);
	w->max_conns = 20000;
	snprintf(w->file, sizeof(w->file), "%s/position", w->dir);
	w->loop = loop_new_sim(WORLDS_NOW * NS_PER_S);
	w->log = log_new_sink(on_log, w, LOG_INFO, LOG_TEXT, loop_clock(w->loop));
	w->bufs = buf_pool_new(1 << 20);
	w->arenas = arena_pool_new(256);
	w->env = (struct http_env){.loop = w->loop, .bufs = w->bufs, .arenas = w->arenas};
	w->net = net_new_sim(w->loop, w->bufs, PIPE);
	ASSERT(store_new(w->loop, w->log, w->file, &w->store, err, sizeof(err)) == 0);
	ASSERT(addr_parse(STR("10.255.0.1:15012"), &w->at) == 0);
	w->cfg = (struct push_config){.loop = w->loop,
		.log = w->log,
		.store = w->store,
		.attest = (struct attest *)(void *)w->store,
		.max_streams = 10000,
		.admit_rate = 10000,
		.admit_burst = 10000,
		.max_waiting = 10000,
		.max_keys = 16384,
		.answer_ns = 30 * NS_PER_S};
}

static void start(struct push_world *w)
{
	char err[256];
	struct addr bound;
	const struct grpc_server_config cfg = {.log = w->log, .max_conns = w->max_conns};
	const struct listen_config listen = {.addr = w->at};
	w->metrics = metrics_new(1000, 1);
	w->cfg.metrics = w->metrics;
	w->server = grpc_server_new(&w->env, w->net, &cfg);
	w->push = push_new(w->server, &w->cfg);
	ASSERT(grpc_server_listen(w->server, &listen, &bound, err, sizeof(err)) == 0);
}

static void stop(struct push_world *w)
{
	grpc_server_close(&w->server);
	push_free(&w->push);
	push_world_settle(w);
	metrics_free(&w->metrics);
}

void push_world_open(struct push_world *w, const char *yaml)
{
	start(w);
	if (yaml != NULL)
		push_world_set(w, yaml);
}

void push_world_set(struct push_world *w, const char *yaml)
{
	struct world *read = world_new();
	world_add(read, "f.yaml", str_from(yaml));
	world_join(read);
	if (store_catalog(w->store) == NULL) {
		const struct compile_bundle bundle = {world_trust_domain(read), STR("roots")};
		store_set_bundles(w->store, &bundle, 1);
	}
	store_set_world(w->store, read, true);
	ASSERT(store_catalog(w->store) != NULL);
}

void push_world_restart(struct push_world *w)
{
	stop(w);
	start(w);
}

void push_world_close(struct push_world *w)
{
	stop(w);
	store_free(&w->store);
	net_free(&w->net);
	push_world_settle(w);
	arena_pool_free(&w->arenas);
	buf_pool_free(&w->bufs);
	log_free(&w->log);
	loop_free(&w->loop);
	unlink(w->file);
	rmdir(w->dir);
}

void push_world_settle(struct push_world *w)
{
	ASSERT(loop_sim_settle(w->loop, TURNS) < TURNS);
}

/* --- questions --- */

static char *flat(struct buf *b)
{
	size_t n = buf_len(b);
	char *text = mem_alloc(n + 1);
	buf_copy_out(b, 0, text, n);
	buf_clear(b);
	return text;
}

uint64_t push_world_metric(struct push_world *w, const char *name)
{
	struct buf b;
	buf_init(&b, w->bufs);
	metrics_render(w->metrics, &b);
	char *text = flat(&b), *line = text;
	size_t n = strlen(name);
	while (line != NULL && !(strncmp(line, name, n) == 0 && line[n] == ' ')) {
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	ASSERT(line != NULL);
	uint64_t v = strtoull(line + n, NULL, 10);
	mem_free(text);
	return v;
}

char *push_world_describe(struct push_world *w, const char *only)
{
	struct buf b;
	struct json j;
	buf_init(&b, w->bufs);
	json_init(&j, &b, false);
	push_describe(w->push, &j, str_from(only));
	return flat(&b);
}

char *push_world_position(struct push_world *w, int by)
{
	struct str all = store_position(w->store), id;
	uint64_t number;
	ASSERT(str_split(&all, ':', &id));
	ASSERT(str_to_u64(all, UINT64_MAX, &number) == 0);
	return mem_printf("%.*s:%llu", STR_ARG(id), (unsigned long long)(number + (uint64_t)by));
}

/* --- clients --- */

/* One dial; lives until it is done or cancelled. */
struct dialling {
	struct dial *dial;
	grpc_dialled_fn *done;
	void *arg;
};

static void on_dialled(void *arg, struct io *io, int err)
{
	struct dialling *d = arg;
	grpc_dialled_fn *done = d->done;
	void *done_arg = d->arg;
	mem_free(d);
	done(done_arg, io, err, err != 0 ? err_text(err) : "");
}

static void *dialler_start(void *arg, grpc_dialled_fn *done, void *done_arg)
{
	struct push_world *w = arg;
	struct dialling *d = MEM_NEW(struct dialling);
	const struct dial_config cfg = {.to = w->at};
	*d = (struct dialling){.done = done, .arg = done_arg};
	d->dial = dial_start(w->net, &cfg, on_dialled, d);
	return d;
}

static void dialler_cancel(void *arg, void *handle)
{
	struct dialling *d = handle;
	(void)arg;
	dial_cancel(&d->dial);
	mem_free(d);
}

void push_client_ack(struct push_client *c)
{
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	m.response_nonce = c->nonce;
	push_client_send(c, &m);
}

static void on_message(void *arg, struct grpc_call *call, struct str bytes)
{
	struct push_client *c = arg;
	(void)call;
	Weft__Mesh__V1__DiscoveryResponse *m =
		weft__mesh__v1__discovery_response__unpack(NULL, bytes.n, (const uint8_t *)bytes.p);
	ASSERT(m != NULL);
	c->responses++;
	c->resources += m->n_resources;
	c->bytes += bytes.n;
	if (c->on_response != NULL)
		c->on_response(c, m);
	if (!c->mute)
		text_say_response(&c->got, m);
	snprintf(c->nonce, sizeof(c->nonce), "%s", m->nonce);
	weft__mesh__v1__discovery_response__free_unpacked(m, NULL);
	if (!c->silent)
		push_client_ack(c);
}

static void on_end(void *arg, struct grpc_call *call, const struct grpc_end *end)
{
	struct push_client *c = arg;
	(void)call;
	c->call = NULL;
	c->ended = true;
	c->status = end->status;
	snprintf(c->message, sizeof(c->message), "%.*s", STR_ARG(end->message));
}

static const struct grpc_call_events client_events = {.on_message = on_message, .on_end = on_end};

void push_client_open(struct push_client *c, struct push_world *w, const char *pod)
{
	char bearer[256];
	const struct grpc_channel_config cfg = {
		.dialler = {dialler_start, dialler_cancel, w}, .authority = "ctrlplane"};
	snprintf(bearer, sizeof(bearer), "Bearer %s", pod != NULL ? pod : "");
	const struct grpc_metadatum credential = {
		.name = STR("authorization"), .value = str_from(bearer), .secret = true};
	const struct grpc_call_config call = {.path = "/weft.mesh.v1.Discovery/Stream",
		.metadata = &credential,
		.n_metadata = pod != NULL ? 1 : 0};
	*c = (struct push_client){.w = w};
	c->channel = grpc_channel_new(&w->env, &cfg);
	c->call = grpc_channel_call(c->channel, &call, &client_events, c);
}

void push_client_send(struct push_client *c, const Weft__Mesh__V1__DiscoveryRequest *m)
{
	if (c->call != NULL)
		grpc_call_send(c->call, &m->base);
}

#define KEYS_MAX 64

/* n keys of the text; all memory in the arena. */
static Weft__Mesh__V1__Key **keys_of(struct arena *a, const char *text, size_t *n)
{
	Weft__Mesh__V1__Key **all = arena_alloc(a, KEYS_MAX * sizeof(*all));
	struct str rest = str_from(text), one;
	*n = 0;
	while (text[0] != '\0' && str_split(&rest, ' ', &one)) {
		ASSERT(*n < KEYS_MAX);
		all[*n] = ARENA_NEW(a, Weft__Mesh__V1__Key);
		*all[(*n)++] = text_key(arena_strdup(a, one), arena_alloc(a, 16));
	}
	return all;
}

void push_client_subscribe(struct push_client *c, const char *keys)
{
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	struct arena a;
	arena_init(&a, NULL);
	m.subscribe = keys_of(&a, keys, &m.n_subscribe);
	push_client_send(c, &m);
	arena_clear(&a);
}

void push_client_unsubscribe(struct push_client *c, const char *keys)
{
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	struct arena a;
	arena_init(&a, NULL);
	m.unsubscribe = keys_of(&a, keys, &m.n_unsubscribe);
	push_client_send(c, &m);
	arena_clear(&a);
}

void push_client_start(struct push_client *c, struct push_world *w, const char *pod,
	const char *keys)
{
	push_client_open(c, w, pod);
	push_client_subscribe(c, keys);
	push_world_settle(w);
}

void push_client_close(struct push_client *c)
{
	grpc_call_drop(&c->call);
	grpc_channel_free(&c->channel);
	push_world_settle(c->w);
}
