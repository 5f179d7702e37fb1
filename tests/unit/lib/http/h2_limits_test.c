/*
 * Limits on header fields over HTTP/2: what is too large is refused on its stream, by an answer
 * where the request can have one, and what an upstream sends too much of is that stream's end.
 */
#include "tests/support/h2_peer.h"

#include <string.h>

#define GET ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "svc.test"
#define END (NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM)

/* A request with n fields of that size each. */
static struct h2_x *request_with(struct h2_world *w, unsigned n, size_t size, bool end)
{
	struct arena a;

	arena_init(&a, NULL);
	struct http_head h = h2_request_head(&a, "POST", "/");
	char *value = arena_alloc(&a, size);

	memset(value, 'v', size);
	for (unsigned i = 0; i < n; i++)
		http_fields_add(&h.fields, STR("x-large"), str_make(value, size));
	struct h2_x *x = h2_open(&w->client, &h, end, NULL);

	arena_clear(&a);
	return x;
}

static void up_to_the_limit_is_served(void **state)
{
	struct h2_world *w = *state;

	w->server.script = h2_serve_ok;
	h2_world_pair(w, true);
	struct h2_x *x = request_with(w, 100, 500, true);
	struct h2_x *y = request_with(w, 4, 14000, true);

	h2_world_run(w);
	assert_int_equal(x->head.status, 200);
	assert_int_equal(y->head.status, 200);
	assert_int_equal(h2_nth(&w->server, 0)->head.fields.n, 100);
	assert_int_equal(h2_nth(&w->server, 1)->head.fields.n, 4);
}

/* A path to the full, and fields to the full beside it, as HTTP/1 counts them too. */
static void target_does_not_count_as_fields(void **state)
{
	struct h2_world *w = *state;
	struct arena a;
	char *path;

	w->server.script = h2_serve_ok;
	h2_world_pair(w, true);
	arena_init(&a, NULL);
	path = arena_alloc(&a, w->limits.target_bytes + 1);
	memset(path, 'p', w->limits.target_bytes);
	path[0] = '/';
	path[w->limits.target_bytes] = '\0';
	size_t left = w->limits.header_bytes - 4 * (7 + 32);
	struct http_head h = h2_request_head(&a, "GET", path);

	for (unsigned i = 0; i < 4; i++) {
		size_t n = i == 0 ? left / 4 + left % 4 : left / 4;
		char *value = arena_alloc(&a, n);

		memset(value, 'v', n);
		http_fields_add(&h.fields, STR("x-large"), str_make(value, n));
	}
	struct h2_x *fits = h2_open(&w->client, &h, true, NULL);
	struct str *first = &h.fields.v[0].value;

	*first = arena_printf(&a, "%.*sv", STR_ARG(*first));
	struct h2_x *over = h2_open(&w->client, &h, true, NULL);

	h2_world_run(w);
	assert_int_equal(fits->head.status, 200);
	assert_int_equal(over->head.status, 431);
	arena_clear(&a);
}

/* More than nghttp2's own eight CONTINUATION frames, and beyond the limit still an answer. */
static void wide_limits_need_many_frames(void **state)
{
	struct h2_world *w = *state;

	w->limits.header_bytes = 256 * 1024;
	w->limits.header_count = 1000;
	w->server.script = h2_serve_ok;
	h2_world_pair(w, true);
	struct h2_x *fits = request_with(w, 250, 1000, true);
	struct h2_x *over = request_with(w, 500, 1000, true);

	h2_world_run(w);
	assert_int_equal(fits->head.status, 200);
	assert_int_equal(over->head.status, 431);
	assert_int_equal(w->server.ends + w->client.ends, 0);
}

static void too_many_or_too_large_is_431(void **state)
{
	struct h2_world *w = *state;

	w->server.script = h2_serve_ok;
	h2_world_pair(w, true);
	struct h2_x *many = request_with(w, 101, 1, true);
	struct h2_x *large = request_with(w, 5, 14000, true);
	struct h2_x *with_body = request_with(w, 5, 14000, false);

	h2_pour(with_body, 10 * 1024 * 1024);
	struct h2_x *fine = request_with(w, 1, 1, true);

	h2_world_run(w);
	assert_int_equal(many->head.status, 431);
	assert_int_equal(large->head.status, 431);
	assert_int_equal(with_body->head.status, 431);
	assert_int_equal(with_body->reason, REASON_OK);
	assert_int_equal(fine->head.status, 200);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(h2_nth(&w->server, i)->reason, REASON_HEADERS_TOO_LARGE);
		assert_int_equal(h2_nth(&w->server, i)->heads, 0);
	}
	assert_int_equal(http_conn_streams(w->server.c), 0);
	assert_int_equal(w->server.ends + w->client.ends, 0);
}

