/*
 * How resources come into force: one candidate State, and what does not hold together put back one
 * by one, then all at once. Also what of them is told to others: the last-good file, the held list.
 */
#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "sidecar/discovery/resources_internal.h"

/* -- the candidate ---------------------------------------------------------------------------- */

static bool slot_used(const struct slot *s)
{
	return !list_empty(&s->keys) && s->force == ROLE_NONE && s->want == ROLE_NONE;
}

/* cur: what is to be; otherwise what is in force. */
static void fill(const struct resources *r, const struct required *q, bool cur,
	Weft__Mesh__V1__State *st)
{
	struct map_entry *at = NULL;
	struct str name;
	void *value;
	st->required = mem_alloc_array(q->n + 1, sizeof(*st->required));
	st->used = mem_alloc_array(map_count(r->slots) + 1, sizeof(*st->used));
	for (size_t i = 0; i < q->n; i++) {
		const struct version *v = cur ? q->v[i]->cur : q->v[i]->good;
		if (v != NULL)
			st->required[st->n_required++] = v->msg;
	}
	while (map_next(r->slots, &at, &name, &value)) {
		const struct slot *s = value;
		const struct version *v = cur ? s->cur : s->good;
		if (v != NULL && slot_used(s))
			st->used[st->n_used++] = v->msg;
	}
}

void resources_unfill(Weft__Mesh__V1__State *st)
{
	mem_free(st->required);
	mem_free(st->used);
	st->required = st->used = NULL;
	st->n_required = st->n_used = 0;
}

void resources_fill(const struct resources *r, Weft__Mesh__V1__State *st)
{
	fill(r, &r->force, false, st);
}

/* -- into force ------------------------------------------------------------------------------- */

/* The new list is in force: the old one's slots go where nobody names them. */
static void force_wanted(struct resources *r)
{
	struct required old = r->force;
	r->force = (struct required){.known = true, .bundles = true, .policies = true};
	r->force.v = mem_alloc_array(r->want.n + 1, sizeof(struct slot *));
	r->force.n = r->want.n;
	memcpy(r->force.v, r->want.v, r->want.n * sizeof(struct slot *));
	for (size_t i = 0; i < old.n; i++)
		old.v[i]->force = ROLE_NONE;
	for (size_t i = 0; i < r->force.n; i++)
		r->force.v[i]->force = r->force.v[i]->want;
	for (size_t i = 0; i < old.n; i++)
		resources_release(r, old.v[i]);
	mem_free(old.v);
}

static void commit(struct resources *r, bool wanted)
{
	struct map_entry *at = NULL;
	struct str name;
	void *value;
	if (wanted &&
		(!r->force.known || r->want.n != r->force.n ||
			memcmp(r->want.v, r->force.v, r->want.n * sizeof(struct slot *)) != 0))
		force_wanted(r);
	while (map_next(r->slots, &at, &name, &value)) {
		struct slot *s = value;
		if (s->force != ROLE_NONE || slot_used(s))
			slot_commit(r, s);
	}
	r->applied++;
	r->dirty = false;
	r->failure.reason[0] = '\0';
}

/* 0, or ERR_* with the fault. wanted: with the list that is wanted, not the one in force. */
static int try(struct resources *r, bool wanted, struct snapshot_fault *fault)
{
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	*fault = (struct snapshot_fault){0};
	fill(r, wanted ? &r->want : &r->force, true, &st);
	int e = r->cfg.apply(r->cfg.arg, &st, fault);
	resources_unfill(&st);
	if (e == 0)
		commit(r, wanted);
	return e;
}

/* The slot's version is refused, and what was before it stays; false where nothing is new in it. */
static bool put_back(struct resources *r, struct slot *s, const struct snapshot_fault *fault)
{
	if (s->cur == NULL || s->cur == s->good || s->cur->msg->hash.len == 0 /* ours */)
		return false;
	struct version *refused = s->cur;
	refused->refs++;
	version_set(r, &s->cur, s->good);
	slot_refuse(r, s, refused->msg, fault->field, fault->reason);
	version_drop(r, &refused);
	return true;
}

/* All that the response brought. What is required and never was in force stays at hand: nothing
 * but new resources can make it hold. */
static void put_all_back(struct resources *r, const struct snapshot_fault *fault)
{
	for (size_t i = 0; i < r->n_fresh; i++) {
		struct slot *s = r->fresh[i];
		if (s == NULL || s->cur == NULL || s->cur == s->good || s->cur->msg->hash.len == 0)
			continue;
		if (s->good != NULL || slot_used(s))
			(void)put_back(r, s, fault);
		else
			resources_reject(r, s->name, &s->cur->msg->hash, fault->field,
				fault->reason);
	}
}

static bool settle_tries(struct resources *r, struct snapshot_fault *fault)
{
	for (int i = 0; i < SETTLE_TRIES; i++) {
		bool wanted = resources_complete(r);
		if (!wanted && !r->force.known)
			return true;
		if (try(r, wanted, fault) == 0)
			return true;
		struct slot *s = fault->resource != NULL
			? resources_find(r, str_from(fault->resource))
			: NULL;
		if (s == NULL || !put_back(r, s, fault))
			return false;
	}
	return false;
}

