/*
 * Discovery as its user sees it: asks, touches, what is in force, readiness. Joins the tables of
 * resources and keys with the stream, and does in one deferred step what a turn made necessary.
 */
#include "sidecar/discovery/discovery_internal.h"

#include "lib/base/alloc.h"
#include "lib/base/err.h"

#define TRIM_AGAIN_NS NS_PER_S

/* -- between the tables and the user ---------------------------------------------------------- */

static int check(void *arg, const Weft__Mesh__V1__Resource *r, struct snapshot_fault *fault)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	return d->cfg.user->check(d->cfg.arg, r, fault);
}

static int apply(void *arg, Weft__Mesh__V1__State *st, struct snapshot_fault *fault)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	st->position = d->position;
	keys_fill(&d->keys, st);
	int e = d->cfg.user->apply(d->cfg.arg, st, fault);
	mem_free(st->not_meshed);
	st->not_meshed = NULL;
	st->n_not_meshed = 0;
	d->changed |= e == 0;
	return e;
}

/* On the stack of a look at a destination. */
static bool address_in_use(void *arg, const struct addr *ip)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	return d->cfg.user->in_use(d->cfg.arg, ip);
}

static bool slot_in_use(struct discovery *d, const struct slot *s)
{
	if (slot_each_address(s, address_in_use, d))
		return true;
	LIST_EACH(&s->keys, n)
	{
		const struct key *key = CONTAINER_OF(n, struct key, sibling);
		if (key->ip.family != ADDR_NONE && address_in_use(d, &key->ip))
			return true;
	}
	return false;
}

/* Down to max_destinations, the least used first, none of those in use. */
static void trim_destinations(struct discovery *d)
{
	size_t looks = d->res.n_lru;
	while (d->res.n_lru > d->cfg.max_destinations && looks-- > 0) {
		struct slot *s = CONTAINER_OF(list_first(&d->res.lru), struct slot, lru);
		if (slot_in_use(d, s)) {
			resources_touch(&d->res, s);
			continue;
		}
		d->forgotten++;
		keys_forget_slot(&d->keys, s);
	}
}

static void tell(struct discovery *d)
{
	struct list told;
	struct list_node *n;
	list_init(&told);
	list_splice(&told, &d->keys.tell);
	/* Whoever is told may ask again at once, and be told later. */
	while ((n = list_pop(&told)) != NULL) {
		const struct key *key = CONTAINER_OF(n, struct key, tell);
		struct addr ip = key->ip;
		if (key_open(key))
			list_append(&d->keys.tell, n);
		else
			d->cfg.user->answered(d->cfg.arg, &ip);
	}
}

static void settle(struct discovery *d)
{
	if (!resources_settle(&d->res) || d->was_ready)
		return;
	d->was_ready = true;
	log_at(d->cfg.log, LOG_INFO, "discovery", "what is required is in force",
		LOG_U("resources", map_count(d->res.slots)), LOG_Z("position", d->position));
}

/* What is over a bound because it was in use goes soon after it is not: nobody tells us when. */
static uint64_t trim(struct discovery *d, uint64_t now)
{
	trim_destinations(d);
	keys_trim(&d->keys, address_in_use, d);
	bool over = d->res.n_lru > d->cfg.max_destinations ||
		d->keys.n_negatives > d->keys.max_negatives;
	return over ? now + TRIM_AGAIN_NS : UINT64_MAX;
}

static void on_after(void *arg)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	settle(d);
	tell(d);
	uint64_t now = loop_now(d->cfg.loop);
	uint64_t again = trim(d, now);
	settle(d);
	if (d->keys.changed || d->changed) {
		d->keys.changed = d->changed = false;
		d->cfg.user->changed(d->cfg.arg);
	}
	uint64_t next = keys_retry(&d->keys, now);
	if (next == 0 || next > again)
		next = again;
	if (next != UINT64_MAX)
		loop_timer_at(&d->retry, next);
	loop_flush(&d->flush);
}

static void on_retry(void *arg)
{
	on_after(arg);
}

static void on_flush(void *arg)
{
	stream_flush(OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg));
}

