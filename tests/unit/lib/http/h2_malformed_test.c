/*
 * Malformed messages and frames over HTTP/2, as a table: which are errors of their stream, with
 * siblings on the same connection unharmed, and which RFC 9113 wants to be errors of the
 * connection. The same for an untrusted client and for a session that is shared.
 */
#include "tests/support/h2_peer.h"

#include <string.h>

#define END NGHTTP2_FLAG_END_STREAM
#define BLOCK NGHTTP2_FLAG_END_HEADERS
#define GET ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "svc.test"
#define POST ":method", "POST", ":scheme", "https", ":path", "/", ":authority", "svc.test"

/* A request on stream 3, and what follows it. */
struct bad_message {
	const char *name;
	uint8_t flags;
	const char *fields[24];
	const char *data; /* a DATA frame with END_STREAM */
	const char *trailers[8];
	uint8_t trailer_flags;
	uint32_t code;   /* of our RST_STREAM */
	unsigned status; /* 0: none before the reset */
};

static const struct bad_message bad_messages[] = {
	{.name = "upper-case name", BLOCK | END, {GET, "X-Up", "1"}},
	{.name = "empty name", BLOCK | END, {GET, "", "1"}},
	{.name = "name with a space", BLOCK | END, {GET, "x y", "1"}},
	{.name = "name with a colon", BLOCK | END, {GET, "x:y", "1"}},
	{.name = "value with CR LF", BLOCK | END, {GET, "x", "1\r\nx-role: admin"}},
	{.name = "value with LF", BLOCK | END, {GET, "x", "1\n2"}},
	{.name = "value with leading space", BLOCK | END, {GET, "x", " 1"}},
	{.name = "value with DEL", BLOCK | END, {GET, "x", "\x7f"}},
	{.name = "connection", BLOCK | END, {GET, "connection", "close"}},
	{.name = "keep-alive", BLOCK | END, {GET, "keep-alive", "1"}},
	{.name = "proxy-connection", BLOCK | END, {GET, "proxy-connection", "close"}},
	{.name = "transfer-encoding", BLOCK, {POST, "transfer-encoding", "chunked"}, .data = "x"},
	{.name = "upgrade", BLOCK | END, {GET, "upgrade", "websocket"}},
	{.name = "te gzip", BLOCK | END, {GET, "te", "gzip"}},
	{.name = "expect", BLOCK | END, {GET, "expect", "magic"}},
	{.name = "no :method", BLOCK | END, {":scheme", "https", ":path", "/", ":authority", "a"}},
	{.name = "no :path",
		BLOCK | END,
		{":method", "GET", ":scheme", "https", ":authority", "a"}},
	{.name = "no :scheme", BLOCK | END, {":method", "GET", ":path", "/", ":authority", "a"}},
	{.name = "no authority", BLOCK | END, {":method", "GET", ":scheme", "https", ":path", "/"}},
	{.name = "two :path", BLOCK | END, {GET, ":path", "/b"}},
	{.name = "unknown pseudo", BLOCK | END, {GET, ":admin", "1"}},
	{.name = ":status in a request", BLOCK | END, {GET, ":status", "200"}},
	{.name = "pseudo after field",
		BLOCK | END,
		{":method", "GET", ":scheme", "https", "x", "1", ":path", "/", ":authority", "a"}},
	{.name = ":path without slash",
		BLOCK | END,
		{":method", "GET", ":scheme", "https", ":path", "admin", ":authority", "a"}},
	{.name = ":path with space",
		BLOCK | END,
		{":method", "GET", ":scheme", "https", ":path", "/a b", ":authority", "a"}},
	{.name = ":path with CR LF",
		BLOCK | END,
		{":method", "GET", ":scheme", "https", ":path", "/\r\n", ":authority", "a"}},
	{.name = ":path with fragment",
		BLOCK | END,
		{":method", "GET", ":scheme", "https", ":path", "/#a", ":authority", "a"}},
	{.name = "empty :path",
		BLOCK | END,
		{":method", "GET", ":scheme", "https", ":path", "", ":authority", "a"}},
	{.name = ":method with space",
		BLOCK | END,
		{":method", "G T", ":scheme", "https", ":path", "/", ":authority", "a"}},
	{.name = "user information",
		BLOCK | END,
		{":method", "GET", ":scheme", "https", ":path", "/", ":authority", "u@a"}},
	{.name = "host differs", BLOCK | END, {GET, "host", "other.test"}},
	{.name = "two hosts", BLOCK | END, {GET, "host", "svc.test", "host", "svc.test"}},
	{.name = "ftp",
		BLOCK | END,
		{":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "a"}},
	{.name = "CONNECT with :path",
		BLOCK,
		{":method", "CONNECT", ":path", "/", ":authority", "a:1"}},
	{.name = "CONNECT without port", BLOCK, {":method", "CONNECT", ":authority", "a"}},
	{.name = ":protocol with GET", BLOCK, {GET, ":protocol", "websocket"}},
	{.name = "two content-lengths",
		BLOCK,
		{POST, "content-length", "1", "content-length", "1"},
		.data = "1"},
	{.name = "content-length +1", BLOCK, {POST, "content-length", "+1"}, .data = "1"},
	{.name = "content-length list", BLOCK, {POST, "content-length", "1, 1"}, .data = "1"},
	{.name = "content-length empty", BLOCK, {POST, "content-length", ""}, .data = "1"},
	{.name = "body too short", BLOCK, {POST, "content-length", "2"}, .data = "1"},
	{.name = "body too long", BLOCK, {POST, "content-length", "2"}, .data = "333"},
	{.name = "body missing", BLOCK | END, {POST, "content-length", "2"}},
	{.name = "pseudo in trailers",
		BLOCK,
		{POST},
		.trailers = {":path", "/b"},
		.trailer_flags = BLOCK | END},
	{.name = "trailers that do not end",
		BLOCK,
		{POST},
		.trailers = {"x", "1"},
		.trailer_flags = BLOCK},
	{.name = "upper-case trailer",
		BLOCK,
		{POST},
		.trailers = {"X", "1"},
		.trailer_flags = BLOCK | END},
	{.name = "unknown :protocol",
		BLOCK,
		{":method", "CONNECT", ":scheme", "https", ":path", "/", ":authority", "a:1",
			":protocol", "connect-ip"},
		.code = NGHTTP2_NO_ERROR,
		.status = 501},
};

static void put_bad_message(struct h2_peer *p, const struct bad_message *m)
{
	h2_put_headers(p, m->flags, 3, m->fields);
	if (m->data != NULL)
		h2_put(p, NGHTTP2_DATA, END, 3, m->data, strlen(m->data));
	if (m->trailers[0] != NULL)
		h2_put_headers(p, m->trailer_flags, 3, m->trailers);
}

/* A sibling that was open before, and one that comes after, are served as ever. */
static void siblings_begin(struct h2_world *w, struct h2_peer *p, bool trusted)
{
	w->server.script = h2_serve_ok;
	h2_world_server(w, trusted);
	h2_peer_client(p, w);
	h2_put_post(p, 1);
	h2_put(p, NGHTTP2_DATA, 0, 1, "first ", 6);
	h2_peer_run(p);
}

static void siblings_end(struct h2_world *w, struct h2_peer *p)
{
	h2_put(p, NGHTTP2_DATA, END, 1, "second", 6);
	h2_put_get(p, 101);
	h2_peer_run(p);
	assert_int_equal(h2_status(p, 1), 200);
	assert_int_equal(h2_status(p, 101), 200);
	assert_int_equal(h2_nth(&w->server, 0)->got, 12);
	assert_int_equal(w->server.ends, 0);
	assert_int_equal(h2_seen(p, NGHTTP2_GOAWAY, 0), 0);
	h2_peer_close(p);
}

static void try_message(const struct bad_message *m, bool trusted, unsigned split)
{
	struct h2_world w;
	struct h2_peer p;

	h2_world_open(&w);
	siblings_begin(&w, &p, trusted);
	p.split = split;
	put_bad_message(&p, m);
	h2_peer_run(&p);
	const struct h2_got *rst = h2_last(&p, NGHTTP2_RST_STREAM, 3);

	if (rst == NULL || h2_status(&p, 3) != m->status)
		fail_msg("%s: no reset, or status %u", m->name, h2_status(&p, 3));
	if (rst->code != (m->status > 0 ? m->code : NGHTTP2_PROTOCOL_ERROR))
		fail_msg("%s: code %u", m->name, rst->code);
	struct h2_x *y = h2_nth(&w.server, 1);

	if (!y->ended || y->reason != (m->status > 0 ? REASON_UNSUPPORTED : REASON_PROTOCOL))
		fail_msg("%s: reason %d", m->name, y->reason);
	assert_true(y->heads == 0 || m->data != NULL || m->trailers[0] != NULL);
	assert_true(y->detail[0] != '\0');
	siblings_end(&w, &p);
	h2_world_close(&w);
}

static void malformed_messages_are_stream_errors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(bad_messages) / sizeof(bad_messages[0]); i++) {
		try_message(&bad_messages[i], false, 0);
		try_message(&bad_messages[i], true, 0);
		try_message(&bad_messages[i], true, 5);
	}
}

