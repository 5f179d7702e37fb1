/*
 * The system's two clocks, and times as text. Owns one constant table; main hands it to everyone,
 * tests hand in their own.
 */
#include "lib/base/clock.h"

#include <stdio.h>
#include <time.h>

#include "lib/base/obj.h"

static uint64_t clock_read(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t system_mono_ns(const struct clock *c)
{
	(void)c;
	return clock_read(CLOCK_MONOTONIC);
}

static uint64_t system_wall_ns(const struct clock *c)
{
	(void)c;
	return clock_read(CLOCK_REALTIME);
}

static const struct clock clock_of_system = {.mono_ns = system_mono_ns, .wall_ns = system_wall_ns};

const struct clock *clock_system(void)
{
	return &clock_of_system;
}

void clock_format(uint64_t wall_ns, char *dst, size_t size)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;

	ASSERT(size >= CLOCK_TEXT);
	/* 2^64 ns end in the year 2554: four digits always do. */
	gmtime_r(&seconds, &tm);
	size_t n = strftime(dst, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(dst + n, size - n, ".%03uZ", (unsigned)(wall_ns / NS_PER_MS % 1000));
}
