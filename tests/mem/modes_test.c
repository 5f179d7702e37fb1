/*
 * Who speaks how to whom (rule 2): every pair of client and server, meshed or not, under every mode
 * of pod and port; failures that must not be answered by plaintext; modes that change while
 * requests run, and destinations that become meshed while plaintext to them is open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/net/net_sim.h"
#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
#define RAW "\1\2secret"
#define UNSET WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_UNSPECIFIED
#define STRICT WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_STRICT
#define PERMISSIVE WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE
#define DISABLE WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_DISABLE
#define LEN(array) (sizeof(array) / sizeof((array)[0]))

typedef Weft__Mesh__V1__MtlsMode mode;

static const mode pod_modes[] = {STRICT, PERMISSIVE, DISABLE};
static const mode port_modes[] = {UNSET, STRICT, PERMISSIVE, DISABLE};
static const char *const mode_names[] = {"UNSET", "STRICT", "PERMISSIVE", "DISABLE"};

static double refused(struct mesh_test_pod *p, const char *label)
{
	char word[64];
	snprintf(word, sizeof(word), "reason=\"%s\"", label);
	return mesh_metric(p, "weft_connections_refused_total", word, NULL);
}

/* -- the table
 * ------------------------------------------------------------------------------------------------
 */

/* web has a sidecar, bare has none; both have applications of HTTP on 8080 (declared) and 8081 (not
 * declared, so of the pod's mode), and one of bytes on 9090 (the same). */
struct table {
	struct pair *p;
	struct mesh_test_pod *stranger, *bare;
	struct mesh_app http[2][2];
	struct mesh_raw raw[2];
	char where[128]; /* the row, for whoever looks why one fails */
};

static void table_start(struct table *t, struct pair *p)
{
	*t = (struct table){.p = p};
	t->stranger = mesh_pod(&p->m, "stranger", false);
	t->bare = mesh_pod(&p->m, "bare", false);
	for (int i = 0; i < 2; i++) {
		struct mesh_test_pod *server = i == 0 ? p->web : t->bare;
		mesh_app_start(&t->http[i][0], server, 8080, HTTP_V1, app_hello);
		mesh_app_start(&t->http[i][1], server, 8081, HTTP_V1, app_hello);
		mesh_raw_start(&t->raw[i], server, 9090, "220 ready\r\n");
	}
}

static void table_stop(struct table *t)
{
	for (int i = 0; i < 2; i++) {
		mesh_app_stop(&t->http[i][0]);
		mesh_app_stop(&t->http[i][1]);
		mesh_raw_stop(&t->raw[i]);
	}
	mesh_assert_idle(&t->p->m);
}

static void check(const struct table *t, bool holds, const char *what)
{
	if (!holds)
		fail_msg("%s: %s", t->where, what);
}

/* A request to one of the ports; returns what came back. */
static char *ask(struct table *t, struct mesh_test_pod *client, const char *to)
{
	struct wire x;
	struct io *io = mesh_dial(&t->p->m, client, to);
	assert_non_null(io);
	wire_init(&x, &t->p->m.w, io);
	char *got = pair_ask(&x, GET);
	wire_fini(&x);
	mesh_settle(&t->p->m);
	return got;
}

static double plaintext(struct mesh_test_pod *p)
{
	return mesh_metric(p, "weft_plaintext_connections_total", "source_workload=\"stranger\"",
		NULL);
}

static double requests(struct mesh_test_pod *p, const char *tls)
{
	return mesh_metric(p, "weft_requests_total", "code=\"200\"", tls, NULL);
}

static size_t heard(const struct mesh_app *app)
{
	size_t n = 0;
	for (size_t i = 0; i < app->n; i++)
		n += app->users[i]->n;
	return n;
}

