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

#define KEY_OVERHEAD 8 /* tags and lengths around a key */

/* On the stack while a message is filled. */
struct filling {
	struct arena *a;
	size_t left, n, cap;
	Weft__Mesh__V1__Key **v;
};

/* False where the message is full; the first one always fits. */
static bool put(struct filling *f, const struct key *key)
{
	size_t bytes = KEY_OVERHEAD +
		(key->ip.family != ADDR_NONE ? sizeof(key->ip.bytes) : strlen(key->name));
	if (f->n > 0 && bytes > f->left)
		return false;
	f->left -= bytes < f->left ? bytes : f->left;
	if (f->n == f->cap) {
		Weft__Mesh__V1__Key **old = f->v;
		f->cap = f->cap != 0 ? 2 * f->cap : 16;
		f->v = arena_alloc(f->a, f->cap * sizeof(*f->v));
		if (f->n > 0)
			memcpy(f->v, old, f->n * sizeof(*f->v));
	}
	f->v[f->n++] = wire_key(f->a, key);
	return true;
}

void keys_silence(struct keys *k)
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
		list_remove(&key->wire);
		if (!key->retry) /* that one in its time */
			list_append(&k->say, &key->wire);
	}
}

bool keys_unsaid(const struct keys *k)
{
	return !list_empty(&k->say) || !list_empty(&k->unsay) || !list_empty(&k->again);
}

void keys_take_unsubscribe(struct keys *k, struct arena *a, size_t max,
	Weft__Mesh__V1__DiscoveryRequest *out)
{
	struct filling f = {.a = a, .left = max};
	struct list_node *n;
	while ((n = list_first(&k->unsay)) != NULL) {
		struct key *key = CONTAINER_OF(n, struct key, wire);
		if (!put(&f, key))
			break;
		list_remove(n);
		mem_free(key);
	}
	while (list_empty(&k->unsay) && (n = list_first(&k->again)) != NULL) {
		if (!put(&f, CONTAINER_OF(n, struct key, wire)))
			break;
		list_remove(n);
		list_append(&k->say, n);
	}
	out->unsubscribe = f.v;
	out->n_unsubscribe = f.n;
}

void keys_take_subscribe(struct keys *k, struct arena *a, size_t max,
	Weft__Mesh__V1__DiscoveryRequest *out)
{
	struct filling f = {.a = a, .left = max};
	struct list_node *n;
	while ((n = list_first(&k->say)) != NULL) {
		struct key *key = CONTAINER_OF(n, struct key, wire);
		if (!put(&f, key))
			break;
		list_remove(n);
		key->said = true;
	}
	out->subscribe = f.v;
	out->n_subscribe = f.n;
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
