/*
 * Many at once and many in a row: a thousand connections, ten thousand requests, thousands opened
 * and closed. Every one is answered and counted, and afterwards memory is where it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "tests/support/mesh_pair.h"

#define CONNECTIONS 1000
#define ROUNDS 10

static void tagged_head(struct exchange *x)
{
	char tag[64];
	snprintf(tag, sizeof(tag), "tag %.*s", STR_ARG(x->head->path));
	exchange_reply(x, 200, NULL, tag);
}

static void app_tagged(struct http_user *u)
{
	u->on_head = tagged_head;
}

static void quiet(struct pair *p)
{
	p->client->params.access_log = p->web->params.access_log = false;
}

/* Each connection sends its own tag and gets that back, all of them at once. */
static void test_a_thousand_connections(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire *x = mem_alloc(CONNECTIONS * sizeof(*x));
	quiet(p);
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_tagged);
	mesh_apply(&p->m);
	for (int i = 0; i < CONNECTIONS; i++)
		pair_wire(p, &x[i]);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CONNECTIONS; i++) {
			char text[128];
			int n = snprintf(text, sizeof(text),
				"GET /%d.%d HTTP/1.1\r\nHost: w\r\n\r\n", round, i);
			assert_int_equal(wire_push(&x[i], str_make(text, (size_t)n)), n);
		}
		mesh_settle(&p->m);
		for (int i = 0; i < CONNECTIONS; i++) {
			char tag[64], *got = wire_take(&x[i]);
			snprintf(tag, sizeof(tag), "\r\n\r\ntag /%d.%d", round, i);
			assert_has(got, tag);
			free(got);
		}
	}
	/* They shared few connections, and those few were enough. */
	assert_in_range(pools_opened(proxy_flow(p->client->proxy)->pools), 1, 20);
	assert_int_equal(pair_requests(p->client, "code=\"200\""), CONNECTIONS * ROUNDS);
	assert_int_equal(pair_requests(p->web, "code=\"200\""), CONNECTIONS * ROUNDS);
	for (int i = 0; i < CONNECTIONS; i++)
		wire_fini(&x[i]);
	mem_free(x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(buf_pool_used(p->m.w.bufs), 0);
}

static void test_opened_and_closed(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	quiet(p);
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_tagged);
	mesh_apply(&p->m);
	for (int i = 0; i < 3000; i++) {
		struct wire x;
		pair_wire(p, &x);
		if (i % 3 == 0)
			wire_close(&x, i % 2 == 0); /* without a word */
		else
			pair_expect(&x, "GET /x HTTP/1.1\r\nHost: w\r\n\r\n", "tag /x");
		wire_fini(&x);
	}
	assert_int_equal(pair_requests(p->client, NULL), 2000);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(buf_pool_used(p->m.w.bufs), 0);
}

static void test_raw_connections(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	quiet(p);
	p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP;
	mesh_raw_start(&app, p->web, 8080, NULL);
	mesh_apply(&p->m);
	for (int i = 0; i < 300; i++) {
		struct wire x;
		pair_wire(p, &x);
		wire_send(&x, STR("\1raw"), 0, NULL);
		assert_int_equal(app.n, 1);
		assert_int_equal(app.wires[0].total, 4);
		wire_close(&x, i % 2 == 0);
		wire_fini(&app.wires[0]);
		app.n = 0;
		mesh_settle(&p->m);
	}
	assert_int_equal(mesh_metric(p->client, "weft_tcp_connections_opened_total", NULL), 300);
	assert_int_equal(mesh_metric(p->client, "weft_tcp_connections_closed_total", NULL), 300);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(buf_pool_used(p->m.w.bufs), 0);
}

/* Ten HTTP/2 clients with a hundred streams each, uploading and downloading. */
static void test_many_streams(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u[10];
	quiet(p);
	mesh_app_start(&app, p->web, 8080, HTTP_V2, app_echo);
	mesh_apply(&p->m);
	for (int i = 0; i < 10; i++)
		pair_client(p, &u[i], HTTP_V2);
	for (int i = 0; i < 10; i++)
		for (int k = 0; k < 100; k++) {
			struct exchange *x =
				http_user_request(&u[i], "POST", "/", NULL, 10000, false);
			assert_non_null(x);
			exchange_source(x, 10000);
		}
	mesh_settle(&p->m);
	for (int i = 0; i < 10; i++)
		for (int k = 0; k < 100; k++) {
			const struct exchange *x = u[i].x[k];
			assert_true(x->ended && x->reason == REASON_OK);
			if (x->status != 200)
				fail_msg("%d.%d: %u %.200s", i, k, x->status, x->body);
			assert_int_equal(x->body_bytes, 10000);
			assert_int_equal(x->body_sum, x->sent_sum);
		}
	for (int i = 0; i < 10; i++)
		http_user_fini(&u[i]);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(buf_pool_used(p->m.w.bufs), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_a_thousand_connections),
		PAIR_TEST(test_opened_and_closed),
		PAIR_TEST(test_raw_connections),
		PAIR_TEST(test_many_streams),
	};
	return cmocka_run_group_tests_name("many", tests, NULL, NULL);
}
