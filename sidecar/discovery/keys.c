/*
 * The table of keys: from asked to answered to forgotten. What goes out about them is in
 * keys_wire.c.
 */
#include "sidecar/discovery/keys.h"

#include "lib/base/alloc.h"
#include "lib/base/obj.h"

/* No address begins like this (struct addr: its family). */
#define NAME_MARK 'n'

/* -- entries ---------------------------------------------------------------------------------- */

static struct str key_bytes(const struct key *key)
{
	return key->ip.family != ADDR_NONE ? addr_key(&key->ip) : str_from(key->name);
}

struct str key_text(const struct key *key, char dst[ADDR_TEXT])
{
	return key->ip.family != ADDR_NONE ? str_from(addr_format_ip(&key->ip, dst))
					   : str_from(key->name + 1);
}

/* The list that bounds its state; NULL for positive ones, which hang from resources. */
static struct list *list_of(struct keys *k, const struct key *key, size_t **count)
{
	*count = NULL;
	if (key->retry) {
		*count = &k->n_retries;
		return &k->retries;
	}
	switch ((enum key_state)key->state) {
	case KEY_PENDING:
		*count = &k->n_pending;
		return &k->pending;
	case KEY_NEGATIVE:
		*count = &k->n_negatives;
		return &k->negatives;
	case KEY_REFUSED:
		*count = &k->n_refused;
		return &k->refused;
	case KEY_POSITIVE:
		break;
	}
	return NULL;
}

static void order_remove(struct keys *k, struct key *key)
{
	size_t *count;
	if (!list_linked(&key->order) || list_of(k, key, &count) == NULL)
		return;
	list_remove(&key->order);
	--*count;
}

/* The youngest of its state. Pinned ones are on no list that could let them go. */
static void order_append(struct keys *k, struct key *key)
{
	size_t *count;
	struct list *l = list_of(k, key, &count);
	if (l == NULL || (key->pinned && !key->retry))
		return;
	list_append(l, &key->order);
	++*count;
}

static void unlink_slot(struct keys *k, struct key *key)
{
	struct slot *s = key->slot;
	key->slot = NULL;
	if (s == NULL)
		return;
	list_remove(&key->sibling);
	s->pins -= key->pinned;
	if (list_empty(&s->keys) && (s->good != NULL || s->cur != NULL))
		k->res->dirty = true;
	resources_touch(k->res, s);
	resources_release(k->res, s);
}

static void link_slot(struct keys *k, struct key *key, struct slot *s)
{
	if (key->slot == s)
		return;
	bool first = list_empty(&s->keys);
	unlink_slot(k, key);
	list_append(&s->keys, &key->sibling);
	s->pins += key->pinned;
	key->slot = s;
	resources_touch(k->res, s);
	k->res->dirty |= first && s->cur != NULL;
}

/* slot: of a positive one. */
static void set_state(struct keys *k, struct key *key, enum key_state state, bool retry)
{
	order_remove(k, key);
	if (key->state != (uint8_t)state && (key->state == KEY_NEGATIVE || state == KEY_NEGATIVE))
		k->changed = true;
	if (state != KEY_POSITIVE)
		unlink_slot(k, key);
	key->state = (uint8_t)state;
	key->retry = retry;
	order_append(k, key);
}

static void say(struct keys *k, struct key *key)
{
	if (!list_linked(&key->wire))
		list_append(&k->say, &key->wire);
}

static void tell(struct keys *k, struct key *key)
{
	if (key->ip.family != ADDR_NONE && !list_linked(&key->tell))
		list_append(&k->tell, &key->tell);
}

static struct key *key_new(struct keys *k, const struct addr *ip, struct str name)
{
	struct key *key = mem_alloc(sizeof(*key) + (name.n > 0 ? name.n + 2 : 0));
	list_node_init(&key->order);
	list_node_init(&key->wire);
	list_node_init(&key->tell);
	list_node_init(&key->sibling);
	key->state = KEY_PENDING;
	if (ip != NULL) {
		key->ip = addr_with_port(ip, 0);
	} else {
		key->name[0] = NAME_MARK;
		memcpy(key->name + 1, name.p, name.n);
	}
	map_put(k->by, key_bytes(key), key);
	return key;
}

void keys_forget(struct keys *k, struct key *key)
{
	order_remove(k, key);
	if (key->state == KEY_NEGATIVE)
		k->changed = true;
	unlink_slot(k, key);
	list_remove(&key->tell);
	list_remove(&key->wire);
	map_remove(k->by, key_bytes(key));
	if (key->said)
		list_append(&k->unsay, &key->wire);
	else
		mem_free(key);
}

void keys_forget_slot(struct keys *k, struct slot *s)
{
	struct list_node *n;
	size_t left = 0;
	LIST_EACH(&s->keys, at)
	left++;
	/* The slot goes with the last of them. */
	while (left-- > 0 && (n = list_first(&s->keys)) != NULL)
		keys_forget(k, CONTAINER_OF(n, struct key, sibling));
}

