/*
 * Slow readers and slow streams: what a proxy holds stays bounded whichever side stops, and nobody
 * but the slow one is slow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

#define BODY (64ull << 20)
/* For both sidecars, both applications and the pipes between them. */
#define HELD_MAX (4ull << 20)

static void app_source(struct http_user *u)
{
	u->reply = REPLY_AT_HEAD;
	u->reply_status = 200;
	u->reply_source = BODY;
}

static void app_sink(struct http_user *u)
{
	u->reply = REPLY_AT_END;
	u->reply_status = 200;
	u->reply_body = "taken";
}

static void hold_head(struct exchange *x)
{
	x->user->hold = true;
}

static void app_slow_sink(struct http_user *u)
{
	app_sink(u);
	u->on_head = hold_head;
}

static size_t held(struct pair *p)
{
	size_t n = buf_pool_used(p->m.w.bufs);
	print_message("%zu KiB held\n", n / 1024);
	return n;
}

/* The client stops reading an answer of 64 MiB. */
static void slow_download(struct pair *p, enum http_version v)
{
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, v, app_source);
	mesh_apply(&p->m);
	pair_client(p, &u, v);
	u.hold = true;
	struct exchange *x = http_user_request(&u, "GET", "/", NULL, 0, true);
	mesh_settle(&p->m);
	assert_int_equal(x->status, 200);
	assert_true(x->body_bytes < BODY / 16);
	assert_true(held(p) < HELD_MAX);
	mesh_advance(&p->m, 20 * NS_PER_S);
	assert_true(x->body_bytes < BODY / 16);
	u.hold = false;
	exchange_consume(x);
	mesh_settle(&p->m);
	assert_int_equal(x->body_bytes, BODY);
	assert_int_equal(x->body_sum, app.users[0]->x[0]->sent_sum);
	assert_true(x->ended && x->reason == REASON_OK);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_slow_download_http1(void **state)
{
	slow_download(*state, HTTP_V1);
}

static void test_slow_download_http2(void **state)
{
	slow_download(*state, HTTP_V2);
}

/* The application stops reading a request of 64 MiB. */
static void slow_upload(struct pair *p, enum http_version v)
{
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, v, app_slow_sink);
	mesh_apply(&p->m);
	pair_client(p, &u, v);
	struct exchange *x = http_user_request(&u, "POST", "/", NULL, BODY, false);
	exchange_source(x, BODY);
	mesh_settle(&p->m);
	assert_true(x->source > BODY / 16 * 15);
	assert_true(held(p) < HELD_MAX);
	struct http_user *server = app.users[0];
	server->hold = false;
	exchange_consume(server->x[0]);
	mesh_settle(&p->m);
	assert_int_equal(x->status, 200);
	assert_int_equal(server->x[0]->body_bytes, BODY);
	assert_int_equal(server->x[0]->body_sum, x->sent_sum);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_slow_upload_http1(void **state)
{
	slow_upload(*state, HTTP_V1);
}

static void test_slow_upload_http2(void **state)
{
	slow_upload(*state, HTTP_V2);
}

