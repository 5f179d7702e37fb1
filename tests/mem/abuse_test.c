/*
 * One client misbehaves, in HTTP/2 frames of its own making or in HTTP/1 bytes: it pays for that,
 * and nobody else who shares the sidecars and their connections notices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/h2_peer.h"
#include "tests/support/mesh_pair.h"

/* A peer that speaks HTTP/2 frame by frame, as an application of the client pod. */
struct bad {
	struct h2_world w; /* no more than what a peer needs of it */
	struct h2_peer peer;
};

static void bad_open(struct bad *b, struct pair *p)
{
	memset(b, 0, sizeof(*b));
	b->w.loop = p->m.w.loop;
	b->w.bufs = p->m.w.bufs;
	b->w.io[0] = mesh_dial(&p->m, p->client, mesh_vip(&p->m));
	assert_non_null(b->w.io[0]);
	h2_peer_client(&b->peer, &b->w);
	h2_peer_run(&b->peer);
}

static void bad_close(struct bad *b, struct pair *p)
{
	h2_peer_close(&b->peer);
	io_close(&b->w.io[0], true);
	mesh_settle(&p->m);
}

/* Neighbours: streams that are open while it happens, and are finished afterwards. */
struct good {
	struct pair *p;
	struct mesh_app app;
	struct http_user u;
	struct exchange *x[5];
};

static void good_start(struct good *g, struct pair *p)
{
	g->p = p;
	mesh_app_start(&g->app, p->web, 8080, HTTP_V2, app_echo);
	mesh_apply(&p->m);
	pair_client(p, &g->u, HTTP_V2);
	for (int i = 0; i < 5; i++) {
		g->x[i] = http_user_request(&g->u, "POST", "/", NULL, HTTP_LENGTH_UNKNOWN, false);
		exchange_send(g->x[i], STR("before"), false);
	}
	mesh_settle(&p->m);
	for (int i = 0; i < 5; i++)
		assert_int_equal(g->x[i]->body_bytes, 6);
}

static void good_check(struct good *g)
{
	for (int i = 0; i < 5; i++) {
		assert_false(g->x[i]->ended);
		exchange_send(g->x[i], STR(" and after"), true);
	}
	mesh_settle(&g->p->m);
	for (int i = 0; i < 5; i++) {
		assert_true(g->x[i]->ended && g->x[i]->reason == REASON_OK);
		assert_int_equal(g->x[i]->body_bytes, 16);
		assert_int_equal(g->x[i]->body_sum, g->x[i]->sent_sum);
	}
	/* On the one connection that there was all the time; HTTP/1 has one of its own. */
	assert_in_range(pools_opened(proxy_flow(g->p->client->proxy)->pools), 1, 2);
	http_user_fini(&g->u);
	mesh_app_stop(&g->app);
	mesh_assert_idle(&g->p->m);
}

/* -- malformed messages
 * ---------------------------------------------------------------------------------------------- */