void keys_init(struct keys *k, struct resources *res, uint32_t max_negatives, uint64_t seed)
{
	*k = (struct keys){.res = res, .max_negatives = max_negatives};
	k->by = map_new(seed);
	list_init(&k->pending);
	list_init(&k->negatives);
	list_init(&k->refused);
	list_init(&k->retries);
	list_init(&k->say);
	list_init(&k->unsay);
	list_init(&k->again);
	list_init(&k->tell);
}

void keys_fini(struct keys *k)
{
	struct map_entry *at = NULL;
	struct str bytes;
	void *key;
	struct list_node *n;
	while (map_next(k->by, &at, &bytes, &key)) {
		((struct key *)key)->said = false;
		keys_forget(k, key);
	}
	while ((n = list_pop(&k->unsay)) != NULL)
		mem_free(CONTAINER_OF(n, struct key, wire));
	map_free(&k->by);
}

struct key *keys_find(const struct keys *k, const struct addr *ip)
{
	struct addr key = addr_with_port(ip, 0);
	return map_get(k->by, addr_key(&key));
}

static struct key *find_name(const struct keys *k, struct str name)
{
	char bytes[KEY_NAME_MAX + 1];
	if (name.n == 0 || name.n > KEY_NAME_MAX)
		return NULL;
	bytes[0] = NAME_MARK;
	memcpy(bytes + 1, name.p, name.n);
	return map_get(k->by, str_make(bytes, name.n + 1));
}

static bool addr_of_wire(const ProtobufCBinaryData *b, struct addr *out)
{
	*out = (struct addr){.family = b->len == 4 ? ADDR_V4 : ADDR_V6};
	if (b->len != 4 && b->len != 16)
		return false;
	memcpy(out->bytes, b->data, b->len);
	return true;
}

struct key *keys_find_wire(const struct keys *k, const Weft__Mesh__V1__Key *key)
{
	struct addr ip;
	if (key == NULL)
		return NULL;
	if (key->by_case == WEFT__MESH__V1__KEY__BY_ADDRESS)
		return addr_of_wire(&key->address, &ip) ? keys_find(k, &ip) : NULL;
	if (key->by_case == WEFT__MESH__V1__KEY__BY_NAME)
		return find_name(k, str_make(key->name, strnlen(key->name, KEY_NAME_MAX + 1)));
	return NULL;
}

/* -- asking ----------------------------------------------------------------------------------- */

/* Room for one more that waits: an old one gives way where nobody can be waiting for it. */
static bool has_room(struct keys *k, uint64_t now)
{
	if (k->n_pending < KEYS_PENDING_MAX)
		return true;
	struct key *oldest = CONTAINER_OF(list_first(&k->pending), struct key, order);
	if (now - oldest->at < KEYS_PENDING_KEEP) {
		k->overflow++;
		return false;
	}
	keys_forget(k, oldest);
	return true;
}

static enum lookup_answer ask_new(struct keys *k, const struct addr *ip, uint64_t now)
{
	if (!has_room(k, now))
		return LOOKUP_REFUSED;
	struct key *key = key_new(k, ip, STR_NULL);
	key->at = now;
	order_append(k, key);
	say(k, key);
	return LOOKUP_UNKNOWN;
}

enum lookup_answer keys_ask(struct keys *k, const struct addr *ip, uint64_t now)
{
	struct key *key = keys_find(k, ip);
	if (key == NULL)
		return ask_new(k, ip, now);
	switch ((enum key_state)key->state) {
	case KEY_PENDING:
		key->at = now;
		order_remove(k, key);
		order_append(k, key);
		return LOOKUP_UNKNOWN;
	case KEY_POSITIVE:
		/* The snapshot does not have it: it has not come, or it does not hold. */
		return key->slot->good == NULL && key->slot->refusal != NULL ? LOOKUP_REFUSED
									     : LOOKUP_UNKNOWN;
	case KEY_NEGATIVE:
		order_remove(k, key);
		order_append(k, key);
		return LOOKUP_NOT_MESHED;
	case KEY_REFUSED:
		break;
	}
	if (now < key->at)
		return LOOKUP_REFUSED;
	keys_forget(k, key);
	return ask_new(k, ip, now);
}

bool keys_pin(struct keys *k, struct str name)
{
	if (name.n == 0 || name.n > KEY_NAME_MAX || k->n_names == KEYS_NAMES_MAX ||
		memchr(name.p, '\0', name.n) != NULL)
		return false;
	if (find_name(k, name) != NULL)
		return true;
	struct key *key = key_new(k, NULL, name);
	key->pinned = true;
	k->n_names++;
	say(k, key);
	return true;
}

void keys_restore(struct keys *k, const struct addr *ip, const char *name, struct slot *slot)
{
	struct str n = str_from(name);
	struct key *key = ip != NULL ? keys_find(k, ip) : find_name(k, n);
	if (key != NULL && (slot == NULL || key->state == KEY_POSITIVE))
		return;
	if (key == NULL && ip == NULL && (n.n == 0 || n.n > KEY_NAME_MAX))
		return;
	if (key == NULL)
		key = key_new(k, ip, n);
	if (slot != NULL)
		link_slot(k, key, slot);
	set_state(k, key, slot != NULL ? KEY_POSITIVE : KEY_NEGATIVE, false);
	say(k, key);
}

