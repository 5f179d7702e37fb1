/*
 * The HTTP/1 server: framing of requests and responses, keep-alive, pipelining, Expect, early
 * answers, half-close and drain, each seen from both sides of one connection in memory.
 */
#include "tests/unit/lib/http/fixture.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
#define OK_CLOSE "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"

static void test_head_is_neutral(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	send_text(&f,
		"POST /x?y HTTP/1.1\r\nHOST: A.b:8080\r\nX-One:  1 \r\nTE: gzip, trailers\r\n"
		"Connection: keep-alive, X-Two, te\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n"
		"x-two: 2\r\nUpgrade: h2c\r\nCookie: a=b\r\ncookie: c\r\nContent-Length: 3\r\n"
		"Trailer: x\r\n\r\nabc");
	expect_log(&f,
		"1 POST A.b:8080 /x?y length=3 te\n  x-one: 1\n  cookie: a=b\n  cookie: c\n"
		"  trailer: x\n1 body abc\n1 done\n1 end OK\n");
	expect_wire(&f, OK);
	finish(&f);
}

static void test_absolute_form(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	send_text(&f, "GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n");
	send_text(&f, "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n");
	send_text(&f, "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_log(&f,
		"1 GET a /?q end\n1 end OK\n2 OPTIONS a * end\n2 end OK\n3 GET a / end\n"
		"3 end OK\n");
	finish(&f);
}

static void test_chunks_and_trailers_both_ways(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.reply_chunked = true;
	f.u.reply_body = "hello";
	f.u.reply_trailer = "t";
	send_text(&f,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\nHost: b\r\n"
		"Authorization: c\r\nCookie: d\r\nX-Last:\r\n\r\n");
	expect_log(&f, "1 POST a /\n1 body abcde\n1 trailers\n  x-sum: 5\n  x-last: \n1 end OK\n");
	expect_wire(&f,
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
		"x-trailer: t\r\n\r\n");
	expect_open(&f);
	finish(&f);
}

