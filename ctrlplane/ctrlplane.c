/*
 * Wires a control plane together: the source to the store, store and CA to the gRPC services, the
 * endpoints to what they tell. Owns all of it; run.c makes one for real, tests several in memory.
 */
#include "ctrlplane/ctrlplane.h"

#include <stdio.h>
#include <unistd.h>

#include "ctrlplane/ctrlplane_internal.h"
#include "ctrlplane/lock.h"
#include "lib/base/alloc.h"
#include "lib/base/process.h"

#define MAX_SERIES 2000
#define METRIC_IDLE_NS (3600 * NS_PER_S)
#define HOUSEKEEPING_NS (10 * NS_PER_S)
#define DRAIN_LOOK_NS (50 * NS_PER_MS) /* between looks whether the last call has ended */
#define FLUSH_NS (8 * NS_PER_S)        /* for the last bytes, when all has ended */
#define OVERLAP_NS (3600 * NS_PER_S)   /* of roots; a leaf's lifetime where that is shorter */

static const char *const services[] = {"", "weft.mesh.v1.Discovery", "weft.mesh.v1.Identity"};

static struct ctrlplane *cast(void *arg)
{
	return OBJ_CAST(struct ctrlplane, CTRLPLANE_MAGIC, arg);
}

/* --- readiness --- */

bool ctrlplane_ready(const struct ctrlplane *c, struct buf *reasons)
{
	bool good = true;
	if (c->draining) {
		buf_printf(reasons, "draining\n");
		good = false;
	}
	if (!c->started) {
		buf_printf(reasons, "listeners are not open yet\n");
		good = false;
	}
	return store_ready(c->store, reasons) && good;
}

static void tell_readiness(struct ctrlplane *c)
{
	struct buf reasons;
	if (c->ending)
		return;
	buf_init(&reasons, c->env.bufs);
	bool good = ctrlplane_ready(c, &reasons);
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		grpc_health_set(c->health, services[i], good);
	if (good != c->ready_said || (c->started && !c->told)) {
		struct str why = buf_peek(&reasons);
		log_at(c->env.log, good || c->draining ? LOG_INFO : LOG_WARN, "ctrlplane",
			good ? "ready" : "not ready",
			LOG_S("reasons", str_sub(why, 0, why.n > 0 ? why.n - 1 : 0)),
			LOG_S("position", store_position(c->store)));
	}
	c->told = c->told || c->started;
	c->ready_said = good;
	buf_clear(&reasons);
}

static void on_store_change(void *arg)
{
	tell_readiness(cast(arg));
}

static void on_housekeeping(void *arg)
{
	struct ctrlplane *c = cast(arg);
	tell_readiness(c);
	metrics_expire(c->metrics, loop_now(c->env.loop), METRIC_IDLE_NS);
	buf_pool_trim(c->env.bufs);
	loop_timer_start(&c->housekeeping, HOUSEKEEPING_NS);
}

/* --- drain and end --- */

/* Answers on their way are part of what was asked; who takes none of them cannot keep us. */
static void on_done(void *arg)
{
	struct ctrlplane *c = cast(arg);
	if (c->quitting && loop_has_orphans(c->env.loop)) {
		loop_end_orphans(c->env.loop);
		loop_next_turn(&c->done_task);
		return;
	}
	if (!c->quitting && loop_has_orphans(c->env.loop) &&
		loop_now(c->env.loop) < c->ended + FLUSH_NS) {
		loop_timer_start(&c->flush, DRAIN_LOOK_NS);
		return;
	}
	if (c->done != NULL)
		c->done(c->done_arg);
}

/* Never from a handler of our own endpoints: those go here too. */
static void end(struct ctrlplane *c)
{
	if (c->ending)
		return;
	c->ending = true;
	c->ended = loop_now(c->env.loop);
	loop_timer_stop(&c->deadline);
	loop_timer_stop(&c->look);
	loop_timer_stop(&c->housekeeping);
	control_close(&c->control);
	ctrlplane_admin_close(&c->admin);
	secure_end(&c->secure);
	grpc_server_close(&c->grpc);
	dir_source_stop(&c->source);
	loop_next_turn(&c->done_task);
}

