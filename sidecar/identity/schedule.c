/*
 * The times of renewal, computed. Owns nothing, called by identity.c.
 */
#include "sidecar/identity/schedule.h"

#define LOOK_NS (30 * NS_PER_S)
#define SPREAD_NS (60 * NS_PER_S)
#define TIMEOUT_NS (10 * NS_PER_S)
#define LIFE_MAX_S (10ll * 365 * 86400)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int64_t wall_s(const struct loop *loop)
{
	return (int64_t)(loop_wall(loop) / NS_PER_S);
}

static int64_t offset(const struct loop *loop)
{
	return (int64_t)(loop_wall(loop) - loop_now(loop));
}

/* At least a second, so that nothing is ever due all the time. */
static uint64_t seconds(int64_t s)
{
	if (s < 1)
		s = 1;
	return (uint64_t)(s < LIFE_MAX_S ? s : LIFE_MAX_S) * NS_PER_S;
}

uint64_t schedule_issued(struct schedule *s, struct rng *rng, const struct loop *loop,
	const struct cert_leaf *leaf, int64_t signed_at)
{
	/* By the signer's own clock, so that ours may be wrong. */
	bool said = signed_at >= leaf->not_before && signed_at < leaf->not_after;
	s->life_ns = seconds(leaf->not_after - (said ? signed_at : wall_s(loop)));
	s->failures = 0;
	s->offset_ns = offset(loop);
	uint64_t wait = rng_between(rng, s->life_ns / 2, s->life_ns / 10 * 7);
	s->at = loop_now(loop) + wait;
	return wait;
}

uint64_t schedule_restored(struct schedule *s, struct rng *rng, const struct loop *loop,
	const struct cert_leaf *leaf)
{
	int64_t left = leaf->not_after - wall_s(loop);
	uint64_t wait = 0, quarter = left > 0 ? seconds(left) / 4 : SCHEDULE_BASE_NS;
	s->life_ns = seconds(leaf->not_after - leaf->not_before);
	s->offset_ns = offset(loop);
	uint64_t gone = left > 0 ? s->life_ns - least(seconds(left), s->life_ns) : s->life_ns;
	uint64_t renew = rng_between(rng, s->life_ns / 2, s->life_ns / 10 * 7);
	if (gone < s->life_ns / 2)
		wait = renew - least(gone, renew);
	else
		wait = rng_below(rng, least(quarter, SCHEDULE_CAP_NS) + 1);
	s->at = loop_now(loop) + wait;
	return wait;
}

uint64_t schedule_failed(struct schedule *s, struct rng *rng, const struct loop *loop,
	int64_t left_s)
{
	uint64_t cap = SCHEDULE_CAP_NS;
	if (s->failures < 9) /* 0.1 s doubled nine times is more than the cap */
		cap = least(SCHEDULE_BASE_NS << s->failures, cap);
	s->failures++;
	if (left_s > 0 && seconds(left_s) / 4 < cap)
		cap = seconds(left_s) / 4;
	uint64_t wait = rng_between(rng, SCHEDULE_BASE_NS / 10, cap);
	s->at = loop_now(loop) + wait;
	return wait;
}

uint64_t schedule_soon(struct schedule *s, struct rng *rng, const struct loop *loop,
	uint64_t within_ns)
{
	uint64_t now = loop_now(loop), at = now + rng_below(rng, within_ns + 1);
	if (at < s->at)
		s->at = at;
	return s->at > now ? s->at - now : 0;
}

/*
 * The wall clock was moved, or the machine slept, which stops the monotonic one: a certificate that
 * is past its time now is renewed, once for each jump. What comes of it is the answer's affair: a
 * clock that is wrong makes no storm of renewals.
 */
static void on_jump(struct schedule *s, struct rng *rng, const struct loop *loop, int64_t not_after)
{
	int64_t now = offset(loop), moved = now - s->offset_ns;
	uint64_t past = moved > 0 ? (uint64_t)moved : 0;
	if (past <= s->life_ns / 16 + NS_PER_S)
		return;
	s->offset_ns = now;
	if (s->failures == 0 && not_after - wall_s(loop) < (int64_t)(s->life_ns / 2 / NS_PER_S))
		(void)schedule_soon(s, rng, loop, least(s->life_ns / 10, SCHEDULE_CAP_NS));
}

uint64_t schedule_due(struct schedule *s, struct rng *rng, const struct loop *loop,
	int64_t not_after)
{
	if (not_after != 0)
		on_jump(s, rng, loop, not_after);
	uint64_t now = loop_now(loop);
	return s->at > now ? schedule_look(s, s->at - now) : 0;
}

uint64_t schedule_look(const struct schedule *s, uint64_t in_ns)
{
	uint64_t look = LOOK_NS;
	if (s->life_ns > 0)
		look = least(look, s->life_ns / 8);
	return least(in_ns, look > NS_PER_S ? look : NS_PER_S);
}

uint64_t schedule_spread(const struct schedule *s)
{
	return least(s->life_ns / 10, SPREAD_NS);
}

uint64_t schedule_timeout(int64_t left_s)
{
	if (left_s <= 0)
		return TIMEOUT_NS;
	uint64_t quarter = seconds(left_s) / 4;
	return quarter < NS_PER_S ? NS_PER_S : least(quarter, TIMEOUT_NS);
}
