/*
 * A pod that calls itself, by its service and by its own address, over HTTP and TCP: its policy
 * applies, nothing loops. And destinations that nobody may dial.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
#define SELF "cluster.local/ns/default/sa/web"

static unsigned inbound_by_self(struct mesh_test_pod *pod, const char *metric)
{
	return (unsigned)mesh_metric(pod, metric, "direction=\"inbound\"",
		"source_identity=\"spiffe://" SELF "\"", NULL);
}

static int lie(void *arg, const struct io *io, struct addr *out)
{
	(void)io;
	return addr_parse(str_from(arg), out) == 0 ? 0 : ERR_NOTFOUND;
}

/* As the application of the pod itself; the capture rules of a pod redirect what it sends to its
 * own address too, which those of the simulated network do not. */
static void dial_self(struct pair *p, struct wire *x, const char *to)
{
	struct flow *f = proxy_flow(p->web->proxy);
	orig_dst_fn *truth = f->env.orig_dst;
	f->env.orig_dst = lie;
	f->env.orig_dst_arg = (void *)(uintptr_t)to;
	wire_init(x, &p->m.w, mesh_dial(&p->m, p->web, "10.96.0.1:80"));
	f->env.orig_dst = truth;
	mesh_settle(&p->m);
}

static void test_http(void **state)
{
	static const char *const to[] = {"10.96.0.1:80", "10.77.0.3:8080"};
	struct pair *p = *state;
	struct mesh_app app;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	for (int i = 0; i < 2; i++) {
		struct wire x;
		dial_self(p, &x, to[i]);
		for (int k = 0; k < 3; k++)
			pair_expect(&x, GET, "200 OK");
		assert_has(http_user_log(app.users[app.n - 1]),
			"x-forwarded-client-cert: By=spiffe://" SELF ";URI=spiffe://" SELF);
		wire_fini(&x);
	}
	assert_int_equal(inbound_by_self(p->web, "weft_requests_total"), 6);
	assert_int_equal(proxy_flow(p->web->proxy)->stats.requests, 0);
	/* The policy of the pod holds for itself too. */
	mesh_policy(&p->m, "not-me", MESH_DENY, SELF, 0);
	mesh_apply(&p->m);
	for (int i = 0; i < 2; i++) {
		struct wire x;
		dial_self(p, &x, to[i]);
		pair_expect(&x, GET, "403 Forbidden");
		wire_fini(&x);
	}
	assert_int_equal(inbound_by_self(p->web, "weft_requests_total"), 8);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_http2(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	mesh_app_start(&app, p->web, 8080, HTTP_V2, app_echo);
	mesh_apply(&p->m);
	http_user_init(&u, &p->m.w);
	http_user_start(&u, mesh_dial(&p->m, p->web, "10.96.0.1:80"), HTTP_CLIENT, HTTP_V2);
	mesh_settle(&p->m);
	for (int i = 0; i < 10; i++) {
		struct exchange *x = http_user_request(&u, "POST", "/", NULL, 1 << 20, false);
		exchange_source(x, 1 << 20);
		mesh_settle(&p->m);
		assert_true(x->ended && x->reason == REASON_OK);
		assert_int_equal(x->body_sum, x->sent_sum);
	}
	http_user_fini(&u);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(inbound_by_self(p->web, "weft_requests_total"), 10);
}

static void test_tcp(void **state)
{
	static const char *const to[] = {"10.96.0.1:80", "10.77.0.3:8080"};
	struct pair *p = *state;
	for (int declared = 0; declared < 2; declared++) {
		struct mesh_raw app;
		p->m.protocol = declared ? WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP
					 : WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED;
		mesh_policies_clear(&p->m);
		mesh_raw_start(&app, p->web, 8080, "220 ready\r\n");
		mesh_apply(&p->m);
		for (unsigned i = 0; i < 2; i++) {
			struct wire x;
			dial_self(p, &x, to[i]);
			mesh_advance(&p->m, 20 * NS_PER_MS);
			pair_expect(&x, "", "220 ready\r\n");
			wire_send(&x, STR("\1\2 raw"), 0, NULL);
			struct wire *server = &app.wires[app.n - 1];
			char *got = wire_take(server);
			assert_string_equal(got, "\1\2 raw");
			free(got);
			wire_shutdown(&x);
			assert_true(server->eof);
			wire_send(server, STR("bye"), 0, NULL);
			pair_expect(&x, "", "bye");
			wire_close(server, false);
			assert_true(x.eof);
			wire_fini(&x);
		}
		mesh_settle(&p->m);
		assert_int_equal(inbound_by_self(p->web, "weft_tcp_connections_opened_total"),
			2 * declared + 2);
		mesh_policy(&p->m, "not-me", MESH_DENY, SELF, 0);
		mesh_apply(&p->m);
		struct wire x;
		size_t before = app.n;
		dial_self(p, &x, to[0]);
		mesh_advance(&p->m, 20 * NS_PER_S);
		assert_int_equal(x.total, 0);
		assert_true(x.eof || x.err != 0);
		assert_int_equal(app.n, before);
		wire_fini(&x);
		mesh_raw_stop(&app);
	}
	mesh_assert_idle(&p->m);
}

/* What may never be dialled, from inside and from outside. */
static void test_forbidden_destinations(void **state)
{
	static const char *const rows[] = {"10.77.0.3:15001", "10.77.0.3:15006", "10.77.0.3:15000",
		"10.77.0.3:15020", "10.77.0.3:15021"};
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	size_t n = sizeof(rows) / sizeof(rows[0]);
	mesh_apply(&p->m);
	for (size_t i = 0; i < n; i++) {
		struct wire x;
		/* From itself. */
		dial_self(p, &x, rows[i]);
		assert_int_equal(x.err, ERR_RESET);
		wire_fini(&x);
		/* From another pod, whose traffic is redirected on its way in. */
		unsigned before = (unsigned)mesh_metric(p->web, "weft_connections_refused_total",
			"reason=\"bad_original_dst\"", NULL);
		wire_init(&x, &p->m.w, mesh_dial(&p->m, stranger, rows[i]));
		mesh_settle(&p->m);
		assert_int_equal(x.err, ERR_RESET);
		assert_int_equal(mesh_metric(p->web, "weft_connections_refused_total",
					 "reason=\"bad_original_dst\"", NULL),
			before + 1);
		wire_fini(&x);
	}
	mesh_assert_idle(&p->m);
}

/* The listener's own address as original destination, loopback, another pod's: the redirect that
 * leads here lies. */
static void test_lies_about_the_destination(void **state)
{
	static const char *const rows[] = {"127.0.0.1:8080", "[::1]:8080", "0.0.0.0:8080",
		"10.77.0.2:8080", "10.77.0.3:15006", ""};
	struct pair *p = *state;
	struct mesh_app app;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	struct flow *f = proxy_flow(p->web->proxy);
	orig_dst_fn *truth = f->env.orig_dst;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire x;
		f->env.orig_dst = lie;
		f->env.orig_dst_arg = (void *)(uintptr_t)rows[i];
		wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:8080"));
		wire_send(&x, STR(GET), 0, NULL);
		pair_expect(&x, "", "503");
		wire_fini(&x);
		assert_int_equal(mesh_metric(p->web, "weft_connections_refused_total",
					 "reason=\"bad_original_dst\"", NULL),
			i + 1);
	}
	/* Outbound: what is listening on the pod's loopback stays private. */
	f->env.orig_dst_arg = (void *)(uintptr_t)"127.0.0.1:6379";
	struct wire x;
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->web, "10.96.0.1:80"));
	mesh_settle(&p->m);
	assert_int_equal(x.err, ERR_RESET);
	wire_fini(&x);
	f->env.orig_dst = truth;
	f->env.orig_dst_arg = NULL;
	assert_int_equal(app.accepted, 0);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_http),
		PAIR_TEST(test_http2),
		PAIR_TEST(test_tcp),
		PAIR_TEST(test_forbidden_destinations),
		PAIR_TEST(test_lies_about_the_destination),
	};
	return cmocka_run_group_tests_name("calls to oneself", tests, NULL, NULL);
}
