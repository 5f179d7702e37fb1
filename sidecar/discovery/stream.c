/*
 * The stream of discovery: opened, greeted, answered, and opened again with full jitter between
 * tries. While it is down nothing that is in force changes.
 */
#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/process.h"
#include "sidecar/discovery/discovery_internal.h"

#define CREDENTIAL_MAX 16384

/* -- failure and the next try ----------------------------------------------------------------- */

/* Full jitter: anything below the bound, so that a crowd that failed together does not come back
 * together. */
static uint64_t next_wait(struct discovery *d, bool exhausted)
{
	unsigned doubled = d->stream.failures > 0 ? d->stream.failures - 1 : 0;
	uint64_t most = doubled < 16 ? BACKOFF_LEAST << doubled : BACKOFF_MOST;
	if (most > BACKOFF_MOST)
		most = BACKOFF_MOST;
	if (!exhausted)
		return rng_below(d->cfg.rng, most) + 1;
	return BACKOFF_EXHAUSTED +
		rng_below(d->cfg.rng, most > BACKOFF_EXHAUSTED ? most : BACKOFF_EXHAUSTED);
}

/* The stream is over, whoever ended it; its call is gone. */
static void stream_failed(struct discovery *d, bool exhausted)
{
	struct stream *s = &d->stream;
	uint64_t now = loop_now(d->cfg.loop);
	if (s->delivered && now - s->since >= STREAM_LIVED)
		s->failures = 0;
	s->failures++;
	s->call = NULL;
	s->delivered = s->greeted = s->blocked = false;
	s->nonce[0] = '\0';
	loop_timer_stop(&s->pace);
	keys_silence(&d->keys);
	uint64_t wait = next_wait(d, exhausted);
	loop_timer_at(&s->timer, now + wait);
	log_at(d->cfg.log, s->failures == 1 ? LOG_WARN : LOG_INFO, "discovery",
		"no stream to the control plane; what is in force stays",
		LOG_Z("reason", s->failure), LOG_U("failures", s->failures),
		LOG_D("next_ms", wait));
}

/* The server broke the rules, or said nothing for too long: we end it. */
static void stream_break(struct discovery *d, const char *why)
{
	struct stream *s = &d->stream;
	snprintf(s->failure, sizeof(s->failure), "%s", why);
	grpc_call_drop(&s->call);
	stream_failed(d, false);
}

/* -- events ----------------------------------------------------------------------------------- */

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	struct stream *s = &d->stream;
	(void)c;
	/* One response at a time: the next one comes after our answer to this one. */
	bool early = s->nonce[0] != '\0';
	ProtobufCMessage *m =
		early ? NULL : grpc_unpack(&weft__mesh__v1__discovery_response__descriptor, bytes);
	Weft__Mesh__V1__DiscoveryResponse *r = (Weft__Mesh__V1__DiscoveryResponse *)m;
	int e = r != NULL ? discovery_take(d, r) : ERR_PROTOCOL;
	if (r != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
	if (e != 0) {
		s->torn++;
		stream_break(d,
			early ? "a response came before the last one was answered"
			      : "a response is malformed");
		return;
	}
	s->last = loop_now(d->cfg.loop);
	s->responses++;
	s->failure[0] = '\0';
	if (!s->delivered) {
		s->delivered = true;
		s->since = s->last;
		loop_timer_stop(&s->timer);
		log_at(d->cfg.log, LOG_INFO, "discovery", "the control plane answers",
			LOG_U("tries", s->tries));
	}
}

static void on_writable(void *arg, struct grpc_call *c)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	(void)c;
	d->stream.blocked = false;
	stream_flush(d);
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	struct stream *s = &d->stream;
	(void)c;
	snprintf(s->failure, sizeof(s->failure), "%s%s%.*s", grpc_status_name(end->status),
		end->message.n > 0 ? ": " : "", STR_ARG(end->message));
	stream_failed(d, end->status == GRPC_RESOURCE_EXHAUSTED);
	if (!end->local && end->status == GRPC_UNAUTHENTICATED)
		d->cfg.user->refused(d->cfg.arg);
}

static const struct grpc_call_events events = {
	.on_message = on_message, .on_writable = on_writable, .on_end = on_end};

/* -- requests --------------------------------------------------------------------------------- */

static void send_request(struct discovery *d, const Weft__Mesh__V1__DiscoveryRequest *q)
{
	d->stream.requests++;
	if (grpc_call_send(d->stream.call, &q->base) <= 0)
		d->stream.blocked = true;
}