/* -- frames that are wrong for their stream alone -- */

struct bad_frame {
	const char *name;
	uint8_t type, flags;
	int32_t id;
	const char *payload;
	size_t n;
	uint32_t code;
};

/* Stream 3 is a GET whose answer is on its way, stream 5 a POST in the middle of its body. */
static const struct bad_frame stream_frames[] = {
	{"WINDOW_UPDATE of 0", NGHTTP2_WINDOW_UPDATE, 0, 5, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR},
	{"WINDOW_UPDATE of 0, reserved bit", NGHTTP2_WINDOW_UPDATE, 0, 5, "\x80\0\0\0", 4,
		NGHTTP2_PROTOCOL_ERROR},
	{"window overflow", NGHTTP2_WINDOW_UPDATE, 0, 5, "\x7f\xff\xff\xff", 4,
		NGHTTP2_FLOW_CONTROL_ERROR},
	{"DATA after the end", NGHTTP2_DATA, 0, 3, "more", 4, NGHTTP2_STREAM_CLOSED},
	{"empty DATA after the end", NGHTTP2_DATA, END, 3, "", 0, NGHTTP2_STREAM_CLOSED},
	{"HEADERS after the end", NGHTTP2_HEADERS, BLOCK | END, 3, "\x82\x87\x84", 3,
		NGHTTP2_STREAM_CLOSED},
	{"PRIORITY of the wrong size", NGHTTP2_PRIORITY, 0, 5, "1234", 4, NGHTTP2_FRAME_SIZE_ERROR},
};