static void test_http10(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	send_text(&f, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	expect_wire(&f, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok");
	expect_open(&f);
	/* A length that is not known ends with the connection, and trailers are dropped. */
	f.u.reply_chunked = true;
	f.u.reply_trailer = "t";
	send_text(&f, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	expect_wire(&f, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok");
	expect_fin(&f);
	finish(&f);
}

static void reply_by_path(struct exchange *x)
{
	struct str path = x->head->path;

	if (str_eq(path, STR("/204")))
		exchange_reply(x, 204, NULL, NULL);
	else if (str_eq(path, STR("/304")))
		exchange_reply(x, 304, "etag: x", NULL);
	else if (str_eq(path, STR("/empty")))
		exchange_reply(x, 200, NULL, NULL);
	else
		exchange_reply(x, 200, NULL, "body");
}

static void test_answers_without_body(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	f.u.on_head = reply_by_path;
	send_text(&f, "GET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_wire(&f, "HTTP/1.1 204 No Content\r\n\r\n");
	send_text(&f, "GET /304 HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_wire(&f, "HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\netag: x\r\n\r\n");
	send_text(&f, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_wire(&f, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
	/* The user sends a body to HEAD; it is dropped and its length said. */
	send_text(&f, "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_wire(&f, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
	expect_open(&f);
	finish(&f);
}

static void reply_odd_fields(struct exchange *x)
{
	exchange_reply(x, 299,
		"x-good: 1\nconnection: x-good\ntransfer-encoding: chunked\ncontent-length: 7\n"
		"upgrade: x\nbad name: 2\nx-bad: a\x01 b\nx-cr: a\rb",
		NULL);
}

static void test_bad_fields_do_not_go_out(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	f.u.on_head = reply_odd_fields;
	send_text(&f, GET);
	expect_wire(&f, "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\nx-good: 1\r\n\r\n");
	finish(&f);
}

static void test_pipelining_is_one_by_one(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	send_text(&f,
		"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
		"POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
	expect_log(&f, "1 GET a /1 end\n");
	exchange_reply(f.u.x[0], 200, NULL, "ok");
	expect_log(&f, "1 end OK\n2 GET a /2 end\n");
	exchange_reply(f.u.x[1], 200, NULL, "ok");
	expect_log(&f, "2 end OK\n3 POST a /3 length=1\n3 body x\n3 done\n");
	exchange_reply(f.u.x[2], 200, NULL, "ok");
	expect_wire(&f, OK OK OK);
	finish(&f);
}

/* Requests sent ahead wait in the socket, not in our memory. */
static void test_pipelining_is_bounded(void **state)
{
	struct fixture f;
	size_t pushed = 0, n;

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	do {
		n = wire_push(&f.x, STR(GET GET GET GET GET GET GET GET));
		pushed += n;
		http_world_settle(&f.w);
	} while (n > 0);
	assert_in_range(pushed, 64 * 1024, 192 * 1024);
	expect_log(&f, "1 GET a / end\n");
	finish(&f);
}

/* Nor do they pile up where each is answered at once. */
static void test_pipelining_flood(void **state)
{
	struct fixture f;
	char flood[16 * 1024];
	size_t peak = 0, n = 0, at = 0;

	(void)state;
	while (n + sizeof(GET) - 1 <= sizeof(flood)) {
		memcpy(flood + n, GET, sizeof(GET) - 1);
		n += sizeof(GET) - 1;
	}
	begin_server(&f);
	f.x.discard = true;
	for (unsigned i = 0; i < 5000; i++) {
		at = (at + wire_push(&f.x, str_make(flood + at, n - at))) % n;
		loop_sim_settle(f.w.loop, 1);
		if (buf_pool_used(f.w.bufs) > peak)
			peak = buf_pool_used(f.w.bufs);
		http_user_log(&f.u);
	}
	assert_true(f.u.n >= 5000);
	expect_open(&f);
	assert_in_range(peak, 1, 512 * 1024);
	finish(&f);
}

static void test_interim_and_expect(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	send_text(&f,
		"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	expect_log(&f, "1 POST a / length=3 expect\n");
	expect_wire(&f, "");
	exchange_interim(f.u.x[0], 103);
	exchange_interim(f.u.x[0], 100);
	expect_wire(&f, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
	send_text(&f, "abc");
	expect_wire(&f, OK);
	expect_open(&f);
	/* A final answer instead of 100: the body may never come, so the connection closes. */
	send_text(&f,
		"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	exchange_reply(f.u.x[1], 403, NULL, "no");
	stream_stop(f.u.x[1]->stream);
	expect_wire(&f,
		"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
	expect_fin(&f);
	finish(&f);
}

static void test_no_interim_to_http10(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	send_text(&f, "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	expect_log(&f, "1 POST  / length=3\n");
	exchange_interim(f.u.x[0], 100);
	expect_wire(&f, "");
	send_text(&f, "abc");
	expect_wire(&f, OK_CLOSE);
	finish(&f);
}

/* The rest of a body whose answer is out already is dropped, and the connection serves on. */
static void test_early_answer_drains(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_AT_HEAD;
	f.u.stop = true;
	send_text(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
	expect_wire(&f, OK);
	expect_log(&f, "1 POST a / length=10\n1 end OK\n");
	send_text(&f, "56789" GET);
	expect_log(&f, "2 GET a / end\n2 end OK\n");
	send_text(&f, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab");
	send_text(&f, "c\r\n0\r\nX: y\r\n\r\n" GET);
	expect_log(&f, "3 POST a /\n3 end OK\n4 GET a / end\n4 end OK\n");
	expect_wire(&f, OK OK OK);
	expect_open(&f);
	finish(&f);
}

static void test_early_answer_does_not_drain_for_ever(void **state)
{
	struct fixture f;
	char *kilo = run_of('x', 1024);

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_AT_HEAD;
	f.u.stop = true;
	send_text(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
	expect_wire(&f, OK);
	for (unsigned i = 0; i < 300; i++)
		wire_send(&f.x, str_make(kilo, 1024), 0, NULL);
	expect_fin(&f);
	for (unsigned i = 0; i < 300; i++)
		wire_send(&f.x, str_make(kilo, 1024), 0, NULL);
	assert_false(f.u.ended);
	loop_sim_advance(f.w.loop, f.w.limits.linger_timeout + 1);
	assert_true(f.u.ended);
	finish(&f);
	/* Nor does it wait for ever. */
	begin_server(&f);
	f.u.reply = REPLY_AT_HEAD;
	f.u.stop = true;
	send_text(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
	expect_open(&f);
	loop_sim_advance(f.w.loop, f.w.limits.linger_timeout + 1);
	expect_fin(&f);
	finish(&f);
	free(kilo);
}

static void test_client_that_closes_its_side(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	send_text(&f, GET GET);
	wire_shutdown(&f.x);
	expect_log(&f, "1 GET a / end\n");
	exchange_reply(f.u.x[0], 200, NULL, "ok");
	expect_log(&f, "1 end OK\n2 GET a / end\n");
	exchange_reply(f.u.x[1], 200, NULL, "ok");
	expect_wire(&f, OK OK_CLOSE);
	expect_log(&f, "2 end OK\nconn end OK\n");
	finish(&f);
	/* Most such clients are gone altogether: the exchange has less time. */
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	send_text(&f, GET);
	wire_shutdown(&f.x);
	loop_sim_advance(f.w.loop, f.w.limits.half_close_timeout + 1);
	expect_log(&f, "1 GET a / end\n1 end CLOSED\nconn end CLOSED\n");
	finish(&f);
}

static void test_cut_requests(void **state)
{
	static const char *const cut[] = {"G", "GET / HTTP/1.1\r\nHost: a\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		begin_server(&f);
		send_text(&f, cut[i]);
		wire_shutdown(&f.x);
		http_world_settle(&f.w);
		assert_true(f.u.ended);
		assert_int_equal(f.u.x[0]->reason, REASON_CLOSED);
		assert_int_equal(f.u.reason, REASON_CLOSED);
		finish(&f);
	}
}

static void test_drain(void **state)
{
	struct fixture f;

	(void)state;
	/* within an exchange: the answer says so */
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	send_text(&f, GET);
	http_conn_drain(f.u.conn);
	assert_true(http_conn_draining(f.u.conn));
	exchange_reply(f.u.x[0], 200, NULL, "ok");
	expect_wire(&f, OK_CLOSE);
	expect_fin(&f);
	finish(&f);
	/* idle: a last request is still answered */
	begin_server(&f);
	http_conn_drain(f.u.conn);
	expect_open(&f);
	send_text(&f, GET);
	expect_wire(&f, OK_CLOSE);
	expect_fin(&f);
	finish(&f);
	/* or waited for */
	begin_server(&f);
	http_conn_drain(f.u.conn);
	loop_sim_advance(f.w.loop, f.w.limits.drain_grace + 1);
	expect_fin(&f);
	finish(&f);
}

static void refuse_at_head(struct exchange *x)
{
	stream_reset(x->stream, REASON_OVERLOAD);
}

static void test_resets(void **state)
{
	struct fixture f;

	(void)state;
	/* nothing sent: the reason's answer */
	begin_server(&f);
	f.u.on_head = refuse_at_head;
	send_text(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET);
	expect_wire_begins(&f,
		"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n"
		"connection: close\r\ncontent-length: ");
	expect_fin(&f);
	expect_log(&f, "1 POST a / length=5\n1 end OVERLOAD\n");
	finish(&f);
	/* a response was cut: no orderly end */
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	f.w.limits.send_high = 64 * 1024;
	f.u.reply_source = 1 << 20;
	f.u.reply = REPLY_AT_HEAD;
	wire_listen(&f.x, false);
	send_text(&f, GET);
	stream_reset(f.u.x[0]->stream, REASON_UPSTREAM_RESET);
	wire_listen(&f.x, true);
	expect_reset(&f);
	expect_log(&f, "1 GET a / end\n1 end UPSTREAM_RESET\nconn end UPSTREAM_RESET\n");
	finish(&f);
	/* a reason without status: the client is gone anyway */
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	send_text(&f, GET);
	stream_reset(f.u.x[0]->stream, REASON_CANCELLED);
	expect_wire(&f, "");
	expect_reset(&f);
	finish(&f);
}

static void misfit_long(struct exchange *x)
{
	struct http_head h;

	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = 200;
	h.length = 3;
	stream_send_head(x->stream, &h, false);
	exchange_send(x, STR("four"), true);
}

static void misfit_short(struct exchange *x)
{
	struct http_head h;

	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = 200;
	h.length = 5;
	stream_send_head(x->stream, &h, false);
	exchange_send(x, STR("four"), true);
}

static void test_answers_that_do_not_fit(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.on_head = misfit_long;
	send_text(&f, GET);
	expect_reset(&f);
	assert_int_equal(f.u.x[0]->reason, REASON_INTERNAL);
	finish(&f);
	begin_server(&f);
	f.u.on_head = misfit_short;
	send_text(&f, GET);
	expect_reset(&f);
	assert_int_equal(f.u.x[0]->reason, REASON_INTERNAL);
	finish(&f);
}

static void end_conn(struct exchange *x)
{
	http_conn_end(x->user->conn, REASON_DRAINING);
}

static void test_connection_ends_inside_events(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.on_head = end_conn;
	send_text(&f, GET GET);
	expect_log(&f, "1 GET a / end\n1 end DRAINING\nconn end DRAINING\n");
	finish(&f);
	begin_server(&f);
	f.u.on_body = end_conn;
	send_text(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" GET);
	expect_log(&f,
		"1 POST a / length=3\n1 body abc\n1 done\n1 end DRAINING\nconn end DRAINING\n");
	finish(&f);
	begin_server(&f);
	f.u.on_end = end_conn;
	send_text(&f, GET GET);
	expect_log(&f, "1 GET a / end\n1 end OK\nconn end DRAINING\n");
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_is_neutral),
		cmocka_unit_test(test_absolute_form),
		cmocka_unit_test(test_chunks_and_trailers_both_ways),
		cmocka_unit_test(test_http10),
		cmocka_unit_test(test_answers_without_body),
		cmocka_unit_test(test_bad_fields_do_not_go_out),
		cmocka_unit_test(test_pipelining_is_one_by_one),
		cmocka_unit_test(test_pipelining_is_bounded),
		cmocka_unit_test(test_pipelining_flood),
		cmocka_unit_test(test_interim_and_expect),
		cmocka_unit_test(test_no_interim_to_http10),
		cmocka_unit_test(test_early_answer_drains),
		cmocka_unit_test(test_early_answer_does_not_drain_for_ever),
		cmocka_unit_test(test_client_that_closes_its_side),
		cmocka_unit_test(test_cut_requests),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_answers_that_do_not_fit),
		cmocka_unit_test(test_connection_ends_inside_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