static void greet(struct discovery *d, struct arena *a, Weft__Mesh__V1__DiscoveryRequest *q)
{
	Weft__Mesh__V1__Node *node = ARENA_NEW(a, Weft__Mesh__V1__Node);
	weft__mesh__v1__node__init(node);
	node->version = (char *)(uintptr_t)process_version();
	q->node = node;
	resources_held(&d->res, a, HELD_BYTES, q);
	q->position = d->position;
	d->stream.greeted = true;
}

/* Subscriptions and the answer to a response, together. */
static void send_rest(struct discovery *d, struct arena *a)
{
	Weft__Mesh__V1__DiscoveryRequest q = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	bool first = !d->stream.greeted, answer = d->stream.nonce[0] != '\0';
	if (first)
		greet(d, a, &q);
	keys_take_subscribe(&d->keys, a, first ? FIRST_BYTES : KEYS_BYTES, &q);
	if (answer) {
		q.response_nonce = d->stream.nonce;
		q.rejected = d->res.rejected;
		q.n_rejected = d->res.n_rejected;
	}
	if (!first && !answer && q.n_subscribe == 0)
		return;
	send_request(d, &q);
	if (answer) {
		d->stream.nonce[0] = '\0';
		resources_answered(&d->res);
	}
}

static bool has_news(const struct discovery *d)
{
	return !d->stream.greeted || d->stream.nonce[0] != '\0' || keys_unsaid(&d->keys);
}

static bool take_credit(struct discovery *d)
{
	struct stream *s = &d->stream;
	uint64_t more = (loop_now(d->cfg.loop) - s->credited) / FLUSH_EVERY;
	s->credited += more * FLUSH_EVERY;
	s->credit = more < FLUSH_BURST - s->credit ? s->credit + (unsigned)more : FLUSH_BURST;
	if (s->credit == 0)
		return false;
	s->credit--;
	return true;
}

void stream_flush(struct discovery *d)
{
	struct stream *s = &d->stream;
	struct arena a;
	if (s->call == NULL || s->blocked || !has_news(d))
		return;
	if (!take_credit(d)) {
		loop_timer_at(&s->pace, s->credited + FLUSH_EVERY);
		return;
	}
	arena_init(&a, NULL);
	Weft__Mesh__V1__DiscoveryRequest q = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	if (s->greeted)
		keys_take_unsubscribe(&d->keys, &a, KEYS_BYTES, &q);
	if (q.n_unsubscribe > 0)
		send_request(d, &q);
	send_rest(d, &a);
	arena_clear(&a);
	/* What did not fit. */
	if (has_news(d) && !s->blocked)
		loop_timer_at(&s->pace, loop_now(d->cfg.loop) + FLUSH_EVERY);
}

static void on_pace(void *arg)
{
	stream_flush(OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg));
}

/* -- life ------------------------------------------------------------------------------------- */

static void stream_open(struct discovery *d)
{
	struct stream *s = &d->stream;
	struct str credential = d->cfg.credential(d->cfg.arg);
	char bearer[CREDENTIAL_MAX + 8];
	struct grpc_metadatum md = {.name = STR("authorization"), .secret = true};
	struct grpc_call_config cfg = {
		.path = DISCOVERY_PATH, .metadata = &md, .max_message = MESSAGE_BYTES};
	if (credential.n > 0 && credential.n <= CREDENTIAL_MAX) {
		int n = snprintf(bearer, sizeof(bearer), "Bearer %.*s", STR_ARG(credential));
		md.value = str_make(bearer, (size_t)n);
		cfg.n_metadata = 1;
	}
	s->tries++;
	s->opened = loop_now(d->cfg.loop);
	s->call = grpc_channel_call(d->cfg.channel, &cfg, &events, d);
	mem_wipe(bearer, sizeof(bearer));
	loop_timer_at(&s->timer, s->opened + FIRST_RESPONSE_NS);
	resources_answered(&d->res);
	stream_flush(d);
}

static void on_timer(void *arg)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	if (d->stream.call == NULL)
		stream_open(d);
	else
		stream_break(d, "no response in time");
}

void stream_init(struct discovery *d)
{
	loop_timer_init(&d->stream.timer, d->cfg.loop, on_timer, d);
	loop_timer_init(&d->stream.pace, d->cfg.loop, on_pace, d);
}

void stream_start(struct discovery *d)
{
	d->stream.started = true;
	if (d->stream.call == NULL)
		stream_open(d);
}

void stream_kick(struct discovery *d)
{
	if (!d->stream.started || d->stream.call != NULL)
		return;
	loop_timer_stop(&d->stream.timer);
	stream_open(d);
}

void stream_fini(struct discovery *d)
{
	loop_timer_stop(&d->stream.timer);
	loop_timer_stop(&d->stream.pace);
	grpc_call_drop(&d->stream.call);
}

bool stream_connected(const struct discovery *d)
{
	return d->stream.call != NULL && d->stream.delivered;
}
