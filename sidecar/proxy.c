/*
 * Wires a sidecar together: listeners to flows, the state file to the snapshot in force, endpoints
 * to what they tell. Owns all of it; run.c makes one for real, tests/mem several in memory.
 */
#include "sidecar/proxy_internal.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/process.h"
#include "lib/net/watch.h"
#include "sidecar/admin/dump.h"
#include "sidecar/endpoints.h"
#include "sidecar/snapshot/state.h"

#define MAX_SERIES 2000
#define METRIC_IDLE_NS (3600 * NS_PER_S)
#define HOUSEKEEPING_NS (60 * NS_PER_S)
#define ORPHANS_NS (50 * NS_PER_MS) /* between looks whether the last bytes are out */
#define LAST_SECONDS (2 * NS_PER_S)

/* -- configuration
 * ---------------------------------------------------------------------------------------------- */

int proxy_set_snapshot(struct proxy *p, struct snapshot *snap, char *err, size_t size)
{
	int e = flow_set_snapshot(p->flow, snap, err, size);
	if (e == 0)
		log_at(p->env.log, LOG_INFO, "state", "configuration in force",
			LOG_S("identity", snap->self.spiffe_id),
			LOG_U("services", snap->n_services), LOG_U("pods", snap->n_pods),
			LOG_U("policies", snap->n_policies), LOG_T("written_at", snap->written_at));
	return e;
}

void proxy_reload(struct proxy *p)
{
	struct snapshot *snap;
	if (p->live != NULL) {
		live_kick(p->live);
		return;
	}
	/* A file that is older than max-stale is still better than none for what is open; flow
	 * refuses new connections then. */
	struct state_expect expect = {.trust_domain = str_from(p->params->trust_domain),
		.pod_uid = str_from(p->params->pod_uid),
		.now = proxy_wall_s(p)};
	char err[sizeof(p->state_error)];
	int e = state_load(p->params->state, &expect, rng_next(p->env.rng), &snap, err,
		sizeof(err));
	if (e == 0) {
		e = proxy_set_snapshot(p, snap, err, sizeof(err));
		snapshot_unref(&snap);
	}
	if (e == 0) {
		p->state_error[0] = '\0';
		return;
	}
	if (e != ERR_NOTFOUND)
		p->state_refused++;
	snprintf(p->state_error, sizeof(p->state_error), "%s", err);
	log_at(p->env.log, p->flow->snap != NULL ? LOG_ERROR : LOG_WARN, "state",
		p->flow->snap != NULL ? "state file refused; the last good one stays in force"
				      : "no state yet; not ready, every connection is refused",
		LOG_Z("error", err));
}

static void on_state_changed(void *arg)
{
	proxy_reload(OBJ_CAST(struct proxy, PROXY_MAGIC, arg));
}

static bool own_leaf_expired(const struct proxy *p)
{
	return cert_chain_leaf(p->flow->snap->chain)->not_after < proxy_wall_s(p);
}

bool proxy_ready(const struct proxy *p, struct buf *reasons)
{
	size_t before = buf_len(reasons);
	if (p->draining)
		buf_printf(reasons, "draining\n");
	if (!p->started)
		buf_printf(reasons, "listeners are not open yet\n");
	if (p->flow->snap != NULL && flow_stale(p->flow))
		buf_printf(reasons, "the configuration is older than max-stale\n");
	if (p->live != NULL) {
		if (p->flow->snap == NULL || own_leaf_expired(p))
			live_reasons(p->live, reasons);
	} else if (p->flow->snap == NULL) {
		buf_printf(reasons, "no configuration: %s\n", p->state_error);
	} else if (own_leaf_expired(p)) {
		buf_printf(reasons, "the own certificate has expired\n");
	}
	return buf_len(reasons) == before;
}

static void on_housekeeping(void *arg)
{
	struct proxy *p = OBJ_CAST(struct proxy, PROXY_MAGIC, arg);
	metrics_expire(p->metrics, loop_now(p->env.loop), METRIC_IDLE_NS);
	buf_pool_trim(p->env.bufs);
	loop_timer_start(&p->housekeeping, HOUSEKEEPING_NS);
}

/* -- drain
 * --------------------------------------------------------------------------------------------------------
 */

static void on_done(void *arg)
{
	struct proxy *p = OBJ_CAST(struct proxy, PROXY_MAGIC, arg);

	/* Ends of responses on their way to slow readers are part of what was accepted. */
	if (!p->quitting && loop_has_orphans(p->env.loop)) {
		loop_timer_start(&p->orphans, ORPHANS_NS);
		return;
	}
	loop_timer_stop(&p->deadline);
	live_free(&p->live);
	if (p->done != NULL)
		p->done(p->done_arg);
}

static void close_listeners(struct listener *l[2])
{
	for (int i = 0; i < 2; i++)
		if (l[i] != NULL)
			listener_close(&l[i]);
}

