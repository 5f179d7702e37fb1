/*
 * Tunnels over HTTP/1 in both roles: WebSocket upgrades and CONNECT, opened only by a valid answer,
 * with bytes that come early, half-closes, and refusals that leave ordinary HTTP behind them.
 */
#include "lib/http/h1_write.h"
#include "tests/unit/lib/http/fixture.h"

/* The example of RFC 6455 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define ASK                                                                                          \
	"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" \
	"Sec-WebSocket-Key: " KEY "\r\n\r\n"
#define ASKED "1 GET a /chat protocol=websocket\n  sec-websocket-key: " KEY "\n"
#define SWITCH                                                                              \
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
	"Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n"
#define SWITCHED                                                                            \
	"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n" \
	"sec-websocket-accept: " ACCEPT "\r\n\r\n"

static void test_key_exchange(void **state)
{
	char accept[WS_ACCEPT_SIZE], key[WS_KEY_SIZE], other[WS_KEY_SIZE];

	(void)state;
	ws_accept_make(STR(KEY), accept);
	assert_string_equal(accept, ACCEPT);
	/* an empty key and one at the edge of two blocks */
	ws_accept_make(STR(""), accept);
	assert_string_equal(accept, "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=");
	ws_accept_make(STR("01234567890123456789"), accept);
	assert_int_equal(strlen(accept), 28);
	ws_key_make(key);
	ws_key_make(other);
	assert_int_equal(strlen(key), 24);
	assert_string_not_equal(key, other);
}

static void begin_echo(struct fixture *f)
{
	begin(f);
	f->u.echo = true;
	connect_as(f, HTTP_SERVER);
}

static void accept_tunnel(struct exchange *x, uint16_t status)
{
	struct http_head h;

	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = status;
	stream_send_head(x->stream, &h, false);
}

static void accept_101(struct exchange *x)
{
	accept_tunnel(x, 101);
}

static void test_server_accepts(void **state)
{
	struct fixture f;

	(void)state;
	begin_echo(&f);
	/* Bytes behind the request wait for the answer. */
	send_text(&f, ASK "early");
	expect_log(&f, ASKED);
	expect_wire(&f, "");
	accept_101(f.u.x[0]);
	expect_wire(&f, SWITCHED "early");
	send_text(&f, " and late");
	expect_wire(&f, " and late");
	wire_shutdown(&f.x);
	expect_fin(&f);
	expect_log(&f, "1 body early and late\n1 done\n1 end OK\nconn end OK\n");
	finish(&f);
	/* The same when the user answers within on_head. */
	begin_echo(&f);
	f.u.on_head = accept_101;
	send_text(&f, ASK "early");
	expect_wire(&f, SWITCHED "early");
	finish(&f);
}

static void test_server_half_close(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.u.on_head = accept_101;
	connect_as(&f, HTTP_SERVER);
	send_text(&f, ASK);
	expect_wire(&f, SWITCHED);
	/* Our side ends first: FIN goes out, bytes still come in. */
	exchange_send(f.u.x[0], STR("bye"), true);
	expect_wire(&f, "bye");
	assert_true(f.x.eof);
	send_text(&f, "more");
	expect_log(&f, ASKED);
	assert_int_equal(f.u.x[0]->body_bytes, 4);
	wire_shutdown(&f.x);
	expect_log(&f, "1 body more\n1 done\n1 end OK\nconn end OK\n");
	finish(&f);
	/* The peer's side ends first. */
	begin(&f);
	f.u.on_head = accept_101;
	connect_as(&f, HTTP_SERVER);
	send_text(&f, ASK "x");
	wire_shutdown(&f.x);
	expect_log(&f, ASKED "1 body x\n1 done\n");
	expect_wire(&f, SWITCHED);
	exchange_send(f.u.x[0], STR("still"), false);
	expect_wire(&f, "still");
	exchange_send(f.u.x[0], STR(""), true);
	expect_fin(&f);
	expect_log(&f, "1 end OK\nconn end OK\n");
	finish(&f);
}

