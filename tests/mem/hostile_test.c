/*
 * What a peer might hope for: a connection that waits for a silent client and outlives the trust in
 * it, a request that is sent again though it may have been acted on, places that are all taken, a
 * request hidden behind an upgrade.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

/* -- trust in what waits
 * -----------------------------------------------------------------------------------------------
 */

/* Server and client are silent, so an upstream is dialled and waits; then its leaf is revoked. The
 * other endpoint's banner reaches the client. */
static void test_a_revoked_server_waits_for_nobody(void **state)
{
	struct pair *p = *state;
	struct mesh_raw raw, other;
	struct wire x;
	char serials[2][64], *got;
	mesh_raw_start(&raw, p->web, 8080, NULL);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	mesh_advance(&p->m, NS_PER_S);
	assert_int_equal(raw.n, 1);
	snprintf(serials[0], sizeof(serials[0]), "%s", mesh_serial(p->web));
	mesh_raw_start(&other, mesh_pod(&p->m, "web-2", true), 8080, "220 hello\r\n");
	mesh_apply(&p->m);
	mesh_advance(&p->m, NS_PER_S);
	snprintf(serials[1], sizeof(serials[1]), "%s", mesh_serial(p->web));
	p->m.revoked[0] = serials[0];
	p->m.revoked[1] = serials[1];
	p->m.n_revoked = 2;
	mesh_apply_one(&p->m, p->client);
	mesh_advance(&p->m, NS_PER_S);
	assert_true(raw.wires[0].err != 0 || raw.wires[0].eof);
	assert_true(mesh_metric(p->client, "weft_connections_refused_total",
			    "direction=\"outbound\"", "reason=\"cert_revoked\"", NULL) >= 1);
	got = wire_take(&x);
	assert_string_equal(got, "220 hello\r\n");
	free(got);
	wire_fini(&x);
	mesh_raw_stop(&raw);
	mesh_raw_stop(&other);
	mesh_assert_idle(&p->m);
}

/* With no other endpoint the client is let go, in time. */
static void test_a_client_of_a_revoked_server_is_let_go(void **state)
{
	struct pair *p = *state;
	struct mesh_raw raw;
	struct wire x;
	char serial[64];
	mesh_raw_start(&raw, p->web, 8080, NULL);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	mesh_advance(&p->m, NS_PER_S);
	snprintf(serial, sizeof(serial), "%s", mesh_serial(p->web));
	p->m.revoked[0] = serial;
	p->m.n_revoked = 1;
	mesh_apply_one(&p->m, p->client);
	mesh_advance(&p->m, 15 * NS_PER_S);
	assert_int_equal(x.err, ERR_RESET);
	wire_fini(&x);
	mesh_raw_stop(&raw);
	mesh_assert_idle(&p->m);
}

/* -- sent once
 * ---------------------------------------------------------------------------------------------------------
 */

static unsigned heard(const struct mesh_app *a)
{
	unsigned n = 0;
	for (size_t i = 0; i < a->n; i++)
		n += a->users[i]->n;
	return n;
}

/* A sidecar ends at once while an application is at work on a POST; there is another endpoint. */
static void quit_amid(struct pair *p, bool client, enum http_version v)
{
	struct mesh_app a, b;
	struct http_user u;
	struct mesh_test_pod *other = mesh_pod(&p->m, "web-2", true);
	mesh_app_start(&a, p->web, 8080, v, app_silent);
	mesh_app_start(&b, other, 8080, v, app_silent);
	p->m.protocol = v == HTTP_V2 ? WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP2
				     : WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP;
	mesh_apply(&p->m);
	pair_client(p, &u, v);
	struct exchange *x = http_user_request(&u, "POST", "/", NULL, 2, false);
	exchange_send(x, STR("ab"), true);
	mesh_settle(&p->m);
	assert_int_equal(heard(&a) + heard(&b), 1);
	struct mesh_test_pod *at_work = heard(&a) > 0 ? p->web : other;
	proxy_quit((client ? p->client : at_work)->proxy);
	mesh_advance(&p->m, 60 * NS_PER_S);
	assert_int_equal(heard(&a) + heard(&b), 1);
	assert_true(x->ended);
	assert_int_not_equal(x->status, 200);
	http_user_fini(&u);
	mesh_app_stop(&a);
	mesh_app_stop(&b);
}

static void test_a_server_quits(void **state)
{
	quit_amid(*state, false, HTTP_V1);
}

static void test_a_server_quits_http2(void **state)
{
	quit_amid(*state, false, HTTP_V2);
}

static void test_a_client_quits(void **state)
{
	quit_amid(*state, true, HTTP_V1);
}

/* -- places
 * ------------------------------------------------------------------------------------------------------------
 */