static void finish(struct proxy *p)
{
	if (p->done_called)
		return;
	p->done_called = true;
	loop_timer_stop(&p->min_drain);
	loop_timer_stop(&p->housekeeping);
	close_listeners(p->inbound);
	close_listeners(p->outbound);
	watch_stop(&p->watch);
	endpoints_close(&p->endpoints);
	pools_end(p->flow->pools);
	loop_next_turn(&p->done_task);
}

static void on_flow_idle(void *arg)
{
	struct proxy *p = OBJ_CAST(struct proxy, PROXY_MAGIC, arg);
	if (p->min_over || p->quitting)
		finish(p);
}

static void on_min_drain(void *arg)
{
	struct proxy *p = OBJ_CAST(struct proxy, PROXY_MAGIC, arg);
	p->min_over = true;
	close_listeners(p->inbound);
	log_at(p->env.log, LOG_INFO, "drain", "no more inbound connections",
		LOG_U("connections", p->flow->stats.conns));
	if (p->flow->stats.conns == 0)
		finish(p);
}

static void on_deadline(void *arg)
{
	struct proxy *p = OBJ_CAST(struct proxy, PROXY_MAGIC, arg);
	log_at(p->env.log, LOG_WARN, "drain", "grace period ends; ending what still runs",
		LOG_U("connections", p->flow->stats.conns),
		LOG_U("requests", p->flow->stats.requests));
	proxy_quit(p);
}

void proxy_drain(struct proxy *p)
{
	if (p->draining)
		return;
	p->draining = true;
	log_at(p->env.log, LOG_INFO, "drain", "draining",
		LOG_U("connections", p->flow->stats.conns),
		LOG_U("requests", p->flow->stats.requests),
		LOG_D("min_drain_ms", p->params->min_drain));
	loop_timer_start(&p->min_drain, p->params->min_drain);
	loop_timer_start(&p->deadline, p->params->grace_period - LAST_SECONDS);
	flow_drain(p->flow, on_flow_idle, p);
}

void proxy_quit(struct proxy *p)
{
	p->draining = p->quitting = true;
	/* What came now would have nobody to end it. */
	close_listeners(p->inbound);
	close_listeners(p->outbound);
	flow_drain(p->flow, on_flow_idle, p);
	flow_end(p->flow);
	if (p->flow->stats.conns == 0)
		finish(p);
}

static void on_quit(void *arg)
{
	proxy_quit(OBJ_CAST(struct proxy, PROXY_MAGIC, arg));
}

void proxy_quit_soon(struct proxy *p)
{
	loop_next_turn(&p->quit_task);
}

/* -- start and end
 * -------------------------------------------------------------------------------------------------
 */

struct proxy *proxy_new(const struct proxy_env *env, const struct sidecar_params *params,
	proxy_done_fn *done, void *done_arg)
{
	struct proxy *p = MEM_NEW(struct proxy);
	struct flow_env fe = {.http = {.loop = env->loop, .bufs = env->bufs, .arenas = env->arenas},
		.net = env->net,
		.log = env->log,
		.rng = env->rng,
		.orig_dst = env->orig_dst,
		.orig_dst_arg = env->orig_dst_arg,
		.mark = env->mark};
	p->obj.magic = PROXY_MAGIC;
	p->env = *env;
	p->params = params;
	p->done = done;
	p->done_arg = done_arg;
	p->metrics = metrics_new(MAX_SERIES, rng_next(env->rng));
	p->flow = flow_new(&fe, params, p->metrics, params->access_log ? env->log : NULL);
	proxy_add_gauges(p);
	loop_timer_init(&p->housekeeping, env->loop, on_housekeeping, p);
	loop_timer_init(&p->min_drain, env->loop, on_min_drain, p);
	loop_timer_init(&p->orphans, env->loop, on_done, p);
	loop_timer_init(&p->deadline, env->loop, on_deadline, p);
	loop_task_init(&p->done_task, env->loop, on_done, p);
	loop_task_init(&p->quit_task, env->loop, on_quit, p);
	return p;
}

/* One listener per address family; a family that the machine does not have is left out, any other
 * failure is one. */
static int open_pair(struct proxy *p, uint16_t port, bool loopback, listen_accept_fn *fn,
	struct listener *out[2], char *err, size_t size)
{
	static const enum addr_family families[2] = {ADDR_V4, ADDR_V6};
	int opened = 0;
	for (int i = 0; i < 2; i++) {
		struct listen_config cfg = {
			.addr = addr_any(families[i], port), .v6_only = families[i] == ADDR_V6};
		if (p->env.bind.family != ADDR_NONE && p->env.bind.family != families[i])
			continue;
		if (p->env.bind.family != ADDR_NONE)
			cfg.addr = addr_with_port(&p->env.bind, port);
		else if (loopback)
			(void)addr_parse(families[i] == ADDR_V4 ? STR("127.0.0.1") : STR("::1"),
				&cfg.addr);
		cfg.addr.port = port;
		int e = listener_open(p->env.net, &cfg, fn, p->flow, &out[i], err, size);
		if (e == ERR_UNREACHABLE && families[i] == ADDR_V6) {
			log_at(p->env.log, LOG_INFO, "listen", "no IPv6 here; IPv4 alone",
				LOG_U("port", port));
			continue;
		}
		if (e != 0)
			return e;
		opened++;
	}
	return opened > 0 ? 0 : ERR_UNREACHABLE;
}

