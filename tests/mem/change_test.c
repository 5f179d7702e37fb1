/*
 * The configuration changes while things are open: certificates and roots rotate and nobody is
 * lost, policies, modes and trust change and whoever is refused now is cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
#define CLIENT "cluster.local/ns/default/sa/client"

static unsigned refused(struct mesh_test_pod *p, const char *label)
{
	return (unsigned)mesh_metric(p, "weft_connections_refused_total", label, NULL);
}

/* -- rotation
 * ------------------------------------------------------------------------------------------------------
 */

/* Clients that never stop. */
struct load {
	struct pair *p;
	struct mesh_app app;
	struct http_user h1[4], h2;
	unsigned sent;
};

static void hold_reply(struct exchange *x)
{
	if (str_eq(x->head->path, STR("/slow")))
		return; /* the test answers */
	exchange_reply(x, 200, NULL, "hello");
}

static void app_held(struct http_user *u)
{
	u->on_head = hold_reply;
}

/* The protocol is declared HTTP2 so that all share one application of HTTP/2. */
static void load_start(struct load *l, struct pair *p)
{
	*l = (struct load){.p = p};
	p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP2;
	mesh_app_start(&l->app, p->web, 8080, HTTP_V2, app_held);
	mesh_apply(&p->m);
	for (int i = 0; i < 4; i++)
		pair_client(p, &l->h1[i], HTTP_V1);
	pair_client(p, &l->h2, HTTP_V2);
}

static void load_one(struct load *l, struct http_user *u)
{
	struct exchange *x = http_user_request(u, "POST", "/", NULL, 10, false);
	assert_non_null(x);
	exchange_send(x, STR("0123456789"), true);
	l->sent++;
}

static void load_round(struct load *l)
{
	for (int i = 0; i < 4; i++)
		load_one(l, &l->h1[i]);
	for (int i = 0; i < 6; i++)
		load_one(l, &l->h2);
}

static void load_check_user(const struct http_user *u)
{
	assert_false(u->ended);
	for (unsigned i = 0; i < u->n && i < 256; i++)
		if (!u->x[i]->ended || u->x[i]->reason != REASON_OK || u->x[i]->status != 200)
			fail_msg("request %u: status %u, reason %d", i, u->x[i]->status,
				u->x[i]->reason);
}

static void load_check(struct load *l)
{
	mesh_settle(&l->p->m);
	for (int i = 0; i < 4; i++)
		load_check_user(&l->h1[i]);
	load_check_user(&l->h2);
}

static void load_stop(struct load *l)
{
	for (int i = 0; i < 4; i++)
		http_user_fini(&l->h1[i]);
	http_user_fini(&l->h2);
	mesh_app_stop(&l->app);
	mesh_assert_idle(&l->p->m);
	assert_int_equal(pair_requests(l->p->client, "code=\"200\""), l->sent);
	assert_int_equal(pair_requests(l->p->web, "code=\"200\""), l->sent);
}

/* A change in the middle of requests: some bytes of each are under way. */
static void change_amid(struct load *l, size_t turns)
{
	load_round(l);
	loop_sim_settle(l->p->m.w.loop, turns);
	for (size_t i = 0; i < l->p->m.n_pods; i++)
		mesh_apply_leaf(&l->p->m, &l->p->m.pods[i], l->p->m.ca, l->p->m.pods[i].id,
			CERT_FLAW_NONE);
	loop_sim_settle(l->p->m.w.loop, turns);
	load_check(l);
}

static void test_leaves_rotate_under_load(void **state)
{
	struct load l;
	load_start(&l, *state);
	load_round(&l);
	load_check(&l);
	for (size_t turns = 0; turns < 20; turns++)
		change_amid(&l, turns);
	load_stop(&l);
}

static void test_roots_rotate_under_load(void **state)
{
	struct load l;
	struct mesh *m = &((struct pair *)*state)->m;
	load_start(&l, *state);
	for (int i = 0; i < 3; i++) {
		struct cert_ca *next = mesh_ca("cluster.local"), *old = m->ca;
		m->old_ca = next; /* trusted first, */
		change_amid(&l, 5);
		m->ca = next; /* then used, */
		m->old_ca = old;
		change_amid(&l, 6);
		load_round(&l);
		load_check(&l);
		m->old_ca = NULL; /* then alone */
		change_amid(&l, 7);
		cert_ca_free(&old);
	}
	load_stop(&l);
}

/* What is slow finishes on the connection of before. */
static void test_slow_requests_outlive_a_rotation(void **state)
{
	struct pair *p = *state;
	struct load l;
	load_start(&l, p);
	struct exchange *x = http_user_request(&l.h2, "GET", "/slow", NULL, 0, true);
	mesh_settle(&p->m);
	struct http_user *server = l.app.users[0];
	struct exchange *held = server->x[server->n - 1];
	mesh_apply(&p->m);
	mesh_advance(&p->m, 30 * NS_PER_S);
	load_round(&l);
	mesh_settle(&p->m);
	assert_int_equal(pools_conns(proxy_flow(p->client->proxy)->pools), 3);
	exchange_reply(held, 200, NULL, "at last");
	l.sent++;
	load_check(&l);
	assert_int_equal(x->body_bytes, 7);
	/* The old connection goes with it, and its pool. */
	assert_int_equal(pools_conns(proxy_flow(p->client->proxy)->pools), 2);
	load_stop(&l);
}

