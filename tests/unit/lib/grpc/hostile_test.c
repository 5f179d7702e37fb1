/*
 * Peers that the test plays itself, frame by frame: clients that send what no library would, and
 * servers that answer so. Each test owns a grpc_world and one connection to it.
 */
#include "tests/support/grpc_world.h"
#include "tests/support/h2_peer.h"

struct site {
	struct grpc_world w;
	struct h2_world h2; /* what the peer stands on: the loop and pools of w */
	struct h2_peer peer;
	grpc_dialled_fn *dialled;
	void *dialled_arg;
	struct loop_task connect;
};

static void lend(struct site *s)
{
	s->h2 = (struct h2_world){.loop = s->w.rig.loop,
		.bufs = s->w.rig.bufs,
		.arenas = s->w.rig.arenas,
		.env = s->w.rig.env};
}

static int setup_client(void **state)
{
	static struct site s;
	struct grpc_server_config cfg = {.keepalive_ns = 20 * NS_PER_S};

	memset(&s, 0, sizeof(s));
	grpc_world_init(&s.w, 1 << 20);
	grpc_world_serve(&s.w, &cfg);
	lend(&s);
	s.h2.io[0] = grpc_world_dial(&s.w);
	h2_peer_client(&s.peer, &s.h2);
	*state = &s;
	return 0;
}

static int teardown(void **state)
{
	struct site *s = *state;

	h2_peer_close(&s->peer);
	grpc_world_close(&s->w);
	return 0;
}

/* --- requests --- */

static void put_request(struct site *s, int32_t id, const char *path, const char *name,
	const char *value)
{
	const char *fields[] = {":method", "POST", ":scheme", "http", ":path", path, ":authority",
		"localhost", "te", "trailers", "content-type", "application/grpc", name, value,
		NULL};

	h2_put_headers(&s->peer, NGHTTP2_FLAG_END_HEADERS, id, fields);
}

static void put_data(struct site *s, int32_t id, const char *bytes, size_t n, bool end)
{
	h2_put(&s->peer, NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : 0, id, bytes, n);
}

static int grpc_status_of(struct site *s, int32_t id)
{
	h2_peer_run(&s->peer);
	const struct h2_got *g = h2_last(&s->peer, NGHTTP2_HEADERS, id);

	return g != NULL ? g->grpc_status : -1;
}

static void test_http_that_is_no_grpc(void **state)
{
	static const char *const get[] = {":method", "GET", ":scheme", "http", ":path",
		"/test.Bytes/Echo", ":authority", "x", "content-type", "application/grpc", NULL};
	static const char *const none[] = {":method", "POST", ":scheme", "http", ":path",
		"/test.Bytes/Echo", ":authority", "x", NULL};
	static const char *const json[] = {":method", "POST", ":scheme", "http", ":path",
		"/test.Bytes/Echo", ":authority", "x", "content-type", "application/json", NULL};
	struct site *s = *state;

	h2_put_headers(&s->peer, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, get);
	h2_put_headers(&s->peer, NGHTTP2_FLAG_END_HEADERS, 3, none);
	h2_put_headers(&s->peer, NGHTTP2_FLAG_END_HEADERS, 5, json);
	put_data(s, 5, "{}", 2, true);
	h2_peer_run(&s->peer);
	assert_int_equal(h2_status(&s->peer, 1), 405);
	assert_int_equal(h2_status(&s->peer, 3), 415);
	assert_int_equal(h2_status(&s->peer, 5), 415);
	assert_int_equal(h2_last(&s->peer, NGHTTP2_RST_STREAM, 3)->code, NGHTTP2_NO_ERROR);
	assert_int_equal(s->w.n_serving, 0);
	assert_int_equal(h2_seen(&s->peer, NGHTTP2_GOAWAY, -1), 0);
}

