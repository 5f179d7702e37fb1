/*
 * What an application can make discovery hold and say by dialling without end, and what is
 * forgotten first. Each test owns a struct disc.
 */
#include "tests/support/discovery_world.h"

#define MANY 100000u

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

static struct addr nth(uint32_t i)
{
	return (struct addr){.family = ADDR_V4,
		.bytes = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
}

static int ask(struct disc *w, uint32_t i)
{
	struct addr ip = nth(i);
	return discovery_ask(w->d, &ip);
}

/* What is held, by any list and map. */
static void check_bounds(struct disc *w)
{
	const struct keys *k = &w->d->keys;
	assert_true(k->n_pending <= KEYS_PENDING_MAX);
	assert_true(k->n_negatives <= w->max_negatives + KEYS_PENDING_MAX);
	assert_true(map_count(k->by) <= w->max_negatives + 2 * KEYS_PENDING_MAX);
	assert_true(w->d->res.n_lru <= w->max_destinations + KEYS_PENDING_MAX);
	assert_true(map_count(w->d->res.slots) <= 4 + w->max_destinations + 2 * KEYS_PENDING_MAX);
}

/* A control plane that knows: nobody has any of it, or (knows) each is a pod. */
struct oracle {
	response *next;
	bool unanswered, knows;
	unsigned responses;
};

static void tell(struct disc *w, struct oracle *o)
{
	char nonce[16];
	if (o->unanswered || o->next == NULL)
		return;
	snprintf(nonce, sizeof(nonce), "n%u", ++w->nonce);
	o->next->nonce = nonce;
	(void)grpc_call_send(w->call, &o->next->base);
	o->next = NULL;
	o->unanswered = true;
	o->responses++;
	arena_clear(&w->a);
}

static void on_request(struct disc *w, const request *q)
{
	struct oracle *o = w->arg;
	if (q->response_nonce[0] != '\0')
		o->unanswered = false;
	for (size_t i = 0; i < q->n_subscribe; i++) {
		char ip[ADDR_TEXT], name[64];
		struct addr a = {.family = ADDR_V4};
		memcpy(a.bytes, q->subscribe[i]->address.data, 4);
		addr_format_ip(&a, ip);
		snprintf(name, sizeof(name), "Pod/shop/p-%s", ip);
		if (o->next == NULL)
			o->next = say(w);
		say_answer(w, o->next, ip, o->knows ? name : NULL);
		if (o->knows)
			say_resource(w, o->next, make_pod(w, name + 9, ip, "1"));
	}
	tell(w, o);
}

static void begin(struct disc *w, struct oracle *o)
{
	disc_start(w);
	response *m = say(w);
	say_basics(w, m);
	say_it(w, m);
	w->arg = o;
	w->on_request = o != NULL ? on_request : NULL;
}

static void test_nobody_has_any_of_it(void **state)
{
	struct disc *w = *state;
	struct oracle o = {0};
	unsigned unknown = 0, refused = 0;
	w->max_negatives = 500;
	begin(w, &o);
	uint64_t requests = w->all_requests, from = loop_now(w->rig.loop);
	for (uint32_t i = 0; i < MANY; i += 100) {
		for (uint32_t j = 0; j < 100; j++) {
			int a = ask(w, i + j);
			unknown += a == LOOKUP_UNKNOWN;
			refused += a == LOOKUP_REFUSED;
		}
		disc_advance(w, 2 * NS_PER_MS);
		check_bounds(w);
	}
	assert_int_equal(unknown + refused, MANY);
	assert_true(unknown > MANY / 2);
	disc_advance(w, NS_PER_S);
	uint64_t turns = (loop_now(w->rig.loop) - from) / FLUSH_EVERY + FLUSH_BURST + 1;
	assert_true(w->all_requests - requests <= 2 * turns);
	assert_int_equal(w->d->keys.n_pending, 0);
	assert_int_equal(w->d->keys.n_negatives, 500);
	assert_int_equal(map_count(w->d->keys.by), 500);
	/* Everything that was forgotten was unsubscribed. */
	assert_int_equal(w->all_keys, unknown + unknown - 500);
	assert_int_equal(ask(w, MANY - 100 + 3), LOOKUP_NOT_MESHED);
	assert_true(list_empty(&w->d->keys.unsay));
}

static void test_everything_is_a_pod(void **state)
{
	struct disc *w = *state;
	struct oracle o = {.knows = true};
	w->max_destinations = 50;
	begin(w, &o);
	for (uint32_t i = 0; i < MANY / 20; i += 50) {
		for (uint32_t j = 0; j < 50; j++)
			(void)ask(w, i + j);
		disc_advance(w, 20 * NS_PER_MS);
		check_bounds(w);
	}
	disc_advance(w, NS_PER_S);
	assert_int_equal(w->d->res.n_lru, 50);
	assert_int_equal(map_count(w->d->res.slots), 54);
	assert_int_equal(map_count(w->d->keys.by), 50);
	assert_int_equal(map_count(w->d->res.index), 50);
	assert_true(w->d->forgotten >= 1000);
}

/* Nobody answers: a bounded number waits, and the next ones take the place of the oldest. */
static void test_nobody_answers(void **state)
{
	struct disc *w = *state;
	begin(w, NULL);
	uint64_t keys = w->all_keys;
	for (uint32_t i = 0; i < MANY; i++)
		assert_int_equal(ask(w, i), i < KEYS_PENDING_MAX ? LOOKUP_UNKNOWN : LOOKUP_REFUSED);
	disc_advance(w, NS_PER_S);
	assert_int_equal(w->all_keys - keys, KEYS_PENDING_MAX);
	assert_int_equal(w->d->keys.overflow, MANY - KEYS_PENDING_MAX);
	disc_advance(w, KEYS_PENDING_KEEP);
	for (uint32_t i = 0; i < MANY; i++)
		(void)ask(w, MANY + i);
	disc_advance(w, NS_PER_S);
	assert_int_equal(w->d->keys.n_pending, KEYS_PENDING_MAX);
	assert_int_equal(map_count(w->d->keys.by), KEYS_PENDING_MAX);
	assert_int_equal(w->all_keys - keys, 3 * KEYS_PENDING_MAX);
	/* The same without a stream; the next one begins with what waits, and nothing else. */
	disc_stop_server(w);
	disc_advance(w, KEYS_PENDING_KEEP + NS_PER_S);
	for (uint32_t i = 0; i < MANY; i++)
		(void)ask(w, 5 * MANY + i);
	assert_int_equal(map_count(w->d->keys.by), KEYS_PENDING_MAX);
	assert_true(list_empty(&w->d->keys.unsay));
	disc_serve(w);
	disc_advance(w, BACKOFF_MOST);
	assert_int_equal(w->requests[0]->n_subscribe, KEYS_PENDING_MAX);
}

static void know(struct disc *w, const char *name, const char *ip)
{
	char full[64];
	(void)disc_ask(w, ip);
	disc_settle(w);
	disc_advance(w, FLUSH_EVERY);
	response *m = say(w);
	snprintf(full, sizeof(full), "Service/shop/%s", name);
	say_answer(w, m, ip, full);
	say_resource(w, m, make_service(w, name, ip, "1"));
	say_it(w, m);
}

/* The least used goes first; what is in use, named or required does not. */
static void test_least_used(void **state)
{
	struct disc *w = *state;
	w->max_destinations = 3;
	w->names = "shop/kept";
	begin(w, NULL);
	response *m = say(w);
	say_answer(w, m, "shop/kept", "Service/shop/kept");
	say_resource(w, m, make_service(w, "kept", "10.96.0.9", "1"));
	say_it(w, m);
	know(w, "a", "10.96.0.1");
	know(w, "b", "10.96.0.2");
	know(w, "c", "10.96.0.3");
	struct addr b = raw_addr("10.96.0.2:80");
	discovery_touch(w->d, &b);
	w->in_use = "10.96.0.1";
	know(w, "d", "10.96.0.4");
	assert_string_equal(strstr(w->in_force, "used:"),
		"used: Service/shop/kept Service/shop/a Service/shop/b Service/shop/d");
	assert_int_equal(disc_unsubscribed(w, "10.96.0.3"), 1);
	w->in_use = NULL;
	know(w, "e", "10.96.0.5");
	assert_string_equal(strstr(w->in_force, "used:"),
		"used: Service/shop/kept Service/shop/a Service/shop/d Service/shop/e");
	/* Asked for again it is subscribed to again, and sent again. */
	know(w, "c", "10.96.0.3");
	assert_int_equal(disc_subscribed(w, "10.96.0.3"), 2);
	assert_non_null(strstr(w->in_force, "Service/shop/c"));
	assert_non_null(strstr(w->in_force, "Service/shop/kept"));
}

/* All that is in use stays, however much that is. */
static void test_in_use_beyond_the_bound(void **state)
{
	struct disc *w = *state;
	w->max_destinations = 0;
	begin(w, NULL);
	w->in_use = "10.96.0.1";
	know(w, "a", "10.96.0.1");
	know(w, "b", "10.96.0.2");
	assert_string_equal(strstr(w->in_force, "used:"), "used: Service/shop/a");
	assert_int_equal(w->d->res.n_lru, 1);
}

/* A connection in plaintext runs for long: its address is not forgotten for all the others, so that
 * it is heard of when a meshed pod gets it. */
static void test_not_meshed_and_in_use(void **state)
{
	struct disc *w = *state;
	struct oracle o = {0};
	w->max_negatives = 3;
	w->in_use = "10.0.0.0";
	begin(w, &o);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(ask(w, i), LOOKUP_UNKNOWN);
		disc_advance(w, FLUSH_EVERY);
	}
	disc_advance(w, NS_PER_S);
	assert_int_equal(w->d->keys.n_negatives, 3);
	assert_int_equal(disc_unsubscribed(w, "10.0.0.0"), 0);
	response *m = say(w);
	say_answer(w, m, "10.0.0.0", "Pod/shop/p-0");
	say_resource(w, m, make_pod(w, "p-0", "10.0.0.0", "1"));
	say_it(w, m);
	assert_non_null(strstr(w->in_force, "Pod/shop/p-0"));
	/* Used no more it goes like all others, however many there are. */
	w->in_use = NULL;
	m = say(w);
	say_answer(w, m, "10.0.0.0", NULL);
	say_it(w, m);
	for (uint32_t i = 20; i < 25; i++) {
		(void)ask(w, i);
		disc_advance(w, FLUSH_EVERY);
	}
	disc_advance(w, NS_PER_S);
	assert_int_equal(disc_unsubscribed(w, "10.0.0.0"), 1);
}

