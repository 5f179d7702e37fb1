/*
 * CONNECT and extended CONNECT (RFC 8441) against their neutral form: an upgrade is GET with a
 * protocol, 101 accepts it, and both bodies are raw bytes until each side ends.
 */
#include "tests/support/h2_peer.h"

static struct h2_x *ask(struct h2_world *w, const char *method, const char *protocol)
{
	struct arena a;

	arena_init(&a, NULL);
	struct http_head h = h2_request_head(&a, method, "/chat");

	if (str_eq(h.method, STR("CONNECT")))
		h.path = STR_NULL;
	h.protocol = str_from(protocol);
	h.length = 0;
	struct h2_x *x = h2_open(&w->client, &h, false, NULL);

	arena_clear(&a);
	return x;
}

static void websocket_is_accepted(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = ask(w, "GET", "websocket");

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	assert_true(str_eq(y->head.method, STR("GET")));
	assert_true(str_eq(y->head.protocol, STR("websocket")));
	assert_true(str_eq(y->head.path, STR("/chat")));
	h2_respond(y, 101, false);
	h2_world_run(w);
	assert_int_equal(x->head.status, 101);
	h2_pour(x, 100000);
	h2_pour(y, 70000);
	h2_world_run(w);
	assert_int_equal(x->sum, h2_pattern_sum(70000));
	assert_int_equal(y->sum, h2_pattern_sum(100000));
	assert_true(x->body_end && y->body_end);
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(y->reason, REASON_OK);
}

static void websocket_is_refused(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = ask(w, "GET", "websocket");

	h2_world_run(w);
	h2_respond(h2_nth(&w->server, 0), 403, true);
	h2_world_run(w);
	assert_int_equal(x->head.status, 403);
	assert_true(x->head_end);
}

/* 200 to an upgrade is no upgrade; on the wire it would be one. */
static void an_ordinary_200_is_no_tunnel(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = ask(w, "GET", "websocket");

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	h2_respond(y, 200, false);
	h2_send_text(y, "a page", true);
	h2_world_run(w);
	assert_int_equal(x->head.status, 502);
	assert_int_equal(x->got, 6);
}

static void unknown_protocol_is_answered_501(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = ask(w, "GET", "connect-udp");

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	assert_int_equal(y->heads, 0);
	assert_int_equal(y->reason, REASON_UNSUPPORTED);
	assert_int_equal(x->head.status, 501);
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(w->server.ends, 0);
}

static void plain_connect(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = ask(w, "CONNECT", NULL);

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	assert_true(str_eq(y->head.method, STR("CONNECT")));
	assert_true(str_eq(y->head.authority, STR("svc.test:8080")));
	assert_int_equal(y->head.path.n, 0);
	h2_respond(y, 200, false);
	h2_send_text(y, "banner", false);
	h2_world_run(w);
	assert_int_equal(x->head.status, 200);
	assert_int_equal(x->got, 6);
	h2_send_text(x, "bye", true);
	h2_world_run(w);
	assert_true(y->body_end);
	assert_false(y->ended);
	h2_send_text(y, "bye", true);
	h2_world_run(w);
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(y->reason, REASON_OK);
}

/* A tunnel that is reset is not complete, though its head was. */
static void reset_tunnel_is_no_success(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = ask(w, "GET", "websocket");

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	h2_respond(y, 101, false);
	h2_world_run(w);
	stream_reset(y->s, REASON_UPSTREAM_CLOSED);
	h2_world_run(w);
	assert_int_equal(x->reason, REASON_UPSTREAM_RESET);
	assert_int_equal(y->reason, REASON_UPSTREAM_CLOSED);
}

static void server_without_the_setting_cannot_upgrade(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	assert_false(http_conn_settled(w->client.c));
	h2_peer_server(&p, w);
	assert_true(http_conn_settled(w->client.c));
	assert_false(http_conn_can_upgrade(w->client.c));
	h2_peer_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		H2_TEST(websocket_is_accepted),
		H2_TEST(websocket_is_refused),
		H2_TEST(an_ordinary_200_is_no_tunnel),
		H2_TEST(unknown_protocol_is_answered_501),
		H2_TEST(plain_connect),
		H2_TEST(reset_tunnel_is_no_success),
		H2_TEST(server_without_the_setting_cannot_upgrade),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