static void test_bad_timeouts(void **state)
{
	static const char *const bad[] = {"", "x", "123456789S", "5"};
	struct site *s = *state;

	for (int i = 0; i < 4; i++) {
		put_request(s, 2 * i + 1, "/test.Bytes/Echo", "grpc-timeout", bad[i]);
		assert_int_equal(grpc_status_of(s, 2 * i + 1), GRPC_INVALID_ARGUMENT);
	}
	put_request(s, 9, "/test.Bytes/Chat", "grpc-timeout", "0n");
	assert_int_equal(grpc_status_of(s, 9), GRPC_DEADLINE_EXCEEDED);
	put_request(s, 11, "/test.Bytes/Chat", "grpc-timeout", "99999999H");
	assert_int_equal(grpc_status_of(s, 11), -1);
}

static void test_messages_in_pieces(void **state)
{
	static const char bytes[] = "\0\0\0\0\005hello\0\0\0\0\0\0\0\0\0\001x";
	struct site *s = *state;

	put_request(s, 1, "/test.Bytes/Chat", NULL, NULL);
	for (size_t i = 0; i + 1 < sizeof(bytes); i++) {
		put_data(s, 1, bytes + i, 1, false);
		h2_peer_run(&s->peer);
	}
	assert_int_equal(s->w.serving[0].messages, 3);
	assert_string_equal(s->w.serving[0].last, "x");
	/* Many at once, padded too. */
	put_data(s, 1, bytes, sizeof(bytes) - 1, false);
	put_data(s, 1, bytes, sizeof(bytes) - 1, true);
	assert_int_equal(grpc_status_of(s, 1), GRPC_OK);
	assert_int_equal(s->w.serving[0].messages, 9);
}

static void test_bad_messages(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		bool end;
		int status;
	} rows[] = {
		{"\1\0\0\0\1x", 6, true, GRPC_UNIMPLEMENTED},
		{"\2\0\0\0\1x", 6, true, GRPC_INTERNAL},
		{"\377\377\377\377\377x", 6, false, GRPC_INTERNAL},
		{"\0\377\377\377\377x", 6, false, GRPC_RESOURCE_EXHAUSTED},
		{"\0\0\20\0\1", 5, false, GRPC_RESOURCE_EXHAUSTED},
		{"\0\0\0", 3, true, GRPC_INTERNAL},
		{"\0\0\0\0\2x", 6, true, GRPC_INTERNAL},
	};
	struct site *s = *state;
	int32_t id = 1;

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++, id += 2) {
		put_request(s, id, i % 2 == 0 ? "/test.Bytes/Chat" : "/test.Bytes/Echo", NULL,
			NULL);
		put_data(s, id, rows[i / 2].bytes, rows[i / 2].n, rows[i / 2].end);
		assert_int_equal(grpc_status_of(s, id), rows[i / 2].status);
		assert_int_equal(s->w.serving[i].messages, 0);
		assert_int_equal(s->w.serving[i].ends, 1);
		if (!rows[i / 2].end)
			assert_int_equal(h2_last(&s->peer, NGHTTP2_RST_STREAM, id)->code,
				NGHTTP2_NO_ERROR);
	}
	assert_int_equal(h2_seen(&s->peer, NGHTTP2_GOAWAY, -1), 0);
}

