/*
 * The table of resources: versions, slots, the index by address. What responses do to it is in
 * stage.c, how it comes into force in settle.c.
 */
#include "sidecar/discovery/resources_internal.h"

#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/obj.h"

#define MISSING_LINES 16 /* named one by one; the rest is counted */

/* -- versions --------------------------------------------------------------------------------- */

struct version *version_take(struct resources *r, Weft__Mesh__V1__Resource *msg)
{
	struct version *v = MEM_NEW(struct version);
	v->refs = 1;
	v->msg = msg;
	v->bytes = weft__mesh__v1__resource__get_packed_size(msg);
	r->bytes += v->bytes;
	return v;
}

void version_drop(struct resources *r, struct version **vp)
{
	struct version *v = *vp;
	*vp = NULL;
	if (v == NULL || --v->refs > 0)
		return;
	r->bytes -= v->bytes;
	weft__mesh__v1__resource__free_unpacked(v->msg, NULL);
	mem_free(v);
}

void version_set(struct resources *r, struct version **to, struct version *from)
{
	if (from != NULL)
		from->refs++;
	version_drop(r, to);
	*to = from;
}

/* -- slots ------------------------------------------------------------------------------------ */

struct slot *resources_find(const struct resources *r, struct str name)
{
	return name.n <= RESOURCE_NAME_MAX ? map_get(r->slots, name) : NULL;
}

struct slot *resources_slot(struct resources *r, const char *name)
{
	size_t n = strnlen(name, RESOURCE_NAME_MAX + 1);
	if (n == 0 || n > RESOURCE_NAME_MAX)
		return NULL;
	struct slot *s = map_get(r->slots, str_make(name, n));
	if (s != NULL)
		return s;
	s = mem_alloc(sizeof(*s) + n + 1);
	memcpy(s->name, name, n);
	list_init(&s->keys);
	list_node_init(&s->lru);
	map_put(r->slots, str_make(name, n), s);
	return s;
}

static void lru_remove(struct resources *r, struct slot *s)
{
	if (!list_linked(&s->lru))
		return;
	list_remove(&s->lru);
	r->n_lru--;
}

void resources_touch(struct resources *r, struct slot *s)
{
	lru_remove(r, s);
	if (list_empty(&s->keys) || s->pins > 0 || s->force != ROLE_NONE || s->want != ROLE_NONE)
		return;
	list_append(&r->lru, &s->lru);
	r->n_lru++;
}

/* What the slot's version in force can be dialled at: VIPs, or the pod's addresses. */
static const ProtobufCBinaryData *slot_addresses(const struct slot *s, size_t *n)
{
	const Weft__Mesh__V1__Resource *m = s->good != NULL ? s->good->msg : NULL;
	*n = 0;
	if (m != NULL && m->kind_case == WEFT__MESH__V1__RESOURCE__KIND_SERVICE) {
		*n = m->service->n_addresses;
		return m->service->addresses;
	}
	if (m != NULL && m->kind_case == WEFT__MESH__V1__RESOURCE__KIND_POD &&
		m->pod->endpoint != NULL) {
		*n = m->pod->endpoint->n_addresses;
		return m->pod->endpoint->addresses;
	}
	return NULL;
}

bool slot_each_address(const struct slot *s, bool (*fn)(void *arg, const struct addr *ip),
	void *arg)
{
	size_t n;
	const ProtobufCBinaryData *v = slot_addresses(s, &n);
	for (size_t i = 0; i < n; i++) {
		struct addr ip = {.family = v[i].len == 4 ? ADDR_V4 : ADDR_V6};
		if (v[i].len != 4 && v[i].len != 16)
			continue;
		memcpy(ip.bytes, v[i].data, v[i].len);
		if (fn(arg, &ip))
			return true;
	}
	return false;
}

/* On the stack of a walk over addresses. */
struct indexing {
	struct resources *r;
	struct slot *s;
};

static bool index_put(void *arg, const struct addr *ip)
{
	struct indexing *x = arg;
	map_put(x->r->index, addr_key(ip), x->s);
	return false;
}

static bool index_remove(void *arg, const struct addr *ip)
{
	struct indexing *x = arg;
	if (map_get(x->r->index, addr_key(ip)) == x->s)
		map_remove(x->r->index, addr_key(ip));
	return false;
}

struct slot *resources_by_address(const struct resources *r, const struct addr *ip)
{
	return map_get(r->index, addr_key(ip));
}

void slot_forgive(struct slot *s)
{
	mem_free(s->refusal);
	s->refusal = NULL;
}

