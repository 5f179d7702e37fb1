/*
 * The small HTTP server against slow and hostile clients, its bound on connections, and how it
 * closes. Each test owns a server_rig.
 */
#include "tests/unit/lib/http/server_rig.h"

/* --- slow and hostile clients --- */

static void test_byte_by_byte(void **state)
{
	static const char request[] =
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
	struct server_rig *f = *state;
	struct raw r;

	raw_open(&r, &f->rig, f->addr);
	for (size_t i = 0; i < sizeof(request) - 1; i++) {
		const char byte[2] = {request[i], '\0'};

		raw_send(&r, byte);
		loop_sim_advance(f->rig.loop, NS_PER_MS);
	}
	assert_int_equal(raw_status(raw_take(&r)), 201);
	assert_string_equal(f->seen, "abc");
	raw_close(&r);
}

static void test_head_that_never_ends(void **state)
{
	struct server_rig *f = *state;
	struct raw r;

	raw_open(&r, &f->rig, f->addr);
	raw_send(&r, "GET /hello HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 8; i++) {
		loop_sim_advance(f->rig.loop, 2 * NS_PER_S);
		raw_send(&r, "a: b\r\n");
	}
	assert_int_equal(raw_status(raw_take(&r)), 408);
	assert_true(r.eof || r.err != 0);
	raw_close(&r);
	assert_int_equal(http_server_conns(f->server), 0);
}

