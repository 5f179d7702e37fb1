/*
 * What requests do to a ledger: held versions, subscriptions, answers. Owns resources and keys; the
 * pass over them is in ledger_pass.c.
 */
#include "ctrlplane/push/ledger.h"

#include "ctrlplane/push/ledger_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"

#define MAX_FIELD 256
#define MAX_REASON 512

void ledger_init(struct ledger *l, const struct ledger_config *cfg)
{
	*l = (struct ledger){.cfg = *cfg};
	list_init(&l->resources);
	list_init(&l->keys);
	list_init(&l->refusals);
	list_init(&l->flight);
	l->by_name = map_new(cfg->seed);
	l->by_key = map_new(cfg->seed);
}

void ledger_fini(struct ledger *l)
{
	struct list_node *n;
	ledger_end_pass(l);
	while ((n = list_first(&l->resources)) != NULL)
		ledger_forget(l, CONTAINER_OF(n, struct ledger_resource, node));
	LIST_EACH(&l->keys, k)
	mem_free(CONTAINER_OF(k, struct ledger_key, node));
	LIST_EACH(&l->refusals, k)
	mem_free(CONTAINER_OF(k, struct ledger_key, node));
	map_free(&l->by_name);
	map_free(&l->by_key);
	mem_free((void *)(uintptr_t)l->told_required.p);
	mem_free(l->large);
	*l = (struct ledger){0};
}

size_t ledger_keys(const struct ledger *l)
{
	return map_count(l->by_key);
}

size_t ledger_resources(const struct ledger *l)
{
	return map_count(l->by_name);
}

/* --- resources --- */

struct ledger_resource *ledger_resource_of(struct ledger *l, struct str name)
{
	struct ledger_resource *r = map_get(l->by_name, name);
	if (r != NULL)
		return r;
	r = MEM_NEW(struct ledger_resource);
	r->name = str_make(mem_strndup(name.p, name.n), name.n);
	list_node_init(&r->flight);
	list_append(&l->resources, &r->node);
	map_put(l->by_name, name, r);
	return r;
}

void ledger_unreject(struct ledger *l, struct ledger_resource *r)
{
	if (r->rejection == NULL)
		return;
	mem_free(r->rejection->field);
	mem_free(r->rejection->reason);
	mem_free(r->rejection);
	r->rejection = NULL;
	l->n_rejections--;
}

void ledger_forget(struct ledger *l, struct ledger_resource *r)
{
	if (l->cursor == &r->node)
		l->cursor = r->node.next;
	map_remove(l->by_name, r->name);
	list_remove(&r->node);
	list_remove(&r->flight);
	ledger_unreject(l, r);
	mem_free((void *)(uintptr_t)r->name.p);
	mem_free(r);
}

int ledger_hold(struct ledger *l, struct str name, struct str hash)
{
	if (name.n == 0 || name.n > LEDGER_MAX_NAME)
		return ERR_INVAL;
	if (map_count(l->by_name) >= LEDGER_MAX_HELD)
		return ERR_LIMIT;
	struct ledger_resource *r = ledger_resource_of(l, name);
	r->state = LEDGER_HELD;
	r->in_force = hash.n == LEDGER_HASH;
	if (r->in_force) {
		memcpy(r->force, hash.p, LEDGER_HASH);
		memcpy(r->sent, hash.p, LEDGER_HASH);
	}
	return 0;
}

/* --- keys --- */

static struct ledger_key *key_new(const Weft__Mesh__V1__Key *k)
{
	struct str s = STR_NULL;
	if (k->by_case == WEFT__MESH__V1__KEY__BY_ADDRESS)
		s = str_make(k->address.data, k->address.len);
	else if (k->by_case == WEFT__MESH__V1__KEY__BY_NAME)
		s = str_from(k->name);
	struct ledger_key *key = mem_alloc(sizeof(*key) + 1 + s.n);
	key->bytes[0] = (uint8_t)k->by_case;
	if (s.n != 0)
		memcpy(key->bytes + 1, s.p, s.n);
	key->n = s.n + 1;
	return key;
}

static bool name_is_plain(struct str s)
{
	unsigned slashes = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '/' && ++slashes == 1)
			continue;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '.' || c == '_')
			continue;
		return false;
	}
	return true;
}

