/*
 * Makes the environment of a proxy from the kernel's loop, sockets and clocks, and runs it until
 * SIGTERM has drained it. Owns all of that for the time of the run.
 */
#include "sidecar/run.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/process.h"
#include "lib/crypto/crypto.h"
#include "sidecar/capture/orig_dst.h"
#include "sidecar/proxy.h"

#define IDLE_BUFFER_BYTES (8u << 20)
#define IDLE_ARENA_BLOCKS 512

/* On the stack of sidecar_run. */
struct run {
	struct loop *loop;
	struct net *net;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct log *log;
	struct rng rng;
	struct proxy *proxy;
	bool stopping;
};

static int kernel_orig_dst(void *arg, const struct io *io, struct addr *out)
{
	(void)arg;
	return orig_dst_get(io_fd(io), out);
}

static void on_done(void *arg)
{
	struct run *r = arg;
	log_at(r->log, LOG_INFO, "proxy", "done",
		LOG_U("connections", proxy_flow(r->proxy)->stats.conns));
	loop_stop(r->loop);
}

static void on_signal(void *arg, int signo)
{
	struct run *r = arg;
	if (signo == SIGHUP) {
		proxy_reload(r->proxy);
		return;
	}
	if (r->stopping)
		proxy_quit(r->proxy); /* asked twice */
	else
		proxy_drain(r->proxy);
	r->stopping = true;
}

static void run_init(struct run *r, const struct sidecar_params *params)
{
	*r = (struct run){0};
	r->loop = loop_new(NULL);
	r->bufs = buf_pool_new(IDLE_BUFFER_BYTES);
	r->arenas = arena_pool_new(IDLE_ARENA_BLOCKS);
	r->log = log_new(STDERR_FILENO, (enum log_level)params->log_level,
		(enum log_format)params->log_format, clock_system());
	r->net = net_new(r->loop, r->bufs, r->log);
	rng_seed_system(&r->rng);
	struct proxy_env env = {.loop = r->loop,
		.net = r->net,
		.bufs = r->bufs,
		.arenas = r->arenas,
		.log = r->log,
		.rng = &r->rng,
		.orig_dst = kernel_orig_dst};
	r->proxy = proxy_new(&env, params, on_done, r);
}

int sidecar_run(const struct sidecar_params *params)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, 0};
	struct run r;
	char err[512] = "";
	if (process_init() != 0 || crypto_init() != 0) {
		fprintf(stderr, "weft-sidecar: the process cannot be initialised\n");
		return 1;
	}
	run_init(&r, params);
	int e = loop_signals(r.loop, signals, on_signal, &r);
	if (e != 0)
		snprintf(err, sizeof(err), "signals: %s", err_text(e));
	else
		e = proxy_start(r.proxy, err, sizeof(err));
	if (e != 0) {
		log_at(r.log, LOG_ERROR, "proxy", "cannot start", LOG_Z("error", err));
		return 1;
	}
	loop_run(r.loop);
	proxy_free(&r.proxy);
	net_free(&r.net);
	loop_free(&r.loop);
	arena_pool_free(&r.arenas);
	buf_pool_free(&r.bufs);
	log_free(&r.log);
	crypto_cleanup();
	return 0;
}
