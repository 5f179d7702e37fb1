/*
 * What a client may not do to Discovery: too much, too large, too fast, too late.
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

static void expect_end(struct push_client *c, enum grpc_status status)
{
	push_world_settle(c->w);
	assert_true(c->ended);
	assert_string_equal(grpc_status_name(c->status), grpc_status_name(status));
	assert_true(c->message[0] != '\0' || status == GRPC_OK);
	push_client_close(c);
}

static void test_timeouts(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, you;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_open(&me, &w, "shop/me");
	me.silent = true;
	push_client_subscribe(&me, "shop/web");
	push_client_open(&you, &w, "shop/you"); /* and says nothing */
	push_world_settle(&w);
	loop_sim_advance(w.loop, 29 * NS_PER_S);
	assert_false(me.ended || you.ended);
	loop_sim_advance(w.loop, 2 * NS_PER_S);
	expect_end(&me, GRPC_DEADLINE_EXCEEDED);
	expect_end(&you, GRPC_DEADLINE_EXCEEDED);
	assert_int_equal(push_world_metric(&w, "weft_push_refused_total{reason=\"unanswered\"}"),
		1);
	assert_int_equal(push_world_metric(&w, "weft_push_refused_total{reason=\"silent\"}"), 1);
	push_world_close(&w);
}

static void test_half_close(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client c;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_open(&c, &w, "shop/me");
	c.silent = true;
	push_client_subscribe(&c, "shop/web");
	grpc_call_close_send(c.call);
	push_world_settle(&w);
	assert_int_equal(c.responses, 1);
	expect_end(&c, GRPC_OK);
	push_client_open(&c, &w, "shop/me");
	grpc_call_close_send(c.call);
	expect_end(&c, GRPC_INVALID_ARGUMENT);
	/* A pod without an address has no record of its own. */
	push_world_set(&w,
		"---\napiVersion: v1\nkind: Pod\nmetadata: {name: me, namespace: shop}\nspec: "
		"{containers: [{name: weft-sidecar}]}\n");
	push_client_start(&c, &w, "shop/me", "shop/web");
	assert_int_equal(c.responses, 0);
	assert_false(c.ended);
	char *text = push_world_describe(&w, "");
	assert_null(strstr(text, "\"withheld\":\"\""));
	mem_free(text);
	push_world_set(&w, SHOP("10.0.0.3"));
	push_world_settle(&w);
	assert_int_equal(c.responses, 1);
	push_client_close(&c);
	push_world_set(&w,
		"---\napiVersion: v1\nkind: Pod\nmetadata: {name: me, namespace: shop}\nspec: "
		"{containers: [{name: weft-sidecar}]}\n");
	push_client_start(&c, &w, "shop/me", "shop/web");
	grpc_call_close_send(c.call);
	expect_end(&c, GRPC_UNAVAILABLE);
	push_world_close(&w);
}

static void send_blob(struct push_client *c, size_t n)
{
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	Weft__Mesh__V1__Node node = WEFT__MESH__V1__NODE__INIT;
	node.version = mem_alloc(n + 1);
	memset(node.version, 'v', n);
	m.node = &node;
	push_client_send(c, &m);
	mem_free(node.version);
}

static void test_bad_requests(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client c;
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	Weft__Mesh__V1__Held held = WEFT__MESH__V1__HELD__INIT, *all[] = {&held};
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_open(&c, &w, "shop/me");
	grpc_call_send_bytes(c.call, STR("\xff\xff\xff"));
	expect_end(&c, GRPC_INVALID_ARGUMENT);
	/* Large is permitted first, and only then. */
	push_client_open(&c, &w, "shop/me");
	send_blob(&c, 3u << 20);
	push_world_settle(&w);
	assert_int_equal(c.responses, 1);
	send_blob(&c, 257u << 10);
	expect_end(&c, GRPC_RESOURCE_EXHAUSTED);
	push_client_open(&c, &w, "shop/me");
	send_blob(&c, 5u << 20);
	expect_end(&c, GRPC_RESOURCE_EXHAUSTED);
	push_client_open(&c, &w, "shop/me");
	m.held = all;
	m.n_held = 1;
	push_client_send(&c, &m);
	expect_end(&c, GRPC_INVALID_ARGUMENT);
	push_world_close(&w);
}

