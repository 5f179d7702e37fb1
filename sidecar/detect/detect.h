/*
 * Reads the first bytes of a connection until sniff() decides, for the two flows. Owns nothing but
 * what it has read: the io stays the caller's, the bytes go into a prefix.
 */
#ifndef WEFT_SIDECAR_DETECT_DETECT_H
#define WEFT_SIDECAR_DETECT_DETECT_H

#include "lib/net/io.h"
#include "sidecar/detect/sniff.h"

enum detect_event {
	DETECT_DECIDED, /* verdict and bytes are there */
	DETECT_QUIET,   /* the grace is over and no byte came; detection goes on: DECIDED, ENDED or
			   FAILED comes later */
	DETECT_ENDED,   /* end of stream before any byte */
	DETECT_TIMEOUT, /* some bytes, undecided for too long: verdict is OPAQUE; bytes are there */
	DETECT_FAILED   /* reset or error: err */
};

struct detect;
/* Never from inside detect_start. After DECIDED, ENDED, TIMEOUT or FAILED nothing follows. bytes is
 * moved from by the callee or dropped. */
typedef void detect_fn(void *arg, enum detect_event ev, enum sniff_verdict verdict,
	const struct sniff_facts *facts, struct buf *bytes, int err);

struct detect_config {
	uint64_t grace_ns;   /* 0: no QUIET event */
	uint64_t timeout_ns; /* from the first byte to the verdict; 0: 10 s */
	uint64_t silence_ns; /* without any byte: FAILED with ERR_TIMEOUT; 0: never */
};

/* Embedded use is not needed: allocated, frees itself after its last event. */
struct detect *detect_start(struct io *io, struct buf_pool *pool, const struct detect_config *cfg,
	detect_fn *fn, void *arg);
/* No event after it; the io is the caller's to use again. What was read so far is moved to bytes
 * (may be NULL: dropped). Safe on NULL. */
void detect_stop(struct detect **d, struct buf *bytes);

#endif