static void try_stream_frame(const struct bad_frame *f, bool trusted, unsigned split)
{
	struct h2_world w;
	struct h2_peer p;

	h2_world_open(&w);
	siblings_begin(&w, &p, trusted);
	w.server.script = NULL;
	h2_put_get(&p, 3);
	h2_put_post(&p, 5);
	h2_peer_run(&p);
	w.server.script = h2_serve_ok;
	p.split = split;
	h2_put(&p, f->type, f->flags, f->id, f->payload, f->n);
	/* What was on its way already is ignored, and counts for the connection alone. */
	h2_put(&p, NGHTTP2_DATA, 0, 5, "on its way", 10);
	h2_peer_run(&p);
	const struct h2_got *rst = h2_last(&p, NGHTTP2_RST_STREAM, f->id);

	if (rst == NULL || rst->code != f->code || h2_seen(&p, NGHTTP2_RST_STREAM, -1) != 1)
		fail_msg("%s: code %d", f->name, rst != NULL ? (int)rst->code : -1);
	struct h2_x *y = h2_nth(&w.server, f->id == 3 ? 1 : 2);

	assert_int_equal(y->reason, REASON_PROTOCOL);
	assert_true(y->ended);
	siblings_end(&w, &p);
	h2_world_close(&w);
}

static void wrong_frames_are_stream_errors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(stream_frames) / sizeof(stream_frames[0]); i++) {
		try_stream_frame(&stream_frames[i], false, 0);
		try_stream_frame(&stream_frames[i], true, 0);
		try_stream_frame(&stream_frames[i], true, 3);
	}
}