/* HEADERS with the status, END_STREAM, and only then RST_STREAM: never a broken connection. */
static void the_answer_precedes_the_reset(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	static const char *const fields[] = {GET, "a", "1", "b", "1", "c", "1", "d", "1", NULL};

	w->limits.header_count = 3;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_headers(&p, NGHTTP2_FLAG_END_HEADERS, 1, fields);
	h2_put(&p, NGHTTP2_DATA, 0, 1, "body", 4);
	h2_put_headers(&p, END, 3, fields);
	h2_put(&p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "body", 4);
	h2_peer_run(&p);
	assert_int_equal(h2_status(&p, 1), 431);
	assert_int_equal(h2_status(&p, 3), 431);
	assert_true(h2_last(&p, NGHTTP2_HEADERS, 1)->flags & NGHTTP2_FLAG_END_STREAM);
	assert_int_equal(h2_seen(&p, NGHTTP2_RST_STREAM, 3), 0);
	assert_int_equal(h2_seen(&p, NGHTTP2_GOAWAY, 0), 0);
	h2_peer_close(&p);
}

/* Crumbs of cookies count as one field, and each by its size. */
static void many_crumbs_are_one_field(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	const char *fields[8 + 2 * 200 + 1] = {GET};

	for (unsigned i = 0; i < 200; i++) {
		fields[8 + 2 * i] = "cookie";
		fields[9 + 2 * i] = "a=1234567890";
	}
	w->limits.header_bytes = 9000;
	w->server.script = h2_serve_ok;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_headers(&p, END, 1, fields);
	fields[8 + 2 * 150] = NULL;
	h2_put_headers(&p, END, 3, fields);
	h2_peer_run(&p);
	assert_int_equal(h2_status(&p, 1), 431);
	assert_int_equal(h2_status(&p, 3), 200);
	assert_int_equal(h2_nth(&w->server, 1)->head.fields.n, 1);
	assert_int_equal(h2_nth(&w->server, 1)->head.fields.v[0].value.n, 150 * 14 - 2);
	h2_peer_close(&p);
}

static void long_target_is_414(void **state)
{
	struct h2_world *w = *state;
	char path[2000] = "/";

	memset(path + 1, 'a', sizeof(path) - 2);
	w->limits.target_bytes = 1000;
	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "GET", path, true);

	h2_world_run(w);
	assert_int_equal(x->head.status, 414);
	assert_int_equal(h2_nth(&w->server, 0)->reason, REASON_URI_TOO_LONG);
}

static void trailers_beyond_the_limit(void **state)
{
	struct h2_world *w = *state;
	struct http_fields f;

	w->limits.trailer_bytes = 100;
	h2_world_pair(w, true);
	struct h2_x *x = h2_request(w, "POST", "/", false);

	h2_world_run(w);
	http_fields_init(&f, &x->arena);
	http_fields_add(&f, STR("x-sum"),
		STR("123456789012345678901234567890123456789012345678901234567890"
		    "12345"));
	stream_send_trailers(x->s, &f);
	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	assert_int_equal(y->heads, 1);
	assert_false(y->has_trailers);
	assert_int_equal(y->reason, REASON_HEADERS_TOO_LARGE);
	assert_true(x->ended);
	assert_int_equal(w->server.ends, 0);
}

static void large_response_ends_its_stream(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	static const char *const large[] = {":status", "200", "a", "1", "b", "1", "c", "1", NULL};

	w->limits.header_count = 2;
	h2_world_client(w, true);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "GET", "/", true);
	struct h2_x *y = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	h2_put_headers(&p, NGHTTP2_FLAG_END_HEADERS, 1, large);
	h2_put(&p, NGHTTP2_DATA, 0, 1, "body", 4);
	h2_put_ok(&p, NGHTTP2_FLAG_END_STREAM, 3);
	h2_peer_run(&p);
	assert_int_equal(x->reason, REASON_RESPONSE_HEADERS_TOO_LARGE);
	assert_int_equal(x->heads, 0);
	assert_int_equal(h2_seen(&p, NGHTTP2_RST_STREAM, 1), 1);
	assert_int_equal(y->reason, REASON_OK);
	h2_peer_close(&p);
}

/* -- what an upstream may not do -- */

struct bad_answer {
	const char *name;
	const char *fields[10];
	uint8_t flags;
	const char *data;
	enum reason reason;
};

