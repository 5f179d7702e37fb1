/*
 * The end of an HTTP/2 connection: GOAWAY in two phases from a server that drains, what a client
 * makes of one, keepalive by PING, and the timers that bound a start and a header block.
 */
#include "tests/support/h2_peer.h"

static size_t goaways(const struct h2_peer *p)
{
	return h2_seen(p, NGHTTP2_GOAWAY, 0);
}

static void server_drains_in_two_phases(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_get(&p, 1);
	h2_peer_run(&p);
	http_conn_drain(w->server.c);
	h2_peer_run(&p);
	assert_int_equal(goaways(&p), 1);
	assert_int_equal(h2_last(&p, NGHTTP2_GOAWAY, 0)->last, INT32_MAX);
	assert_int_equal(h2_last(&p, NGHTTP2_GOAWAY, 0)->code, NGHTTP2_NO_ERROR);
	/* On its way before the client knew: served. */
	h2_put_get(&p, 3);
	h2_peer_run(&p);
	assert_int_equal(w->server.streams, 2);
	loop_sim_advance(w->loop, w->limits.drain_grace);
	h2_peer_run(&p);
	assert_int_equal(goaways(&p), 2);
	assert_int_equal(h2_last(&p, NGHTTP2_GOAWAY, 0)->last, 3);
	/* Too late. */
	h2_put_get(&p, 5);
	h2_peer_run(&p);
	assert_int_equal(w->server.streams, 2);
	assert_int_equal(h2_seen(&p, NGHTTP2_HEADERS, 5), 0);
	h2_respond(h2_nth(&w->server, 0), 200, true);
	h2_peer_run(&p);
	assert_int_equal(w->server.ends, 0);
	h2_respond(h2_nth(&w->server, 1), 200, true);
	h2_peer_run(&p);
	assert_int_equal(h2_status(&p, 3), 200);
	assert_true(p.closed);
	io_close(&p.io, false);
	h2_world_run(w);
	assert_int_equal(w->server.ends, 1);
	assert_int_equal(w->server.reason, REASON_OK);
	h2_peer_close(&p);
}

static void idle_server_drains_after_the_grace(void **state)
{
	struct h2_world *w = *state;

	h2_world_pair(w, false);
	http_conn_drain(w->server.c);
	h2_world_run(w);
	/* The client has nothing more to say and ends by itself. */
	assert_int_equal(w->client.ends, 1);
	assert_int_equal(w->client.reason, REASON_OK);
	loop_sim_advance(w->loop, 10 * NS_PER_S);
	assert_int_equal(w->server.ends, 1);
	assert_int_equal(w->server.reason, REASON_OK);
}

static void no_grace_goes_straight_to_the_end(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->limits.drain_grace = 0;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	http_conn_drain(w->server.c);
	h2_peer_run(&p);
	assert_int_equal(h2_last(&p, NGHTTP2_GOAWAY, 0)->last, 0);
	assert_true(p.closed);
	h2_peer_close(&p);
}

/* Nothing that was accepted is lost: each request is answered, or surely was not processed. */
static void drain_under_load(void **state)
{
	struct h2_world *w = *state;
	unsigned ok = 0, again = 0, made = 0;

	w->server.script = h2_serve_echo;
	w->limits.drain_grace = 20 * NS_PER_MS;
	h2_world_pair(w, false);
	for (unsigned i = 0; i < 300 && w->client.c != NULL; i++) {
		struct h2_x *x = h2_request(w, "POST", "/", false);

		if (x != NULL) {
			h2_pour(x, 3000 * (i % 40) + 1);
			made++;
		}
		if (i == 60)
			http_conn_drain(w->server.c);
		if (i % 3 == 0)
			loop_sim_advance(w->loop, NS_PER_MS);
	}
	loop_sim_advance(w->loop, 10 * NS_PER_S);
	LIST_EACH(&w->client.exchanges, n)
	{
		struct h2_x *x = CONTAINER_OF(n, struct h2_x, node);

		assert_true(x->ended);
		ok += x->reason == REASON_OK && x->sum == h2_pattern_sum(x->to_send);
		again += x->reason == REASON_NOT_PROCESSED;
	}
	assert_int_equal(ok + again, made);
	assert_true(ok > 50);
	assert_int_equal(w->server.ends, 1);
	assert_int_equal(w->client.ends, 1);
	assert_int_equal(w->server.reason, REASON_OK);
	assert_int_equal(w->client.reason, REASON_OK);
}