/* Strangers take all that is to be had inbound; what the pod itself calls goes on. */
static void test_strangers_leave_places_for_the_pod(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire strangers[8], x;
	struct mesh_test_pod *outside = mesh_pod(&p->m, "outside", false);
	p->client->params.max_connections = 8;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	for (int i = 0; i < 8; i++)
		wire_init(&strangers[i], &p->m.w, mesh_dial(&p->m, outside, "10.77.0.2:8080"));
	mesh_settle(&p->m);
	assert_int_equal(strangers[0].err, 0);
	assert_int_equal(strangers[7].err, ERR_RESET);
	pair_wire(p, &x);
	pair_expect(&x, "GET / HTTP/1.1\r\nHost: web\r\n\r\n", "200 OK");
	wire_fini(&x);
	for (int i = 0; i < 8; i++)
		wire_fini(&strangers[i]);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* -- another protocol than was said
 * -------------------------------------------------------------------------------------------------
 */

/* The caller's sidecar is told that the port is TCP, so that what its application says travels as
 * bytes; the receiver is told nothing and looks. */
static void called_tcp(struct pair *p, Weft__Mesh__V1__Protocol here)
{
	p->m.protocol = here;
	mesh_apply(&p->m);
	p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP;
	mesh_apply_one(&p->m, p->client);
}

#define FORGED "X-Forwarded-Client-Cert: forged\r\nX_Weft_Claims: forged\r\n\r\n"

/* What any server might read as a request is read by us first. */
static void test_requests_in_raw_bytes(void **state)
{
	static const struct {
		const char *first, *rest; /* with a long time in between */
		bool served;
	} rows[] = {
		{"GET / HTTP/1.1\r\nHost: w\r\n" FORGED, "", true},
		{"G", "ET / HTTP/1.1\r\nHost: w\r\n" FORGED, true},
		{"\r\n", "GET / HTTP/1.1\r\nHost: w\r\n" FORGED, true},
		{"GET / HTTP/1.1\r\nHos", "t: w\r\n" FORGED, true},
		{"get / http/1.1\r\nHost: w\r\n" FORGED, "", false},
		{" GET / HTTP/1.1\r\nHost: w\r\n" FORGED, "", false},
		{"GET\t/ HTTP/1.1\nHost: w\n" FORGED, "", false},
		{"\n\n\n \tGET /", " HTTP/1.0\r\nHost: w\r\n" FORGED, false},
	};
	static const Weft__Mesh__V1__Protocol declared[] = {
		WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED,
		WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP};
	struct pair *p = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) * 2; i++) {
		struct mesh_raw raw;
		struct wire x;
		mesh_raw_start(&raw, p->web, 8080, NULL);
		called_tcp(p, declared[i % 2]);
		pair_wire(p, &x);
		wire_send(&x, str_from(rows[i / 2].first), 0, NULL);
		mesh_advance(&p->m, 11 * NS_PER_S);
		wire_send(&x, str_from(rows[i / 2].rest), 0, NULL);
		mesh_advance(&p->m, NS_PER_S);
		for (size_t k = 0; k < raw.n; k++) {
			char *got = wire_take(&raw.wires[k]);
			assert_has_not(got, "forged");
			if (got[0] != '\0') {
				assert_true(rows[i / 2].served);
				assert_has(got, "URI=spiffe://cluster.local/ns/default/sa/client");
			}
			free(got);
		}
		wire_fini(&x);
		mesh_raw_stop(&raw);
		mesh_assert_idle(&p->m);
	}
}

/* What follows a request for an upgrade is the tunnel's, and goes nowhere before there is one. */
static void test_a_request_behind_an_upgrade(void **state)
{
	struct pair *p = *state;
	struct mesh_raw raw;
	struct wire x;
	char *got;
	mesh_raw_start(&raw, p->web, 8080, NULL);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x,
		STR("GET /chat HTTP/1.1\r\nHost: w\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		    "GET /hidden HTTP/1.1\r\nHost: w\r\n" FORGED),
		0, NULL);
	mesh_advance(&p->m, NS_PER_S);
	assert_int_equal(raw.n, 1);
	got = wire_take(&raw.wires[0]);
	assert_has(got, "GET /chat HTTP/1.1\r\n");
	assert_has_not(got, "hidden");
	free(got);
	wire_send(&raw.wires[0], STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"), 0, NULL);
	mesh_advance(&p->m, NS_PER_S);
	for (size_t k = 0; k < raw.n; k++) {
		got = wire_take(&raw.wires[k]);
		assert_has_not(got, "forged");
		free(got);
	}
	wire_fini(&x);
	mesh_raw_stop(&raw);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_a_revoked_server_waits_for_nobody),
		PAIR_TEST(test_a_client_of_a_revoked_server_is_let_go),
		PAIR_TEST(test_a_server_quits),
		PAIR_TEST(test_a_server_quits_http2),
		PAIR_TEST(test_a_client_quits),
		PAIR_TEST(test_strangers_leave_places_for_the_pod),
		PAIR_TEST(test_requests_in_raw_bytes),
		PAIR_TEST(test_a_request_behind_an_upgrade),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