static void on_deadline(void *arg)
{
	struct ctrlplane *c = cast(arg);
	struct grpc_server_stats s;
	ctrlplane_grpc_stats(c, &s);
	log_at(c->env.log, LOG_INFO, "drain", "ending what still runs", LOG_U("calls", s.calls));
	end(c);
}

static void on_look(void *arg)
{
	struct ctrlplane *c = cast(arg);
	struct grpc_server_stats s;
	ctrlplane_grpc_stats(c, &s);
	if (s.calls == 0)
		end(c);
	else
		loop_timer_start(&c->look, DRAIN_LOOK_NS);
}

void ctrlplane_drain(struct ctrlplane *c)
{
	struct grpc_server_stats s;
	if (c->draining)
		return;
	c->draining = true;
	ctrlplane_grpc_stats(c, &s);
	log_at(c->env.log, LOG_INFO, "drain", "draining", LOG_U("connections", s.conns),
		LOG_U("calls", s.calls), LOG_D("drain_time_ms", c->params->drain_time));
	tell_readiness(c);
	grpc_server_drain(c->grpc);
	loop_timer_start(&c->deadline, c->params->drain_time);
	loop_timer_start(&c->look, DRAIN_LOOK_NS);
}

void ctrlplane_quit(struct ctrlplane *c)
{
	c->draining = c->quitting = true;
	loop_timer_start(&c->deadline, 0);
}

void ctrlplane_reload(struct ctrlplane *c)
{
	log_event(c->env.log, LOG_INFO, "ctrlplane", "reading the source again", NULL, 0);
	dir_source_reload(c->source);
}

/* --- start --- */

static int start_parts(struct ctrlplane *c, char *err, size_t size)
{
	char path[4200];
	const struct ctrlplane_params *p = c->params;
	struct authority_config ac = {.data_dir = p->data_dir,
		.cert_file = p->ca_cert[0] != '\0' ? p->ca_cert : NULL,
		.key_file = p->ca_key[0] != '\0' ? p->ca_key : NULL,
		.roots_file = p->ca_roots[0] != '\0' ? p->ca_roots : NULL,
		.trust_domain = p->trust_domain,
		.leaf_ns = p->leaf_lifetime,
		.root_ns = p->root_lifetime,
		.backdate_ns = p->backdate,
		.loop = c->env.loop,
		.log = c->env.log,
		.metrics = c->metrics};
	snprintf(path, sizeof(path), "%s/position", p->data_dir);
	int e = store_new(c->env.loop, c->env.log, path, &c->store, err, size);
	if (e != 0)
		return e;
	ac.store = c->store;
	e = authority_start(&ac, &c->authority, err, size);
	if (e != 0)
		return e;
	authority_set_dns_names(c->authority, p->dns_names);
	snprintf(path, sizeof(path), "%s/tokens", p->data_dir);
	e = attest_new(c->env.loop, c->env.log, c->store, path, &c->attest, err, size);
	if (e != 0)
		return e;
	return dir_source_start(c->env.loop, c->env.log, p->source + 4, c->store, &c->source, err,
		size);
}

