/*
 * The pass of a plan: what a catalog has for the stream against what it has been told, step by
 * step, within a budget. Owns the catalog's reference and the response meanwhile.
 */
#include "ctrlplane/push/plan.h"

#include "ctrlplane/push/plan_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/obj.h"

#define ADDRESS_V4 4
#define TOO_LARGE "the resource is larger than a message may be"

void plan_end_pass(struct plan *p)
{
	if (p->catalog == NULL)
		return;
	response_fini(&p->response);
	catalog_unref(&p->catalog);
	mem_free(p->position);
	p->position = NULL;
	p->required = NULL;
	p->cursor = NULL;
}

static int begin_pass(struct plan *p, struct catalog *c, struct str position, char *err,
	size_t size)
{
	const struct catalog_required *required;
	int e = catalog_required(c, p->cfg.ns, p->cfg.pod, &required, err, size);
	if (e != 0)
		return e;
	p->catalog = catalog_ref(c);
	p->required = required;
	p->position = mem_strndup(position.p, position.n);
	p->step = PLAN_REQUIRED;
	p->at = 0;
	p->passes++;
	response_init(&p->response, p->cfg.response_bytes);
	return 0;
}

/* --- resources --- */

/* Whether the version must be sent. */
static bool wanted(struct plan *p, struct plan_resource *r, const struct compiled *c)
{
	ASSERT(c->hash.n == PLAN_HASH);
	if (r->in_force && memcmp(r->force, c->hash.p, PLAN_HASH) == 0) {
		if (r->state == PLAN_REJECTED) {
			plan_unreject(p, r);
			r->state = PLAN_ACKNOWLEDGED;
			memcpy(r->sent, r->force, PLAN_HASH);
		}
		return false;
	}
	bool told = r->state == PLAN_SENT || r->state == PLAN_REJECTED;
	return !told || memcmp(r->sent, c->hash.p, PLAN_HASH) != 0;
}

static void send_resource(struct plan *p, struct plan_resource *r, const struct compiled *c)
{
	response_add_resource(&p->response, c);
	plan_unreject(p, r);
	memcpy(r->sent, c->hash.p, PLAN_HASH);
	r->state = PLAN_SENT;
	list_remove(&r->flight);
	list_append(&p->flight, &r->flight);
}

static struct str required_name(const struct catalog_required *q, size_t i)
{
	const struct str one[] = {q->workload, q->mesh, q->revocations};
	const size_t ones = sizeof(one) / sizeof(one[0]);
	if (i < ones)
		return one[i];
	i -= ones;
	if (i < q->n_bundles)
		return q->bundles[i];
	i -= q->n_bundles;
	return i < q->n_policies ? q->policies[i] : STR_NULL;
}

static void count_large(struct plan *p, const struct compiled *c)
{
	p->too_large++;
	mem_free(p->large);
	p->large = mem_strndup(c->name.p, c->name.n);
}

/* False where the response is full. */
static bool step_required(struct plan *p)
{
	struct str name = required_name(p->required, p->at);
	if (name.p == NULL) {
		p->step = PLAN_LIST;
		return true;
	}
	p->at++;
	const struct compiled *c = catalog_resource(p->catalog, name);
	if (c == NULL)
		return true;
	struct plan_resource *r = plan_resource_of(p, c->name);
	r->required_in = p->passes;
	if (!wanted(p, r, c))
		return true;
	if (c->packed.n > p->cfg.resource_bytes) {
		count_large(p, c);
		return true;
	}
	if (!response_fits(&p->response, response_resource_bytes(c)))
		return false;
	send_resource(p, r, c);
	return true;
}

/* --- the list of what is required --- */

static Weft__Mesh__V1__NameList *name_list(struct arena *a, const struct str *names, size_t n)
{
	Weft__Mesh__V1__NameList *l = ARENA_NEW(a, Weft__Mesh__V1__NameList);
	weft__mesh__v1__name_list__init(l);
	l->names = arena_alloc(a, (n + 1) * sizeof(*l->names));
	for (l->n_names = 0; l->n_names < n; l->n_names++)
		l->names[l->n_names] = arena_strdup(a, names[l->n_names]);
	return l;
}

