/*
 * When a certificate is asked for: from half-life on, spread out, after failures with full jitter,
 * and after a jump of the wall clock once. Times are monotonic; the wall clock alone says whether a
 * certificate has run out. Plain state, embedded in struct identity.
 */
#ifndef WEFT_SIDECAR_IDENTITY_SCHEDULE_H
#define WEFT_SIDECAR_IDENTITY_SCHEDULE_H

#include "certs/chain.h"
#include "lib/base/rand.h"
#include "lib/net/loop.h"

#define SCHEDULE_BASE_NS (100 * NS_PER_MS) /* the first wait after a failure is up to this */
#define SCHEDULE_CAP_NS (30 * NS_PER_S)    /* and no wait is ever longer */
#define SCHEDULE_KICK_NS (200 * NS_PER_MS)

/* Zeroed at first: due at once. */
struct schedule {
	uint64_t at;       /* loop time of the next attempt */
	uint64_t life_ns;  /* of the certificate, from its issue on; 0: none */
	int64_t offset_ns; /* wall minus monotonic clock, as last looked at */
	unsigned failures; /* in a row */
};

/*
 * A certificate came, signed when the signer's clock said signed_at (0: it did not say): the next
 * attempt is between half and seven tenths of what was left then. Returns the ns until it.
 */
uint64_t schedule_issued(struct schedule *s, struct rng *rng, const struct loop *loop,
	const struct cert_leaf *leaf, int64_t signed_at);
/* One of an earlier life of this process: as above, at once (spread out) where half of it is over.
 */
uint64_t schedule_restored(struct schedule *s, struct rng *rng, const struct loop *loop,
	const struct cert_leaf *leaf);
/*
 * An attempt failed: full jitter up to SCHEDULE_BASE_NS doubled with each failure, to
 * SCHEDULE_CAP_NS at most and to a quarter of the left_s seconds that the certificate still holds
 * (0 or less: it does not). Returns the ns until the next attempt.
 */
uint64_t schedule_failed(struct schedule *s, struct rng *rng, const struct loop *loop,
	int64_t left_s);
/* Not later than within_ns from now, spread over that time. Returns the ns until the attempt. */
uint64_t schedule_soon(struct schedule *s, struct rng *rng, const struct loop *loop,
	uint64_t within_ns);
/* 0: the attempt is due; else the ns until the next look. not_after of the leaf, 0: none. */
uint64_t schedule_due(struct schedule *s, struct rng *rng, const struct loop *loop,
	int64_t not_after);
/* How far from now the schedule may be looked at next, where the attempt is in_ns away. */
uint64_t schedule_look(const struct schedule *s, uint64_t in_ns);
/* Over how much time a renewal that everybody makes at once is spread. */
uint64_t schedule_spread(const struct schedule *s);
/* How long one attempt may take. */
uint64_t schedule_timeout(int64_t left_s);

#endif