/* A meshed client calls one with a sidecar: TLS, whatever the mode. */
static void row_mesh_to_mesh(struct table *t, const char *to)
{
	double tls = requests(t->p->web, "tls=\"mtls\""), plain = requests(t->p->web, "none"),
	       none = mesh_metric(t->p->web, "weft_plaintext_connections_total", NULL);
	char *got = ask(t, t->p->client, to);
	check(t, strstr(got, "200 OK") != NULL, got);
	free(got);
	check(t, requests(t->p->web, "tls=\"mtls\"") == tls + 1, "accepted with TLS");
	check(t, requests(t->p->web, "tls=\"none\"") == plain, "nothing accepted without");
	check(t, mesh_metric(t->p->web, "weft_plaintext_connections_total", NULL) == none,
		"no plaintext counted");
}

/* One without a sidecar calls one with: by the mode of the port, and counted by who it is. */
static void row_stranger_to_mesh(struct table *t, const char *to, bool strict)
{
	double counted = plaintext(t->p->web), out = refused(t->p->web, "plaintext");
	char *got = ask(t, t->stranger, to);
	check(t, (strstr(got, "200 OK") != NULL) == !strict, got);
	check(t, !strict || got[0] == '\0', "not a byte comes back");
	free(got);
	check(t, plaintext(t->p->web) == counted + !strict, "counted by source where admitted");
	check(t, refused(t->p->web, "plaintext") == out + strict, "counted where refused");
}

/* A meshed client calls one without a sidecar: plaintext or nothing at all. */
static void row_mesh_to_bare(struct table *t, const char *to, bool strict)
{
	size_t before = heard(&t->http[1][0]) + heard(&t->http[1][1]);
	size_t accepted = t->http[1][0].accepted + t->http[1][1].accepted;
	double plain = requests(t->p->client, "tls=\"none\"");
	char *got = ask(t, t->p->client, to);
	check(t, strstr(got, strict ? "x-weft-reason: strict" : "200 OK") != NULL, got);
	free(got);
	check(t, heard(&t->http[1][0]) + heard(&t->http[1][1]) == before + !strict,
		"heard where admitted");
	check(t, !strict || t->http[1][0].accepted + t->http[1][1].accepted == accepted,
		"not even dialled");
	check(t, requests(t->p->client, "tls=\"none\"") == plain + !strict, "told as plaintext");
}

static void raw_row(struct table *t, struct mesh_test_pod *client, int server, bool admitted)
{
	struct wire x;
	struct mesh_raw *app = &t->raw[server];
	size_t before = app->n;
	struct io *io =
		mesh_dial(&t->p->m, client, server == 0 ? "10.77.0.3:9090" : "10.77.0.5:9090");
	assert_non_null(io);
	wire_init(&x, &t->p->m.w, io);
	wire_send(&x, STR(RAW), 0, NULL);
	mesh_advance(&t->p->m, 10 * NS_PER_MS);
	char *got = wire_take(&x);
	check(t, (strcmp(got, "220 ready\r\n") == 0) == admitted, "raw bytes");
	check(t, app->n == before + admitted, "raw: dialled where admitted");
	free(got);
	wire_fini(&x);
	for (size_t i = 0; i < app->n; i++)
		wire_close(&app->wires[i], false);
	mesh_settle(&t->p->m);
}

static void rows(struct table *t, mode pod, mode port)
{
	bool strict = (port != UNSET ? port : pod) == STRICT, rest = pod == STRICT;
	snprintf(t->where, sizeof(t->where), "pod %s, port %s", mode_names[pod], mode_names[port]);
	t->p->m.mtls = pod;
	t->p->m.port_mtls = port;
	mesh_apply(&t->p->m);
	row_mesh_to_mesh(t, mesh_vip(&t->p->m));
	row_mesh_to_mesh(t, "10.77.0.3:8080");
	row_mesh_to_mesh(t, "10.77.0.3:8081");
	row_stranger_to_mesh(t, "10.77.0.3:8080", strict);
	row_stranger_to_mesh(t, "10.77.0.3:8081", rest);
	row_mesh_to_bare(t, "10.77.0.5:8080", strict);
	row_mesh_to_bare(t, "10.77.0.5:8081", rest);
	raw_row(t, t->p->client, 0, true);
	raw_row(t, t->stranger, 0, !rest);
	raw_row(t, t->p->client, 1, !rest);
	/* As an endpoint of the service. */
	t->bare->name = "web-bare";
	t->p->web->unready = true;
	mesh_apply(&t->p->m);
	row_mesh_to_bare(t, mesh_vip(&t->p->m), strict);
	t->bare->name = "bare";
	t->p->web->unready = false;
}