static void test_ends_of_requests(void **state)
{
	static const char *const trailers[] = {"x", "y", NULL};
	struct site *s = *state;

	put_request(s, 1, "/test.Bytes/Echo", NULL, NULL);
	put_data(s, 1, "\0\0\0\0\1x", 6, false);
	h2_put_headers(&s->peer, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, trailers);
	assert_int_equal(grpc_status_of(s, 1), GRPC_OK);
	put_request(s, 3, "/test.Bytes/Echo", NULL, NULL);
	put_data(s, 3, "", 0, true);
	assert_int_equal(grpc_status_of(s, 3), GRPC_UNIMPLEMENTED);
	put_request(s, 5, "/test.Bytes/Echo", NULL, NULL);
	put_data(s, 5, "\0\0\0\0\1x\0\0\0\0\1y", 12, true);
	assert_int_equal(grpc_status_of(s, 5), GRPC_UNIMPLEMENTED);
	put_request(s, 7, "/test.Bytes/Chat", NULL, NULL);
	h2_put_u32(&s->peer, NGHTTP2_RST_STREAM, 7, NGHTTP2_CANCEL);
	assert_int_equal(grpc_status_of(s, 7), -1);
	grpc_user_expect_end(&s->w.serving[3], GRPC_CANCELLED, NULL);
	put_request(s, 9, "/test.Bytes/Chat", NULL, NULL);
	h2_peer_run(&s->peer);
	io_close(&s->peer.io, true);
	grpc_world_settle(&s->w);
	grpc_user_expect_end(&s->w.serving[4], GRPC_CANCELLED, NULL);
	for (unsigned i = 1; i < 5; i++)
		assert_int_equal(s->w.serving[i].messages, 0);
}

