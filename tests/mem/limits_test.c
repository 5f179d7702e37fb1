/*
 * Clients that go, time that runs out, and limits that are reached: each ends in an answer or a
 * reset with its own reason, at both sidecars and once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/net/net_sim.h"
#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

static void expect_counted(struct pair *p, const char *label)
{
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, NULL), 1);
	assert_int_equal(pair_requests(p->web, NULL), 1);
	assert_int_equal(pair_requests(p->client, label), 1);
}

/* -- clients that go
 * --------------------------------------------------------------------------------------------------
 */

static void disconnect(struct pair *p, enum http_version v, bool reset)
{
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, v, app_silent);
	mesh_apply(&p->m);
	pair_client(p, &u, v);
	assert_non_null(http_user_request(&u, "GET", "/", NULL, 0, true));
	mesh_settle(&p->m);
	struct http_user *server = app.users[0];
	assert_false(server->x[0]->ended);
	if (reset)
		http_conn_end(u.conn, REASON_CANCELLED);
	else
		stream_reset(u.x[0]->stream, REASON_CANCELLED);
	mesh_settle(&p->m);
	/* The application hears of it at once: HTTP/1 by its connection, HTTP/2 by its stream. */
	assert_true(server->x[0]->ended);
	assert_int_not_equal(server->x[0]->reason, REASON_OK);
	assert_int_equal(server->ended, v == HTTP_V1);
	http_user_fini(&u);
	mesh_app_stop(&app);
	expect_counted(p, "code=\"0\"");
}

static void test_disconnect_http1(void **state)
{
	disconnect(*state, HTTP_V1, true);
}

static void test_disconnect_http2(void **state)
{
	disconnect(*state, HTTP_V2, true);
}

static void test_stream_reset_http2(void **state)
{
	disconnect(*state, HTTP_V2, false);
}

/* Closing one's side after the request is no disconnect. */
static void test_half_closed_client(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR(GET), 0, NULL);
	wire_shutdown(&x);
	mesh_advance(&p->m, NS_PER_S);
	exchange_reply(app.users[0]->x[0], 200, NULL, "late");
	mesh_settle(&p->m);
	char *got = wire_take(&x);
	assert_has(got, "200 OK");
	assert_has(got, "late");
	free(got);
	wire_fini(&x);
	mesh_app_stop(&app);
	expect_counted(p, "code=\"200\"");
}

/* -- time
 * -------------------------------------------------------------------------------------------------------
 */

static void test_request_timeout(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	p->client->params.request_timeout = 3 * NS_PER_S;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR(GET), 0, NULL);
	mesh_advance(&p->m, 2 * NS_PER_S);
	assert_int_equal(x.total, 0);
	mesh_advance(&p->m, 2 * NS_PER_S);
	char *got = wire_take(&x);
	assert_has(got, "504 Gateway Timeout");
	assert_has(got, "(UT)");
	free(got);
	assert_true(app.users[0]->ended);
	wire_fini(&x);
	mesh_app_stop(&app);
	expect_counted(p, "reason=\"UT\"");
	assert_int_equal(pair_requests(p->web, "reason=\"DR\""), 1);
}

/* The answer has begun: it can only be cut. */
static void slow_head(struct exchange *x)
{
	struct http_head h;
	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = 200;
	h.length = 100;
	stream_send_head(x->stream, &h, false);
	exchange_send(x, STR("half"), false);
}

static void app_slow(struct http_user *u)
{
	u->on_head = slow_head;
}

static void test_request_timeout_within_the_answer(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	p->client->params.request_timeout = 3 * NS_PER_S;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_slow);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR(GET), 0, NULL);
	mesh_advance(&p->m, 4 * NS_PER_S);
	assert_int_equal(x.err, ERR_RESET);
	wire_fini(&x);
	mesh_app_stop(&app);
	expect_counted(p, "reason=\"UT\"");
}

