/*
 * A thousand sidecars on one control plane: a change reaches its subscribers and nobody else, and
 * after a restart all come back by and by while updates go on. Counts messages, not time.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "tests/support/attest_by_name.h"
#include "tests/support/push_world.h"

#define STREAMS 1000
#define SERVICES 50
#define CALLED 3 /* services of each pod */
#define FIRST (4 + CALLED)

struct crowd {
	struct push_world w;
	struct push_client *c;
	unsigned version[SERVICES]; /* of its only endpoint's address */
};

static char *crowd_yaml(const struct crowd *x)
{
	struct buf b;
	struct buf_pool *pool = buf_pool_new(0);
	buf_init(&b, pool);
	for (unsigned i = 0; i < STREAMS; i++)
		buf_printf(&b,
			"---\nkind: Pod\napiVersion: v1\nmetadata: {name: p%u, namespace: shop}\n"
			"spec: {containers: [{name: weft-sidecar}]}\nstatus: {podIP: 10.0.%u.%u}\n",
			i, i / 250, i % 250 + 1);
	for (unsigned k = 0; k < SERVICES; k++)
		buf_printf(&b,
			"---\nkind: Pod\napiVersion: v1\nmetadata: {name: b%u, namespace: shop, "
			"labels: {app: b%u}}\nspec: {containers: [{name: weft-sidecar}]}\n"
			"status: {podIP: 10.1.%u.%u}\n"
			"---\nkind: Service\napiVersion: v1\nmetadata: {name: s%u, namespace: "
			"shop}\nspec: {clusterIP: 10.96.0.%u, selector: {app: b%u}, ports: [{port: "
			"80}]}\n",
			k, k, x->version[k], k + 1, k, k + 1, k);
	char *yaml = mem_alloc(buf_len(&b) + 1);
	buf_copy_out(&b, 0, yaml, buf_len(&b));
	buf_clear(&b);
	buf_pool_free(&pool);
	return yaml;
}

static void crowd_read(struct crowd *x)
{
	char *yaml = crowd_yaml(x);
	push_world_set(&x->w, yaml);
	mem_free(yaml);
}

static bool subscribes(unsigned i, unsigned service)
{
	return (service + SERVICES - i % SERVICES) % SERVICES < CALLED;
}

static void crowd_dial(struct crowd *x)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		char pod[32];
		snprintf(pod, sizeof(pod), "shop/p%u", i);
		push_client_open(&x->c[i], &x->w, pod);
		x->c[i].mute = true;
	}
	push_world_settle(&x->w);
}

static void crowd_ask(struct crowd *x)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		char keys[64];
		snprintf(keys, sizeof(keys), "10.96.0.%u shop/s%u 10.96.0.%u", i % SERVICES + 1,
			(i + 1) % SERVICES, (i + 2) % SERVICES + 1);
		push_client_subscribe(&x->c[i], keys);
	}
}

static void crowd_close(struct crowd *x)
{
	for (unsigned i = 0; i < STREAMS; i++)
		push_client_close(&x->c[i]);
}

static size_t heap(void)
{
	return mallinfo2().uordblks;
}

static int crowd_setup(void **state)
{
	struct crowd *x = MEM_NEW(struct crowd);
	x->c = mem_alloc_array(STREAMS, sizeof(*x->c));
	push_world_init(&x->w);
	*state = x;
	return 0;
}

static int crowd_teardown(void **state)
{
	struct crowd *x = *state;
	push_world_close(&x->w);
	mem_free(x->c);
	mem_free(x);
	return 0;
}

static void test_subscribers_only(void **state)
{
	struct crowd *x = *state;
	push_world_open(&x->w, NULL);
	crowd_read(x);
	push_world_settle(&x->w);
	size_t before = heap();
	crowd_dial(x);
	size_t dialled = heap();
	crowd_ask(x);
	push_world_settle(&x->w);
	size_t served = heap();
	if (before != 0)
		printf("memory: %zu bytes for each connection and call with both its ends, %zu for "
		       "each ledger, and the catalog's share, with %u resources and %u keys\n",
			(dialled - before) / STREAMS, (served - dialled) / STREAMS, FIRST, CALLED);
	for (unsigned i = 0; i < STREAMS; i++) {
		assert_int_equal(x->c[i].responses, 1);
		assert_int_equal(x->c[i].resources, FIRST);
	}
	assert_int_equal(push_world_metric(&x->w, "weft_push_responses_total"), STREAMS);
	assert_int_equal(push_world_metric(&x->w, "weft_push_streams"), STREAMS);

	x->version[7]++;
	crowd_read(x);
	push_world_settle(&x->w);
	unsigned told = 0;
	for (unsigned i = 0; i < STREAMS; i++) {
		assert_int_equal(x->c[i].responses, 1 + subscribes(i, 7));
		assert_int_equal(x->c[i].resources, FIRST + subscribes(i, 7));
		told += subscribes(i, 7);
	}
	assert_int_equal(told, STREAMS / SERVICES * CALLED);
	assert_int_equal(push_world_metric(&x->w, "weft_push_responses_total"), STREAMS + told);
	printf("messages: %u first, then %u for one changed endpoint\n", STREAMS, told);
	crowd_close(x);
}

