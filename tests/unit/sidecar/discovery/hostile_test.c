/*
 * A control plane that means harm, or is broken: nothing of it comes into force that was not asked
 * for, nothing grows, the stream ends where the rules do. Each test owns a struct disc.
 */
#include "tests/support/discovery_world.h"

static int set_up(void **state)
{
	struct disc *w = MEM_NEW(struct disc);
	disc_init(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct disc *w = *state;
	disc_fini(w);
	mem_free(w);
	return 0;
}

static void begin(struct disc *w)
{
	disc_start(w);
	response *m = say(w);
	say_basics(w, m);
	say_it(w, m);
	assert_int_equal(w->applied, 1);
}

static void know(struct disc *w, const char *name, const char *ip)
{
	char full[64];
	(void)disc_ask(w, ip);
	disc_settle(w);
	response *m = say(w);
	snprintf(full, sizeof(full), "Service/shop/%s", name);
	say_answer(w, m, ip, full);
	say_resource(w, m, make_service(w, name, ip, "1"));
	say_it(w, m);
	assert_non_null(strstr(w->in_force, full));
}

static void test_unasked(void **state)
{
	struct disc *w = *state;
	begin(w);
	response *m = say(w);
	for (int i = 0; i < 1000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "s%d", i);
		say_resource(w, m, make_service(w, name, "10.96.0.1", "1"));
	}
	say_resource(w, m, make_policy(w, "allow-all", "1", false));
	say_answer(w, m, "10.96.0.1", "Service/shop/s1");
	say_answer(w, m, "10.96.0.2", NULL);
	say_answer(w, m, "no-such-name", NULL);
	say_it(w, m);
	assert_int_equal(w->applied, 1);
	assert_int_equal(map_count(w->d->res.slots), 4);
	assert_int_equal(map_count(w->d->keys.by), 0);
	assert_int_equal(w->d->res.unasked, 1001);
	assert_int_equal(w->d->keys.unasked, 3);
	assert_int_equal(disc_last_answer(w)->n_rejected, REJECTIONS_MAX);
	assert_int_equal(disc_ask(w, "10.96.0.2"), LOOKUP_UNKNOWN);
	assert_non_null(strstr(disc_describe(w), "\"unasked\":1004"));
}

static void test_twice(void **state)
{
	struct disc *w = *state;
	begin(w);
	(void)disc_ask(w, "10.96.0.1");
	disc_settle(w);
	response *m = say(w);
	say_answer(w, m, "10.96.0.1", NULL);
	say_answer(w, m, "10.96.0.1", "Service/shop/a");
	say_resource(w, m, make_service(w, "a", "10.96.0.1", "1"));
	say_resource(w, m, make_service(w, "a", "10.96.0.2", "2"));
	say_removed(w, m, "Service/shop/b");
	say_removed(w, m, "");
	say_it(w, m);
	assert_string_equal(disc_rejected(w), "Service/shop/a: : twice in one response\n");
	assert_non_null(strstr(w->in_force, "Service/shop/a"));
	struct addr ip = raw_addr("10.96.0.1");
	assert_non_null(resources_by_address(&w->d->res, &ip));
	/* Required that names one thing twice, as one kind and as two. */
	m = say(w);
	say_required(w, m, "AuthorizationPolicy/shop/x AuthorizationPolicy/shop/x");
	say_resource(w, m, make_policy(w, "x", "1", false));
	say_it(w, m);
	assert_string_equal(disc_rejected(w), "");
	unsigned applied = w->applied;
	m = say(w);
	say_required(w, m, "Mesh");
	say_it(w, m);
	assert_string_equal(disc_rejected(w), "Required: : one name stands for two kinds\n");
	assert_int_equal(w->applied, applied);
	assert_non_null(strstr(w->in_force, "AuthorizationPolicy/shop/x"));
}