/* -- what a server says ----------------------------------------------------------------------- */

static void take_answers(struct discovery *d, const Weft__Mesh__V1__DiscoveryResponse *m)
{
	uint64_t now = loop_now(d->cfg.loop);
	for (size_t i = 0; i < m->n_answers; i++) {
		const Weft__Mesh__V1__Answer *a = m->answers[i];
		if (keys_answer(&d->keys, a, now) && a->refused[0] != '\0')
			log_at(d->cfg.log, LOG_DEBUG, "discovery", "subscription refused",
				LOG_Z("reason", a->refused));
	}
}

static void tell_fresh(struct discovery *d)
{
	for (size_t i = 0; i < d->res.n_fresh; i++)
		if (d->res.fresh[i] != NULL && d->res.fresh[i]->good == NULL)
			keys_tell_slot(&d->keys, d->res.fresh[i]);
}

int discovery_take(struct discovery *d, Weft__Mesh__V1__DiscoveryResponse *m)
{
	size_t n = strnlen(m->nonce, NONCE_MAX + 1);
	if (n == 0 || n > NONCE_MAX || strnlen(m->position, POSITION_MAX + 1) > POSITION_MAX ||
		d->stream.nonce[0] != '\0')
		return ERR_PROTOCOL;
	memcpy(d->stream.nonce, m->nonce, n + 1);
	if (m->required != NULL)
		(void)resources_require(&d->res, m->required);
	take_answers(d, m);
	resources_stage(&d->res, m->resources, m->n_resources);
	tell_fresh(d);
	resources_remove(&d->res, m->removed, m->n_removed);
	if (m->position[0] != '\0' && strcmp(m->position, d->position) != 0) {
		(void)str_copy(d->position, sizeof(d->position), str_from(m->position));
		d->changed = true;
	}
	settle(d);
	loop_defer(&d->after);
	return 0;
}

/* -- for the user ----------------------------------------------------------------------------- */

static void subscribe_names(struct discovery *d)
{
	struct str rest = str_from(d->cfg.names), name;
	while (rest.n > 0 && str_split(&rest, ',', &name)) {
		name = str_trim(name);
		if (name.n > 0 && !keys_pin(&d->keys, name))
			log_at(d->cfg.log, LOG_WARN, "discovery", "destination left out",
				LOG_S("name", name));
	}
}

struct discovery *discovery_new(const struct discovery_config *cfg)
{
	struct discovery *d = MEM_NEW(struct discovery);
	struct resources_config rc = {.check = check,
		.apply = apply,
		.arg = d,
		.log = cfg->log,
		.seed = rng_next(cfg->rng)};
	d->obj.magic = DISCOVERY_MAGIC;
	d->cfg = *cfg;
	resources_init(&d->res, &rc);
	keys_init(&d->keys, &d->res, cfg->max_negatives, rng_next(cfg->rng));
	loop_task_init(&d->after, cfg->loop, on_after, d);
	loop_task_init(&d->flush, cfg->loop, on_flush, d);
	loop_timer_init(&d->retry, cfg->loop, on_retry, d);
	weft__mesh__v1__state__init(&d->filled);
	stream_init(d);
	subscribe_names(d);
	return d;
}

static bool restore_key(struct discovery *d, const ProtobufCBinaryData *b, struct slot *s)
{
	struct addr ip = {.family = b->len == 4 ? ADDR_V4 : ADDR_V6};
	if (b->len != 4 && b->len != 16)
		return false;
	memcpy(ip.bytes, b->data, b->len);
	keys_restore(&d->keys, &ip, NULL, s);
	return true;
}

