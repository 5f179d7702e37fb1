/*
 * How often refusals may be logged: whoever is refused decides how often that happens, so what goes
 * beyond a few lines a second is counted and told by the next line. Embedded in its owner.
 */
#ifndef WEFT_CTRLPLANE_CA_REFUSAL_LOG_H
#define WEFT_CTRLPLANE_CA_REFUSAL_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define REFUSAL_LINES 20 /* a second */

/* Plain state; zeroed at first. */
struct refusal_log {
	uint64_t second; /* of loop time, from 1 on */
	uint32_t lines;
	uint64_t silent; /* refusals that no line was written for */
};

/* True where this one may be logged; *silent: how many were not before it. */
bool refusal_log_take(struct refusal_log *r, uint64_t loop_ns, uint64_t *silent);

#endif
