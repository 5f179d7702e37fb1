/*
 * Leaving: requests that come while endpoints propagate are served, what was accepted is finished,
 * what never ends is ended before the pod's grace period is over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

static int setup(void **state)
{
	pair_setup(state);
	struct pair *p = *state;
	p->web->params.min_drain = 5 * NS_PER_S;
	p->web->params.grace_period = 30 * NS_PER_S;
	return 0;
}

static bool ready(struct mesh_test_pod *pod)
{
	struct buf reasons;
	buf_init(&reasons, pod->mesh->w.bufs);
	bool r = proxy_ready(pod->proxy, &reasons);
	buf_clear(&reasons);
	return r;
}

static void serve_one(struct pair *p, struct wire *x)
{
	wire_send(x, STR("POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 2\r\n\r\nab"), 0, NULL);
	char *got = wire_take(x);
	assert_has(got, "200 OK");
	free(got);
	(void)p;
}

/* Kept connections and fresh ones, HTTP/1 and HTTP/2, from before the drain to the last moment. */
static void drain_under_load(struct pair *p, enum http_version v)
{
	struct mesh_app app;
	struct wire kept;
	struct http_user u;
	unsigned sent = 0;
	mesh_app_start(&app, p->web, 8080, v, app_hello);
	if (v == HTTP_V2)
		p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP2;
	mesh_apply(&p->m);
	pair_wire(p, &kept);
	pair_client(p, &u, v);
	for (int tick = 0; tick < 60; tick++) {
		if (tick == 10) {
			assert_true(ready(p->web));
			proxy_drain(p->web->proxy);
			assert_false(ready(p->web));
		}
		struct wire fresh;
		pair_wire(p, &fresh);
		serve_one(p, &fresh);
		wire_fini(&fresh);
		serve_one(p, &kept);
		struct exchange *x = http_user_request(&u, "POST", "/", NULL, 2, false);
		assert_non_null(x);
		exchange_send(x, STR("ab"), true);
		mesh_settle(&p->m);
		assert_true(x->ended && x->status == 200);
		sent += 3;
		if (tick < 59) /* the last one comes just before the listener closes */
			mesh_advance(&p->m, 99 * NS_PER_MS);
	}
	assert_false(p->web->done);
	assert_int_equal(pair_requests(p->client, "code=\"200\""), sent);
	assert_int_equal(pair_requests(p->client, NULL), sent);
	mesh_advance(&p->m, 2 * NS_PER_S);
	assert_true(p->web->done);
	/* It is gone, and said so. */
	pair_expect(&kept, GET, "(UF)");
	wire_fini(&kept);
	http_user_fini(&u);
	mesh_app_stop(&app);
}

static void test_nothing_is_lost_http1(void **state)
{
	drain_under_load(*state, HTTP_V1);
}

static void test_nothing_is_lost_http2(void **state)
{
	drain_under_load(*state, HTTP_V2);
}

/* Requests whose bytes are on their way at the moment of each step of the drain. */
static void test_nothing_is_lost_at_any_moment(void **state)
{
	struct pair *p = *state;
	for (size_t turns = 0; turns < 24; turns++) {
		struct mesh_app app;
		struct wire x[4];
		pair_teardown(state);
		setup(state);
		p = *state;
		mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
		mesh_apply(&p->m);
		for (int i = 0; i < 4; i++) {
			pair_wire(p, &x[i]);
			serve_one(p, &x[i]);
		}
		for (int i = 0; i < 4; i++)
			wire_push(&x[i], STR(GET));
		loop_sim_settle(p->m.w.loop, turns);
		proxy_drain(p->web->proxy);
		mesh_settle(&p->m);
		mesh_advance(&p->m, NS_PER_S - NS_PER_MS); /* the second GOAWAY is about to go */
		for (int i = 0; i < 4; i++)
			pair_expect(&x[i], "", "200 OK");
		for (int i = 0; i < 4; i++)
			wire_push(&x[i], STR(GET));
		loop_sim_settle(p->m.w.loop, turns);
		mesh_advance(&p->m, NS_PER_S);
		for (int i = 0; i < 4; i++) {
			pair_expect(&x[i], "", "200 OK");
			wire_fini(&x[i]);
		}
		mesh_advance(&p->m, 10 * NS_PER_S);
		assert_true(p->web->done);
		mesh_app_stop(&app);
	}
}

