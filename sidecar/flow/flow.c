/*
 * The shared state of both flows: made from environment and parameters, given one snapshot after
 * the other, drained and ended. Owns pools, TLS contexts and balance state; proxy.c owns it.
 */
#include "sidecar/flow/flow.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/process.h"
#include "sidecar/flow/raw.h"
#include "sidecar/flow/request.h"

#define SERVICE_KEY_MAX 512
#define SWEEP_LEAST 256

/* -- balance state
 * --------------------------------------------------------------------------------------------- */

/* An endpoint is the same across snapshots by its pod UID, else by its address. */
static struct str load_key(const struct mesh_endpoint *ep)
{
	if (ep->uid.n > 0)
		return ep->uid;
	return addr_key(ep->v4.family != ADDR_NONE ? &ep->v4 : &ep->v6);
}

struct balance_load *flow_load(void *flow, const struct mesh_endpoint *ep)
{
	struct flow *f = flow;
	struct str key = load_key(ep);
	struct balance_load *load = map_get(f->loads, key);
	if (load == NULL) {
		load = MEM_NEW(struct balance_load);
		map_put(f->loads, key, load);
	}
	return load;
}

static struct str service_key(const struct mesh_service *svc, char dst[SERVICE_KEY_MAX])
{
	int n = snprintf(dst, SERVICE_KEY_MAX, "%.*s/%.*s", STR_ARG(svc->ns), STR_ARG(svc->name));
	return str_make(dst, (size_t)n < SERVICE_KEY_MAX ? (size_t)n : SERVICE_KEY_MAX - 1);
}

struct balance_state *flow_service_state(struct flow *f, const struct mesh_service *svc)
{
	char text[SERVICE_KEY_MAX];
	struct str k = service_key(svc, text);
	struct balance_state *s = map_get(f->services, k);
	if (s == NULL) {
		s = MEM_NEW(struct balance_state);
		map_put(f->services, k, s);
	}
	return s;
}

/* Endpoints that no longer exist and carry nothing give their state back. Not at each change: who
 * comes back finds what was known of him, and a walk through all is for many. */
static void sweep_loads(struct flow *f, const struct snapshot *snap)
{
	struct map *keep = map_new(1);
	struct map_entry *cursor = NULL;
	struct str key;
	void *value;
	for (size_t i = 0; i < snap->n_services; i++)
		for (size_t j = 0; j < snap->services[i].n_endpoints; j++)
			map_put(keep, load_key(&snap->services[i].endpoints[j]), f);
	for (size_t i = 0; i < snap->n_pods; i++)
		map_put(keep, load_key(&snap->pods[i].endpoint), f);
	while (map_next(f->loads, &cursor, &key, &value)) {
		struct balance_load *load = value;
		if (load->in_flight == 0 && map_get(keep, key) == NULL) {
			map_remove(f->loads, key);
			mem_free(load);
		}
	}
	map_free(&keep);
}

/* The same for services. */
static void sweep_services(struct flow *f, const struct snapshot *snap)
{
	struct map *keep = map_new(1);
	struct map_entry *cursor = NULL;
	char text[SERVICE_KEY_MAX];
	struct str key;
	void *value;
	for (size_t i = 0; i < snap->n_services; i++)
		map_put(keep, service_key(&snap->services[i], text), f);
	while (map_next(f->services, &cursor, &key, &value))
		if (map_get(keep, key) == NULL) {
			map_remove(f->services, key);
			mem_free(value);
		}
	map_free(&keep);
}

static void sweep(struct flow *f, const struct snapshot *snap)
{
	if (map_count(f->loads) + map_count(f->services) < f->sweep_at)
		return;
	sweep_loads(f, snap);
	sweep_services(f, snap);
	f->sweep_at = SWEEP_LEAST + 2 * (map_count(f->loads) + map_count(f->services));
}

static void free_values(struct map **m)
{
	struct map_entry *cursor = NULL;
	struct str key;
	void *value;
	while (map_next(*m, &cursor, &key, &value))
		mem_free(value);
	map_free(m);
}

