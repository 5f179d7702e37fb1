/*
 * What discovery holds and why, as JSON for the admin page and `weft config`.
 */
#include "lib/base/buf.h"
#include "sidecar/discovery/discovery_internal.h"

#define LIST_MAX 1000 /* entries of one list; the counts are whole */

static uint64_t ago_ms(const struct discovery *d, uint64_t when)
{
	return (loop_now(d->cfg.loop) - when) / NS_PER_MS;
}

static void describe_stream(const struct discovery *d, struct json *j)
{
	const struct stream *s = &d->stream;
	json_key_bool(j, "connected", stream_connected(d));
	if (stream_connected(d))
		json_key_u64(j, "sinceMs", ago_ms(d, s->since));
	if (s->last != 0)
		json_key_u64(j, "lastMessageMs", ago_ms(d, s->last));
	if (s->failure[0] != '\0')
		json_key_str(j, "failure", str_from(s->failure));
	if (s->call == NULL && loop_timer_running(&s->timer)) {
		uint64_t now = loop_now(d->cfg.loop);
		json_key_u64(j, "nextTryMs",
			s->timer.deadline > now ? (s->timer.deadline - now) / NS_PER_MS : 0);
	}
	json_key_u64(j, "failures", s->failures);
	json_key_u64(j, "tries", s->tries);
	json_key_u64(j, "responses", s->responses);
	json_key_u64(j, "malformed", s->torn);
	json_key_str(j, "position", str_from(d->position));
}

static void describe_required(const struct discovery *d, struct json *j)
{
	struct buf_pool *pool = buf_pool_new(0);
	struct buf lines;
	buf_init(&lines, pool);
	json_key(j, "required");
	json_object(j);
	json_key_bool(j, "complete", resources_ready(&d->res));
	json_key(j, "missing");
	json_array(j);
	(void)resources_missing(&d->res, &lines);
	while (buf_len(&lines) > 0) {
		char line[RESOURCE_NAME_MAX + 512];
		ptrdiff_t end = buf_find(&lines, 0, '\n');
		size_t n = end < 0 ? buf_len(&lines) : (size_t)end;
		size_t got = buf_copy_out(&lines, 0, line, n < sizeof(line) ? n : sizeof(line));
		json_str(j, str_make(line, got));
		buf_consume(&lines, end < 0 ? n : n + 1);
	}
	json_array_end(j);
	json_object_end(j);
	buf_clear(&lines);
	buf_pool_free(&pool);
}

static void describe_slot(const struct slot *s, struct json *j)
{
	json_object(j);
	json_key_str(j, "name", str_from(s->name));
	json_key_bool(j, "required", s->force != ROLE_NONE || s->want != ROLE_NONE);
	json_key_bool(j, "inForce", s->good != NULL);
	json_key_bool(j, "waits", s->cur != s->good);
	if (s->pins > 0)
		json_key_bool(j, "kept", true);
	json_object_end(j);
}

static void describe_refusal(const struct slot *s, struct json *j)
{
	json_object(j);
	json_key_str(j, "resource", str_from(s->name));
	json_key_str(j, "field", str_from(s->refusal->fault.field));
	json_key_str(j, "reason", str_from(s->refusal->fault.reason));
	json_key_bool(j, "lastGood", s->good != NULL && s->good->msg->hash.len > 0);
	json_object_end(j);
}

/* refusals: those whose newest version was refused; otherwise all. */
static void describe_slots(const struct discovery *d, struct json *j, bool refusals)
{
	struct map_entry *at = NULL;
	struct str name;
	void *value;
	size_t n = 0;
	json_array(j);
	while (map_next(d->res.slots, &at, &name, &value) && n < LIST_MAX) {
		const struct slot *s = value;
		if (refusals && s->refusal == NULL)
			continue;
		n++;
		if (refusals)
			describe_refusal(s, j);
		else
			describe_slot(s, j);
	}
	json_array_end(j);
}

static void describe_keys(const struct discovery *d, struct json *j)
{
	static const char *const names[] = {[KEY_PENDING] = "pending",
		[KEY_POSITIVE] = "known",
		[KEY_NEGATIVE] = "notMeshed",
		[KEY_REFUSED] = "refused"};
	struct map_entry *at = NULL;
	struct str bytes;
	void *value;
	size_t n = 0;
	json_key(j, "subscriptions");
	json_array(j);
	while (map_next(d->keys.by, &at, &bytes, &value) && n++ < LIST_MAX) {
		const struct key *key = value;
		char text[ADDR_TEXT];
		json_object(j);
		json_key_str(j, "key", key_text(key, text));
		json_key_str(j, "state", str_from(names[key->state]));
		if (key->slot != NULL)
			json_key_str(j, "resource", str_from(key->slot->name));
		json_object_end(j);
	}
	json_array_end(j);
}

void discovery_stats(const struct discovery *d, struct discovery_stats *out)
{
	*out = (struct discovery_stats){
		.rejections = d->res.refused, .subscriptions = map_count(d->keys.by)};
}

void discovery_describe(const struct discovery *d, struct json *j)
{
	describe_stream(d, j);
	describe_required(d, j);
	json_key(j, "resources");
	describe_slots(d, j, false);
	json_key(j, "rejections");
	describe_slots(d, j, true);
	if (d->res.failure.reason[0] != '\0')
		json_key_str(j, "refusedAsAWhole", str_from(d->res.failure.reason));
	describe_keys(d, j);
	json_key(j, "counts");
	json_object(j);
	json_key_u64(j, "resources", map_count(d->res.slots));
	json_key_u64(j, "bytes", d->res.bytes);
	json_key_u64(j, "destinations", d->res.n_lru);
	json_key_u64(j, "forgotten", d->forgotten);
	json_key_u64(j, "subscriptions", map_count(d->keys.by));
	json_key_u64(j, "pending", d->keys.n_pending);
	json_key_u64(j, "negatives", d->keys.n_negatives);
	json_key_u64(j, "negativesForgotten", d->keys.evicted);
	json_key_u64(j, "refusedByServer", d->keys.n_refused + d->keys.n_retries);
	json_key_u64(j, "beyondPending", d->keys.overflow);
	json_key_u64(j, "rejected", d->res.refused);
	json_key_u64(j, "unasked", d->res.unasked + d->keys.unasked);
	json_key_u64(j, "applied", d->res.applied);
	json_object_end(j);
}
