/*
 * The sniffer on real ClientHellos, request lines, look-alikes of them and opaque protocols, each
 * cut at every byte: what a prefix says is never taken back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/detect/sniff.h"
#include "tests/support/tls_world.h"
#include "tests/unit/sidecar/detect/hellos.h"

#define BYTES(array) str_make(array, sizeof(array) - 1)

static enum sniff_verdict look(struct str bytes, bool eof)
{
	struct sniff_facts facts;
	/* A copy of exactly that size, so that a read past the end is seen. */
	char *copy = malloc(bytes.n > 0 ? bytes.n : 1);
	assert_non_null(copy);
	if (bytes.n > 0)
		memcpy(copy, bytes.p, bytes.n);
	enum sniff_verdict v = sniff(str_make(copy, bytes.n), eof, &facts);
	free(copy);
	return v;
}

/* The verdict on the whole, and no other one on any prefix but MORE. */
static void check(struct str bytes, enum sniff_verdict expected)
{
	for (size_t n = 0; n <= bytes.n; n++) {
		enum sniff_verdict v = look(str_make(bytes.p, n), false);
		if (v != SNIFF_MORE && v != expected)
			fail_msg("%zu bytes of \"%.*s\": %s", n, (int)bytes.n, bytes.p,
				sniff_name(v));
	}
	if (look(bytes, false) != expected)
		fail_msg("\"%.*s\": %s instead of %s", (int)bytes.n, bytes.p,
			sniff_name(look(bytes, false)), sniff_name(expected));
}

/* -- TLS
 * ---------------------------------------------------------------------------------------------------------
 */

static void check_hello(struct str hello, const char *sni, const char *alpn, size_t n_alpn,
	bool tls13)
{
	struct sniff_facts f;
	for (size_t n = 0; n < hello.n; n++)
		assert_int_equal(look(str_make(hello.p, n), false), SNIFF_MORE);
	assert_int_equal(sniff(hello, false, &f), SNIFF_TLS);
	assert_true(str_eq(f.sni, str_from(sni)));
	assert_int_equal(f.n_alpn, n_alpn);
	if (n_alpn > 0)
		assert_true(str_eq(f.alpn[0], str_from(alpn)));
	assert_int_equal(f.tls13, tls13);
	for (size_t n = 1; n < hello.n; n++)
		assert_int_equal(look(str_make(hello.p, n), true), SNIFF_OPAQUE);
}

static void test_hellos_of_real_stacks(void **state)
{
	struct sniff_facts f;
	(void)state;
	check_hello(BYTES(hello_openssl), "web.example", "h2", 2, true);
	assert_true(sniff(BYTES(hello_openssl), false, &f) == SNIFF_TLS);
	assert_true(str_eq(f.alpn[1], STR("http/1.1")));
	assert_false(sniff_is_mesh(&f));
	check_hello(BYTES(hello_openssl_12), "old.example", NULL, 0, false);
	check_hello(BYTES(hello_go), "go.example", "h2", 1, true);
}

static void test_our_own_hello(void **state)
{
	static const char *const alpn[] = {"weft/tcp", NULL};
	struct tls_world w;
	struct tls_end end;
	struct io *ends[2];
	struct addr a = {0};
	struct buf got;
	struct sniff_facts f;
	(void)state;
	tls_world_open(&w);
	struct tls_ctx *ctx = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	struct tls_handshake_config cfg = {
		.ctx = ctx, .alpn = alpn, .expect = {.id = STR(WORLD_SERVER)}, .sni = STR("x.y")};
	io_mem_pair(w.loop, w.bufs, 65536, &a, &a, ends);
	tls_end_start(&w, &end, ends[0], &cfg);
	tls_world_settle(&w);
	buf_init(&got, w.bufs);
	assert_true(io_read(ends[1], &got, SNIFF_MAX) > 0);
	size_t n = buf_len(&got);
	struct str hello = str_make(buf_pullup(&got, n), n);
	check_hello(hello, "x.y", "weft/tcp", 1, true);
	sniff(hello, false, &f);
	assert_true(sniff_is_mesh(&f));
	buf_clear(&got);
	tls_handshake_cancel(&end.handshake);
	io_close(&ends[1], true);
	tls_ctx_unref(&ctx);
	tls_world_close(&w);
}