/* -- life
 * --------------------------------------------------------------------------------------------------------
 */

static struct http_limits limits_from(const struct sidecar_params *p)
{
	struct http_limits l = http_limits_default();
	l.header_bytes = p->header_bytes;
	l.header_count = p->header_count;
	l.target_bytes = p->target_bytes;
	l.stream_window = p->stream_window;
	l.conn_window = p->conn_window;
	l.max_streams = (uint32_t)p->max_streams;
	l.header_timeout = p->header_timeout;
	l.idle_timeout = p->idle_timeout;
	l.stream_idle_timeout = p->stream_idle_timeout;
	return l;
}

/* A handshake that began under another identity and bundle is judged by those of now. */
static enum cert_verdict judge_upstream(void *arg, const struct cert_chain *chain,
	const struct tls_ctx *ctx)
{
	const struct flow *f = arg;
	return flow_judge_chain(f, chain, ctx == f->client_ctx ? f->generation : 0, true);
}

static void init_connect(struct flow *f)
{
	const struct sidecar_params *p = f->params;
	f->connect = (struct connect_env){.net = f->env.net,
		.bufs = f->env.http.bufs,
		.self = inbound_accept_self,
		.self_arg = f,
		.judge = judge_upstream,
		.judge_arg = f,
		.connect_timeout_ns = p->connect_timeout,
		.tls_timeout_ns = p->handshake_timeout,
		.user_timeout_ms = (int)(p->user_timeout / NS_PER_MS),
		.mark = f->env.mark};
}

struct flow *flow_new(const struct flow_env *env, const struct sidecar_params *params,
	struct metrics *metrics, struct log *access_log)
{
	struct flow *f = MEM_NEW(struct flow);
	struct pool_limits bounds = {.max_conns = (uint32_t)params->pool_conns,
		.max_waiting = (uint32_t)params->pool_waiting,
		.max_pools = (uint32_t)params->pool_endpoints,
		.idle_ns = params->pool_idle,
		.wait_ns = params->pool_wait};
	f->env = *env;
	f->params = params;
	f->down_limits = f->up_limits = limits_from(params);
	f->max_conns =
		params->max_connections > 0 ? params->max_connections : process_max_files() / 2;
	list_init(&f->conns);
	list_init(&f->free_requests);
	list_init(&f->starved);
	loop_timer_init(&f->starved_timer, env->http.loop, forward_on_starved, f);
	loop_timer_init(&f->quiet, env->http.loop, flow_on_quiet, f);
	loop_task_init(&f->judge, env->http.loop, flow_on_judge, f);
	lookup_init(f, metrics);
	init_connect(f);
	f->pools = pools_new(&env->http, &f->connect, &f->up_limits, &bounds, rng_next(env->rng));
	f->telemetry = telemetry_new(metrics, access_log);
	f->learned = learned_new(rng_next(env->rng));
	f->loads = map_new(rng_next(env->rng));
	f->services = map_new(rng_next(env->rng));
	f->sweep_at = SWEEP_LEAST;
	return f;
}

void flow_free(struct flow **fp)
{
	struct flow *f = *fp;
	if (f == NULL)
		return;
	*fp = NULL;
	ASSERT(list_empty(&f->conns));
	loop_timer_stop(&f->starved_timer);
	loop_timer_stop(&f->quiet);
	loop_task_cancel(&f->judge);
	lookup_fini(f);
	flow_free_requests(f);
	pools_free(&f->pools);
	telemetry_free(&f->telemetry);
	learned_free(&f->learned);
	free_values(&f->loads);
	free_values(&f->services);
	tls_ctx_unref(&f->server_ctx);
	tls_ctx_unref(&f->client_ctx);
	snapshot_unref(&f->snap);
	mem_free(f);
}

bool flow_stale(const struct flow *f)
{
	uint64_t age = f->params->max_stale;
	int64_t now = (int64_t)(loop_wall(f->env.http.loop) / NS_PER_S);
	return age > 0 && f->snap != NULL && now - f->snap->written_at > (int64_t)(age / NS_PER_S);
}

