/*
 * What requests do to a plan: held versions, subscriptions, answers. Owns resources and keys; the
 * pass over them is in plan_pass.c.
 */
#include "ctrlplane/push/plan.h"

#include "ctrlplane/push/plan_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"

#define MAX_FIELD 256
#define MAX_REASON 512

void plan_init(struct plan *p, const struct plan_config *cfg)
{
	*p = (struct plan){.cfg = *cfg};
	list_init(&p->resources);
	list_init(&p->keys);
	list_init(&p->refusals);
	list_init(&p->flight);
	p->by_name = map_new(cfg->seed);
	p->by_key = map_new(cfg->seed);
}

void plan_fini(struct plan *p)
{
	struct list_node *n;
	plan_end_pass(p);
	while ((n = list_first(&p->resources)) != NULL)
		plan_forget(p, CONTAINER_OF(n, struct plan_resource, node));
	LIST_EACH(&p->keys, k)
	mem_free(CONTAINER_OF(k, struct plan_key, node));
	LIST_EACH(&p->refusals, k)
	mem_free(CONTAINER_OF(k, struct plan_key, node));
	map_free(&p->by_name);
	map_free(&p->by_key);
	mem_free((void *)(uintptr_t)p->told_required.p);
	mem_free(p->large);
	*p = (struct plan){0};
}

size_t plan_keys(const struct plan *p)
{
	return map_count(p->by_key);
}

size_t plan_resources(const struct plan *p)
{
	return map_count(p->by_name);
}

/* --- resources --- */

struct plan_resource *plan_resource_of(struct plan *p, struct str name)
{
	struct plan_resource *r = map_get(p->by_name, name);
	if (r != NULL)
		return r;
	r = MEM_NEW(struct plan_resource);
	r->name = str_make(mem_strndup(name.p, name.n), name.n);
	list_node_init(&r->flight);
	list_append(&p->resources, &r->node);
	map_put(p->by_name, name, r);
	return r;
}

void plan_unreject(struct plan *p, struct plan_resource *r)
{
	if (r->rejection == NULL)
		return;
	mem_free(r->rejection->field);
	mem_free(r->rejection->reason);
	mem_free(r->rejection);
	r->rejection = NULL;
	p->n_rejections--;
}

void plan_forget(struct plan *p, struct plan_resource *r)
{
	if (p->cursor == &r->node)
		p->cursor = r->node.next;
	map_remove(p->by_name, r->name);
	list_remove(&r->node);
	list_remove(&r->flight);
	plan_unreject(p, r);
	mem_free((void *)(uintptr_t)r->name.p);
	mem_free(r);
}

int plan_hold(struct plan *p, struct str name, struct str hash)
{
	if (name.n == 0 || name.n > PLAN_MAX_NAME)
		return ERR_INVAL;
	if (map_count(p->by_name) >= PLAN_MAX_HELD)
		return ERR_LIMIT;
	struct plan_resource *r = plan_resource_of(p, name);
	r->state = PLAN_HELD;
	r->in_force = hash.n == PLAN_HASH;
	if (r->in_force) {
		memcpy(r->force, hash.p, PLAN_HASH);
		memcpy(r->sent, hash.p, PLAN_HASH);
	}
	return 0;
}

/* --- keys --- */