/* Requests faster than the rate are taken at the rate, and none is lost. */
static void test_flood(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, you;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&me, &w, "shop/me", "");
	me.mute = true;
	for (unsigned i = 0; i < 3000; i++) {
		char key[32];
		snprintf(key, sizeof(key), "10.1.%u.%u", i / 256, i % 256);
		push_client_subscribe(&me, key);
	}
	push_world_settle(&w);
	assert_false(me.ended);
	push_client_start(&you, &w, "shop/you", "shop/web");
	assert_int_equal(you.responses, 1);
	char *text = push_world_describe(&w, "");
	assert_null(strstr(text, "\"subscriptions\":3000"));
	mem_free(text);
	assert_true(push_world_metric(&w, "weft_push_slowed_total") > 0);
	loop_sim_advance(w.loop, 20 * NS_PER_S);
	text = push_world_describe(&w, "");
	assert_non_null(strstr(text, "\"subscriptions\":3000"));
	mem_free(text);
	push_client_close(&me);
	push_client_close(&you);
	push_world_close(&w);
}

/* Few large ones are no cheaper than many small ones. */
static void test_flood_of_bytes(void **state)
{
	(void)state;
	enum { LARGE_ONES = 40, SIZE = 250000 };
	struct push_world w;
	struct push_client me;
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	push_world_init(&w);
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&me, &w, "shop/me", "");
	m.response_nonce = mem_alloc(SIZE + 1);
	memset(m.response_nonce, 'x', SIZE);
	m.response_nonce[SIZE] = '\0';
	for (unsigned i = 0; i < LARGE_ONES; i++)
		push_client_send(&me, &m);
	push_world_settle(&w);
	uint64_t taken = push_world_metric(&w, "weft_push_stale_answers_total");
	assert_true(taken > 30 && taken < LARGE_ONES);
	loop_sim_advance(w.loop, 10 * NS_PER_S);
	push_world_settle(&w);
	assert_int_equal(push_world_metric(&w, "weft_push_stale_answers_total"), LARGE_ONES);
	assert_false(me.ended);
	mem_free(m.response_nonce);
	push_client_close(&me);
	push_world_close(&w);
}

#define CROWD 12
#define LARGE (3u << 20)

/* What waits is kept within bounds, whatever it sends. */
static void test_parked(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client c[CROWD];
	unsigned ended = 0;
	push_world_init(&w);
	push_world_open(&w, NULL);
	for (unsigned i = 0; i < CROWD; i++) {
		push_client_open(&c[i], &w, "shop/me");
		send_blob(&c[i], LARGE);
		push_world_settle(&w);
		ended += c[i].ended && c[i].status == GRPC_RESOURCE_EXHAUSTED;
	}
	assert_int_equal(ended, CROWD - (32u << 20) / LARGE);
	assert_int_equal(push_world_metric(&w, "weft_push_refused_total{reason=\"crowded\"}"),
		ended);
	/* One stream has its own bound. */
	for (unsigned i = 1; i < CROWD; i++)
		push_client_close(&c[i]);
	send_blob(&c[0], 1 << 20);
	send_blob(&c[0], 1 << 20);
	expect_end(&c[0], GRPC_RESOURCE_EXHAUSTED);
	/* A client that goes gives back what it had. */
	push_client_open(&c[0], &w, "shop/me");
	for (unsigned i = 0; i < CROWD; i++) {
		push_client_open(&c[1], &w, "shop/me");
		send_blob(&c[1], LARGE);
		push_world_settle(&w);
		assert_false(c[1].ended);
		push_client_close(&c[1]);
	}
	push_client_close(&c[0]);
	push_world_close(&w);
}

static void test_streams(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, you, again;
	push_world_init(&w);
	w.cfg.max_streams = 1;
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&me, &w, "shop/me", "");
	push_client_start(&you, &w, "shop/you", "");
	expect_end(&you, GRPC_RESOURCE_EXHAUSTED);
	/* The same pod takes its own place. */
	push_client_start(&again, &w, "shop/me", "");
	expect_end(&me, GRPC_ABORTED);
	assert_int_equal(again.responses, 1);
	push_client_close(&again);
	push_world_close(&w);
}

/* Streams of pods stay where connections are wanted; whoever has none makes room. */
static void test_connections(void **state)
{
	(void)state;
	struct push_world w;
	struct push_client me, you, late;
	push_world_init(&w);
	w.max_conns = 2;
	push_world_open(&w, SHOP("10.0.0.2"));
	push_client_start(&me, &w, "shop/me", "");
	push_client_start(&you, &w, "shop/you", "");
	push_client_start(&late, &w, NULL, "");
	assert_false(me.ended || you.ended);
	assert_int_equal(late.status, GRPC_UNAVAILABLE);
	push_client_close(&me);
	push_client_close(&late);
	push_client_start(&late, &w, NULL, "");
	assert_int_equal(late.status, GRPC_UNAUTHENTICATED);
	push_client_start(&me, &w, "shop/me", "");
	assert_false(me.ended || you.ended);
	push_client_close(&me);
	push_client_close(&you);
	push_client_close(&late);
	push_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_flood_of_bytes),
		cmocka_unit_test(test_parked),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_connections),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