/* Priorities of RFC 7540 mean nothing here, not even one on itself. */
static void priorities_are_ignored(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	/* Padding of 1, depends on stream 3 itself, weight; then the block; then the padding. */
	static const char self[] = "\1\x80\0\0\3\x10\x82\x87\x84\x41\1a\0";

	siblings_begin(w, &p, true);
	h2_put(&p, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\1\0", 5);
	h2_put(&p, NGHTTP2_PRIORITY, 0, 77, "\0\0\0\1\0", 5);
	h2_put(&p, NGHTTP2_HEADERS, BLOCK | END | NGHTTP2_FLAG_PRIORITY | NGHTTP2_FLAG_PADDED, 3,
		self, sizeof(self) - 1);
	h2_put(&p, NGHTTP2_HEADERS, BLOCK | END | NGHTTP2_FLAG_PRIORITY, 5,
		"\0\0\0\5\x10\x82\x87\x84\x41\1a", 11);
	h2_peer_run(&p);
	assert_int_equal(h2_status(&p, 3), 200);
	assert_int_equal(h2_status(&p, 5), 200);
	siblings_end(w, &p);
}

/* More than the stream's window, less than the connection's. */
static void more_than_the_window(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	static const char block[16384];

	w->limits.stream_window = 20000;
	siblings_begin(w, &p, true);
	w->server.hold = true;
	h2_put_post(&p, 3);
	h2_put(&p, NGHTTP2_DATA, 0, 3, block, sizeof(block));
	h2_put(&p, NGHTTP2_DATA, 0, 3, block, sizeof(block));
	h2_peer_run(&p);
	assert_int_equal(h2_last(&p, NGHTTP2_RST_STREAM, 3)->code, NGHTTP2_FLOW_CONTROL_ERROR);
	assert_true(h2_nth(&w->server, 1)->got <= sizeof(block));
	siblings_end(w, &p);
}

/* -- frames that are wrong for the connection -- */

static const struct bad_frame connection_frames[] = {
	{"DATA on stream 0", NGHTTP2_DATA, 0, 0, "x", 1, NGHTTP2_PROTOCOL_ERROR},
	{"DATA on an idle stream", NGHTTP2_DATA, 0, 99, "x", 1, NGHTTP2_PROTOCOL_ERROR},
	{"HEADERS on stream 0", NGHTTP2_HEADERS, BLOCK, 0, "\x82", 1, NGHTTP2_PROTOCOL_ERROR},
	{"HEADERS on an even stream", NGHTTP2_HEADERS, BLOCK, 4, "\x82", 1, NGHTTP2_PROTOCOL_ERROR},
	{"RST_STREAM on stream 0", NGHTTP2_RST_STREAM, 0, 0, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR},
	{"RST_STREAM on an idle stream", NGHTTP2_RST_STREAM, 0, 99, "\0\0\0\0", 4,
		NGHTTP2_PROTOCOL_ERROR},
	{"RST_STREAM of 3 bytes", NGHTTP2_RST_STREAM, 0, 1, "\0\0\0", 3, NGHTTP2_FRAME_SIZE_ERROR},
	{"PRIORITY on stream 0", NGHTTP2_PRIORITY, 0, 0, "\0\0\0\1\0", 5, NGHTTP2_PROTOCOL_ERROR},
	{"SETTINGS on a stream", NGHTTP2_SETTINGS, 0, 1, "", 0, NGHTTP2_PROTOCOL_ERROR},
	{"SETTINGS of 5 bytes", NGHTTP2_SETTINGS, 0, 0, "\0\4\0\0\0", 5, NGHTTP2_FRAME_SIZE_ERROR},
	{"SETTINGS ACK with a payload", NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "\0\4\0\0\0\0", 6,
		NGHTTP2_FRAME_SIZE_ERROR},
	{"SETTINGS ACK of nothing", NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0,
		NGHTTP2_PROTOCOL_ERROR},
	{"ENABLE_PUSH of 2", NGHTTP2_SETTINGS, 0, 0, "\0\2\0\0\0\2", 6, NGHTTP2_PROTOCOL_ERROR},
	{"window setting too large", NGHTTP2_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6,
		NGHTTP2_FLOW_CONTROL_ERROR},
	{"frame size setting too small", NGHTTP2_SETTINGS, 0, 0, "\0\5\0\0\0\1", 6,
		NGHTTP2_PROTOCOL_ERROR},
	{"PING of 7 bytes", NGHTTP2_PING, 0, 0, "1234567", 7, NGHTTP2_FRAME_SIZE_ERROR},
	{"PING on a stream", NGHTTP2_PING, 0, 1, "12345678", 8, NGHTTP2_PROTOCOL_ERROR},
	{"GOAWAY on a stream", NGHTTP2_GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0", 8, NGHTTP2_PROTOCOL_ERROR},
	{"GOAWAY of 7 bytes", NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0", 7, NGHTTP2_FRAME_SIZE_ERROR},
	{"WINDOW_UPDATE of 3 bytes", NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0", 3,
		NGHTTP2_FRAME_SIZE_ERROR},
	{"WINDOW_UPDATE of 0 for all", NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4,
		NGHTTP2_PROTOCOL_ERROR},
	{"window overflow for all", NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4,
		NGHTTP2_FLOW_CONTROL_ERROR},
	{"WINDOW_UPDATE on an idle stream", NGHTTP2_WINDOW_UPDATE, 0, 99, "\0\0\0\1", 4,
		NGHTTP2_PROTOCOL_ERROR},
	{"CONTINUATION of nothing", NGHTTP2_CONTINUATION, BLOCK, 1, "\x82", 1,
		NGHTTP2_PROTOCOL_ERROR},
	{"PUSH_PROMISE from a client", NGHTTP2_PUSH_PROMISE, BLOCK, 1, "\0\0\0\2\x82", 5,
		NGHTTP2_PROTOCOL_ERROR},
	{"padding beyond the frame", NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\x7fxx", 3,
		NGHTTP2_PROTOCOL_ERROR},
	{"index beyond the table", NGHTTP2_HEADERS, BLOCK | END, 3, "\xff\xff\xff\x7f", 4,
		NGHTTP2_COMPRESSION_ERROR},
	{"block that ends in a field", NGHTTP2_HEADERS, BLOCK | END, 3, "\x40\5ab", 4,
		NGHTTP2_COMPRESSION_ERROR},
};

static void expect_goaway(struct h2_world *w, struct h2_peer *p, const char *name, uint32_t code)
{
	const struct h2_got *g = h2_last(p, NGHTTP2_GOAWAY, 0);

	if (g == NULL || g->code != code)
		fail_msg("%s: GOAWAY %d", name, g != NULL ? (int)g->code : -1);
	assert_true(p->closed);
	h2_peer_close(p);
	h2_world_run(w);
	assert_int_equal(w->server.ends, 1);
	assert_int_equal(w->server.reason, REASON_PROTOCOL);
	assert_true(w->server.detail[0] != '\0');
}

static void try_connection_frame(const struct bad_frame *f, bool trusted, unsigned split)
{
	struct h2_world w;
	struct h2_peer p;

	h2_world_open(&w);
	siblings_begin(&w, &p, trusted);
	p.split = split;
	h2_put(&p, f->type, f->flags, f->id, f->payload, f->n);
	h2_peer_run(&p);
	expect_goaway(&w, &p, f->name, f->code);
	assert_int_equal(h2_nth(&w.server, 0)->reason, REASON_PROTOCOL);
	h2_world_close(&w);
}

static void broken_framing_is_a_connection_error(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(connection_frames) / sizeof(connection_frames[0]); i++) {
		try_connection_frame(&connection_frames[i], false, 0);
		try_connection_frame(&connection_frames[i], true, 0);
		try_connection_frame(&connection_frames[i], false, 4);
	}
}

static void frame_too_large(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;
	static const char block[16385];

	siblings_begin(w, &p, true);
	h2_put(&p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
	h2_peer_run(&p);
	expect_goaway(w, &p, "frame", NGHTTP2_FRAME_SIZE_ERROR);
}

static void frame_inside_a_header_block(void **state)
{
	static const uint8_t types[] = {NGHTTP2_DATA, NGHTTP2_HEADERS, NGHTTP2_PRIORITY,
		NGHTTP2_RST_STREAM, NGHTTP2_PING, NGHTTP2_WINDOW_UPDATE, 0x42};

	(void)state;
	for (unsigned i = 0; i < sizeof(types); i++) {
		struct h2_world w;
		struct h2_peer p;

		h2_world_open(&w);
		siblings_begin(&w, &p, i % 2 == 0);
		h2_put(&p, NGHTTP2_HEADERS, 0, 3, "\x82", 1);
		h2_put(&p, types[i], 0, 1, "\0\0\0\0\0\0\0\0", 5);
		h2_peer_run(&p);
		expect_goaway(&w, &p, "inside", NGHTTP2_PROTOCOL_ERROR);
		h2_world_close(&w);
	}
}

static void no_preface(void **state)
{
	static const char *const first[] = {"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "PRI * HTTP/1.1\r\n", "\x16\x03\x01\0\xa5"};

	(void)state;
	for (unsigned i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct h2_world w;
		struct h2_peer p;

		h2_world_open(&w);
		h2_world_server(&w, i % 2 == 0);
		h2_peer_bare(&p, &w, 0);
		h2_put_raw(&p, first[i], strlen(first[i]));
		h2_peer_run(&p);
		expect_goaway(&w, &p, "preface", NGHTTP2_PROTOCOL_ERROR);
		h2_world_close(&w);
	}
}

static void preface_without_settings(void **state)
{
	struct h2_world *w = *state;
	struct h2_peer p;

	h2_world_server(w, true);
	h2_peer_bare(&p, w, 0);
	h2_put_raw(&p, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	h2_put(&p, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\0\0", 5);
	h2_peer_run(&p);
	expect_goaway(w, &p, "settings", NGHTTP2_PROTOCOL_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		H2_TEST(malformed_messages_are_stream_errors),
		H2_TEST(wrong_frames_are_stream_errors),
		H2_TEST(priorities_are_ignored),
		H2_TEST(more_than_the_window),
		H2_TEST(broken_framing_is_a_connection_error),
		H2_TEST(frame_too_large),
		H2_TEST(frame_inside_a_header_block),
		H2_TEST(no_preface),
		H2_TEST(preface_without_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
