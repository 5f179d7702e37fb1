/*
 * http_check_head and http_check_trailers by themselves, for both versions: what each codec may
 * hand up, what is refused with which reason, and what is left of the fields.
 */
#include "lib/http/codec.h"
#include "tests/unit/lib/http/fixture.h"

/* A head as a codec fills it in, and what becomes of it: 0 or a reason, and the fields that are
 * left as "name: value\n". */
struct row {
	const char *what;
	int version; /* 10, 11, 20 */
	const char *method, *authority, *path, *protocol;
	uint16_t status; /* 0: a request */
	const char *fields;
	int reason;
	const char *left;
};

#define BAD REASON_PROTOCOL
#define UP REASON_UPSTREAM_PROTOCOL

static const struct row rows[] = {
	/* HTTP/1.1 requests */
	{"plain", 11, "GET", "", "/", "", 0, "host: a\nx: y", 0, "x: y\n"},
	{"named by connection", 11, "GET", "", "/", "", 0,
		"host: a\nconnection: X, close\nx: y\nz: 1", 0, "z: 1\n"},
	{"host by connection", 11, "GET", "", "/", "", 0,
		"host: a\nconnection: host, content-length", 0, ""},
	{"hop-by-hop", 11, "GET", "", "/", "", 0,
		"host: a\nkeep-alive: 1\nproxy-connection: x\nte: gzip\nupgrade: h2c\ntrailer: x",
		0, "trailer: x\n"},
	{"upper case name", 11, "GET", "", "/", "", 0, "host: a\nX: y", BAD, NULL},
	{"no host", 11, "GET", "", "/", "", 0, "", BAD, NULL},
	{"host and authority", 11, "GET", "A", "/", "", 0, "host: a", 0, ""},
	{"another authority", 11, "GET", "b", "/", "", 0, "host: a", BAD, NULL},
	{"HTTP/1.0 with authority", 10, "GET", "a", "/", "", 0, "", 0, ""},
	{"lower case method", 11, "get", "", "/", "", 0, "host: a", BAD, NULL},
	{"upgrade", 11, "GET", "", "/", "", 0,
		"host: a\nconnection: upgrade\nupgrade: h2c, websocket", 0, ""},

	/* HTTP/2 requests */
	{"plain, 2", 20, "GET", "a", "/", "", 0, "x: y", 0, "x: y\n"},
	{"host for authority", 20, "GET", "", "/", "", 0, "host: a", 0, ""},
	{"neither", 20, "GET", "", "/", "", 0, "", BAD, NULL},
	{"both, different", 20, "GET", "a", "/", "", 0, "host: b", BAD, NULL},
	{"two hosts", 20, "GET", "a", "/", "", 0, "host: a\nhost: a", BAD, NULL},
	{"connection", 20, "GET", "a", "/", "", 0, "connection: close", BAD, NULL},
	{"keep-alive", 20, "GET", "a", "/", "", 0, "keep-alive: 1", BAD, NULL},
	{"proxy-connection", 20, "GET", "a", "/", "", 0, "proxy-connection: x", BAD, NULL},
	{"transfer-encoding", 20, "GET", "a", "/", "", 0, "transfer-encoding: chunked", BAD, NULL},
	{"upgrade, 2", 20, "GET", "a", "/", "", 0, "upgrade: websocket", BAD, NULL},
	{"te trailers", 20, "GET", "a", "/", "", 0, "te: trailers", 0, ""},
	{"te gzip", 20, "GET", "a", "/", "", 0, "te: gzip", BAD, NULL},
	{"te list", 20, "GET", "a", "/", "", 0, "te: trailers, gzip", BAD, NULL},
	{"upper case name, 2", 20, "GET", "a", "/", "", 0, "X: y", BAD, NULL},
	{"CRLF in a value", 20, "GET", "a", "/", "", 0, "x: a\rb", BAD, NULL},
	{"space in the path", 20, "GET", "a", "/ HTTP/1.1\r\nx: y", "", 0, "", BAD, NULL},
	{"empty path", 20, "GET", "a", "", "", 0, "", BAD, NULL},
	{"method with space", 20, "GET / HTTP/1.1", "a", "/", "", 0, "", BAD, NULL},
	{"user information", 20, "GET", "u@a", "/", "", 0, "", BAD, NULL},
	{"two lengths, 2", 20, "POST", "a", "/", "", 0, "content-length: 1\ncontent-length: 1", BAD,
		NULL},
	{"CONNECT", 20, "CONNECT", "a:80", "", "", 0, "", 0, ""},
	{"CONNECT with path", 20, "CONNECT", "a:80", "/", "", 0, "", BAD, NULL},
	{"CONNECT without port", 20, "CONNECT", "a", "", "", 0, "", BAD, NULL},
	{"CONNECT to [::1]", 20, "CONNECT", "[::1]", "", "", 0, "", BAD, NULL},
	{"CONNECT to [::1]:80", 20, "CONNECT", "[::1]:80", "", "", 0, "", 0, ""},
	{"websocket", 20, "CONNECT", "a", "/", "websocket", 0, "", 0, ""},
	{"other protocol", 20, "CONNECT", "a", "/", "connect-udp", 0, "", REASON_UNSUPPORTED, NULL},
	{"protocol without CONNECT", 20, "GET", "a", "/", "websocket", 0, "", BAD, NULL},

	/* responses */
	{"answer", 11, "", "", "", "", 200, "x: y\nconnection: z\nz: 1\nhost: h\nupgrade: h2c", 0,
		"x: y\n"},
	{"answer, 2", 20, "", "", "", "", 200, "x: y", 0, "x: y\n"},
	{"answer with connection, 2", 20, "", "", "", "", 200, "connection: close", UP, NULL},
	{"answer with coding, 2", 20, "", "", "", "", 200, "transfer-encoding: chunked", UP, NULL},
	{"101 by upgrade", 11, "", "", "", "", 101, "connection: upgrade\nupgrade: websocket", 0,
		""},
	{"101 without", 11, "", "", "", "", 101, "upgrade: websocket", UP, NULL},
	{"status 99", 20, "", "", "", "", 99, "", UP, NULL},
	{"204 with length", 20, "", "", "", "", 204, "content-length: 1", UP, NULL},
};

