/*
 * A share of log lines per second. Owns nothing; used by attest and Identity.
 */
#include "ctrlplane/ca/refusal_log.h"

#include "lib/base/clock.h"

bool refusal_log_take(struct refusal_log *r, uint64_t loop_ns, uint64_t *silent)
{
	uint64_t second = loop_ns / NS_PER_S + 1;
	if (second != r->second) {
		r->second = second;
		r->lines = 0;
	}
	if (r->lines == REFUSAL_LINES) {
		r->silent++;
		return false;
	}
	r->lines++;
	*silent = r->silent;
	r->silent = 0;
	return true;
}
