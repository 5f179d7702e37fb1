/*
 * WebSocket through the mesh: over HTTP/1 at both ends with the HTTP/2 hop between, and by RFC 8441
 * where both ends speak HTTP/2; refused, half-closed, cut and idle tunnels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

#define UPGRADE                                                                            \
	"GET /chat HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static void accept_head(struct exchange *x)
{
	struct http_head h;
	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = x->head->protocol.n > 0 ? 101 : 200;
	h.length = h.status == 101 ? HTTP_LENGTH_UNKNOWN : 0;
	stream_send_head(x->stream, &h, h.status != 101);
}

static void accept_upgrade(struct http_user *u)
{
	u->echo = true;
	u->on_head = accept_head;
}

static void refuse_upgrade(struct http_user *u)
{
	u->reply = REPLY_AT_HEAD;
	u->reply_status = 403;
	u->reply_body = "no";
}

static void test_http1(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, accept_upgrade);
	p->client->params.request_timeout = 5 * NS_PER_S;
	p->web->params.request_timeout = 5 * NS_PER_S;
	mesh_apply(&p->m);
	pair_wire(p, &x);
	char *got = pair_ask(&x, UPGRADE);
	assert_has(got, "HTTP/1.1 101 Switching Protocols\r\n");
	assert_has(got, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
	free(got);
	pair_expect(&x, "\x81\x02hi", "\x81\x02hi");
	/* A tunnel is no request: the time-out of those does not end it. */
	mesh_advance(&p->m, 60 * NS_PER_S);
	pair_expect(&x, "\x81\x05still", "\x81\x05still");
	assert_int_equal(pair_requests(p->client, NULL), 0);
	wire_shutdown(&x);
	mesh_settle(&p->m);
	assert_true(x.eof);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, "code=\"101\""), 1);
	assert_int_equal(pair_requests(p->web, "code=\"101\""), 1);
}

static void test_many_at_once(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x[10];
	mesh_app_start(&app, p->web, 8080, HTTP_V1, accept_upgrade);
	mesh_apply(&p->m);
	for (int i = 0; i < 10; i++)
		pair_wire(p, &x[i]);
	for (int i = 0; i < 10; i++)
		wire_push(&x[i], STR(UPGRADE));
	mesh_settle(&p->m);
	for (int i = 0; i < 10; i++) {
		char word[32];
		pair_expect(&x[i], "", "101 Switching");
		snprintf(word, sizeof(word), "\x81\x06number %d", i);
		pair_expect(&x[i], word, word);
	}
	for (int i = 0; i < 10; i++)
		wire_fini(&x[i]);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_refused_upgrade(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, refuse_upgrade);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	pair_expect(&x, UPGRADE, "HTTP/1.1 403 Forbidden\r\n");
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, "code=\"403\""), 1);
	assert_int_equal(pair_requests(p->web, "code=\"403\""), 1);
}

/* Only websocket passes; others are stripped and the request goes its way. */
static void test_other_upgrades_are_stripped(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	pair_expect(&x,
		"GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade, HTTP2-Settings\r\n"
		"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"HTTP/1.1 200 OK\r\n");
	const char *log = http_user_log(app.users[0]);
	assert_has_not(log, "upgrade");
	assert_has_not(log, "http2-settings");
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static struct exchange *open_8441(struct http_user *u)
{
	struct arena arena;
	struct http_head h;
	arena_init(&arena, u->w->arenas);
	http_head_init(&h, HTTP_REQUEST, &arena);
	h.method = STR("GET");
	h.scheme = STR("http");
	h.authority = STR("web");
	h.path = STR("/chat");
	h.protocol = STR("websocket");
	h.length = HTTP_LENGTH_UNKNOWN;
	http_fields_add(&h.fields, STR("sec-websocket-version"), STR("13"));
	struct exchange *x = http_user_open(u, &h, false);
	arena_clear(&arena);
	return x;
}

static void test_http2(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, HTTP_V2, accept_upgrade);
	mesh_apply(&p->m);
	pair_client(p, &u, HTTP_V2);
	assert_true(http_conn_can_upgrade(u.conn));
	struct exchange *x = open_8441(&u);
	mesh_settle(&p->m);
	assert_int_equal(x->status, 101);
	exchange_send(x, STR("ping"), false);
	mesh_settle(&p->m);
	assert_int_equal(x->body_bytes, 4);
	exchange_send(x, STR("last"), true);
	mesh_settle(&p->m);
	assert_int_equal(x->body_bytes, 8);
	assert_true(x->ended && x->reason == REASON_OK);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, "code=\"101\""), 1);
}

/* Whichever side breaks, the other one hears of it, and it is counted once. */
static void test_broken_tunnels(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	for (int who = 0; who < 3; who++) {
		struct wire x;
		mesh_app_start(&app, p->web, 8080, HTTP_V1, accept_upgrade);
		mesh_apply(&p->m);
		pair_wire(p, &x);
		pair_expect(&x, UPGRADE, "101 Switching");
		struct http_user *server = app.users[0];
		if (who == 0)
			wire_close(&x, true);
		else if (who == 1)
			http_conn_end(server->conn, REASON_INTERNAL);
		else
			assert_int_equal(mesh_break_upstreams(p->client, ERR_RESET), 1);
		mesh_settle(&p->m);
		assert_true(server->ended);
		if (who > 0)
			assert_int_equal(x.err, ERR_RESET);
		assert_int_equal(pair_requests(p->client, NULL), who + 1);
		assert_int_equal(pair_requests(p->web, NULL), who + 1);
		wire_fini(&x);
		mesh_app_stop(&app);
	}
	mesh_assert_idle(&p->m);
}

/* A tunnel moves much, both ways, while its reader stops now and then. */
static void test_a_tunnel_has_backpressure(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, HTTP_V2, accept_upgrade);
	mesh_apply(&p->m);
	pair_client(p, &u, HTTP_V2);
	struct exchange *x = open_8441(&u);
	mesh_settle(&p->m);
	u.hold = true;
	exchange_source(x, 32 << 20);
	mesh_settle(&p->m);
	print_message("%zu bytes held\n", buf_pool_used(p->m.w.bufs));
	assert_true(buf_pool_used(p->m.w.bufs) < 6 << 20);
	assert_true(x->body_bytes < 2 << 20);
	u.hold = false;
	exchange_consume(x);
	mesh_settle(&p->m);
	assert_int_equal(x->body_bytes, 32 << 20);
	assert_int_equal(x->body_sum, x->sent_sum);
	assert_true(x->ended && x->reason == REASON_OK);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_http1),
		PAIR_TEST_V6(test_http1),
		PAIR_TEST(test_many_at_once),
		PAIR_TEST(test_refused_upgrade),
		PAIR_TEST(test_other_upgrades_are_stripped),
		PAIR_TEST(test_http2),
		PAIR_TEST(test_broken_tunnels),
		PAIR_TEST(test_a_tunnel_has_backpressure),
	};
	return cmocka_run_group_tests_name("upgrades through the mesh", tests, NULL, NULL);
}