static void test_every_combination(void **state)
{
	struct table t;
	table_start(&t, *state);
	for (size_t i = 0; i < LEN(pod_modes); i++)
		for (size_t j = 0; j < LEN(port_modes); j++)
			rows(&t, pod_modes[i], port_modes[j]);
	table_stop(&t);
}

/* -- failures
 * -----------------------------------------------------------------------------------------------
 */

/* What whoever stands in for the web's sidecar hears must be TLS, or nothing. */
static void assert_no_clear_text(struct mesh_raw *raw)
{
	for (size_t i = 0; i < raw->n; i++) {
		size_t n = buf_len(&raw->wires[i].got);
		uint8_t *bytes = mem_alloc(n + 1);
		buf_copy_out(&raw->wires[i].got, 0, bytes, n);
		if (n > 0 && bytes[0] != 22)
			fail_msg("connection %zu begins with %u", i, bytes[0]);
		for (size_t at = 0; at + 6 <= n; at++)
			if (memcmp(bytes + at, "secret", 6) == 0 ||
				memcmp(bytes + at, "HTTP/1", 6) == 0)
				fail_msg("connection %zu carries clear text", i);
		mem_free(bytes);
	}
}

/* HTTP and bytes to the service and to the pod: all fail, and say so. */
static void expect_errors(struct pair *p, struct mesh_raw *far)
{
	static const char *const to[] = {"10.96.0.1:80", "10.77.0.3:8080", "10.77.0.3:9090"};
	for (size_t i = 0; i < LEN(to); i++) {
		struct wire http, raw;
		wire_init(&http, &p->m.w, mesh_dial(&p->m, p->client, to[i]));
		wire_init(&raw, &p->m.w, mesh_dial(&p->m, p->client, to[i]));
		wire_push(&http, STR(GET));
		wire_push(&raw, STR(RAW));
		mesh_settle(&p->m);
		for (size_t k = 0; far != NULL && k < far->n; k++)
			if (buf_len(&far->wires[k].got) > 0)
				wire_close(&far->wires[k], true);
		mesh_advance(&p->m, 40 * NS_PER_S);
		pair_expect(&http, "", "503 Service Unavailable");
		assert_true(raw.err == ERR_RESET);
		assert_int_equal(raw.total, 0);
		wire_fini(&http);
		wire_fini(&raw);
	}
}

static void with_imposter(struct pair *p, void (*fn)(struct pair *p, struct mesh_raw *far))
{
	struct mesh_raw far;
	struct addr ip, in;
	mesh_raw_start(&far, p->web, 4444, NULL);
	assert_int_equal(addr_parse(str_from(p->web->ip), &ip), 0);
	in = addr_with_port(&ip, 4444);
	net_sim_redirect_in(p->m.net, &ip, &in);
	fn(p, &far);
	assert_true(far.n > 0);
	assert_no_clear_text(&far);
	in.port = (uint16_t)p->web->params.inbound_port;
	net_sim_redirect_in(p->m.net, &ip, &in);
	mesh_raw_stop(&far);
}

/* The ClientHello is answered by a reset, each time. */
static void reset_hellos(struct pair *p, struct mesh_raw *far)
{
	expect_errors(p, far);
}

