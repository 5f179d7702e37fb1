/*
 * HTTP/1 at its edges: times and counts as the span reads them, ends of input in unusual phases,
 * tunnels whose reader holds back, and users that act in the middle of an event.
 */
#include "tests/unit/lib/http/fixture.h"

#define ASK                                                                          \
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static void accept_101(struct exchange *x)
{
	struct http_head h;

	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = 101;
	stream_send_head(x->stream, &h, false);
}

static void test_times_and_counts(void **state)
{
	struct fixture f;
	const struct http_stream_times *t;
	const uint64_t ms = NS_PER_MS;

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	uint64_t start = loop_now(f.w.loop);

	send_text(&f, "POST / HTTP/1.1\r\n");
	loop_sim_advance(f.w.loop, ms);
	send_text(&f, "Host: a\r\nContent-Length: 6\r\n\r\n");
	struct exchange *x = f.u.x[0];

	assert_int_equal(stream_in_part(x->stream), PART_BODY);
	loop_sim_advance(f.w.loop, ms);
	send_text(&f, "abc");
	loop_sim_advance(f.w.loop, ms);
	send_text(&f, "def");
	t = stream_times(x->stream);
	assert_int_equal(t->start, start);
	assert_int_equal(t->head_in, start + ms);
	assert_int_equal(t->first_in, start + 2 * ms);
	assert_int_equal(t->last_in, start + 3 * ms);
	assert_int_equal(t->head_out, 0);
	assert_int_equal(stream_bytes_in(x->stream), 6);
	assert_int_equal(stream_in_part(x->stream), PART_DONE);
	assert_int_equal(stream_out_part(x->stream), PART_HEAD);
	assert_int_equal(stream_id(x->stream), 1);
	assert_ptr_equal(stream_user(x->stream), x);
	assert_ptr_equal(stream_conn(x->stream), f.u.conn);
	assert_ptr_equal(http_conn_user(f.u.conn), &f.u);
	assert_int_equal(http_conn_version(f.u.conn), HTTP_V1);
	assert_true(http_conn_settled(f.u.conn) && http_conn_can_upgrade(f.u.conn));
	struct http_head h;

	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = 200;
	stream_send_head(x->stream, &h, false);
	loop_sim_advance(f.w.loop, ms);
	exchange_send(x, STR("xy"), false);
	loop_sim_advance(f.w.loop, ms);
	assert_int_equal(t->head_out, start + 3 * ms);
	assert_int_equal(t->first_out, start + 4 * ms);
	assert_int_equal(stream_bytes_out(x->stream), 2);
	assert_int_equal(stream_out_part(x->stream), PART_BODY);
	exchange_send(x, STR(""), true);
	expect_log(&f, "1 POST a / length=6\n1 body abcdef\n1 done\n1 end OK\n");
	finish(&f);
}

