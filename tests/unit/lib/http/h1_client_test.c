/*
 * The HTTP/1 client: what requests look like on the wire, when a connection is used again, early
 * and interim answers, drain, stop and reset, each seen from both sides of one connection in
 * memory.
 */
#include "tests/unit/lib/http/fixture.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct exchange *get(struct fixture *f)
{
	struct exchange *x = http_user_request(&f->u, "GET", "/", NULL, 0, true);

	http_world_settle(&f->w);
	return x;
}

static void expect_room(struct fixture *f, uint32_t room)
{
	http_world_settle(&f->w);
	assert_int_equal(f->u.conn != NULL ? http_conn_room(f->u.conn) : 0, room);
}

static void test_requests_on_the_wire(void **state)
{
	struct fixture f;
	struct exchange *x;

	(void)state;
	begin_client(&f);
	http_user_request(&f.u, "GET", "/a?b", "x-one: 1\nhost: evil\nconnection: x\nte: gzip", 0,
		true);
	expect_wire(&f, "GET /a?b HTTP/1.1\r\nhost: example.test\r\nx-one: 1\r\n\r\n");
	send_text(&f, OK);
	http_user_request(&f.u, "POST", "/", NULL, 0, true);
	expect_wire(&f, "POST / HTTP/1.1\r\nhost: example.test\r\ncontent-length: 0\r\n\r\n");
	send_text(&f, OK);
	x = http_user_request(&f.u, "PUT", "/", NULL, 3, false);
	exchange_send(x, STR("abc"), true);
	expect_wire(&f, "PUT / HTTP/1.1\r\nhost: example.test\r\ncontent-length: 3\r\n\r\nabc");
	send_text(&f, OK);
	x = http_user_request(&f.u, "POST", "/", NULL, HTTP_LENGTH_UNKNOWN, false);
	expect_wire(&f,
		"POST / HTTP/1.1\r\nhost: example.test\r\ntransfer-encoding: chunked\r\n\r\n");
	exchange_send(x, STR("hello, "), false);
	exchange_send(x, STR("world"), false);
	expect_wire(&f, "c\r\nhello, world\r\n");
	exchange_send(x, STR(""), true);
	expect_wire(&f, "0\r\n\r\n");
	send_text(&f, OK);
	assert_int_equal(x->reason, REASON_OK);
	http_user_request(&f.u, "OPTIONS", "*", NULL, 0, true);
	expect_wire(&f, "OPTIONS * HTTP/1.1\r\nhost: example.test\r\n\r\n");
	finish(&f);
}

static struct exchange *open_head(struct fixture *f, struct http_head *h, bool end)
{
	struct exchange *x = http_user_open(&f->u, h, end);

	http_world_settle(&f->w);
	return x;
}