static void test_huge_counts(void **state)
{
	struct disc *w = *state;
	begin(w);
	response *m = say(w);
	say_required(w, m, "");
	Weft__Mesh__V1__NameList *l = m->required->authorization_policies;
	l->n_names = REQUIRED_POLICIES + 1;
	l->names = arena_alloc(&w->a, l->n_names * sizeof(char *));
	for (size_t i = 0; i < l->n_names; i++) {
		struct str name = arena_printf(&w->a, "AuthorizationPolicy/shop/p%zu", i);
		l->names[i] = arena_strdup(&w->a, name);
	}
	say_it(w, m);
	assert_string_equal(disc_rejected(w), "Required: : more names than this version takes\n");
	assert_int_equal(map_count(w->d->res.slots), 4);
	assert_int_equal(w->applied, 1);
	/* Names and hashes of any length. */
	char *longest = mem_alloc(100001);
	memset(longest, 'x', 100000);
	(void)disc_ask(w, "10.96.0.1");
	(void)disc_ask(w, "10.96.0.2");
	disc_settle(w);
	m = say(w);
	resource *long_name = make_service(w, "a", "10.96.0.1", "1");
	long_name->name = longest;
	say_answer(w, m, "10.96.0.1", longest);
	say_answer(w, m, "10.96.0.2", "Service/shop/b");
	say_resource(w, m, long_name);
	say_resource(w, m, make_service(w, "b", "10.96.0.2", longest));
	say_removed(w, m, longest);
	say_it(w, m);
	assert_int_equal(w->applied, 1);
	assert_int_equal(disc_ask(w, "10.96.0.1"), LOOKUP_REFUSED);
	assert_int_equal(disc_ask(w, "10.96.0.2"), LOOKUP_REFUSED);
	assert_int_equal(disc_last_answer(w)->n_rejected, 2);
	assert_int_equal(strlen(disc_last_answer(w)->rejected[0]->name), RESOURCE_NAME_MAX);
	m = say(w);
	say_required(w, m, longest);
	say_it(w, m);
	assert_string_equal(disc_rejected(w), "Required: : a name is empty or too long\n");
	mem_free(longest);
}

/* Resources of many bytes: there is an end to what is held. */
static void test_many_bytes(void **state)
{
	struct disc *w = *state;
	w->max_destinations = 100;
	begin(w);
	unsigned refused = 0;
	for (int i = 1; i <= 20; i++) {
		char ip[32], name[32], full[64];
		snprintf(ip, sizeof(ip), "10.96.0.%d", i);
		snprintf(name, sizeof(name), "s%d", i);
		snprintf(full, sizeof(full), "Service/shop/%s", name);
		(void)disc_ask(w, ip);
		disc_settle(w);
		disc_advance(w, FLUSH_EVERY);
		resource *r = make_service(w, name, ip, "1");
		char *big = mem_alloc((3 << 20) + 1);
		memset(big, 'x', 3 << 20);
		r->service->namespace_ = big;
		response *m = say(w);
		say_answer(w, m, ip, full);
		say_resource(w, m, r);
		say_it(w, m);
		disc_advance(w, NS_PER_S);
		mem_free(big);
		refused += disc_last_answer(w)->n_rejected;
	}
	assert_int_equal(refused, 5);
	assert_true(w->d->res.bytes <= RESOURCES_BYTES);
}

/* What is asked for as a destination is one. */
static void test_wrong_kind(void **state)
{
	struct disc *w = *state;
	begin(w);
	(void)disc_ask(w, "10.96.0.1");
	(void)disc_ask(w, "10.96.0.2");
	(void)disc_ask(w, "10.96.0.3");
	disc_settle(w);
	response *m = say(w);
	resource *second = make_workload(w, "1");
	resource *mesh = make_mesh(w, "9");
	second->name = (char *)(uintptr_t)"Service/shop/a";
	say_answer(w, m, "10.96.0.1", "Service/shop/a");
	say_answer(w, m, "10.96.0.2", "TrustBundle/cluster.local");
	say_answer(w, m, "10.96.0.3", "AuthorizationPolicy/shop/allow");
	say_resource(w, m, second);
	say_resource(w, m, make_policy(w, "allow", "1", false));
	mesh->name = (char *)(uintptr_t)"Revocations";
	say_resource(w, m, mesh);
	say_it(w, m);
	assert_string_equal(disc_rejected(w),
		"Service/shop/a: : not of the kind that it is needed as\n"
		"AuthorizationPolicy/shop/allow: : not of the kind that it is needed as\n"
		"Revocations: : not of the kind that it is needed as\n");
	assert_int_equal(w->applied, 1);
	assert_int_equal(disc_ask(w, "10.96.0.1"), LOOKUP_REFUSED);
	assert_int_equal(disc_ask(w, "10.96.0.2"), LOOKUP_REFUSED);
	assert_int_equal(disc_ask(w, "10.96.0.3"), LOOKUP_REFUSED);
}

/* Neither this nor that is no permission for plaintext. */
static void test_ambiguous_answers(void **state)
{
	struct disc *w = *state;
	begin(w);
	(void)disc_ask(w, "10.96.0.1");
	(void)disc_ask(w, "10.96.0.2");
	(void)disc_ask(w, "10.96.0.3");
	disc_settle(w);
	response *m = say(w);
	say_answer(w, m, "10.96.0.1", "Service/shop/a");
	m->answers[0]->not_meshed = true;
	say_answer(w, m, "10.96.0.2", NULL);
	m->answers[1]->refused = (char *)(uintptr_t)"and yet";
	say_answer(w, m, "10.96.0.3", NULL);
	m->answers[2]->not_meshed = false;
	say_it(w, m);
	assert_int_equal(disc_ask(w, "10.96.0.1"), LOOKUP_REFUSED);
	assert_int_equal(disc_ask(w, "10.96.0.2"), LOOKUP_REFUSED);
	assert_int_equal(disc_ask(w, "10.96.0.3"), LOOKUP_REFUSED);
}