static Weft__Mesh__V1__Required *required_message(struct arena *a, const struct catalog_required *q)
{
	Weft__Mesh__V1__Required *m = ARENA_NEW(a, Weft__Mesh__V1__Required);
	weft__mesh__v1__required__init(m);
	m->workload = arena_strdup(a, q->workload);
	m->mesh = arena_strdup(a, q->mesh);
	m->revocations = arena_strdup(a, q->revocations);
	m->trust_bundles = name_list(a, q->bundles, q->n_bundles);
	m->authorization_policies = name_list(a, q->policies, q->n_policies);
	return m;
}

static bool step_list(struct plan *p)
{
	Weft__Mesh__V1__Required *m = required_message(&p->response.arena, p->required);
	size_t n = weft__mesh__v1__required__get_packed_size(m);
	uint8_t *packed = mem_alloc(n + 1);
	weft__mesh__v1__required__pack(m, packed);
	bool same = p->told_required.p != NULL && str_eq(p->told_required, str_make(packed, n));
	if (same || !response_fits(&p->response, response_required_bytes(m))) {
		mem_free(packed);
		p->step = PLAN_REFUSALS;
		return same;
	}
	response_set_required(&p->response, m);
	mem_free((void *)(uintptr_t)p->told_required.p);
	p->told_required = str_make(packed, n);
	p->step = PLAN_REFUSALS;
	return true;
}

/* --- keys --- */

static Weft__Mesh__V1__Answer *answer_message(struct arena *a, const struct plan_key *k)
{
	struct str s = str_make(k->bytes + 1, k->n - 1);
	Weft__Mesh__V1__Answer *m = ARENA_NEW(a, Weft__Mesh__V1__Answer);
	weft__mesh__v1__answer__init(m);
	m->key = ARENA_NEW(a, Weft__Mesh__V1__Key);
	weft__mesh__v1__key__init(m->key);
	m->key->by_case = (Weft__Mesh__V1__Key__ByCase)k->bytes[0];
	if (m->key->by_case == WEFT__MESH__V1__KEY__BY_ADDRESS) {
		s = arena_str(a, s);
		m->key->address.data = (uint8_t *)(uintptr_t)s.p;
		m->key->address.len = s.n;
	} else if (m->key->by_case == WEFT__MESH__V1__KEY__BY_NAME) {
		m->key->name = arena_strdup(a, s);
	}
	return m;
}

static bool step_refusal(struct plan *p)
{
	struct list_node *n = list_first(&p->refusals);
	if (n == NULL) {
		p->step = PLAN_KEYS;
		p->cursor = p->keys.head.next;
		return true;
	}
	struct plan_key *k = CONTAINER_OF(n, struct plan_key, node);
	Weft__Mesh__V1__Answer *m = answer_message(&p->response.arena, k);
	m->refused = arena_strdup(&p->response.arena, str_from(k->why));
	if (!response_fits(&p->response, response_answer_bytes(m)))
		return false;
	response_add_answer(&p->response, m);
	list_remove(&k->node);
	p->n_refusals--;
	p->refusal_bytes -= k->n;
	mem_free(k);
	return true;
}

static const struct compiled *resolve(struct plan *p, const struct plan_key *k)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const uint8_t *b = k->bytes + 1;
	size_t n = k->n - 1;
	struct addr ip = {.family = ADDR_V6};
	if (k->bytes[0] == WEFT__MESH__V1__KEY__BY_NAME)
		return catalog_by_name(p->catalog, str_make(b, n));
	if (n != ADDRESS_V4 && memcmp(b, mapped, sizeof(mapped)) == 0) {
		b += sizeof(mapped);
		n = ADDRESS_V4;
	}
	if (n == ADDRESS_V4)
		ip.family = ADDR_V4;
	memcpy(ip.bytes, b, n);
	return catalog_by_address(p->catalog, &ip);
}

/* Where the key leads from now on. */
static void lead(struct plan_key *k, enum plan_answer told, struct plan_resource *to)
{
	if (k->to != NULL)
		k->to->keys--;
	k->told = told;
	k->to = to;
	k->again = false;
	if (to != NULL)
		to->keys++;
}