/* It asks and asks, and never opens its window for the answers. */
static void test_a_client_that_does_not_read(void **state)
{
	struct site *s = *state;
	char block[1000] = {0, 0, 0, 3, (char)(1000 - 5 - 3 * 256)};

	h2_put_settings(&s->peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
	h2_peer_run(&s->peer);
	put_request(s, 1, "/test.Bytes/Chat", NULL, NULL);
	for (int i = 0; i < 250; i++)
		put_data(s, 1, block, sizeof(block), false);
	h2_peer_run(&s->peer);
	assert_int_equal(s->peer.data_bytes, 0);
	assert_in_range(s->w.serving[0].messages, 60, 70);
	/* What waits is the window's, and the window is not opened. */
	assert_null(h2_last(&s->peer, NGHTTP2_WINDOW_UPDATE, 1));
	h2_put_u32(&s->peer, NGHTTP2_WINDOW_UPDATE, 1, 10000000);
	h2_put_u32(&s->peer, NGHTTP2_WINDOW_UPDATE, 0, 10000000);
	h2_peer_run(&s->peer);
	assert_int_equal(s->w.serving[0].messages, 250);
	assert_int_equal(s->peer.data_bytes, 250 * sizeof(block));
	assert_non_null(h2_last(&s->peer, NGHTTP2_WINDOW_UPDATE, 1));
}

/* An answer that nobody takes is not kept for ever. */
static void test_a_status_that_is_not_taken(void **state)
{
	struct site *s = *state;

	h2_put_settings(&s->peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
	h2_peer_run(&s->peer);
	put_request(s, 1, "/test.Bytes/Echo", NULL, NULL);
	put_data(s, 1, "\0\0\0\0\1x", 6, true);
	h2_peer_run(&s->peer);
	grpc_user_expect_end(&s->w.serving[0], GRPC_OK, "");
	assert_null(h2_last(&s->peer, NGHTTP2_RST_STREAM, 1));
	for (int i = 0; i < 7; i++) {
		loop_sim_advance(s->w.rig.loop, 5 * NS_PER_S);
		h2_put(&s->peer, NGHTTP2_PING, 0, 0, "12345678", 8);
		h2_peer_run(&s->peer);
	}
	assert_int_equal(h2_last(&s->peer, NGHTTP2_RST_STREAM, 1)->code, NGHTTP2_CANCEL);
}

static void test_silent_clients_are_asked(void **state)
{
	struct site *s = *state;
	struct grpc_server_stats stats;

	put_request(s, 1, "/test.Bytes/Chat", NULL, NULL);
	h2_peer_run(&s->peer);
	loop_sim_advance(s->w.rig.loop, 41 * NS_PER_S);
	h2_peer_run(&s->peer);
	assert_int_equal(h2_seen(&s->peer, NGHTTP2_PING, 0), 1);
	h2_put(&s->peer, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "\0\0\0\0\0\0\0", 8);
	h2_peer_run(&s->peer);
	loop_sim_advance(s->w.rig.loop, 15 * NS_PER_S);
	assert_int_equal(s->w.serving[0].ends, 0);
	loop_sim_advance(s->w.rig.loop, 60 * NS_PER_S);
	grpc_user_expect_end(&s->w.serving[0], GRPC_CANCELLED, "no answer to PING");
	grpc_server_stats(s->w.server, &stats);
	assert_int_equal(stats.conns, 0);
}

static void test_garbage(void **state)
{
	struct site *s = *state;
	struct rng rng;
	int32_t id = 1;

	rng_seed(&rng, 7);
	for (int i = 0; i < 200; i++, id += 2) {
		char bytes[64];

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (char)(rng_below(&rng, 4) == 0 ? rng_next(&rng) : 0);
		put_request(s, id, i % 3 != 0 ? "/test.Bytes/Chat" : "/test.Bytes/Source", NULL,
			NULL);
		for (size_t k = 0; k < sizeof(bytes); k += 16)
			put_data(s, id, bytes + k, 16, k == 48);
		h2_peer_run(&s->peer);
		assert_int_equal(s->w.serving[i].ends, 1);
		assert_true(grpc_status_of(s, id) >= 0);
	}
}

/* --- servers --- */

static void on_connect(void *arg)
{
	struct site *s = arg;
	struct addr a = raw_addr("127.0.0.1:1"), b = raw_addr("127.0.0.1:2");

	io_mem_pair(s->w.rig.loop, s->w.rig.bufs, 1 << 20, &a, &b, s->h2.io);
	struct io *io = s->h2.io[0];

	s->h2.io[0] = NULL;
	s->dialled(s->dialled_arg, io, 0, NULL);
}

static void *dial(void *arg, grpc_dialled_fn *done, void *done_arg)
{
	struct site *s = arg;

	s->w.dials++;
	s->dialled = done;
	s->dialled_arg = done_arg;
	loop_defer(&s->connect);
	return s;
}

static void cancel(void *arg, void *handle)
{
	(void)handle;
	loop_task_cancel(&((struct site *)arg)->connect);
}

static int setup_server(void **state)
{
	static struct site s;

	memset(&s, 0, sizeof(s));
	grpc_world_init(&s.w, 1 << 20);
	lend(&s);
	loop_task_init(&s.connect, s.w.rig.loop, on_connect, &s);
	s.w.dialler = (struct grpc_dialler){dial, cancel, &s};
	grpc_world_connect(&s.w);
	*state = &s;
	return 0;
}

/* A call that the peer has the request of; the first makes the connection. */
static struct grpc_user *begin(struct site *s)
{
	struct grpc_user *u = grpc_world_call(&s->w, "Chat", 0);

	grpc_world_settle(&s->w);
	if (s->w.dials == 1 && s->peer.w == NULL)
		h2_peer_server(&s->peer, &s->h2);
	h2_peer_run(&s->peer);
	return u;
}

static void put_answer(struct site *s, int32_t id, bool end, const char *status, const char *type,
	const char *grpc_status, const char *text)
{
	const char *fields[16] = {":status", status};
	size_t n = 2;

	if (type != NULL) {
		fields[n++] = "content-type";
		fields[n++] = type;
	}
	if (grpc_status != NULL) {
		fields[n++] = "grpc-status";
		fields[n++] = grpc_status;
	}
	if (text != NULL) {
		fields[n++] = "grpc-message";
		fields[n++] = text;
	}
	h2_put_headers(&s->peer, NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0), id,
		fields);
}

static void put_trailers(struct site *s, int32_t id, const char *status)
{
	const char *fields[] = {"grpc-status", status, NULL};

	h2_put_headers(&s->peer, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, fields);
}

static void test_heads_of_answers(void **state)
{
	static const struct {
		bool end;
		const char *status, *type, *grpc_status, *text;
		enum grpc_status want;
	} rows[] = {
		{true, "200", "application/grpc", "5", "a%20b", GRPC_NOT_FOUND},
		{true, "200", "application/grpc", "0", NULL, GRPC_OK},
		{true, "200", "application/grpc", "99", NULL, GRPC_UNKNOWN},
		{true, "200", "application/grpc", "", NULL, GRPC_UNKNOWN},
		{true, "200", "application/grpc", NULL, NULL, GRPC_UNKNOWN},
		{true, "503", NULL, "8", NULL, GRPC_RESOURCE_EXHAUSTED},
		{true, "503", NULL, NULL, NULL, GRPC_UNAVAILABLE},
		{false, "404", "text/html", NULL, NULL, GRPC_UNIMPLEMENTED},
		{false, "401", NULL, NULL, NULL, GRPC_UNAUTHENTICATED},
		{false, "200", "text/html", NULL, NULL, GRPC_UNKNOWN},
		{false, "200", NULL, NULL, NULL, GRPC_UNKNOWN},
		{false, "302", NULL, NULL, NULL, GRPC_UNKNOWN},
	};
	struct site *s = *state;
	int32_t id = 1;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++, id += 2) {
		struct grpc_user *u = begin(s);

		put_answer(s, id, rows[i].end, rows[i].status, rows[i].type, rows[i].grpc_status,
			rows[i].text);
		h2_peer_run(&s->peer);
		grpc_user_expect_end(u, rows[i].want, i == 0 ? "a b" : NULL);
		assert_int_equal(u->opened, 0);
		assert_false(u->local);
		/* We had not ended our side. */
		assert_int_equal(h2_last(&s->peer, NGHTTP2_RST_STREAM, id)->code, NGHTTP2_CANCEL);
	}
	assert_int_equal(s->w.dials, 1);
}