static int open_both(struct proxy *p, char *err, size_t size)
{
	int e = open_pair(p, (uint16_t)p->params->outbound_port, true, outbound_accept, p->outbound,
		err, size);
	if (e != 0) {
		err_append(err, size, " (--outbound-port)");
		return e;
	}
	e = open_pair(p, (uint16_t)p->params->inbound_port, false, inbound_accept, p->inbound, err,
		size);
	if (e != 0)
		err_append(err, size, " (--inbound-port)");
	return e;
}

static void describe(void *arg, struct json *j)
{
	const struct proxy *p = arg;
	size_t n;
	const struct param *table = sidecar_params_table(&n);
	json_key_bool(j, "draining", p->draining);
	json_key_str(j, "state_error",
		p->live != NULL ? live_refusal(p->live) : str_from(p->state_error));
	json_key(j, "parameters");
	json_object(j);
	for (size_t i = 0; i < n; i++) {
		char value[512];
		if (table[i].flag != NULL &&
			conf_format_value(&table[i], p->params, value, sizeof(value)) >= 0)
			json_key_str(j, table[i].flag, str_from(value));
	}
	json_object_end(j);
	if (p->live != NULL) {
		json_key(j, "control_plane");
		json_object(j);
		live_describe(p->live, j);
		json_object_end(j);
	}
	if (p->flow->snap != NULL)
		dump_snapshot(j, p->flow->snap);
}

static bool ready_fn(void *arg, struct buf *reasons)
{
	return proxy_ready(arg, reasons);
}

static int in_force(void *arg, struct snapshot *snap, char *err, size_t size)
{
	return proxy_set_snapshot(OBJ_CAST(struct proxy, PROXY_MAGIC, arg), snap, err, size);
}

static int make_live(struct proxy *p, char *err, size_t size)
{
	struct live_config cfg = {
		.http = {.loop = p->env.loop, .bufs = p->env.bufs, .arenas = p->env.arenas},
		.net = p->env.net,
		.log = p->env.log,
		.rng = p->env.rng,
		.mark = p->env.mark,
		.params = p->params,
		.metrics = p->metrics,
		.flow = p->flow,
		.in_force = in_force,
		.arg = p};
	return p->params->control_plane[0] != '\0' ? live_new(&cfg, &p->live, err, size) : 0;
}

/* From the control plane, or from a file that somebody else writes. */
static void start_configuration(struct proxy *p)
{
	if (p->live != NULL) {
		live_start(p->live);
	} else if (p->params->state[0] != '\0') {
		proxy_reload(p);
		p->watch = watch_start(p->env.loop, p->params->state, on_state_changed, p);
	}
}

int proxy_start(struct proxy *p, char *err, size_t size)
{
	struct endpoints_config ec = {.params = p->params,
		.bind = p->env.bind,
		.metrics = p->metrics,
		.log = p->env.log,
		.proxy = p,
		.ready = ready_fn,
		.describe = describe};
	struct http_env http = {.loop = p->env.loop, .bufs = p->env.bufs, .arenas = p->env.arenas};
	int e = make_live(p, err, size);
	if (e == 0)
		e = endpoints_open(&http, p->env.net, &ec, &p->endpoints, err, size);
	if (e == 0)
		e = open_both(p, err, size);
	if (e != 0)
		return e;
	p->started = true;
	loop_timer_start(&p->housekeeping, HOUSEKEEPING_NS);
	start_configuration(p);
	log_at(p->env.log, LOG_INFO, "proxy", "listening", LOG_Z("version", process_version()),
		LOG_U("inbound", p->params->inbound_port),
		LOG_U("outbound", p->params->outbound_port), LOG_U("admin", p->params->admin_port),
		LOG_B("ready", p->flow->snap != NULL));
	return 0;
}

struct flow *proxy_flow(struct proxy *p)
{
	return p->flow;
}

struct metrics *proxy_metrics(struct proxy *p)
{
	return p->metrics;
}

void proxy_free(struct proxy **pp)
{
	struct proxy *p = *pp;
	if (p == NULL)
		return;
	*pp = NULL;
	loop_task_cancel(&p->done_task);
	loop_task_cancel(&p->quit_task);
	loop_timer_stop(&p->housekeeping);
	loop_timer_stop(&p->orphans);
	loop_timer_stop(&p->deadline);
	close_listeners(p->inbound);
	close_listeners(p->outbound);
	live_free(&p->live);
	watch_stop(&p->watch);
	endpoints_close(&p->endpoints);
	flow_free(&p->flow);
	metrics_free(&p->metrics);
	mem_free(p);
}
