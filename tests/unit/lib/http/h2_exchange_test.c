/*
 * Exchanges over HTTP/2, both ends ours: heads, bodies both ways, trailers, interim responses,
 * HEAD, cookies. Each against the neutral form that users see.
 */
#include "tests/support/h2_world.h"

static void request_and_response_without_body(void **state)
{
	struct h2_world *w = *state;

	w->server.script = h2_serve_ok;
	h2_world_pair(w, false);
	assert_true(http_conn_settled(w->client.c));
	assert_true(http_conn_can_upgrade(w->client.c));
	struct h2_x *x = h2_request(w, "GET", "/a?b=c", true);

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	assert_true(str_eq(y->head.method, STR("GET")));
	assert_true(str_eq(y->head.path, STR("/a?b=c")));
	assert_true(str_eq(y->head.authority, STR("svc.test:8080")));
	assert_true(str_eq(y->head.scheme, STR("https")));
	assert_int_equal(y->head.version_major, 2);
	assert_true(y->head_end);
	assert_int_equal(x->head.status, 200);
	assert_true(x->head_end);
	assert_string_equal(h2_field(&x->head.fields, "x-served"), "yes");
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(y->reason, REASON_OK);
	assert_true(x->ended && y->ended);
	assert_int_equal(w->client.idles, 1);
}

static void bodies_both_ways(void **state)
{
	struct h2_world *w = *state;
	const uint64_t n = 3 * 1024 * 1024 + 17;

	w->server.script = h2_serve_echo;
	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "POST", "/echo", false);

	h2_pour(x, n);
	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	assert_int_equal(y->got, n);
	assert_int_equal(y->sum, h2_pattern_sum(n));
	assert_int_equal(x->got, n);
	assert_int_equal(x->sum, h2_pattern_sum(n));
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(y->reason, REASON_OK);
	assert_true(x->writables > 0);
}

/* Pieces of every size from one byte up: the pipe takes no more at once. */
static void bodies_through_a_narrow_pipe(void **state)
{
	struct h2_world *w = *state;
	static const size_t pipes[] = {1, 2, 3, 7, 10, 64, 1000};

	(void)w;
	for (size_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++) {
		struct h2_world v;

		h2_world_open(&v);
		v.pipe = pipes[i];
		v.server.script = h2_serve_echo;
		h2_world_pair(&v, false);
		struct h2_x *x = h2_request(&v, "POST", "/echo", false);

		h2_pour(x, 5000);
		h2_world_run(&v);
		assert_int_equal(x->sum, h2_pattern_sum(5000));
		assert_int_equal(x->reason, REASON_OK);
		h2_world_close(&v);
	}
}

static void declared_length_reaches_the_other_side(void **state)
{
	struct h2_world *w = *state;
	struct arena a;

	w->server.script = h2_serve_ok;
	h2_world_pair(w, false);
	arena_init(&a, NULL);
	struct http_head h = h2_request_head(&a, "PUT", "/");

	h.length = 10;
	h.te_trailers = true;
	h.expect_continue = true;
	struct h2_x *x = h2_open(&w->client, &h, false, NULL);

	arena_clear(&a);
	h2_pour(x, 10);
	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	assert_int_equal(y->head.length, 10);
	assert_true(y->head.te_trailers);
	assert_true(y->head.expect_continue);
	assert_int_equal(y->head.fields.n, 0);
	assert_int_equal(x->reason, REASON_OK);
}

static void serve_trailers(struct h2_x *x, enum h2_event event)
{
	struct http_fields f;

	if (event != H2_ON_TRAILERS)
		return;
	assert_string_equal(h2_field(&x->trailers, "x-sum"), "7");
	http_fields_init(&f, &x->arena);
	http_fields_add(&f, STR("grpc-status"), STR("0"));
	h2_respond(x, 200, false);
	h2_send_text(x, "answer", false);
	stream_send_trailers(x->s, &f);
}

static void trailers_both_ways(void **state)
{
	struct h2_world *w = *state;
	struct http_fields f;

	w->server.script = serve_trailers;
	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "POST", "/t", false);

	http_fields_init(&f, &x->arena);
	http_fields_add(&f, STR("x-sum"), STR("7"));
	h2_send_text(x, "question", false);
	stream_send_trailers(x->s, &f);
	h2_world_run(w);
	assert_int_equal(x->got, 6);
	assert_true(x->has_trailers);
	assert_false(x->body_end);
	assert_string_equal(h2_field(&x->trailers, "grpc-status"), "0");
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(h2_nth(&w->server, 0)->reason, REASON_OK);
}

/* The trailers come long after the last byte: no empty DATA frame goes before them. */
static void trailers_after_a_pause(void **state)
{
	struct h2_world *w = *state;
	struct http_fields f;

	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "POST", "/t", false);

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	h2_respond(y, 200, false);
	h2_send_text(y, "answer", false);
	h2_world_run(w);
	http_fields_init(&f, &y->arena);
	http_fields_add(&f, STR("grpc-status"), STR("0"));
	stream_send_trailers(y->s, &f);
	h2_world_run(w);
	assert_int_equal(x->bodies, 1);
	assert_true(x->has_trailers);
	assert_false(x->ended);
	http_fields_init(&f, &x->arena);
	stream_send_trailers(x->s, &f);
	h2_world_run(w);
	assert_int_equal(x->reason, REASON_OK);
	assert_true(y->body_end);
}

