/*
 * Certificates of ten seconds: renewed again and again under load, their root replaced, and left to
 * expire. Connections are retired in time, and not more often than that takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
#define CONNS 16
#define TICK (5 * NS_PER_MS) /* 200 requests a second */
#define TICKS_PER_S (NS_PER_S / TICK)
#define LEAF_S 10
#define GRPC_CALL "content-type: application/grpc\nte: trailers\n"

/* Clients that never stop, a stream that never ends, and pods that renew at half-life and some. */
struct load {
	struct pair *p;
	struct mesh_app app, grpc;
	struct wire x[CONNS];
	struct http_user u;
	struct exchange *stream;
	struct rng rng;
	uint64_t tick, renew[2]; /* ticks */
	unsigned renewed, reopened;
};

static void talk_head(struct exchange *x)
{
	struct http_head head;
	http_head_init(&head, HTTP_RESPONSE, stream_arena(x->stream));
	head.status = 200;
	head.length = HTTP_LENGTH_UNKNOWN;
	http_support_fields(&head.fields, "content-type: application/grpc\n");
	stream_send_head(x->stream, &head, false);
}

static void app_talk(struct http_user *u)
{
	u->echo = true;
	u->on_head = talk_head;
}

static void open_stream(struct load *l)
{
	struct io *io = mesh_dial(&l->p->m, l->p->client, "10.77.0.3:9090");
	assert_non_null(io);
	http_user_init(&l->u, &l->p->m.w);
	http_user_start(&l->u, io, HTTP_CLIENT, HTTP_V2);
	mesh_settle(&l->p->m);
	l->stream = http_user_request(&l->u, "POST", "/chat.Chat/Talk", GRPC_CALL,
		HTTP_LENGTH_UNKNOWN, false);
	assert_non_null(l->stream);
	mesh_settle(&l->p->m);
}

static void plan_renewal(struct load *l, size_t pod)
{
	l->renew[pod] =
		l->tick + LEAF_S * TICKS_PER_S / 2 + rng_below(&l->rng, LEAF_S * TICKS_PER_S / 5);
}

static void load_start(struct load *l, struct pair *p)
{
	*l = (struct load){.p = p};
	rng_seed(&l->rng, 11);
	p->m.leaf_seconds = LEAF_S;
	mesh_app_start(&l->app, p->web, 8080, HTTP_V1, app_hello);
	mesh_app_start(&l->grpc, p->web, 9090, HTTP_V2, app_talk);
	mesh_apply(&p->m);
	for (int i = 0; i < CONNS; i++)
		pair_wire(p, &l->x[i]);
	open_stream(l);
	for (size_t i = 0; i < 2; i++)
		plan_renewal(l, i);
}

static void ask(struct wire *x)
{
	pair_expect(x, GET, "200 OK");
}

/* Twenty new connections a second. */
static void ask_anew(struct load *l)
{
	struct wire x;
	pair_wire(l->p, &x);
	ask(&x);
	wire_fini(&x);
}

/* A message goes to and fro each second. A stream may be cut with the root that its connection
 * hangs from; it is told so, and another one is opened. */
static void talk(struct load *l)
{
	if (l->stream->ended) {
		assert_has(http_user_log(&l->u), "grpc-status: 14");
		http_user_fini(&l->u);
		open_stream(l);
		l->reopened++;
	}
	uint64_t before = l->stream->body_bytes;
	exchange_send(l->stream, STR("\0\0\0\0\x05hello"), false);
	mesh_settle(&l->p->m);
	assert_int_equal(l->stream->body_bytes, before + 10);
}

static void renew_due(struct load *l)
{
	struct mesh_test_pod *const pods[2] = {l->p->client, l->p->web};
	for (size_t i = 0; i < 2; i++) {
		if (l->tick < l->renew[i])
			continue;
		mesh_apply_leaf(&l->p->m, pods[i], l->p->m.ca, pods[i]->id, CERT_FLAW_NONE);
		plan_renewal(l, i);
		l->renewed++;
	}
}

static void load_run(struct load *l, unsigned seconds)
{
	for (uint64_t end = l->tick + seconds * TICKS_PER_S; l->tick < end; l->tick++) {
		renew_due(l);
		ask(&l->x[l->tick % CONNS]);
		if (l->tick % (TICKS_PER_S / 20) == 0)
			ask_anew(l);
		if (l->tick % TICKS_PER_S == 0)
			talk(l);
		mesh_advance(&l->p->m, TICK);
	}
}

static void load_stop(struct load *l)
{
	for (int i = 0; i < CONNS; i++)
		wire_fini(&l->x[i]);
	http_user_fini(&l->u);
	mesh_app_stop(&l->app);
	mesh_app_stop(&l->grpc);
	l->p->m.leaf_seconds = 86400;
	mesh_apply(&l->p->m);
	mesh_assert_idle(&l->p->m);
}

static uint64_t opened(const struct mesh_test_pod *p)
{
	return pools_opened(proxy_flow(p->proxy)->pools);
}

