/*
 * Ends that are not the ordinary one, over HTTP/2: resets by either side, early responses,
 * requests that were surely not processed, connections that go away. Every reason is asserted.
 */
#include "tests/support/h2_peer.h"

static void client_cancels(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "POST", "/", false);

	h2_world_run(w);
	stream_reset(x->s, REASON_CANCELLED);
	h2_world_run(w);
	assert_int_equal(x->reason, REASON_CANCELLED);
	assert_int_equal(h2_nth(&w->server, 0)->reason, REASON_CANCELLED);
	assert_int_equal(http_conn_streams(w->client.c), 0);
	assert_int_equal(http_conn_streams(w->server.c), 0);
}

static void server_resets(void **state)
{
	struct h2_world *w = *state;
	static const struct {
		enum reason ours, theirs;
	} rows[] = {
		{REASON_UPSTREAM_RESET, REASON_UPSTREAM_RESET},
		{REASON_NOT_PROCESSED, REASON_NOT_PROCESSED},
		{REASON_CONNECT_FAILED, REASON_NOT_PROCESSED},
		{REASON_DRAINING, REASON_UPSTREAM_RESET}, /* it ends what runs */
		{REASON_TIMEOUT, REASON_UPSTREAM_RESET},
	};

	h2_world_pair(w, false);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct h2_x *x = h2_request(w, "GET", "/", true);

		h2_world_run(w);
		stream_reset(h2_nth(&w->server, i)->s, rows[i].ours);
		h2_world_run(w);
		assert_int_equal(x->reason, rows[i].theirs);
		assert_int_equal(h2_nth(&w->server, i)->reason, rows[i].ours);
	}
}

/* Cancelled in the turn in which it was opened: the request never reaches the wire. */
static void cancelled_before_it_was_written(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	stream_reset(x->s, REASON_CANCELLED);
	h2_world_run(w);
	assert_true(x->ended);
	assert_int_equal(w->server.streams, 0);
	x = h2_request(w, "GET", "/", true);
	h2_world_run(w);
	assert_int_equal(w->server.streams, 1);
}

static void opened_and_never_used(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct http_stream *s = http_conn_open(w->client.c);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	/* It borrows the recorder of the other. */
	stream_set_user(s, NULL, NULL);
	stream_reset(s, REASON_CANCELLED);
	h2_world_run(w);
	assert_false(x->ended);
	assert_int_equal(http_conn_streams(w->client.c), 1);
}

static void refuse_early(struct h2_x *x, enum h2_event event)
{
	if (event != H2_ON_HEAD)
		return;
	x->hold = true;
	h2_respond(x, 413, false);
	h2_send_text(x, "too much", true);
	stream_stop(x->s);
}

/* The answer is whole though the request is not: that is a success for both. */
static void early_response_is_a_success(void **state)
{
	struct h2_world *w = *state;

	w->server.script = refuse_early;
	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "POST", "/", false);

	h2_pour(x, 10 * 1024 * 1024);
	h2_world_run(w);
	assert_int_equal(x->head.status, 413);
	assert_int_equal(x->got, 8);
	assert_true(x->body_end);
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(h2_nth(&w->server, 0)->reason, REASON_OK);
	assert_true(x->sent < x->to_send);
	/* The connection is as good as before. */
	w->server.script = h2_serve_ok;
	x = h2_request(w, "GET", "/", true);
	h2_world_run(w);
	assert_int_equal(x->head.status, 200);
}

/* RST_STREAM NO_ERROR goes out after END_STREAM, never before (RFC 9113 8.1). */
static void stop_waits_for_our_end(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_post(&p, 1);
	h2_peer_run(&p);
	struct h2_x *y = h2_nth(&w->server, 0);

	h2_respond(y, 200, false);
	stream_stop(y->s);
	h2_peer_run(&p);
	assert_int_equal(h2_seen(&p, NGHTTP2_RST_STREAM, 1), 0);
	h2_put(&p, NGHTTP2_DATA, 0, 1, "late", 4);
	h2_peer_run(&p);
	h2_send_text(y, "done", true);
	h2_peer_run(&p);
	assert_int_equal(h2_last(&p, NGHTTP2_RST_STREAM, 1)->code, NGHTTP2_NO_ERROR);
	assert_ptr_equal(h2_last(&p, NGHTTP2_RST_STREAM, 1), &p.got[p.n_got - 1]);
	assert_int_equal(y->got, 0);
	assert_int_equal(y->reason, REASON_OK);
	h2_peer_close(&p);
}