static void trailers_without_a_body(void **state)
{
	struct h2_world *w = *state;
	struct http_fields f;

	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "GET", "/t", true);

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	h2_respond(y, 200, false);
	http_fields_init(&f, &y->arena);
	http_fields_add(&f, STR("grpc-status"), STR("5"));
	stream_send_trailers(y->s, &f);
	h2_world_run(w);
	assert_false(x->head_end);
	assert_int_equal(x->got, 0);
	assert_string_equal(h2_field(&x->trailers, "grpc-status"), "5");
	assert_int_equal(x->reason, REASON_OK);
}

static void interim_responses_come_first(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "POST", "/", false);

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	h2_respond(y, 100, false);
	h2_world_run(w);
	assert_int_equal(x->interims, 1);
	assert_int_equal(x->interim, 100);
	h2_pour(x, 100);
	h2_respond(y, 103, false);
	h2_respond(y, 204, true);
	h2_world_run(w);
	assert_int_equal(x->interims, 2);
	assert_int_equal(x->head.status, 204);
	assert_true(x->head_end);
	assert_int_equal(x->reason, REASON_OK);
}

static void head_has_length_and_no_body(void **state)
{
	struct h2_world *w = *state;
	struct http_head h;

	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "HEAD", "/", true);

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	http_head_init(&h, HTTP_RESPONSE, &y->arena);
	h.status = 200;
	h.length = 12345;
	stream_send_head(y->s, &h, true);
	h2_world_run(w);
	assert_int_equal(x->head.length, 12345);
	assert_true(x->head_end);
	assert_int_equal(x->reason, REASON_OK);
}

static void crumbs_of_cookies_are_joined(void **state)
{
	struct h2_world *w = *state;
	struct arena a;

	w->server.script = h2_serve_ok;
	h2_world_pair(w, false);
	arena_init(&a, NULL);
	struct http_head h = h2_request_head(&a, "GET", "/");

	http_fields_add(&h.fields, STR("cookie"), STR("a=1"));
	http_fields_add(&h.fields, STR("accept"), STR("*/*"));
	http_fields_add(&h.fields, STR("cookie"), STR("b=2; c=3"));
	http_fields_add(&h.fields, STR("cookie"), STR("d=4"));
	h2_open(&w->client, &h, true, NULL);
	arena_clear(&a);
	h2_world_run(w);
	const struct http_fields *f = &h2_nth(&w->server, 0)->head.fields;

	assert_int_equal(http_fields_count(f, STR("cookie")), 1);
	assert_string_equal(h2_field(f, "cookie"), "a=1; b=2; c=3; d=4");
	assert_string_equal(h2_field(f, "accept"), "*/*");
}

/* What a peer marked never to be indexed stays so, and secrets are marked in any case. */
static void secrets_are_never_indexed(void **state)
{
	struct h2_world *w = *state;
	struct arena a;

	w->server.script = h2_serve_ok;
	h2_world_pair(w, false);
	arena_init(&a, NULL);
	struct http_head h = h2_request_head(&a, "GET", "/");

	http_fields_add(&h.fields, STR("authorization"), STR("Bearer a-token-of-some-length"));
	http_fields_add(&h.fields, STR("cookie"), STR("session=a-cookie-of-some-length"));
	http_fields_add(&h.fields, STR("x-api-key"), STR("key"));
	h.fields.v[2].never_index = true;
	http_fields_add(&h.fields, STR("x-plain"), STR("plain"));
	h2_open(&w->client, &h, true, NULL);
	arena_clear(&a);
	h2_world_run(w);
	const struct http_fields *f = &h2_nth(&w->server, 0)->head.fields;

	for (uint32_t i = 0; i < f->n; i++)
		assert_int_equal(f->v[i].never_index, !str_eq(f->v[i].name, STR("x-plain")));
	assert_int_equal(f->n, 4);
}

/* Fields of one hop that a user of ours sets by mistake do not reach the wire. */
static void hop_by_hop_fields_are_left_out(void **state)
{
	struct h2_world *w = *state;
	struct arena a;

	w->server.script = h2_serve_ok;
	h2_world_pair(w, false);
	arena_init(&a, NULL);
	struct http_head h = h2_request_head(&a, "GET", "/");

	http_fields_add(&h.fields, STR("connection"), STR("close"));
	http_fields_add(&h.fields, STR("transfer-encoding"), STR("chunked"));
	http_fields_add(&h.fields, STR("host"), STR("elsewhere"));
	http_fields_add(&h.fields, STR("te"), STR("gzip"));
	http_fields_add(&h.fields, STR("content-length"), STR("4"));
	http_fields_add(&h.fields, STR(":path"), STR("/admin"));
	http_fields_add(&h.fields, STR("x-kept"), STR("1"));
	struct h2_x *x = h2_open(&w->client, &h, true, NULL);

	arena_clear(&a);
	h2_world_run(w);
	assert_int_equal(x->head.status, 200);
	assert_int_equal(h2_nth(&w->server, 0)->head.fields.n, 1);
	assert_true(str_eq(h2_nth(&w->server, 0)->head.path, STR("/")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		H2_TEST(request_and_response_without_body),
		H2_TEST(bodies_both_ways),
		H2_TEST(bodies_through_a_narrow_pipe),
		H2_TEST(declared_length_reaches_the_other_side),
		H2_TEST(trailers_both_ways),
		H2_TEST(trailers_after_a_pause),
		H2_TEST(trailers_without_a_body),
		H2_TEST(interim_responses_come_first),
		H2_TEST(head_has_length_and_no_body),
		H2_TEST(crumbs_of_cookies_are_joined),
		H2_TEST(secrets_are_never_indexed),
		H2_TEST(hop_by_hop_fields_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
