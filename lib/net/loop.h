/*
 * The event loop: readiness, timers, deferred calls, flushes, frees. Two implementations behind
 * this one face: libev (loop.c) and a simulated one with a fake clock and no descriptors
 * (loop_sim.c); what both share is loop_core.c. One loop, one thread.
 *
 * A turn: I/O and timer callbacks -> deferred calls and flushes, alternating a bounded number of
 * rounds -> deferred frees -> poll.
 */
#ifndef WEFT_NET_LOOP_H
#define WEFT_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"

struct loop;

/* Owned by main or the test; everything that runs on it must have been stopped before. clock:
 * borrowed; NULL is the system's. */
struct loop *loop_new(const struct clock *clock);
void loop_free(struct loop **loop);
/* Runs until loop_stop, or until nothing is left that could wake it. */
void loop_run(struct loop *loop);
/* The turn is finished first. Before loop_run: that runs what is queued, and returns. */
void loop_stop(struct loop *loop);

/* Time of this turn: monotonic and wall, nanoseconds. One clock read per turn; outside of turns the
 * clock's own time. */
uint64_t loop_now(const struct loop *loop);
uint64_t loop_wall(const struct loop *loop);
/* Number of this turn, from 1 on; 0 outside of turns. For shares per turn (IO_TURN_BYTES). */
uint64_t loop_turn(const struct loop *loop);

/* --- readiness --- */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void loop_fd_fn(void *arg, unsigned events);

/* Embedded in its owner, who stops it before it closes the descriptor. Level triggered. */
struct loop_fd {
	struct loop *loop;
	loop_fd_fn *fn;
	void *arg;
	int fd;
	unsigned wanted;
	_Alignas(8) unsigned char backend[64];
};

bool loop_has_descriptors(const struct loop *loop); /* false on a simulated one: poll there */
void loop_fd_init(struct loop_fd *w, struct loop *loop, int fd, loop_fd_fn *fn, void *arg);
/* Sets what to wait for: LOOP_READ | LOOP_WRITE, or 0 for nothing. Cheap when unchanged. */
void loop_fd_want(struct loop_fd *w, unsigned events);
static inline void loop_fd_stop(struct loop_fd *w)
{
	if (w->loop != NULL)
		loop_fd_want(w, 0);
}

/* --- timers: FIFO lists by duration, re-armed lazily --- */
typedef void loop_timer_fn(void *arg);

/* Embedded in its owner, who stops it before it goes. Fires once. */
struct loop_timer {
	struct list_node node;
	struct loop *loop;
	loop_timer_fn *fn;
	void *arg;
	uint64_t deadline; /* 0: not running */
	size_t slot;       /* place in the heap; 0: on a list */
};

void loop_timer_init(struct loop_timer *t, struct loop *loop, loop_timer_fn *fn, void *arg);
/* (Re)starts: fires ns nanoseconds after this turn's time. Same durations share a list, so use
 * named constants, not computed values, on hot paths; loop_timer_at below is for computed ones. */
void loop_timer_start(struct loop_timer *t, uint64_t ns);
/* At an absolute monotonic time; costs a heap operation. */
void loop_timer_at(struct loop_timer *t, uint64_t mono_ns);
void loop_timer_stop(struct loop_timer *t);
static inline bool loop_timer_running(const struct loop_timer *t)
{
	return t->deadline != 0;
}

/* --- deferred work --- */
typedef void loop_task_fn(void *arg);

/* Embedded in its owner, who cancels it before it goes. */
struct loop_task {
	struct list_node node;
	struct loop *loop;
	loop_task_fn *fn;
	void *arg;
	uint8_t queue; /* enum loop_queue: where it waits, if it does */
};

void loop_task_init(struct loop_task *t, struct loop *loop, loop_task_fn *fn, void *arg);
/* Runs later in this turn (or, past the bound on rounds, in the next one). Once, however often it
 * is asked for. */
void loop_defer(struct loop_task *t);
/* Runs in the flush phase: after the deferred calls of the round, so that what became ready in one
 * turn is written together. */
void loop_flush(struct loop_task *t);
/* Runs in the next turn, after a poll: for work that yields to others (a read that used up its
 * turn's share). */
void loop_next_turn(struct loop_task *t);
void loop_task_cancel(struct loop_task *t);

/* Frees at the end of the turn, when no callback is on the stack. fn(ptr). */
void loop_defer_free(struct loop *loop, void *ptr, void (*fn)(void *ptr));

/* --- work that outlives its owner --- */

/* Embedded in an object that goes on for a bounded time after its owner let go of it. end is called
 * where the loop goes first or there are more of them, and must release the object at once. */
#define LOOP_ORPHANS_MAX 512
struct loop_orphan {
	struct list_node node;
	loop_task_fn *end;
	void *arg;
};

void loop_adopt(struct loop *loop, struct loop_orphan *o, loop_task_fn *end, void *arg);
static inline void loop_orphan_done(struct loop_orphan *o) /* safe on a zeroed one */
{
	list_remove(&o->node);
}
/* Whoever ends the program may wait for them, or end them now; what they free goes in this turn. */
bool loop_has_orphans(const struct loop *loop);
void loop_end_orphans(struct loop *loop);
/* --- signals (libev loop only), by signalfd --- */
typedef void loop_signal_fn(void *arg, int signo);
/* Blocks the signals (0-terminated list) and reports them on the loop. One call per loop. Returns 0
 * or ERR_*. */
int loop_signals(struct loop *loop, const int *signos, loop_signal_fn *fn, void *arg);

/* --- simulated loop --- */
struct loop *loop_new_sim(uint64_t wall_start_ns);
/* Runs turns until nothing is due now. Returns the number of turns; stops at max_turns (a livelock
 * in the code under test). */
size_t loop_sim_settle(struct loop *loop, size_t max_turns);
/* Moves the fake clock on by ns, stopping at every timer in between, settling after each. */
void loop_sim_advance(struct loop *loop, uint64_t ns);
/* The wall clock alone jumps by delta nanoseconds. */
void loop_sim_wall_jump(struct loop *loop, int64_t delta);
/* The loop's own clock (fake in a simulated one), for logs and certificates. */
const struct clock *loop_clock(const struct loop *loop);

#endif
