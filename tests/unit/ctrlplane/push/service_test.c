/*
 * The whole service over a simulated network, with clients on real channels: who gets what, in
 * which order, and what happens to those who do not play by the rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "tests/support/attest_by_name.h"
#include "tests/support/push_shop.h"
#include "tests/support/push_world.h"

#define REQUIRED_OF(pod) \
	"+Workload/shop/" pod " +Mesh +Revocations +TrustBundle/cluster.local required()"

/* Settles; what came since the last call must be this. */
static void expect_text(struct push_client *c, const char *want)
{
	push_world_settle(c->w);
	assert_string_equal(c->got.n > 0 ? c->got.s + 1 : "", want);
	c->got.n = 0;
	c->got.s[0] = '\0';
}

static char *at(struct push_world *w, const char *what)
{
	static char text[1024];
	struct str p = store_position(w->store);
	snprintf(text, sizeof(text), "%s%s@%.*s", what, what[0] != '\0' ? " " : "", STR_ARG(p));
	return text;
}

static void hold_all(Weft__Mesh__V1__DiscoveryRequest *m, struct push_world *w, struct arena *a,
	const char *names)
{
	struct str rest = str_from(names), one;
	m->held = arena_alloc(a, 64 * sizeof(*m->held));
	while (str_split(&rest, ' ', &one)) {
		const struct compiled *c = catalog_resource(store_catalog(w->store), one);
		Weft__Mesh__V1__Held *h = ARENA_NEW(a, Weft__Mesh__V1__Held);
		weft__mesh__v1__held__init(h);
		h->name = arena_strdup(a, one);
		struct str hash = c != NULL ? arena_str(a, c->hash) : STR("no hash");
		h->hash.data = (uint8_t *)(uintptr_t)hash.p;
		h->hash.len = hash.n;
		m->held[m->n_held++] = h;
	}
}

static void test_own_only(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, you;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&me, &w, "shop/me", "10.96.0.1 10.1.1.1");
	expect_text(&me,
		at(&w,
			"10.96.0.1>Service/shop/web 10.1.1.1>- +Workload/shop/me +Mesh +Revocations "
			"+TrustBundle/cluster.local +Service/shop/web required()"));
	push_client_start(&you, &w, "shop/you", "");
	expect_text(&you, at(&w, REQUIRED_OF("you")));
	/* One changed endpoint: its subscriber alone hears of it. */
	push_world_set(&w, SHOP("10.0.0.3"));
	expect_text(&me, at(&w, "+Service/shop/web"));
	expect_text(&you, "");
	push_client_subscribe(&you, "shop/db");
	expect_text(&you, at(&w, "shop/db>Service/shop/db +Service/shop/db"));
	push_client_unsubscribe(&me, "10.96.0.1");
	push_world_settle(&w);
	push_world_set(&w, SHOP("10.0.0.4"));
	expect_text(&me, "");
	expect_text(&you, "");
	assert_int_equal(push_world_metric(&w, "weft_push_streams"), 2);
	assert_int_equal(push_world_metric(&w, "weft_push_responses_total"), 4);
	assert_int_equal(push_world_metric(&w, "weft_push_resources_total"), 11);
	push_client_close(&me);
	push_client_close(&you);
	assert_int_equal(push_world_metric(&w, "weft_push_streams"), 0);
	push_world_close(&w);
}

static void test_reconnect(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me;
	struct arena a;
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	uint8_t ip[16];
	Weft__Mesh__V1__Key key = text_key("10.96.0.1", ip), *keys[] = {&key};
	Weft__Mesh__V1__Node node = WEFT__MESH__V1__NODE__INIT;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	arena_init(&a, NULL);
	hold_all(&m, &w, &a,
		"Workload/shop/me Mesh Revocations TrustBundle/cluster.local Service/shop/web "
		"Service/shop/old Pod/shop/web-1");
	m.subscribe = keys;
	m.n_subscribe = 1;
	m.node = &node;
	node.version = (char *)(uintptr_t)"shop/you";
	/* Changed meanwhile, and the catalog anew in another process. */
	push_world_set(&w, SHOP("10.0.0.3"));
	push_world_restart(&w);
	push_client_open(&me, &w, "shop/me");
	push_client_send(&me, &m);
	expect_text(&me,
		at(&w,
			"10.96.0.1>Service/shop/web +Service/shop/web -Service/shop/old "
			"-Pod/shop/web-1 required()"));
	char *text = push_world_describe(&w, "shop/me");
	assert_non_null(strstr(text, "\"version\":\"shop/you\""));
	assert_non_null(strstr(text, "\"pod\":\"shop/me\""));
	assert_non_null(strstr(text, "\"resources\":5,\"subscriptions\":1,\"rejections\":[],"));
	assert_non_null(strstr(text, "{\"key\":\"10.96.0.1\",\"answer\":\"Service/shop/web\"}"));
	assert_non_null(strstr(text, "\"state\":\"held\""));
	assert_non_null(strstr(text, "\"state\":\"acknowledged\""));
	mem_free(text);
	arena_clear(&a);
	push_client_close(&me);
	push_world_close(&w);
}