static void test_what_only_begins_like_tls(void **state)
{
	(void)state;
	check(BYTES("\x16\x02\x01\x00\x10\x01"), SNIFF_OPAQUE);
	check(BYTES("\x16\x03\x09\x00\x10\x01"), SNIFF_OPAQUE);
	check(BYTES("\x16\x03\x01\x00\x03\x01\x00\x00\x00"), SNIFF_OPAQUE);
	check(BYTES("\x16\x03\x01\x50\x00\x01"), SNIFF_OPAQUE);
	check(BYTES("\x16\x03\x01\x00\x10\x02"), SNIFF_OPAQUE); /* a ServerHello */
	check(BYTES("\x15\x03\x01\x00\x02\x02\x28"), SNIFF_OPAQUE);
	check(BYTES("\x80\x2e\x01\x03\x01"), SNIFF_OPAQUE); /* SSL 2 */
	/* A ClientHello in several records is TLS, but none of ours. */
	struct sniff_facts f;
	assert_int_equal(sniff(BYTES("\x16\x03\x01\x00\x05\x01\x00\x00\x70\x03"), false, &f),
		SNIFF_TLS);
	assert_false(sniff_is_mesh(&f));
}

/* Every byte of a good hello changed in turn: no crash, no read past the end. */
static void test_damaged_hellos(void **state)
{
	static const unsigned char marks[] = {0, 1, 0x7f, 0xff};
	char copy[sizeof(hello_openssl)];
	(void)state;
	for (size_t i = 0; i < sizeof(hello_openssl) - 1; i++)
		for (size_t k = 0; k < sizeof(marks); k++) {
			memcpy(copy, hello_openssl, sizeof(copy));
			copy[i] = (char)marks[k];
			look(str_make(copy, sizeof(copy) - 1), false);
			look(str_make(copy, sizeof(copy) - 1), true);
		}
}

/* -- HTTP
 * --------------------------------------------------------------------------------------------------------
 */

static void test_requests(void **state)
{
	static const char *const lines[] = {
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.0\n",
		"OPTIONS * HTTP/1.1\r\n",
		"GET http://a/ HTTP/1.1\r\n",
		"CONNECT a:443 HTTP/1.1\r\n",
		"M-SEARCH * HTTP/1.1\r\n",
		"PROPFIND /dav HTTP/1.1\r\n",
		"PRI * HTTP/2.0\r\n\r\nXX",
		/* Refused by the strict parser, but taken for requests by one server or another. */
		"get / http/1.1\r\n",
		"\r\nGET / HTTP/1.1\r\n",
		"\n\n \r\nGET / HTTP/1.1\r\n",
		" GET / HTTP/1.1\r\n",
		"GET\t/\tHTTP/1.1\r\n",
		"GET  /  HTTP/1.1\r\n",
		"GET ?x HTTP/1.1\r\n",
		"GET x HTTP/1.1\r\n",
		"GET / HTTP/1.1 \r\n",
		"GET / HTTP/1.1\vx\r\n",
		"GET / HTTP/3.0\r\n",
		"X / HTTP/1.1\r\n",
		"a$b1 / HTTP/1.1\r\n",
		"GET /\x01\x80 HTTP/1.1\r\n",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		check(str_from(lines[i]), SNIFF_HTTP1);
	check(BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), SNIFF_HTTP2);
	check(BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"), SNIFF_HTTP2);
}

static void test_long_lines_go_to_the_parser(void **state)
{
	char *line = malloc(2 * SNIFF_MAX);
	(void)state;
	assert_non_null(line);
	memset(line, 'a', 2 * SNIFF_MAX);
	memcpy(line, "GET /", 5);
	assert_int_equal(look(str_make(line, SNIFF_MAX - 1), false), SNIFF_MORE);
	assert_int_equal(look(str_make(line, SNIFF_MAX), false), SNIFF_HTTP1);
	assert_int_equal(look(str_make(line, 2 * SNIFF_MAX), false), SNIFF_HTTP1);
	memset(line, '\n', SNIFF_MAX);
	assert_int_equal(look(str_make(line, SNIFF_MAX - 1), false), SNIFF_MORE);
	assert_int_equal(look(str_make(line, SNIFF_MAX), false), SNIFF_HTTP1);
	free(line);
}

static void test_the_end_of_the_stream_decides(void **state)
{
	(void)state;
	assert_int_equal(look(STR(""), true), SNIFF_OPAQUE);
	assert_int_equal(look(STR(""), false), SNIFF_MORE);
	assert_int_equal(look(STR("GE"), true), SNIFF_OPAQUE);
	assert_int_equal(look(STR("GET /"), true), SNIFF_OPAQUE);
	assert_int_equal(look(STR("GET / HTTP/1.1"), true), SNIFF_HTTP1);
	assert_int_equal(look(STR("GET / HTTP/1.1\rX: y\r\r"), true), SNIFF_HTTP1);
	assert_int_equal(look(STR("PRI * HTTP/2.0\r\n\r\nSM"), true), SNIFF_HTTP1);
}

/* -- everything else
 * --------------------------------------------------------------------------------------------- */

static void test_opaque_protocols(void **state)
{
	static const struct {
		const char *name;
		struct str bytes;
	} rows[] = {
		{"ssh", {"SSH-2.0-OpenSSH_9.2p1\r\n", 23}},
		{"smtp", {"EHLO mail.example\r\n", 19}},
		{"smtp, lower case", {"ehlo mail.example\r\n", 19}},
		{"redis inline", {"SET key value\r\n", 15}},
		{"redis inline, one word", {"PING\r\n", 6}},
		{"redis RESP", {"*1\r\n$4\r\nPING\r\n", 14}},
		{"postgres startup", {"\0\0\0\x08\x04\xd2\x16\x2f", 8}},
		{"mysql client", {"\x20\0\0\x01\x85\xa6\xff\x01", 8}},
		{"memcached", {"get key\r\n", 9}},
		{"memcached binary", {"\x80\0\0\x05", 4}},
		{"amqp", {"AMQP\0\0\x09\x01", 8}},
		{"mqtt", {"\x10\x10\0\x04MQTT", 8}},
		{"mongodb", {"\x3a\0\0\0\x01\0\0\0", 8}},
		{"kafka", {"\0\0\0\x2b\0\x12\0\x03", 8}},
		{"stomp", {"CONNECT\naccept-version:1.2\n", 27}},
		{"ceph", {"ceph v027\0\0\x01", 12}},
		{"git", {"0032git-upload-pack /p\0host=x\0", 30}},
		{"no method of anybody's", {"get /\x01 HTTP/1.1\r\n", 17}},
		{"rtsp", {"OPTIONS rtsp://a/ RTSP/1.0\r\n", 28}},
		{"sip", {"INVITE sip:a@b SIP/2.0\r\n", 24}},
		{"http/0.9", {"GET /\r\n", 7}},
		{"nul first", {"\0GET / HTTP/1.1\r\n", 17}},
		{"bittorrent",
			{"\x13"
			 "BitTorrent protocol",
				20}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].name);
		check(rows[i].bytes, SNIFF_OPAQUE);
	}
	/* Binary protocols are known by their first byte or two. */
	assert_int_equal(look(BYTES("\0"), false), SNIFF_OPAQUE);
	assert_int_equal(look(BYTES("\x80"), false), SNIFF_OPAQUE);
}