/* A second of the crowd's return: one endpoint changes, and whoever is served hears of it. */
static unsigned one_second(struct crowd *x, unsigned k)
{
	uint64_t *had = mem_alloc_array(STREAMS, sizeof(*had));
	unsigned told = 0;
	for (unsigned i = 0; i < STREAMS; i++)
		had[i] = x->c[i].responses;
	x->version[k]++;
	crowd_read(x);
	push_world_settle(&x->w);
	for (unsigned i = 0; i < STREAMS; i++) {
		assert_int_equal(x->c[i].responses - had[i], had[i] != 0 && subscribes(i, k));
		told += (unsigned)(x->c[i].responses - had[i]);
	}
	mem_free(had);
	loop_sim_advance(x->w.loop, NS_PER_S);
	return told;
}

static unsigned served(const struct crowd *x)
{
	unsigned n = 0;
	for (unsigned i = 0; i < STREAMS; i++)
		n += x->c[i].responses != 0;
	return n;
}

static void test_restart(void **state)
{
	struct crowd *x = *state;
	unsigned seconds = 0, updates = 0;
	x->w.cfg.admit_rate = 50;
	x->w.cfg.admit_burst = 100;
	x->w.cfg.max_waiting = STREAMS;
	push_world_open(&x->w, NULL);
	crowd_read(x);
	push_world_restart(&x->w);
	crowd_dial(x);
	crowd_ask(x);
	push_world_settle(&x->w);
	assert_int_equal(served(x), 100);
	assert_int_equal(push_world_metric(&x->w, "weft_push_streams_waiting"), STREAMS - 100);
	for (; served(x) < STREAMS; seconds++) {
		assert_true(seconds < 19);
		updates += one_second(x, seconds % SERVICES);
		assert_int_equal(served(x),
			100 + 50 * (seconds + 1) < STREAMS ? 100 + 50 * (seconds + 1) : STREAMS);
	}
	assert_int_equal(seconds, 18);
	assert_int_equal(push_world_metric(&x->w, "weft_push_responses_total"), STREAMS + updates);
	printf("messages: %u first ones in %u s at 50/s, and %u updates between them\n", STREAMS,
		seconds, updates);
	crowd_close(x);
}

/* All at once and changes in every turn: both kinds of work go on in all of them. */
static void test_alternates(void **state)
{
	struct crowd *x = *state;
	push_world_open(&x->w, NULL);
	crowd_read(x);
	crowd_dial(x);
	/* Half of them are there; the others come while all of the first are to be updated. */
	struct push_client *half = &x->c[STREAMS / 2];
	for (unsigned i = 0; i < STREAMS / 2; i++)
		push_client_subscribe(&x->c[i], "10.96.0.1");
	push_world_settle(&x->w);
	for (unsigned i = 0; i < STREAMS / 2; i++)
		push_client_subscribe(&half[i], "10.96.0.2");
	x->version[0]++;
	crowd_read(x);
	unsigned new_ones = 0, updated = 0, turns = 0;
	while (new_ones + updated < STREAMS) {
		assert_true(turns++ < 100);
		(void)loop_sim_settle(x->w.loop, 1);
		new_ones = updated = 0;
		for (unsigned i = 0; i < STREAMS / 2; i++) {
			updated += x->c[i].responses == 2;
			new_ones += half[i].responses == 1;
		}
		/* Neither is done before the other has begun. */
		assert_true(updated < STREAMS / 2 || new_ones > 0);
		assert_true(new_ones < STREAMS / 2 || updated > 0);
	}
	printf("turns: %u for %u first responses and %u updates\n", turns, new_ones, updated);
	push_world_settle(&x->w);
	crowd_close(x);
}

int main(void)
{
#define CROWD_TEST(fn) cmocka_unit_test_setup_teardown(fn, crowd_setup, crowd_teardown)
	const struct CMUnitTest tests[] = {
		CROWD_TEST(test_subscribers_only),
		CROWD_TEST(test_restart),
		CROWD_TEST(test_alternates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
