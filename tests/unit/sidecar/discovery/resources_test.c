/*
 * The table of resources by itself: what each of a series of messages puts in force, as tables of
 * steps; and the table of keys against a plain model of it.
 */
#include "tests/support/discovery_world.h"

/* -- resources -------------------------------------------------------------------------------- */

/* The user of the table: says what was applied, fails as told. */
struct user {
	char in_force[512];
	const char *fails; /* "" as a whole; otherwise in that resource's presence */
	unsigned applies;
};

static int check(void *arg, const resource *r, struct snapshot_fault *fault)
{
	(void)arg;
	if (r->hash.data[0] != '!')
		return 0;
	snprintf(fault->field, sizeof(fault->field), "f");
	snprintf(fault->reason, sizeof(fault->reason), "bad");
	return ERR_INVAL;
}

static void add(struct user *u, const resource *r)
{
	size_t n = strlen(u->in_force);
	bool policy = r->kind_case == WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY;
	snprintf(u->in_force + n, sizeof(u->in_force) - n, " %s=%s", r->name,
		policy && r->authorization_policy->broken[0] != '\0' ? "broken"
								     : (char *)r->hash.data);
}

static int apply(void *arg, Weft__Mesh__V1__State *st, struct snapshot_fault *fault)
{
	struct user *u = arg;
	struct user next = {.in_force = ""};
	u->applies++;
	snprintf(fault->reason, sizeof(fault->reason), "no");
	for (size_t i = 0; i < st->n_required + st->n_used; i++) {
		const resource *r =
			i < st->n_required ? st->required[i] : st->used[i - st->n_required];
		add(&next, r);
		if (u->fails != NULL && r->hash.len > 0 && u->fails[0] == r->hash.data[0])
			fault->resource = r->name;
	}
	if (u->fails != NULL && (u->fails[0] == '\0' || fault->resource != NULL))
		return ERR_INVAL;
	memcpy(u->in_force, next.in_force, sizeof(u->in_force));
	return 0;
}

static resource *heap(const char *name, const char *version)
{
	resource *r = MEM_NEW(resource);
	weft__mesh__v1__resource__init(r);
	r->name = mem_strdup(name);
	r->hash = (ProtobufCBinaryData){strlen(version), (uint8_t *)mem_strdup(version)};
	switch (name[0]) {
	case 'W':
		r->kind_case = WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD;
		r->workload = MEM_NEW(Weft__Mesh__V1__Workload);
		weft__mesh__v1__workload__init(r->workload);
		break;
	case 'M':
		r->kind_case = WEFT__MESH__V1__RESOURCE__KIND_MESH;
		r->mesh = MEM_NEW(Weft__Mesh__V1__Mesh);
		weft__mesh__v1__mesh__init(r->mesh);
		break;
	case 'R':
		r->kind_case = WEFT__MESH__V1__RESOURCE__KIND_REVOCATIONS;
		r->revocations = MEM_NEW(Weft__Mesh__V1__Revocations);
		weft__mesh__v1__revocations__init(r->revocations);
		break;
	case 'T':
		r->kind_case = WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE;
		r->trust_bundle = MEM_NEW(Weft__Mesh__V1__TrustBundle);
		weft__mesh__v1__trust_bundle__init(r->trust_bundle);
		break;
	default:
		r->kind_case = WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY;
		r->authorization_policy = MEM_NEW(Weft__Mesh__V1__AuthorizationPolicy);
		weft__mesh__v1__authorization_policy__init(r->authorization_policy);
	}
	return r;
}

/* "W=1 M=1": names and versions; '!' first in a version does not validate. */
static void stage(struct resources *r, const char *text)
{
	Weft__Mesh__V1__Resource *v[16];
	size_t n = 0;
	struct str rest = str_from(text), one;
	while (rest.n > 0 && str_split(&rest, ' ', &one)) {
		char name[16], version[16];
		struct str left;
		assert_true(str_split(&one, '=', &left));
		assert_int_equal(str_copy(name, sizeof(name), left), 0);
		assert_int_equal(str_copy(version, sizeof(version), one), 0);
		v[n++] = heap(name, version);
	}
	resources_stage(r, v, n);
}