/* Leaves of a minute and a half beyond the margin: each connection is retired in time. */
static void test_connections_retire_before_a_leaf_expires(void **state)
{
	struct pair *p = *state;
	struct load l;
	p->m.leaf_seconds = 150;
	load_start(&l, p);
	load_round(&l);
	load_check(&l);
	uint64_t opened = pools_opened(proxy_flow(p->client->proxy)->pools);
	mesh_advance(&p->m, 80 * NS_PER_S);
	load_round(&l);
	load_check(&l);
	assert_int_equal(pools_opened(proxy_flow(p->client->proxy)->pools), opened);
	mesh_advance(&p->m, 20 * NS_PER_S);
	/* Nobody has renewed; what there is holds for a minute yet. */
	load_round(&l);
	load_check(&l);
	assert_true(pools_opened(proxy_flow(p->client->proxy)->pools) > opened);
	mesh_apply(&p->m);
	for (int i = 0; i < 10; i++) {
		load_round(&l);
		load_check(&l);
		mesh_advance(&p->m, 13 * NS_PER_S);
		if (i % 3 == 0)
			mesh_apply(&p->m);
	}
	load_stop(&l);
}

/* -- policy
 * -----------------------------------------------------------------------------------------------------
 */

static void test_requests_in_flight_are_denied(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	wire_send(&x, STR(GET), 0, NULL);
	assert_int_equal(app.n, 1);
	mesh_policy(&p->m, "no-client", MESH_DENY, CLIENT, 0);
	mesh_apply_one(&p->m, p->web);
	char *got = wire_take(&x);
	assert_has(got, "403 Forbidden");
	assert_has(got, "(policy_changed)");
	free(got);
	assert_true(app.users[0]->x[0]->ended);
	pair_expect(&x, GET, "(RBAC)");
	assert_true(mesh_logged(&p->m, "default/no-client rule 0"));
	/* And back: on the same connection. */
	mesh_policies_clear(&p->m);
	mesh_apply_one(&p->m, p->web);
	wire_send(&x, STR(GET), 0, NULL);
	exchange_reply(app.users[1]->x[0], 200, NULL, "again");
	mesh_settle(&p->m);
	pair_expect(&x, "", "again");
	assert_int_equal(pools_opened(proxy_flow(p->client->proxy)->pools), 1);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* An answer that has begun is cut, and never looks whole. */
static void begun_head(struct exchange *x)
{
	struct http_head h;
	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = 200;
	h.length = HTTP_LENGTH_UNKNOWN;
	stream_send_head(x->stream, &h, false);
	exchange_send(x, STR("so far"), false);
}

static void app_begun(struct http_user *u)
{
	u->on_head = begun_head;
}

static void test_answers_that_have_begun_are_cut(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_begun);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	pair_expect(&x, GET, "so far");
	mesh_policy(&p->m, "no-client", MESH_DENY, CLIENT, 0);
	mesh_apply_one(&p->m, p->web);
	assert_int_equal(x.err, ERR_RESET);
	assert_true(app.users[0]->ended);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
	assert_int_equal(pair_requests(p->web, "reason=\"policy_changed\""), 1);
}

