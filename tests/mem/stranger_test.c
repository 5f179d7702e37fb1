/*
 * A pod's address is given to another pod of the same service account (rule 7): its identity is
 * right, its UID is not. It answers nothing, the pool to it closes, it is avoided and asked about
 * again, and other endpoints do instead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

/* Counts how often it is asked again, and about what. */
struct oracle {
	unsigned refreshed;
	struct addr last;
};

static enum lookup_answer on_ask(void *arg, const struct addr *ip)
{
	(void)arg;
	(void)ip;
	return LOOKUP_REFUSED;
}

static void on_touch(void *arg, const struct addr *ip)
{
	(void)arg;
	(void)ip;
}

static void on_refresh(void *arg, const struct addr *ip)
{
	struct oracle *o = arg;
	o->refreshed++;
	o->last = *ip;
}

static void listen_for_doubts(struct oracle *o, struct mesh_test_pod *p)
{
	const struct lookup l = {on_ask, on_touch, on_refresh, o};
	*o = (struct oracle){0};
	if (p->proxy == NULL)
		mesh_start_proxy(p);
	flow_set_lookup(proxy_flow(p->proxy), &l);
}

static void assert_asked_of(const struct oracle *o, const char *ip)
{
	struct addr a;
	assert_int_equal(addr_parse(str_from(ip), &a), 0);
	assert_true(o->refreshed > 0);
	assert_true(addr_eq_ip(&o->last, &a));
	assert_int_equal(o->last.port, 0);
}

/* The pod is another one now, and nobody but itself knows; what was open to the old one is dead. */
static void take_over(struct pair *p, struct mesh_test_pod *pod)
{
	snprintf(pod->uid, sizeof(pod->uid), "uid-next");
	mesh_apply_one(&p->m, pod);
	mesh_break_upstreams(p->client, ERR_RESET);
	mesh_settle(&p->m);
}

static unsigned refused(struct mesh_test_pod *p)
{
	return (unsigned)mesh_metric(p, "weft_connections_refused_total",
		"reason=\"cert_wrong_pod\"", NULL);
}

static unsigned answered(const struct mesh_app *app)
{
	unsigned n = 0;
	for (size_t i = 0; i < app->n; i++)
		n += app->users[i]->n;
	return n;
}

static void test_the_only_endpoint(void **state)
{
	struct pair *p = *state;
	struct oracle o;
	struct mesh_app app;
	struct wire x[4];
	listen_for_doubts(&o, p->client);
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	for (int i = 0; i < 4; i++) {
		pair_wire(p, &x[i]);
		pair_expect(&x[i], GET, "200 OK");
	}
	assert_int_equal(o.refreshed, 0);
	take_over(p, p->web);
	unsigned before = answered(&app);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 4; i++)
			wire_push(&x[i], STR(GET));
		mesh_settle(&p->m);
		for (int i = 0; i < 4; i++)
			pair_expect(&x[i], "", "(UF)");
	}
	assert_int_equal(answered(&app), before);
	assert_true(refused(p->client) >= 5);
	assert_asked_of(&o, "10.96.0.1");
	/* Known by its new UID it is as good as the one before. */
	mesh_apply_one(&p->m, p->client);
	for (int i = 0; i < 4; i++) {
		pair_expect(&x[i], GET, "200 OK");
		wire_fini(&x[i]);
	}
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_another_endpoint_does_instead(void **state)
{
	struct pair *p = *state;
	struct mesh_test_pod *web2 = mesh_pod(&p->m, "web2", true);
	struct oracle o;
	struct mesh_app app, other;
	struct wire x[4];
	p->m.round_robin = true;
	listen_for_doubts(&o, p->client);
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_app_start(&other, web2, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	for (int i = 0; i < 4; i++) {
		pair_wire(p, &x[i]);
		pair_expect(&x[i], GET, "200 OK");
	}
	take_over(p, p->web);
	unsigned before = answered(&app);
	for (int round = 0; round < 25; round++) {
		for (int i = 0; i < 4; i++)
			pair_expect(&x[i], GET, "200 OK");
		mesh_advance(&p->m, 10 * NS_PER_MS);
	}
	assert_int_equal(answered(&app), before);
	assert_int_equal(refused(p->client), 1); /* and avoided since then */
	assert_true(mesh_logged(&p->m, "\"attempts\":2"));
	assert_asked_of(&o, "10.96.0.1");
	for (int i = 0; i < 4; i++)
		wire_fini(&x[i]);
	mesh_app_stop(&app);
	mesh_app_stop(&other);
	mesh_assert_idle(&p->m);
}

/* What is open there finishes what it carries, and gets nothing more. */
static void test_the_pool_closes(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire busy, next;
	p->web->params.max_streams = 1;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_apply(&p->m);
	pair_wire(p, &busy);
	wire_send(&busy, STR(GET), 0, NULL);
	assert_int_equal(app.n, 1);
	snprintf(p->web->uid, sizeof(p->web->uid), "uid-next");
	mesh_apply_one(&p->m, p->web);
	pair_wire(p, &next);
	pair_expect(&next, GET, "(UF)");
	const struct flow *f = proxy_flow(p->client->proxy);
	assert_int_equal(pools_conns(f->pools), 1);
	exchange_reply(app.users[0]->x[0], 200, NULL, "late");
	mesh_settle(&p->m);
	pair_expect(&busy, "", "late");
	mesh_advance(&p->m, NS_PER_S);
	assert_int_equal(pools_conns(f->pools), 0);
	wire_fini(&busy);
	wire_fini(&next);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_raw_tcp(void **state)
{
	struct pair *p = *state;
	struct oracle o;
	struct mesh_raw app;
	struct wire x;
	p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP;
	listen_for_doubts(&o, p->client);
	mesh_raw_start(&app, p->web, 8080, "220 ready\r\n");
	mesh_apply(&p->m);
	take_over(p, p->web);
	pair_wire(p, &x);
	wire_send(&x, STR("hello"), 0, NULL);
	assert_int_equal(x.err, ERR_RESET);
	assert_int_equal(x.total, 0);
	assert_int_equal(app.n, 0);
	assert_int_equal(refused(p->client), 1);
	assert_asked_of(&o, "10.96.0.1");
	wire_fini(&x);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

/* Nobody there at all is a reason to ask again too. */
static void test_nobody_there(void **state)
{
	struct pair *p = *state;
	struct oracle o;
	struct wire x;
	listen_for_doubts(&o, p->client);
	mesh_apply(&p->m);
	proxy_quit(p->web->proxy);
	mesh_settle(&p->m);
	pair_wire(p, &x);
	pair_expect(&x, GET, "(UF)");
	assert_asked_of(&o, "10.96.0.1");
	unsigned before = o.refreshed;
	wire_fini(&x);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	wire_send(&x, STR("\1\2\3"), 0, NULL);
	assert_int_equal(x.err, ERR_RESET);
	assert_true(o.refreshed > before);
	assert_asked_of(&o, "10.77.0.3");
	wire_fini(&x);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_the_only_endpoint),
		PAIR_TEST(test_another_endpoint_does_instead),
		PAIR_TEST(test_the_pool_closes),
		PAIR_TEST(test_raw_tcp),
		PAIR_TEST(test_nobody_there),
	};
	return cmocka_run_group_tests_name("strangers at a known address", tests, NULL, NULL);
}