/* Our end was already written when nothing more is wanted of the request. */
static void stop_after_our_end(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_post(&p, 1);
	h2_peer_run(&p);
	struct h2_x *y = h2_nth(&w->server, 0);

	h2_respond(y, 200, true);
	h2_peer_run(&p);
	assert_false(y->ended);
	stream_stop(y->s);
	h2_peer_run(&p);
	assert_int_equal(h2_last(&p, NGHTTP2_RST_STREAM, 1)->code, NGHTTP2_NO_ERROR);
	assert_int_equal(y->reason, REASON_OK);
	h2_peer_close(&p);
}

/* A client that wants no more of the answer, while its own request goes on. */
static void client_stops_the_answer(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	struct h2_x *x = h2_request(w, "POST", "/", false);

	h2_world_run(w);
	struct h2_x *y = h2_nth(&w->server, 0);

	x->hold = true;
	h2_respond(y, 200, false);
	h2_pour(y, 10 * 1024 * 1024);
	h2_world_run(w);
	stream_stop(x->s);
	h2_pour(x, 100000);
	h2_world_run(w);
	assert_int_equal(y->sum, h2_pattern_sum(100000));
	assert_true(y->body_end);
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(y->reason, REASON_CANCELLED);
}

static void answer_complete_then_reset_is_ok(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "POST", "/", false);

	h2_peer_run(&p);
	h2_put_ok(&p, 0, 1);
	h2_put(&p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "whole", 5);
	h2_put_u32(&p, NGHTTP2_RST_STREAM, 1, NGHTTP2_NO_ERROR);
	h2_peer_run(&p);
	assert_int_equal(x->got, 5);
	assert_true(x->body_end);
	assert_int_equal(x->reason, REASON_OK);
	h2_peer_close(&p);
}

static void answer_cut_by_reset(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	h2_put_ok(&p, 0, 1);
	h2_put(&p, NGHTTP2_DATA, 0, 1, "part", 4);
	h2_put_u32(&p, NGHTTP2_RST_STREAM, 1, NGHTTP2_NO_ERROR);
	h2_peer_run(&p);
	assert_int_equal(x->got, 4);
	assert_int_equal(x->reason, REASON_UPSTREAM_RESET);
	h2_peer_close(&p);
}

/* The connection breaks with one answer whole, one cut. */
static void server_closes(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "POST", "/", false);
	struct h2_x *y = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	h2_put_ok(&p, NGHTTP2_FLAG_END_STREAM, 1);
	h2_put_ok(&p, 0, 3);
	h2_peer_run(&p);
	io_shutdown(p.io);
	h2_world_run(w);
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(y->reason, REASON_UPSTREAM_CLOSED);
	assert_int_equal(w->client.ends, 1);
	assert_int_equal(w->client.reason, REASON_UPSTREAM_CLOSED);
	h2_peer_close(&p);
}

static void client_closes(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_get(&p, 1);
	h2_peer_run(&p);
	io_shutdown(p.io);
	h2_world_run(w);
	assert_int_equal(h2_nth(&w->server, 0)->reason, REASON_CLOSED);
	h2_peer_run(&p);
	assert_int_equal(h2_last(&p, NGHTTP2_GOAWAY, 0)->last, 1);
	assert_int_equal(w->server.ends, 1);
	h2_peer_close(&p);
}

/* Requests that wait for room on the wire were not seen by anyone. */
static void closed_before_the_request_was_written(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->limits.max_streams = 1000;
	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	h2_put_settings(&p, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1);
	io_shutdown(p.io);
	struct h2_x *y = h2_request(w, "GET", "/", true);

	assert_non_null(x);
	assert_non_null(y);
	h2_world_run(w);
	assert_int_equal(x->reason, REASON_UPSTREAM_CLOSED);
	assert_int_equal(w->client.ends, 1);
	h2_peer_close(&p);
}