static void test_servers(void **state)
{
	(void)state;
	assert_true(sniff_http_server(STR("HTTP/1.1 408 Request Timeout\r\n")));
	assert_true(sniff_http_server(BYTES("\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64")));
	assert_true(sniff_http_server(BYTES("\0\0\0\x04\0\0\0\0\0")));
	assert_false(sniff_http_server(BYTES("\0\0\0\x04\0\0\0\0")));
	assert_false(sniff_http_server(BYTES("\0\0\0\x04\x01\0\0\0\0")));       /* an ACK */
	assert_false(sniff_http_server(BYTES("\0\0\x05\x04\0\0\0\0\0")));       /* no settings */
	assert_false(sniff_http_server(BYTES("\0\0\x06\x04\0\0\0\0\x01xxxx"))); /* of a stream */
	assert_false(sniff_http_server(BYTES("\x4a\0\0\0\x0a"
					     "8.0.33\0"))); /* MySQL */
	assert_false(sniff_http_server(STR("220 mail.example ESMTP\r\n")));
	assert_false(sniff_http_server(STR("SSH-2.0-OpenSSH_9.2\r\n")));
	assert_false(sniff_http_server(STR("HTT")));
	assert_false(sniff_http_server(STR("")));
	assert_true(sniff_may_be_http(STR("GE")));
	assert_false(sniff_may_be_http(BYTES("\x16\x03")));
	assert_false(sniff_may_be_http(STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hellos_of_real_stacks),
		cmocka_unit_test(test_our_own_hello),
		cmocka_unit_test(test_what_only_begins_like_tls),
		cmocka_unit_test(test_damaged_hellos),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_long_lines_go_to_the_parser),
		cmocka_unit_test(test_the_end_of_the_stream_decides),
		cmocka_unit_test(test_opaque_protocols),
		cmocka_unit_test(test_servers),
	};
	return cmocka_run_group_tests_name("sniff", tests, NULL, NULL);
}
