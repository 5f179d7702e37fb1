/*
 * Admission: who opens a stream is let in at a rate, the others wait in order, one stream per pod,
 * so that a crowd that comes back all at once is served by and by and no pod takes the places of
 * others. Owns the queue's order; called by stream.c and push.c.
 */
#include "ctrlplane/push/push_internal.h"

#include "lib/base/obj.h"

#define ADMIT_AT_ONCE 64 /* looked at before others have their turn */

void admit_forget(struct push *p, struct push_stream *s)
{
	struct str key = str_from(s->key);
	list_remove(&s->node);
	if (s->phase == PUSH_WAITING)
		p->n_waiting--;
	else if (s->phase != PUSH_ENDED)
		p->n_admitted--;
	if (key.n != 0 && map_get(p->queued, key) == s)
		map_remove(p->queued, key);
	if (key.n != 0 && map_get(p->admitted, key) == s)
		map_remove(p->admitted, key);
}

/*
 * The newest of a pod's waiting streams stays, at the place where it came; the other one has gone
 * away, or is of a second sidecar that should not be. False where that was this one.
 */
static bool queue_for_pod(struct push *p, struct push_stream *s)
{
	struct push_stream *other = map_get(p->queued, str_from(s->key));
	if (other != NULL && other != s) {
		bool newer = s->serial > other->serial;
		stream_end(newer ? other : s, PUSH_END_REPLACED, NULL);
		if (!newer)
			return false;
	}
	map_put(p->queued, str_from(s->key), s);
	return true;
}

void admit_enqueue(struct push *p, struct push_stream *s)
{
	list_append(&p->waiting, &s->node);
	p->n_waiting++;
	bool known = store_catalog(p->cfg.store) != NULL;
	if (known && (!stream_attest(s) || !queue_for_pod(p, s)))
		return;
	bool again = known && map_get(p->admitted, str_from(s->key)) != NULL;
	if (p->n_admitted + p->n_waiting - again > p->cfg.max_streams) {
		stream_end(s, PUSH_END_STREAMS, NULL);
		return;
	}
	loop_timer_start(&s->timer, PUSH_WAIT_NS);
	admit_run(p);
	if (s->phase == PUSH_WAITING && p->n_waiting > p->cfg.max_waiting)
		stream_end(s, PUSH_END_CROWDED, NULL);
}

static void admit(struct push *p, struct push_stream *s)
{
	struct str key = str_from(s->key);
	map_remove(p->queued, key);
	list_remove(&s->node);
	p->n_waiting--;
	p->n_admitted++;
	s->phase = PUSH_OPEN;
	list_append(&p->idle, &s->node);
	struct push_stream *older = map_put(p->admitted, key, s);
	if (older != NULL)
		stream_end(older, PUSH_END_REPLACED, NULL);
	stream_admit(s);
}

void admit_run(struct push *p)
{
	uint64_t now = loop_now(p->cfg.loop);
	struct list_node *n;
	if (store_catalog(p->cfg.store) == NULL)
		return;
	for (unsigned i = 0; (n = list_first(&p->waiting)) != NULL; i++) {
		struct push_stream *s = CONTAINER_OF(n, struct push_stream, node);
		if (i == ADMIT_AT_ONCE) {
			loop_next_turn(&p->admit_task);
			return;
		}
		if (s->key == NULL) {
			if (!stream_attest(s) || !queue_for_pod(p, s))
				continue;
		}
		if (!bucket_take(&p->admission, now)) {
			loop_timer_at(&p->admit_timer, bucket_ready(&p->admission));
			return;
		}
		admit(p, s);
	}
}

void admit_on_timer(void *arg)
{
	admit_run(OBJ_CAST(struct push, PUSH_MAGIC, arg));
}