static void client_finishes_what_goaway_names(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	static const uint8_t last3[8] = {0, 0, 0, 3, 0, 0, 0, 0};
	static const uint8_t last_open[8] = {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0};

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *a = h2_request(w, "GET", "/1", true);
	struct h2_x *b = h2_request(w, "POST", "/3", false);
	struct h2_x *c = h2_request(w, "POST", "/5", false);

	h2_peer_run(&p);
	h2_put(&p, NGHTTP2_GOAWAY, 0, 0, last_open, 8);
	h2_peer_run(&p);
	assert_int_equal(http_conn_room(w->client.c), 0);
	assert_true(http_conn_draining(w->client.c));
	assert_false(c->ended);
	h2_put(&p, NGHTTP2_GOAWAY, 0, 0, last3, 8);
	h2_peer_run(&p);
	assert_int_equal(c->reason, REASON_NOT_PROCESSED);
	assert_false(a->ended || b->ended);
	h2_put_ok(&p, NGHTTP2_FLAG_END_STREAM, 1);
	h2_pour(b, 50000);
	h2_peer_run(&p);
	assert_int_equal(p.data_bytes, 50000);
	assert_int_equal(a->reason, REASON_OK);
	assert_int_equal(w->client.ends, 0);
	h2_put_ok(&p, NGHTTP2_FLAG_END_STREAM, 3);
	h2_peer_run(&p);
	assert_int_equal(b->reason, REASON_OK);
	assert_int_equal(w->client.ends, 1);
	assert_int_equal(w->client.reason, REASON_OK);
	h2_peer_close(&p);
}

/* Opened and GOAWAY came before it was written. */
static void request_that_goaway_overtook(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	static const uint8_t last1[8] = {0, 0, 0, 1, 0, 0, 0, 0};

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *a = h2_request(w, "GET", "/1", true);

	h2_peer_run(&p);
	h2_put(&p, NGHTTP2_GOAWAY, 0, 0, last1, 8);
	struct buf b;

	buf_init(&b, w->bufs);
	buf_move_all(&b, &p.out);
	assert_true(io_write(p.io, &b) > 0);
	struct h2_x *late = h2_request(w, "GET", "/3", true);

	h2_peer_run(&p);
	assert_int_equal(late->reason, REASON_NOT_PROCESSED);
	assert_false(a->ended);
	h2_peer_close(&p);
}

static void client_drains(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	http_conn_drain(w->client.c);
	h2_peer_run(&p);
	assert_int_equal(http_conn_room(w->client.c), 0);
	assert_int_equal(w->client.ends, 0);
	h2_put_ok(&p, NGHTTP2_FLAG_END_STREAM, 1);
	h2_peer_run(&p);
	assert_int_equal(x->reason, REASON_OK);
	assert_int_equal(w->client.reason, REASON_OK);
	assert_int_equal(w->client.ends, 1);
	assert_int_equal(goaways(&p), 1);
	assert_int_equal(h2_last(&p, NGHTTP2_GOAWAY, 0)->code, NGHTTP2_NO_ERROR);
	h2_peer_close(&p);
}

static void silent_server_is_pinged_and_given_up(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	/* Without streams nobody asks. */
	loop_sim_advance(w->loop, 4 * w->limits.ping_interval);
	h2_peer_run(&p);
	assert_int_equal(h2_seen(&p, NGHTTP2_PING, 0), 0);
	struct h2_x *x = h2_request(w, "GET", "/", true);

	h2_peer_run(&p);
	loop_sim_advance(w->loop, 2 * w->limits.ping_interval);
	h2_peer_run(&p);
	assert_int_equal(h2_seen(&p, NGHTTP2_PING, 0), 1);
	h2_put(&p, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "\0\0\0\0\0\0\0", 8);
	h2_peer_run(&p);
	loop_sim_advance(w->loop, w->limits.ping_timeout);
	assert_false(x->ended);
	loop_sim_advance(w->loop, w->limits.ping_interval);
	h2_peer_run(&p);
	assert_int_equal(h2_seen(&p, NGHTTP2_PING, 0), 2);
	loop_sim_advance(w->loop, w->limits.ping_timeout);
	assert_int_equal(x->reason, REASON_UPSTREAM_CLOSED);
	assert_int_equal(w->client.ends, 1);
	assert_string_equal(w->client.detail, "no answer to PING");
	h2_peer_close(&p);
}