/* "W M R T P1 P2": the single ones, bundles T*, policies P*; '-' for the last list: withheld. */
static void require(struct resources *r, const char *text)
{
	Weft__Mesh__V1__Required q = WEFT__MESH__V1__REQUIRED__INIT;
	Weft__Mesh__V1__NameList bundles = WEFT__MESH__V1__NAME_LIST__INIT, policies = bundles;
	char names[16][16], *b[16], *p[16];
	size_t n = 0;
	struct str rest = str_from(text), one;
	bundles.names = b;
	policies.names = p;
	q.trust_bundles = &bundles;
	q.authorization_policies = &policies;
	while (rest.n > 0 && str_split(&rest, ' ', &one)) {
		char *name = names[n++];
		assert_int_equal(str_copy(name, sizeof(names[0]), one), 0);
		if (name[0] == '-')
			q.authorization_policies = NULL;
		else if (name[0] == 'W')
			q.workload = name;
		else if (name[0] == 'M')
			q.mesh = name;
		else if (name[0] == 'R')
			q.revocations = name;
		else if (name[0] == 'T')
			b[bundles.n_names++] = name;
		else
			p[policies.n_names++] = name;
	}
	(void)resources_require(r, &q);
}

static void test_steps(void **state)
{
	(void)state;
	static const struct {
		const char *required, *resources, *fails;
		const char *in_force; /* after it; NULL: a fresh table begins here */
		unsigned rejected;
	} steps[] = {
		{NULL, NULL, NULL, NULL, 0},
		{"W M R T", "W=1 M=1 R=1 T=1", NULL, " W=1 M=1 R=1 T=1", 0},
		{NULL, "M=2", NULL, " W=1 M=2 R=1 T=1", 0},
		{NULL, "M=!3", NULL, " W=1 M=2 R=1 T=1", 1},
		{NULL, "M=2", NULL, " W=1 M=2 R=1 T=1", 0},
		{"W M R T T2 P", "M=3 P=1", NULL, " W=1 M=3 R=1 T=1", 0},
		{NULL, "T2=1", NULL, " W=1 M=3 R=1 T=1 T2=1 P=1", 0},
		{"W M R T P P2", NULL, NULL, " W=1 M=3 R=1 T=1 T2=1 P=1", 0},
		{NULL, "P2=!1", NULL, " W=1 M=3 R=1 T=1 P=1 P2=broken", 1},
		{NULL, "P2=2 P=!2", NULL, " W=1 M=3 R=1 T=1 P=1 P2=2", 1},
		{"W M R T", NULL, NULL, " W=1 M=3 R=1 T=1", 0},
		{"W M R T -", "M=4", NULL, " W=1 M=4 R=1 T=1", 0},
		{"W M R", NULL, NULL, " W=1 M=4 R=1", 0},
		{"W2 M R", "W2=1", NULL, " W2=1 M=4 R=1", 0},
		/* required and never there */
		{NULL, NULL, NULL, NULL, 0},
		{"W M R T", "W=1 M=1 R=1", NULL, "", 0},
		{NULL, "T=!1", NULL, "", 1},
		{NULL, "X=1 T=2", NULL, " W=1 M=1 R=1 T=2", 1},
		/* does not go with the rest: that one, or all of the response */
		{NULL, NULL, NULL, NULL, 0},
		{"W M R T P", "W=1 M=1 R=1 T=1 P=x", "x", " W=1 M=1 R=1 T=1 P=broken", 1},
		{NULL, "M=x T=2", "x", " W=1 M=1 R=1 T=2 P=broken", 1},
		{NULL, "M=3 T=3 R=3", "", " W=1 M=1 R=1 T=2 P=broken", 3},
		{NULL, "P=2", NULL, " W=1 M=1 R=1 T=2 P=2", 0},
		{"W M R T P P2", "P2=1 T=4", "1", " W=1 M=1 R=1 T=2 P=2", 2},
		/* nothing in force yet: what came stays at hand */
		{NULL, NULL, NULL, NULL, 0},
		{"W M R T", "W=1 M=1 R=1 T=1", "", "", 4},
		{NULL, "T=2", NULL, " W=1 M=1 R=1 T=2", 0},
	};
	struct resources r;
	struct user u = {0};
	const struct resources_config cfg = {.check = check, .apply = apply, .arg = &u, .seed = 1};
	resources_init(&r, &cfg);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (steps[i].in_force == NULL) {
			resources_fini(&r);
			resources_init(&r, &cfg);
			u = (struct user){0};
			continue;
		}
		u.fails = steps[i].fails;
		if (steps[i].required != NULL)
			require(&r, steps[i].required);
		stage(&r, steps[i].resources != NULL ? steps[i].resources : "");
		(void)resources_settle(&r);
		if (strcmp(u.in_force, steps[i].in_force) != 0 || r.n_rejected != steps[i].rejected)
			fail_msg("step %zu:%s, %zu rejected", i, u.in_force, r.n_rejected);
		assert_int_equal(resources_ready(&r), u.in_force[0] != '\0');
		resources_answered(&r);
	}
	resources_fini(&r);
	assert_int_equal(r.bytes, 0);
}