/* It is answered by nothing, until our time is up. */
static void ignore_hellos(struct pair *p, struct mesh_raw *far)
{
	(void)far;
	expect_errors(p, NULL);
}

static void refuse_tcp(struct pair *p)
{
	struct addr ip;
	assert_int_equal(addr_parse(str_from(p->web->ip), &ip), 0);
	for (int i = 0; i < 2; i++) {
		net_sim_fail(p->m.net, &ip, i == 0 ? ERR_REFUSED : ERR_TIMEOUT);
		expect_errors(p, NULL);
	}
	net_sim_fail(p->m.net, &ip, 0);
}

/* The server refuses us, or we refuse it. */
static void refuse_handshake(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		struct mesh_test_pod *bad = i == 0 ? p->client : p->web;
		mesh_apply_leaf(&p->m, bad, p->m.ca, bad->id, CERT_FLAW_BAD_SIGNATURE);
		expect_errors(p, NULL);
		mesh_apply_one(&p->m, bad);
	}
}

static void test_no_failure_is_answered_by_plaintext(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct mesh_raw raw;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_raw_start(&raw, p->web, 9090, NULL);
	for (size_t i = 0; i < LEN(pod_modes); i++) {
		p->m.mtls = pod_modes[i];
		mesh_apply(&p->m);
		with_imposter(p, reset_hellos);
		with_imposter(p, ignore_hellos);
		refuse_tcp(p);
		refuse_handshake(p);
		assert_int_equal(app.accepted, 0);
		assert_int_equal(raw.n, 0);
		assert_true(mesh_metric(p->web, "weft_plaintext_connections_total", NULL) == 0);
	}
	mesh_app_stop(&app);
	mesh_raw_stop(&raw);
	mesh_assert_idle(&p->m);
}

