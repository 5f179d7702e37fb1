/*
 * Destinations that are not known yet: asked for, waited for within bounds, refused where nobody
 * answers in time. What lies outside of the mesh's ranges waits for nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/net/net_sim.h"
#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
#define REQUEST_SENT STR("GET / HTTP/1.1\r\nHost: web\r\n\r\n")

/* Who is asked: says of every address what it was told to, and counts. */
struct oracle {
	struct pair *p;
	struct flow *flow;
	enum lookup_answer answer;
	unsigned asked, touched, refreshed;
	struct addr last;
};

static enum lookup_answer on_ask(void *arg, const struct addr *ip)
{
	struct oracle *o = arg;
	assert_int_equal(ip->port, 0);
	o->asked++;
	o->last = *ip;
	return o->answer;
}

static void on_touch(void *arg, const struct addr *ip)
{
	((struct oracle *)arg)->touched++;
	((struct oracle *)arg)->last = *ip;
}

static void on_refresh(void *arg, const struct addr *ip)
{
	((struct oracle *)arg)->refreshed++;
	((struct oracle *)arg)->last = *ip;
}

/* The client's sidecar asks o; the service is not known to it. */
static void oracle_start(struct oracle *o, struct pair *p)
{
	*o = (struct oracle){.p = p, .answer = LOOKUP_UNKNOWN};
	const struct lookup l = {on_ask, on_touch, on_refresh, o};
	mesh_start_proxy(p->client);
	o->flow = proxy_flow(p->client->proxy);
	flow_set_lookup(o->flow, &l);
	p->m.keep_leaves = true;
	p->m.hide_service = p->web->hidden = true;
	mesh_apply(&p->m);
}

static struct addr ip_of(const char *text)
{
	struct addr a;
	assert_int_equal(addr_parse(str_from(text), &a), 0);
	return addr_with_port(&a, 0);
}

static void answer(struct oracle *o, const char *ip, enum lookup_answer a)
{
	struct addr addr = ip_of(ip);
	o->answer = a;
	flow_lookup_done(o->flow, &addr);
	mesh_settle(&o->p->m);
}

/* The service, and its pod, become known. */
static void reveal(struct oracle *o)
{
	o->p->m.hide_service = o->p->web->hidden = false;
	mesh_apply_one(&o->p->m, o->p->client);
}

static unsigned looked_up(struct oracle *o, const char *result)
{
	char word[64];
	snprintf(word, sizeof(word), "result=\"%s\"", result);
	return (unsigned)mesh_metric(o->p->client, "weft_lookup_total", word, NULL);
}

static unsigned waiting(struct oracle *o)
{
	unsigned n = (unsigned)mesh_metric(o->p->client, "weft_lookup_waiting", NULL);
	assert_int_equal(n, o->flow->n_waiting);
	return n;
}

static void assert_got(struct wire *x, const char *part)
{
	http_world_settle(x->w);
	char *got = wire_take(x);
	assert_has(got, part);
	free(got);
}