/* The answer is written whole, the client wants to send no more of its request. */
static void client_resets_without_error_after_the_answer(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_post(&p, 1);
	h2_put_post(&p, 3);
	h2_peer_run(&p);
	h2_respond(h2_nth(&w->server, 0), 200, true);
	h2_respond(h2_nth(&w->server, 1), 200, true);
	h2_peer_run(&p);
	h2_put_u32(&p, NGHTTP2_RST_STREAM, 1, NGHTTP2_NO_ERROR);
	h2_put_u32(&p, NGHTTP2_RST_STREAM, 3, NGHTTP2_CANCEL);
	h2_peer_run(&p);
	assert_int_equal(h2_nth(&w->server, 0)->reason, REASON_OK);
	assert_int_equal(h2_nth(&w->server, 1)->reason, REASON_CANCELLED);
	h2_peer_close(&p);
}

/* The body of an answer is not wanted before its head came: the head is told all the same. */
static void stop_before_the_head(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	stream_stop(x->s);
	h2_peer_run(&p);
	assert_int_equal(h2_seen(&p, NGHTTP2_RST_STREAM, 1), 0);
	h2_put_ok(&p, 0, 1);
	h2_put(&p, NGHTTP2_DATA, 0, 1, "unwanted", 8);
	h2_peer_run(&p);
	assert_int_equal(x->head.status, 200);
	assert_int_equal(x->got, 0);
	assert_int_equal(h2_last(&p, NGHTTP2_RST_STREAM, 1)->code, NGHTTP2_CANCEL);
	assert_int_equal(x->reason, REASON_OK);
	h2_peer_close(&p);
}

static void goaway_after_stop_is_no_success(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "HEAD", "/", true);

	stream_stop(x->s);
	h2_peer_run(&p);
	h2_put(&p, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0", 8);
	h2_peer_run(&p);
	assert_int_equal(x->reason, REASON_NOT_PROCESSED);
	h2_peer_close(&p);
}

/* What was queued for a stream lies in its arena: none of it is encoded when the stream is gone. */
static void reset_while_heads_wait(void **state)
{
	struct h2_world *w = *state;
	static const enum reason reasons[] = {
		REASON_HEADERS_TOO_LARGE, REASON_UNSUPPORTED, REASON_CANCELLED};
	struct h2_peer p;

	w->pipe = 64;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	for (unsigned i = 0; i < 3; i++) {
		h2_put_get(&p, 1 + 4 * (int32_t)i);
		h2_put_get(&p, 3 + 4 * (int32_t)i);
		h2_peer_run(&p);
		p.deaf = true;
		h2_respond(h2_nth(&w->server, 2 * i), 200, false);
		h2_pour(h2_nth(&w->server, 2 * i), 1000);
		h2_world_run(w);
		struct h2_x *y = h2_nth(&w->server, 2 * i + 1);

		h2_respond(y, 103, false);
		if (i > 0)
			h2_respond(y, 200, false);
		stream_reset(y->s, reasons[i]);
		h2_world_run(w);
		assert_true(y->ended);
		p.deaf = false;
		h2_peer_run(&p);
		assert_int_equal(h2_seen(&p, NGHTTP2_HEADERS, 3 + 4 * (int32_t)i), 0);
		assert_int_equal(h2_seen(&p, NGHTTP2_RST_STREAM, 3 + 4 * (int32_t)i), 1);
	}
	h2_peer_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		H2_TEST(client_cancels),
		H2_TEST(server_resets),
		H2_TEST(cancelled_before_it_was_written),
		H2_TEST(opened_and_never_used),
		H2_TEST(early_response_is_a_success),
		H2_TEST(stop_waits_for_our_end),
		H2_TEST(stop_after_our_end),
		H2_TEST(client_stops_the_answer),
		H2_TEST(answer_complete_then_reset_is_ok),
		H2_TEST(answer_cut_by_reset),
		H2_TEST(server_closes),
		H2_TEST(client_closes),
		H2_TEST(closed_before_the_request_was_written),
		H2_TEST(client_resets_without_error_after_the_answer),
		H2_TEST(stop_before_the_head),
		H2_TEST(goaway_after_stop_is_no_success),
		H2_TEST(reset_while_heads_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