/* Over the bound because it was in use, it goes although nothing else happens. */
static void test_over_the_bound_for_a_while(void **state)
{
	struct disc *w = *state;
	struct oracle o = {0};
	w->max_negatives = 0;
	w->in_use = "10.0.0.0";
	begin(w, &o);
	assert_int_equal(ask(w, 0), LOOKUP_UNKNOWN);
	disc_advance(w, 10 * NS_PER_S);
	assert_int_equal(w->d->keys.n_negatives, 1);
	w->in_use = NULL;
	disc_advance(w, 2 * NS_PER_S);
	assert_int_equal(w->d->keys.n_negatives, 0);
	assert_int_equal(disc_unsubscribed(w, "10.0.0.0"), 1);
}

/* Two names, one destination: it stays while one of them is left. */
static void test_two_keys_one_destination(void **state)
{
	struct disc *w = *state;
	begin(w, NULL);
	(void)disc_ask(w, "10.96.0.1");
	(void)disc_ask(w, "fd00::1");
	disc_settle(w);
	response *m = say(w);
	say_answer(w, m, "10.96.0.1", "Service/shop/a");
	say_answer(w, m, "fd00::1", "Service/shop/a");
	say_resource(w, m, make_service(w, "a", "10.96.0.1", "1"));
	say_it(w, m);
	m = say(w);
	say_answer(w, m, "10.96.0.1", NULL);
	say_it(w, m);
	assert_non_null(strstr(w->in_force, "Service/shop/a"));
	m = say(w);
	say_answer(w, m, "fd00::1", NULL);
	say_it(w, m);
	assert_null(strstr(w->in_force, "Service/shop/a"));
	assert_int_equal(map_count(w->d->res.index), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nobody_has_any_of_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_everything_is_a_pod, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_least_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_in_use_beyond_the_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_meshed_and_in_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_over_the_bound_for_a_while, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_two_keys_one_destination, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
