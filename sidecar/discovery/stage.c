/*
 * What a response does to the table: new lists of what is required, new versions, removals. Judges
 * each resource by itself; nothing comes into force here (settle.c).
 */
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"
#include "sidecar/discovery/resources_internal.h"

#define FIELD_MAX 63
#define REASON_MAX 255
#define REFUSALS_LOGGED 16 /* of one answer, as warnings; describe has them all */
#define HOSTILE_LOG 32     /* bytes of a peer's name in a log line of a refusal without a slot */

/* -- refusals --------------------------------------------------------------------------------- */

void resources_reject(struct resources *r, const char *name, const ProtobufCBinaryData *hash,
	const char *field, const char *reason)
{
	struct arena *a = &r->rejected_a;
	r->refused++;
	if (r->n_rejected == REJECTIONS_MAX)
		return;
	Weft__Mesh__V1__Rejection *x = ARENA_NEW(a, Weft__Mesh__V1__Rejection);
	weft__mesh__v1__rejection__init(x);
	x->name = arena_strdup(a, str_make(name, strnlen(name, RESOURCE_NAME_MAX)));
	x->field = arena_strdup(a, str_make(field, strnlen(field, FIELD_MAX)));
	x->reason = arena_strdup(a, str_make(reason, strnlen(reason, REASON_MAX)));
	if (hash != NULL && hash->len <= RESOURCE_HASH_MAX) {
		x->hash.len = hash->len;
		x->hash.data = (uint8_t *)arena_strdup(a, str_make(hash->data, hash->len));
	}
	r->rejected[r->n_rejected++] = x;
}

void resources_answered(struct resources *r)
{
	r->n_rejected = 0;
	arena_clear(&r->rejected_a);
}

/* "AuthorizationPolicy/NS/NAME" in pieces; what is not there stays as it is. */
static void name_pieces(const char *name, struct str *ns, struct str *rest)
{
	struct str all = str_from(name), kind;
	*ns = STR("-");
	*rest = all;
	if (str_split(&all, '/', &kind) && str_split(&all, '/', ns) && all.n > 0)
		*rest = all;
	if (ns->n == 0)
		*ns = STR("-");
}

static char *heap_str(struct str s)
{
	return mem_strndup(s.p, s.n);
}

struct version *version_broken(struct resources *r, const char *name,
	const Weft__Mesh__V1__Resource *of, const char *why)
{
	Weft__Mesh__V1__Resource *m = MEM_NEW(Weft__Mesh__V1__Resource);
	Weft__Mesh__V1__AuthorizationPolicy *p = MEM_NEW(Weft__Mesh__V1__AuthorizationPolicy);
	struct str ns, rest;
	weft__mesh__v1__resource__init(m);
	weft__mesh__v1__authorization_policy__init(p);
	m->name = heap_str(str_from(name));
	m->kind_case = WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY;
	m->authorization_policy = p;
	name_pieces(name, &ns, &rest);
	if (of != NULL && of->kind_case == m->kind_case &&
		of->authorization_policy->namespace_[0] != '\0' &&
		of->authorization_policy->name[0] != '\0') {
		ns = str_from(of->authorization_policy->namespace_);
		rest = str_from(of->authorization_policy->name);
	}
	p->namespace_ = heap_str(ns);
	p->name = heap_str(rest);
	p->action = WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__DENY;
	p->broken = heap_str(str_from(why));
	return version_take(r, m);
}

static void remember_refusal(struct slot *s, const ProtobufCBinaryData *hash, const char *field,
	const char *reason)
{
	if (s->refusal == NULL)
		s->refusal = MEM_NEW(struct refusal);
	struct refusal *x = s->refusal;
	*x = (struct refusal){.hash_n = hash->len <= RESOURCE_HASH_MAX ? hash->len : 0};
	memcpy(x->hash, hash->data != NULL ? hash->data : (const uint8_t *)"", x->hash_n);
	(void)str_copy(x->fault.field, sizeof(x->fault.field),
		str_make(field, strnlen(field, FIELD_MAX)));
	(void)str_copy(x->fault.reason, sizeof(x->fault.reason),
		str_make(reason, strnlen(reason, REASON_MAX)));
}

void slot_refuse(struct resources *r, struct slot *s, const Weft__Mesh__V1__Resource *version,
	const char *field, const char *reason)
{
	remember_refusal(s, &version->hash, field, reason);
	resources_reject(r, s->name, &version->hash, field, reason);
	log_at(r->cfg.log, r->n_rejected <= REFUSALS_LOGGED ? LOG_WARN : LOG_DEBUG, "discovery",
		s->good != NULL ? "resource refused; the last good version stays in force"
				: "resource refused; there is none before it",
		LOG_Z("resource", s->name), LOG_Z("field", field), LOG_Z("reason", reason));
	if (s->cur != NULL || (s->want != ROLE_POLICY && s->force != ROLE_POLICY))
		return;
	s->cur = version_broken(r, s->name, version, s->refusal->fault.reason);
	r->dirty = true;
}