bool flow_expired(const struct flow *f)
{
	return f->snap != NULL &&
		(int64_t)(loop_wall(f->env.http.loop) / NS_PER_S) >
		cert_chain_leaf(f->snap->chain)->not_after;
}

/* -- configuration
 * -----------------------------------------------------------------------------------------------
 */

static int make_ctx(struct flow *f, const struct snapshot *snap, enum tls_role role,
	struct tls_ctx **out, char *err, size_t size)
{
	struct tls_ctx_config cfg = {.role = role,
		.chain = snap->chain,
		.key = snap->key,
		.bundle = snap->bundle,
		.alpn = inbound_alpn(),
		.clock = loop_clock(f->env.http.loop)};
	return tls_ctx_new(&cfg, out, err, size);
}

static bool same_chain(const struct snapshot *a, const struct snapshot *b)
{
	return str_eq(cert_chain_der(a->chain), cert_chain_der(b->chain));
}

static bool same_bundle(const struct snapshot *a, const struct snapshot *b)
{
	return strcmp(cert_bundle_epoch(a->bundle), cert_bundle_epoch(b->bundle)) == 0;
}

static bool same_rules(const struct snapshot *a, const struct snapshot *b)
{
	return memcmp(a->rules, b->rules, sizeof(a->rules)) == 0;
}

/* Handshakes and connections that run keep the old contexts; new ones are made under the new
 * identity. */
static int set_identity(struct flow *f, const struct snapshot *snap, char *err, size_t size)
{
	struct tls_ctx *server, *client;
	int e = make_ctx(f, snap, TLS_SERVER, &server, err, size);
	if (e != 0)
		return e;
	e = make_ctx(f, snap, TLS_CLIENT, &client, err, size);
	if (e != 0) {
		tls_ctx_unref(&server);
		return e;
	}
	tls_ctx_unref(&f->server_ctx);
	tls_ctx_unref(&f->client_ctx);
	f->server_ctx = server;
	f->client_ctx = client;
	pools_retire(f->pools, f->client_ctx);
	return 0;
}

int flow_set_snapshot(struct flow *f, struct snapshot *snap, char *err, size_t size)
{
	struct snapshot *old = f->snap;
	bool bundle = old == NULL || !same_bundle(old, snap);
	if (bundle || !same_chain(old, snap)) {
		int e = set_identity(f, snap, err, size);
		if (e != 0)
			return e;
	}
	f->snap = snapshot_ref(snap);
	f->generation++;
	if (bundle)
		f->trust_generation = f->generation;
	if (bundle || !same_rules(old, snap))
		f->rules_generation = f->generation;
	if (old != NULL) {
		loop_defer(&f->judge);
		lookup_again(f);
		sweep(f, snap);
		snapshot_unref(&old);
	}
	return 0;
}

/* -- drain
 * ---------------------------------------------------------------------------------------------------------
 */

void flow_drain(struct flow *f, flow_idle_fn *on_idle, void *arg)
{
	f->on_idle = on_idle;
	f->on_idle_arg = arg;
	if (f->draining)
		return;
	f->draining = true;
	LIST_EACH(&f->conns, n)
	{
		struct conn *c = CONTAINER_OF(n, struct conn, node);
		/* What the application itself calls goes on until it ends: it may need it to
		 * finish. */
		if (c->http != NULL && c->direction == SPAN_INBOUND)
			http_conn_drain(c->http);
	}
}

void flow_end(struct flow *f)
{
	LIST_EACH(&f->conns, n)
	{
		struct conn *c = CONTAINER_OF(n, struct conn, node);
		if (c->http != NULL)
			http_conn_end(c->http, REASON_DRAINING);
		else if (c->relay != NULL)
			tcp_abort(c, REASON_DRAINING, NULL);
		else
			conn_end(c, REASON_DRAINING, NULL, true);
	}
	pools_end(f->pools);
}
