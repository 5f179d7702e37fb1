/*
 * The small HTTP server on a simulated network, spoken to in raw bytes: routing, heads, bodies and
 * their bounds, pipelining. Each test owns a server_rig.
 */
#include "tests/unit/lib/http/server_rig.h"

static void test_get(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	const char *text;

	raw_open(&r, &f->rig, f->addr);
	text = raw_ask(&r, "GET /hello?a=b&c HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(raw_status(text), 200);
	raw_assert_has(text, "\r\ndate: Thu, 09 Oct 2025 08:53:20 GMT\r\n");
	raw_assert_has(text, "\r\ncontent-type: text/plain; charset=utf-8\r\n");
	raw_assert_has(text, "\r\nx-content-type-options: nosniff\r\n");
	raw_assert_has(text, "\r\ncontent-length: 13\r\n");
	assert_string_equal(raw_body(text), "hello /hello\n");
	assert_string_equal(f->seen, "a=b&c");
	raw_close(&r);
}

static void test_head(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	const char *text;

	raw_open(&r, &f->rig, f->addr);
	text = raw_ask(&r, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(raw_status(text), 200);
	raw_assert_has(text, "\r\ncontent-length: 13\r\n");
	assert_string_equal(raw_body(text), "");
	text = raw_ask(&r, "HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(raw_status(text), 404);
	assert_string_equal(raw_body(text), "");
	raw_close(&r);
}

static void test_unknown_path_and_method(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	const char *text;

	raw_open(&r, &f->rig, f->addr);
	text = raw_ask(&r, "GET /hello/ HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(raw_status(text), 404);
	assert_string_equal(raw_body(text), "no such path\n");
	text = raw_ask(&r, "GET /%68ello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(raw_status(text), 404);
	text = raw_ask(&r, "DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(raw_status(text), 405);
	raw_assert_has(text, "\r\nallow: POST, PUT\r\n");
	text = raw_ask(&r, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(raw_status(text), 200);
	assert_int_equal(f->handled, 1);
	raw_close(&r);
}

static void test_empty_answer(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	const char *text;

	raw_open(&r, &f->rig, f->addr);
	text = raw_ask(&r, "GET /empty HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(raw_status(text), 200);
	raw_assert_has(text, "\r\ncontent-length: 0\r\n");
	raw_close(&r);
}

static void test_bodies(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	const char *text;

	raw_open(&r, &f->rig, f->addr);
	text = raw_ask(&r,
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n0123456789abcdef");
	assert_int_equal(raw_status(text), 201);
	raw_assert_has(text, "\r\nx-more: yes\r\n");
	assert_string_equal(raw_body(text), "0123456789abcdef");
	text = raw_ask(&r,
		"PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n");
	assert_int_equal(raw_status(text), 201);
	assert_string_equal(raw_body(text), "abcde");
	text = raw_ask(&r, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(raw_status(text), 201);
	assert_int_equal(f->handled, 3);
	raw_close(&r);
}

static void test_bodies_over_the_bound(void **state)
{
	static const char *const requests[] = {
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n0123456789abcdefg",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
		("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "9\r\n012345678\r\n8\r\n9abcdefg\r\n0\r\n\r\n"),
		"GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na",
	};
	struct server_rig *f = *state;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct raw r;

		raw_open(&r, &f->rig, f->addr);
		assert_int_equal(raw_status(raw_ask(&r, requests[i])), 413);
		raw_close(&r);
	}
	assert_int_equal(f->handled, 0);
}

static void test_expect_continue(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	const char *text;

	raw_open(&r, &f->rig, f->addr);
	text = raw_ask(&r,
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
		"Expect: 100-continue\r\n\r\n");
	assert_int_equal(raw_status(text), 100);
	text = raw_ask(&r, "abc");
	assert_int_equal(raw_status(text), 201);
	assert_string_equal(raw_body(text), "abc");
	/* What is refused is not asked for. */
	text = raw_ask(&r,
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n"
		"Expect: 100-continue\r\n\r\n");
	assert_int_equal(raw_status(text), 413);
	raw_close(&r);
}

static void test_guard(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	const char *text;

	raw_open(&r, &f->rig, f->addr);
	text = raw_ask(&r, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Evil: 1\r\n\r\n");
	assert_int_equal(raw_status(text), 403);
	assert_string_equal(raw_body(text), "evil is not served\n");
	assert_int_equal(f->handled, 0);
	raw_close(&r);
}

static void test_pipelining(void **state)
{
	struct server_rig *f = *state;
	struct raw r;
	const char *text;

	raw_open(&r, &f->rig, f->addr);
	text = raw_ask(&r,
		"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"
		"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
		"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	for (const int *status = (const int[]){200, 201, 404, 200, 0}; *status != 0; status++) {
		text = strstr(text, "HTTP/1.1 ");
		assert_non_null(text);
		assert_int_equal(raw_status(text), *status);
		text++;
	}
	assert_true(r.eof);
	raw_close(&r);
}

int main(void)
{
#define SERVER_TEST(name) \
	cmocka_unit_test_setup_teardown(name, server_rig_setup, server_rig_teardown)
	const struct CMUnitTest tests[] = {
		SERVER_TEST(test_get),
		SERVER_TEST(test_head),
		SERVER_TEST(test_unknown_path_and_method),
		SERVER_TEST(test_empty_answer),
		SERVER_TEST(test_bodies),
		SERVER_TEST(test_bodies_over_the_bound),
		SERVER_TEST(test_expect_continue),
		SERVER_TEST(test_guard),
		SERVER_TEST(test_pipelining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