/* Subscribed to by its addresses, as applications dial them; without any, by its name. */
static void restore_used(struct discovery *d, const Weft__Mesh__V1__Resource *r)
{
	struct slot *s = resources_restore_one(&d->res, r);
	const ProtobufCBinaryData *v = NULL;
	size_t n = 0;
	if (s == NULL)
		return;
	if (r->kind_case == WEFT__MESH__V1__RESOURCE__KIND_POD && r->pod->endpoint != NULL) {
		v = r->pod->endpoint->addresses;
		n = r->pod->endpoint->n_addresses;
	} else if (r->kind_case == WEFT__MESH__V1__RESOURCE__KIND_SERVICE) {
		v = r->service->addresses;
		n = r->service->n_addresses;
	}
	for (size_t i = 0; i < n; i++)
		(void)restore_key(d, &v[i], s);
	if (n == 0 && r->kind_case == WEFT__MESH__V1__RESOURCE__KIND_SERVICE) {
		char *name = mem_printf("%s/%s", r->service->namespace_, r->service->name);
		keys_restore(&d->keys, NULL, name, s);
		mem_free(name);
	}
	resources_release(&d->res, s);
}

void discovery_restore(struct discovery *d, const Weft__Mesh__V1__State *st)
{
	resources_restore(&d->res, st);
	for (size_t i = 0; i < st->n_used; i++)
		restore_used(d, st->used[i]);
	for (size_t i = 0; i < st->n_not_meshed; i++)
		(void)restore_key(d, &st->not_meshed[i], NULL);
	if (strnlen(st->position, POSITION_MAX + 1) <= POSITION_MAX)
		(void)str_copy(d->position, sizeof(d->position), str_from(st->position));
	keys_trim(&d->keys, address_in_use, d);
	d->res.dirty = d->changed = d->keys.changed = false;
	d->was_ready = resources_ready(&d->res);
}

void discovery_start(struct discovery *d)
{
	stream_start(d);
}

void discovery_kick(struct discovery *d)
{
	stream_kick(d);
}

void discovery_free(struct discovery **dp)
{
	struct discovery *d = *dp;
	*dp = NULL;
	if (d == NULL)
		return;
	stream_fini(d);
	loop_task_cancel(&d->after);
	loop_task_cancel(&d->flush);
	loop_timer_stop(&d->retry);
	keys_fini(&d->keys);
	resources_fini(&d->res);
	resources_unfill(&d->filled);
	mem_free(d->filled.not_meshed);
	mem_free(d);
}

int discovery_ask(void *arg, const struct addr *ip)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	enum lookup_answer a = keys_ask(&d->keys, ip, loop_now(d->cfg.loop));
	if (keys_unsaid(&d->keys))
		loop_flush(&d->flush);
	return a;
}

void discovery_touch(void *arg, const struct addr *ip)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	struct addr key = addr_with_port(ip, 0);
	struct slot *s = resources_by_address(&d->res, &key);
	if (s != NULL)
		resources_touch(&d->res, s);
}

void discovery_refresh(void *arg, const struct addr *ip)
{
	struct discovery *d = OBJ_CAST(struct discovery, DISCOVERY_MAGIC, arg);
	struct addr key = addr_with_port(ip, 0);
	keys_refresh(&d->keys, &key, loop_now(d->cfg.loop));
	if (keys_unsaid(&d->keys))
		loop_flush(&d->flush);
}

bool discovery_fill(struct discovery *d, Weft__Mesh__V1__State *st)
{
	Weft__Mesh__V1__State *f = &d->filled;
	resources_unfill(f);
	mem_free(f->not_meshed);
	f->n_not_meshed = 0;
	resources_fill(&d->res, f);
	keys_fill(&d->keys, f);
	st->n_required = f->n_required;
	st->required = f->required;
	st->n_used = f->n_used;
	st->used = f->used;
	st->n_not_meshed = f->n_not_meshed;
	st->not_meshed = f->not_meshed;
	st->position = d->position;
	return resources_ready(&d->res);
}

bool discovery_ready(const struct discovery *d, struct buf *reasons)
{
	if (resources_ready(&d->res))
		return true;
	(void)resources_missing(&d->res, reasons);
	if (d->stream.failure[0] != '\0')
		buf_printf(reasons, "control plane: %s\n", d->stream.failure);
	else if (!stream_connected(d))
		buf_printf(reasons, "control plane: not connected yet\n");
	return false;
}

bool discovery_connected(const struct discovery *d)
{
	return stream_connected(d);
}