static void test_options_of_requests(void **state)
{
	struct fixture f;
	struct http_head h;
	struct arena arena;

	(void)state;
	begin_client(&f);
	arena_init(&arena, NULL);
	http_head_init(&h, HTTP_REQUEST, &arena);
	h.method = STR("POST");
	h.authority = STR("a");
	h.path = STR("/");
	h.te_trailers = h.expect_continue = true;
	struct exchange *x = open_head(&f, &h, false);

	expect_wire(&f,
		"POST / HTTP/1.1\r\nhost: a\r\nconnection: te\r\nte: trailers\r\n"
		"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n");
	send_text(&f, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_int_equal(x->interims, 1);
	struct http_fields t;

	http_fields_init(&t, &arena);
	http_fields_add(&t, STR("x-sum"), STR("1"));
	http_fields_add(&t, STR("content-length"), STR("1"));
	stream_send_trailers(x->stream, &t);
	expect_wire(&f, "0\r\nx-sum: 1\r\n\r\n");
	send_text(&f, OK);
	/* HTTP/1.0 without host stays what it was, and its connection is not used again. */
	http_head_init(&h, HTTP_REQUEST, &arena);
	h.method = STR("GET");
	h.path = STR("/");
	open_head(&f, &h, true);
	expect_wire(&f, "GET / HTTP/1.0\r\n\r\n");
	send_text(&f, OK);
	expect_room(&f, 0);
	arena_clear(&arena);
	finish(&f);
}

static void test_heads_that_may_not_go_out(void **state)
{
	static const struct {
		const char *method, *authority, *path;
	} bad[] = {{"GET", "a", "x"}, {"GET", "a", "/ x"}, {"GET", "a", "/\r\nx: y"},
		{"GE T", "a", "/"}, {"GET", "a b", "/"}, {"GET", "a\r\nx: y", "/"},
		{"GET", "a", ""}, {"GET", "u@a", "/"}, {"CONNECT", "", ""}};
	struct fixture f;
	struct http_head h;
	struct arena arena;

	(void)state;
	arena_init(&arena, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin_client(&f);
		http_head_init(&h, HTTP_REQUEST, &arena);
		h.method = str_from(bad[i].method);
		h.authority = str_from(bad[i].authority);
		h.path = str_from(bad[i].path);
		struct exchange *x = open_head(&f, &h, true);

		expect_wire(&f, "");
		assert_int_equal(x->reason, REASON_INTERNAL);
		/* Nothing went out: the connection is as good as before. */
		get(&f);
		expect_wire(&f, "GET / HTTP/1.1\r\nhost: example.test\r\n\r\n");
		finish(&f);
	}
	arena_clear(&arena);
}

static void test_use_and_use_again(void **state)
{
	struct fixture f;

	(void)state;
	begin_client(&f);
	expect_room(&f, 1);
	struct exchange *x = get(&f);

	expect_room(&f, 0);
	assert_null(http_user_request(&f.u, "GET", "/", NULL, 0, true));
	send_text(&f, OK);
	assert_true(x->ended);
	assert_int_equal(f.u.idles, 1);
	assert_true(f.u.rooms > 0);
	expect_room(&f, 1);
	get(&f);
	send_text(&f, OK);
	expect_room(&f, 1);
	expect_log(&f,
		"1 200 length=2\n1 body ok\n1 done\n1 end OK\n2 200 length=2\n2 body ok\n2 done\n2 end OK\n");
	send_text(&f, "x");
	expect_log(&f, "conn end UPSTREAM_PROTOCOL (bytes without a request)\n");
	finish(&f);
	/* idle and closed by the server: orderly */
	begin_client(&f);
	get(&f);
	send_text(&f, OK);
	wire_shutdown(&f.x);
	expect_log(&f, "1 200 length=2\n1 body ok\n1 done\n1 end OK\nconn end OK\n");
	finish(&f);
}

static void test_head_and_its_length(void **state)
{
	struct fixture f;

	(void)state;
	begin_client(&f);
	http_user_request(&f.u, "HEAD", "/", NULL, 0, true);
	send_text(&f, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	expect_log(&f, "1 200 length=1000 end\n1 end OK\n");
	http_user_request(&f.u, "HEAD", "/", NULL, 0, true);
	send_text(&f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	expect_log(&f, "2 200 end\n2 end OK\n");
	expect_room(&f, 1);
	finish(&f);
}

static void test_interim_storm(void **state)
{
	struct fixture f;

	(void)state;
	begin_client(&f);
	struct exchange *x = get(&f);

	for (unsigned i = 0; i < 32; i++)
		send_text(&f, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
	assert_false(x->ended);
	assert_int_equal(x->interims, 32);
	send_text(&f, "HTTP/1.1 103 Early Hints\r\n\r\n");
	assert_int_equal(x->reason, REASON_UPSTREAM_PROTOCOL);
	finish(&f);
	/* Few, but large: the limit is on all heads together. */
	begin_client(&f);
	x = get(&f);
	char *big = run_of('y', 10 * 1024), text[11 * 1024];

	snprintf(text, sizeof(text), "HTTP/1.1 103 Early Hints\r\nLink: %s\r\n\r\n", big);
	for (unsigned i = 0; i < 8; i++)
		send_text(&f, text);
	assert_int_equal(x->reason, REASON_RESPONSE_HEADERS_TOO_LARGE);
	free(big);
	finish(&f);
}

static void test_early_answer(void **state)
{
	struct fixture f;
	struct exchange *x;

	(void)state;
	/* The server goes on reading: both sides end, the connection lives. */
	begin_client(&f);
	x = http_user_request(&f.u, "POST", "/", NULL, 6, false);
	exchange_send(x, STR("abc"), false);
	send_text(&f, OK);
	assert_true(x->in_done);
	assert_false(x->ended);
	expect_room(&f, 0);
	exchange_send(x, STR("def"), true);
	http_world_settle(&f.w);
	assert_int_equal(x->reason, REASON_OK);
	expect_room(&f, 1);
	finish(&f);
	/* The server closes behind its answer: a success all the same. */
	begin_client(&f);
	x = http_user_request(&f.u, "POST", "/", NULL, 6, false);
	send_text(&f, OK);
	wire_shutdown(&f.x);
	assert_int_equal(x->reason, REASON_OK);
	assert_true(f.u.ended);
	finish(&f);
	/* The server answers and resets, while we are blocked in the middle of our body: the answer
	 * is found. */
	begin_client(&f);
	wire_listen(&f.x, false);
	x = http_user_request(&f.u, "POST", "/", NULL, 1 << 20, false);
	exchange_source(x, 1 << 20);
	http_world_settle(&f.w);
	wire_push(&f.x, STR("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"));
	wire_close(&f.x, true);
	assert_int_equal(x->status, 413);
	assert_true(x->in_done);
	assert_int_equal(x->reason, REASON_OK);
	finish(&f);
}

static void test_cut_by_reset(void **state)
{
	struct fixture f;

	(void)state;
	begin_client(&f);
	struct exchange *x = get(&f);

	send_text(&f, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
	wire_close(&f.x, true);
	assert_int_equal(x->reason, REASON_UPSTREAM_CLOSED);
	finish(&f);
}

static void test_stop(void **state)
{
	struct fixture f;
	char *kilo = run_of('x', 1024);

	(void)state;
	/* what is left is little: it is dropped, and the connection lives */
	begin_client(&f);
	f.u.stop = true;
	struct exchange *x = get(&f);

	send_text(&f, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(x->body_bytes, 0);
	expect_room(&f, 0);
	send_text(&f, "56789");
	expect_room(&f, 1);
	finish(&f);
	/* or much: it closes */
	begin_client(&f);
	f.u.stop = true;
	x = get(&f);
	send_text(&f, "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n");
	for (unsigned i = 0; i < 300; i++)
		wire_send(&f.x, str_make(kilo, 1024), 0, NULL);
	assert_int_equal(x->reason, REASON_OK);
	assert_true(f.u.ended);
	finish(&f);
	free(kilo);
}

static void test_reset_and_drain(void **state)
{
	struct fixture f;

	(void)state;
	begin_client(&f);
	struct exchange *x = get(&f);

	stream_reset(x->stream, REASON_TIMEOUT);
	expect_reset(&f);
	assert_int_equal(x->reason, REASON_TIMEOUT);
	finish(&f);
	/* drain: idle ends at once, busy after its exchange */
	begin_client(&f);
	http_conn_drain(f.u.conn);
	expect_fin(&f);
	assert_int_equal(f.u.reason, REASON_OK);
	finish(&f);
	begin_client(&f);
	x = get(&f);
	http_conn_drain(f.u.conn);
	send_text(&f, OK);
	assert_int_equal(x->reason, REASON_OK);
	expect_fin(&f);
	finish(&f);
}

static void test_closed_before_the_request(void **state)
{
	struct fixture f;

	(void)state;
	begin_client(&f);
	wire_shutdown(&f.x);
	assert_true(f.u.ended);
	assert_null(http_user_request(&f.u, "GET", "/", NULL, 0, true));
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_on_the_wire),
		cmocka_unit_test(test_options_of_requests),
		cmocka_unit_test(test_heads_that_may_not_go_out),
		cmocka_unit_test(test_use_and_use_again),
		cmocka_unit_test(test_head_and_its_length),
		cmocka_unit_test(test_interim_storm),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_cut_by_reset),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_reset_and_drain),
		cmocka_unit_test(test_closed_before_the_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