static struct plan_key *key_new(const Weft__Mesh__V1__Key *k)
{
	struct str s = STR_NULL;
	if (k->by_case == WEFT__MESH__V1__KEY__BY_ADDRESS)
		s = str_make(k->address.data, k->address.len);
	else if (k->by_case == WEFT__MESH__V1__KEY__BY_NAME)
		s = str_from(k->name);
	struct plan_key *key = mem_alloc(sizeof(*key) + 1 + s.n);
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
static const char *key_fault(const struct plan_key *k)
{
	struct str s = str_make(k->bytes + 1, k->n - 1);
	if (k->bytes[0] == WEFT__MESH__V1__KEY__BY_ADDRESS)
		return s.n == 4 || s.n == 16 ? NULL : "an address has 4 or 16 bytes";
	if (k->bytes[0] != WEFT__MESH__V1__KEY__BY_NAME)
		return "neither an address nor a name";
	if (s.n == 0 || s.n > PLAN_MAX_KEY)
		return "a name has 1 to 320 bytes";
	return name_is_plain(s) ? NULL : "neither NAMESPACE/NAME nor a host name";
}

static int key_refuse(struct plan *p, struct plan_key *k, const char *why)
{
	k->told = PLAN_REFUSED;
	k->why = why;
	list_append(&p->refusals, &k->node);
	p->n_refusals++;
	p->refusal_bytes += k->n;
	if (p->n_refusals > PLAN_MAX_REFUSALS || p->refusal_bytes > PLAN_RESPONSE_BYTES)
		return ERR_LIMIT;
	return 0;
}

int plan_subscribe(struct plan *p, const Weft__Mesh__V1__Key *k)
{
	struct plan_key *key = key_new(k);
	struct str bytes = str_make(key->bytes, key->n);
	const char *fault = key_fault(key);
	if (fault != NULL)
		return key_refuse(p, key, fault);
	struct plan_key *known = map_get(p->by_key, bytes);
	if (known != NULL) {
		known->again = true;
		mem_free(key);
		return 0;
	}
	if (map_count(p->by_key) >= p->cfg.max_keys)
		return key_refuse(p, key, "the stream has as many subscriptions as it may");
	list_append(&p->keys, &key->node);
	map_put(p->by_key, bytes, key);
	return 0;
}

void plan_unsubscribe(struct plan *p, const Weft__Mesh__V1__Key *k)
{
	struct plan_key *like = key_new(k);
	struct plan_key *key = map_remove(p->by_key, str_make(like->bytes, like->n));
	mem_free(like);
	if (key == NULL)
		return;
	if (p->cursor == &key->node)
		p->cursor = key->node.next;
	list_remove(&key->node);
	struct plan_resource *r = key->to;
	if (r != NULL && --r->keys == 0 && r->required_in == 0)
		plan_forget(p, r);
	mem_free(key);
}

/* --- answers --- */

static bool reject(struct plan *p, const Weft__Mesh__V1__Rejection *j, uint64_t now)
{
	struct plan_resource *r = map_get(p->by_name, str_from(j->name));
	if (r == NULL || j->hash.len != PLAN_HASH ||
		memcmp(j->hash.data, r->sent, PLAN_HASH) != 0 ||
		(r->state == PLAN_HELD && !r->in_force))
		return false;
	if (r->state == PLAN_ACKNOWLEDGED || r->state == PLAN_HELD)
		r->in_force = false;
	r->state = PLAN_REJECTED;
	plan_unreject(p, r);
	if (p->n_rejections >= PLAN_MAX_REJECTIONS)
		return true;
	r->rejection = MEM_NEW(struct plan_rejection);
	r->rejection->field = mem_strndup(j->field, MAX_FIELD);
	r->rejection->reason = mem_strndup(j->reason, MAX_REASON);
	r->rejection->at = now;
	p->n_rejections++;
	return true;
}

size_t plan_answer(struct plan *p, Weft__Mesh__V1__Rejection *const *rejected, size_t n,
	uint64_t now)
{
	size_t taken = 0;
	struct list_node *node;
	for (size_t i = 0; i < n; i++)
		taken += reject(p, rejected[i], now);
	while ((node = list_pop(&p->flight)) != NULL) {
		struct plan_resource *r = CONTAINER_OF(node, struct plan_resource, flight);
		if (r->state != PLAN_SENT)
			continue;
		plan_unreject(p, r);
		r->state = PLAN_ACKNOWLEDGED;
		r->in_force = true;
		memcpy(r->force, r->sent, PLAN_HASH);
	}
	return taken;
}