/* However much is wrong, the number of tries is bounded. */
static void test_tries(void **state)
{
	(void)state;
	struct resources r;
	struct user u = {.fails = "x"};
	const struct resources_config cfg = {.check = check, .apply = apply, .arg = &u, .seed = 1};
	resources_init(&r, &cfg);
	require(&r, "W M R T P1 P2 P3 P4 P5 P6 P7 P8 P9");
	stage(&r, "W=1 M=1 R=1 T=1 P1=x P2=x P3=x P4=x P5=x P6=x P7=x P8=x P9=x");
	(void)resources_settle(&r);
	assert_true(u.applies <= SETTLE_TRIES + 2);
	assert_string_equal(u.in_force, "");
	assert_false(resources_ready(&r));
	resources_fini(&r);
}

/* -- keys ------------------------------------------------------------------------------------- */

enum { ADDRESSES = 40, STEPS = 20000 };

static struct addr nth(unsigned i)
{
	return (struct addr){.family = ADDR_V4, .bytes = {10, 0, 0, (uint8_t)i}};
}

static void answer(struct keys *k, unsigned i, unsigned how, uint64_t now)
{
	struct addr ip = nth(i);
	Weft__Mesh__V1__Key key = WEFT__MESH__V1__KEY__INIT;
	Weft__Mesh__V1__Answer a = WEFT__MESH__V1__ANSWER__INIT;
	char name[32];
	snprintf(name, sizeof(name), "Pod/a/p%u", i % 7);
	key.by_case = WEFT__MESH__V1__KEY__BY_ADDRESS;
	key.address = (ProtobufCBinaryData){4, ip.bytes};
	a.key = &key;
	a.not_meshed = how == 0;
	if (how == 1)
		a.resource = name;
	if (how == 2)
		a.refused = name;
	(void)keys_answer(k, &a, now);
}

static unsigned take(struct keys *k, bool said[ADDRESSES])
{
	struct arena a;
	Weft__Mesh__V1__DiscoveryRequest q = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	arena_init(&a, NULL);
	keys_take_unsubscribe(k, &a, SIZE_MAX, &q);
	keys_take_subscribe(k, &a, SIZE_MAX, &q);
	for (size_t i = 0; i < q.n_unsubscribe; i++) {
		assert_true(said[q.unsubscribe[i]->address.data[3]]);
		said[q.unsubscribe[i]->address.data[3]] = false;
	}
	for (size_t i = 0; i < q.n_subscribe; i++)
		said[q.subscribe[i]->address.data[3]] = true;
	unsigned n = (unsigned)(q.n_subscribe + q.n_unsubscribe);
	arena_clear(&a);
	assert_false(keys_unsaid(k));
	return n;
}

