/*
 * The order of a turn, the same for every backend: timers, deferred calls and flushes in a bounded
 * number of rounds, deferred frees. Owns the queues and the list of what is to be freed; called by
 * the backends (loop.c, loop_sim.c) and by everyone through loop.h.
 */
#include <errno.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/net/loop_internal.h"

void loop_core_init(struct loop *loop, const struct loop_backend *backend,
	const struct clock *clock)
{
	loop->obj.magic = LOOP_MAGIC;
	loop->backend = backend;
	loop->clock = clock;
	list_init(&loop->deferred);
	list_init(&loop->flushes);
	list_init(&loop->next_turn);
	list_init(&loop->orphans);
	loop_timers_init(&loop->timers);
}

/* A free function may ask for more frees: they are done too. */
static void bury(struct loop *loop)
{
	for (size_t i = 0; i < loop->n_graves; i++) {
		struct loop_grave g = loop->graves[i];
		g.fn(g.ptr);
	}
	loop->n_graves = 0;
}

void loop_core_fini(struct loop *loop)
{
	bury(loop);
	mem_free(loop->graves);
	loop_timers_fini(&loop->timers);
	loop->obj.magic = 0;
}

void loop_core_begin(struct loop *loop)
{
	uint64_t now = clock_mono(loop->clock);

	if (now > loop->now)
		loop->now = now;
	loop->wall = clock_wall(loop->clock);
	loop->turn++;
	loop->in_turn = true;
	list_splice(&loop->deferred, &loop->next_turn);
}

/* Runs what is queued now; what these calls queue waits for the next round. */
static void run_queue(struct list *queue)
{
	struct list batch;
	struct list_node *n;

	list_init(&batch);
	list_splice(&batch, queue);
	while ((n = list_pop(&batch)) != NULL) {
		struct loop_task *t = CONTAINER_OF(n, struct loop_task, node);
		t->queue = LOOP_QUEUE_NONE;
		t->fn(t->arg);
	}
}

void loop_core_finish(struct loop *loop)
{
	loop_timers_run(loop);
	for (int round = 0; round < LOOP_ROUNDS; round++) {
		if (list_empty(&loop->deferred) && list_empty(&loop->flushes))
			break;
		run_queue(&loop->deferred);
		run_queue(&loop->flushes);
	}
	bury(loop);
	loop->in_turn = false;
}

bool loop_core_pending(const struct loop *loop)
{
	return !list_empty(&loop->deferred) || !list_empty(&loop->flushes) ||
		!list_empty(&loop->next_turn) || loop->n_graves > 0;
}

/* --- public: running and time --- */

void loop_run(struct loop *loop)
{
	ASSERT(!loop->in_turn);
	loop->backend->run(loop);
	loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

static void end_oldest_orphan(struct loop *loop)
{
	struct loop_orphan *o = CONTAINER_OF(list_pop(&loop->orphans), struct loop_orphan, node);

	o->end(o->arg);
}

void loop_end_orphans(struct loop *loop)
{
	while (!list_empty(&loop->orphans))
		end_oldest_orphan(loop);
}

void loop_free(struct loop **loop)
{
	struct loop *l = *loop;

	if (l == NULL)
		return;
	*loop = NULL;
	ASSERT(!l->in_turn);
	loop_end_orphans(l);
	l->backend->free(l);
}

/* Nobody else counts them: without a bound, peers who take nothing could pile them up. */
void loop_adopt(struct loop *loop, struct loop_orphan *o, loop_task_fn *end, void *arg)
{
	size_t n = 1;

	for (struct list_node *at = loop->orphans.head.next; at != &loop->orphans.head;
		at = at->next)
		n++;
	if (n > LOOP_ORPHANS_MAX)
		end_oldest_orphan(loop);
	o->end = end;
	o->arg = arg;
	list_append(&loop->orphans, &o->node);
}

bool loop_has_orphans(const struct loop *loop)
{
	return !list_empty(&loop->orphans);
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->in_turn ? loop->now : clock_mono(loop->clock);
}

uint64_t loop_wall(const struct loop *loop)
{
	return loop->in_turn ? loop->wall : clock_wall(loop->clock);
}

uint64_t loop_turn(const struct loop *loop)
{
	return loop->in_turn ? loop->turn : 0;
}

const struct clock *loop_clock(const struct loop *loop)
{
	return loop->clock;
}

/* --- public: readiness and signals --- */

bool loop_has_descriptors(const struct loop *loop)
{
	return !loop->backend->no_descriptors;
}

void loop_fd_init(struct loop_fd *w, struct loop *loop, int fd, loop_fd_fn *fn, void *arg)
{
	*w = (struct loop_fd){.loop = loop, .fn = fn, .arg = arg, .fd = fd};
}

void loop_fd_want(struct loop_fd *w, unsigned events)
{
	if (events == w->wanted)
		return;
	w->loop->backend->fd_want(w, events);
	w->wanted = events;
}

int loop_signals(struct loop *loop, const int *signos, loop_signal_fn *fn, void *arg)
{
	return loop->backend->signals(loop, signos, fn, arg);
}

/* --- public: deferred work --- */

void loop_task_init(struct loop_task *t, struct loop *loop, loop_task_fn *fn, void *arg)
{
	*t = (struct loop_task){.loop = loop, .fn = fn, .arg = arg, .queue = LOOP_QUEUE_NONE};
	list_node_init(&t->node);
}

static void enqueue(struct loop_task *t, struct list *list, enum loop_queue queue)
{
	if (t->queue != LOOP_QUEUE_NONE && t->queue <= queue)
		return;
	list_remove(&t->node);
	list_append(list, &t->node);
	t->queue = (uint8_t)queue;
}

void loop_defer(struct loop_task *t)
{
	enqueue(t, &t->loop->deferred, LOOP_QUEUE_DEFER);
}

void loop_flush(struct loop_task *t)
{
	enqueue(t, &t->loop->flushes, LOOP_QUEUE_FLUSH);
}

void loop_next_turn(struct loop_task *t)
{
	enqueue(t, &t->loop->next_turn, LOOP_QUEUE_NEXT);
}

void loop_task_cancel(struct loop_task *t)
{
	list_remove(&t->node);
	t->queue = LOOP_QUEUE_NONE;
}

void loop_defer_free(struct loop *loop, void *ptr, void (*fn)(void *ptr))
{
	if (loop->n_graves == loop->max_graves) {
		loop->max_graves = loop->max_graves > 0 ? loop->max_graves * 2 : 64;
		loop->graves = mem_resize(loop->graves, loop->max_graves * sizeof(*loop->graves));
	}
	loop->graves[loop->n_graves++] = (struct loop_grave){ptr, fn};
}