static void test_a_long_request_is_waited_for(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR(GET), 0, NULL);
	proxy_drain(p->web->proxy);
	mesh_advance(&p->m, 20 * NS_PER_S);
	assert_false(p->web->done);
	exchange_reply(app.users[0]->x[0], 200, NULL, "late");
	mesh_settle(&p->m);
	pair_expect(&x, "", "late");
	mesh_advance(&p->m, 3 * NS_PER_S);
	assert_true(p->web->done);
	wire_fini(&x);
	mesh_app_stop(&app);
}

static void test_what_never_ends_is_ended(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct mesh_raw raw;
	struct wire x, tcp;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_raw_start(&raw, p->web, 9090, "220 ready\r\n");
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR(GET), 0, NULL);
	wire_init(&tcp, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	mesh_advance(&p->m, 10 * NS_PER_MS);
	assert_int_equal(tcp.total, 11);
	proxy_drain(p->web->proxy);
	mesh_advance(&p->m, 27 * NS_PER_S);
	assert_false(p->web->done);
	assert_int_equal(tcp.err, 0);
	mesh_advance(&p->m, 2 * NS_PER_S);
	assert_true(p->web->done);
	assert_true(tcp.err != 0);
	pair_expect(&x, "", "503 Service Unavailable");
	assert_int_equal(mesh_metric(p->web, "weft_requests_total", "reason=\"DRAIN\"", NULL), 1);
	assert_int_equal(mesh_metric(p->web, "weft_tcp_connections_closed_total",
				 "reason=\"DRAIN\"", NULL),
		1);
	wire_fini(&x);
	wire_fini(&tcp);
	mesh_app_stop(&app);
	mesh_raw_stop(&raw);
}

/* The application of a pod that leaves may still call others, and itself be called by what it holds
 * open. */
static void test_outbound_works_to_the_last(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x, y;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	p->client->params.min_drain = 2 * NS_PER_S;
	mesh_apply(&p->m);
	pair_wire(p, &x);
	serve_one(p, &x);
	proxy_drain(p->client->proxy);
	mesh_advance(&p->m, 10 * NS_PER_S);
	assert_false(p->client->done); /* its application still holds a connection */
	serve_one(p, &x);
	pair_wire(p, &y);
	serve_one(p, &y);
	wire_fini(&y);
	mesh_advance(&p->m, NS_PER_S);
	assert_false(p->client->done);
	wire_fini(&x);
	mesh_advance(&p->m, 3 * NS_PER_S);
	assert_true(p->client->done);
	mesh_app_stop(&app);
}

static void test_an_idle_sidecar_leaves_after_min_drain(void **state)
{
	struct pair *p = *state;
	mesh_apply(&p->m);
	proxy_drain(p->web->proxy);
	proxy_drain(p->web->proxy); /* once is enough */
	mesh_advance(&p->m, 4 * NS_PER_S);
	assert_false(p->web->done);
	mesh_advance(&p->m, 2 * NS_PER_S);
	assert_true(p->web->done);
}

/* Asked to quit, it takes nothing new, whatever knocks. */
static void test_quit(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR(GET), 0, NULL);
	struct io *io = mesh_dial(&p->m, p->client, "10.77.0.3:8080");
	proxy_quit(p->web->proxy);
	mesh_settle(&p->m);
	assert_true(p->web->done);
	pair_expect(&x, "", "503 Service Unavailable");
	wire_fini(&x);
	io_close(&io, true);
	mesh_app_stop(&app);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, pair_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_nothing_is_lost_http1),
		T(test_nothing_is_lost_http2),
		T(test_nothing_is_lost_at_any_moment),
		T(test_a_long_request_is_waited_for),
		T(test_what_never_ends_is_ended),
		T(test_outbound_works_to_the_last),
		T(test_an_idle_sidecar_leaves_after_min_drain),
		T(test_quit),
	};
	return cmocka_run_group_tests_name("draining", tests, NULL, NULL);
}