static void malformed_answers_end_their_stream(void **state)
{
	static const struct bad_answer rows[] = {
		{"no status", {"x", "1"}, END, NULL, REASON_UPSTREAM_PROTOCOL},
		{"status 42", {":status", "42"}, END, NULL, REASON_UPSTREAM_PROTOCOL},
		{"status 2000", {":status", "2000"}, END, NULL, REASON_UPSTREAM_PROTOCOL},
		{"101", {":status", "101"}, END, NULL, REASON_UPSTREAM_PROTOCOL},
		{"two lengths", {":status", "200", "content-length", "1", "content-length", "1"}, 4,
			"1", REASON_UPSTREAM_PROTOCOL},
		{"too long", {":status", "200", "content-length", "1"}, 4, "22",
			REASON_UPSTREAM_PROTOCOL},
		{"too short", {":status", "200", "content-length", "3"}, 4, "22",
			REASON_UPSTREAM_PROTOCOL},
		{"body of 204", {":status", "204"}, 4, "x", REASON_UPSTREAM_PROTOCOL},
		{"connection", {":status", "200", "connection", "close"}, END, NULL,
			REASON_UPSTREAM_PROTOCOL},
		{"chunked", {":status", "200", "transfer-encoding", "chunked"}, 4, "x",
			REASON_UPSTREAM_PROTOCOL},
		{"upper case", {":status", "200", "X-Up", "1"}, END, NULL,
			REASON_UPSTREAM_PROTOCOL},
		{"CR LF", {":status", "200", "x", "1\r\ny: 2"}, END, NULL,
			REASON_UPSTREAM_PROTOCOL},
		{"100 that ends", {":status", "100"}, END, NULL, REASON_UPSTREAM_PROTOCOL},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct h2_world w;
		struct h2_peer p;

		h2_world_open(&w);
		h2_world_client(&w, i % 2 == 0);
		h2_peer_server(&p, &w);
		struct h2_x *x = h2_request(&w, "GET", "/", true);
		struct h2_x *y = h2_request(&w, "GET", "/", true);

		h2_peer_run(&p);
		h2_put_headers(&p, rows[i].flags, 1, rows[i].fields);
		if (rows[i].data != NULL)
			h2_put(&p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, rows[i].data,
				strlen(rows[i].data));
		h2_put_ok(&p, NGHTTP2_FLAG_END_STREAM, 3);
		h2_peer_run(&p);
		if (x->reason != rows[i].reason || !x->ended)
			fail_msg("%s: reason %d", rows[i].name, x->reason);
		assert_int_equal(h2_seen(&p, NGHTTP2_RST_STREAM, 1), 1);
		assert_int_equal(y->reason, REASON_OK);
		assert_true(y->ended);
		assert_int_equal(w.client.ends, 0);
		h2_peer_close(&p);
		h2_world_close(&w);
	}
}

static void data_before_the_head(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, true);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "GET", "/", true);
	struct h2_x *y = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	h2_put(&p, NGHTTP2_DATA, 0, 1, "early", 5);
	h2_put_ok(&p, NGHTTP2_FLAG_END_STREAM, 3);
	h2_peer_run(&p);
	assert_int_equal(x->reason, REASON_UPSTREAM_PROTOCOL);
	assert_int_equal(y->reason, REASON_OK);
	h2_peer_close(&p);
}

static void storm_of_interim_answers(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	static const char *const early[] = {":status", "103", "link", "</a>", NULL};

	h2_world_client(w, true);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	for (unsigned i = 0; i < 1000; i++)
		h2_put_headers(&p, NGHTTP2_FLAG_END_HEADERS, 1, early);
	h2_peer_run(&p);
	assert_int_equal(x->reason, REASON_UPSTREAM_PROTOCOL);
	assert_int_equal(x->interims, 32);
	assert_int_equal(w->client.ends, 0);
	h2_peer_close(&p);
}

static void pushes_are_refused(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	h2_put(&p, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x82\x87\x84", 7);
	h2_peer_run(&p);
	assert_int_equal(x->reason, REASON_UPSTREAM_PROTOCOL);
	assert_int_equal(w->client.reason, REASON_UPSTREAM_PROTOCOL);
	assert_int_equal(h2_last(&p, NGHTTP2_GOAWAY, 0)->code, NGHTTP2_PROTOCOL_ERROR);
	h2_peer_close(&p);
}

/* An upstream's floods end that connection with the upstream's reason. */
static void upstream_that_floods(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	for (unsigned i = 0; i < 5000; i++)
		h2_put(&p, NGHTTP2_PING, 0, 0, "12345678", 8);
	h2_peer_run(&p);
	assert_int_equal(x->reason, REASON_UPSTREAM_PROTOCOL);
	assert_int_equal(w->client.ends, 1);
	h2_peer_close(&p);
}

/* Late answers to streams that we reset are no fault of the upstream. */
static void late_answers_are_forgiven(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	for (unsigned i = 0; i < 15000; i++) {
		struct h2_x *x = h2_request(w, "GET", "/", true);
		int32_t id = 1 + 2 * (int32_t)i;

		h2_world_run(w);
		stream_reset(x->s, REASON_CANCELLED);
		h2_put_ok(&p, 0, id);
		h2_put(&p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "late", 4);
		if (i % 100 == 0)
			h2_peer_run(&p);
	}
	h2_peer_run(&p);
	assert_int_equal(w->client.ends, 0);
	assert_int_equal(http_conn_room(w->client.c), 100);
	h2_peer_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		H2_TEST(up_to_the_limit_is_served),
		H2_TEST(target_does_not_count_as_fields),
		H2_TEST(wide_limits_need_many_frames),
		H2_TEST(too_many_or_too_large_is_431),
		H2_TEST(the_answer_precedes_the_reset),
		H2_TEST(many_crumbs_are_one_field),
		H2_TEST(long_target_is_414),
		H2_TEST(trailers_beyond_the_limit),
		H2_TEST(large_response_ends_its_stream),
		H2_TEST(malformed_answers_end_their_stream),
		H2_TEST(data_before_the_head),
		H2_TEST(storm_of_interim_answers),
		H2_TEST(pushes_are_refused),
		H2_TEST(upstream_that_floods),
		H2_TEST(late_answers_are_forgiven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