/* A raw reader that stops, either side. */
static void slow_raw(struct pair *p, bool client_reads)
{
	struct mesh_raw app;
	struct wire x;
	static char piece[65536];
	mesh_raw_start(&app, p->web, 8080, client_reads ? "\1" : NULL);
	p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP;
	mesh_apply(&p->m);
	pair_wire(p, &x);
	mesh_advance(&p->m, 20 * NS_PER_MS);
	wire_send(&x, STR("\1"), 0, NULL);
	assert_int_equal(app.n, 1);
	struct wire *from = client_reads ? &app.wires[0] : &x,
		    *to = client_reads ? &x : &app.wires[0];
	wire_listen(to, false);
	to->discard = true;
	uint64_t sent = 0, before = to->total;
	for (;;) {
		size_t n = wire_push(from, str_make(piece, sizeof(piece)));
		mesh_settle(&p->m);
		sent += n;
		if (n == 0)
			break;
	}
	assert_true(sent < 4 << 20);
	assert_true(held(p) < HELD_MAX);
	wire_listen(to, true);
	mesh_settle(&p->m);
	while (sent < BODY) {
		size_t n = wire_push(from, str_make(piece, sizeof(piece)));
		mesh_settle(&p->m);
		assert_true(n > 0);
		sent += n;
		assert_true(buf_pool_used(p->m.w.bufs) < HELD_MAX);
	}
	assert_int_equal(to->total - before, sent);
	wire_fini(&x);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_slow_raw_client(void **state)
{
	slow_raw(*state, true);
}

static void test_slow_raw_server(void **state)
{
	slow_raw(*state, false);
}

/* One stream that nobody reads on the connection that all share: its siblings go on. */
static void test_a_slow_stream_stalls_no_sibling(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user slow[20], fast;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_source);
	mesh_apply(&p->m);
	for (int i = 0; i < 20; i++) {
		pair_client(p, &slow[i], HTTP_V1);
		slow[i].hold = true;
		http_user_request(&slow[i], "GET", "/", NULL, 0, true);
		mesh_settle(&p->m);
	}
	assert_int_equal(pools_conns(proxy_flow(p->client->proxy)->pools), 1);
	pair_client(p, &fast, HTTP_V1);
	struct exchange *x = http_user_request(&fast, "GET", "/", NULL, 0, true);
	mesh_settle(&p->m);
	assert_int_equal(x->body_bytes, BODY);
	assert_true(x->ended && x->reason == REASON_OK);
	assert_true(held(p) < 20 * HELD_MAX);
	for (int i = 0; i < 20; i++)
		http_user_fini(&slow[i]);
	http_user_fini(&fast);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* One HTTP/2 client connection, one stream held, the others done. */
static void test_a_held_stream_stalls_no_stream_of_its_connection(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, HTTP_V2, app_echo);
	mesh_apply(&p->m);
	pair_client(p, &u, HTTP_V2);
	struct exchange *stuck = http_user_request(&u, "POST", "/", NULL, BODY, false);
	u.hold = true;
	exchange_source(stuck, BODY);
	mesh_settle(&p->m);
	assert_true(stuck->body_bytes < BODY / 16);
	for (int i = 0; i < 50; i++) {
		struct exchange *x = http_user_request(&u, "POST", "/", NULL, 100000, false);
		exchange_source(x, 100000);
		mesh_settle(&p->m);
		assert_int_equal(x->body_bytes, 100000);
		assert_true(x->ended && x->reason == REASON_OK);
	}
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* Both of 64 MiB at once on one stream, over the version that shares connections. */
static void test_full_duplex(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, HTTP_V2, app_echo);
	mesh_apply(&p->m);
	pair_client(p, &u, HTTP_V2);
	struct exchange *x = http_user_request(&u, "POST", "/", NULL, BODY, false);
	exchange_source(x, BODY);
	mesh_settle(&p->m);
	assert_int_equal(x->body_bytes, BODY);
	assert_int_equal(x->body_sum, x->sent_sum);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* A stuck client that never comes back is given up in the end, and all it held comes free. */
static void test_a_client_that_never_reads_again(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_source);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_listen(&x, false);
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: w\r\n\r\n"), 0, NULL);
	assert_true(held(p) > 300 * 1024);
	mesh_advance(&p->m, 400 * NS_PER_S);
	assert_int_equal(proxy_flow(p->client->proxy)->stats.requests, 0);
	assert_int_equal(proxy_flow(p->web->proxy)->stats.requests, 0);
	assert_int_equal(pair_requests(p->client, NULL), 1);
	assert_true(held(p) < 300 * 1024);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_slow_download_http1),
		PAIR_TEST(test_slow_download_http2),
		PAIR_TEST(test_slow_upload_http1),
		PAIR_TEST(test_slow_upload_http2),
		PAIR_TEST(test_slow_raw_client),
		PAIR_TEST(test_slow_raw_server),
		PAIR_TEST(test_a_slow_stream_stalls_no_sibling),
		PAIR_TEST(test_a_held_stream_stalls_no_stream_of_its_connection),
		PAIR_TEST(test_full_duplex),
		PAIR_TEST(test_a_client_that_never_reads_again),
	};
	return cmocka_run_group_tests_name("slow readers", tests, NULL, NULL);
}