/* The connection that the pool has dies, with the server's sidecar. */
static void test_a_pool_that_dies_is_not_replaced_by_plaintext(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	struct addr ip;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	p->m.mtls = DISABLE;
	mesh_apply(&p->m);
	pair_wire(p, &x);
	pair_expect(&x, GET, "200 OK");
	assert_int_equal(addr_parse(str_from(p->web->ip), &ip), 0);
	net_sim_redirect_in(p->m.net, &ip, NULL); /* the application alone is there */
	mesh_break_upstreams(p->client, ERR_RESET);
	mesh_settle(&p->m);
	unsigned heard = app.users[0]->n;
	for (int i = 0; i < 3; i++)
		pair_expect(&x, GET, "(UF)");
	assert_int_equal(app.users[0]->n, heard);
	for (size_t i = 1; i < app.n; i++)
		assert_has(http_user_log(app.users[i]), "conn end PROTOCOL");
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* -- modes that change
 * -------------------------------------------------------------------------------------------
 */

#define HELD 8

static void test_modes_change_while_requests_run(void **state)
{
	static const mode cycle[] = {STRICT, PERMISSIVE, DISABLE, STRICT};
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	struct mesh_app app;
	struct mesh_raw raw;
	struct wire x[HELD], tcp, plain, plain_tcp;
	p->m.keep_leaves = true;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_raw_start(&raw, p->web, 9090, "220 ready\r\n");
	mesh_apply(&p->m);
	for (int i = 0; i < HELD; i++)
		pair_wire(p, &x[i]);
	wire_init(&tcp, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	wire_send(&tcp, STR(RAW), 0, NULL);
	for (size_t c = 0; c < LEN(cycle); c++) {
		for (int i = 0; i < HELD; i++)
			wire_push(&x[i], STR(GET));
		loop_sim_settle(p->m.w.loop, 3 * c); /* some bytes are under way */
		p->m.mtls = cycle[c];
		/* In either order. */
		mesh_apply_one(&p->m, c % 2 == 0 ? p->web : p->client);
		mesh_settle(&p->m);
		mesh_apply(&p->m);
		for (size_t i = 0; i < app.n; i++)
			for (unsigned k = 0; k < app.users[i]->n; k++)
				if (!app.users[i]->x[k]->ended)
					exchange_reply(app.users[i]->x[k], 200, NULL, "hello");
		mesh_settle(&p->m);
		for (int i = 0; i < HELD; i++)
			pair_expect(&x[i], "", "200 OK");
		assert_true(tcp.err == 0 && !tcp.eof);
		if (cycle[c] == PERMISSIVE) {
			wire_init(&plain, &p->m.w, mesh_dial(&p->m, stranger, "10.77.0.3:8080"));
			wire_send(&plain, STR(GET), 0, NULL);
			wire_init(&plain_tcp, &p->m.w,
				mesh_dial(&p->m, stranger, "10.77.0.3:9090"));
			wire_send(&plain_tcp, STR(RAW), 0, NULL);
		} else if (cycle[c] == DISABLE) {
			assert_true(plain.err == 0 && plain_tcp.err == 0);
			pair_expect(&plain, "", "200 OK");
		}
	}
	assert_int_equal(plain.err, ERR_RESET);
	assert_int_equal(plain_tcp.err, ERR_RESET);
	assert_true(refused(p->web, "plaintext") == 2);
	/* All went over the same connection. */
	assert_int_equal(pools_opened(proxy_flow(p->client->proxy)->pools), 1);
	for (int i = 0; i < HELD; i++)
		wire_fini(&x[i]);
	wire_fini(&tcp);
	wire_fini(&plain);
	wire_fini(&plain_tcp);
	mesh_app_stop(&app);
	mesh_raw_stop(&raw);
	mesh_assert_idle(&p->m);
}

/* -- destinations that become meshed
 * ----------------------------------------------------------------------------- */

static enum lookup_answer on_ask(void *arg, const struct addr *ip)
{
	(void)arg;
	(void)ip;
	return LOOKUP_NOT_MESHED;
}

static void on_other(void *arg, const struct addr *ip)
{
	(void)arg;
	(void)ip;
}

/* A pod without sidecar, with an application of bytes and one of HTTP; nobody knows it. */
struct outside {
	struct pair *p;
	struct mesh_test_pod *bare;
	struct mesh_raw raw;
	struct mesh_app app;
	struct wire x, http;
};

static void outside_start(struct outside *o, struct pair *p, bool known)
{
	const struct lookup l = {on_ask, on_other, on_other, p};
	*o = (struct outside){.p = p, .bare = mesh_pod(&p->m, "bare", false)};
	o->bare->hidden = !known;
	p->m.mtls = PERMISSIVE;
	p->m.keep_leaves = true;
	mesh_start_proxy(p->client);
	flow_set_lookup(proxy_flow(p->client->proxy), &l);
	mesh_raw_start(&o->raw, o->bare, 9090, "220 ready\r\n");
	mesh_app_start(&o->app, o->bare, 8080, HTTP_V1, app_silent);
	mesh_apply(&p->m);
	wire_init(&o->x, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.4:9090"));
	wire_send(&o->x, STR(RAW), 0, NULL);
	wire_init(&o->http, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.4:8080"));
	wire_send(&o->http, STR(GET), 0, NULL);
	assert_int_equal(o->x.total, 11);
	assert_int_equal(o->app.n, 1);
}

static void outside_stop(struct outside *o)
{
	wire_fini(&o->x);
	wire_fini(&o->http);
	mesh_raw_stop(&o->raw);
	mesh_app_stop(&o->app);
	mesh_assert_idle(&o->p->m);
}

/* It is known now, and may be spoken to as before: nothing happens. */
static void test_a_destination_becomes_known(void **state)
{
	struct outside o;
	outside_start(&o, *state, false);
	o.bare->hidden = false;
	mesh_apply_one(&o.p->m, o.p->client);
	assert_true(o.x.err == 0 && !o.x.eof);
	exchange_reply(o.app.users[0]->x[0], 200, NULL, "hello");
	mesh_settle(&o.p->m);
	pair_expect(&o.http, "", "200 OK");
	outside_stop(&o);
}

static void test_a_destination_becomes_meshed(void **state)
{
	struct outside o;
	outside_start(&o, *state, false);
	o.bare->hidden = false;
	o.bare->meshed = true;
	mesh_apply_one(&o.p->m, o.p->client);
	assert_int_equal(o.x.err, ERR_RESET);
	assert_int_equal(o.http.err, ERR_RESET); /* it was passed on, so bytes */
	assert_true(refused(o.p->client, "meshed") == 2);
	assert_true(mesh_logged(&o.p->m, "the destination has a sidecar now"));
	o.bare->meshed = false;
	mesh_apply_one(&o.p->m, o.p->client);
	outside_stop(&o);
}

/* An address that was passed on becomes that of a service: to whom its bytes went nobody knows. */
static void test_a_service_becomes_meshed(void **state)
{
	const struct lookup l = {on_ask, on_other, on_other, NULL};
	struct pair *p = *state;
	struct mesh_test_pod *vip = mesh_pod(&p->m, "vip", false);
	struct mesh_raw raw;
	struct wire x;
	snprintf(vip->ip, sizeof(vip->ip), "10.96.0.1");
	vip->hidden = p->m.hide_service = true;
	mesh_start_proxy(p->client);
	flow_set_lookup(proxy_flow(p->client->proxy), &l);
	mesh_raw_start(&raw, vip, 80, "220 ready\r\n");
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR(RAW), 0, NULL);
	assert_int_equal(x.total, 11);
	p->m.hide_service = false;
	mesh_apply_one(&p->m, p->client);
	assert_int_equal(x.err, ERR_RESET);
	assert_true(refused(p->client, "meshed") == 1);
	wire_fini(&x);
	mesh_raw_stop(&raw);
	mesh_assert_idle(&p->m);
}

/* Known from the start, so that HTTP is HTTP: requests are answered, one by one. */
static void test_a_plaintext_endpoint_becomes_meshed(void **state)
{
	struct outside o;
	outside_start(&o, *state, true);
	o.bare->meshed = true;
	mesh_apply_one(&o.p->m, o.p->client);
	assert_int_equal(o.x.err, ERR_RESET);
	pair_expect(&o.http, "", "x-weft-reason: meshed");
	pair_expect(&o.http, GET, "(UF)"); /* by TLS, for which nobody is there */
	o.bare->meshed = false;
	mesh_apply_one(&o.p->m, o.p->client);
	outside_stop(&o);
}

static void test_a_plaintext_endpoint_becomes_strict(void **state)
{
	struct outside o;
	outside_start(&o, *state, true);
	o.p->m.mtls = STRICT;
	mesh_apply_one(&o.p->m, o.p->client);
	assert_int_equal(o.x.err, ERR_RESET);
	pair_expect(&o.http, "", "x-weft-reason: strict");
	assert_true(o.app.users[0]->x[0]->ended);
	unsigned before = o.app.accepted;
	pair_expect(&o.http, GET, "x-weft-reason: strict");
	assert_int_equal(o.app.accepted, before);
	outside_stop(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_every_combination),
		PAIR_TEST(test_no_failure_is_answered_by_plaintext),
		PAIR_TEST(test_a_pool_that_dies_is_not_replaced_by_plaintext),
		PAIR_TEST(test_modes_change_while_requests_run),
		PAIR_TEST(test_a_destination_becomes_known),
		PAIR_TEST(test_a_destination_becomes_meshed),
		PAIR_TEST(test_a_service_becomes_meshed),
		PAIR_TEST(test_a_plaintext_endpoint_becomes_meshed),
		PAIR_TEST(test_a_plaintext_endpoint_becomes_strict),
	};
	return cmocka_run_group_tests_name("modes", tests, NULL, NULL);
}
