/*
 * Timers: one FIFO list per duration, whose first is always its earliest, and a heap for absolute
 * times and rare durations. Starting and stopping on a list is two pointer moves; the backend's one
 * timer is re-armed only when something is due sooner.
 */
#include "lib/base/alloc.h"
#include "lib/net/loop_internal.h"

void loop_timers_init(struct loop_timers *ts)
{
	*ts = (struct loop_timers){.wake = LOOP_NEVER};
	for (size_t i = 0; i < LOOP_DURATIONS; i++)
		list_init(&ts->by_duration[i]);
}

void loop_timers_fini(struct loop_timers *ts)
{
	mem_free(ts->heap);
	ts->heap = NULL;
}

static struct loop_timer *timer_of(struct list_node *n)
{
	return CONTAINER_OF(n, struct loop_timer, node);
}

/* --- heap of timers by deadline, 1-based --- */

static void heap_set(struct loop_timers *ts, size_t slot, struct loop_timer *t)
{
	ts->heap[slot] = t;
	t->slot = slot;
}

static void heap_up(struct loop_timers *ts, size_t slot, struct loop_timer *t)
{
	while (slot > 1 && ts->heap[slot / 2]->deadline > t->deadline) {
		heap_set(ts, slot, ts->heap[slot / 2]);
		slot /= 2;
	}
	heap_set(ts, slot, t);
}

static void heap_down(struct loop_timers *ts, size_t slot, struct loop_timer *t)
{
	for (size_t child = slot * 2; child <= ts->n_heap; child = slot * 2) {
		if (child < ts->n_heap && ts->heap[child + 1]->deadline < ts->heap[child]->deadline)
			child++;
		if (ts->heap[child]->deadline >= t->deadline)
			break;
		heap_set(ts, slot, ts->heap[child]);
		slot = child;
	}
	heap_set(ts, slot, t);
}

static void heap_insert(struct loop_timers *ts, struct loop_timer *t)
{
	if (ts->n_heap + 1 >= ts->max_heap) {
		ts->max_heap = ts->max_heap > 0 ? ts->max_heap * 2 : 64;
		ts->heap = mem_resize(ts->heap, ts->max_heap * sizeof(struct loop_timer *));
	}
	heap_up(ts, ++ts->n_heap, t);
}

static void heap_remove(struct loop_timers *ts, struct loop_timer *t)
{
	size_t slot = t->slot;
	struct loop_timer *last = ts->heap[ts->n_heap--];

	t->slot = 0;
	if (last == t)
		return;
	if (slot > 1 && ts->heap[slot / 2]->deadline > last->deadline)
		heap_up(ts, slot, last);
	else
		heap_down(ts, slot, last);
}

/* --- lists by duration --- */

/* The list for ns, or NULL where all are taken by other durations that have timers now. */
static struct list *list_for(struct loop_timers *ts, uint64_t ns)
{
	size_t vacant = LOOP_DURATIONS;

	for (size_t i = 0; i < ts->n_durations; i++) {
		if (ts->duration[i] == ns)
			return &ts->by_duration[i];
	}
	if (ts->n_durations < LOOP_DURATIONS)
		vacant = ts->n_durations++;
	for (size_t i = 0; vacant == LOOP_DURATIONS && i < LOOP_DURATIONS; i++) {
		if (list_empty(&ts->by_duration[i]))
			vacant = i;
	}
	if (vacant == LOOP_DURATIONS)
		return NULL;
	ts->duration[vacant] = ns;
	return &ts->by_duration[vacant];
}

/* The list whose first timer is due first, or NULL where the heap's is (or there is none). */
static struct list *earliest_list(const struct loop_timers *ts, uint64_t *deadline)
{
	const struct list *best = NULL;

	*deadline = ts->n_heap > 0 ? ts->heap[1]->deadline : LOOP_NEVER;
	for (size_t i = 0; i < ts->n_durations; i++) {
		struct list_node *n = list_first(&ts->by_duration[i]);
		if (n != NULL && timer_of(n)->deadline < *deadline) {
			*deadline = timer_of(n)->deadline;
			best = &ts->by_duration[i];
		}
	}
	return (struct list *)(uintptr_t)best;
}

uint64_t loop_timers_next(const struct loop_timers *ts)
{
	uint64_t deadline;

	earliest_list(ts, &deadline);
	return deadline;
}

/* Takes all that is due off its list or the heap, in order; each can still be stopped or restarted
 * before its turn comes. */
static void collect_due(struct loop_timers *ts, uint64_t now, struct list *due)
{
	for (;;) {
		uint64_t deadline;
		struct list *list = earliest_list(ts, &deadline);
		if (deadline > now)
			return;
		struct loop_timer *t = list != NULL ? timer_of(list_first(list)) : ts->heap[1];
		if (list != NULL)
			list_remove(&t->node);
		else
			heap_remove(ts, t);
		list_append(due, &t->node);
	}
}

void loop_timers_run(struct loop *loop)
{
	struct loop_timers *ts = &loop->timers;
	struct list due;
	struct list_node *n;

	if (loop->now < ts->wake)
		return;
	list_init(&due);
	collect_due(ts, loop->now, &due);
	while ((n = list_pop(&due)) != NULL) {
		struct loop_timer *t = timer_of(n);
		t->deadline = 0;
		ts->running--;
		t->fn(t->arg);
	}
	ts->wake = loop_timers_next(ts);
}

/* --- public --- */

void loop_timer_init(struct loop_timer *t, struct loop *loop, loop_timer_fn *fn, void *arg)
{
	*t = (struct loop_timer){.loop = loop, .fn = fn, .arg = arg};
	list_node_init(&t->node);
}

/* LOOP_NEVER is kept for "none", 0 for "not running". */
static void timer_set(struct loop_timer *t, struct list *list, uint64_t deadline)
{
	struct loop_timers *ts = &t->loop->timers;

	t->deadline = deadline;
	ts->running++;
	if (deadline < ts->wake)
		ts->wake = deadline;
	if (list != NULL)
		list_append(list, &t->node);
	else
		heap_insert(ts, t);
}

void loop_timer_start(struct loop_timer *t, uint64_t ns)
{
	uint64_t now = loop_now(t->loop);

	loop_timer_stop(t);
	if (ns >= LOOP_NEVER - now)
		timer_set(t, NULL, LOOP_NEVER - 1);
	else
		timer_set(t, list_for(&t->loop->timers, ns), now + ns);
}

void loop_timer_at(struct loop_timer *t, uint64_t mono_ns)
{
	loop_timer_stop(t);
	if (mono_ns == 0)
		mono_ns = 1;
	timer_set(t, NULL, mono_ns < LOOP_NEVER ? mono_ns : LOOP_NEVER - 1);
}

void loop_timer_stop(struct loop_timer *t)
{
	if (t->deadline == 0)
		return;
	t->deadline = 0;
	t->loop->timers.running--;
	if (t->slot != 0)
		heap_remove(&t->loop->timers, t);
	else
		list_remove(&t->node);
}
