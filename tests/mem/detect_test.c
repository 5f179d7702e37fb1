/*
 * What a connection is, when its bytes come late, in pieces, or not at all, and when its server
 * speaks first; and that nobody gets headers past the sidecar by being slow or odd.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

#define FORGED "X-Forwarded-Client-Cert: URI=spiffe://forged\r\n\r\n"

static unsigned detected(struct mesh_test_pod *pod, const char *verdict)
{
	char word[64];
	snprintf(word, sizeof(word), "verdict=\"%s\"", verdict);
	return (unsigned)mesh_metric(pod, "weft_detections_total", word, NULL);
}

static size_t learned(struct mesh_test_pod *pod)
{
	return learned_count(proxy_flow(pod->proxy)->learned);
}

/* -- silent clients
 * ---------------------------------------------------------------------------------------------------
 */

/* A server that speaks first is relayed, remembered, and forgotten after an hour. */
static void test_a_banner_teaches(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	struct wire x;
	mesh_raw_start(&app, p->web, 8080, "220 ready\r\n");
	mesh_apply(&p->m);
	pair_wire(p, &x);
	mesh_advance(&p->m, 10 * NS_PER_MS);
	assert_int_equal(x.total, 11);
	assert_int_equal(learned(p->client), 1);
	wire_fini(&x);
	/* Now nobody waits: the server is dialled at once. */
	pair_wire(p, &x);
	mesh_settle(&p->m);
	mesh_advance(&p->m, 4 * NS_PER_MS); /* the grace of the other side */
	assert_int_equal(x.total, 11);
	wire_fini(&x);
	mesh_advance(&p->m, 3700 * NS_PER_S);
	pair_wire(p, &x);
	mesh_settle(&p->m);
	assert_int_equal(x.total, 0);
	mesh_advance(&p->m, 10 * NS_PER_MS);
	assert_int_equal(x.total, 11);
	wire_fini(&x);
	mesh_raw_stop(&app);
	mesh_advance(&p->m, 2 * 3600 * NS_PER_S);
	mesh_assert_idle(&p->m);
}

/* An HTTP server that speaks unasked (the 408 of an idle connection, SETTINGS) teaches nothing: its
 * slow client is routed as a fast one. */
