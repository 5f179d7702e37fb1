/*
 * Configurations that come often and change little: no identity is made anew, no pool retired,
 * nothing judged again that did not change, and no old configuration is kept alive by what is open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/flow/request.h"
#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
#define CLIENT "cluster.local/ns/default/sa/client"

/* Everything that stays open: HTTP without and with requests, an answer that goes on, bytes. */
struct open {
	struct pair *p;
	struct mesh_app app;
	struct mesh_raw raw, mute;
	struct http_user u;
	struct exchange *stream;
	struct wire idle, tcp, silent;
};

static void open_all(struct open *o, struct pair *p)
{
	*o = (struct open){.p = p};
	p->m.keep_leaves = true;
	mesh_app_start(&o->app, p->web, 8080, HTTP_V2, app_echo);
	mesh_raw_start(&o->raw, p->web, 9090, "220 ready\r\n");
	mesh_raw_start(&o->mute, p->web, 9091, NULL);
	p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP2;
	mesh_apply(&p->m);
	pair_client(p, &o->u, HTTP_V2);
	o->stream = http_user_request(&o->u, "POST", "/chat", NULL, HTTP_LENGTH_UNKNOWN, false);
	exchange_send(o->stream, STR("hello"), false);
	pair_wire(p, &o->idle);
	wire_init(&o->tcp, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	wire_send(&o->tcp, STR("\1\2\3"), 0, NULL);
	assert_int_equal(o->tcp.total, 11);
	/* Dialled, in case the server speaks; neither side does. */
	wire_init(&o->silent, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9091"));
	mesh_advance(&p->m, 20 * NS_PER_MS);
	assert_int_equal(o->mute.n, 1);
	assert_int_equal(o->stream->body_bytes, 5);
}

static void close_all(struct open *o)
{
	uint64_t before = o->stream->body_bytes;
	exchange_send(o->stream, STR(" again"), true);
	mesh_settle(&o->p->m);
	assert_int_equal(o->stream->body_bytes, before + 6);
	assert_true(o->stream->ended && o->stream->reason == REASON_OK);
	assert_true(o->tcp.err == 0 && !o->tcp.eof);
	wire_send(&o->mute.wires[0], STR("220 at last\r\n"), 0, NULL);
	assert_int_equal(o->silent.total, 13);
	wire_fini(&o->idle);
	wire_fini(&o->tcp);
	wire_fini(&o->silent);
	http_user_fini(&o->u);
	mesh_app_stop(&o->app);
	mesh_raw_stop(&o->raw);
	mesh_raw_stop(&o->mute);
	mesh_assert_idle(&o->p->m);
}

/* Whatever is open has the configuration in force, or none. */
static void assert_nothing_old(const struct flow *f)
{
	LIST_EACH(&f->conns, n)
	{
		const struct conn *c = CONTAINER_OF(n, struct conn, node);
		assert_true(c->snap == NULL || c->snap == f->snap);
		LIST_EACH(&c->requests, k)
		assert_null(CONTAINER_OF(k, struct request, node)->snap);
	}
}

static void test_nothing_is_made_anew(void **state)
{
	struct pair *p = *state;
	struct open o;
	open_all(&o, p);
	struct flow *f = proxy_flow(p->client->proxy), *g = proxy_flow(p->web->proxy);
	const struct tls_ctx *client = f->client_ctx, *server = g->server_ctx;
	uint32_t rules = f->rules_generation, trust = g->trust_generation;
	struct mesh_test_pod *web2 = mesh_pod(&p->m, "web2", false);
	for (int i = 0; i < 100; i++) {
		web2->hidden = i % 2 == 0; /* an endpoint comes and goes */
		mesh_apply(&p->m);
	}
	assert_ptr_equal(f->client_ctx, client);
	assert_ptr_equal(g->server_ctx, server);
	assert_int_equal(f->rules_generation, rules);
	assert_int_equal(g->trust_generation, trust);
	assert_int_equal(pools_opened(f->pools), 1);
	assert_nothing_old(f);
	assert_nothing_old(g);
	close_all(&o);
	/* And what is told at their end is what was true. */
	assert_int_equal(mesh_metric(p->client, "weft_tcp_connections_closed_total",
				 "destination_workload=\"web\"",
				 "source_identity=\"spiffe://cluster.local/ns/default/sa/client\"",
				 NULL),
		2);
	assert_int_equal(mesh_metric(p->client, "weft_requests_total", "protocol=\"http/2\"",
				 "destination_workload=\"web\"", "destination_service=\"web\"",
				 "source_workload=\"client\"", NULL),
		1);
}

/* What is judged by is noticed, whatever else it is that changes. */
static void test_rules_are_noticed(void **state)
{
	struct pair *p = *state;
	struct open o;
	open_all(&o, p);
	const struct flow *g = proxy_flow(p->web->proxy);
	uint32_t rules = g->rules_generation;
	mesh_policy(&p->m, "elsewhere", MESH_DENY, CLIENT, 7777);
	mesh_apply(&p->m);
	assert_true(g->rules_generation > rules);
	rules = g->rules_generation;
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
	mesh_apply(&p->m);
	assert_true(g->rules_generation > rules);
	rules = g->rules_generation;
	p->m.revoked[0] = (char *)(uintptr_t)"abcdef";
	p->m.n_revoked = 1;
	mesh_apply(&p->m);
	assert_true(g->rules_generation > rules);
	rules = g->rules_generation;
	p->m.old_ca = mesh_ca("cluster.local");
	mesh_apply(&p->m);
	assert_true(g->rules_generation > rules);
	assert_int_equal(g->trust_generation, g->rules_generation);
	close_all(&o);
}

/* News without rules come while those with rules have not been worked off: none is lost. */
static void test_rules_are_not_lost_among_news(void **state)
{
	struct pair *p = *state;
	struct open o;
	open_all(&o, p);
	mesh_policy(&p->m, "nobody", MESH_DENY, CLIENT, 0);
	mesh_apply_leaf(&p->m, p->web, p->m.ca, p->web->id, CERT_FLAW_NONE);
	struct mesh_test_pod *more = mesh_pod(&p->m, "more", false);
	(void)more;
	mesh_apply_leaf(&p->m, p->web, p->m.ca, p->web->id, CERT_FLAW_NONE);
	mesh_settle(&p->m);
	assert_true(o.tcp.err != 0 || o.tcp.eof);
	assert_true(o.stream->ended);
	wire_fini(&o.idle);
	wire_fini(&o.tcp);
	wire_fini(&o.silent);
	http_user_fini(&o.u);
	mesh_app_stop(&o.app);
	mesh_raw_stop(&o.raw);
	mesh_raw_stop(&o.mute);
	mesh_assert_idle(&p->m);
}

/* Endpoints that are no more give back what was remembered of them, some time. */
static void test_balance_state_is_bounded(void **state)
{
	struct pair *p = *state;
	struct mesh_test_pod *web2 = mesh_pod(&p->m, "web2", true);
	struct mesh_app app, other;
	struct wire x;
	p->m.keep_leaves = true;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_app_start(&other, web2, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	const struct flow *f = proxy_flow(p->client->proxy);
	for (int i = 0; i < 400; i++) {
		snprintf(web2->uid, sizeof(web2->uid), "uid-%d", i);
		web2->unready = true; /* of somebody else's, so nobody is there */
		mesh_apply_one(&p->m, p->client);
		web2->unready = false;
		mesh_apply_one(&p->m, p->client);
		pair_expect(&x, GET, "200 OK");
		assert_true(map_count(f->loads) <= 600);
	}
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_app_stop(&other);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_nothing_is_made_anew),
		PAIR_TEST(test_rules_are_noticed),
		PAIR_TEST(test_rules_are_not_lost_among_news),
		PAIR_TEST(test_balance_state_is_bounded),
	};
	return cmocka_run_group_tests_name("configurations that come often", tests, NULL, NULL);
}
