/*
 * Upstreams that fail: in the middle of an answer, between requests, before a connection. What may
 * be tried again is, what may not is told, and nothing is counted twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/net/net_sim.h"
#include "tests/support/mesh_pair.h"

/* Every log line about requests; with the same number of metrics. */
static void assert_counted(struct pair *p, unsigned n)
{
	assert_int_equal(pair_requests(p->client, NULL), n);
}

/* -- in the middle of an answer
 * --------------------------------------------------------------------------------------- */

static void half_head(struct exchange *x)
{
	struct http_head h;
	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = 200;
	h.length = str_eq(x->head->path, STR("/chunked")) ? HTTP_LENGTH_UNKNOWN : 100;
	stream_send_head(x->stream, &h, false);
	exchange_send(x, STR("half"), false);
}

static void app_half(struct http_user *u)
{
	u->on_head = half_head;
}

static void reset_mid_body(struct pair *p, enum http_version v, const char *path)
{
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, v, app_half);
	mesh_apply(&p->m);
	pair_client(p, &u, v);
	struct exchange *x = http_user_request(&u, "GET", path, NULL, 0, true);
	mesh_settle(&p->m);
	assert_int_equal(x->body_bytes, 4);
	assert_false(x->ended);
	http_conn_end(app.users[0]->conn, REASON_INTERNAL);
	mesh_settle(&p->m);
	assert_true(x->ended && !x->in_done);
	assert_int_not_equal(x->reason, REASON_OK);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_counted(p, 1);
	assert_int_equal(pair_requests(p->web, "reason=\"UC\""), 1);
	assert_int_equal(pair_requests(p->client, "reason=\"UR\""), 1);
	assert_int_equal(app.accepted, 1);
}

static void test_reset_within_a_body(void **state)
{
	reset_mid_body(*state, HTTP_V1, "/");
}

static void test_reset_within_chunks(void **state)
{
	reset_mid_body(*state, HTTP_V1, "/chunked");
}

static void test_reset_within_a_body_http2(void **state)
{
	reset_mid_body(*state, HTTP_V2, "/");
}

/* A clean end of a body without a length must not be made of a broken one, on raw bytes. */
static void test_a_cut_answer_never_looks_whole(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	static const char *const versions[] = {"1.1", "1.0"};
	for (int i = 0; i < 2; i++) {
		struct wire x;
		char text[128];
		mesh_app_start(&app, p->web, 8080, HTTP_V1, app_half);
		mesh_apply(&p->m);
		pair_wire(p, &x);
		snprintf(text, sizeof(text), "GET /chunked HTTP/%s\r\nHost: web\r\n\r\n",
			versions[i]);
		pair_expect(&x, text, "half");
		http_conn_end(app.users[0]->conn, REASON_INTERNAL);
		mesh_settle(&p->m);
		assert_false(x.eof);
		assert_int_equal(x.err, ERR_RESET);
		char *got = wire_take(&x);
		assert_string_equal(got, "");
		free(got);
		wire_fini(&x);
		mesh_app_stop(&app);
	}
	mesh_assert_idle(&p->m);
}

/* -- between requests
 * -------------------------------------------------------------------------------------------------
 */

/* The application closes its kept connection when it reads the next request, unanswered. */
static void die_head(struct exchange *x)
{
	struct mesh_app *app = x->user->arg;
	unsigned *deaths = app->arg;
	if (x->number > 1 && *deaths > 0) {
		(*deaths)--;
		http_conn_end(x->user->conn, REASON_INTERNAL);
		return;
	}
	exchange_reply(x, 200, NULL, "hello");
}

static void app_dies(struct http_user *u)
{
	u->on_head = die_head;
}

static void die_between(struct pair *p, enum http_version v, const char *method, bool retried)
{
	struct mesh_app app;
	struct http_user u;
	unsigned deaths = 1;
	mesh_app_start(&app, p->web, 8080, v, app_dies);
	app.arg = &deaths;
	mesh_apply(&p->m);
	pair_client(p, &u, v);
	for (int i = 0; i < 2; i++) {
		struct exchange *x =
			http_user_request(&u, i == 0 ? "GET" : method, "/", NULL, 0, true);
		mesh_settle(&p->m);
		assert_true(x->ended);
		assert_int_equal(x->status, i == 0 || retried ? 200 : 503);
	}
	assert_int_equal(deaths, 0);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_counted(p, 2);
	assert_int_equal(pair_requests(p->web, NULL), 2);
	assert_int_equal(mesh_logged(&p->m, "\"attempts\":2"), retried);
}

static void test_a_kept_connection_dies_get(void **state)
{
	die_between(*state, HTTP_V1, "GET", true);
}

static void test_a_kept_connection_dies_put(void **state)
{
	die_between(*state, HTTP_V1, "PUT", true);
}