/* Where a server is told to ask; by itself it does not. */
static void silent_client_is_pinged_and_given_up(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->limits.server_ping_interval = 20 * NS_PER_S;
	w->limits.stream_idle_timeout = 0;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	loop_sim_advance(w->loop, 60 * NS_PER_S);
	h2_peer_run(&p);
	assert_int_equal(h2_seen(&p, NGHTTP2_PING, 0), 0);
	h2_put_post(&p, 1);
	h2_peer_run(&p);
	loop_sim_advance(w->loop, 41 * NS_PER_S);
	h2_peer_run(&p);
	assert_int_equal(h2_seen(&p, NGHTTP2_PING, 0), 1);
	h2_put(&p, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "\0\0\0\0\0\0\0", 8);
	h2_peer_run(&p);
	loop_sim_advance(w->loop, 35 * NS_PER_S);
	assert_int_equal(w->server.ends, 0);
	loop_sim_advance(w->loop, 40 * NS_PER_S);
	assert_int_equal(w->server.ends, 1);
	assert_int_equal(w->server.reason, REASON_CLOSED);
	assert_string_equal(w->server.detail, "no answer to PING");
	h2_peer_close(&p);
}

static void busy_server_is_not_pinged(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_client(w, false);
	h2_peer_server(&p, w);
	h2_request(w, "GET", "/", true);
	h2_peer_run(&p);
	h2_put_ok(&p, 0, 1);
	for (unsigned i = 0; i < 50; i++) {
		h2_put(&p, NGHTTP2_DATA, 0, 1, "x", 1);
		h2_peer_run(&p);
		loop_sim_advance(w->loop, w->limits.ping_interval / 3);
	}
	h2_put(&p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "x", 1);
	h2_peer_run(&p);
	/* Nor one that owes nothing. */
	loop_sim_advance(w->loop, 10 * w->limits.ping_interval);
	h2_peer_run(&p);
	assert_int_equal(h2_seen(&p, NGHTTP2_PING, 0), 0);
	assert_int_equal(w->client.ends, 0);
	h2_peer_close(&p);
}

static void peer_that_never_begins(void **state)
{
	struct h2_world *w = *state;

	h2_world_server(w, false);
	loop_sim_advance(w->loop, w->limits.header_timeout + NS_PER_S);
	loop_sim_advance(w->loop, w->limits.linger_timeout + NS_PER_S);
	assert_int_equal(w->server.ends, 1);
	assert_int_equal(w->server.reason, REASON_HEADER_TIMEOUT);
}

/* A header block that does not end holds up all: it has as long as any head. */
static void header_block_that_never_ends(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_post(&p, 1);
	h2_peer_run(&p);
	h2_put(&p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "", 0);
	h2_peer_run(&p);
	loop_sim_advance(w->loop, w->limits.header_timeout + NS_PER_S);
	h2_peer_run(&p);
	assert_int_equal(h2_nth(&w->server, 0)->reason, REASON_HEADER_TIMEOUT);
	assert_int_equal(goaways(&p), 1);
	assert_true(p.closed);
	h2_peer_close(&p);
}

static void header_block_that_takes_its_time(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	w->server.script = h2_serve_ok;
	h2_world_server(w, false);
	h2_peer_client(&p, w);
	h2_put_post(&p, 1);
	h2_put(&p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "\x10\1a", 3);
	h2_peer_run(&p);
	loop_sim_advance(w->loop, w->limits.header_timeout / 2);
	h2_put(&p, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, "\1b", 2);
	h2_peer_run(&p);
	loop_sim_advance(w->loop, 2 * w->limits.header_timeout);
	assert_string_equal(h2_field(&h2_nth(&w->server, 0)->trailers, "a"), "b");
	assert_int_equal(w->server.ends, 0);
	h2_peer_close(&p);
}

static void idle_connection_says_goodbye(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, false);
	h2_peer_client(&p, w);
	loop_sim_advance(w->loop, w->limits.idle_timeout + NS_PER_S);
	h2_peer_run(&p);
	assert_int_equal(goaways(&p), 1);
	assert_int_equal(h2_last(&p, NGHTTP2_GOAWAY, 0)->code, NGHTTP2_NO_ERROR);
	assert_true(p.closed);
	h2_peer_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		H2_TEST(server_drains_in_two_phases),
		H2_TEST(idle_server_drains_after_the_grace),
		H2_TEST(no_grace_goes_straight_to_the_end),
		H2_TEST(drain_under_load),
		H2_TEST(client_finishes_what_goaway_names),
		H2_TEST(request_that_goaway_overtook),
		H2_TEST(client_drains),
		H2_TEST(silent_server_is_pinged_and_given_up),
		H2_TEST(silent_client_is_pinged_and_given_up),
		H2_TEST(busy_server_is_not_pinged),
		H2_TEST(peer_that_never_begins),
		H2_TEST(header_block_that_never_ends),
		H2_TEST(header_block_that_takes_its_time),
		H2_TEST(idle_connection_says_goodbye),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