static void settle_as_a_whole(struct resources *r, struct snapshot_fault *fault)
{
	struct snapshot_fault again;
	struct snapshot_fault whole = *fault;
	put_all_back(r, fault);
	bool wanted = resources_complete(r);
	if (wanted && try(r, true, &again) == 0)
		return;
	if (r->force.known && try(r, false, &again) == 0)
		r->dirty = false;
	r->failure = whole;
	r->failure.resource = NULL;
	log_at(r->cfg.log, LOG_WARN, "discovery", "refused as a whole; what was in force stays",
		LOG_Z("field", whole.field), LOG_Z("reason", whole.reason));
}

bool resources_settle(struct resources *r)
{
	struct snapshot_fault fault;
	uint64_t before = r->applied;
	if (!r->dirty || r->settling)
		return false;
	r->settling = true;
	r->dirty = false;
	if (!settle_tries(r, &fault))
		settle_as_a_whole(r, &fault);
	for (size_t i = 0; i < r->n_fresh; i++)
		if (r->fresh[i] != NULL)
			r->fresh[i]->fresh = false;
	r->n_fresh = 0;
	r->settling = false;
	return r->applied != before;
}

/* -- from and for others ---------------------------------------------------------------------- */

static struct version *version_copy(struct resources *r, const Weft__Mesh__V1__Resource *m)
{
	size_t n = weft__mesh__v1__resource__get_packed_size(m);
	uint8_t *p = mem_alloc(n + 1);
	weft__mesh__v1__resource__pack(m, p);
	Weft__Mesh__V1__Resource *copy = weft__mesh__v1__resource__unpack(NULL, n, p);
	mem_free(p);
	return copy != NULL ? version_take(r, copy) : NULL;
}

struct slot *resources_restore_one(struct resources *r, const Weft__Mesh__V1__Resource *m)
{
	struct slot *s = resources_slot(r, m->name);
	if (s == NULL || s->good != NULL)
		return NULL;
	if (slot_fits(s, m))
		s->cur = version_copy(r, m);
	if (s->cur == NULL) {
		resources_release(r, s);
		return NULL;
	}
	slot_commit(r, s);
	return s;
}

static const char *name_of_kind(const Weft__Mesh__V1__State *st,
	Weft__Mesh__V1__Resource__KindCase kind)
{
	for (size_t i = 0; i < st->n_required; i++)
		if (st->required[i]->kind_case == kind)
			return st->required[i]->name;
	return "";
}

static void names_of_kind(const Weft__Mesh__V1__State *st, Weft__Mesh__V1__Resource__KindCase kind,
	Weft__Mesh__V1__NameList *out)
{
	weft__mesh__v1__name_list__init(out);
	out->names = mem_alloc_array(st->n_required + 1, sizeof(char *));
	for (size_t i = 0; i < st->n_required; i++)
		if (st->required[i]->kind_case == kind)
			out->names[out->n_names++] = st->required[i]->name;
}

void resources_restore(struct resources *r, const Weft__Mesh__V1__State *st)
{
	Weft__Mesh__V1__Required q = WEFT__MESH__V1__REQUIRED__INIT;
	Weft__Mesh__V1__NameList bundles, policies;
	names_of_kind(st, WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE, &bundles);
	names_of_kind(st, WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY, &policies);
	q.trust_bundles = &bundles;
	q.authorization_policies = &policies;
	/* The names are copied by the table. */
	q.workload = (char *)(uintptr_t)name_of_kind(st, WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD);
	q.mesh = (char *)(uintptr_t)name_of_kind(st, WEFT__MESH__V1__RESOURCE__KIND_MESH);
	q.revocations =
		(char *)(uintptr_t)name_of_kind(st, WEFT__MESH__V1__RESOURCE__KIND_REVOCATIONS);
	if (resources_require(r, &q) == 0) {
		for (size_t i = 0; i < st->n_required; i++)
			(void)resources_restore_one(r, st->required[i]);
		if (resources_complete(r))
			force_wanted(r);
	}
	mem_free(bundles.names);
	mem_free(policies.names);
	resources_answered(r);
	r->dirty = false;
}

void resources_held(const struct resources *r, struct arena *a, size_t max,
	Weft__Mesh__V1__DiscoveryRequest *out)
{
	struct map_entry *at = NULL;
	struct str name;
	void *value;
	out->held = arena_alloc(a, (map_count(r->slots) + 1) * sizeof(*out->held));
	while (map_next(r->slots, &at, &name, &value)) {
		const struct slot *s = value;
		if (s->good == NULL || s->good->msg->hash.len == 0)
			continue; /* nothing that the server could compare */
		size_t bytes = name.n + s->good->msg->hash.len + 8;
		if (bytes > max)
			break; /* what is not named here is sent again */
		max -= bytes;
		Weft__Mesh__V1__Held *h = ARENA_NEW(a, Weft__Mesh__V1__Held);
		weft__mesh__v1__held__init(h);
		h->name = (char *)(uintptr_t)s->name;
		h->hash = s->good->msg->hash;
		out->held[out->n_held++] = h;
	}
}
