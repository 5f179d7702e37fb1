/*
 * A token bucket as one time: when it would be full again. Pure; time is handed in. Private to
 * push/.
 */
#ifndef WEFT_CTRLPLANE_PUSH_BUCKET_H
#define WEFT_CTRLPLANE_PUSH_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

/* Plain value; full at first. */
struct bucket {
	uint64_t interval, depth; /* ns of one token and of all but one */
	uint64_t full_at;
};

/* rate per second and burst: at least 1 each. */
static inline struct bucket bucket_make(uint32_t rate, uint32_t burst)
{
	uint64_t interval = NS_PER_S / (rate != 0 ? rate : 1);
	return (struct bucket){
		.interval = interval, .depth = interval * (burst != 0 ? burst - 1 : 0)};
}

/* When the next token is there; not after now: there is one. */
static inline uint64_t bucket_ready(const struct bucket *b)
{
	return b->full_at > b->depth ? b->full_at - b->depth : 0;
}

static inline bool bucket_take(struct bucket *b, uint64_t now)
{
	if (bucket_ready(b) > now)
		return false;
	b->full_at = (b->full_at > now ? b->full_at : now) + b->interval;
	return true;
}

/* Takes n, whether they are there or not: the next one is there so much later. */
static inline void bucket_charge(struct bucket *b, uint64_t now, uint64_t n)
{
	b->full_at = (b->full_at > now ? b->full_at : now) + n * b->interval;
}

#endif
