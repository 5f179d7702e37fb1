/*
 * xoshiro256** (Blackman and Vigna), seeded through SplitMix64 so that any seed gives a good state.
 * Owns nothing; the state is its owner's. Called by balancers, timers with jitter and tests.
 */
#include "lib/base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "lib/base/obj.h"

static uint64_t rng_rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static uint64_t rng_splitmix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void rng_seed(struct rng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = rng_splitmix(&seed);
}

void rng_seed_system(struct rng *r)
{
	uint64_t seed;
	ssize_t n;

	do
		n = getrandom(&seed, sizeof(seed), 0);
	while (n < 0 && errno == EINTR);
	ASSERT(n == (ssize_t)sizeof(seed));
	rng_seed(r, seed);
}

uint64_t rng_next(struct rng *r)
{
	uint64_t *s = r->s, result = rng_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rng_rotl(s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
	ASSERT(bound > 0);
	/* Values under 2^64 mod bound would make the low results more likely: drawn again. */
	uint64_t reject = -bound % bound, x;
	do
		x = rng_next(r);
	while (x < reject);
	return x % bound;
}

uint64_t rng_between(struct rng *r, uint64_t lo, uint64_t hi)
{
	ASSERT(lo <= hi);
	if (lo == 0 && hi == UINT64_MAX)
		return rng_next(r);
	return lo + rng_below(r, hi - lo + 1);
}
