/*
 * Two sidecars and an application in one process: the main ways of a request and of raw bytes, and
 * the refusals that matter most.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "tests/support/mesh_support.h"

static void reply_hello(struct http_user *u)
{
	u->reply = REPLY_AT_END;
	u->reply_status = 200;
	u->reply_body = "hello";
}

/* Answers at once and sends back what comes, as it comes. */
static void echo_head(struct exchange *x)
{
	struct http_head head;
	http_head_init(&head, HTTP_RESPONSE, stream_arena(x->stream));
	head.status = 200;
	head.length = HTTP_LENGTH_UNKNOWN;
	stream_send_head(x->stream, &head, false);
}

static void echo(struct http_user *u)
{
	u->echo = true;
	u->on_head = echo_head;
}

/* A client pod and a server pod, both meshed, service web:80 -> 8080. */
struct pair {
	struct mesh m;
	struct mesh_test_pod *client, *web;
};

static int setup_pair(void **state)
{
	struct pair *p = mem_alloc(sizeof(*p));
	mesh_init(&p->m);
	p->client = mesh_pod(&p->m, "client", true);
	p->web = mesh_pod(&p->m, "web", true);
	*state = p;
	return 0;
}

static int teardown_pair(void **state)
{
	struct pair *p = *state;
	mesh_fini(&p->m);
	mem_free(p);
	return 0;
}

static void test_http1(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_hello);
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.96.0.1:80"));
	for (int i = 0; i < 3; i++) {
		wire_send(&x,
			STR("GET /x?token=secret HTTP/1.1\r\nHost: web\r\nX-Forwarded-Client-Cert: forged\r\n\r\n"),
			0, NULL);
		char *got = wire_take(&x);
		assert_non_null(strstr(got, "HTTP/1.1 200 OK\r\n"));
		assert_non_null(strstr(got, "hello"));
		free(got);
	}
	assert_int_equal(app.accepted, 1);
	assert_true(mesh_logged(&p->m, "spiffe://cluster.local/ns/default/sa/client"));
	assert_false(mesh_logged(&p->m, "secret"));
	assert_true(mesh_metric(p->web, "weft_requests_total", "direction=\"inbound\"",
			    "code=\"200\"", "tls=\"mtls\"", NULL) == 3);
	assert_true(mesh_metric(p->client, "weft_requests_total", "direction=\"outbound\"",
			    "code=\"200\"", NULL) == 3);
	wire_fini(&x);
	mesh_app_stop(&app);
}

static void test_http2(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, HTTP_V2, reply_hello);
	mesh_apply(&p->m);
	http_user_init(&u, &p->m.w);
	http_user_start(&u, mesh_dial(&p->m, p->client, "10.96.0.1:80"), HTTP_CLIENT, HTTP_V2);
	mesh_settle(&p->m);
	for (int i = 0; i < 10; i++)
		assert_non_null(http_user_request(&u, "GET", "/", NULL, 0, true));
	mesh_settle(&p->m);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(u.x[i]->status, 200);
		assert_true(u.x[i]->ended && u.x[i]->reason == REASON_OK);
	}
	http_user_fini(&u);
	mesh_app_stop(&app);
}

static void test_large_body_is_bounded(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	const uint64_t size = 16 << 20;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, echo);
	mesh_apply(&p->m);
	http_user_init(&u, &p->m.w);
	http_user_start(&u, mesh_dial(&p->m, p->client, "10.96.0.1:80"), HTTP_CLIENT, HTTP_V1);
	mesh_settle(&p->m);
	struct exchange *x = http_user_request(&u, "POST", "/", NULL, size, false);
	assert_non_null(x);
	exchange_source(x, size);
	mesh_settle(&p->m);
	assert_int_equal(x->status, 200);
	assert_int_equal(x->body_bytes, size);
	assert_int_equal(x->body_sum, x->sent_sum);
	http_user_fini(&u);
	mesh_app_stop(&app);
}

static void test_raw_client_first(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	struct wire x;
	mesh_raw_start(&app, p->web, 8080, NULL);
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.96.0.1:80"));
	wire_send(&x, STR("\x01\x02raw bytes"), 0, NULL);
	mesh_settle(&p->m);
	assert_int_equal(app.n, 1);
	char *got = wire_take(&app.wires[0]);
	assert_string_equal(got, "\x01\x02raw bytes");
	free(got);
	wire_send(&app.wires[0], STR("answer"), 0, NULL);
	got = wire_take(&x);
	assert_string_equal(got, "answer");
	free(got);
	wire_shutdown(&x);
	mesh_settle(&p->m);
	assert_true(app.wires[0].eof);
	wire_send(&app.wires[0], STR("after half-close"), 0, NULL);
	got = wire_take(&x);
	assert_string_equal(got, "after half-close");
	free(got);
	wire_shutdown(&app.wires[0]);
	mesh_settle(&p->m);
	assert_true(x.eof);
	wire_fini(&x);
	mesh_raw_stop(&app);
}

