/*
 * What HTTP promises, through two sidecars: trailers, interim responses, bodies that are not there,
 * pipelining, HTTP/1.0, limits. Each over HTTP/1 and, where it differs, HTTP/2 downstream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

/* The log of the application's only connection. */
static const char *app_log(struct mesh_app *app)
{
	assert_true(app->n > 0);
	return http_user_log(app->users[app->n - 1]);
}

/* -- trailers
 * ---------------------------------------------------------------------------------------------------------
 */

static void reply_with_trailers(struct http_user *u)
{
	u->reply = REPLY_AT_END;
	u->reply_status = 200;
	u->reply_body = "hello";
	u->reply_chunked = true;
	u->reply_trailer = "checksum";
}

static void test_trailers_both_ways(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_with_trailers);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	char *got = pair_ask(&x,
		"POST / HTTP/1.1\r\nHost: web\r\nTE: trailers\r\nConnection: TE\r\n"
		"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
		"5\r\nabcde\r\n0\r\nX-Sum: 5\r\nX-Forwarded-Client-Cert: forged\r\n"
		"x_weft_reason: forged\r\n\r\n");
	assert_has(got, "HTTP/1.1 200 OK\r\n");
	assert_has(got, "5\r\nhello\r\n0\r\nx-trailer: checksum\r\n\r\n");
	free(got);
	const char *log = app_log(&app);
	assert_has(log, "1 body abcde\n");
	assert_has(log, "1 trailers\n  x-sum: 5\n");
	assert_has_not(log, "forged");
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_trailers_http2(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	struct http_fields trailers;
	mesh_app_start(&app, p->web, 8080, HTTP_V2, reply_with_trailers);
	mesh_apply(&p->m);
	pair_client(p, &u, HTTP_V2);
	struct exchange *x = http_user_request(&u, "POST", "/", NULL, HTTP_LENGTH_UNKNOWN, false);
	exchange_send(x, STR("abcde"), false);
	http_fields_init(&trailers, stream_arena(x->stream));
	http_fields_add(&trailers, STR("x-sum"), STR("5"));
	http_fields_add(&trailers, STR("x-weft-evil"), STR("forged"));
	stream_send_trailers(x->stream, &trailers);
	mesh_settle(&p->m);
	assert_true(x->ended && x->reason == REASON_OK);
	assert_has(http_user_log(&u), "1 trailers\n  x-trailer: checksum\n");
	const char *log = app_log(&app);
	assert_has(log, "1 trailers\n  x-sum: 5\n");
	assert_has_not(log, "forged");
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* -- interim responses
 * ------------------------------------------------------------------------------------------------
 */

static void interims_head(struct exchange *x)
{
	exchange_interim(x, 103);
	exchange_interim(x, 100);
}

static void reply_with_interims(struct http_user *u)
{
	app_hello(u);
	u->on_head = interims_head;
}

static void test_interim_responses(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_with_interims);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	char *got = pair_ask(&x,
		"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n"
		"Expect: 100-continue\r\n\r\n");
	assert_has(got, "HTTP/1.1 103 ");
	assert_has(got, "HTTP/1.1 100 ");
	assert_has_not(got, " 200 ");
	free(got);
	pair_expect(&x, "body", "HTTP/1.1 200 OK\r\n");
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_app_start(&app, p->web, 8080, HTTP_V2, reply_with_interims);
	pair_client(p, &u, HTTP_V2);
	struct exchange *e = http_user_request(&u, "POST", "/", NULL, 4, false);
	mesh_settle(&p->m);
	assert_int_equal(e->interims, 2);
	exchange_send(e, STR("body"), true);
	mesh_settle(&p->m);
	assert_int_equal(e->status, 200);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, "code=\"200\""), 2);
}

/* -- bodies that are not there
 * ---------------------------------------------------------------------------------------- */

static void status_head(struct exchange *x)
{
	struct http_head h;
	uint64_t status = 200;
	str_to_u64(str_sub(x->head->path, 1, 3), 999, &status);
	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = (uint16_t)status;
	h.length = 5;
	if (status == 204)
		h.length = 0;
	http_fields_add(&h.fields, STR("etag"), STR("\"x\""));
	bool none = http_no_body(x->head->method, h.status);
	stream_send_head(x->stream, &h, none);
	if (!none)
		exchange_send(x, STR("hello"), true);
}

static void reply_by_path(struct http_user *u)
{
	u->on_head = status_head;
}

static void test_no_bodies(void **state)
{
	static const struct {
		const char *request, *status, *has, *end;
	} rows[] = {
		{"HEAD /200 HTTP/1.1\r\nHost: web\r\n\r\n", "200 OK", "content-length: 5",
			"\r\n\r\n"},
		{"GET /204 HTTP/1.1\r\nHost: web\r\n\r\n", "204 ", "etag", "\r\n\r\n"},
		{"GET /304 HTTP/1.1\r\nHost: web\r\n\r\n", "304 ", "etag", "\r\n\r\n"},
		{"HEAD /404 HTTP/1.1\r\nHost: web\r\n\r\n", "404 ", "content-length: 5",
			"\r\n\r\n"},
		{"GET /200 HTTP/1.1\r\nHost: web\r\n\r\n", "200 OK", "content-length: 5", "hello"},
	};
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_by_path);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *got = pair_ask(&x, rows[i].request);
		assert_has(got, rows[i].status);
		assert_has(got, rows[i].has);
		assert_string_equal(got + strlen(got) - strlen(rows[i].end), rows[i].end);
		free(got);
	}
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(app.accepted, 1);
}

