/*
 * The pass of a ledger: what a catalog has for the stream against what it has been told, step by
 * step, within a budget. Owns the catalog's reference and the response meanwhile.
 */
#include "ctrlplane/push/ledger.h"

#include "ctrlplane/push/ledger_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/obj.h"

#define ADDRESS_V4 4
#define TOO_LARGE "the resource is larger than a message may be"
#define DISPUTED "nobody knows whose it is: several objects claim it, or one that is refused"

void ledger_end_pass(struct ledger *l)
{
	if (l->catalog == NULL)
		return;
	response_fini(&l->response);
	catalog_unref(&l->catalog);
	mem_free(l->position);
	l->position = NULL;
	l->required = NULL;
	l->cursor = NULL;
}

static int begin_pass(struct ledger *l, struct catalog *c, struct str position, char *err,
	size_t size)
{
	const struct catalog_required *required;
	int e = catalog_required(c, l->cfg.ns, l->cfg.pod, &required, err, size);
	if (e != 0)
		return e;
	l->catalog = catalog_ref(c);
	l->required = required;
	l->position = mem_strndup(position.p, position.n);
	l->step = LEDGER_LIST;
	l->at = 0;
	l->overtaken = false;
	l->passes++;
	response_init(&l->response, l->cfg.response_bytes);
	return 0;
}

/* --- resources --- */

/* Whether the version must be sent. */
static bool wanted(struct ledger *l, struct ledger_resource *r, const struct compiled *c)
{
	ASSERT(c->hash.n == LEDGER_HASH);
	if (r->in_force && memcmp(r->force, c->hash.p, LEDGER_HASH) == 0) {
		if (r->state == LEDGER_REJECTED) {
			ledger_unreject(l, r);
			r->state = LEDGER_ACKNOWLEDGED;
			memcpy(r->sent, r->force, LEDGER_HASH);
		}
		return false;
	}
	bool told = r->state == LEDGER_SENT || r->state == LEDGER_REJECTED;
	return !told || memcmp(r->sent, c->hash.p, LEDGER_HASH) != 0;
}