static void http_server_speaks(struct pair *p, const char *banner, size_t n)
{
	struct mesh_raw app;
	struct wire x;
	mesh_raw_start(&app, p->web, 8080, NULL);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	mesh_advance(&p->m, 10 * NS_PER_MS);
	assert_int_equal(app.n, 1);
	wire_send(&app.wires[0], str_make(banner, n), 0, NULL);
	wire_close(&app.wires[0], false);
	mesh_advance(&p->m, 100 * NS_PER_S);
	assert_int_equal(learned(p->client), 0);
	assert_int_equal(x.total, 0);
	assert_int_equal(x.err, 0);
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: w\r\n\r\n"), 0, NULL);
	assert_int_equal(app.n, 2);
	wire_send(&app.wires[1], STR("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 0, NULL);
	pair_expect(&x, "", "200 OK");
	assert_int_equal(pair_requests(p->web, "code=\"200\""), 1);
	wire_fini(&x);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_a_408_teaches_nothing(void **state)
{
	http_server_speaks(*state, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", 51);
}

static void test_settings_teach_nothing(void **state)
{
	http_server_speaks(*state, "\0\0\6\4\0\0\0\0\0\0\3\0\0\0\144", 15);
}

/* Nobody says anything: nobody learns anything, and the connection stays. */
static void test_two_silent_ends(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	struct wire x;
	mesh_raw_start(&app, p->web, 8080, NULL);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	mesh_advance(&p->m, 300 * NS_PER_S);
	assert_false(x.eof);
	assert_int_equal(x.err, 0);
	assert_int_equal(learned(p->client), 0);
	wire_send(&x, STR("\1late"), 0, NULL);
	char *got = wire_take(&app.wires[0]);
	assert_string_equal(got, "\1late");
	free(got);
	/* The one that was dialled while waiting. */
	assert_int_equal(app.n, 1);
	wire_fini(&x);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

/* The server is not there: a slow HTTP client hears of that as HTTP, one that waits for a banner is
 * let go. */
static void test_silent_client_of_a_dead_server(void **state)
{
	struct pair *p = *state;
	struct wire x, y;
	mesh_apply(&p->m);
	pair_wire(p, &x);
	pair_wire(p, &y);
	mesh_advance(&p->m, 5 * NS_PER_S);
	pair_expect(&x, "GET / HTTP/1.1\r\nHost: w\r\n\r\n", "503 Service Unavailable");
	assert_int_equal(y.err, 0);
	mesh_advance(&p->m, 10 * NS_PER_S);
	assert_int_equal(y.err, ERR_RESET);
	wire_fini(&x);
	wire_fini(&y);
	mesh_assert_idle(&p->m);
	assert_int_equal(mesh_metric(p->client, "weft_connections_refused_total", NULL), 1);
}

/* A destination that is refused: HTTP hears why, the silent are let go, both are counted. */
static void test_silent_client_of_an_unknown_address(void **state)
{
	struct pair *p = *state;
	struct wire x;
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.99.0.1:25"));
	mesh_advance(&p->m, 9 * NS_PER_S);
	assert_int_equal(x.err, 0);
	mesh_advance(&p->m, 2 * NS_PER_S);
	assert_int_equal(x.err, ERR_RESET);
	assert_int_equal(mesh_metric(p->client, "weft_connections_refused_total",
				 "reason=\"discovery\"", NULL),
		1);
	wire_fini(&x);
	mesh_assert_idle(&p->m);
}

/* -- half-closed before a byte
 * ---------------------------------------------------------------------------------------- */

static void test_a_client_that_only_listens(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	for (int declared = 0; declared < 2; declared++) {
		struct wire x;
		p->m.protocol = declared ? WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP
					 : WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED;
		mesh_raw_start(&app, p->web, 8080, "220 ready\r\n");
		mesh_apply(&p->m);
		pair_wire(p, &x);
		wire_shutdown(&x);
		mesh_advance(&p->m, 20 * NS_PER_MS);
		assert_int_equal(x.total, 11);
		assert_int_equal(app.n, 1);
		assert_true(app.wires[0].eof);
		wire_shutdown(&app.wires[0]);
		mesh_settle(&p->m);
		assert_true(x.eof);
		wire_fini(&x);
		mesh_raw_stop(&app);
	}
	mesh_assert_idle(&p->m);
}

/* -- bytes in pieces
 * -----------------------------------------------------------------------------------------------
 */

static void test_a_request_byte_by_byte(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	for (int slow = 0; slow < 2; slow++) {
		static const char text[] = "GET / HTTP/1.1\r\nHost: w\r\n\r\n";
		pair_wire(p, &x);
		for (size_t i = 0; i + 1 < sizeof(text); i++) {
			wire_send(&x, str_make(text + i, 1), 0, NULL);
			mesh_advance(&p->m, slow ? 20 * NS_PER_MS : 0);
		}
		pair_expect(&x, "", "200 OK");
		wire_fini(&x);
	}
	assert_int_equal(detected(p->client, "http/1"), 2);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* Undecided for too long: outbound the application's own affair, so it is relayed; the other side
 * takes no chances with what may still become a request. */
static void test_undecided_for_too_long(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	struct wire x;
	mesh_raw_start(&app, p->web, 8080, NULL);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR("GET /"), 0, NULL);
	mesh_advance(&p->m, 25 * NS_PER_S);
	wire_send(&x, STR("x HTTP/1.1\r\nHost: w\r\n" FORGED), 0, NULL);
	mesh_settle(&p->m);
	for (size_t i = 0; i < app.n; i++) {
		char *got = wire_take(&app.wires[i]);
		assert_has_not(got, "forged");
		free(got);
	}
	wire_fini(&x);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

/* -- headers past the sidecar
 * ------------------------------------------------------------------------------------------ */

/* Whatever a client in plaintext or with a sidecar of its own does, the application never sees what
 * it forged. */
static void forge(struct pair *p, struct mesh_test_pod *from, const char *first, uint64_t wait,
	const char *second)
{
	struct mesh_raw app;
	struct wire x;
	mesh_raw_start(&app, p->web, 8080, NULL);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, from, "10.77.0.3:8080"));
	wire_send(&x, str_from(first), 0, NULL);
	mesh_advance(&p->m, wait);
	wire_send(&x, str_from(second), 0, NULL);
	wire_shutdown(&x);
	mesh_advance(&p->m, 30 * NS_PER_S);
	for (size_t i = 0; i < app.n; i++) {
		char *got = wire_take(&app.wires[i]);
		if (strstr(got, "forged") != NULL)
			fail_msg("\"%s\", \"%s\": %s", first, second, got);
		free(got);
	}
	wire_fini(&x);
	mesh_raw_stop(&app);
}

static void test_no_header_gets_past(void **state)
{
	static const struct {
		const char *first;
		uint64_t wait;
		const char *second;
	} rows[] = {
		{"GET / HTTP/1.1\r\nHost: w\r\n" FORGED, 0, ""},
		{"", 10 * NS_PER_MS, "GET / HTTP/1.1\r\nHost: w\r\n" FORGED},
		{"", 60 * NS_PER_S, "GET / HTTP/1.1\r\nHost: w\r\n" FORGED},
		{"G", 60 * NS_PER_S, "ET / HTTP/1.1\r\nHost: w\r\n" FORGED},
		{"GET / HTTP/1.1", 60 * NS_PER_S, "\r\nHost: w\r\n" FORGED},
		{"\r\nGET / HTTP/1.1\r\nHost: w\r\n" FORGED, 0, ""},
		{"\r\n", 60 * NS_PER_S, "GET / HTTP/1.1\r\nHost: w\r\n" FORGED},
		{"get / HTTP/1.1\r\nHost: w\r\n" FORGED, 0, ""},
		{"GET\t/ HTTP/1.1\r\nHost: w\r\n" FORGED, 0, ""},
		{"GET  / HTTP/1.1\r\nHost: w\r\n" FORGED, 0, ""},
		{" GET / HTTP/1.1\r\nHost: w\r\n" FORGED, 0, ""},
		{"GET ? HTTP/1.1\r\nHost: w\r\n" FORGED, 0, ""},
		{"GET / HTTP/1.1\r\nHost: w\r\nx_forwarded_client_cert: forged\r\n\r\n", 0, ""},
		{"GET / HTTP/1.1\r\nHost: w\r\nx.forwarded.client.cert: forged\r\n\r\n", 0, ""},
		{"GET / HTTP/1.1\r\nHost: w\r\nX-WEFT-anything: forged\r\n\r\n", 0, ""},
		{"PRI * HTTP/2.0\r\n\r\n", 60 * NS_PER_S, FORGED},
	};
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	for (int mode = 0; mode < 2; mode++) {
		p->m.mtls = mode == 0 ? WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_STRICT
				      : WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
		mesh_apply(&p->m);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			forge(p, p->client, rows[i].first, rows[i].wait, rows[i].second);
			forge(p, stranger, rows[i].first, rows[i].wait, rows[i].second);
		}
	}
	mesh_assert_idle(&p->m);
}

/* A client's sidecar that does as it likes: raw bytes inside weft/tcp, late. */
static void test_nothing_gets_past_inside_weft_tcp(void **state)
{
	struct pair *p = *state;
	static const uint64_t waits[] = {0, 10 * NS_PER_MS, 60 * NS_PER_S};
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		struct mesh_raw app;
		struct wire x;
		mesh_raw_start(&app, p->web, 8080, NULL);
		/* The client believes in TCP, the server in nothing. */
		p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP;
		mesh_apply_one(&p->m, p->client);
		p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED;
		mesh_apply_one(&p->m, p->web);
		pair_wire(p, &x);
		mesh_advance(&p->m, waits[i]);
		wire_send(&x, STR("GET / HTTP/1.1\r\nHost: w\r\n" FORGED), 0, NULL);
		mesh_settle(&p->m);
		bool served = false;
		for (size_t k = 0; k < app.n; k++) {
			char *got = wire_take(&app.wires[k]);
			assert_has_not(got, "forged");
			served = served ||
				strstr(got, "URI=spiffe://cluster.local/ns/default/sa/client");
			free(got);
		}
		assert_true(served);
		wire_fini(&x);
		mesh_raw_stop(&app);
	}
	mesh_assert_idle(&p->m);
}

/* On a port that is declared HTTP there are no opaque bytes, whoever sends them. */
static void test_declared_http_is_never_opaque(void **state)
{
	static const char *const bytes[] = {
		"\1\2\3\4", "SSH-2.0-x\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x70\x03"};
	static const size_t sizes[] = {4, 11, 10};
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	struct mesh_raw app;
	mesh_raw_start(&app, p->web, 8080, NULL);
	for (size_t i = 0; i < 3; i++)
		for (int who = 0; who < 3; who++) {
			struct wire x;
			p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
			p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP;
			mesh_apply(&p->m);
			if (who == 1) { /* a client's sidecar that thinks otherwise */
				p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP;
				mesh_apply_one(&p->m, p->client);
			}
			wire_init(&x, &p->m.w,
				mesh_dial(&p->m, who == 2 ? stranger : p->client,
					"10.77.0.3:8080"));
			mesh_advance(&p->m, 10 * NS_PER_MS);
			wire_send(&x, str_make(bytes[i], sizes[i]), 0, NULL);
			mesh_advance(&p->m, 100 * NS_PER_S);
			assert_true(x.eof || x.err != 0);
			wire_fini(&x);
		}
	assert_int_equal(app.n, 0);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

/* -- PERMISSIVE
 * --------------------------------------------------------------------------------------------------
 */

/* A sidecar that is slow to say hello is still a sidecar. */
static void test_a_slow_hello_is_taken_for_one(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	pair_expect(&x, "GET / HTTP/1.1\r\nHost: w\r\n\r\n", "200 OK");
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	struct wire y;
	/* A stranger that waits, and then turns out to speak TLS of ours. */
	wire_init(&y, &p->m.w, mesh_dial(&p->m, stranger, "10.77.0.3:8080"));
	mesh_advance(&p->m, 50 * NS_PER_MS);
	assert_int_equal(app.accepted, 2); /* one for the request, one waits for the stranger */
	struct http_user *waits = app.users[1];
	wire_send(&y,
		str_make("\x16\x03\x01\x00\x46\x01\x00\x00\x42\x03\x03"
			 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
			 "\0\0\2\x13\x01\1\0\0\x17\0\x10\0\x0b\0\x09\x08weft/tcp\0\x2b\0\3\2\3\4",
			5 + 0x46),
		0, NULL);
	/* The application saw none of it, and the handshake is ours to refuse. */
	assert_true(waits->ended);
	assert_int_equal(waits->n, 0);
	assert_int_equal(detected(p->web, "mesh"), 2);
	mesh_advance(&p->m, 20 * NS_PER_S);
	wire_fini(&x);
	wire_fini(&y);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_a_banner_teaches),
		PAIR_TEST(test_a_408_teaches_nothing),
		PAIR_TEST(test_settings_teach_nothing),
		PAIR_TEST(test_two_silent_ends),
		PAIR_TEST(test_silent_client_of_a_dead_server),
		PAIR_TEST(test_silent_client_of_an_unknown_address),
		PAIR_TEST(test_a_client_that_only_listens),
		PAIR_TEST(test_a_request_byte_by_byte),
		PAIR_TEST(test_undecided_for_too_long),
		PAIR_TEST(test_no_header_gets_past),
		PAIR_TEST(test_nothing_gets_past_inside_weft_tcp),
		PAIR_TEST(test_declared_http_is_never_opaque),
		PAIR_TEST(test_a_slow_hello_is_taken_for_one),
	};
	return cmocka_run_group_tests_name("late, odd and silent bytes", tests, NULL, NULL);
}