/* The answer that differs from what the key was told, with its resource where that is wanted. */
static bool answer_key(struct plan *p, struct plan_key *k, enum plan_answer told,
	const struct compiled *c, const struct compiled *send)
{
	struct arena *a = &p->response.arena;
	Weft__Mesh__V1__Answer *m = answer_message(a, k);
	if (told == PLAN_LEADS)
		m->resource = arena_strdup(a, c->name);
	else if (told == PLAN_REFUSED)
		m->refused = arena_strdup(a, str_from(TOO_LARGE));
	m->not_meshed = told == PLAN_NOT_MESHED;
	size_t n = response_answer_bytes(m);
	if (send != NULL)
		n += response_resource_bytes(send);
	if (!response_fits(&p->response, n))
		return false;
	response_add_answer(&p->response, m);
	lead(k, told, told == PLAN_LEADS ? plan_resource_of(p, c->name) : NULL);
	return true;
}

static bool step_key(struct plan *p)
{
	if (p->cursor == &p->keys.head) {
		p->step = PLAN_REMOVALS;
		p->cursor = p->resources.head.next;
		return true;
	}
	struct plan_key *k = CONTAINER_OF(p->cursor, struct plan_key, node);
	const struct compiled *c = resolve(p, k), *send = NULL;
	enum plan_answer told = c == NULL             ? PLAN_NOT_MESHED
		: c->packed.n > p->cfg.resource_bytes ? PLAN_REFUSED
						      : PLAN_LEADS;
	struct plan_resource *r = told == PLAN_LEADS ? map_get(p->by_name, c->name) : NULL;
	if (told == PLAN_LEADS && (r == NULL || wanted(p, r, c)))
		send = c;
	bool same = !k->again && k->told == told && k->to == r;
	if (!same && !answer_key(p, k, told, c, send))
		return false;
	if (same && send != NULL && !response_fits(&p->response, response_resource_bytes(c)))
		return false;
	if (send != NULL)
		send_resource(p, k->to, c);
	if (!same && told == PLAN_REFUSED)
		count_large(p, c);
	p->cursor = k->node.next;
	return true;
}

/* --- removals --- */

static bool step_removal(struct plan *p)
{
	if (p->cursor == &p->resources.head) {
		p->step = PLAN_DONE;
		return true;
	}
	struct plan_resource *r = CONTAINER_OF(p->cursor, struct plan_resource, node);
	if (r->keys != 0 || r->required_in == p->passes) {
		p->cursor = r->node.next;
		return true;
	}
	if (!response_fits(&p->response, response_removed_bytes(r->name)))
		return false;
	response_add_removed(&p->response, r->name);
	plan_forget(p, r); /* moves the cursor on */
	return true;
}

static bool step(struct plan *p)
{
	switch (p->step) {
	case PLAN_REQUIRED:
		return step_required(p);
	case PLAN_LIST:
		return step_list(p);
	case PLAN_REFUSALS:
		return step_refusal(p);
	case PLAN_KEYS:
		return step_key(p);
	case PLAN_REMOVALS:
		return step_removal(p);
	case PLAN_DONE:
		break;
	}
	return false;
}

enum plan_verdict plan_run(struct plan *p, struct catalog *c, struct str position, size_t budget,
	char *err, size_t size)
{
	if (p->catalog == NULL && begin_pass(p, c, position, err, size) != 0)
		return PLAN_WITHHELD;
	for (; p->step != PLAN_DONE; budget--) {
		if (budget == 0)
			return PLAN_MORE;
		if (!step(p))
			p->step = PLAN_DONE;
	}
	if (!response_empty(&p->response))
		return PLAN_RESPONSE;
	plan_end_pass(p);
	return PLAN_NOTHING;
}

struct plan_taken plan_take(struct plan *p, struct str nonce)
{
	const struct response *r = &p->response;
	struct plan_taken t = {.resources = r->resources.n,
		.removed = r->removed.n,
		.answers = r->answers.n,
		.complete = !r->cut};
	ASSERT(p->catalog != NULL && p->step == PLAN_DONE);
	if (t.complete) {
		t.position = p->position;
		p->position = NULL;
	}
	t.bytes = response_pack(r, nonce, str_from(t.position), &t.n);
	plan_end_pass(p);
	return t;
}