static void send_resource(struct ledger *l, struct ledger_resource *r, const struct compiled *c)
{
	response_add_resource(&l->response, c);
	ledger_unreject(l, r);
	memcpy(r->sent, c->hash.p, LEDGER_HASH);
	r->state = LEDGER_SENT;
	list_remove(&r->flight);
	list_append(&l->flight, &r->flight);
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

static void count_large(struct ledger *l, const struct compiled *c)
{
	l->too_large++;
	mem_free(l->large);
	l->large = mem_strndup(c->name.p, c->name.n);
}

/* False where the response is full. */
static bool step_required(struct ledger *l)
{
	struct str name = required_name(l->required, l->at);
	if (name.p == NULL) {
		l->step = LEDGER_REFUSALS;
		return true;
	}
	l->at++;
	const struct compiled *c = catalog_resource(l->catalog, name);
	if (c == NULL)
		return true;
	struct ledger_resource *r = ledger_resource_of(l, c->name);
	r->required_in = l->passes;
	if (!wanted(l, r, c))
		return true;
	if (c->packed.n > l->cfg.resource_bytes) {
		count_large(l, c);
		return true;
	}
	if (!response_fits(&l->response, response_resource_bytes(c)))
		return false;
	send_resource(l, r, c);
	return true;
}

/* --- the list of what is required: first, since a sidecar takes nothing that nobody named --- */

static Weft__Mesh__V1__NameList *name_list(struct arena *a, const struct str *names, size_t n)
{
	Weft__Mesh__V1__NameList *list = ARENA_NEW(a, Weft__Mesh__V1__NameList);
	weft__mesh__v1__name_list__init(list);
	list->names = arena_alloc(a, (n + 1) * sizeof(*list->names));
	for (list->n_names = 0; list->n_names < n; list->n_names++)
		list->names[list->n_names] = arena_strdup(a, names[list->n_names]);
	return list;
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

static bool step_list(struct ledger *l)
{
	Weft__Mesh__V1__Required *m = required_message(&l->response.arena, l->required);
	size_t n = weft__mesh__v1__required__get_packed_size(m);
	uint8_t *packed = mem_alloc(n + 1);
	weft__mesh__v1__required__pack(m, packed);
	bool same = l->told_required.p != NULL && str_eq(l->told_required, str_make(packed, n));
	l->step = LEDGER_REQUIRED;
	if (same || !response_fits(&l->response, response_required_bytes(m))) {
		mem_free(packed);
		return same;
	}
	response_set_required(&l->response, m);
	mem_free((void *)(uintptr_t)l->told_required.p);
	l->told_required = str_make(packed, n);
	return true;
}

/* --- keys --- */

static Weft__Mesh__V1__Answer *answer_message(struct arena *a, const struct ledger_key *k)
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

static bool step_refusal(struct ledger *l)
{
	struct list_node *n = list_first(&l->refusals);
	if (n == NULL) {
		l->step = LEDGER_KEYS;
		l->cursor = l->keys.head.next;
		return true;
	}
	struct ledger_key *k = CONTAINER_OF(n, struct ledger_key, node);
	Weft__Mesh__V1__Answer *m = answer_message(&l->response.arena, k);
	m->refused = arena_strdup(&l->response.arena, str_from(k->why));
	if (!response_fits(&l->response, response_answer_bytes(m)))
		return false;
	response_add_answer(&l->response, m);
	list_remove(&k->node);
	l->n_refusals--;
	l->refusal_bytes -= k->n;
	mem_free(k);
	return true;
}

static struct addr key_address(const struct ledger_key *k)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const uint8_t *b = k->bytes + 1;
	size_t n = k->n - 1;
	struct addr ip = {.family = ADDR_V6};
	if (n != ADDRESS_V4 && memcmp(b, mapped, sizeof(mapped)) == 0) {
		b += sizeof(mapped);
		n = ADDRESS_V4;
	}
	if (n == ADDRESS_V4)
		ip.family = ADDR_V4;
	memcpy(ip.bytes, b, n);
	return ip;
}

/* What the key means now, and in *c the resource where there is one. */
static enum ledger_answer resolve(struct ledger *l, struct ledger_key *k, const struct compiled **c)
{
	bool disputed = false;
	if (k->bytes[0] == WEFT__MESH__V1__KEY__BY_NAME) {
		*c = catalog_by_name(l->catalog, str_make(k->bytes + 1, k->n - 1));
	} else {
		struct addr ip = key_address(k);
		*c = catalog_by_address(l->catalog, &ip);
		disputed = catalog_contested(l->catalog, &ip);
	}
	if (*c != NULL && (*c)->packed.n <= l->cfg.resource_bytes)
		return LEDGER_LEADS;
	if (*c == NULL && !disputed)
		return LEDGER_NOT_MESHED;
	k->why = disputed ? DISPUTED : TOO_LARGE;
	return LEDGER_REFUSED;
}

/* Where the key leads from now on. */
static void lead(struct ledger_key *k, enum ledger_answer told, struct ledger_resource *to)
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
static bool answer_key(struct ledger *l, struct ledger_key *k, enum ledger_answer told,
	const struct compiled *c, const struct compiled *send)
{
	struct arena *a = &l->response.arena;
	Weft__Mesh__V1__Answer *m = answer_message(a, k);
	if (told == LEDGER_LEADS)
		m->resource = arena_strdup(a, c->name);
	else if (told == LEDGER_REFUSED)
		m->refused = arena_strdup(a, str_from(k->why));
	m->not_meshed = told == LEDGER_NOT_MESHED;
	size_t n = response_answer_bytes(m);
	if (send != NULL)
		n += response_resource_bytes(send);
	if (!response_fits(&l->response, n))
		return false;
	response_add_answer(&l->response, m);
	lead(k, told, told == LEDGER_LEADS ? ledger_resource_of(l, c->name) : NULL);
	return true;
}

static bool step_key(struct ledger *l)
{
	if (l->cursor == &l->keys.head) {
		l->step = LEDGER_REMOVALS;
		l->cursor = l->resources.head.next;
		return true;
	}
	struct ledger_key *k = CONTAINER_OF(l->cursor, struct ledger_key, node);
	const struct compiled *c, *send = NULL;
	enum ledger_answer told = resolve(l, k, &c);
	struct ledger_resource *r = told == LEDGER_LEADS ? map_get(l->by_name, c->name) : NULL;
	if (told == LEDGER_LEADS && (r == NULL || wanted(l, r, c)))
		send = c;
	bool same = !k->again && k->told == told && k->to == r;
	if (!same && !answer_key(l, k, told, c, send))
		return false;
	if (same && send != NULL && !response_fits(&l->response, response_resource_bytes(c)))
		return false;
	if (send != NULL)
		send_resource(l, k->to, c);
	if (!same && told == LEDGER_REFUSED && c != NULL)
		count_large(l, c);
	l->cursor = k->node.next;
	return true;
}

/* --- removals --- */

static bool step_removal(struct ledger *l)
{
	if (l->cursor == &l->resources.head) {
		l->step = LEDGER_DONE;
		return true;
	}
	struct ledger_resource *r = CONTAINER_OF(l->cursor, struct ledger_resource, node);
	if (r->keys != 0 || r->required_in == l->passes) {
		l->cursor = r->node.next;
		return true;
	}
	if (!response_fits(&l->response, response_removed_bytes(r->name)))
		return false;
	response_add_removed(&l->response, r->name);
	ledger_forget(l, r); /* moves the cursor on */
	return true;
}

static bool step(struct ledger *l)
{
	switch (l->step) {
	case LEDGER_LIST:
		return step_list(l);
	case LEDGER_REQUIRED:
		return step_required(l);
	case LEDGER_REFUSALS:
		return step_refusal(l);
	case LEDGER_KEYS:
		return step_key(l);
	case LEDGER_REMOVALS:
		return step_removal(l);
	case LEDGER_DONE:
		break;
	}
	return false;
}

enum ledger_verdict ledger_run(struct ledger *l, struct catalog *c, struct str position,
	size_t budget, char *err, size_t size)
{
	if (l->catalog == NULL && begin_pass(l, c, position, err, size) != 0)
		return LEDGER_WITHHELD;
	l->overtaken = l->overtaken || l->catalog != c;
	for (; l->step != LEDGER_DONE; budget--) {
		if (budget == 0)
			return LEDGER_MORE;
		if (!step(l))
			l->step = LEDGER_DONE;
	}
	if (!response_empty(&l->response))
		return LEDGER_RESPONSE;
	ledger_end_pass(l);
	return l->overtaken ? LEDGER_MORE : LEDGER_NOTHING;
}

struct ledger_taken ledger_take(struct ledger *l, struct str nonce)
{
	const struct response *r = &l->response;
	struct ledger_taken t = {.resources = r->resources.n,
		.removed = r->removed.n,
		.answers = r->answers.n,
		.complete = !r->cut,
		.more = r->cut || l->overtaken};
	ASSERT(l->catalog != NULL && l->step == LEDGER_DONE);
	if (t.complete) {
		t.position = l->position;
		l->position = NULL;
	}
	t.bytes = response_pack(r, nonce, str_from(t.position), &t.n);
	ledger_end_pass(l);
	return t;
}