static bool nobody_uses(void *arg, const struct addr *ip)
{
	(void)arg;
	(void)ip;
	return false;
}

/* Whatever happens, both sides agree on what is subscribed. */
static void test_keys(void **state)
{
	(void)state;
	struct user u = {0};
	const struct resources_config cfg = {.check = check, .apply = apply, .arg = &u, .seed = 1};
	struct resources r;
	struct keys k;
	struct rng rng;
	bool said[ADDRESSES] = {false};
	uint64_t now = 1;
	rng_seed(&rng, 5);
	resources_init(&r, &cfg);
	keys_init(&k, &r, 10, 3);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)rng_below(&rng, ADDRESSES);
		struct addr ip = nth(i);
		unsigned how;
		switch (rng_below(&rng, 8)) {
		case 0:
		case 1:
			(void)keys_ask(&k, &ip, now);
			break;
		case 2:
		case 3:
			if (!said[i] || keys_find(&k, &ip) == NULL || !keys_find(&k, &ip)->said)
				break;
			how = (unsigned)rng_below(&rng, 4);
			answer(&k, i, how, now);
			said[i] = how != 2; /* who refuses has no subscription */
			break;
		case 4:
			keys_refresh(&k, &ip, now);
			break;
		case 5:
			now += rng_below(&rng, NS_PER_S);
			(void)keys_retry(&k, now);
			keys_trim(&k, nobody_uses, NULL);
			assert_true(k.n_negatives <= 10);
			break;
		case 6:
			(void)take(&k, said);
			break;
		case 7:
			if (rng_below(&rng, 50) == 0) {
				keys_silence(&k);
				memset(said, 0, sizeof(said));
			}
			while (r.n_lru > 4)
				keys_forget_slot(&k,
					CONTAINER_OF(list_first(&r.lru), struct slot, lru));
			break;
		}
	}
	(void)take(&k, said);
	for (unsigned i = 0; i < ADDRESSES; i++) {
		struct addr ip = nth(i);
		const struct key *key = keys_find(&k, &ip);
		assert_int_equal(said[i], key != NULL && key->said);
	}
	keys_fini(&k);
	assert_int_equal(map_count(r.slots), 0);
	resources_fini(&r);
}

/* A message has its bound; the rest goes in the next one. */
static void test_keys_in_pieces(void **state)
{
	(void)state;
	struct user u = {0};
	const struct resources_config cfg = {.check = check, .apply = apply, .arg = &u, .seed = 1};
	struct resources r;
	struct keys k;
	struct arena a;
	size_t n = 0, messages = 0;
	resources_init(&r, &cfg);
	keys_init(&k, &r, 10, 3);
	arena_init(&a, NULL);
	for (unsigned i = 0; i < ADDRESSES; i++) {
		struct addr ip = nth(i);
		assert_int_equal(keys_ask(&k, &ip, 1), LOOKUP_UNKNOWN);
	}
	for (; keys_unsaid(&k); messages++) {
		Weft__Mesh__V1__DiscoveryRequest q = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
		keys_take_subscribe(&k, &a, 200, &q);
		assert_true(weft__mesh__v1__discovery_request__get_packed_size(&q) <= 200);
		n += q.n_subscribe;
	}
	assert_int_equal(n, ADDRESSES);
	assert_true(messages >= 4);
	assert_false(keys_pin(&k, STR("")));
	assert_true(keys_pin(&k, STR("a/b")));
	assert_true(keys_pin(&k, STR("a/b")));
	assert_int_equal(k.n_names, 1);
	arena_clear(&a);
	keys_fini(&k);
	resources_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_tries),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_keys_in_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