static void test_body_that_never_ends(void **state)
{
	struct server_rig *f = *state;
	struct raw r;

	raw_open(&r, &f->rig, f->addr);
	raw_send(&r, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n");
	for (int i = 0; i < 7; i++) {
		loop_sim_advance(f->rig.loop, 5 * NS_PER_S);
		raw_send(&r, "a");
	}
	assert_int_equal(raw_status(raw_take(&r)), 408);
	loop_sim_advance(f->rig.loop, HTTP_SERVER_CALL_NS);
	assert_int_equal(http_server_conns(f->server), 0);
	raw_close(&r);
}

static void test_answer_that_nobody_reads(void **state)
{
	struct server_rig *f = *state;
	struct raw r;

	raw_open(&r, &f->rig, f->addr);
	r.deaf = true;
	raw_send(&r, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(http_server_conns(f->server), 1);
	loop_sim_advance(f->rig.loop, HTTP_SERVER_CALL_NS + NS_PER_S);
	assert_int_equal(http_server_conns(f->server), 0);
	raw_close(&r);
}

static void test_a_slow_reader_gets_all_of_it(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	const char *text;
	size_t got = 0;

	raw_open(&r, &f->rig, f->addr);
	r.deaf = true;
	raw_send(&r, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	loop_sim_advance(f->rig.loop, 2 * NS_PER_S);
	r.deaf = false;
	raw_want(&r);
	rig_settle(&f->rig);
	got = buf_len(&r.in);
	text = raw_take(&r);
	assert_int_equal(got, BIG + (size_t)(raw_body(text) - text));
	raw_close(&r);
}

/* Many who ask much and read nothing: from some point on they are told to come back. */
static void test_unread_answers_are_bounded(void **state)
{
	struct server_rig *f = *state;
	struct raw readers[12];

	for (size_t i = 0; i < 12; i++) {
		raw_open(&readers[i], &f->rig, f->addr);
		readers[i].deaf = true;
		raw_send(&readers[i], "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	assert_true(f->handled >= HTTP_SERVER_PENDING / BIG);
	assert_true(f->handled < 12);
	readers[11].deaf = false;
	raw_want(&readers[11]);
	rig_settle(&f->rig);
	assert_int_equal(raw_status(raw_take(&readers[11])), 503);
	for (size_t i = 0; i < 12; i++)
		raw_close(&readers[i]);
	struct raw r;

	raw_open(&r, &f->rig, f->addr);
	assert_int_equal(raw_status(raw_ask(&r, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")), 200);
	raw_close(&r);
}

static void test_malformed(void **state)
{
	static const char *const requests[] = {
		"hello\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		("GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n"),
	};
	struct server_rig *f = *state;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct raw r;

		raw_open(&r, &f->rig, f->addr);
		assert_int_equal(raw_status(raw_ask(&r, requests[i])), 400);
		loop_sim_advance(f->rig.loop, NS_PER_S);
		assert_true(r.eof || r.err != 0);
		raw_close(&r);
	}
	assert_int_equal(f->handled, 0);
}

static void test_oversized_head(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	char line[1024];

	memset(line, 'a', sizeof(line));
	memcpy(line, "x: ", 3);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	raw_open(&r, &f->rig, f->addr);
	raw_send(&r, "GET /hello HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 20; i++)
		raw_send(&r, line);
	assert_int_equal(raw_status(raw_take(&r)), 431);
	raw_close(&r);
}

/* --- connections --- */

static void test_idle_connections_make_room(void **state)
{
	struct server_rig f;
	struct raw idle, busy, third, fourth;

	(void)state;
	server_rig_open(&f, 4096, 2);
	raw_open(&idle, &f.rig, f.addr);
	raw_open(&busy, &f.rig, f.addr);
	raw_send(&busy, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n");
	raw_open(&third, &f.rig, f.addr);
	assert_true(idle.eof || idle.err != 0);
	raw_send(&third, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n");
	raw_open(&fourth, &f.rig, f.addr);
	assert_true(fourth.eof || fourth.err != 0);
	assert_int_equal(http_server_conns(f.server), 2);
	assert_int_equal(raw_status(raw_ask(&busy, "abc")), 201);
	assert_int_equal(raw_status(raw_ask(&third, "abc")), 201);
	raw_close(&idle);
	raw_close(&busy);
	raw_close(&third);
	raw_close(&fourth);
	http_server_close(&f.server);
	rig_close(&f.rig);
}

static void test_idle_connections_end(void **state)
{
	struct server_rig *f = *state;
	struct raw r;

	raw_open(&r, &f->rig, f->addr);
	raw_ask(&r, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	loop_sim_advance(f->rig.loop, 60 * NS_PER_S);
	assert_true(r.eof);
	/* The client does not close its side; that is not waited for for long. */
	loop_sim_advance(f->rig.loop, 10 * NS_PER_S);
	assert_int_equal(http_server_conns(f->server), 0);
	raw_close(&r);
}

static void test_closing_finishes_answers_and_calls_nobody(void **state)
{
	struct server_rig *f = *state;
	struct raw idle, reading, asking;

	raw_open(&idle, &f->rig, f->addr);
	raw_open(&reading, &f->rig, f->addr);
	raw_open(&asking, &f->rig, f->addr);
	reading.deaf = true;
	raw_send(&reading, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	raw_send(&asking, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n");
	http_server_close(&f->server);
	assert_null(f->server);
	rig_settle(&f->rig);
	assert_true(idle.eof);
	assert_int_equal(raw_status(raw_ask(&asking, "abc")), 503);
	reading.deaf = false;
	raw_want(&reading);
	rig_settle(&f->rig);
	assert_true(buf_len(&reading.in) > BIG);
	assert_true(reading.eof);
	assert_int_equal(f->handled, 1);
	raw_close(&idle);
	raw_close(&reading);
	raw_close(&asking);
}

static void test_closing_does_not_wait_for_ever(void **state)
{
	struct server_rig *f = *state;
	struct raw r;

	raw_open(&r, &f->rig, f->addr);
	r.deaf = true;
	raw_send(&r, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	http_server_close(&f->server);
	loop_sim_advance(f->rig.loop, HTTP_SERVER_CLOSE_NS + NS_PER_MS);
	r.deaf = false;
	raw_want(&r);
	rig_settle(&f->rig);
	assert_true(r.eof || r.err != 0);
	assert_true(buf_len(&r.in) < BIG);
	raw_close(&r);
}

static void test_taken_port_is_an_error_with_text(void **state)
{
	struct server_rig *f = *state;
	struct http_server *second = NULL;
	char err[128] = "";
	struct http_server_config cfg = {.listen = {.addr = f->addr}, .routes = server_rig_routes};

	assert_int_equal(http_server_open(&f->rig.env, f->rig.net, &cfg, &second, err, sizeof(err)),
		ERR_EXISTS);
	assert_null(second);
	raw_assert_has(err, "127.0.0.1:15000");
}

int main(void)
{
#define SERVER_TEST(name) \
	cmocka_unit_test_setup_teardown(name, server_rig_setup, server_rig_teardown)
	const struct CMUnitTest tests[] = {
		SERVER_TEST(test_byte_by_byte),
		SERVER_TEST(test_head_that_never_ends),
		SERVER_TEST(test_body_that_never_ends),
		SERVER_TEST(test_answer_that_nobody_reads),
		SERVER_TEST(test_a_slow_reader_gets_all_of_it),
		SERVER_TEST(test_unread_answers_are_bounded),
		SERVER_TEST(test_malformed),
		SERVER_TEST(test_oversized_head),
		cmocka_unit_test(test_idle_connections_make_room),
		SERVER_TEST(test_idle_connections_end),
		SERVER_TEST(test_closing_finishes_answers_and_calls_nobody),
		SERVER_TEST(test_closing_does_not_wait_for_ever),
		SERVER_TEST(test_taken_port_is_an_error_with_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
