/*
 * What an untrusted HTTP/2 client may not do to us, as frames: rapid resets, forced resets, floods
 * of frames that carry nothing, header blocks without end, an HPACK bomb. Each ends the connection
 * with a named reason and in bounded memory; the same on a shared session leaves siblings alone.
 */
#include "lib/http/h2.h"
#include "tests/support/h2_peer.h"

#include <string.h>

#include "lib/base/alloc.h"

/* Bufs that a connection under attack may hold, beyond the pipe itself. */
#define BUFS_MAX (2u << 20)

static void grow(struct h2_peer *p)
{
	struct h2_world *w = p->w;

	assert_true(buf_pool_used(w->bufs) < BUFS_MAX + 2 * w->pipe + 2 * buf_len(&p->out));
	if (w->server.c != NULL)
		assert_true(h2_of(w->server.c)->mem.used < 2u << 20);
}

/* Sends n rounds of what fn puts, watching memory. */
static void flood(struct h2_peer *p, unsigned n, void (*fn)(struct h2_peer *p, unsigned i))
{
	for (unsigned i = 0; i < n && !p->closed && p->w->server.c != NULL; i++) {
		fn(p, i);
		if (i % 64 == 63) {
			h2_peer_run(p);
			grow(p);
		}
	}
	h2_peer_run(p);
}

