/*
 * What both loops share: tasks, timers, deferred frees and the order of a turn (loop_core.c,
 * loop_timers.c). A backend embeds struct loop first and says how to wait for descriptors and time.
 * Included by the loop's own files alone.
 */
#ifndef WEFT_NET_LOOP_INTERNAL_H
#define WEFT_NET_LOOP_INTERNAL_H

#include "lib/base/obj.h"
#include "lib/net/loop.h"

#define LOOP_MAGIC 0x6c6f6f70u
#define LOOP_NEVER UINT64_MAX
/* Rounds of deferred calls and flushes in one turn; what is left then waits for the next turn. */
#define LOOP_ROUNDS 8
/* Durations that have a list of their own; timers of further ones go to the heap. */
#define LOOP_DURATIONS 64

/* Earlier ones win where a task is asked for twice. */
enum loop_queue { LOOP_QUEUE_NONE, LOOP_QUEUE_DEFER, LOOP_QUEUE_FLUSH, LOOP_QUEUE_NEXT };

/* How a loop waits. Static storage of the backend. */
struct loop_backend {
	void (*run)(struct loop *loop);
	bool no_descriptors;
	void (*fd_want)(struct loop_fd *w, unsigned events);
	int (*signals)(struct loop *loop, const int *signos, loop_signal_fn *fn, void *arg);
	/* Frees the whole object that struct loop is the first member of. */
	void (*free)(struct loop *loop);
};

/* Timers by duration: each list is in the order of its deadlines, because the clock never goes
 * back. Embedded in the loop. */
struct loop_timers {
	uint64_t wake;  /* nothing is due before it: exact after timers ran, too early after a stop;
			   LOOP_NEVER: none */
	size_t running; /* timers that have a deadline */
	size_t n_durations;
	uint64_t duration[LOOP_DURATIONS];
	struct list by_duration[LOOP_DURATIONS];
	struct loop_timer **heap; /* owned array of borrowed timers, from index 1 on */
	size_t n_heap, max_heap;
};

/* One piece of memory that goes at the end of the turn. */
struct loop_grave {
	void *ptr;
	void (*fn)(void *ptr);
};

/* Owned by its backend's object; owns its arrays, borrows tasks, timers and watchers from their
 * owners. */
struct loop {
	struct obj_head obj; /* LOOP_MAGIC */
	const struct loop_backend *backend;
	const struct clock *clock;
	uint64_t now, wall, turn;
	bool in_turn, stopped;
	struct list deferred, flushes, next_turn;
	struct list orphans;
	struct loop_timers timers;
	struct loop_grave *graves;
	size_t n_graves, max_graves;
};

void loop_core_init(struct loop *loop, const struct loop_backend *backend,
	const struct clock *clock);
/* Runs what is still to be freed, then frees the arrays. */
void loop_core_fini(struct loop *loop);
/* After the poll, before any callback: reads the clocks, lets the tasks in that waited for this
 * turn. */
void loop_core_begin(struct loop *loop);
/* After the descriptors' callbacks: timers, then rounds of deferred calls and flushes, then frees.
 */
void loop_core_finish(struct loop *loop);
/* True while work is queued that must not wait for a descriptor or a timer. */
bool loop_core_pending(const struct loop *loop);

void loop_timers_init(struct loop_timers *ts);
void loop_timers_fini(struct loop_timers *ts);
/* Fires what is due at this turn's time, in the order of the deadlines. Timers that are started
 * meanwhile wait for the next turn. */
void loop_timers_run(struct loop *loop);
/* The next deadline, exactly; LOOP_NEVER. */
uint64_t loop_timers_next(const struct loop_timers *ts);

#endif