static void nack(struct push_client *c, const char *name)
{
	const struct compiled *r = catalog_resource(store_catalog(c->w->store), str_from(name));
	Weft__Mesh__V1__Rejection j = WEFT__MESH__V1__REJECTION__INIT, *all[] = {&j};
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	j.name = (char *)(uintptr_t)name;
	j.hash.data = (uint8_t *)(uintptr_t)r->hash.p;
	j.hash.len = r->hash.n;
	j.field = (char *)(uintptr_t)"ports[0]";
	j.reason = (char *)(uintptr_t)"cannot be";
	m.response_nonce = c->nonce;
	m.rejected = all;
	m.n_rejected = 1;
	push_client_send(c, &m);
}

static void test_nack(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&me, &w, "shop/me", "shop/web");
	me.silent = true;
	push_world_set(&w, SHOP("10.0.0.3"));
	push_world_settle(&w);
	nack(&me, "Service/shop/web");
	push_world_settle(&w);
	char *text = push_world_describe(&w, "");
	assert_non_null(strstr(text,
		"\"field\":\"ports[0]\",\"reason\":\"cannot be\",\"at\":\"2027-01-15T"));
	assert_null(strstr(text, "resourceList"));
	mem_free(text);
	assert_int_equal(push_world_metric(&w, "weft_push_rejections_total"), 1);
	assert_non_null(strstr(w.logged, "cannot be"));
	assert_int_equal(me.responses, 2);
	/* It goes on, and the next version takes the refusal away. */
	push_world_set(&w, SHOP("10.0.0.4"));
	push_world_settle(&w);
	assert_int_equal(me.responses, 3);
	push_client_ack(&me);
	push_world_settle(&w);
	text = push_world_describe(&w, "");
	assert_non_null(strstr(text, "\"rejections\":[]"));
	mem_free(text);
	push_client_close(&me);
	push_world_close(&w);
}

/* Who does not answer holds up himself, and gets all changes as one. */
static void test_slow_reader(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, you;
	static const char *const ips[] = {"10.0.0.3", "10.0.0.4", "10.0.0.5"};
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_open(&me, &w, "shop/me");
	me.silent = true;
	push_client_subscribe(&me, "shop/web");
	push_client_start(&you, &w, "shop/you", "shop/web");
	assert_int_equal(me.responses, 1);
	for (size_t i = 0; i < 3; i++) {
		char yaml[2048];
		snprintf(yaml, sizeof(yaml), "%s%s%s%s",
			ME YOU
			"---\napiVersion: v1\nkind: Pod\n"
			"metadata: {name: web-1, namespace: shop, labels: {app: web}}\nspec: "
			"{containers: [{name: app}, {name: weft-sidecar}]}\nstatus: {podIP: ",
			ips[i], "}\n", SERVICE("web", "10.96.0.1", "web"));
		push_world_set(&w, yaml);
		push_world_settle(&w);
	}
	assert_int_equal(me.responses, 1);
	assert_int_equal(you.responses, 4);
	/* What is asked for meanwhile waits as well. */
	push_client_subscribe(&me, "10.7.7.7");
	push_world_settle(&w);
	assert_int_equal(me.responses, 1);
	me.got.n = 0;
	push_client_ack(&me);
	expect_text(&me, at(&w, "10.7.7.7>- +Service/shop/web"));
	assert_int_equal(me.responses, 2);
	push_client_close(&me);
	push_client_close(&you);
	push_world_close(&w);
}

#define MANY 9000 /* keys: more than are looked at in a turn */

static void subscribe_many(struct push_client *c)
{
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	struct arena a;
	arena_init(&a, NULL);
	m.subscribe = arena_alloc(&a, MANY * sizeof(*m.subscribe));
	for (unsigned i = 0; i < MANY; i++) {
		m.subscribe[i] = ARENA_NEW(&a, Weft__Mesh__V1__Key);
		weft__mesh__v1__key__init(m.subscribe[i]);
		m.subscribe[i]->by_case = WEFT__MESH__V1__KEY__BY_NAME;
		m.subscribe[i]->name = (char *)(uintptr_t)arena_printf(&a, "shop/n%u", i).p;
		if (i == 0)
			m.subscribe[i]->name = (char *)(uintptr_t)"shop/web";
	}
	m.n_subscribe = MANY;
	push_client_send(c, &m);
	arena_clear(&a);
}