/* -- Required --------------------------------------------------------------------------------- */

static enum role kind_role(Weft__Mesh__V1__Resource__KindCase kind)
{
	switch (kind) {
	case WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD:
		return ROLE_WORKLOAD;
	case WEFT__MESH__V1__RESOURCE__KIND_MESH:
		return ROLE_MESH;
	case WEFT__MESH__V1__RESOURCE__KIND_REVOCATIONS:
		return ROLE_REVOCATIONS;
	case WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE:
		return ROLE_BUNDLE;
	case WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY:
		return ROLE_POLICY;
	case WEFT__MESH__V1__RESOURCE__KIND_SERVICE:
	case WEFT__MESH__V1__RESOURCE__KIND_POD:
	case WEFT__MESH__V1__RESOURCE__KIND__NOT_SET:
	case _WEFT__MESH__V1__RESOURCE__KIND__CASE_IS_INT_SIZE:
		break;
	}
	return ROLE_NONE;
}

bool slot_fits(const struct slot *s, const Weft__Mesh__V1__Resource *msg)
{
	enum role role = kind_role(msg->kind_case);
	if (s->force == ROLE_NONE && s->want == ROLE_NONE)
		return msg->kind_case == WEFT__MESH__V1__RESOURCE__KIND_SERVICE ||
			msg->kind_case == WEFT__MESH__V1__RESOURCE__KIND_POD;
	return role != ROLE_NONE && (s->force == ROLE_NONE || s->force == (uint8_t)role) &&
		(s->want == ROLE_NONE || s->want == (uint8_t)role);
}

/* A list in the making. */
struct listing {
	struct resources *r;
	struct required q;
	size_t cap;
	const char *wrong;
};

static void list_name(struct listing *l, enum role role, const char *name)
{
	if (l->wrong != NULL)
		return;
	struct slot *s = resources_slot(l->r, name);
	if (s == NULL)
		l->wrong = "a name is empty or too long";
	else if (s->next != ROLE_NONE && s->next != (uint8_t)role)
		l->wrong = "one name stands for two kinds";
	if (l->wrong != NULL || s->next != ROLE_NONE)
		return;
	if (l->q.n == l->cap) {
		l->cap = l->cap != 0 ? 2 * l->cap : 16;
		l->q.v = mem_resize(l->q.v, l->cap * sizeof(struct slot *));
	}
	s->next = (uint8_t)role;
	l->q.v[l->q.n++] = s;
}

static void list_names(struct listing *l, enum role role, const Weft__Mesh__V1__NameList *names,
	size_t max)
{
	size_t n = names != NULL ? names->n_names : 0;
	if (n > max)
		l->wrong = "more names than this version takes";
	for (size_t i = 0; i < n && l->wrong == NULL; i++)
		list_name(l, role, names->names[i]);
}

/* A single one; empty: it was withheld. */
static void list_one(struct listing *l, enum role role, const char *name)
{
	if (name[0] != '\0')
		list_name(l, role, name);
}

static bool required_same(const struct required *a, const struct required *b)
{
	if (a->known != b->known || a->bundles != b->bundles || a->policies != b->policies ||
		a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i] != b->v[i] || a->v[i]->next != a->v[i]->want)
			return false;
	return true;
}

/* Slots that nobody names now are gone. */
static void list_drop(struct resources *r, struct required *q)
{
	for (size_t i = 0; i < q->n; i++)
		resources_release(r, q->v[i]);
	mem_free(q->v);
	*q = (struct required){0};
}

int resources_require(struct resources *r, const Weft__Mesh__V1__Required *in)
{
	struct listing l = {.r = r};
	l.q.known = true;
	l.q.bundles = in->trust_bundles != NULL;
	l.q.policies = in->authorization_policies != NULL;
	list_one(&l, ROLE_WORKLOAD, in->workload);
	list_one(&l, ROLE_MESH, in->mesh);
	list_one(&l, ROLE_REVOCATIONS, in->revocations);
	list_names(&l, ROLE_BUNDLE, in->trust_bundles, REQUIRED_BUNDLES);
	list_names(&l, ROLE_POLICY, in->authorization_policies, REQUIRED_POLICIES);
	bool same = l.wrong == NULL && required_same(&l.q, &r->want);
	struct required old = l.wrong == NULL ? r->want : l.q;
	if (l.wrong == NULL) {
		for (size_t i = 0; i < old.n; i++)
			old.v[i]->want = ROLE_NONE;
		r->want = l.q;
	}
	for (size_t i = 0; i < l.q.n; i++) {
		if (l.wrong == NULL)
			l.q.v[i]->want = l.q.v[i]->next;
		l.q.v[i]->next = ROLE_NONE;
		resources_touch(r, l.q.v[i]);
	}
	list_drop(r, &old);
	if (l.wrong == NULL) {
		/* Otherwise it is what still comes that changes something. */
		r->dirty |= !same && resources_complete(r);
		return 0;
	}
	resources_reject(r, "Required", NULL, "", l.wrong);
	log_at(r->cfg.log, LOG_WARN, "discovery", "list of what is required refused",
		LOG_Z("reason", l.wrong));
	return ERR_INVAL;
}