static void start_services(struct ctrlplane *c)
{
	const struct ctrlplane_params *p = c->params;
	const struct secure_config secure = {.loop = c->env.loop,
		.bufs = c->env.bufs,
		.log = c->env.log,
		.metrics = c->metrics,
		.authority = c->authority};
	c->secure = secure_new(&secure);
	const struct grpc_server_config server = {.secure = secure_start,
		.secure_arg = c->secure,
		.max_conns = p->max_streams + p->admit_waiting + 64,
		.log = c->env.log};
	const struct identity_service_config identity = {.loop = c->env.loop,
		.log = c->env.log,
		.attest = c->attest,
		.authority = c->authority,
		.metrics = c->metrics,
		.burst = (uint32_t)p->issue_burst,
		.per_minute = (uint32_t)p->issue_per_minute};
	const struct push_config push = {.loop = c->env.loop,
		.log = c->env.log,
		.store = c->store,
		.attest = c->attest,
		.metrics = c->metrics,
		.max_streams = (uint32_t)p->max_streams,
		.admit_rate = (uint32_t)p->admit_rate,
		.admit_burst = (uint32_t)p->admit_burst,
		.max_waiting = (uint32_t)p->admit_waiting,
		.max_keys = (uint32_t)p->max_keys,
		.answer_ns = p->answer_timeout};
	c->grpc = grpc_server_new(&c->http, c->env.net, &server);
	c->health = grpc_health_new(c->grpc);
	c->reflection = grpc_reflection_new(c->grpc);
	c->identity = identity_service_new(c->grpc, &identity);
	c->push = push_new(c->grpc, &push);
}

/* All addresses of both families on one socket, so that port 0 is one port; where the machine has
 * no IPv6, of IPv4. */
static struct listen_config listen_on(const struct ctrlplane *c, enum addr_family family,
	uint64_t port)
{
	struct listen_config cfg = {.addr = addr_any(family, (uint16_t)port)};
	if (c->env.bind.family != ADDR_NONE)
		cfg.addr = addr_with_port(&c->env.bind, (uint16_t)port);
	return cfg;
}

static int listen_grpc(struct ctrlplane *c, char *err, size_t size)
{
	struct listen_config cfg = listen_on(c, ADDR_V6, c->params->grpc_port);
	int e = grpc_server_listen(c->grpc, &cfg, &c->grpc_addr, err, size);
	if (e == ERR_UNREACHABLE) {
		cfg = listen_on(c, ADDR_V4, c->params->grpc_port);
		e = grpc_server_listen(c->grpc, &cfg, &c->grpc_addr, err, size);
	}
	if (e != 0)
		err_append(err, size, " (--grpc-port)");
	if (e != 0 || c->params->grpc_socket[0] == '\0')
		return e;
	/* Who the caller is decides its uid, not who may connect. */
	cfg = (struct listen_config){.unix_path = c->params->grpc_socket, .unix_mode = 0666};
	e = grpc_server_listen(c->grpc, &cfg, NULL, err, size);
	if (e != 0)
		err_append(err, size, " (--grpc-socket)");
	return e;
}

static int listen_admin(struct ctrlplane *c, char *err, size_t size)
{
	struct ctrlplane_admin_config cfg = {.ctrlplane = c,
		.params = c->params,
		.metrics = c->metrics,
		.listen = listen_on(c, ADDR_V6, c->params->admin_port)};
	int e = ctrlplane_admin_open(&c->http, c->env.net, &cfg, &c->admin, err, size);
	if (e == ERR_UNREACHABLE) {
		cfg.listen = listen_on(c, ADDR_V4, c->params->admin_port);
		e = ctrlplane_admin_open(&c->http, c->env.net, &cfg, &c->admin, err, size);
	}
	if (e != 0)
		err_append(err, size, " (--admin-port)");
	return e;
}

static int listen_control(struct ctrlplane *c, char *err, size_t size)
{
	uint64_t leaf = c->params->leaf_lifetime;
	const struct control_config cfg = {.ctrlplane = c,
		.log = c->env.log,
		.path = c->params->control_socket,
		.overlap_ns = leaf < OVERLAP_NS ? leaf : OVERLAP_NS};
	if (c->params->control_socket[0] == '\0')
		return 0;
	return control_open(&c->http, c->env.net, &cfg, &c->control, err, size);
}