static void test_stream_idle_timeout(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	p->client->params.stream_idle_timeout = 3 * NS_PER_S;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR(GET), 0, NULL);
	mesh_advance(&p->m, 4 * NS_PER_S);
	assert_true(x.eof || x.err != 0);
	wire_fini(&x);
	mesh_app_stop(&app);
	expect_counted(p, "reason=\"SI\"");
}

static void test_slow_heads(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	p->client->params.header_timeout = 5 * NS_PER_S;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: w"), 0, NULL);
	mesh_advance(&p->m, 6 * NS_PER_S);
	char *got = wire_take(&x);
	assert_has(got, "408 Request Timeout");
	free(got);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, "reason=\"DT\""), 1);
}

static void test_connect_timeout(void **state)
{
	struct pair *p = *state;
	struct wire x;
	struct addr a;
	p->client->params.connect_timeout = 2 * NS_PER_S;
	mesh_apply(&p->m);
	assert_int_equal(addr_parse(str_from(p->web->ip), &a), 0);
	net_sim_fail(p->m.net, &a, ERR_TIMEOUT);
	pair_wire(p, &x);
	wire_send(&x, STR(GET), 0, NULL);
	mesh_advance(&p->m, NS_PER_S);
	assert_int_equal(x.total, 0);
	mesh_advance(&p->m, 2 * NS_PER_S);
	char *got = wire_take(&x);
	assert_has(got, "503 Service Unavailable");
	assert_has(got, "took too long (UF)");
	free(got);
	wire_fini(&x);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, "reason=\"UF\""), 1);
}

/* A peer that accepts and never shakes hands. */
static void test_handshake_timeout(void **state)
{
	struct pair *p = *state;
	struct mesh_raw hole;
	struct wire x;
	struct mesh_test_pod *web2 = mesh_pod(&p->m, "web2", true);
	p->client->params.handshake_timeout = 2 * NS_PER_S;
	mesh_apply(&p->m);
	struct addr ip;
	assert_int_equal(addr_parse(str_from(web2->ip), &ip), 0);
	/* Its traffic goes to something that is no sidecar. */
	mesh_raw_start(&hole, web2, 9999, NULL);
	struct addr at = addr_with_port(&ip, 9999);
	net_sim_redirect_in(p->m.net, &ip, &at);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.4:8080"));
	wire_send(&x, STR(GET), 0, NULL);
	mesh_advance(&p->m, 3 * NS_PER_S);
	char *got = wire_take(&x);
	assert_has(got, "503 Service Unavailable");
	assert_has(got, "(UF)");
	free(got);
	/* Not a byte that is not TLS. */
	assert_int_equal(hole.n, 1);
	char *sent = wire_take(&hole.wires[0]);
	assert_int_equal(sent[0], 0x16);
	free(sent);
	wire_fini(&x);
	mesh_raw_stop(&hole);
	mesh_assert_idle(&p->m);
}

/* -- limits
 * -----------------------------------------------------------------------------------------------------
 */

static void test_max_connections(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x[6];
	p->client->params.max_connections = 4;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	for (int i = 0; i < 6; i++)
		pair_wire(p, &x[i]);
	for (int i = 0; i < 4; i++)
		pair_expect(&x[i], GET, "200 OK");
	assert_int_equal(x[4].err, ERR_RESET);
	assert_int_equal(x[5].err, ERR_RESET);
	assert_true(mesh_metric(p->client, "weft_connections_refused_total", "reason=\"UO\"",
			    NULL) == 2);
	for (int i = 0; i < 6; i++)
		wire_fini(&x[i]);
	pair_wire(p, &x[0]);
	pair_expect(&x[0], GET, "200 OK");
	wire_fini(&x[0]);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_max_requests(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	p->client->params.max_requests = 3;
	mesh_app_start(&app, p->web, 8080, HTTP_V2, app_silent);
	mesh_apply(&p->m);
	pair_client(p, &u, HTTP_V2);
	for (int i = 0; i < 5; i++)
		http_user_request(&u, "GET", "/", NULL, 0, true);
	mesh_settle(&p->m);
	assert_int_equal(app.users[0]->n, 3);
	assert_int_equal(u.x[3]->status, 503);
	assert_int_equal(u.x[4]->status, 503);
	exchange_reply(app.users[0]->x[0], 200, NULL, NULL);
	mesh_settle(&p->m);
	http_user_request(&u, "GET", "/", NULL, 0, true);
	mesh_settle(&p->m);
	assert_int_equal(app.users[0]->n, 4);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, "reason=\"UO\""), 2);
}