static void test_leaves_of_ten_seconds(void **state)
{
	struct load l;
	struct pair *p = *state;
	load_start(&l, p);
	load_run(&l, 60);
	assert_true(l.renewed >= 16);
	assert_int_equal(l.reopened, 0);
	/* One connection carries all; it is made anew for each leaf, and about once between. */
	assert_true(opened(p->client) >= 8);
	assert_true(opened(p->client) <= 60);
	assert_int_equal(pair_requests(p->client, "code=\"503\""), 0);
	assert_int_equal(pair_requests(p->web, "code=\"503\""), 0);
	load_stop(&l);
}

static double untrusted(struct mesh_test_pod *p)
{
	return mesh_metric(p, "weft_connections_refused_total", "reason=\"cert_untrusted\"", NULL);
}

/* Trusted first, then used, then alone. */
static void test_the_root_is_replaced(void **state)
{
	struct load l;
	struct wire x;
	struct pair *p = *state;
	struct cert_ca *next = mesh_ca("cluster.local"), *old = p->m.ca;
	load_start(&l, p);
	load_run(&l, 3);
	p->m.old_ca = next;
	mesh_apply(&p->m);
	load_run(&l, 8);
	p->m.ca = next;
	p->m.old_ca = old;
	load_run(&l, 16); /* each renews in its own time */
	p->m.old_ca = NULL;
	mesh_apply_one(&p->m, p->web);
	load_run(&l, 2);
	mesh_apply_one(&p->m, p->client);
	load_run(&l, 10);
	assert_int_equal(pair_requests(p->client, "code=\"503\""), 0);
	assert_in_range(l.reopened, 1, 2);
	double cut = untrusted(p->web);
	/* Who still comes with the old one is refused, and so is who answers with it. */
	mesh_apply_leaf(&p->m, p->client, old, p->client->id, CERT_FLAW_NONE);
	mesh_settle(&p->m);
	pair_wire(p, &x);
	pair_expect(&x, GET, "(UF)");
	assert_true(untrusted(p->web) == cut + 1);
	mesh_apply_one(&p->m, p->client);
	pair_expect(&x, GET, "200 OK");
	mesh_apply_leaf(&p->m, p->web, old, p->web->id, CERT_FLAW_NONE);
	mesh_settle(&p->m);
	assert_int_equal(mesh_break_upstreams(p->client, ERR_RESET), 2);
	mesh_settle(&p->m);
	pair_expect(&x, GET, "(UF)");
	wire_fini(&x);
	cert_ca_free(&old);
	load_stop(&l);
}

/* Nobody renews: what is open ends or is closed in time, what is new is refused by name on both
 * sides; a new leaf is enough to go on. */
static void test_leaves_expire(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct mesh_raw raw;
	struct wire http, tcp, plain;
	p->m.leaf_seconds = LEAF_S;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_raw_start(&raw, p->web, 9090, "220 ready\r\n");
	mesh_apply(&p->m);
	pair_wire(p, &http);
	ask(&http);
	mesh_advance(&p->m, 9 * NS_PER_S);
	ask(&http);
	mesh_advance(&p->m, 2500 * NS_PER_MS);
	pair_expect(&http, GET, "x-weft-reason: own_certificate");
	wire_init(&tcp, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	wire_send(&tcp, STR("\1\2\3"), 0, NULL);
	assert_int_equal(tcp.err, ERR_RESET);
	assert_int_equal(mesh_metric(p->client, "weft_connections_refused_total",
				 "reason=\"own_certificate\"", NULL),
		1);
	assert_true(mesh_logged(&p->m, "this sidecar's own certificate has expired"));
	/* The server alone: it does not even speak to who would believe it. */
	mesh_apply_one(&p->m, p->client);
	pair_expect(&http, GET, "(UF)");
	assert_int_equal(mesh_metric(p->web, "weft_connections_refused_total",
				 "reason=\"own_certificate\"", NULL),
		1);
	assert_true(mesh_metric(p->client, "weft_connections_refused_total",
			    "reason=\"cert_expired\"", NULL) >= 1);
	assert_int_equal(raw.n, 0);
	mesh_apply_one(&p->m, p->web);
	mesh_advance(&p->m, 6 * NS_PER_S);
	mesh_apply_one(&p->m, p->client);
	mesh_apply_one(&p->m, p->web);
	ask(&http);
	wire_fini(&tcp);
	wire_init(&plain, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.3:9090"));
	mesh_advance(&p->m, 10 * NS_PER_MS);
	assert_int_equal(plain.total, 11);
	wire_fini(&plain);
	wire_fini(&http);
	mesh_app_stop(&app);
	mesh_raw_stop(&raw);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_leaves_of_ten_seconds),
		PAIR_TEST(test_the_root_is_replaced),
		PAIR_TEST(test_leaves_expire),
	};
	return cmocka_run_group_tests_name("certificates of ten seconds", tests, NULL, NULL);
}
