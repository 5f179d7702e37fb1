/*
 * The choice of an endpoint: fairness of both balancers, and who is passed over for what reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/balance/pick.h"

#define N 6
#define NOW 1000000

/* A service of N endpoints with one port, all good. */
struct world {
	struct mesh_service service;
	struct mesh_service_port service_port;
	struct mesh_endpoint endpoints[N];
	struct mesh_port ports[N];
	struct balance_load loads[N];
	struct balance_state state;
	struct rng rng;
	struct pick_in in;
	enum pick_none why;
};

static struct balance_load *load_of(void *arg, const struct mesh_endpoint *ep)
{
	struct world *w = arg;
	return &w->loads[ep->index];
}

static struct addr v4(uint8_t last)
{
	return (struct addr){.family = ADDR_V4, .bytes = {10, 0, 0, last}};
}

static struct addr v6(uint8_t last)
{
	return (struct addr){.family = ADDR_V6, .bytes = {0xfd, [15] = last}};
}

static void world_init(struct world *w, enum mesh_balancer balancer)
{
	memset(w, 0, sizeof(*w));
	w->service.balancer = balancer;
	w->service.ports = &w->service_port;
	w->service.n_ports = 1;
	w->service.endpoints = w->endpoints;
	w->service.n_endpoints = N;
	for (uint32_t i = 0; i < N; i++) {
		w->ports[i] = (struct mesh_port){.port = 8080};
		w->endpoints[i] = (struct mesh_endpoint){.v4 = v4((uint8_t)(i + 1)),
			.meshed = true,
			.ready = true,
			.ports = &w->ports[i],
			.n_ports = 1,
			.index = i};
	}
	rng_seed(&w->rng, 42);
	w->in = (struct pick_in){.service = &w->service,
		.family = ADDR_V4,
		.now = NOW,
		.load = load_of,
		.load_arg = w};
}

static const struct mesh_endpoint *choose(struct world *w)
{
	return pick_endpoint(&w->in, &w->state, &w->rng, &w->why);
}

static void count(struct world *w, unsigned picks, unsigned counts[N])
{
	memset(counts, 0, N * sizeof(counts[0]));
	for (unsigned i = 0; i < picks; i++)
		counts[choose(w)->index]++;
}

/* -- fairness
 * -----------------------------------------------------------------------------------------------------
 */

static void test_round_robin_is_fair(void **state)
{
	struct world w;
	unsigned counts[N];
	(void)state;
	world_init(&w, BALANCER_ROUND_ROBIN);
	for (unsigned i = 0; i < 3 * N; i++)
		assert_int_equal(choose(&w)->index, i % N);
	count(&w, 600, counts);
	for (int i = 0; i < N; i++)
		assert_int_equal(counts[i], 100);
	/* One is out: the others share in turn. */
	w.endpoints[2].ready = false;
	count(&w, 500, counts);
	assert_int_equal(counts[2], 0);
	assert_int_equal(counts[0], 100);
	assert_int_equal(counts[5], 100);
}

static void test_p2c_without_load_is_about_even(void **state)
{
	struct world w;
	unsigned counts[N];
	(void)state;
	world_init(&w, BALANCER_P2C);
	count(&w, 6000, counts);
	for (int i = 0; i < N; i++)
		assert_in_range(counts[i], 800, 1200);
}

/* Requests that stay: the numbers in flight stay within one or two of each other. */
static void test_p2c_levels_the_load(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, BALANCER_P2C);
	for (int i = 0; i < 600; i++)
		w.loads[choose(&w)->index].in_flight++;
	for (int i = 0; i < N; i++)
		assert_in_range(w.loads[i].in_flight, 96, 104);
	/* One that is much more loaded is taken only where it meets nobody else: never. */
	unsigned counts[N];
	w.loads[3].in_flight = 1000;
	count(&w, 1000, counts);
	assert_int_equal(counts[3], 0);
}

/* -- who is passed over
 * -----------------------------------------------------------------------------------------------
 */

static void pass_over(enum mesh_balancer balancer)
{
	struct world w;
	world_init(&w, balancer);
	const struct mesh_endpoint *tried[] = {&w.endpoints[0], &w.endpoints[1]};
	w.in.tried = tried;
	w.in.n_tried = 2;
	w.endpoints[2].ready = false;
	w.ports[3].port = 0; /* does not serve that port */
	w.endpoints[4].meshed = false;
	w.ports[4].mtls = MTLS_STRICT;
	for (int i = 0; i < 50; i++)
		assert_int_equal(choose(&w)->index, 5);
	w.ports[4].mtls = MTLS_PERMISSIVE;
	bool fourth = false;
	for (int i = 0; i < 50; i++)
		fourth = choose(&w)->index == 4 || fourth;
	assert_true(fourth);
}

static void test_who_is_passed_over(void **state)
{
	(void)state;
	pass_over(BALANCER_ROUND_ROBIN);
	pass_over(BALANCER_P2C);
}