static void test_a_kept_connection_dies_post(void **state)
{
	die_between(*state, HTTP_V1, "POST", false);
}

static void test_a_shared_connection_dies(void **state)
{
	die_between(*state, HTTP_V2, "GET", true);
}

static void test_a_shared_connection_dies_post(void **state)
{
	die_between(*state, HTTP_V2, "POST", false);
}

/* The connection between the sidecars goes while nothing is on it: nobody notices. */
static void test_the_mesh_connection_dies_idle(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	for (int i = 0; i < 4; i++) {
		pair_expect(&x, "POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 0\r\n\r\n",
			"200 OK");
		assert_int_equal(mesh_break_upstreams(p->client, ERR_RESET), 1);
		mesh_settle(&p->m);
	}
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_counted(p, 4);
}

/* A body that was sent in part is sent again from the start. */
static void test_the_body_is_replayed(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	unsigned deaths = 1;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_dies);
	app.arg = &deaths;
	mesh_apply(&p->m);
	pair_client(p, &u, HTTP_V1);
	struct exchange *x = http_user_request(&u, "PUT", "/", NULL, 0, true);
	mesh_settle(&p->m);
	x = http_user_request(&u, "PUT", "/", NULL, 30000, false);
	exchange_source(x, 30000);
	mesh_settle(&p->m);
	assert_int_equal(x->status, 200);
	assert_int_equal(app.n, 2);
	/* The second connection had it whole. */
	assert_int_equal(app.users[1]->x[0]->body_bytes, 30000);
	assert_int_equal(app.users[1]->x[0]->body_sum, x->sent_sum);
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_counted(p, 2);
}

/* -- before a connection
 * ---------------------------------------------------------------------------------------------- */

static void refuse(struct pair *p, const struct mesh_test_pod *pod, int err)
{
	struct addr a;
	assert_int_equal(addr_parse(str_from(pod->ip), &a), 0);
	net_sim_fail(p->m.net, &a, err);
}

