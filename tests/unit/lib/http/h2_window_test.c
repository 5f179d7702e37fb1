/*
 * Flow control and sharing over HTTP/2: a slow stream holds up nobody else, windows bound what may
 * wait, many streams take turns, room follows both sides' limits.
 */
#include "tests/support/h2_peer.h"

static void a_slow_stream_stalls_no_sibling(void **state)
{
	struct h2_world *w = *state;
	enum { N = 99 };
	struct h2_x *x[N];

	w->limits.conn_window = 512 * 1024;
	w->server.script = h2_serve_echo;
	h2_world_pair(w, true);
	struct h2_x *slow = h2_request(w, "POST", "/slow", false);

	h2_world_run(w);
	struct h2_x *slow_y = h2_nth(&w->server, 0);

	slow_y->hold = true;
	h2_pour(slow, 8 * 1024 * 1024);
	for (unsigned i = 0; i < N; i++) {
		x[i] = h2_request(w, "POST", "/", false);
		assert_non_null(x[i]);
		h2_pour(x[i], 100000 + i);
	}
	assert_null(http_conn_open(w->client.c));
	h2_world_run(w);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(x[i]->reason, REASON_OK);
		assert_int_equal(x[i]->sum, h2_pattern_sum(100000 + i));
	}
	/* What waits unconsumed never exceeds the window of that stream. */
	assert_int_equal(slow_y->got, w->limits.stream_window);
	assert_true(slow->sent <= slow_y->got + w->limits.send_high + 5000);
	h2_release_held(slow_y);
	h2_world_run(w);
	assert_int_equal(slow->sum, h2_pattern_sum(8 * 1024 * 1024));
	assert_int_equal(slow->reason, REASON_OK);
}

static void a_slow_reader_of_answers_stalls_no_sibling(void **state)
{
	struct h2_world *w = *state;

	w->limits.conn_window = 300 * 1024;
	h2_world_pair(w, true);
	struct h2_x *slow = h2_request(w, "GET", "/slow", true);

	slow->hold = true;
	h2_world_run(w);
	h2_respond(h2_nth(&w->server, 0), 200, false);
	h2_pour(h2_nth(&w->server, 0), 4 * 1024 * 1024);
	for (unsigned i = 1; i < 20; i++) {
		struct h2_x *x = h2_request(w, "GET", "/", true);

		h2_world_run(w);
		h2_respond(h2_nth(&w->server, i), 200, false);
		h2_pour(h2_nth(&w->server, i), 500000);
		h2_world_run(w);
		assert_int_equal(x->sum, h2_pattern_sum(500000));
		assert_int_equal(x->reason, REASON_OK);
	}
	assert_int_equal(slow->got, w->limits.stream_window);
	h2_release_held(slow);
	h2_world_run(w);
	assert_int_equal(slow->reason, REASON_OK);
}

/* Consuming in small steps gives the window back in large ones. */
static void window_updates_are_few(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	static const uint8_t block[1000];

	w->limits.stream_window = 64 * 1024 - 1;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	size_t before = h2_seen(&p, NGHTTP2_WINDOW_UPDATE, 0);

	h2_put_post(&p, 1);
	for (unsigned i = 0; i < 200; i++) {
		h2_put(&p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
		if (i % 30 == 29)
			h2_peer_run(&p);
	}
	h2_peer_run(&p);
	assert_int_equal(h2_nth(&w->server, 0)->got, 200000);
	size_t stream = h2_seen(&p, NGHTTP2_WINDOW_UPDATE, 1);
	size_t conn = h2_seen(&p, NGHTTP2_WINDOW_UPDATE, 0) - before;

	assert_in_range(stream, 3, 7);
	assert_in_range(conn, 0, 1);
	h2_peer_close(&p);
}

/* Our settings as the peer sees them; the connection's window opens beyond 65535 at once. */
static void windows_are_announced(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	assert_int_equal(p.got[0].type, NGHTTP2_SETTINGS);
	assert_int_equal(p.got[0].length, 5 * 6);
	assert_int_equal(h2_last(&p, NGHTTP2_WINDOW_UPDATE, 0)->code,
		w->limits.conn_window - NGHTTP2_INITIAL_WINDOW_SIZE);
	h2_peer_close(&p);
}

/* The peer's window is what we send into, and no byte more. */
static void the_peers_windows_are_kept(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_settings(&p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000);
	h2_put_get(&p, 1);
	h2_put_get(&p, 3);
	h2_peer_run(&p);
	h2_respond(h2_nth(&w->server, 0), 200, false);
	h2_pour(h2_nth(&w->server, 0), 100000);
	h2_respond(h2_nth(&w->server, 1), 200, false);
	h2_pour(h2_nth(&w->server, 1), 100000);
	h2_peer_run(&p);
	assert_int_equal(p.data_bytes, 2000);
	h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 3, 20000);
	h2_peer_run(&p);
	assert_int_equal(p.data_bytes, 22000);
	/* A smaller initial window makes the windows of open streams negative. */
	h2_put_settings(&p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
	h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 1, 900);
	h2_peer_run(&p);
	assert_int_equal(p.data_bytes, 22000);
	h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 1, 1100);
	h2_peer_run(&p);
	assert_int_equal(p.data_bytes, 23000);
	/* Now the connection's window is what is short. */
	h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 1, 1 << 20);
	h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 3, 1 << 20);
	h2_peer_run(&p);
	assert_int_equal(p.data_bytes, 65535);
	h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 0, 1 << 20);
	h2_peer_run(&p);
	assert_int_equal(p.data_bytes, 200000);
	assert_int_equal(h2_nth(&w->server, 0)->reason, REASON_OK);
	assert_int_equal(h2_nth(&w->server, 1)->reason, REASON_OK);
	h2_peer_close(&p);
}