void slot_commit(struct resources *r, struct slot *s)
{
	struct indexing x = {r, s};
	if (s->good != s->cur) {
		slot_each_address(s, index_remove, &x);
		version_set(r, &s->good, s->cur);
		slot_each_address(s, index_put, &x);
	}
	/* What was refused once, and holds together now. */
	if (s->refusal != NULL && s->cur != NULL && s->refusal->hash_n > 0 &&
		str_eq(str_make(s->refusal->hash, s->refusal->hash_n),
			str_make(s->cur->msg->hash.data, s->cur->msg->hash.len)))
		slot_forgive(s);
}

static void slot_free(struct resources *r, struct slot *s)
{
	struct indexing x = {r, s};
	lru_remove(r, s);
	slot_each_address(s, index_remove, &x);
	version_drop(r, &s->good);
	version_drop(r, &s->cur);
	mem_free(s->refusal);
	mem_free(s);
}

void resources_release(struct resources *r, struct slot *s)
{
	if (!list_empty(&s->keys) || s->force != ROLE_NONE || s->want != ROLE_NONE ||
		s->next != ROLE_NONE)
		return;
	if (s->good != NULL)
		r->dirty = true;
	for (size_t i = 0; i < r->n_fresh; i++)
		if (r->fresh[i] == s)
			r->fresh[i] = NULL;
	map_remove(r->slots, str_from(s->name));
	slot_free(r, s);
}

/* -- the table -------------------------------------------------------------------------------- */

void resources_init(struct resources *r, const struct resources_config *cfg)
{
	*r = (struct resources){.cfg = *cfg};
	r->slots = map_new(cfg->seed);
	r->index = map_new(cfg->seed);
	list_init(&r->lru);
	arena_init(&r->rejected_a, NULL);
}

void resources_fini(struct resources *r)
{
	struct map_entry *at = NULL;
	struct str name;
	void *s;
	while (map_next(r->slots, &at, &name, &s)) {
		map_remove(r->slots, name);
		slot_free(r, s);
	}
	mem_free(r->want.v);
	mem_free(r->force.v);
	mem_free(r->fresh);
	arena_clear(&r->rejected_a);
	map_free(&r->slots);
	map_free(&r->index);
}

bool resources_ready(const struct resources *r)
{
	return r->force.known;
}

static bool has_role(const struct required *q, enum role role)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->v[i]->want == (uint8_t)role)
			return true;
	return false;
}

static bool missing_parts(const struct required *q, struct buf *lines)
{
	const struct {
		bool there;
		const char *what;
	} parts[] = {
		{has_role(q, ROLE_WORKLOAD), "the own workload"},
		{has_role(q, ROLE_MESH), "the mesh configuration"},
		{has_role(q, ROLE_REVOCATIONS), "the revocations"},
		{q->bundles, "the list of trust bundles"},
		{q->policies, "the list of authorization policies"},
	};
	bool all = true;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].there)
			continue;
		all = false;
		if (lines != NULL)
			buf_printf(lines, "withheld: %s\n", parts[i].what);
	}
	return all;
}

bool resources_complete(const struct resources *r)
{
	const struct required *q = &r->want;
	if (!q->known || !missing_parts(q, NULL))
		return false;
	for (size_t i = 0; i < q->n; i++)
		if (q->v[i]->cur == NULL || !slot_fits(q->v[i], q->v[i]->cur->msg))
			return false;
	return true;
}

bool resources_missing(const struct resources *r, struct buf *lines)
{
	const struct required *q = &r->want;
	size_t n = 0;
	if (!q->known) {
		if (r->force.known)
			return true;
		buf_printf(lines, "the control plane has not said yet what is required\n");
		return false;
	}
	bool all = missing_parts(q, lines);
	for (size_t i = 0; i < q->n; i++) {
		const struct slot *s = q->v[i];
		if (s->cur != NULL && slot_fits(s, s->cur->msg))
			continue;
		if (n++ >= MISSING_LINES)
			continue;
		if (s->refusal != NULL)
			buf_printf(lines, "refused: %s: %s: %s\n", s->name, s->refusal->fault.field,
				s->refusal->fault.reason);
		else
			buf_printf(lines, "missing: %s\n", s->name);
	}
	if (n > MISSING_LINES)
		buf_printf(lines, "missing: %zu more\n", n - MISSING_LINES);
	if (all && n == 0 && r->failure.reason[0] != '\0')
		buf_printf(lines, "refused as a whole: %s: %s\n", r->failure.field,
			r->failure.reason);
	return all && n == 0 && r->failure.reason[0] == '\0';
}