static void test_ends_of_answers(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		bool end; /* with DATA, no trailers */
		const char *trailer;
		enum grpc_status want;
		unsigned messages;
	} rows[] = {
		{"\0\0\0\0\1x", 6, false, "0", GRPC_OK, 1},
		{"\0\0\0\0\1x", 6, true, NULL, GRPC_UNKNOWN, 1},
		{"\0\0\0\0\2x", 6, false, "0", GRPC_INTERNAL, 0},
		{"\0\0\0\0\2x", 6, false, "14", GRPC_UNAVAILABLE, 0},
		{"\1\0\0\0\1x", 6, false, "0", GRPC_UNIMPLEMENTED, 0},
		{"\0\177\0\0\1x", 6, false, "0", GRPC_RESOURCE_EXHAUSTED, 0},
		{"\0\0\0\0\1x", 6, false, "junk", GRPC_UNKNOWN, 1},
	};
	struct site *s = *state;
	int32_t id = 1;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++, id += 2) {
		struct grpc_user *u = begin(s);

		put_answer(s, id, false, "100", NULL, NULL, NULL);
		put_answer(s, id, false, "200", "application/grpc+proto", NULL, NULL);
		put_data(s, id, rows[i].bytes, rows[i].n, rows[i].end);
		if (!rows[i].end)
			put_trailers(s, id, rows[i].trailer);
		h2_peer_run(&s->peer);
		grpc_user_expect_end(u, rows[i].want, NULL);
		assert_int_equal(u->messages, rows[i].messages);
		assert_int_equal(u->opened, 1);
	}
	assert_int_equal(s->w.dials, 1);
}