static void test_found_while_it_waits(void **state)
{
	struct oracle o;
	struct mesh_app app;
	struct wire x;
	struct pair *p = *state;
	oracle_start(&o, p);
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	size_t before = buf_pool_used(p->m.w.bufs);
	pair_wire(p, &x);
	assert_int_equal(waiting(&o), 1);
	assert_int_equal(o.asked, 1);
	assert_true(addr_eq_ip(&o.last,
		&(struct addr){.family = ADDR_V4, .bytes = {10, 96, 0, 1}}));
	assert_int_equal(buf_pool_used(p->m.w.bufs), before); /* holds nothing */
	wire_push(&x, REQUEST_SENT);
	mesh_advance(&p->m, 2 * NS_PER_S);
	assert_int_equal(x.total, 0);
	assert_int_equal(app.accepted, 0);
	reveal(&o);
	assert_got(&x, "200 OK");
	assert_int_equal(waiting(&o), 0);
	assert_int_equal(looked_up(&o, "found"), 1);
	/* What is known is asked for no more, but touched for each connection and request. */
	unsigned asked = o.asked, touched = o.touched;
	assert_true(touched >= 2);
	pair_expect(&x, GET, "200 OK");
	assert_int_equal(o.asked, asked);
	assert_int_equal(o.touched, touched + 1);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* As outside of the mesh: plaintext by an explicit answer alone. */
static void test_not_meshed(void **state)
{
	struct oracle o;
	struct mesh_test_pod *bare = mesh_pod(&((struct pair *)*state)->m, "bare", false);
	struct mesh_raw app;
	struct wire x, y, z;
	struct pair *p = *state;
	bare->hidden = true;
	oracle_start(&o, p);
	mesh_raw_start(&app, bare, 9090, "220 ready\r\n");
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.4:9090"));
	wire_push(&x, STR("EHLO\r\n"));
	mesh_advance(&p->m, NS_PER_S);
	assert_int_equal(app.n, 0);
	answer(&o, "10.77.0.5", LOOKUP_UNKNOWN); /* of somebody else */
	assert_int_equal(app.n, 0);
	answer(&o, "10.77.0.4", LOOKUP_NOT_MESHED);
	assert_got(&x, "220 ready");
	assert_got(&app.wires[0], "EHLO\r\n");
	assert_int_equal(looked_up(&o, "not_meshed"), 1);
	/* The next one does not wait at all. */
	wire_init(&y, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.4:9090"));
	assert_got(&y, "220 ready");
	p->m.registry_only = true;
	mesh_apply(&p->m);
	wire_init(&z, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.4:9090"));
	wire_send(&z, STR("\1\2\3"), 0, NULL);
	assert_int_equal(z.err, ERR_RESET);
	assert_int_equal(mesh_metric(p->client, "weft_connections_refused_total", "reason=\"BH\"",
				 NULL),
		3); /* with those that were open */
	assert_int_equal(x.err, ERR_RESET);
	assert_int_equal(y.err, ERR_RESET);
	wire_fini(&x);
	wire_fini(&y);
	wire_fini(&z);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

/* The answer is another one when the connection comes about: no byte goes out in plaintext. */
static void test_not_meshed_any_more(void **state)
{
	struct oracle o;
	struct mesh_raw raw;
	struct wire x;
	struct pair *p = *state;
	struct mesh_test_pod *bare = mesh_pod(&p->m, "bare", false);
	struct addr ip = ip_of(bare->ip);
	bare->hidden = true;
	oracle_start(&o, p);
	o.answer = LOOKUP_NOT_MESHED;
	mesh_raw_start(&raw, bare, 9090, NULL);
	for (int again = 0; again < 2; again++) {
		net_sim_fail(p->m.net, &ip, ERR_TIMEOUT);
		wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.4:9090"));
		wire_send(&x, STR("\1\2\3"), 0, NULL);
		mesh_advance(&p->m, NS_PER_S);
		o.answer = again ? LOOKUP_NOT_MESHED : LOOKUP_UNKNOWN;
		net_sim_fail(p->m.net, &ip, 0);
		net_sim_retransmit(p->m.net);
		mesh_advance(&p->m, NS_PER_S);
		assert_int_equal(raw.n, again + 1);
		assert_int_equal(raw.wires[again].total, again ? 3 : 0);
		assert_int_equal(x.err, again ? 0 : ERR_RESET);
		wire_fini(&x);
		o.answer = LOOKUP_NOT_MESHED;
	}
	mesh_raw_stop(&raw);
	mesh_assert_idle(&p->m);
}

/* Nobody answers: in time, with the reason, and not a byte leaves us. */
static void test_nobody_answers(void **state)
{
	struct oracle o;
	struct mesh_raw app;
	struct wire http, raw, silent;
	struct pair *p = *state;
	oracle_start(&o, p);
	mesh_raw_start(&app, p->web, 9090, NULL);
	pair_wire(p, &http);
	wire_push(&http, REQUEST_SENT);
	wire_init(&raw, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	wire_push(&raw, STR("\1\2\3"));
	wire_init(&silent, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	mesh_advance(&p->m, 2900 * NS_PER_MS);
	assert_int_equal(waiting(&o), 3);
	mesh_advance(&p->m, 101 * NS_PER_MS);
	assert_int_equal(waiting(&o), 0);
	char *got = wire_take(&http);
	assert_has(got, "503 Service Unavailable");
	assert_has(got, "x-weft-reason: discovery");
	free(got);
	assert_int_equal(raw.err, ERR_RESET);
	assert_int_equal(looked_up(&o, "timeout"), 3);
	assert_true(mesh_logged(&p->m, "no answer came within lookup-timeout"));
	assert_int_equal(app.n, 0);
	/* On the same connection, once it is known. */
	reveal(&o);
	pair_expect(&http, GET, "(UF)");
	wire_fini(&http);
	wire_fini(&raw);
	wire_fini(&silent);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

/* Its client says nothing, so nobody was dialled when its time was over; then it becomes known. */
static void test_a_server_that_speaks_first_becomes_known_late(void **state)
{
	struct oracle o;
	struct mesh_raw app;
	struct wire x;
	struct pair *p = *state;
	oracle_start(&o, p);
	mesh_raw_start(&app, p->web, 9090, "220 ready\r\n");
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	mesh_advance(&p->m, 4 * NS_PER_S);
	assert_true(x.total == 0 && x.err == 0);
	reveal(&o);
	mesh_advance(&p->m, 10 * NS_PER_MS);
	assert_got(&x, "220 ready");
	wire_fini(&x);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_refused_at_once(void **state)
{
	struct oracle o;
	struct wire x;
	struct pair *p = *state;
	oracle_start(&o, p);
	o.answer = LOOKUP_REFUSED;
	pair_wire(p, &x);
	pair_expect(&x, GET, "x-weft-reason: discovery");
	assert_int_equal(looked_up(&o, "refused"), 1);
	wire_fini(&x);
	/* While one waits. */
	o.answer = LOOKUP_UNKNOWN;
	pair_wire(p, &x);
	wire_push(&x, REQUEST_SENT);
	mesh_settle(&p->m);
	assert_int_equal(x.total, 0);
	answer(&o, "10.96.0.1", LOOKUP_REFUSED);
	assert_got(&x, "x-weft-reason: discovery");
	assert_int_equal(looked_up(&o, "refused"), 2);
	wire_fini(&x);
	mesh_assert_idle(&p->m);
}

static void test_the_queue_is_bounded(void **state)
{
	struct oracle o;
	struct wire x[4];
	struct pair *p = *state;
	p->client->params.lookup_waiting = 3;
	oracle_start(&o, p);
	for (int i = 0; i < 4; i++)
		pair_wire(p, &x[i]);
	assert_int_equal(waiting(&o), 3);
	pair_expect(&x[3], GET, "x-weft-reason: discovery");
	assert_int_equal(looked_up(&o, "full"), 1);
	assert_true(mesh_logged(&p->m, "lookup-waiting"));
	/* Who goes makes room, whether he has spoken or not. */
	wire_close(&x[0], false);
	wire_close(&x[1], true);
	mesh_settle(&p->m);
	assert_int_equal(waiting(&o), 1);
	assert_int_equal(looked_up(&o, "gone"), 2);
	for (int i = 0; i < 4; i++)
		wire_fini(&x[i]);
	mesh_assert_idle(&p->m);
}

/* Outside of the ranges nobody is asked, and nothing waits. */
static void test_outside_of_the_ranges(void **state)
{
	struct oracle o;

	struct mesh_raw app = {.mesh = &((struct pair *)*state)->m, .banner = "220 ready\r\n"};
	struct wire x;
	struct pair *p = *state;
	struct mesh_test_pod *far = mesh_pod(&p->m, "far", false);
	far->hidden = true;
	strcpy(far->ip, "192.0.2.7");
	oracle_start(&o, p);
	mesh_raw_start(&app, far, 25, "220 ready\r\n");

	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "192.0.2.7:25"));
	assert_got(&x, "220 ready");
	assert_int_equal(o.asked + o.touched, 0);
	wire_fini(&x);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_what_is_in_use(void **state)
{
	struct oracle o;
	struct mesh_app app;
	struct wire x, y;
	struct pair *p = *state;
	struct addr vip = ip_of("10.96.0.1"), other = ip_of("10.96.0.2");
	oracle_start(&o, p);
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	assert_false(flow_uses(o.flow, &vip));
	pair_wire(p, &x);
	pair_wire(p, &y);
	assert_true(flow_uses(o.flow, &vip)); /* who waits counts */
	assert_false(flow_uses(o.flow, &other));
	reveal(&o);
	pair_expect(&x, GET, "200 OK");
	wire_fini(&x);
	mesh_settle(&p->m);
	assert_true(flow_uses(o.flow, &vip));
	wire_fini(&y);
	mesh_settle(&p->m);
	assert_false(flow_uses(o.flow, &vip));
	assert_int_equal(map_count(o.flow->uses), 0);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* Many snapshots come that say nothing of it: it goes on waiting, and its time is not prolonged. */
static void test_other_news_change_nothing(void **state)
{
	struct oracle o;
	struct wire x;
	struct pair *p = *state;
	oracle_start(&o, p);
	pair_wire(p, &x);
	wire_push(&x, REQUEST_SENT);
	for (int i = 0; i < 29; i++) {
		mesh_advance(&p->m, 100 * NS_PER_MS);
		mesh_apply_one(&p->m, p->client);
		assert_int_equal(waiting(&o), 1);
	}
	mesh_advance(&p->m, 101 * NS_PER_MS);
	assert_got(&x, "x-weft-reason: discovery");
	wire_fini(&x);
	mesh_assert_idle(&p->m);
}

/* Drain waits for those who wait, within their bounds; a quit does not. */
static void test_drain_ends_the_wait(void **state)
{
	struct oracle o;
	struct wire x;
	struct pair *p = *state;
	oracle_start(&o, p);
	pair_wire(p, &x);
	proxy_drain(p->client->proxy);
	mesh_advance(&p->m, 2 * NS_PER_S);
	assert_false(p->client->done);
	reveal(&o); /* what the application calls goes on */
	assert_int_equal(waiting(&o), 0);
	wire_close(&x, false);
	mesh_advance(&p->m, 15 * NS_PER_S);
	assert_true(p->client->done);
	wire_fini(&x);
}

static void test_quit_ends_the_wait(void **state)
{
	struct oracle o;
	struct wire x;
	struct pair *p = *state;
	oracle_start(&o, p);
	pair_wire(p, &x);
	proxy_quit(p->client->proxy);
	mesh_settle(&p->m);
	assert_true(p->client->done);
	assert_int_equal(x.err, ERR_RESET);
	wire_fini(&x);
}

/* Who calls in plaintext and is not known is asked for, so that he has a name the next time. */
static void test_sources_of_plaintext_get_a_name(void **state)
{
	struct oracle o;
	struct mesh_app app;
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	stranger->hidden = true;
	p->m.mtls = WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE;
	oracle_start(&o, p);
	mesh_app_start(&app, p->client, 8080, HTTP_V1, app_hello);
	for (int i = 0; i < 2; i++) {
		struct wire x;
		wire_init(&x, &p->m.w, mesh_dial(&p->m, stranger, "10.77.0.2:8080"));
		pair_expect(&x, GET, "200 OK");
		wire_fini(&x);
		assert_int_equal(o.asked, 1);
		assert_int_equal(mesh_metric(p->client, "weft_plaintext_connections_total",
					 i == 0 ? "source_workload=\"unknown\""
						: "source_workload=\"stranger\"",
					 NULL),
			1);
		stranger->hidden = false;
		mesh_apply_one(&p->m, p->client);
	}
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* Before there is any configuration nothing waits. */
static void test_not_ready(void **state)
{
	struct oracle o = {.p = *state};
	struct wire x;
	struct pair *p = *state;
	const struct lookup l = {on_ask, on_touch, on_refresh, &o};
	mesh_start_proxy(p->client);
	flow_set_lookup(proxy_flow(p->client->proxy), &l);
	struct io *io = mesh_dial(&p->m, p->client, mesh_vip(&p->m));
	assert_non_null(io);
	wire_init(&x, &p->m.w, io);
	mesh_settle(&p->m);
	assert_int_equal(x.err, ERR_RESET);
	assert_int_equal(o.asked, 0);
	wire_fini(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_found_while_it_waits),
		PAIR_TEST(test_not_meshed),
		PAIR_TEST(test_not_meshed_any_more),
		PAIR_TEST(test_nobody_answers),
		PAIR_TEST(test_a_server_that_speaks_first_becomes_known_late),
		PAIR_TEST(test_refused_at_once),
		PAIR_TEST(test_the_queue_is_bounded),
		PAIR_TEST(test_outside_of_the_ranges),
		PAIR_TEST(test_what_is_in_use),
		PAIR_TEST(test_other_news_change_nothing),
		PAIR_TEST(test_drain_ends_the_wait),
		PAIR_TEST(test_quit_ends_the_wait),
		PAIR_TEST(test_sources_of_plaintext_get_a_name),
		PAIR_TEST(test_not_ready),
	};
	return cmocka_run_group_tests_name("unknown destinations", tests, NULL, NULL);
}