static void one_of_two(struct pair *p, int err)
{
	struct mesh_app one, two;
	struct wire x;
	struct mesh_test_pod *web2 = mesh_pod(&p->m, "web2", true);
	p->m.round_robin = true;
	mesh_app_start(&one, p->web, 8080, HTTP_V1, app_hello);
	mesh_app_start(&two, web2, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	refuse(p, p->web, err);
	pair_wire(p, &x);
	for (int i = 0; i < 10; i++) {
		wire_send(&x, STR("POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 2\r\n\r\nab"), 0,
			NULL);
		mesh_advance(&p->m, err == ERR_TIMEOUT ? 6 * NS_PER_S : 0);
		char *got = wire_take(&x);
		assert_has(got, "200 OK");
		free(got);
	}
	assert_int_equal(one.accepted, 0);
	assert_counted(p, 10);
	/* It is avoided for a while, then tried again. */
	refuse(p, p->web, 0);
	mesh_advance(&p->m, 6 * NS_PER_S);
	for (int i = 0; i < 2; i++)
		pair_expect(&x, "GET / HTTP/1.1\r\nHost: w\r\n\r\n", "200 OK");
	assert_int_equal(one.accepted, 1);
	wire_fini(&x);
	mesh_app_stop(&one);
	mesh_app_stop(&two);
	mesh_assert_idle(&p->m);
}

static void test_one_of_two_endpoints_refuses(void **state)
{
	one_of_two(*state, ERR_REFUSED);
	assert_true(mesh_logged(&((struct pair *)*state)->m, "\"attempts\":2"));
}

static void test_one_of_two_endpoints_is_silent(void **state)
{
	one_of_two(*state, ERR_TIMEOUT);
}

static void test_ejected_endpoints_are_not_asked_first(void **state)
{
	struct pair *p = *state;
	struct mesh_app two;
	struct wire x;
	struct mesh_test_pod *web2 = mesh_pod(&p->m, "web2", true);
	mesh_app_start(&two, web2, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	refuse(p, p->web, ERR_REFUSED);
	pair_wire(p, &x);
	for (int i = 0; i < 40; i++)
		pair_expect(&x, "GET / HTTP/1.1\r\nHost: w\r\n\r\n", "200 OK");
	/* Met at most once within the five seconds. */
	size_t n = buf_len(&p->m.log_text), found = 0;
	char *all = malloc(n + 1);
	buf_copy_out(&p->m.log_text, 0, all, n);
	all[n] = '\0';
	for (char *at = all; (at = strstr(at, "\"attempts\":2")) != NULL; at++)
		found++;
	free(all);
	assert_in_range(found, 0, 1);
	wire_fini(&x);
	mesh_app_stop(&two);
	mesh_assert_idle(&p->m);
}

static void test_no_endpoint_answers(void **state)
{
	struct pair *p = *state;
	struct wire x;
	mesh_pod(&p->m, "web2", true);
	mesh_apply(&p->m);
	refuse(p, p->web, ERR_REFUSED);
	refuse(p, &p->m.pods[2], ERR_UNREACHABLE);
	pair_wire(p, &x);
	char *got = pair_ask(&x, "GET / HTTP/1.1\r\nHost: w\r\n\r\n");
	assert_has(got, "503 Service Unavailable");
	assert_has(got, "(UF)");
	free(got);
	wire_fini(&x);
	mesh_assert_idle(&p->m);
	assert_counted(p, 1);
	assert_int_equal(pair_requests(p->client, "reason=\"UF\""), 1);
	assert_true(mesh_logged(&p->m, "\"attempts\":3") || mesh_logged(&p->m, "\"attempts\":2"));
}

static void test_raw_tcp_tries_the_other_endpoint(void **state)
{
	struct pair *p = *state;
	struct mesh_raw two;
	struct mesh_test_pod *web2 = mesh_pod(&p->m, "web2", true);
	p->m.round_robin = true;
	mesh_raw_start(&two, web2, 8080, "220 ready\r\n");
	mesh_apply(&p->m);
	refuse(p, p->web, ERR_REFUSED);
	for (int i = 0; i < 4; i++) {
		struct wire x;
		pair_wire(p, &x);
		if (i % 2 == 0) /* speaks first, else waits for the server */
			wire_send(&x, STR("\1\2\3"), 0, NULL);
		mesh_advance(&p->m, 20 * NS_PER_MS);
		char *got = wire_take(&x);
		assert_string_equal(got, "220 ready\r\n");
		free(got);
		wire_fini(&x);
		wire_close(&two.wires[two.n - 1], false);
		assert_true(mesh_metric(p->client, "weft_tcp_connections_opened_total",
				    "destination_workload=\"web2\"", NULL) == 1);
		assert_true(mesh_metric(p->client, "weft_tcp_connections_closed_total",
				    "destination_workload=\"web2\"", NULL) == 1);
		/* What was learned would hide the difference; the metrics expire too. */
		mesh_advance(&p->m, 2 * 3600 * NS_PER_S);
	}
	mesh_raw_stop(&two);
	mesh_assert_idle(&p->m);
}

/* The application behind the server's sidecar is down: the client's sidecar gets an answer. */
/* -- while the configuration changes
 * ----------------------------------------------------------------------------------- */

/* Two endpoints without sidecar, the first of which is silent; while it is waited for, change() is
 * in force. Nothing is sent in plaintext by what was known before. */
static void changed_amid(struct pair *p, bool http, void (*change)(struct pair *p))
{
	struct mesh_raw two;
	struct wire x[4];
	struct mesh_test_pod *web2 = mesh_pod(&p->m, "web2", false);
	p->m.round_robin = true;
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
	p->web->meshed = false;
	mesh_raw_start(&two, web2, 8080, NULL);
	mesh_apply(&p->m);
	refuse(p, p->web, ERR_TIMEOUT);
	for (size_t i = 0; i < 4; i++) {
		pair_wire(p, &x[i]);
		wire_send(&x[i], http ? STR("GET / HTTP/1.1\r\nHost: w\r\n\r\n") : STR("\1\2\3"), 0,
			NULL);
	}
	assert_in_range(two.n, 1, 3); /* the others wait for the silent one */
	size_t before = two.n;
	change(p);
	mesh_apply_one(&p->m, p->client);
	mesh_advance(&p->m, 6 * NS_PER_S);
	assert_int_equal(two.n, before);
	for (size_t i = 0; i < 4; i++)
		wire_fini(&x[i]);
	mesh_raw_stop(&two);
	web2->meshed = web2->hidden = false;
	mesh_apply_one(&p->m, p->client);
	mesh_assert_idle(&p->m);
}

static void becomes_meshed(struct pair *p)
{
	p->m.pods[2].meshed = true;
}

static void goes_away(struct pair *p)
{
	p->m.pods[2].hidden = true;
}

static void becomes_strict(struct pair *p)
{
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_STRICT;
}

static void test_the_other_endpoint_becomes_meshed(void **state)
{
	changed_amid(*state, true, becomes_meshed);
}

static void test_the_other_endpoint_becomes_meshed_raw(void **state)
{
	changed_amid(*state, false, becomes_meshed);
}

/* Whose its address is now nobody has said. */
static void test_the_other_endpoint_goes_away(void **state)
{
	changed_amid(*state, true, goes_away);
}

static void test_the_other_endpoint_goes_away_raw(void **state)
{
	changed_amid(*state, false, goes_away);
}

static void test_the_other_endpoint_becomes_strict(void **state)
{
	changed_amid(*state, true, becomes_strict);
}

/* An endpoint without sidecar goes away while it is dialled: whoever answers there may be another
 * pod, and gets no byte. */
static void gone_while_dialled(struct pair *p, bool http)
{
	struct mesh_raw web;
	struct wire x;
	p->web->meshed = false;
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
	mesh_apply(&p->m);
	mesh_raw_start(&web, p->web, 8080, NULL);
	refuse(p, p->web, ERR_TIMEOUT);
	pair_wire(p, &x);
	wire_send(&x, http ? STR("GET / HTTP/1.1\r\nHost: w\r\n\r\n") : STR("\1\2\3"), 0, NULL);
	mesh_advance(&p->m, NS_PER_S);
	p->web->hidden = true;
	mesh_apply_one(&p->m, p->client);
	refuse(p, p->web, 0);
	net_sim_retransmit(p->m.net);
	mesh_advance(&p->m, NS_PER_S);
	for (size_t i = 0; i < web.n; i++)
		assert_int_equal(web.wires[i].total, 0);
	wire_fini(&x);
	mesh_raw_stop(&web);
	p->web->hidden = false;
	mesh_apply_one(&p->m, p->client);
	mesh_assert_idle(&p->m);
}

static void test_an_endpoint_goes_away_while_dialled(void **state)
{
	gone_while_dialled(*state, true);
}

static void test_an_endpoint_goes_away_while_dialled_raw(void **state)
{
	gone_while_dialled(*state, false);
}

/* A head that comes slowly is sent where the configuration says that it goes when it has come. */
static void test_the_endpoints_change_within_a_head(void **state)
{
	struct pair *p = *state;
	struct mesh_app two;
	struct wire x;
	struct mesh_test_pod *web2 = mesh_pod(&p->m, "web2", false);
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
	p->web->meshed = false;
	web2->hidden = true;
	mesh_app_start(&two, web2, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: "), 0, NULL);
	mesh_advance(&p->m, 100 * NS_PER_MS);
	p->web->hidden = true;
	web2->hidden = false;
	mesh_apply_one(&p->m, p->client);
	pair_expect(&x, "w\r\n\r\n", "200 OK");
	assert_int_equal(two.accepted, 1);
	wire_fini(&x);
	mesh_app_stop(&two);
	mesh_assert_idle(&p->m);
}

static void test_the_application_is_down(void **state)
{
	struct pair *p = *state;
	struct wire x;
	mesh_apply(&p->m);
	pair_wire(p, &x);
	char *got = pair_ask(&x, "GET / HTTP/1.1\r\nHost: w\r\n\r\n");
	assert_has(got, "503 Service Unavailable");
	assert_has(got, "x-weft-reason: UF");
	free(got);
	wire_fini(&x);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->web, "reason=\"UF\""), 1);
	assert_int_equal(pair_requests(p->client, "code=\"503\""), 1);
	assert_false(mesh_logged(&p->m, "\"attempts\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_reset_within_a_body),
		PAIR_TEST(test_reset_within_chunks),
		PAIR_TEST(test_reset_within_a_body_http2),
		PAIR_TEST(test_a_cut_answer_never_looks_whole),
		PAIR_TEST(test_a_kept_connection_dies_get),
		PAIR_TEST(test_a_kept_connection_dies_put),
		PAIR_TEST(test_a_kept_connection_dies_post),
		PAIR_TEST(test_a_shared_connection_dies),
		PAIR_TEST(test_a_shared_connection_dies_post),
		PAIR_TEST(test_the_mesh_connection_dies_idle),
		PAIR_TEST(test_the_body_is_replayed),
		PAIR_TEST(test_one_of_two_endpoints_refuses),
		PAIR_TEST(test_one_of_two_endpoints_is_silent),
		PAIR_TEST(test_ejected_endpoints_are_not_asked_first),
		PAIR_TEST(test_no_endpoint_answers),
		PAIR_TEST(test_raw_tcp_tries_the_other_endpoint),
		PAIR_TEST(test_the_other_endpoint_becomes_meshed),
		PAIR_TEST(test_the_other_endpoint_becomes_meshed_raw),
		PAIR_TEST(test_the_other_endpoint_goes_away),
		PAIR_TEST(test_the_other_endpoint_goes_away_raw),
		PAIR_TEST(test_the_other_endpoint_becomes_strict),
		PAIR_TEST(test_an_endpoint_goes_away_while_dialled),
		PAIR_TEST(test_an_endpoint_goes_away_while_dialled_raw),
		PAIR_TEST(test_the_endpoints_change_within_a_head),
		PAIR_TEST(test_the_application_is_down),
	};
	return cmocka_run_group_tests_name("failing upstreams", tests, NULL, NULL);
}