/* -- versions --------------------------------------------------------------------------------- */

static void refuse_unasked(struct resources *r, const Weft__Mesh__V1__Resource *m, const char *why)
{
	r->unasked++;
	resources_reject(r, m->name, &m->hash, "", why);
	log_at(r->cfg.log, LOG_DEBUG, "discovery", "resource refused",
		LOG_S("resource", str_make(m->name, strnlen(m->name, HOSTILE_LOG))),
		LOG_Z("reason", why));
}

static bool same_hash(const struct version *v, const Weft__Mesh__V1__Resource *m)
{
	return v != NULL && m->hash.len > 0 &&
		str_eq(str_make(v->msg->hash.data, v->msg->hash.len),
			str_make(m->hash.data, m->hash.len));
}

static bool has_room(const struct resources *r, const struct slot *s,
	const Weft__Mesh__V1__Resource *m)
{
	size_t n = weft__mesh__v1__resource__get_packed_size(m);
	size_t freed = s->cur != NULL && s->cur != s->good ? s->cur->bytes : 0;
	return n <= RESOURCES_BYTES && r->bytes - freed <= RESOURCES_BYTES - n;
}

/* Why a resource that was asked for cannot be: NULL where it can. */
static const char *unfit(struct resources *r, const struct slot *s,
	const Weft__Mesh__V1__Resource *m, struct snapshot_fault *fault)
{
	*fault = (struct snapshot_fault){0};
	if (m->hash.len == 0 || m->hash.len > RESOURCE_HASH_MAX)
		return "a hash has 1 to 64 bytes";
	if (s->fresh)
		return "twice in one response";
	if (!slot_fits(s, m))
		return "not of the kind that it is needed as";
	if (!has_room(r, s, m))
		return "more bytes in all resources than this version takes";
	return r->cfg.check(r->cfg.arg, m, fault) != 0 ? fault->reason : NULL;
}

/* True where m was taken. */
static bool stage_one(struct resources *r, Weft__Mesh__V1__Resource *m)
{
	struct snapshot_fault fault;
	struct slot *s =
		resources_find(r, str_make(m->name, strnlen(m->name, RESOURCE_NAME_MAX + 1)));
	if (s == NULL || (list_empty(&s->keys) && s->want == ROLE_NONE && s->force == ROLE_NONE)) {
		refuse_unasked(r, m, "not asked for");
		return false;
	}
	if (same_hash(s->cur, m) && !s->fresh) {
		slot_forgive(s);
		return false;
	}
	const char *why = unfit(r, s, m, &fault);
	if (why != NULL) {
		slot_refuse(r, s, m, fault.field, why);
		return false;
	}
	struct version *v = version_take(r, m);
	version_drop(r, &s->cur);
	s->cur = v;
	s->fresh = true;
	slot_forgive(s);
	r->fresh[r->n_fresh++] = s;
	r->dirty = true;
	return true;
}

void resources_stage(struct resources *r, Weft__Mesh__V1__Resource **v, size_t n)
{
	for (size_t i = 0; i < r->n_fresh; i++)
		if (r->fresh[i] != NULL)
			r->fresh[i]->fresh = false;
	mem_free(r->fresh);
	r->fresh = mem_alloc_array(n + 1, sizeof(struct slot *));
	r->n_fresh = 0;
	for (size_t i = 0; i < n; i++) {
		if (!stage_one(r, v[i]))
			weft__mesh__v1__resource__free_unpacked(v[i], NULL);
		v[i] = NULL;
	}
}

void resources_remove(struct resources *r, char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct slot *s = resources_find(r,
			str_make(names[i], strnlen(names[i], RESOURCE_NAME_MAX + 1)));
		/* What is required goes with the list that names it, and not before. */
		if (s == NULL || s->force != ROLE_NONE || s->want != ROLE_NONE)
			continue;
		r->dirty |= s->good != NULL || s->cur != NULL;
		version_drop(r, &s->cur);
		slot_forgive(s);
	}
}