static void test_empty_answer_of_unknown_length(void **state)
{
	struct fixture f;
	struct http_head h;

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_NONE;
	send_text(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	http_head_init(&h, HTTP_RESPONSE, stream_arena(f.u.x[0]->stream));
	h.status = 200;
	stream_send_head(f.u.x[0]->stream, &h, true);
	expect_wire(&f, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
	expect_open(&f);
	finish(&f);
}

static void test_upgrade_of_a_client_that_closes_its_side(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	connect_as(&f, HTTP_SERVER);
	send_text(&f, ASK);
	wire_shutdown(&f.x);
	expect_log(&f,
		"1 GET a / protocol=websocket\n  sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\n");
	accept_101(f.u.x[0]);
	expect_log(&f, "1 done\n");
	exchange_send(f.u.x[0], STR("bye"), true);
	expect_log(&f, "1 end OK\nconn end OK\n");
	finish(&f);
}

static void test_tunnel_backpressure(void **state)
{
	struct fixture f;
	char *kilo = run_of('x', 1024);
	size_t pushed = 0, n;

	(void)state;
	begin(&f);
	f.u.hold = true;
	f.u.on_head = accept_101;
	connect_as(&f, HTTP_SERVER);
	send_text(&f, ASK);
	do {
		n = wire_push(&f.x, str_make(kilo, 1024));
		pushed += n;
		http_world_settle(&f.w);
	} while (n == 1024);
	assert_int_equal(f.u.x[0]->held, f.w.limits.stream_window);
	assert_in_range(pushed, f.w.limits.stream_window, f.w.limits.stream_window + 3 * 64 * 1024);
	exchange_consume(f.u.x[0]);
	http_world_settle(&f.w);
	assert_true(f.u.x[0]->held > 0);
	finish(&f);
	free(kilo);
}

/* The rest of a body whose answer is out: the client goes away, or we drain. */
static void test_ends_within_an_unwanted_rest(void **state)
{
	static const char ask[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234";
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.reply = REPLY_AT_HEAD;
	f.u.stop = true;
	send_text(&f, ask);
	wire_shutdown(&f.x);
	expect_log(&f, "1 POST a / length=10\n1 end OK\nconn end OK\n");
	finish(&f);
	begin_server(&f);
	f.u.reply = REPLY_AT_HEAD;
	f.u.stop = true;
	send_text(&f, ask);
	http_conn_drain(f.u.conn);
	expect_open(&f);
	send_text(&f, "56789");
	expect_fin(&f);
	finish(&f);
	/* Malformed: there is nobody to answer any more. */
	begin_server(&f);
	f.u.reply = REPLY_AT_HEAD;
	f.u.stop = true;
	send_text(&f,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
	expect_wire(&f, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
	send_text(&f, "zz\r\n");
	expect_wire(&f, "");
	expect_fin(&f);
	finish(&f);
	/* And what was answered is not taken back. */
	begin_server(&f);
	f.u.reply = REPLY_AT_HEAD;
	send_text(&f,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
	wire_listen(&f.x, false);
	send_text(&f, "zz\r\n");
	wire_listen(&f.x, true);
	expect_wire(&f, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
	expect_fin(&f);
	assert_int_equal(f.u.x[0]->reason, REASON_PROTOCOL);
	finish(&f);
}

static void on_end_only(void *arg, struct http_stream *s, enum reason reason)
{
	(void)s;
	*(enum reason *)arg = reason;
}

static const struct http_stream_events end_only = {.on_end = on_end_only};

static void test_closed_before_the_request_was_sent(void **state)
{
	struct fixture f;
	enum reason reason = REASON_COUNT;

	(void)state;
	begin_client(&f);
	struct http_stream *s = http_conn_open(f.u.conn);

	stream_set_user(s, &end_only, &reason);
	wire_shutdown(&f.x);
	assert_int_equal(reason, REASON_NOT_PROCESSED);
	finish(&f);
	/* The same where the request was queued and the first write failed, or the end came before
	 * it. */
	for (unsigned i = 0; i < 2; i++) {
		begin_client(&f);
		if (i == 0)
			io_close(&f.x.io, true);
		else
			io_shutdown(f.x.io);
		struct exchange *x = http_user_request(&f.u, "POST", "/", NULL, 0, true);

		http_world_settle(&f.w);
		assert_int_equal(x->reason, REASON_NOT_PROCESSED);
		finish(&f);
	}
	/* Given back unused, the connection stays good. */
	begin_client(&f);
	s = http_conn_open(f.u.conn);
	stream_set_user(s, &end_only, &reason);
	stream_reset(s, REASON_CANCELLED);
	http_world_settle(&f.w);
	assert_int_equal(reason, REASON_CANCELLED);
	assert_int_equal(http_conn_room(f.u.conn), 1);
	finish(&f);
}

static void reset_in_body(struct exchange *x)
{
	stream_reset(x->stream, REASON_TIMEOUT);
}

static void stop_in_body(struct exchange *x)
{
	stream_stop(x->stream);
}

static void test_acting_within_events(void **state)
{
	static const char ask[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
				  "1\r\na\r\n1\r\nb\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct fixture f;

	(void)state;
	begin_server(&f);
	f.u.on_body = reset_in_body;
	send_text(&f, ask);
	expect_log(&f, "1 POST a /\n1 body a\n1 end TIMEOUT\n");
	expect_wire_begins(&f, "HTTP/1.1 504 Gateway Timeout\r\n");
	finish(&f);
	begin_server(&f);
	f.u.on_body = stop_in_body;
	send_text(&f, ask);
	exchange_reply(f.u.x[0], 200, NULL, NULL);
	expect_log(&f, "1 POST a /\n1 body a\n1 end OK\n2 GET a / end\n2 end OK\n");
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_and_counts),
		cmocka_unit_test(test_empty_answer_of_unknown_length),
		cmocka_unit_test(test_upgrade_of_a_client_that_closes_its_side),
		cmocka_unit_test(test_tunnel_backpressure),
		cmocka_unit_test(test_ends_within_an_unwanted_rest),
		cmocka_unit_test(test_closed_before_the_request_was_sent),
		cmocka_unit_test(test_acting_within_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