static void test_resets(void **state)
{
	static const struct {
		uint32_t code;
		enum grpc_status want;
		bool unprocessed;
	} rows[] = {
		{NGHTTP2_REFUSED_STREAM, GRPC_UNAVAILABLE, true},
		{NGHTTP2_CANCEL, GRPC_CANCELLED, false},
		{NGHTTP2_ENHANCE_YOUR_CALM, GRPC_RESOURCE_EXHAUSTED, false},
		{NGHTTP2_INADEQUATE_SECURITY, GRPC_PERMISSION_DENIED, false},
		{NGHTTP2_NO_ERROR, GRPC_INTERNAL, false},
		{NGHTTP2_INTERNAL_ERROR, GRPC_INTERNAL, false},
		{4711, GRPC_INTERNAL, false},
	};
	struct site *s = *state;
	int32_t id = 1;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++, id += 2) {
		struct grpc_user *u = begin(s);

		h2_put_u32(&s->peer, NGHTTP2_RST_STREAM, id, rows[i].code);
		h2_peer_run(&s->peer);
		grpc_user_expect_end(u, rows[i].want, NULL);
		assert_true(u->local);
		assert_true(u->unprocessed == rows[i].unprocessed);
	}
}

static void test_goaway(void **state)
{
	struct site *s = *state;
	struct grpc_user *first = begin(s), *second = begin(s);

	/* The first is still served, the second was never seen. */
	h2_put(&s->peer, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
	h2_peer_run(&s->peer);
	grpc_user_expect_end(second, GRPC_UNAVAILABLE, NULL);
	assert_true(second->unprocessed);
	assert_int_equal(first->ends, 0);
	assert_false(grpc_channel_connected(s->w.channel));
	/* The next call has a connection of its own. */
	struct grpc_user *third = grpc_world_call(&s->w, "Chat", 0);

	grpc_world_settle(&s->w);
	assert_int_equal(s->w.dials, 2);
	put_answer(s, 1, true, "200", "application/grpc", "0", NULL);
	h2_peer_run(&s->peer);
	grpc_user_expect_end(first, GRPC_OK, "");
	io_close(&s->h2.io[1], true);
	grpc_world_settle(&s->w);
	grpc_user_expect_end(third, GRPC_UNAVAILABLE, NULL);
	assert_true(third->local);
	assert_true(grpc_channel_failure(s->w.channel).n > 0);
}

/* Each connection is refused at once: no call may make it dial for ever. */
static void test_a_server_that_always_leaves(void **state)
{
	struct site *s = *state;
	struct grpc_user *u = grpc_world_call(&s->w, "Chat", 0);

	loop_sim_settle(s->w.rig.loop, 2);
	assert_int_equal(s->w.dials, 1);
	h2_peer_bare(&s->peer, &s->h2, 1);
	h2_put(&s->peer, NGHTTP2_SETTINGS, 0, 0, "\0\3\0\0\0\0", 6); /* no streams, */
	h2_put(&s->peer, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
	h2_peer_run(&s->peer);
	grpc_user_expect_end(u, GRPC_UNAVAILABLE, NULL);
	assert_true(u->unprocessed);
	assert_int_equal(s->w.dials, 1);
}

int main(void)
{
#define FROM_CLIENT(name) cmocka_unit_test_setup_teardown(name, setup_client, teardown)
#define FROM_SERVER(name) cmocka_unit_test_setup_teardown(name, setup_server, teardown)
	const struct CMUnitTest tests[] = {
		FROM_CLIENT(test_http_that_is_no_grpc),
		FROM_CLIENT(test_bad_timeouts),
		FROM_CLIENT(test_messages_in_pieces),
		FROM_CLIENT(test_bad_messages),
		FROM_CLIENT(test_ends_of_requests),
		FROM_CLIENT(test_a_client_that_does_not_read),
		FROM_CLIENT(test_a_status_that_is_not_taken),
		FROM_CLIENT(test_silent_clients_are_asked),
		FROM_CLIENT(test_garbage),
		FROM_SERVER(test_heads_of_answers),
		FROM_SERVER(test_ends_of_answers),
		FROM_SERVER(test_resets),
		FROM_SERVER(test_goaway),
		FROM_SERVER(test_a_server_that_always_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
