/*
 * Cheap random numbers for choices that need no secrecy (P2C, jitter, sampling): xoshiro256**,
 * seeded from the kernel or from a test. Secrets come from lib/crypto.
 */
#ifndef WEFT_BASE_RAND_H
#define WEFT_BASE_RAND_H

#include <stdint.h>

/* Plain state, embedded in its owner (one per worker). */
struct rng {
	uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
/* From getrandom(2); aborts where the kernel has none. */
void rng_seed_system(struct rng *r);
uint64_t rng_next(struct rng *r);
/* Uniform in 0..bound-1 (bound > 0), without modulo bias. */
uint64_t rng_below(struct rng *r, uint64_t bound);
/* Uniform in [lo, hi]. */
uint64_t rng_between(struct rng *r, uint64_t lo, uint64_t hi);

#endif