static void ask_again(struct keys *k, struct key *key)
{
	if (key->said && !list_linked(&key->wire))
		list_append(&k->again, &key->wire);
}

void keys_refresh(struct keys *k, const struct addr *ip, uint64_t now)
{
	struct slot *s = resources_by_address(k->res, ip);
	struct key *key = keys_find(k, ip);
	if (s == NULL && key != NULL)
		s = key->slot;
	if (s == NULL) {
		if (key != NULL && key->state == KEY_NEGATIVE && now >= key->at) {
			key->at = now + KEYS_REFRESH_EVERY;
			ask_again(k, key);
		}
		return;
	}
	if (s->refreshed != 0 && now < s->refreshed + KEYS_REFRESH_EVERY)
		return;
	s->refreshed = now;
	LIST_EACH(&s->keys, n)
	ask_again(k, CONTAINER_OF(n, struct key, sibling));
}

/* -- answers ---------------------------------------------------------------------------------- */

static void answer_refused(struct keys *k, struct key *key, bool subscribed, uint64_t now)
{
	/* What is known of it stays: a server at its limits is no reason to lose that. */
	set_state(k, key, key->slot != NULL ? KEY_POSITIVE : KEY_REFUSED,
		key->slot != NULL || key->pinned);
	key->at = now + KEYS_REFUSED_KEEP;
	key->said = subscribed;
	if (!subscribed)
		list_remove(&key->wire); /* in its time */
}

static void answer_resource(struct keys *k, struct key *key, const char *name, uint64_t now)
{
	struct slot *s = resources_slot(k->res, name);
	if (s == NULL || s->force != ROLE_NONE || s->want != ROLE_NONE) {
		answer_refused(k, key, true, now);
		return;
	}
	link_slot(k, key, s);
	set_state(k, key, KEY_POSITIVE, false);
}

bool keys_answer(struct keys *k, const Weft__Mesh__V1__Answer *a, uint64_t now)
{
	struct key *key = keys_find_wire(k, a->key);
	if (key == NULL || !key->said) {
		k->unasked++;
		return false;
	}
	bool refused = a->refused[0] != '\0', named = a->resource[0] != '\0';
	if (refused || named + a->not_meshed != 1)
		answer_refused(k, key, !refused, now);
	else if (named)
		answer_resource(k, key, a->resource, now);
	else
		set_state(k, key, KEY_NEGATIVE, false);
	tell(k, key);
	return true;
}

bool key_open(const struct key *key)
{
	return key->state == KEY_PENDING ||
		(key->state == KEY_POSITIVE && key->slot->good == NULL &&
			key->slot->refusal == NULL && !key->retry);
}

void keys_tell_slot(struct keys *k, struct slot *s)
{
	LIST_EACH(&s->keys, n)
	tell(k, CONTAINER_OF(n, struct key, sibling));
}

/* -- bounds ----------------------------------------------------------------------------------- */

static void forget_oldest(struct keys *k, struct list *l)
{
	keys_forget(k, CONTAINER_OF(list_first(l), struct key, order));
}

/* What runs in plaintext has to hear when its destination gets a sidecar. */
static void trim_negatives(struct keys *k, bool (*in_use)(void *arg, const struct addr *ip),
	void *arg)
{
	size_t looks = k->n_negatives;
	while (k->n_negatives > k->max_negatives && looks-- > 0) {
		struct key *key = CONTAINER_OF(list_first(&k->negatives), struct key, order);
		if (key->ip.family != ADDR_NONE && in_use(arg, &key->ip)) {
			order_remove(k, key);
			order_append(k, key);
			continue;
		}
		k->evicted++;
		keys_forget(k, key);
	}
}

void keys_trim(struct keys *k, bool (*in_use)(void *arg, const struct addr *ip), void *arg)
{
	trim_negatives(k, in_use, arg);
	while (k->n_refused > KEYS_REFUSED_MAX)
		forget_oldest(k, &k->refused);
}

/* The oldest of the list, where its time has come; otherwise when that is is in *next. */
static struct key *due(const struct list *l, uint64_t now, uint64_t *next)
{
	struct list_node *n = list_first(l);
	struct key *key = n != NULL ? CONTAINER_OF(n, struct key, order) : NULL;
	if (key == NULL || key->at <= now)
		return key;
	if (*next == 0 || key->at < *next)
		*next = key->at;
	return NULL;
}

uint64_t keys_retry(struct keys *k, uint64_t now)
{
	uint64_t next = 0;
	struct key *key;
	while ((key = due(&k->refused, now, &next)) != NULL)
		keys_forget(k, key); /* whoever wants it asks again */
	while ((key = due(&k->retries, now, &next)) != NULL) {
		set_state(k, key, key->state == KEY_POSITIVE ? KEY_POSITIVE : KEY_PENDING, false);
		say(k, key);
	}
	return next;
}
