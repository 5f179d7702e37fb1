/*
 * Token buckets for what an untrusted HTTP/2 peer makes us do, and what each kind of frame costs.
 * Owns constant tables only; called by the HTTP/2 codec, which ends the connection where a bucket
 * is empty.
 */
#include "lib/http/h2_abuse.h"

#include "lib/base/clock.h"
#include "lib/http/conn.h"

void h2_bucket_init(struct h2_bucket *b, uint64_t burst, uint64_t rate, uint64_t now)
{
	*b = (struct h2_bucket){.tokens = burst, .burst = burst, .rate = rate, .since = now};
}

static void bucket_fill(struct h2_bucket *b, uint64_t now)
{
	uint64_t passed = now > b->since ? now - b->since : 0;
	uint64_t part;

	b->since = now;
	if (__builtin_mul_overflow(passed, b->rate, &part) ||
		__builtin_add_overflow(part, b->part, &part)) {
		b->tokens = b->burst;
		b->part = 0;
		return;
	}
	b->part = part % NS_PER_S;
	h2_bucket_give(b, part / NS_PER_S);
}

bool h2_bucket_take(struct h2_bucket *b, uint64_t n, uint64_t now)
{
	bucket_fill(b, now);
	if (b->tokens < n)
		return false;
	b->tokens -= n;
	return true;
}

void h2_bucket_give(struct h2_bucket *b, uint64_t n)
{
	uint64_t missing = b->burst - b->tokens;

	b->tokens += n < missing ? n : missing;
}

/* Of the bucket of frames: what an act costs, or what it earns. */
static const struct {
	uint8_t cost, credit;
} act_rows[H2_ACT_COUNT] = {
	[H2_ACT_REQUEST] = {.credit = 2},
	[H2_ACT_DATA_IN] = {.credit = 1},
	/* Careful peers update both windows for each frame, and measure the path meanwhile. */
	[H2_ACT_DATA_OUT] = {.credit = 3},
	[H2_ACT_SLIVER_OUT] = {.cost = 1},
	[H2_ACT_EMPTY_DATA] = {.cost = 10},
	[H2_ACT_PING] = {.cost = 1},
	[H2_ACT_SETTINGS] = {.cost = 10},
	[H2_ACT_WINDOW_UPDATE] = {.cost = 1},
	[H2_ACT_PRIORITY] = {.cost = 1},
	[H2_ACT_CONTINUATION] = {.cost = 1},
	[H2_ACT_STRAY] = {.cost = 1},
	[H2_ACT_REFUSED] = {.cost = 5},
};

void h2_abuse_init(struct h2_abuse *a, const struct http_limits *limits, uint64_t now)
{
	h2_bucket_init(&a->resets, limits->reset_burst, limits->reset_rate, now);
	h2_bucket_init(&a->frames, limits->glitch_burst, limits->glitch_rate, now);
}

bool h2_abuse_reset(struct h2_abuse *a, uint64_t now)
{
	return h2_bucket_take(&a->resets, 1, now);
}

bool h2_abuse_act(struct h2_abuse *a, enum h2_act act, uint64_t now)
{
	h2_bucket_give(&a->frames, act_rows[act].credit);
	return act_rows[act].cost == 0 || h2_bucket_take(&a->frames, act_rows[act].cost, now);
}