int ctrlplane_start(struct ctrlplane *c, char *err, size_t size)
{
	c->lock = data_dir_lock(c->params->data_dir, err, size);
	if (c->lock < 0)
		return c->lock;
	int e = start_parts(c, err, size);
	if (e != 0)
		return e;
	start_services(c);
	e = listen_admin(c, err, size);
	if (e == 0)
		e = listen_control(c, err, size);
	if (e == 0)
		e = listen_grpc(c, err, size);
	if (e != 0)
		return e;
	c->started = true;
	store_listen(c->store, &c->listener);
	loop_timer_start(&c->housekeeping, HOUSEKEEPING_NS);
	log_at(c->env.log, LOG_INFO, "ctrlplane", "listening", LOG_Z("version", process_version()),
		LOG_U("grpc", c->grpc_addr.port),
		LOG_U("admin", ctrlplane_admin_addr(c->admin).port),
		LOG_Z("grpc_socket", c->params->grpc_socket),
		LOG_Z("control_socket", c->params->control_socket),
		LOG_Z("data_dir", c->params->data_dir));
	tell_readiness(c);
	return 0;
}

struct ctrlplane *ctrlplane_new(const struct ctrlplane_env *env,
	const struct ctrlplane_params *params, ctrlplane_done_fn *done, void *done_arg)
{
	struct ctrlplane *c = MEM_NEW(struct ctrlplane);
	c->obj.magic = CTRLPLANE_MAGIC;
	c->env = *env;
	c->params = params;
	c->http = (struct http_env){.loop = env->loop, .bufs = env->bufs, .arenas = env->arenas};
	c->lock = -1;
	c->done = done;
	c->done_arg = done_arg;
	c->metrics = metrics_new(MAX_SERIES, rng_next(env->rng));
	c->listener = (struct store_listener){.fn = on_store_change, .arg = c};
	ctrlplane_add_metrics(c);
	loop_timer_init(&c->housekeeping, env->loop, on_housekeeping, c);
	loop_timer_init(&c->deadline, env->loop, on_deadline, c);
	loop_timer_init(&c->look, env->loop, on_look, c);
	loop_timer_init(&c->flush, env->loop, on_done, c);
	loop_task_init(&c->done_task, env->loop, on_done, c);
	return c;
}

void ctrlplane_free(struct ctrlplane **cp)
{
	struct ctrlplane *c = *cp;
	if (c == NULL)
		return;
	*cp = NULL;
	end(c);
	loop_task_cancel(&c->done_task);
	loop_timer_stop(&c->flush);
	if (c->started)
		store_unlisten(&c->listener);
	push_free(&c->push);
	identity_service_free(&c->identity);
	grpc_reflection_free(&c->reflection);
	grpc_health_free(&c->health);
	attest_free(&c->attest);
	authority_stop(&c->authority);
	store_free(&c->store);
	metrics_free(&c->metrics);
	if (c->lock >= 0)
		close(c->lock);
	c->obj.magic = 0;
	mem_free(c);
}

/* --- parts --- */

struct store *ctrlplane_store(struct ctrlplane *c)
{
	return c->store;
}

struct authority *ctrlplane_authority(struct ctrlplane *c)
{
	return c->authority;
}

struct attest *ctrlplane_attest(struct ctrlplane *c)
{
	return c->attest;
}

struct push *ctrlplane_push(struct ctrlplane *c)
{
	return c->push;
}

struct metrics *ctrlplane_metrics(struct ctrlplane *c)
{
	return c->metrics;
}

struct addr ctrlplane_grpc_addr(const struct ctrlplane *c)
{
	return c->grpc_addr;
}

struct addr ctrlplane_admin_address(const struct ctrlplane *c)
{
	return ctrlplane_admin_addr(c->admin);
}

uint64_t ctrlplane_wall(const struct ctrlplane *c)
{
	return loop_wall(c->env.loop);
}

bool ctrlplane_draining(const struct ctrlplane *c)
{
	return c->draining;
}