static void test_server_speaks_first(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	struct wire x;
	p->client->params.detect_timeout = 60 * NS_PER_S;
	mesh_raw_start(&app, p->web, 8080, "220 ready\r\n");
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.96.0.1:80"));
	assert_int_equal(app.n, 0); /* nobody is dialled before the grace is over */
	mesh_advance(&p->m, 10 * NS_PER_MS);
	char *got = wire_take(&x);
	assert_string_equal(got, "220 ready\r\n");
	free(got);
	assert_true(mesh_metric(p->client, "weft_detections_total", "verdict=\"server-first\"",
			    NULL) == 1);
	wire_fini(&x);
	mesh_raw_stop(&app);
}

static void test_slow_http_client_is_routed_like_a_fast_one(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_hello);
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.96.0.1:80"));
	mesh_advance(&p->m, 5 * NS_PER_S);
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: web\r\n\r\n"), 0, NULL);
	char *got = wire_take(&x);
	assert_non_null(strstr(got, "HTTP/1.1 200 OK\r\n"));
	free(got);
	assert_true(mesh_metric(p->web, "weft_requests_total", "protocol=\"http/1.1\"", NULL) +
			mesh_metric(p->web, "weft_requests_total", "protocol=\"http/2\"", NULL) ==
		1);
	wire_fini(&x);
	mesh_app_stop(&app);
}

/* DENY policy that names the client. */
static void deny_client(struct pair *p, Weft__Mesh__V1__AuthorizationPolicy **list)
{
	static char principal[] = "cluster.local/ns/default/sa/client", ns[] = "default",
		    name[] = "no-client";
	Weft__Mesh__V1__AuthorizationPolicy *pol = mem_alloc(sizeof(*pol));
	Weft__Mesh__V1__AuthorizationPolicy__Rule *rule = mem_alloc(sizeof(*rule));
	Weft__Mesh__V1__AuthorizationPolicy__Source *src = mem_alloc(sizeof(*src));
	Weft__Mesh__V1__StringMatch *match = mem_alloc(sizeof(*match));
	weft__mesh__v1__authorization_policy__init(pol);
	weft__mesh__v1__authorization_policy__rule__init(rule);
	weft__mesh__v1__authorization_policy__source__init(src);
	weft__mesh__v1__string_match__init(match);
	match->value = principal;
	src->n_principals = 1;
	src->principals = mem_alloc(sizeof(*src->principals));
	src->principals[0] = match;
	rule->n_from = 1;
	rule->from = mem_alloc(sizeof(*rule->from));
	rule->from[0] = src;
	pol->namespace_ = ns;
	pol->name = name;
	pol->action = WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__DENY;
	pol->n_rules = 1;
	pol->rules = mem_alloc(sizeof(*pol->rules));
	pol->rules[0] = rule;
	list[0] = pol;
	p->m.policies = list;
	p->m.n_policies = 1;
}

static void free_policy(Weft__Mesh__V1__AuthorizationPolicy *pol)
{
	mem_free(pol->rules[0]->from[0]->principals[0]);
	mem_free(pol->rules[0]->from[0]->principals);
	mem_free(pol->rules[0]->from[0]);
	mem_free(pol->rules[0]->from);
	mem_free(pol->rules[0]);
	mem_free(pol->rules);
	mem_free(pol);
}

static void test_denied_http_gets_403_and_no_connection(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	Weft__Mesh__V1__AuthorizationPolicy *list[1];
	deny_client(p, list);
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_hello);
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.96.0.1:80"));
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: web\r\n\r\n"), 0, NULL);
	char *got = wire_take(&x);
	assert_non_null(strstr(got, "HTTP/1.1 403 Forbidden\r\n"));
	assert_non_null(strstr(got, "(RBAC)"));
	free(got);
	assert_int_equal(app.accepted, 0);
	assert_true(mesh_logged(&p->m, "default/no-client rule 0"));
	wire_fini(&x);
	mesh_app_stop(&app);
	free_policy(list[0]);
}

static void test_denied_raw_sees_no_banner(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	struct wire x;
	Weft__Mesh__V1__AuthorizationPolicy *list[1];
	deny_client(p, list);
	mesh_raw_start(&app, p->web, 8080, "220 secret\r\n");
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.96.0.1:80"));
	mesh_advance(&p->m, 30 * NS_PER_S);
	assert_int_equal(x.total, 0);
	assert_true(x.eof || x.err != 0);
	assert_int_equal(app.n, 0);
	wire_fini(&x);
	mesh_raw_stop(&app);
	free_policy(list[0]);
}