static void expect_broken_off(struct disc *w, const char *why)
{
	assert_false(discovery_connected(w->d));
	assert_string_equal(w->d->stream.failure, why);
	assert_true(loop_timer_running(&w->d->stream.timer));
	assert_null(w->d->stream.call);
	assert_non_null(strstr(w->in_force, "Service/shop/a"));
}

static void again(struct disc *w)
{
	disc_advance(w, BACKOFF_MOST);
	assert_non_null(w->call);
	assert_true(disc_held(w->requests[0], "Service/shop/a", "1"));
	response *m = say(w);
	say_basics(w, m);
	say_it(w, m);
	assert_true(discovery_connected(w->d));
}

static void test_torn(void **state)
{
	struct disc *w = *state;
	begin(w);
	know(w, "a", "10.96.0.1");
	say_bytes(w, STR("\x0a\xff\xff\xff\xff\x0f"));
	expect_broken_off(w, "a response is malformed");
	again(w);
	/* Without a nonce nothing could be answered. */
	response *m = say(w);
	m->required = NULL;
	(void)grpc_call_send(w->call, &m->base);
	disc_settle(w);
	expect_broken_off(w, "a response is malformed");
	again(w);
	m = say(w);
	m->nonce = mem_alloc(NONCE_MAX + 2);
	memset(m->nonce, 'n', NONCE_MAX + 1);
	(void)grpc_call_send(w->call, &m->base);
	disc_settle(w);
	expect_broken_off(w, "a response is malformed");
	mem_free(m->nonce);
	again(w);
	m = say(w);
	m->nonce = m->position = mem_alloc(POSITION_MAX + 2);
	memset(m->position, 'p', POSITION_MAX + 1);
	m->nonce = (char *)(uintptr_t)"n";
	(void)grpc_call_send(w->call, &m->base);
	disc_settle(w);
	expect_broken_off(w, "a response is malformed");
	mem_free(m->position);
	assert_string_equal(w->d->position, "x:1");
	assert_int_equal(w->d->stream.torn, 4);
}

/* It does not wait for our answers: it would have us build snapshots without end. */
static void test_does_not_wait(void **state)
{
	struct disc *w = *state;
	begin(w);
	know(w, "a", "10.96.0.1");
	unsigned applied = w->applied;
	response *m = say(w);
	for (unsigned i = 0; i < 1000 && w->call != NULL; i++) {
		char version[16];
		m = say(w);
		snprintf(version, sizeof(version), "v%u", i);
		say_resource(w, m, make_mesh(w, version));
		m->nonce = version;
		(void)grpc_call_send(w->call, &m->base);
	}
	disc_settle(w);
	expect_broken_off(w, "a response came before the last one was answered");
	assert_true(w->applied <= applied + 1);
	again(w);
}

/* More in one message than we take. */
static void test_too_large(void **state)
{
	struct disc *w = *state;
	begin(w);
	know(w, "a", "10.96.0.1");
	response *m = say(w);
	char *big = mem_alloc(MESSAGE_BYTES + 2);
	memset(big, 'x', MESSAGE_BYTES + 1);
	say_removed(w, m, "");
	m->removed[0] = big;
	m->nonce = (char *)(uintptr_t)"n";
	(void)grpc_call_send(w->call, &m->base);
	mem_free(big);
	disc_settle(w);
	assert_false(discovery_connected(w->d));
	assert_non_null(strstr(w->d->stream.failure, "RESOURCE_EXHAUSTED"));
	again(w);
}

/* It would have the required taken away, by any way but Required. */
static void test_takes_away(void **state)
{
	struct disc *w = *state;
	begin(w);
	know(w, "a", "10.96.0.1");
	response *m = say(w);
	say_removed(w, m, "Mesh");
	say_removed(w, m, "Workload/shop/me");
	say_removed(w, m, "Revocations");
	say_removed(w, m, "TrustBundle/cluster.local");
	say_it(w, m);
	assert_int_equal(w->applied, 2);
	m = say(w);
	say_required(w, m, NULL); /* the policies withheld */
	m->required->trust_bundles = NULL;
	m->required->mesh = (char *)(uintptr_t)"";
	say_it(w, m);
	assert_int_equal(w->applied, 2);
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	assert_true(discovery_fill(w->d, &st));
	assert_int_equal(st.n_required, 4);
	assert_non_null(strstr(disc_describe(w), "withheld: the list of trust bundles"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unasked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_twice, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_huge_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_kind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ambiguous_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_torn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_does_not_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_large, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_takes_away, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