/* What makes a key mean nothing; NULL: it is well. */
static const char *key_fault(const struct ledger_key *k)
{
	struct str s = str_make(k->bytes + 1, k->n - 1);
	if (k->bytes[0] == WEFT__MESH__V1__KEY__BY_ADDRESS)
		return s.n == 4 || s.n == 16 ? NULL : "an address has 4 or 16 bytes";
	if (k->bytes[0] != WEFT__MESH__V1__KEY__BY_NAME)
		return "neither an address nor a name";
	if (s.n == 0 || s.n > LEDGER_MAX_KEY)
		return "a name has 1 to 320 bytes";
	return name_is_plain(s) ? NULL : "neither NAMESPACE/NAME nor a host name";
}

static int key_refuse(struct ledger *l, struct ledger_key *k, const char *why)
{
	k->told = LEDGER_REFUSED;
	k->why = why;
	list_append(&l->refusals, &k->node);
	l->n_refusals++;
	l->refusal_bytes += k->n;
	if (l->n_refusals > LEDGER_MAX_REFUSALS || l->refusal_bytes > LEDGER_RESPONSE_BYTES)
		return ERR_LIMIT;
	return 0;
}

int ledger_subscribe(struct ledger *l, const Weft__Mesh__V1__Key *k)
{
	struct ledger_key *key = key_new(k);
	struct str bytes = str_make(key->bytes, key->n);
	const char *fault = key_fault(key);
	l->overtaken = true;
	if (fault != NULL)
		return key_refuse(l, key, fault);
	struct ledger_key *known = map_get(l->by_key, bytes);
	if (known != NULL) {
		known->again = true;
		mem_free(key);
		return 0;
	}
	if (map_count(l->by_key) >= l->cfg.max_keys)
		return key_refuse(l, key, "the stream has as many subscriptions as it may");
	list_append(&l->keys, &key->node);
	map_put(l->by_key, bytes, key);
	return 0;
}

void ledger_unsubscribe(struct ledger *l, const Weft__Mesh__V1__Key *k)
{
	struct ledger_key *like = key_new(k);
	struct ledger_key *key = map_remove(l->by_key, str_make(like->bytes, like->n));
	mem_free(like);
	if (key == NULL)
		return;
	if (l->cursor == &key->node)
		l->cursor = key->node.next;
	list_remove(&key->node);
	struct ledger_resource *r = key->to;
	if (r != NULL && --r->keys == 0 && r->required_in == 0)
		ledger_forget(l, r);
	mem_free(key);
}

/* --- answers --- */

static bool reject(struct ledger *l, const Weft__Mesh__V1__Rejection *j, uint64_t now)
{
	struct ledger_resource *r = map_get(l->by_name, str_from(j->name));
	if (r == NULL || j->hash.len != LEDGER_HASH ||
		memcmp(j->hash.data, r->sent, LEDGER_HASH) != 0 ||
		(r->state == LEDGER_HELD && !r->in_force))
		return false;
	if (r->state == LEDGER_ACKNOWLEDGED || r->state == LEDGER_HELD)
		r->in_force = false;
	r->state = LEDGER_REJECTED;
	ledger_unreject(l, r);
	if (l->n_rejections >= LEDGER_MAX_REJECTIONS)
		return true;
	r->rejection = MEM_NEW(struct ledger_rejection);
	r->rejection->field = mem_strndup(j->field, MAX_FIELD);
	r->rejection->reason = mem_strndup(j->reason, MAX_REASON);
	r->rejection->at = now;
	l->n_rejections++;
	return true;
}

size_t ledger_answer(struct ledger *l, Weft__Mesh__V1__Rejection *const *rejected, size_t n,
	uint64_t now)
{
	size_t taken = 0;
	struct list_node *node;
	for (size_t i = 0; i < n; i++)
		taken += reject(l, rejected[i], now);
	while ((node = list_pop(&l->flight)) != NULL) {
		struct ledger_resource *r = CONTAINER_OF(node, struct ledger_resource, flight);
		if (r->state != LEDGER_SENT)
			continue;
		ledger_unreject(l, r);
		r->state = LEDGER_ACKNOWLEDGED;
		r->in_force = true;
		memcpy(r->force, r->sent, LEDGER_HASH);
	}
	return taken;
}
