/*
 * The simulated loop: no descriptors, and a clock that moves only when the test moves it. Owned by
 * the test that made it; it runs the same turns as the real one (loop_core.c), so what a test sees
 * is the order that production has.
 */
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/net/loop_internal.h"

/* More turns than this between two moves of the clock is work that never ends. */
#define SIM_MAX_TURNS 100000
#define SIM_MONO_START NS_PER_S

/* Owned by the test; the clock in it is what loop_clock answers. */
struct loop_sim {
	struct loop core;
	struct clock clock;
	uint64_t mono, wall;
};

static struct loop_sim *sim_of(struct loop *loop);

static uint64_t sim_mono(const struct clock *c)
{
	return ((const struct loop_sim *)c->arg)->mono;
}

static uint64_t sim_wall(const struct clock *c)
{
	return ((const struct loop_sim *)c->arg)->wall;
}

static void sim_move(struct loop_sim *s, uint64_t ns)
{
	s->mono += ns;
	s->wall += ns;
}

static bool sim_due(const struct loop *loop)
{
	return loop_core_pending(loop) ||
		loop_timers_next(&loop->timers) <= clock_mono(loop->clock);
}

/* Until nothing is due now and no timer is left; time jumps from timer to timer. */
static void sim_run(struct loop *loop)
{
	struct loop_sim *s = sim_of(loop);

	while (!loop->stopped) {
		uint64_t next = loop_timers_next(&loop->timers);
		if (!loop_core_pending(loop)) {
			if (next == LOOP_NEVER)
				return;
			if (next > s->mono)
				sim_move(s, next - s->mono);
		}
		loop_core_begin(loop);
		loop_core_finish(loop);
	}
}

static void sim_fd_want(struct loop_fd *w, unsigned events)
{
	(void)w;
	(void)events;
	ASSERT(!"a descriptor on a simulated loop");
}

static int sim_signals(struct loop *loop, const int *signos, loop_signal_fn *fn, void *arg)
{
	(void)loop;
	(void)signos;
	(void)fn;
	(void)arg;
	ASSERT(!"signals on a simulated loop");
	return ERR_INVAL;
}

static void sim_free(struct loop *loop)
{
	struct loop_sim *s = sim_of(loop);

	loop_core_fini(loop);
	mem_free(s);
}

static const struct loop_backend sim_backend = {
	.run = sim_run,
	.no_descriptors = true,
	.fd_want = sim_fd_want,
	.signals = sim_signals,
	.free = sim_free,
};

static struct loop_sim *sim_of(struct loop *loop)
{
	ASSERT(loop->backend == &sim_backend);
	return (struct loop_sim *)(void *)OBJ_CAST(struct loop, LOOP_MAGIC, loop);
}

struct loop *loop_new_sim(uint64_t wall_start_ns)
{
	struct loop_sim *s = MEM_NEW(struct loop_sim);

	s->mono = SIM_MONO_START;
	s->wall = wall_start_ns;
	s->clock = (struct clock){.mono_ns = sim_mono, .wall_ns = sim_wall, .arg = s};
	loop_core_init(&s->core, &sim_backend, &s->clock);
	return &s->core;
}

size_t loop_sim_settle(struct loop *loop, size_t max_turns)
{
	size_t turns = 0;

	sim_of(loop);
	ASSERT(!loop->in_turn);
	for (; turns < max_turns && sim_due(loop); turns++) {
		loop_core_begin(loop);
		loop_core_finish(loop);
	}
	return turns;
}

void loop_sim_advance(struct loop *loop, uint64_t ns)
{
	struct loop_sim *s = sim_of(loop);
	uint64_t end = s->mono + ns;

	for (;;) {
		ASSERT(loop_sim_settle(loop, SIM_MAX_TURNS) < SIM_MAX_TURNS);
		uint64_t next = loop_timers_next(&loop->timers);
		if (s->mono == end)
			return;
		sim_move(s, (next < end ? next : end) - s->mono);
	}
}

void loop_sim_wall_jump(struct loop *loop, int64_t delta)
{
	sim_of(loop)->wall += (uint64_t)delta;
}