static void keep_position(struct push_client *c, const Weft__Mesh__V1__DiscoveryResponse *m)
{
	snprintf(c->arg, 128, "%s", m->position);
}

/* Whenever a change comes, a stream that is being looked at hears of it too. */
static void test_change_amidst_a_look(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me;
	char position[128];
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	for (size_t turns = 1; turns < 16; turns++) {
		push_client_open(&me, &w, "shop/me");
		me.mute = true;
		me.arg = position;
		me.on_response = keep_position;
		subscribe_many(&me);
		(void)loop_sim_settle(w.loop, turns);
		push_world_set(&w, turns % 2 != 0 ? SHOP("10.0.0.3") : SHOP("10.0.0.2"));
		push_world_settle(&w);
		assert_string_equal(position, store_position(w.store).p);
		push_client_close(&me);
	}
	push_world_close(&w);
}

static void test_stale_nonce(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, you;
	char nonce[sizeof(me.nonce)];
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&you, &w, "shop/you", "");
	push_client_open(&me, &w, "shop/me");
	me.silent = true;
	push_client_subscribe(&me, "shop/web");
	push_world_settle(&w);
	snprintf(nonce, sizeof(nonce), "%s", me.nonce);
	snprintf(me.nonce, sizeof(me.nonce), "%s", you.nonce);
	push_client_ack(&me);
	snprintf(me.nonce, sizeof(me.nonce), "none");
	push_client_ack(&me);
	push_world_set(&w, SHOP("10.0.0.3"));
	push_world_settle(&w);
	assert_int_equal(me.responses, 1);
	assert_int_equal(push_world_metric(&w, "weft_push_stale_answers_total"), 2);
	snprintf(me.nonce, sizeof(me.nonce), "%s", nonce);
	push_client_ack(&me);
	push_world_settle(&w);
	assert_int_equal(me.responses, 2);
	/* The same answer twice. */
	snprintf(me.nonce, sizeof(me.nonce), "%s", nonce);
	push_client_ack(&me);
	push_world_settle(&w);
	assert_int_equal(push_world_metric(&w, "weft_push_stale_answers_total"), 3);
	push_client_close(&me);
	push_client_close(&you);
	push_world_close(&w);
}

/* Rule 9: before what the sidecar has seen, nothing. */
static void test_behind(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, other;
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_open(&me, &w, "shop/me");
	m.position = push_world_position(&w, 2);
	push_client_send(&me, &m);
	push_client_subscribe(&me, "shop/web");
	expect_text(&me, "");
	assert_int_equal(push_world_metric(&w, "weft_push_behind"), 1);
	char *text = push_world_describe(&w, "");
	assert_non_null(strstr(text, "\"behind\":true"));
	mem_free(text);
	push_world_set(&w, SHOP("10.0.0.3"));
	expect_text(&me, "");
	push_world_set(&w, SHOP("10.0.0.4"));
	push_world_settle(&w);
	assert_int_equal(me.responses, 1);
	assert_non_null(strstr(me.got.s, "+Service/shop/web"));
	assert_int_equal(push_world_metric(&w, "weft_push_behind"), 0);
	assert_non_null(strstr(w.logged, "later position"));
	mem_free(m.position);
	/* Of another source: it gets what this one has. */
	m.position = (char *)(uintptr_t)"elsewhere:900";
	push_client_open(&other, &w, "shop/you");
	push_client_send(&other, &m);
	push_world_settle(&w);
	assert_int_equal(other.responses, 1);
	assert_non_null(strstr(w.logged, "another source"));
	push_client_close(&me);
	push_client_close(&other);
	push_world_close(&w);
}

static void expect_end(struct push_client *c, enum grpc_status status)
{
	push_world_settle(c->w);
	assert_true(c->ended);
	assert_string_equal(grpc_status_name(c->status), grpc_status_name(status));
	assert_true(c->message[0] != '\0' || status == GRPC_OK);
	push_client_close(c);
}

static void test_credentials(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client c;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&c, &w, NULL, "shop/web");
	assert_int_equal(c.responses, 0);
	expect_end(&c, GRPC_UNAUTHENTICATED);
	push_client_start(&c, &w, "shop/nobody", "shop/web");
	assert_int_equal(c.responses, 0);
	expect_end(&c, GRPC_PERMISSION_DENIED);
	assert_int_equal(push_world_metric(&w, "weft_push_refused_total{reason=\"credential\"}"),
		1);
	assert_int_equal(push_world_metric(&w, "weft_push_refused_total{reason=\"denied\"}"), 1);
	push_world_close(&w);
}