static void test_max_buffer(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	p->client->params.max_buffer = 1 << 20;
	mesh_app_start(&app, p->web, 8080, HTTP_V2, app_echo);
	mesh_apply(&p->m);
	pair_client(p, &u, HTTP_V2);
	u.hold = true;
	struct exchange *x[8];
	for (int i = 0; i < 8; i++) {
		x[i] = http_user_request(&u, "POST", "/", NULL, 8 << 20, false);
		exchange_source(x[i], 8 << 20);
		mesh_settle(&p->m);
	}
	/* The first ones filled it. */
	unsigned refused = 0;
	for (int i = 0; i < 8; i++)
		refused += x[i]->status == 503;
	assert_in_range(refused, 1, 7);
	assert_true(buf_pool_used(p->m.w.bufs) < 16 << 20);
	assert_int_equal(pair_requests(p->client, "reason=\"UO\""), refused);
	/* Who was admitted gets through, with time for windows that were held back. */
	u.hold = false;
	for (int i = 0; i < 8; i++)
		exchange_consume(x[i]);
	mesh_advance(&p->m, 60 * NS_PER_S);
	for (int i = 0; i < 8; i++) {
		assert_true(x[i]->ended);
		if (x[i]->status == 200) {
			assert_int_equal(x[i]->body_bytes, 8 << 20);
			assert_int_equal(x[i]->body_sum, x[i]->sent_sum);
		}
	}
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_pool_bounds(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x[6];
	p->web->params.pool_conns = 2;
	p->web->params.pool_waiting = 2;
	p->web->params.pool_wait = 3 * NS_PER_S;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_apply(&p->m);
	for (int i = 0; i < 6; i++) {
		pair_wire(p, &x[i]);
		wire_send(&x[i], STR(GET), 0, NULL);
	}
	assert_int_equal(app.accepted, 2);
	/* Two are served, two wait, two are refused at once. */
	for (int i = 4; i < 6; i++) {
		char *got = wire_take(&x[i]);
		assert_has(got, "(UO)");
		free(got);
	}
	exchange_reply(app.users[0]->x[0], 200, NULL, "served");
	mesh_settle(&p->m);
	pair_expect(&x[0], "", "served");
	assert_int_equal(app.users[0]->n, 2); /* the first who waited */
	mesh_advance(&p->m, 4 * NS_PER_S);
	pair_expect(&x[3], "", "(UO)");
	assert_int_equal(x[2].total, 0);
	for (int i = 0; i < 6; i++)
		wire_fini(&x[i]);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->web, "reason=\"UO\""), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_disconnect_http1),
		PAIR_TEST(test_disconnect_http2),
		PAIR_TEST(test_stream_reset_http2),
		PAIR_TEST(test_half_closed_client),
		PAIR_TEST(test_request_timeout),
		PAIR_TEST(test_request_timeout_within_the_answer),
		PAIR_TEST(test_stream_idle_timeout),
		PAIR_TEST(test_slow_heads),
		PAIR_TEST(test_connect_timeout),
		PAIR_TEST(test_handshake_timeout),
		PAIR_TEST(test_max_connections),
		PAIR_TEST(test_max_requests),
		PAIR_TEST(test_max_buffer),
		PAIR_TEST(test_pool_bounds),
	};
	return cmocka_run_group_tests_name("ends, times and limits", tests, NULL, NULL);
}