/* A policy comes while a head is only half there, and while a body is. */
static void test_policy_comes_amid_a_request(void **state)
{
	static const struct {
		const char *first, *second;
	} rows[] = {
		{"GE", "T / HTTP/1.1\r\nHost: w\r\n\r\n"},
		{"GET / HTTP/1.1\r\nHo", "st: w\r\n\r\n"},
		{"POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 4\r\n\r\nab", "cd"},
		{"POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab",
			"\r\n0\r\n\r\n"},
	};
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	struct mesh_app app;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int direct = 0; direct < 2; direct++) {
			struct wire x;
			mesh_policies_clear(&p->m);
			mesh_apply(&p->m);
			if (direct)
				wire_init(&x, &p->m.w,
					mesh_dial(&p->m, stranger, "10.77.0.3:8080"));
			else
				pair_wire(p, &x);
			wire_send(&x, str_from(rows[i].first), 0, NULL);
			mesh_policy(&p->m, "nobody", MESH_DENY, NULL, 0);
			mesh_apply_one(&p->m, p->web);
			wire_send(&x, str_from(rows[i].second), 0, NULL);
			char *got = wire_take(&x);
			assert_has(got, "403 Forbidden");
			assert_has_not(got, "hello");
			free(got);
			wire_fini(&x);
		}
	}
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* Accepted before the policy, and silent: decided on by the policy of when it speaks. */
static void test_policy_comes_before_the_first_byte(void **state)
{
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	struct mesh_raw app;
	struct wire x[3];
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
	mesh_raw_start(&app, p->web, 8080, NULL);
	mesh_apply(&p->m);
	for (int i = 0; i < 2; i++)
		wire_init(&x[i], &p->m.w, mesh_dial(&p->m, stranger, "10.77.0.3:8080"));
	pair_wire(p, &x[2]);
	mesh_advance(&p->m, 10 * NS_PER_MS);
	mesh_policy(&p->m, "nobody", MESH_DENY, NULL, 0);
	mesh_apply_one(&p->m, p->web);
	/* What was dialled for the silent ones is gone. */
	for (size_t i = 0; i < app.n; i++)
		assert_true(app.wires[i].eof || app.wires[i].err != 0);
	size_t before = app.n;
	pair_expect(&x[0], GET, "403 Forbidden");
	wire_send(&x[1], STR("\1\2\3"), 0, NULL);
	assert_int_equal(x[1].err, ERR_RESET);
	wire_send(&x[2], STR("\1\2\3"), 0, NULL);
	mesh_advance(&p->m, NS_PER_S);
	assert_true(x[2].eof || x[2].err != 0);
	assert_int_equal(app.n, before);
	for (int i = 0; i < 3; i++)
		wire_fini(&x[i]);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

/* -- mode and trust
 * -----------------------------------------------------------------------------------------------
 */

static void test_plaintext_is_cut_when_the_mode_turns_strict(void **state)
{
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	struct mesh_raw app;
	struct wire raw, silent, mine;
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
	mesh_raw_start(&app, p->web, 8080, NULL);
	mesh_apply(&p->m);
	wire_init(&raw, &p->m.w, mesh_dial(&p->m, stranger, "10.77.0.3:8080"));
	wire_send(&raw, STR("\1raw"), 0, NULL);
	wire_init(&silent, &p->m.w, mesh_dial(&p->m, stranger, "10.77.0.3:8080"));
	pair_wire(p, &mine);
	wire_send(&mine, STR("\1raw"), 0, NULL);
	mesh_advance(&p->m, 10 * NS_PER_MS);
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_STRICT;
	mesh_apply_one(&p->m, p->web);
	assert_int_equal(raw.err, ERR_RESET);
	assert_int_equal(refused(p->web, "reason=\"plaintext\""), 1);
	wire_send(&silent, STR("\1raw"), 0, NULL);
	assert_int_equal(silent.err, ERR_RESET);
	assert_int_equal(refused(p->web, "reason=\"plaintext\""), 2);
	assert_int_equal(mine.err, 0);
	assert_false(mine.eof);
	wire_fini(&raw);
	wire_fini(&silent);
	wire_fini(&mine);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

/* A root goes: whoever it vouched for is cut, HTTP and TCP, called and calling. */
static void test_a_root_goes(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct mesh_raw raw;
	struct wire slow, idle, tcp;
	struct cert_ca *next = mesh_ca("cluster.local");
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_silent);
	mesh_raw_start(&raw, p->web, 9090, "220 ready\r\n");
	mesh_apply(&p->m);
	pair_wire(p, &slow);
	wire_send(&slow, STR(GET), 0, NULL);
	pair_wire(p, &idle);
	wire_init(&tcp, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	mesh_advance(&p->m, 10 * NS_PER_MS);
	assert_int_equal(tcp.total, 11);
	/* One side alone does not trust the other any more. */
	for (int side = 0; side < 2; side++) {
		struct mesh_test_pod *judge = side == 0 ? p->client : p->web;
		struct cert_ca *old = p->m.ca;
		mesh_apply(&p->m);
		if (side == 1) {
			wire_fini(&slow);
			wire_fini(&tcp);
			pair_wire(p, &slow);
			wire_send(&slow, STR(GET), 0, NULL);
			wire_init(&tcp, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
			mesh_advance(&p->m, 10 * NS_PER_MS);
		}
		p->m.ca = next;
		mesh_apply_one(&p->m, judge);
		p->m.ca = old;
		assert_true(slow.err != 0 || slow.total > 0);
		char *got = wire_take(&slow);
		assert_has_not(got, "200 OK");
		free(got);
		assert_true(tcp.err != 0 || tcp.eof);
		/* The third one waited for a client that has said nothing yet; one more is
		 * tried in its place. */
		assert_true(refused(judge, "reason=\"cert_untrusted\"") >= (side == 0 ? 3 : 2));
	}
	wire_fini(&slow);
	wire_fini(&idle);
	wire_fini(&tcp);
	mesh_app_stop(&app);
	mesh_raw_stop(&raw);
	cert_ca_free(&next);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_leaves_rotate_under_load),
		PAIR_TEST(test_roots_rotate_under_load),
		PAIR_TEST(test_slow_requests_outlive_a_rotation),
		PAIR_TEST(test_connections_retire_before_a_leaf_expires),
		PAIR_TEST(test_requests_in_flight_are_denied),
		PAIR_TEST(test_answers_that_have_begun_are_cut),
		PAIR_TEST(test_policy_comes_amid_a_request),
		PAIR_TEST(test_policy_comes_before_the_first_byte),
		PAIR_TEST(test_plaintext_is_cut_when_the_mode_turns_strict),
		PAIR_TEST(test_a_root_goes),
	};
	return cmocka_run_group_tests_name("configuration that changes", tests, NULL, NULL);
}