/* Those that failed lately come last, however many there are. */
static void failing(enum mesh_balancer balancer)
{
	struct world w;
	world_init(&w, balancer);
	for (int i = 0; i < N; i++)
		if (i != 4)
			w.loads[i].failed_until = NOW + 1;
	w.loads[4].in_flight = 1000;
	for (int i = 0; i < 200; i++)
		assert_int_equal(choose(&w)->index, 4);
	/* All of them: better a bad one than none. */
	unsigned counts[N];
	w.loads[4].failed_until = NOW + 1;
	w.loads[4].in_flight = 0;
	count(&w, 600, counts);
	for (int i = 0; i < N; i++)
		assert_in_range(counts[i], 50, 200);
	/* Their time is over. */
	w.in.now = NOW + 1;
	count(&w, 600, counts);
	for (int i = 0; i < N; i++)
		assert_in_range(counts[i], 50, 200);
}

static void test_failing_endpoints_come_last(void **state)
{
	(void)state;
	failing(BALANCER_ROUND_ROBIN);
	failing(BALANCER_P2C);
}

static void test_why_there_is_none(void **state)
{
	struct world w;
	const struct mesh_endpoint *tried[N];
	(void)state;
	world_init(&w, BALANCER_P2C);
	w.service.n_endpoints = 0;
	assert_null(choose(&w));
	assert_int_equal(w.why, PICK_EMPTY);
	world_init(&w, BALANCER_ROUND_ROBIN);
	for (int i = 0; i < N; i++)
		w.endpoints[i].ready = false;
	assert_null(choose(&w));
	assert_int_equal(w.why, PICK_NOT_READY);
	w.endpoints[1].ready = true;
	w.endpoints[1].meshed = false;
	assert_null(choose(&w));
	assert_int_equal(w.why, PICK_STRICT);
	w.endpoints[2].ready = true;
	tried[0] = &w.endpoints[2];
	w.in.tried = tried;
	w.in.n_tried = 1;
	assert_null(choose(&w));
	assert_int_equal(w.why, PICK_TRIED);
	for (int i = PICK_EMPTY; i <= PICK_TRIED; i++)
		assert_true(strlen(pick_none_text((enum pick_none)i)) > 0);
}

/* -- addresses
 * ----------------------------------------------------------------------------------------------------
 */

static void test_families(void **state)
{
	struct world w;
	struct addr a;
	(void)state;
	world_init(&w, BALANCER_P2C);
	struct mesh_endpoint *ep = &w.endpoints[0];
	assert_true(endpoint_addr(ep, 0, ADDR_V4, &a));
	assert_int_equal(a.family, ADDR_V4);
	assert_int_equal(a.port, 8080);
	assert_true(endpoint_addr(ep, 0, ADDR_V6, &a)); /* second choice */
	assert_int_equal(a.family, ADDR_V4);
	ep->v6 = v6(1);
	assert_true(endpoint_addr(ep, 0, ADDR_V6, &a));
	assert_int_equal(a.family, ADDR_V6);
	assert_int_equal(a.port, 8080);
	ep->v4 = (struct addr){0};
	assert_true(endpoint_addr(ep, 0, ADDR_V4, &a));
	assert_int_equal(a.family, ADDR_V6);
	ep->v6 = (struct addr){0};
	assert_false(endpoint_addr(ep, 0, ADDR_V4, &a));
	assert_false(endpoint_addr(&w.endpoints[1], 1, ADDR_V4, &a));
	assert_false(endpoint_addr(&w.endpoints[1], -1, ADDR_V4, &a));
	/* An endpoint without any address is none. */
	for (int i = 0; i < 100; i++)
		assert_int_not_equal(choose(&w)->index, 0);
}

static void test_one_endpoint(void **state)
{
	struct world w;
	(void)state;
	for (int b = 0; b < 2; b++) {
		world_init(&w, b == 0 ? BALANCER_P2C : BALANCER_ROUND_ROBIN);
		w.service.n_endpoints = 1;
		for (int i = 0; i < 10; i++)
			assert_int_equal(choose(&w)->index, 0);
		w.in.load = NULL;
		assert_int_equal(choose(&w)->index, 0);
	}
}

/* The round-robin position outlives a service that shrinks. */
static void test_the_service_shrinks(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, BALANCER_ROUND_ROBIN);
	for (int i = 0; i < 5; i++)
		choose(&w);
	w.service.n_endpoints = 2;
	for (int i = 0; i < 10; i++)
		assert_in_range(choose(&w)->index, 0, 1);
	w.state.next = UINT32_MAX;
	for (int i = 0; i < 10; i++)
		assert_in_range(choose(&w)->index, 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin_is_fair),
		cmocka_unit_test(test_p2c_without_load_is_about_even),
		cmocka_unit_test(test_p2c_levels_the_load),
		cmocka_unit_test(test_who_is_passed_over),
		cmocka_unit_test(test_failing_endpoints_come_last),
		cmocka_unit_test(test_why_there_is_none),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_one_endpoint),
		cmocka_unit_test(test_the_service_shrinks),
	};
	return cmocka_run_group_tests_name("pick", tests, NULL, NULL);
}