static void test_deleted_and_replaced(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, again, you;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&me, &w, "shop/me", "shop/web");
	push_client_start(&again, &w, "shop/me", "shop/web");
	assert_int_equal(again.responses, 1);
	expect_end(&me, GRPC_ABORTED);
	push_client_open(&you, &w, "shop/you");
	you.silent = true; /* deleted while its answer is awaited */
	push_client_subscribe(&you, "");
	push_world_settle(&w);
	push_world_set(&w, ME SERVICE("web", "10.96.0.1", "web"));
	expect_end(&you, GRPC_PERMISSION_DENIED);
	assert_false(again.ended);
	/* Of that name, but another one. */
	push_world_set(&w,
		"---\napiVersion: v1\nkind: Pod\nmetadata: {name: me, namespace: shop, uid: "
		"other}\nspec: {containers: [{name: app}, {name: weft-sidecar}]}\nstatus: {podIP: "
		"10.0.0.1}\n");
	expect_end(&again, GRPC_PERMISSION_DENIED);
	push_world_close(&w);
}

static void test_no_catalog(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, late, bad;
	push_world_init(&w);
	push_world_open(&w, NULL);
	push_client_start(&me, &w, "shop/me", "shop/web");
	loop_sim_advance(w.loop, 61 * NS_PER_S);
	expect_end(&me, GRPC_UNAVAILABLE);
	push_client_start(&late, &w, "shop/me", "shop/web");
	push_client_start(&bad, &w, "shop/other", "shop/web");
	assert_int_equal(push_world_metric(&w, "weft_push_streams_waiting"), 2);
	push_world_set(&w, SHOP("10.0.0.2"));
	expect_end(&bad, GRPC_PERMISSION_DENIED);
	assert_int_equal(late.responses, 1);
	assert_non_null(strstr(late.got.s, "+Service/shop/web"));
	push_client_close(&late);
	push_world_close(&w);
}

#define CROWD 7

static void test_admission(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client c[CROWD];
	char *yaml = mem_strdup("");
	push_world_init(&w);
	w.cfg.admit_rate = 1;
	w.cfg.admit_burst = 2;
	w.cfg.max_waiting = 3;
	for (unsigned i = 0; i < CROWD; i++) {
		char *more = mem_printf("%s---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%u, "
					"namespace: shop}\nspec: {containers: [{name: "
					"weft-sidecar}]}\nstatus: {podIP: 10.0.0.%u}\n",
			yaml, i, i + 1);
		mem_free(yaml);
		yaml = more;
	}
	push_world_open(&w, yaml);
	mem_free(yaml);
	for (unsigned i = 0; i < CROWD - 1; i++) {
		char pod[16];
		snprintf(pod, sizeof(pod), "shop/p%u", i);
		push_client_start(&c[i], &w, pod, "10.0.0.1");
	}
	expect_end(&c[5], GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(push_world_metric(&w, "weft_push_streams"), 2);
	assert_int_equal(push_world_metric(&w, "weft_push_streams_waiting"), 3);
	/* A pod that comes again takes its own place, nobody else's. */
	push_client_start(&c[6], &w, "shop/p2", "10.0.0.1");
	expect_end(&c[2], GRPC_ABORTED);
	static const unsigned order[] = {3, 4, 6};
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(c[order[i]].responses, 0);
		loop_sim_advance(w.loop, NS_PER_S);
		assert_int_equal(c[order[i]].responses, 1);
		push_client_close(&c[order[i]]);
	}
	push_client_close(&c[0]);
	push_client_close(&c[1]);
	push_world_close(&w);
}

/* An answered stream may be silent for as long as it likes. */
static void test_quiet(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&me, &w, "shop/me", "shop/web");
	loop_sim_advance(w.loop, 3 * 3600 * NS_PER_S);
	assert_false(me.ended);
	push_world_set(&w, SHOP("10.0.0.3"));
	push_world_settle(&w);
	assert_int_equal(me.responses, 2);
	push_client_close(&me);
	push_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_only),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_nack),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_change_amidst_a_look),
		cmocka_unit_test(test_stale_nonce),
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_credentials),
		cmocka_unit_test(test_deleted_and_replaced),
		cmocka_unit_test(test_no_catalog),
		cmocka_unit_test(test_admission),
		cmocka_unit_test(test_quiet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
