/*
 * Keys as messages: what must be said on the stream, and what the last-good file has of them.
 */
#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "sidecar/discovery/keys.h"

static Weft__Mesh__V1__Key *wire_key(struct arena *a, const struct key *key)
{
	Weft__Mesh__V1__Key *w = ARENA_NEW(a, Weft__Mesh__V1__Key);
	weft__mesh__v1__key__init(w);
	if (key->ip.family != ADDR_NONE) {
		size_t n = key->ip.family == ADDR_V4 ? 4 : 16;
		w->by_case = WEFT__MESH__V1__KEY__BY_ADDRESS;
		w->address.len = n;
		w->address.data = (uint8_t *)arena_strdup(a, str_make(key->ip.bytes, n));
	} else {
		w->by_case = WEFT__MESH__V1__KEY__BY_NAME;
		w->name = arena_strdup(a, str_from(key->name + 1));
	}
	return w;
}

static size_t list_count(const struct list *l)
{
	size_t n = 0;
	LIST_EACH(l, at)
	n++;
	return n;
}

void keys_stream(struct keys *k)
{
	struct map_entry *at = NULL;
	struct str bytes;
	void *value;
	struct list_node *n;
	while ((n = list_pop(&k->unsay)) != NULL)
		mem_free(CONTAINER_OF(n, struct key, wire));
	while (map_next(k->by, &at, &bytes, &value)) {
		struct key *key = value;
		key->said = false;
		if (key->retry)
			continue; /* in its time */
		list_remove(&key->wire);
		list_append(&k->say, &key->wire);
	}
}

bool keys_unsaid(const struct keys *k)
{
	return !list_empty(&k->say) || !list_empty(&k->unsay) || !list_empty(&k->again);
}

void keys_take_unsubscribe(struct keys *k, struct arena *a, Weft__Mesh__V1__DiscoveryRequest *out)
{
	size_t room = list_count(&k->unsay) + list_count(&k->again);
	struct list_node *n;
	out->unsubscribe = arena_alloc(a, (room + 1) * sizeof(*out->unsubscribe));
	while ((n = list_pop(&k->unsay)) != NULL) {
		struct key *key = CONTAINER_OF(n, struct key, wire);
		out->unsubscribe[out->n_unsubscribe++] = wire_key(a, key);
		mem_free(key);
	}
	LIST_EACH(&k->again, at)
	out->unsubscribe[out->n_unsubscribe++] = wire_key(a, CONTAINER_OF(at, struct key, wire));
	list_splice(&k->say, &k->again);
}

void keys_take_subscribe(struct keys *k, struct arena *a, Weft__Mesh__V1__DiscoveryRequest *out)
{
	struct list_node *n;
	out->subscribe = arena_alloc(a, (list_count(&k->say) + 1) * sizeof(*out->subscribe));
	while ((n = list_pop(&k->say)) != NULL) {
		struct key *key = CONTAINER_OF(n, struct key, wire);
		out->subscribe[out->n_subscribe++] = wire_key(a, key);
		key->said = true;
	}
}

void keys_fill(const struct keys *k, Weft__Mesh__V1__State *st)
{
	st->not_meshed = mem_alloc_array(k->n_negatives + 1, sizeof(*st->not_meshed));
	LIST_EACH(&k->negatives, at)
	{
		struct key *key = CONTAINER_OF(at, struct key, order);
		if (key->ip.family != ADDR_NONE)
			st->not_meshed[st->n_not_meshed++] = (ProtobufCBinaryData){
				.len = key->ip.family == ADDR_V4 ? 4 : 16, .data = key->ip.bytes};
	}
}