static void test_server_refuses(void **state)
{
	struct fixture f;

	(void)state;
	/* An upgrade that is refused leaves HTTP behind it. */
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	send_text(&f, ASK "GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_log(&f, ASKED);
	exchange_reply(f.u.x[0], 403, NULL, "no");
	expect_wire(&f, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
	expect_log(&f, "1 done\n1 end OK\n2 GET a /next end\n");
	finish(&f);
	/* An ordinary 200 is a refusal too. */
	begin_server(&f);
	f.u.reply = REPLY_AT_HEAD;
	send_text(&f, ASK);
	expect_wire(&f, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
	expect_log(&f, ASKED "1 done\n1 end OK\n");
	expect_open(&f);
	finish(&f);
}

static void test_server_needs_a_whole_handshake(void **state)
{
	static const char *const not_upgrades[] = {
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websockets\r\n\r\n"};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < sizeof(not_upgrades) / sizeof(not_upgrades[0]); i++) {
		begin_server(&f);
		send_text(&f, not_upgrades[i]);
		assert_int_equal(f.u.x[0]->reason, REASON_OK);
		assert_true(f.u.x[0]->ended);
		finish(&f);
	}
	/* 101 to one that did not ask is our own fault. */
	begin(&f);
	f.u.on_head = accept_101;
	connect_as(&f, HTTP_SERVER);
	send_text(&f, not_upgrades[0]);
	assert_int_equal(f.u.x[0]->reason, REASON_INTERNAL);
	finish(&f);
}

static void accept_200(struct exchange *x)
{
	accept_tunnel(x, 200);
}

static void test_connect(void **state)
{
	struct fixture f;

	(void)state;
	begin_echo(&f);
	f.u.on_head = accept_200;
	send_text(&f, "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nhello");
	expect_wire(&f, "HTTP/1.1 200 OK\r\n\r\nhello");
	wire_shutdown(&f.x);
	expect_log(&f, "1 CONNECT b:443 \n1 body hello\n1 done\n1 end OK\nconn end OK\n");
	finish(&f);
	/* Refused: what follows may have been meant for the tunnel, so nothing of it is read as
	 * HTTP. */
	begin(&f);
	f.u.reply = REPLY_AT_HEAD;
	f.u.reply_status = 405;
	connect_as(&f, HTTP_SERVER);
	send_text(&f,
		"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_wire(&f,
		"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
	expect_fin(&f);
	expect_log(&f, "1 CONNECT b:443 \n1 done\n1 end OK\n");
	finish(&f);
}

static struct exchange *ask(struct fixture *f, const char *key)
{
	struct http_head h;
	struct arena arena;

	arena_init(&arena, NULL);
	http_head_init(&h, HTTP_REQUEST, &arena);
	h.method = STR("GET");
	h.authority = STR("a");
	h.path = STR("/chat");
	h.protocol = STR("websocket");
	if (key != NULL)
		http_fields_add(&h.fields, STR("sec-websocket-key"), str_from(key));
	struct exchange *x = http_user_open(&f->u, &h, false);

	arena_clear(&arena);
	http_world_settle(&f->w);
	return x;
}

static void test_client_opens(void **state)
{
	struct fixture f;

	(void)state;
	begin_client(&f);
	struct exchange *x = ask(&f, KEY);

	expect_wire(&f,
		"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
		"sec-websocket-key: " KEY "\r\n\r\n");
	/* What the user sends waits for the answer. */
	exchange_send(x, STR("early"), false);
	expect_wire(&f, "");
	send_text(&f, SWITCH "first");
	expect_wire(&f, "early");
	expect_log(&f, "1 101 protocol=websocket\n  sec-websocket-accept: " ACCEPT "\n");
	exchange_send(x, STR(" late"), true);
	expect_wire(&f, " late");
	send_text(&f, " second");
	wire_shutdown(&f.x);
	expect_log(&f, "1 body first second\n1 done\n1 end OK\nconn end OK\n");
	finish(&f);
}

static void test_client_refused(void **state)
{
	struct fixture f;

	(void)state;
	begin_client(&f);
	struct exchange *x = ask(&f, KEY);

	exchange_send(x, STR("never sent"), false);
	send_text(&f, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	expect_log(&f, "1 200 length=2\n1 body ok\n1 done\n1 end OK\n");
	assert_int_equal(http_conn_room(f.u.conn), 1);
	char *got = wire_take(&f.x);

	assert_null(strstr(got, "never"));
	free(got);
	finish(&f);
}

static void test_client_wants_a_valid_101(void **state)
{
	static const char *const bad[] = {
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Accept: AAAALMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT
		"\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT
		"\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
		"Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Content-Length: 3\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n"};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin_client(&f);
		struct exchange *x = ask(&f, KEY);

		send_text(&f, bad[i]);
		assert_int_equal(x->reason, REASON_UPSTREAM_PROTOCOL);
		assert_true(f.u.ended);
		finish(&f);
	}
}

/* A tunnel that began as HTTP/2 has no key: the client makes one, the server answers the one it
 * got. */
static void test_keys_are_made_where_missing(void **state)
{
	struct fixture f;
	char accept[WS_ACCEPT_SIZE], text[512];

	(void)state;
	begin_client(&f);
	struct exchange *x = ask(&f, NULL);
	char *got = wire_take(&f.x), *key = strstr(got, "sec-websocket-key: ");

	assert_non_null(key);
	ws_accept_make(str_make(key + 19, 24), accept);
	snprintf(text, sizeof(text),
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
		"Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		accept);
	send_text(&f, text);
	assert_int_equal(x->status, 101);
	assert_false(x->ended);
	free(got);
	finish(&f);
}

static void test_client_connect(void **state)
{
	struct fixture f;
	struct http_head h;
	struct arena arena;

	(void)state;
	arena_init(&arena, NULL);
	http_head_init(&h, HTTP_REQUEST, &arena);
	h.method = STR("CONNECT");
	h.authority = STR("b:443");
	begin_client(&f);
	struct exchange *x = http_user_open(&f.u, &h, false);

	exchange_send(x, STR("early"), false);
	expect_wire(&f, "CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
	/* Framing fields in a 2xx to CONNECT mean nothing (RFC 9110 9.3.6). */
	send_text(&f, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello");
	expect_wire(&f, "early");
	assert_int_equal(x->body_bytes, 5);
	exchange_send(x, STR(""), true);
	wire_shutdown(&f.x);
	assert_int_equal(x->reason, REASON_OK);
	finish(&f);
	arena_clear(&arena);
}

static void test_tunnel_is_not_cut_by_the_stream_timer(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.u.on_head = accept_101;
	connect_as(&f, HTTP_SERVER);
	send_text(&f, ASK);
	loop_sim_advance(f.w.loop, f.w.limits.idle_timeout - NS_PER_S);
	expect_open(&f);
	loop_sim_advance(f.w.loop, 2 * NS_PER_S);
	assert_int_equal(f.u.x[0]->reason, REASON_IDLE_TIMEOUT);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_exchange),
		cmocka_unit_test(test_server_accepts),
		cmocka_unit_test(test_server_half_close),
		cmocka_unit_test(test_server_refuses),
		cmocka_unit_test(test_server_needs_a_whole_handshake),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_client_opens),
		cmocka_unit_test(test_client_refused),
		cmocka_unit_test(test_client_wants_a_valid_101),
		cmocka_unit_test(test_keys_are_made_where_missing),
		cmocka_unit_test(test_client_connect),
		cmocka_unit_test(test_tunnel_is_not_cut_by_the_stream_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
