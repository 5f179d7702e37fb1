/*
 * The `dir` source: reads when something changed, on a thread of its own since thousands of objects
 * take longer than a loop may be held, and gives the world to the store. Owns watch, thread and
 * what is remembered; main's.
 */
#include "ctrlplane/source/dir.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ctrlplane/source/reading.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/net/watch.h"

#define SETTLE_NS (100 * NS_PER_MS) /* after a change, for a burst is read together */
#define SETTLE_MAX_NS NS_PER_S      /* after the first of them */
/* What the watch cannot see (links to folders, network file systems) is looked at so often. */
#define RESCAN_NS (10 * NS_PER_S)
#define ERRORS_LOGGED 20

/* Owned by main. */
struct dir_source {
	struct loop *loop;
	struct log *log;
	struct store *store;
	char *path;
	struct good *good;
	struct watch_tree *watch;
	struct loop_timer settle, rescan;
	uint64_t changed_at; /* the first change that is not read; 0: none */
	/* The thread, while running. */
	struct reading reading;
	pthread_t thread;
	bool running;
	bool again; /* something changed, or was asked for, meanwhile */
	uint64_t started_at;
	int event;
	struct loop_fd io;
};

/* -- what came of a reading ------------------------------------------------------------------- */

static void log_errors(struct dir_source *d, const struct world *w)
{
	size_t told = 0;
	struct arena a;
	struct problems l = {.arena = &a};
	arena_init(&a, NULL);
	for (const struct problem *p = world_problems(w)->first; p != NULL && told < ERRORS_LOGGED;
		p = p->next) {
		if (p->severity != PROBLEM_ERROR)
			continue;
		told++;
		log_at(d->log, LOG_ERROR, "source", "refused",
			LOG_S("problem", problem_text(&l, p)));
	}
	arena_clear(&a);
}

static void take_world(struct dir_source *d, struct world *w)
{
	struct world_counts n;
	const struct problems *l = world_problems(w);
	world_count(w, &n);
	log_at(d->log, LOG_INFO, "source", "read", LOG_Z("path", d->path), LOG_U("files", n.files),
		LOG_U("services", n.services), LOG_U("pods", n.pods), LOG_U("policies", n.policies),
		LOG_U("errors", l->count[PROBLEM_ERROR]),
		LOG_U("warnings", l->count[PROBLEM_WARNING]), LOG_B("complete", world_complete(w)),
		LOG_D("took", loop_now(d->loop) - d->started_at));
	log_errors(d, w);
	store_set_world(d->store, w, world_complete(w));
}

/* -- the thread ------------------------------------------------------------------------------- */

static void *run_thread(void *arg)
{
	struct dir_source *d = arg;
	uint64_t one = 1;
	reading_run(&d->reading);
	ssize_t put = write(d->event, &one, sizeof(one));
	(void)put; /* the counter cannot be full */
	return NULL;
}

/* Signals are the loop's. */
static bool start_thread(struct dir_source *d)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&d->thread, NULL, run_thread, d);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		log_at(d->log, LOG_ERROR, "source", "no thread to read with; tried again",
			LOG_Z("error", strerror(error)));
	return error == 0;
}

/* Soon, but not while changes go on: unless they go on for too long. */
static void read_soon(struct dir_source *d)
{
	uint64_t now = loop_now(d->loop);
	if (d->changed_at == 0)
		d->changed_at = now;
	uint64_t until = d->changed_at + SETTLE_MAX_NS;
	if (!loop_timer_running(&d->settle) || now + SETTLE_NS < until)
		loop_timer_start(&d->settle, SETTLE_NS);
}

static void finish_reading(struct dir_source *d)
{
	loop_timer_start(&d->rescan, RESCAN_NS);
	if (d->reading.world != NULL)
		take_world(d, d->reading.world);
	if (!d->reading.early && !loop_timer_running(&d->settle))
		d->changed_at = 0;
	if (d->reading.early || d->again)
		read_soon(d);
	d->again = false;
}

static void on_read(void *arg, unsigned events)
{
	struct dir_source *d = arg;
	uint64_t n;
	(void)events;
	if (read(d->event, &n, sizeof(n)) < 0)
		return;
	pthread_join(d->thread, NULL);
	d->running = false;
	finish_reading(d);
}

/* A simulated loop, which has no descriptors, may be held. */
static void read_now(struct dir_source *d, bool if_other)
{
	if (d->running) {
		d->again = d->again || !if_other;
		return;
	}
	uint64_t now = loop_now(d->loop);
	d->started_at = now;
	d->reading.if_other = if_other;
	d->reading.hasty = d->changed_at != 0 && now - d->changed_at >= SETTLE_MAX_NS;
	if (!loop_has_descriptors(d->loop)) {
		reading_run(&d->reading);
		finish_reading(d);
		return;
	}
	d->running = start_thread(d);
	if (!d->running)
		loop_timer_start(&d->settle, SETTLE_MAX_NS);
}

/* -- when it is read -------------------------------------------------------------------------- */

static void on_settled(void *arg)
{
	read_now(arg, false);
}

static void on_rescan(void *arg)
{
	struct dir_source *d = arg;
	loop_timer_start(&d->rescan, RESCAN_NS);
	if (!loop_timer_running(&d->settle))
		read_now(d, true);
}

static void on_change(void *arg)
{
	struct dir_source *d = arg;
	if (d->running)
		d->again = true;
	else
		read_soon(d);
}

void dir_source_reload(struct dir_source *d)
{
	read_now(d, false);
}

/* -- life ------------------------------------------------------------------------------------- */

static void read_first(struct dir_source *d)
{
	d->started_at = loop_now(d->loop);
	d->reading.hasty = true;
	reading_run(&d->reading);
	take_world(d, d->reading.world);
}

int dir_source_start(struct loop *loop, struct log *log, const char *path, struct store *store,
	struct dir_source **out, char *err, size_t size)
{
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (event < 0) {
		snprintf(err, size, "no descriptor for the source's thread: %s", strerror(errno));
		return ERR_NOFILES;
	}
	struct dir_source *d = MEM_NEW(struct dir_source);
	d->loop = loop;
	d->log = log;
	d->store = store;
	d->path = mem_strdup(path);
	d->good = good_new();
	d->reading = (struct reading){.path = d->path, .good = d->good};
	d->event = event;
	loop_fd_init(&d->io, loop, event, on_read, d);
	if (loop_has_descriptors(loop))
		loop_fd_want(&d->io, LOOP_READ);
	loop_timer_init(&d->settle, loop, on_settled, d);
	loop_timer_init(&d->rescan, loop, on_rescan, d);
	loop_timer_start(&d->rescan, RESCAN_NS);
	/* Before the reading, so that nothing falls between. */
	d->watch = watch_tree_start(loop, path, on_change, d);
	read_first(d);
	*out = d;
	return 0;
}

void dir_source_stop(struct dir_source **dp)
{
	struct dir_source *d = *dp;
	*dp = NULL;
	if (d == NULL)
		return;
	watch_tree_stop(&d->watch);
	loop_timer_stop(&d->settle);
	loop_timer_stop(&d->rescan);
	loop_fd_stop(&d->io);
	if (d->running) {
		pthread_join(d->thread, NULL);
		world_free(&d->reading.world);
	}
	close(d->event);
	good_free(&d->good);
	mem_free(d->path);
	loop_defer_free(d->loop, d, mem_free);
}