static void test_policy_change_ends_open_connections(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	struct wire x;
	Weft__Mesh__V1__AuthorizationPolicy *list[1];
	mesh_raw_start(&app, p->web, 8080, "220 ready\r\n");
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.96.0.1:80"));
	mesh_advance(&p->m, 10 * NS_PER_MS);
	assert_int_equal(x.total, 11);
	deny_client(p, list);
	mesh_apply(&p->m);
	assert_true(x.eof || x.err != 0);
	assert_true(app.wires[0].eof || app.wires[0].err != 0);
	assert_true(mesh_logged(&p->m, "policy_changed"));
	wire_fini(&x);
	mesh_raw_stop(&app);
	free_policy(list[0]);
}

static void test_plaintext_to_strict_is_refused(void **state)
{
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_hello);
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, stranger, "10.77.0.3:8080"));
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: web\r\n\r\n"), 0, NULL);
	assert_int_equal(x.total, 0);
	assert_true(x.eof || x.err != 0);
	assert_int_equal(app.accepted, 0);
	assert_true(mesh_metric(p->web, "weft_connections_refused_total", "reason=\"plaintext\"",
			    NULL) == 1);
	wire_fini(&x);
	mesh_app_stop(&app);
}

static void test_unknown_mesh_address_is_refused(void **state)
{
	struct pair *p = *state;
	struct wire x;
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.99.0.1:80"));
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0, NULL);
	char *got = wire_take(&x);
	assert_non_null(strstr(got, "503 Service Unavailable"));
	assert_non_null(strstr(got, "(discovery)"));
	free(got);
	wire_fini(&x);
}

static void test_own_ports_are_refused(void **state)
{
	struct pair *p = *state;
	struct wire x;
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:15006"));
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0, NULL);
	mesh_advance(&p->m, NS_PER_S);
	char *got = wire_take(&x);
	assert_null(strstr(got, "200 OK"));
	free(got);
	assert_true(mesh_metric(p->web, "weft_connections_refused_total",
			    "reason=\"bad_original_dst\"", NULL) >= 1);
	wire_fini(&x);
}

static void test_self_call_goes_through_policy(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_hello);
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->web, "10.96.0.1:80"));
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: web\r\n\r\n"), 0, NULL);
	char *got = wire_take(&x);
	assert_non_null(strstr(got, "HTTP/1.1 200 OK\r\n"));
	free(got);
	assert_true(mesh_metric(p->web, "weft_requests_total", "direction=\"inbound\"",
			    "source_identity=\"spiffe://cluster.local/ns/default/sa/web\"",
			    NULL) == 1);
	wire_fini(&x);
	mesh_app_stop(&app);
}

static void test_someone_else_as_server_is_refused(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_hello);
	mesh_apply(&p->m);
	mesh_apply_leaf(&p->m, p->web, p->m.ca, "spiffe://cluster.local/ns/default/sa/mallory",
		CERT_FLAW_NONE);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.96.0.1:80"));
	wire_send(&x, STR("GET / HTTP/1.1\r\nHost: web\r\n\r\n"), 0, NULL);
	char *got = wire_take(&x);
	assert_non_null(strstr(got, "503 Service Unavailable"));
	assert_non_null(strstr(got, "(UF)"));
	free(got);
	assert_int_equal(app.accepted, 0);
	wire_fini(&x);
	mesh_app_stop(&app);
}

static void test_drain_finishes_requests(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, reply_hello);
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.96.0.1:80"));
	wire_send(&x, STR("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nab"), 0, NULL);
	proxy_drain(p->web->proxy);
	mesh_settle(&p->m);
	mesh_advance(&p->m, 3 * NS_PER_S);
	assert_false(p->web->done);
	wire_send(&x, STR("cd"), 0, NULL);
	char *got = wire_take(&x);
	assert_non_null(strstr(got, "HTTP/1.1 200 OK\r\n"));
	free(got);
	mesh_advance(&p->m, 3 * NS_PER_S);
	assert_true(p->web->done);
	wire_fini(&x);
	mesh_app_stop(&app);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup_pair, teardown_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_http1),
		T(test_http2),
		T(test_large_body_is_bounded),
		T(test_raw_client_first),
		T(test_server_speaks_first),
		T(test_slow_http_client_is_routed_like_a_fast_one),
		T(test_denied_http_gets_403_and_no_connection),
		T(test_denied_raw_sees_no_banner),
		T(test_policy_change_ends_open_connections),
		T(test_plaintext_to_strict_is_refused),
		T(test_unknown_mesh_address_is_refused),
		T(test_own_ports_are_refused),
		T(test_self_call_goes_through_policy),
		T(test_someone_else_as_server_is_refused),
		T(test_drain_finishes_requests),
	};
	return cmocka_run_group_tests_name("mesh in memory", tests, NULL, NULL);
}
