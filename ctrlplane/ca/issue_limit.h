/*
 * How many leaves each identity may have: a token bucket for every pod that asked lately, in a
 * bounded table from which those go first that have not asked for longest. Owned by Identity.
 */
#ifndef WEFT_CTRLPLANE_CA_ISSUE_LIMIT_H
#define WEFT_CTRLPLANE_CA_ISSUE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

struct issue_limit;

/* burst at once, then per_minute (both at least 1); max: identities that are remembered. */
struct issue_limit *issue_limit_new(uint32_t burst, uint32_t per_minute, size_t max);
void issue_limit_free(struct issue_limit **l);
/* True where it may have one now; else *wait_ns is how long until it may. now: loop time. */
bool issue_limit_take(struct issue_limit *l, struct str who, uint64_t now, uint64_t *wait_ns);
size_t issue_limit_count(const struct issue_limit *l);

#endif