static void test_malformed_messages(void **state)
{
	static const char *const heads[][12] = {
		{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "w", "Upper", "x",
			NULL},
		{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "w", "a", "b\nc",
			NULL},
		{":method", "GET", ":scheme", "http", ":path", "no-slash", ":authority", "w", NULL},
		{":method", "GET", ":scheme", "http", ":authority", "w", NULL},
		{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "w", "connection",
			"close", NULL},
		{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "w",
			"transfer-encoding", "chunked", NULL},
		{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "w",
			"content-length", "5", NULL},
		{":method", "GET", "x", "y", ":scheme", "http", ":path", "/", ":authority", "w",
			NULL},
		{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a b", NULL},
		{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "w", "host", "v",
			NULL},
	};
	size_t n = sizeof(heads) / sizeof(heads[0]);
	struct pair *p = *state;
	struct good g;
	struct bad b;
	good_start(&g, p);
	bad_open(&b, p);
	for (size_t i = 0; i < n; i++) {
		int32_t id = 1 + 2 * (int32_t)i;
		h2_put_headers(&b.peer, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id,
			heads[i]);
		h2_peer_run(&b.peer);
		unsigned status = h2_status(&b.peer, id);
		if (h2_seen(&b.peer, NGHTTP2_RST_STREAM, id) == 0 && (status < 400 || status > 431))
			fail_msg("message %zu was not refused: %u", i, status);
	}
	/* A stream error each; the next request on the same connection is served. */
	h2_put_get(&b.peer, 101);
	h2_peer_run(&b.peer);
	assert_int_equal(h2_status(&b.peer, 101), 200);
	assert_int_equal(g.app.users[0]->n, 5 + 1);
	bad_close(&b, p);
	good_check(&g);
}

/* A body that is longer or shorter than was declared, found out when the head has gone out. */
static void test_bodies_of_another_length(void **state)
{
	static const char *const head[] = {":method", "POST", ":scheme", "http", ":path", "/",
		":authority", "w", "content-length", "4", NULL};
	struct pair *p = *state;
	struct good g;
	struct bad b;
	good_start(&g, p);
	bad_open(&b, p);
	for (int i = 0; i < 2; i++) {
		int32_t id = 1 + 2 * i;
		h2_put_headers(&b.peer, NGHTTP2_FLAG_END_HEADERS, id, head);
		h2_peer_run(&b.peer);
		h2_put(&b.peer, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "abcdef",
			i == 0 ? 6 : 2);
		h2_peer_run(&b.peer);
		assert_int_equal(h2_seen(&b.peer, NGHTTP2_RST_STREAM, id), 1);
	}
	bad_close(&b, p);
	/* The application heard of them, and that they were broken off. */
	struct http_user *server = g.app.users[0];
	assert_int_equal(server->n, 7);
	assert_int_not_equal(server->x[5]->reason, REASON_OK);
	assert_int_not_equal(server->x[6]->reason, REASON_OK);
	assert_false(server->x[5]->in_done || server->x[6]->in_done);
	good_check(&g);
}

/* -- floods
 * -----------------------------------------------------------------------------------------------------
 */

static void test_rapid_reset(void **state)
{
	struct pair *p = *state;
	struct good g;
	struct bad b;
	good_start(&g, p);
	bad_open(&b, p);
	int32_t id = 1;
	for (int i = 0; i < 2000 && !b.peer.closed; i++) {
		h2_put_get(&b.peer, id);
		h2_put_u32(&b.peer, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
		id += 2;
		if (i % 20 == 0)
			h2_peer_run(&b.peer);
	}
	h2_peer_run(&b.peer);
	assert_true(b.peer.closed || h2_seen(&b.peer, NGHTTP2_GOAWAY, 0) > 0);
	mesh_advance(&p->m, 5 * NS_PER_S);
	assert_true(mesh_metric(p->client, "weft_connections_refused_total", "reason=\"DPE\"",
			    NULL) >= 1);
	bad_close(&b, p);
	good_check(&g);
}

/* Small header blocks that unpack into much. */
static void test_hpack_bombs(void **state)
{
	struct pair *p = *state;
	struct good g;
	struct bad b;
	/* A literal of 4000 bytes into the table, then thousands of references to it. */
	static uint8_t block[20000];
	size_t n = 0;
	static const uint8_t start[] = {
		0x82, 0x86, 0x84, 0x41, 1, 'w', 0x40, 1, 'x', 0x7f, 0xa1, 0x1e};
	memcpy(block, start, sizeof(start));
	n = sizeof(start);
	memset(block + n, 'a', 4000);
	n += 4000;
	memset(block + n, 0xbe, 12000);
	n += 12000;
	good_start(&g, p);
	bad_open(&b, p);
	for (int32_t id = 1; id < 20 && !b.peer.closed; id += 2) {
		h2_put(&b.peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
			id, block, n);
		h2_peer_run(&b.peer);
		assert_int_not_equal(h2_status(&b.peer, id), 200);
	}
	assert_true(buf_pool_used(p->m.w.bufs) < 4 << 20);
	assert_int_equal(g.app.users[0]->n, 5);
	bad_close(&b, p);
	good_check(&g);
}

static void test_ping_and_settings_floods(void **state)
{
	struct pair *p = *state;
	for (int kind = 0; kind < 3; kind++) {
		struct good g;
		struct bad b;
		good_start(&g, p);
		bad_open(&b, p);
		b.peer.deaf = true;
		for (int i = 0; i < 30000 && !b.peer.closed; i++) {
			if (kind == 0)
				h2_put(&b.peer, NGHTTP2_PING, 0, 0, "12345678", 8);
			else if (kind == 1)
				h2_put(&b.peer, NGHTTP2_SETTINGS, 0, 0, "", 0);
			else
				h2_put_u32(&b.peer, NGHTTP2_WINDOW_UPDATE, 0, 1);
			if (i % 500 == 0)
				h2_peer_run(&b.peer);
		}
		h2_peer_run(&b.peer);
		assert_true(buf_pool_used(p->m.w.bufs) < 8 << 20);
		bad_close(&b, p);
		mesh_settle(&p->m);
		good_check(&g);
		pair_teardown(state);
		pair_setup(state);
		p = *state;
	}
}

/* Streams that are opened and left, up to the limit: its own next one is refused, not others'. */
static void test_streams_that_are_left_open(void **state)
{
	struct pair *p = *state;
	struct good g;
	struct bad b;
	good_start(&g, p);
	bad_open(&b, p);
	for (int32_t id = 1; id < 2 * 150; id += 2)
		h2_put_post(&b.peer, id);
	h2_peer_run(&b.peer);
	struct http_user u;
	pair_client(p, &u, HTTP_V2);
	for (int i = 0; i < 20; i++) {
		struct exchange *x = http_user_request(&u, "POST", "/", NULL, 3, false);
		exchange_send(x, STR("abc"), true);
		mesh_settle(&p->m);
		assert_true(x->ended && x->reason == REASON_OK && x->body_bytes == 3);
	}
	http_user_fini(&u);
	bad_close(&b, p);
	for (int i = 0; i < 5; i++) {
		exchange_send(g.x[i], STR(""), true);
	}
	mesh_settle(&p->m);
	for (int i = 0; i < 5; i++)
		assert_true(g.x[i]->ended && g.x[i]->reason == REASON_OK);
	http_user_fini(&g.u);
	mesh_app_stop(&g.app);
	mesh_assert_idle(&p->m);
}

/* -- HTTP/1
 * -----------------------------------------------------------------------------------------------------
 */

static void test_http1_nonsense(void **state)
{
	static const char *const rows[] = {
		"GET / HTTP/1.1\r\nHost: w\r\nHost: v\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET / HTTP/1.1\r\nHost : w\r\n\r\n",
		"GET / HTTP/1.1\r\n Host: w\r\n\r\n",
		"GET / HTTP/1.1\nHost: w\n\n",
		"GET / HTTP/9.9\r\nHost: w\r\n\r\n",
		"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
	};
	struct pair *p = *state;
	struct good g;
	good_start(&g, p);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire x;
		pair_wire(p, &x);
		char *got = pair_ask(&x, rows[i]);
		if (strncmp(got, "HTTP/1.1 4", 10) != 0 && strncmp(got, "HTTP/1.1 5", 10) != 0 &&
			x.err == 0)
			fail_msg("\"%s\" got \"%s\"", rows[i], got);
		free(got);
		wire_fini(&x);
	}
	/* Of all that the application saw at most heads of what was broken off later. */
	for (unsigned i = 5; i < g.app.users[0]->n; i++)
		assert_int_not_equal(g.app.users[0]->x[i]->reason, REASON_OK);
	mesh_settle(&p->m);
	good_check(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_malformed_messages),
		PAIR_TEST(test_bodies_of_another_length),
		PAIR_TEST(test_rapid_reset),
		PAIR_TEST(test_hpack_bombs),
		PAIR_TEST(test_ping_and_settings_floods),
		PAIR_TEST(test_streams_that_are_left_open),
		PAIR_TEST(test_http1_nonsense),
	};
	return cmocka_run_group_tests_name("clients that misbehave", tests, NULL, NULL);
}