static void test_no_bodies_http2(void **state)
{
	static const char *const methods[] = {"HEAD", "GET", "GET", "GET"};
	static const char *const paths[] = {"/200", "/204", "/304", "/200"};
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	for (int v = 0; v < 2; v++) {
		mesh_app_start(&app, p->web, 8080, v == 0 ? HTTP_V1 : HTTP_V2, reply_by_path);
		p->m.protocol = v == 0 ? WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED
				       : WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP2;
		mesh_apply(&p->m);
		/* The client speaks HTTP/2; towards an application of HTTP/1 it does so too. */
		pair_client(p, &u, v == 0 ? HTTP_V1 : HTTP_V2);
		for (int i = 0; i < 4; i++) {
			struct exchange *x =
				http_user_request(&u, methods[i], paths[i], NULL, 0, true);
			assert_non_null(x);
			mesh_settle(&p->m);
			assert_true(x->ended && x->reason == REASON_OK);
			assert_int_equal(x->body_bytes, i == 3 ? 5 : 0);
			if (i == 0)
				assert_has(http_user_log(&u), "1 200 length=5 end\n");
		}
		http_user_fini(&u);
		mesh_app_stop(&app);
	}
	mesh_assert_idle(&p->m);
}

/* -- early responses: the answer stays a success while the body still comes
 * ------------------------------------------- */

static void early(struct pair *p, enum http_version down, enum http_version up)
{
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, up, app_early);
	p->m.protocol = up == HTTP_V2 ? WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP2
				      : WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED;
	mesh_apply(&p->m);
	pair_client(p, &u, down);
	struct exchange *x = http_user_request(&u, "POST", "/", NULL, 8 << 20, false);
	exchange_source(x, 8 << 20);
	mesh_settle(&p->m);
	mesh_advance(&p->m, 10 * NS_PER_S);
	assert_int_equal(x->status, 413);
	assert_int_equal(x->body_bytes, 8);
	assert_true(x->in_done);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_advance(&p->m, 10 * NS_PER_S);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, "code=\"413\""), 1);
	assert_int_equal(pair_requests(p->client, NULL), 1);
}

static void test_early_response_http1(void **state)
{
	early(*state, HTTP_V1, HTTP_V1);
}

static void test_early_response_http2(void **state)
{
	early(*state, HTTP_V2, HTTP_V2);
}

/* -- HTTP/1 on the wire
 * ------------------------------------------------------------------------------------------- */

static void test_pipelining(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	char many[4096] = "";
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_by_path);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	for (int i = 0; i < 20; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many),
			"GET /%d HTTP/1.1\r\nHost: web\r\n\r\n", 200 + i);
	char *got = pair_ask(&x, many), *at = got;
	for (int i = 0; i < 20; i++) {
		char line[32];
		if (200 + i == 204 || 200 + i == 205)
			continue;
		snprintf(line, sizeof(line), "HTTP/1.1 %d ", 200 + i);
		at = strstr(at, line);
		assert_non_null(at); /* in order */
	}
	free(got);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_http10(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_echo);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	char *got = pair_ask(&x, "POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd");
	assert_has(got, "200 OK\r\n");
	assert_has_not(got, "chunked");
	assert_string_equal(got + strlen(got) - 4, "abcd");
	assert_true(x.eof);
	free(got);
	wire_fini(&x);
	/* Without Host the application learns the address that was dialled. */
	assert_has(app_log(&app), "POST 10.96.0.1:80 /");
	mesh_app_stop(&app);
	mesh_advance(&p->m, 10 * NS_PER_S);
	mesh_assert_idle(&p->m);
}

static void test_large_heads(void **state)
{
	static const size_t sizes[] = {1000, 16000, 50000, 61000, 70000};
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		bool fits = sizes[i] < 60 * 1024 - 300;
		char *text = malloc(sizes[i] + 100);
		int n = sprintf(text, "GET / HTTP/1.1\r\nHost: web\r\nX-Long: ");
		memset(text + n, 'a', sizes[i]);
		strcpy(text + n + sizes[i], "\r\n\r\n");
		pair_wire(p, &x);
		wire_send(&x, str_from(text), 16000, NULL);
		char *got = wire_take(&x);
		assert_has(got, fits ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 431 ");
		free(got);
		free(text);
		wire_fini(&x);
	}
	mesh_app_stop(&app);
	mesh_advance(&p->m, 10 * NS_PER_S);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->client, "code=\"200\""), 4);
}

/* A head that our own additions carry past the limit of the next hop. */
static void test_heads_at_the_limit_of_the_next_hop(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_client(p, &u, HTTP_V1);
	for (size_t size = 60 * 1024 - 400; size < 60 * 1024; size += 40) {
		char *value = malloc(size + 16);
		int n = sprintf(value, "x-long: ");
		memset(value + n, 'a', size);
		strcpy(value + n + size, "\n");
		struct exchange *x = http_user_request(&u, "GET", "/", value, 0, true);
		free(value);
		if (x == NULL) {
			http_user_fini(&u);
			pair_client(p, &u, HTTP_V1);
			continue;
		}
		mesh_settle(&p->m);
		assert_true(x->ended);
		assert_true(x->status == 200 || x->status == 431);
	}
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_advance(&p->m, 10 * NS_PER_S);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_trailers_both_ways),
		PAIR_TEST_V6(test_trailers_both_ways),
		PAIR_TEST(test_trailers_http2),
		PAIR_TEST(test_interim_responses),
		PAIR_TEST(test_no_bodies),
		PAIR_TEST(test_no_bodies_http2),
		PAIR_TEST(test_early_response_http1),
		PAIR_TEST(test_early_response_http2),
		PAIR_TEST(test_pipelining),
		PAIR_TEST(test_http10),
		PAIR_TEST(test_large_heads),
		PAIR_TEST(test_heads_at_the_limit_of_the_next_hop),
	};
	return cmocka_run_group_tests_name("HTTP through the mesh", tests, NULL, NULL);
}
