/*
 * Two clocks: monotonic for timers and durations, wall for certificates and logs. Both are values
 * handed in (struct clock), so tests turn them by hand; a jump of the wall clock never moves a
 * timer.
 */
#ifndef WEFT_BASE_CLOCK_H
#define WEFT_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* Source of time; borrowed by everyone, owned by the one who made it (main or the test). */
struct clock {
	uint64_t (*mono_ns)(const struct clock *c); /* since some fixed point, never backwards */
	uint64_t (*wall_ns)(const struct clock *c); /* since the Unix epoch */
	void *arg;
};

/* The system's clocks. */
const struct clock *clock_system(void);

static inline uint64_t clock_mono(const struct clock *c)
{
	return c->mono_ns(c);
}

static inline uint64_t clock_wall(const struct clock *c)
{
	return c->wall_ns(c);
}

/* RFC 3339 with milliseconds, UTC, "2026-11-22T10:00:00.123Z"; size >= 25. */
#define CLOCK_TEXT 25
void clock_format(uint64_t wall_ns, char *dst, size_t size);

#endif
