/*
 * Bounds that hold for every HTTP/2 peer, trusted or not: streams that are not freed yet, answers
 * that are not written yet, memory of the session, heads that cannot be sent. Reading rests, or the
 * stream or the session ends; nothing grows.
 */
#include <string.h>

#include "lib/http/h2.h"
#include "tests/support/h2_peer.h"

/* A shared session may be reset as often as it likes, in one turn too; it waits for us then. */
static void resets_in_one_turn(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->server.script = h2_serve_ok;
	w->pipe = 2 * 1024 * 1024;
	h2_world_server(w, true);
	h2_peer_client(&p, w);
	for (int32_t i = 0; i < 10000; i++) {
		h2_put_post(&p, 1 + 2 * i);
		h2_put_u32(&p, NGHTTP2_RST_STREAM, 1 + 2 * i, NGHTTP2_CANCEL);
	}
	h2_put_get(&p, 20001);
	h2_peer_run(&p);
	assert_int_equal(w->server.streams, 10001);
	assert_in_range(w->server.most, 100, 2 * w->limits.max_streams + 17);
	assert_int_equal(h2_status(&p, 20001), 200);
	h2_peer_close(&p);
}

/* Refusals pile up while nobody reads them: input waits, and goes on when they are read. */
static void answers_that_nobody_reads(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->pipe = 4096;
	w->limits.control_frames = 50;
	w->limits.max_streams = 10;
	h2_world_server(w, true);
	h2_peer_client_mute(&p, w);
	p.deaf = true;
	for (int32_t i = 0; i < 3000; i++)
		h2_put_post(&p, 1 + 2 * i);
	h2_peer_run(&p);
	struct h2 *h = h2_of(w->server.c);

	assert_true(h->intake.pressed);
	assert_in_range(nghttp2_session_get_outbound_queue_size(h->session), 100, 300);
	assert_true(buf_len(&p.out) > 0);
	assert_true(h->mem.used < 200 * 1024);
	p.deaf = false;
	h2_peer_run(&p);
	assert_int_equal(buf_len(&p.out), 0);
	assert_false(h->intake.pressed);
	assert_int_equal(h2_seen(&p, NGHTTP2_RST_STREAM, -1), 2990);
	h2_peer_close(&p);
}

/* Whatever a peer finds to fill a session with, there is an end to it. */
static void memory_of_a_session_is_bounded(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, true);
	h2_peer_client(&p, w);
	struct h2 *h = h2_of(w->server.c);

	h->mem.max = h->mem.used + 4000;
	for (int32_t i = 0; i < 90; i++)
		h2_put_post(&p, 1 + 2 * i);
	h2_peer_run(&p);
	assert_int_equal(h2_last(&p, NGHTTP2_GOAWAY, 0)->code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_true(p.closed);
	h2_peer_close(&p);
	h2_world_run(w);
	assert_int_equal(w->server.ends, 1);
	assert_int_equal(w->server.reason, REASON_FLOOD);
	assert_string_equal(w->server.detail, "too much state in one session");
}

/* The same when it is our own call that finds no room. */
static void memory_runs_out_while_we_send(void **state)
{
	struct h2_world *w = *state;

	for (size_t room = 0; room < 3000; room += 64) {
		struct h2_world v;

		h2_world_open(&v);
		v.server.script = h2_serve_echo;
		h2_world_pair(&v, true);
		struct h2 *h = h2_of(v.client.c);

		h->mem.max = h->mem.used + room;
		for (unsigned i = 0; i < 3 && v.client.c != NULL; i++) {
			struct h2_x *x = h2_request(&v, "POST", "/", false);
			struct http_fields f;

			if (x == NULL || x->s == NULL || x->ended)
				break;
			http_fields_init(&f, &x->arena);
			http_fields_add(&f, STR("x"), STR("y"));
			h2_send_text(x, "body", false);
			h2_world_run(&v);
			if (x->s != NULL)
				stream_send_trailers(x->s, &f);
			h2_world_run(&v);
		}
		/* INTERNAL where it was the encoder of heads. */
		if (v.client.ends > 0 && v.client.reason != REASON_INTERNAL)
			assert_int_equal(v.client.reason, REASON_UPSTREAM_PROTOCOL);
		h2_world_close(&v);
	}
	h2_world_pair(w, true);
}

/* A head that no peer of ours would take does not reach the wire, nor break the session. */
static void head_too_large_to_be_sent(void **state)
{
	struct h2_world *w = *state;
	struct arena a;

	w->limits.header_bytes = 1000;
	w->server.script = h2_serve_ok;
	h2_world_pair(w, true);
	arena_init(&a, NULL);
	struct http_head h = h2_request_head(&a, "GET", "/");
	char *large = arena_alloc(&a, 80000);

	memset(large, 'x', 80000);
	http_fields_add(&h.fields, STR("x-large"), str_make(large, 80000));
	struct h2_x *x = h2_open(&w->client, &h, true, NULL);
	struct h2_x *y = h2_request(w, "GET", "/", true);

	h2_world_run(w);
	assert_int_equal(x->reason, REASON_INTERNAL);
	assert_int_equal(y->reason, REASON_OK);
	w->server.script = NULL;
	x = h2_request(w, "GET", "/", true);
	h2_world_run(w);
	struct h2_x *z = h2_nth(&w->server, 1);

	http_head_init(&h, HTTP_RESPONSE, &a);
	h.status = 200;
	h.length = HTTP_LENGTH_UNKNOWN;
	http_fields_add(&h.fields, STR("x-large"), str_make(large, 80000));
	stream_send_head(z->s, &h, false);
	h2_world_run(w);
	assert_int_equal(z->reason, REASON_INTERNAL);
	assert_int_equal(x->reason, REASON_UPSTREAM_RESET);
	assert_int_equal(w->client.ends + w->server.ends, 0);
	arena_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		H2_TEST(resets_in_one_turn),
		H2_TEST(answers_that_nobody_reads),
		H2_TEST(memory_of_a_session_is_bounded),
		H2_TEST(memory_runs_out_while_we_send),
		H2_TEST(head_too_large_to_be_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
