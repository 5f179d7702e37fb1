/*
 * One DiscoveryRequest of an admitted stream: what the first one says, subscriptions, the answer to
 * the last response. Called by stream.c.
 */
#include "ctrlplane/push/push_internal.h"

#include "lib/base/alloc.h"
#include "lib/base/obj.h"

#define MAX_VERSION 128
#define MAX_POSITION 256
#define REJECTIONS_LOGGED 8 /* of one request */

/* How it stands with the source that the sidecar saw last. */
static void judge_position(struct push_stream *s)
{
	struct push *p = s->push;
	struct str ours = store_position(p->cfg.store), theirs = str_from(s->reported);
	int order = position_compare(ours, theirs);
	if (order == 2)
		log_at(p->cfg.log, LOG_WARN, "push",
			"the sidecar comes from another source: it gets what this one has",
			LOG_Z("pod", s->key), LOG_S("reported", theirs), LOG_S("position", ours));
	stream_set_behind(s, order == -1);
}

static bool take_first(struct push_stream *s, const Weft__Mesh__V1__DiscoveryRequest *m)
{
	if (m->node != NULL)
		s->version = mem_strndup(m->node->version, MAX_VERSION);
	if (strlen(m->position) > MAX_POSITION) {
		stream_end(s, PUSH_END_MALFORMED, "position: longer than 256 bytes");
		return false;
	}
	for (size_t i = 0; i < m->n_held; i++) {
		const Weft__Mesh__V1__Held *h = m->held[i];
		if (ledger_hold(&s->ledger, str_from(h->name),
			    str_make(h->hash.data, h->hash.len)) != 0) {
			stream_end(s, PUSH_END_HELD, NULL);
			return false;
		}
	}
	loop_timer_stop(&s->timer);
	s->phase = PUSH_LIVE;
	if (m->position[0] != '\0') {
		s->reported = mem_strdup(m->position);
		judge_position(s);
	}
	log_at(s->push->cfg.log, LOG_INFO, "push", "sidecar connected", LOG_Z("pod", s->key),
		LOG_Z("version", s->version), LOG_U("held", m->n_held),
		LOG_U("keys", m->n_subscribe), LOG_Z("position", m->position));
	return true;
}

static bool take_keys(struct push_stream *s, const Weft__Mesh__V1__DiscoveryRequest *m)
{
	for (size_t i = 0; i < m->n_unsubscribe; i++)
		ledger_unsubscribe(&s->ledger, m->unsubscribe[i]);
	for (size_t i = 0; i < m->n_subscribe; i++)
		if (ledger_subscribe(&s->ledger, m->subscribe[i]) != 0) {
			stream_end(s, PUSH_END_REFUSALS, NULL);
			return false;
		}
	return true;
}

static void take_answer(struct push_stream *s, const Weft__Mesh__V1__DiscoveryRequest *m)
{
	struct push *p = s->push;
	if (!s->unanswered || strcmp(m->response_nonce, s->nonce) != 0) {
		metric_add(p->stale, 1);
		log_at(p->cfg.log, LOG_DEBUG, "push", "answer to no response of now",
			LOG_Z("pod", s->key), LOG_Z("nonce", m->response_nonce));
		return;
	}
	loop_timer_stop(&s->timer);
	s->unanswered = false;
	size_t n = ledger_answer(&s->ledger, m->rejected, m->n_rejected, loop_wall(p->cfg.loop));
	metric_add(p->rejections, n);
	for (size_t i = 0; n != 0 && i < m->n_rejected && i < REJECTIONS_LOGGED &&
		bucket_take(&p->told, loop_now(p->cfg.loop));
		i++)
		log_at(p->cfg.log, LOG_WARN, "push", "the sidecar refused a resource",
			LOG_Z("pod", s->key), LOG_Z("resource", m->rejected[i]->name),
			LOG_Z("field", m->rejected[i]->field),
			LOG_Z("reason", m->rejected[i]->reason));
}

void request_take(struct push_stream *s, struct str bytes)
{
	struct push *p = s->push;
	bool first = s->phase == PUSH_OPEN;
	if (!first && bytes.n > PUSH_MAX_REQUEST) {
		stream_end(s, PUSH_END_REQUEST_SIZE, NULL);
		return;
	}
	Weft__Mesh__V1__DiscoveryRequest *m = (Weft__Mesh__V1__DiscoveryRequest *)
		grpc_unpack(&weft__mesh__v1__discovery_request__descriptor, bytes);
	if (m == NULL) {
		stream_end(s, PUSH_END_MALFORMED, NULL);
		return;
	}
	bool goes_on = (!first || take_first(s, m)) && take_keys(s, m);
	if (goes_on && m->response_nonce[0] != '\0')
		take_answer(s, m);
	bool news = first || m->n_subscribe != 0 || s->due;
	if (goes_on && news)
		push_schedule(p, s);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}
