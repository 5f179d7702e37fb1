/*
 * What servers taught us: destinations whose server spoke first are opaque. Bounded and expiring;
 * silence teaches nothing. Owned by struct flow.
 */
#ifndef WEFT_SIDECAR_FLOW_LEARNED_H
#define WEFT_SIDECAR_FLOW_LEARNED_H

#include <stdbool.h>

#include "lib/net/addr.h"

#define LEARNED_MAX 4096
#define LEARNED_TTL_NS (3600ull * 1000000000ull)

struct learned;

struct learned *learned_new(uint64_t seed);
void learned_free(struct learned **l);
/* The server at that destination spoke first, at loop time now. The oldest entry goes when there
 * are too many. */
void learned_opaque(struct learned *l, const struct addr *dst, uint64_t now);
bool learned_is_opaque(const struct learned *l, const struct addr *dst, uint64_t now);
size_t learned_count(const struct learned *l);

#endif