static void fill(struct http_head *h, const struct row *row, struct arena *a)
{
	http_head_init(h, row->status == 0 ? HTTP_REQUEST : HTTP_RESPONSE, a);
	h->method = str_from(row->method);
	h->scheme = STR("http");
	h->authority = str_from(row->authority);
	h->path = str_from(row->path);
	h->protocol = str_from(row->protocol);
	h->status = row->status;
	h->version_major = (uint8_t)(row->version / 10);
	h->version_minor = (uint8_t)(row->version % 10);
	http_support_fields(&h->fields, row->fields);
}

static bool fields_are(const struct http_fields *f, struct arena *a, const char *text)
{
	struct str got = STR("");

	for (uint32_t i = 0; i < f->n; i++)
		got = arena_printf(a, "%.*s%.*s: %.*s\n", STR_ARG(got), STR_ARG(f->v[i].name),
			STR_ARG(f->v[i].value));
	return str_eq(got, str_from(text));
}

static void test_table(void **state)
{
	struct http_limits limits = http_limits_default();
	unsigned failures = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		const char *detail = NULL;
		struct http_head h;
		struct arena a;

		arena_init(&a, NULL);
		fill(&h, row, &a);
		int r = http_check_head(&h, &limits, &detail);
		bool ok = r == row->reason && (r != 0) == (detail != NULL) &&
			(r != 0 || fields_are(&h.fields, &a, row->left));

		if (!ok)
			print_error("%s: %d (%s)\n", row->what, r, detail != NULL ? detail : "");
		failures += !ok;
		arena_clear(&a);
	}
	assert_int_equal(failures, 0);
}

static int check_request(struct http_head *h, int version, const char *fields, struct arena *a)
{
	struct http_limits limits = http_limits_default();
	struct row row = {
		"", version, "GET", version == 20 ? "a" : "", "/", "", 0, fields, 0, NULL};
	const char *detail;

	fill(h, &row, a);
	return http_check_head(h, &limits, &detail);
}

static void test_what_members_say(void **state)
{
	struct http_head h;
	struct arena a;

	(void)state;
	arena_init(&a, NULL);
	assert_int_equal(
		check_request(&h, 11,
			"host: a:80\nte: x, Trailers\nexpect: 100-Continue\ncontent-length: 7", &a),
		0);
	assert_true(h.te_trailers && h.expect_continue && h.keep_alive);
	assert_true(str_eq(h.authority, STR("a:80")));
	assert_int_equal(h.length, 7);
	assert_int_equal(check_request(&h, 11,
				 "host: a\nconnection: Close\ntransfer-encoding: Chunked", &a),
		0);
	assert_false(h.keep_alive || h.te_trailers || h.expect_continue);
	assert_true(h.length == HTTP_LENGTH_UNKNOWN);
	assert_int_equal(check_request(&h, 10, "connection: keep-alive\nexpect: 100-continue", &a),
		0);
	assert_true(h.keep_alive);
	assert_false(h.expect_continue);
	assert_int_equal(h.length, 0);
	assert_int_equal(check_request(&h, 10, "connection: keep-alive, close", &a), 0);
	assert_false(h.keep_alive);
	assert_int_equal(check_request(&h, 20, "authorization: b\ncookie: c\nx: y", &a), 0);
	assert_true(h.length == HTTP_LENGTH_UNKNOWN);
	assert_true(h.fields.v[0].never_index && h.fields.v[1].never_index &&
		!h.fields.v[2].never_index);
	arena_clear(&a);
}

static void test_limits(void **state)
{
	struct http_limits limits = http_limits_default();
	const char *detail;
	struct http_head h;
	struct arena a;
	struct row row = {"", 20, "GET", "a", "/", "", 0, "x: y", 0, NULL};

	(void)state;
	arena_init(&a, NULL);
	fill(&h, &row, &a);
	limits.header_bytes = 33;
	assert_int_equal(http_check_head(&h, &limits, &detail), REASON_HEADERS_TOO_LARGE);
	h.kind = HTTP_RESPONSE;
	assert_int_equal(http_check_head(&h, &limits, &detail), REASON_RESPONSE_HEADERS_TOO_LARGE);
	fill(&h, &row, &a);
	limits = http_limits_default();
	limits.target_bytes = 3;
	h.path = STR("/abc");
	assert_int_equal(http_check_head(&h, &limits, &detail), REASON_URI_TOO_LONG);
	arena_clear(&a);
}

static void test_trailers(void **state)
{
	struct http_fields t;
	struct arena a;

	(void)state;
	arena_init(&a, NULL);
	http_fields_init(&t, &a);
	http_support_fields(&t,
		"grpc-status: 0\ncontent-length: 1\ntransfer-encoding: chunked\nhost: a\n"
		"authorization: x\nset-cookie: y\nGrpc-Message: z\nx bad: 1\nx-cr: a\rb\n"
		"te: trailers\ncontent-type: t\nx-last: 1");
	http_check_trailers(&t);
	assert_true(fields_are(&t, &a, "grpc-status: 0\nx-last: 1\n"));
	arena_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_what_members_say),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_trailers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