static void expect_calm(struct h2_peer *p)
{
	struct h2_world *w = p->w;
	const struct h2_got *g = h2_last(p, NGHTTP2_GOAWAY, 0);

	assert_non_null(g);
	assert_int_equal(g->code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_true(p->closed);
	loop_sim_advance(w->loop, 5 * NS_PER_S);
	assert_int_equal(w->server.ends, 1);
	assert_int_equal(w->server.reason, REASON_FLOOD);
}

static void attack(struct h2_world *w, unsigned n, void (*fn)(struct h2_peer *p, unsigned i))
{
	struct h2_peer p;

	w->server.script = NULL;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	flood(&p, n, fn);
	expect_calm(&p);
	h2_peer_close(&p);
}

/* -- resets -- */

static void put_rapid_reset(struct h2_peer *p, unsigned i)
{
	int32_t id = 1 + 2 * (int32_t)i;

	h2_put_get(p, id);
	h2_put_u32(p, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
}

static void rapid_reset(void **state)
{
	struct h2_world *w = *state;

	attack(w, 10000, put_rapid_reset);
	/* The burst, and the rest of the piece of input in which it ended. */
	assert_in_range(w->server.streams, 200, 400);
}

/* All at once, so that nothing can be freed in between. */
static void rapid_reset_in_one_turn(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	for (unsigned i = 0; i < 10000; i++)
		put_rapid_reset(&p, i);
	h2_peer_run(&p);
	expect_calm(&p);
	assert_true(w->server.streams < 400);
	h2_peer_close(&p);
}

static void cancels_at_an_honest_rate(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	for (unsigned i = 0; i < 1000; i++) {
		put_rapid_reset(&p, i);
		h2_peer_run(&p);
		loop_sim_advance(w->loop, NS_PER_S / 30);
	}
	assert_int_equal(w->server.ends, 0);
	assert_int_equal(w->server.streams, 1000);
	h2_peer_close(&p);
}

static void put_window_update_of_nothing(struct h2_peer *p, unsigned i)
{
	h2_put_get(p, 1 + 2 * (int32_t)i);
	h2_put_u32(p, NGHTTP2_WINDOW_UPDATE, 1 + 2 * (int32_t)i, 0);
}

static void put_window_overflow(struct h2_peer *p, unsigned i)
{
	h2_put_get(p, 1 + 2 * (int32_t)i);
	h2_put_u32(p, NGHTTP2_WINDOW_UPDATE, 1 + 2 * (int32_t)i, INT32_MAX);
}

static void put_data_after_end(struct h2_peer *p, unsigned i)
{
	h2_put_get(p, 1 + 2 * (int32_t)i);
	h2_put(p, NGHTTP2_DATA, 0, 1 + 2 * (int32_t)i, "more", 4);
}

static void put_headers_after_end(struct h2_peer *p, unsigned i)
{
	h2_put_get(p, 1 + 2 * (int32_t)i);
	h2_put_get(p, 1 + 2 * (int32_t)i);
}

static void put_priority_of_wrong_size(struct h2_peer *p, unsigned i)
{
	h2_put_get(p, 1 + 2 * (int32_t)i);
	h2_put(p, NGHTTP2_PRIORITY, 0, 1 + 2 * (int32_t)i, "1234", 4);
}

static void put_upper_case(struct h2_peer *p, unsigned i)
{
	static const char *const fields[] = {":method", "GET", ":scheme", "https", ":path", "/",
		":authority", "svc.test", "X-Upper", "1", NULL};

	h2_put_headers(p, NGHTTP2_FLAG_END_HEADERS, 1 + 2 * (int32_t)i, fields);
}

static void put_body_too_long(struct h2_peer *p, unsigned i)
{
	static const char *const fields[] = {":method", "POST", ":scheme", "https", ":path", "/",
		":authority", "svc.test", "content-length", "1", NULL};

	h2_put_headers(p, NGHTTP2_FLAG_END_HEADERS, 1 + 2 * (int32_t)i, fields);
	h2_put(p, NGHTTP2_DATA, 0, 1 + 2 * (int32_t)i, "22", 2);
}

/* The peer makes us reset (CVE-2025-8671): counted as if it had done so itself. */
static void forced_resets(void **state)
{
	static void (*const kinds[])(struct h2_peer *p, unsigned i) = {put_window_update_of_nothing,
		put_window_overflow, put_data_after_end, put_headers_after_end,
		put_priority_of_wrong_size, put_upper_case, put_body_too_long};

	(void)state;
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct h2_world w;

		h2_world_open(&w);
		attack(&w, 10000, kinds[k]);
		assert_in_range(w.server.streams, 200, 300);
		h2_world_close(&w);
	}
}

/* -- frames that carry nothing -- */

static void put_ping(struct h2_peer *p, unsigned i)
{
	(void)i;
	h2_put(p, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void put_settings(struct h2_peer *p, unsigned i)
{
	(void)i;
	h2_put(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void put_priority(struct h2_peer *p, unsigned i)
{
	h2_put(p, NGHTTP2_PRIORITY, 0, 1 + 2 * (int32_t)i, "\0\0\0\0\1", 5);
}

static void put_empty_data(struct h2_peer *p, unsigned i)
{
	if (i == 0)
		h2_put_post(p, 1);
	h2_put(p, NGHTTP2_DATA, 0, 1, NULL, 0);
}

static void put_padding(struct h2_peer *p, unsigned i)
{
	if (i == 0)
		h2_put_post(p, 1);
	h2_put(p, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\3\0\0\0", 4);
}

static void put_window_update(struct h2_peer *p, unsigned i)
{
	(void)i;
	h2_put_u32(p, NGHTTP2_WINDOW_UPDATE, 0, 1);
}

static void put_stream_window_update(struct h2_peer *p, unsigned i)
{
	if (i == 0)
		h2_put_post(p, 1);
	h2_put_u32(p, NGHTTP2_WINDOW_UPDATE, 1, 1);
}

static void put_unknown(struct h2_peer *p, unsigned i)
{
	(void)i;
	h2_put(p, 0x42, 0xff, 7, "grease", 6);
}

static void put_stray_reset(struct h2_peer *p, unsigned i)
{
	if (i == 0)
		put_rapid_reset(p, 0);
	h2_put_u32(p, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
}

static void floods(void **state)
{
	static void (*const kinds[])(struct h2_peer *p, unsigned i) = {put_ping, put_settings,
		put_priority, put_empty_data, put_window_update, put_stream_window_update,
		put_unknown, put_stray_reset, put_padding};

	(void)state;
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct h2_world w;

		h2_world_open(&w);
		attack(&w, 100000, kinds[k]);
		h2_world_close(&w);
	}
}

/* The same from a peer that never reads what we answer: an end, in bounded memory. */
static void floods_of_a_deaf_peer(void **state)
{
	static void (*const kinds[])(struct h2_peer *p, unsigned i) = {put_ping, put_settings,
		put_rapid_reset, put_window_update_of_nothing, put_upper_case, put_data_after_end,
		put_empty_data};

	(void)state;
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct h2_world w;
		struct h2_peer p;

		h2_world_open(&w);
		w.pipe = 4096;
		/* Only the bound on answers that wait shall hold here. */
		w.limits.glitch_burst = 1u << 30;
		w.limits.reset_burst = 1u << 30;
		h2_world_server(&w, false);
		h2_peer_client(&p, &w);
		p.deaf = true;
		flood(&p, 50000, kinds[k]);
		grow(&p);
		loop_sim_advance(w.loop, w.limits.flush_timeout + NS_PER_S);
		flood(&p, 10, kinds[k]);
		loop_sim_advance(w.loop, w.limits.flush_timeout + NS_PER_S);
		if (kinds[k] != put_empty_data)
			assert_int_equal(w.server.ends, 1);
		h2_peer_close(&p);
		h2_world_close(&w);
	}
}

/* A trickle of windows, so that each byte costs a frame. */
static void slivers(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_settings(&p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
	h2_put_get(&p, 1);
	h2_peer_run(&p);
	h2_respond(h2_nth(&w->server, 0), 200, false);
	h2_pour(h2_nth(&w->server, 0), 100000);
	flood(&p, 100000, put_stream_window_update);
	expect_calm(&p);
	h2_peer_close(&p);
}

/* What honest clients send for much data is explained by it. */
static void window_updates_for_each_frame(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	size_t seen = 0;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_get(&p, 1);
	h2_peer_run(&p);
	h2_respond(h2_nth(&w->server, 0), 200, false);
	h2_pour(h2_nth(&w->server, 0), 100 * 1024 * 1024);
	while (!h2_nth(&w->server, 0)->ended && w->server.ends == 0) {
		for (; seen < p.n_got; seen++) {
			if (p.got[seen].type != NGHTTP2_DATA || p.got[seen].length == 0)
				continue;
			h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 0, p.got[seen].length);
			h2_put_u32(&p, NGHTTP2_WINDOW_UPDATE, 1, p.got[seen].length);
			put_ping(&p, 0);
		}
		h2_peer_run(&p);
	}
	assert_int_equal(w->server.ends, 0);
	assert_int_equal(p.data_bytes, 100 * 1024 * 1024);
	h2_peer_close(&p);
}

/* -- header blocks -- */

static void continuation_without_end(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put(&p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, NULL, 0);
	for (unsigned i = 0; i < 1000; i++)
		h2_put(&p, NGHTTP2_CONTINUATION, 0, 1, "\x10\1a\1b", 5);
	h2_peer_run(&p);
	expect_calm(&p);
	assert_string_equal(w->server.detail, "too many CONTINUATION frames");
	h2_peer_close(&p);
}

static void settings_without_end(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	uint8_t many[6 * 1000];

	for (size_t i = 0; i < sizeof(many); i += 6)
		memcpy(many + i, "\0\x04\0\0\xff\xff", 6);
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put(&p, NGHTTP2_SETTINGS, 0, 0, many, sizeof(many));
	h2_peer_run(&p);
	expect_calm(&p);
	h2_peer_close(&p);
}

/* A field of 4000 bytes in the table, and a block of references to it. */
static void put_bomb(struct h2_peer *p, int32_t id, size_t references)
{
	struct buf b;
	char *block;
	size_t n;

	buf_init(&b, p->w->bufs);
	/* :method GET, :scheme https, :path / from the static table; then a literal, indexed. */
	buf_append(&b, "\x82\x87\x84\x41\1a", 6);
	buf_append(&b, "\x40\1a\x7f\xa1\x1e", 6);
	for (unsigned i = 0; i < 4000; i++)
		buf_append(&b, "b", 1);
	for (size_t i = 0; i < references; i++)
		buf_append(&b, "\xbe", 1);
	n = buf_len(&b);
	block = mem_alloc(n);
	buf_copy_out(&b, 0, block, n);
	buf_clear(&b);
	h2_put(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, block,
		n);
	mem_free(block);
}

static void hpack_bomb(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->server.script = h2_serve_ok;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	put_bomb(&p, 1, 12000);
	h2_put_get(&p, 3);
	h2_peer_run(&p);
	struct h2_x *y = h2_nth(&w->server, 0);

	assert_int_equal(y->reason, REASON_HEADERS_TOO_LARGE);
	assert_int_equal(y->heads, 0);
	assert_int_equal(h2_last(&p, NGHTTP2_RST_STREAM, 1)->code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(h2_status(&p, 3), 200);
	grow(&p);
	for (int32_t id = 5; id < 2000 && w->server.ends == 0 && !p.closed; id += 2) {
		put_bomb(&p, id, 12000);
		h2_peer_run(&p);
	}
	expect_calm(&p);
	h2_peer_close(&p);
}

/* Streams beyond the limit that the peer has acknowledged. */
static void put_more_streams(struct h2_peer *p, unsigned i)
{
	h2_put_post(p, 1 + 2 * (int32_t)i);
}

static void streams_beyond_the_limit(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	flood(&p, 5000, put_more_streams);
	assert_int_equal(w->server.streams, w->limits.max_streams);
	assert_int_equal(w->server.ends, 0);
	loop_sim_advance(w->loop, 5 * NS_PER_S);
	assert_int_equal(w->server.ends, 1);
	h2_peer_close(&p);
}

/* The same from one that acknowledges nothing: refused one by one, and counted. */
static void streams_beyond_the_limit_unacknowledged(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client_mute(&p, w);
	flood(&p, 150, put_more_streams);
	assert_int_equal(w->server.streams, w->limits.max_streams);
	assert_int_equal(h2_seen(&p, NGHTTP2_RST_STREAM, -1), 50);
	assert_int_equal(h2_last(&p, NGHTTP2_RST_STREAM, -1)->code, NGHTTP2_REFUSED_STREAM);
	for (unsigned i = 150; i < 5000 && !p.closed; i++) {
		put_more_streams(&p, i);
		h2_peer_run(&p);
	}
	expect_calm(&p);
	h2_peer_close(&p);
}

/* -- a session that many share is not ended by its counters -- */

static void shared_sessions_are_not_limited(void **state)
{
	static void (*const kinds[])(struct h2_peer *p, unsigned i) = {put_rapid_reset, put_ping,
		put_window_update, put_priority, put_unknown, put_upper_case, put_body_too_long,
		put_window_overflow, put_data_after_end};

	(void)state;
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct h2_world w;
		struct h2_peer p;

		h2_world_open(&w);
		h2_world_server(&w, true);
		h2_peer_client(&p, &w);
		flood(&p, 20000, kinds[k]);
		w.server.script = h2_serve_ok;
		h2_put_get(&p, 100001);
		h2_peer_run(&p);
		assert_int_equal(h2_status(&p, 100001), 200);
		assert_int_equal(w.server.ends, 0);
		h2_peer_close(&p);
		h2_world_close(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		H2_TEST(rapid_reset),
		H2_TEST(rapid_reset_in_one_turn),
		H2_TEST(cancels_at_an_honest_rate),
		H2_TEST(forced_resets),
		H2_TEST(floods),
		H2_TEST(floods_of_a_deaf_peer),
		H2_TEST(slivers),
		H2_TEST(window_updates_for_each_frame),
		H2_TEST(continuation_without_end),
		H2_TEST(settings_without_end),
		H2_TEST(hpack_bomb),
		H2_TEST(streams_beyond_the_limit),
		H2_TEST(streams_beyond_the_limit_unacknowledged),
		H2_TEST(shared_sessions_are_not_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
