/*
 * Makes the environment of a control plane from the kernel's loop, sockets and clocks, and runs it
 * until SIGTERM has drained it. Owns all of that for the time of the run.
 */
#include "ctrlplane/run.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "ctrlplane/ctrlplane.h"
#include "lib/base/process.h"
#include "lib/crypto/crypto.h"

#define IDLE_BUFFER_BYTES (32u << 20)
#define IDLE_ARENA_BLOCKS 512

/* On the stack of ctrlplane_run. */
struct run {
	struct loop *loop;
	struct net *net;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct log *log;
	struct rng rng;
	struct ctrlplane *ctrlplane;
	bool stopping;
};

static void on_done(void *arg)
{
	struct run *r = arg;
	log_event(r->log, LOG_INFO, "ctrlplane", "done", NULL, 0);
	loop_stop(r->loop);
}

static void on_signal(void *arg, int signo)
{
	struct run *r = arg;
	if (signo == SIGHUP) {
		ctrlplane_reload(r->ctrlplane);
		return;
	}
	if (r->stopping)
		ctrlplane_quit(r->ctrlplane); /* asked twice */
	else
		ctrlplane_drain(r->ctrlplane);
	r->stopping = true;
}

static void run_init(struct run *r, const struct ctrlplane_params *params)
{
	*r = (struct run){0};
	r->loop = loop_new(NULL);
	r->bufs = buf_pool_new(IDLE_BUFFER_BYTES);
	r->arenas = arena_pool_new(IDLE_ARENA_BLOCKS);
	r->log = log_new(STDERR_FILENO, (enum log_level)params->log_level,
		(enum log_format)params->log_format, clock_system());
	r->net = net_new(r->loop, r->bufs, r->log);
	rng_seed_system(&r->rng);
	struct ctrlplane_env env = {.loop = r->loop,
		.net = r->net,
		.bufs = r->bufs,
		.arenas = r->arenas,
		.log = r->log,
		.rng = &r->rng};
	r->ctrlplane = ctrlplane_new(&env, params, on_done, r);
}

static void run_end(struct run *r)
{
	ctrlplane_free(&r->ctrlplane);
	net_free(&r->net);
	loop_free(&r->loop);
	arena_pool_free(&r->arenas);
	buf_pool_free(&r->bufs);
	log_free(&r->log);
	crypto_cleanup();
}

int ctrlplane_run(const struct ctrlplane_params *params)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, 0};
	struct run r;
	char err[1024] = "";
	if (process_init() != 0 || crypto_init() != 0) {
		fprintf(stderr, "weft-ctrlplane: the process cannot be initialised\n");
		return 1;
	}
	run_init(&r, params);
	int e = loop_signals(r.loop, signals, on_signal, &r);
	if (e != 0)
		snprintf(err, sizeof(err), "signals: %s", err_text(e));
	else
		e = ctrlplane_start(r.ctrlplane, err, sizeof(err));
	if (e != 0) {
		log_at(r.log, LOG_ERROR, "ctrlplane", "cannot start", LOG_Z("error", err));
		return 1;
	}
	loop_run(r.loop);
	run_end(&r);
	return 0;
}