static unsigned switches(const struct h2_peer *p)
{
	unsigned n = 0;
	int32_t last = 0;

	for (size_t i = 0; i < p->n_got; i++) {
		if (p->got[i].type != NGHTTP2_DATA)
			continue;
		n += p->got[i].id != last;
		last = p->got[i].id;
	}
	return n;
}

/* Two large bodies at once go frame by frame in turn, in both roles. */
static void streams_take_turns(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->limits.send_high = 1 << 20;
	h2_world_client(w, false);
	h2_peer_server(&p, w);
	h2_put_settings(&p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20);
	h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 0, 1 << 22);
	h2_peer_run(&p);
	h2_pour(h2_request(w, "POST", "/1", false), 800000);
	h2_pour(h2_request(w, "POST", "/2", false), 800000);
	h2_peer_run(&p);
	assert_int_equal(p.data_bytes, 1600000);
	assert_true(switches(&p) > 80);
	h2_peer_close(&p);
}

/* Little ones are not behind a large one. */
static void a_large_body_lets_small_ones_pass(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->limits.send_high = 1 << 20;
	w->pipe = 64 * 1024;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_settings(&p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 22);
	h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 0, 1 << 24);
	h2_put_get(&p, 1);
	h2_put_get(&p, 3);
	h2_peer_run(&p);
	p.deaf = true;
	h2_respond(h2_nth(&w->server, 0), 200, false);
	h2_pour(h2_nth(&w->server, 0), 3000000);
	h2_peer_run(&p);
	h2_respond(h2_nth(&w->server, 1), 200, false);
	h2_send_text(h2_nth(&w->server, 1), "small", true);
	p.deaf = false;
	h2_peer_run(&p);
	assert_int_equal(p.data_bytes, 3000005);
	size_t large_after = 0;
	const struct h2_got *small = h2_last(&p, NGHTTP2_DATA, 3);

	for (const struct h2_got *g = small; g < p.got + p.n_got; g++)
		large_after += g->type == NGHTTP2_DATA && g->id == 1 ? g->length : 0;
	/* Before it: what was in the pipe and on the wire buffer. */
	assert_true(large_after > 3000000 - 64 * 1024 - 256 * 1024 - 2 * 16384 - 65536);
	h2_peer_close(&p);
}

static void room_follows_both_limits(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->limits.max_streams = 150;
	h2_world_client(w, false);
	/* What every server grants before it says otherwise. */
	assert_int_equal(http_conn_room(w->client.c), 100);
	h2_peer_server(&p, w);
	assert_int_equal(http_conn_room(w->client.c), 150);
	h2_put_settings(&p, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2);
	h2_peer_run(&p);
	assert_int_equal(http_conn_room(w->client.c), 2);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	h2_request(w, "GET", "/", true);
	assert_int_equal(http_conn_room(w->client.c), 0);
	assert_null(h2_request(w, "GET", "/", true));
	h2_peer_run(&p);
	unsigned rooms = w->client.rooms;

	h2_put_ok(&p, NGHTTP2_FLAG_END_STREAM, 1);
	h2_peer_run(&p);
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(http_conn_room(w->client.c), 1);
	assert_int_equal(w->client.rooms, rooms + 1);
	/* Less than what is open. */
	h2_put_settings(&p, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
	h2_peer_run(&p);
	assert_int_equal(http_conn_room(w->client.c), 0);
	h2_peer_close(&p);
}

/* A reset stream is room at once, though its RST_STREAM is still to be written. */
static void reset_makes_room(void **state)
{
	struct h2_world *w = *state;

	w->limits.max_streams = 1;
	w->server.script = h2_serve_ok;
	h2_world_pair(w, false);
	for (unsigned i = 0; i < 50; i++) {
		struct h2_x *x = h2_request(w, "POST", "/", false);

		h2_world_run(w);
		stream_reset(x->s, REASON_CANCELLED);
		x = h2_request(w, "GET", "/", true);
		assert_non_null(x);
		h2_world_run(w);
		assert_int_equal(x->head.status, 200);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		H2_TEST(a_slow_stream_stalls_no_sibling),
		H2_TEST(a_slow_reader_of_answers_stalls_no_sibling),
		H2_TEST(window_updates_are_few),
		H2_TEST(windows_are_announced),
		H2_TEST(the_peers_windows_are_kept),
		H2_TEST(streams_take_turns),
		H2_TEST(a_large_body_lets_small_ones_pass),
		H2_TEST(room_follows_both_limits),
		H2_TEST(reset_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
