/*
 * Pools over a network in memory: reuse and its bounds, the order of who waits, upgrades, what does
 * not retire, and the end of all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/pool_world.h"

/* -- reuse
 * -----------------------------------------------------------------------------------------------------
 */

static void test_http1_is_kept_for_reuse(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V1);
	struct pool_call *first = pool_world_ask(&w, false);
	assert_non_null(first->wait); /* never at once without a connection */
	pool_world_settle(&w);
	assert_true(first->ready && !first->reused);
	pool_world_answer(&w, 0);
	assert_true(first->ended && first->reason == REASON_OK);
	struct pool_call *second = pool_world_ask(&w, false);
	assert_true(second->ready && second->reused); /* at once */
	pool_world_settle(&w);
	struct pool_call *third = pool_world_ask(&w, false);
	pool_world_settle(&w);
	assert_true(third->ready && !third->reused);
	assert_int_equal(w.accepted, 2);
	pool_world_answer(&w, 0);
	pool_world_answer(&w, 1);
	/* Idle ones go in the end, the pool stays for later. */
	assert_int_equal(pools_conns(w.pools), 2);
	pool_world_advance(&w, 61 * NS_PER_S);
	assert_int_equal(pools_conns(w.pools), 0);
	struct pool_call *fourth = pool_world_ask(&w, false);
	pool_world_settle(&w);
	assert_true(fourth->ready && !fourth->reused);
	assert_int_equal(pools_opened(w.pools), 3);
	pool_world_close(&w);
}

static void test_http2_is_shared(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V2);
	for (int i = 0; i < 4; i++)
		pool_world_ask(&w, false);
	pool_world_settle(&w);
	for (int i = 0; i < 20; i++)
		pool_world_ask(&w, false);
	pool_world_settle(&w);
	assert_int_equal(w.accepted, 1);
	for (int i = 0; i < 24; i++)
		assert_true(w.calls[i].ready);
	assert_int_equal(w.users[0]->n, 24);
	pool_world_close(&w);
}

/* The most recently used comes first, so that the others go idle. */
static void test_the_last_used_comes_first(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V1);
	for (int i = 0; i < 3; i++)
		pool_world_ask(&w, false);
	pool_world_settle(&w);
	assert_int_equal(w.accepted, 3);
	pool_world_answer(&w, 0);
	pool_world_answer(&w, 2);
	pool_world_answer(&w, 1);
	for (int i = 0; i < 5; i++) {
		pool_world_ask(&w, false);
		pool_world_settle(&w);
		assert_int_equal(w.users[1]->n, i + 2);
		pool_world_answer(&w, 1);
		pool_world_advance(&w, 15 * NS_PER_S);
	}
	assert_int_equal(pools_conns(w.pools), 1);
	pool_world_close(&w);
}

/* -- bounds and order
 * --------------------------------------------------------------------------------------------------
 */

static void test_bounds_and_order(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V1);
	for (int i = 0; i < 3; i++)
		pool_world_ask(&w, false);
	pool_world_settle(&w);
	for (int i = 0; i < 4; i++)
		assert_non_null(pool_world_ask(&w, false)->wait);
	pool_world_settle(&w);
	assert_int_equal(w.accepted, 3);
	assert_int_equal(pools_waiting(w.pools), 4);
	struct pool_call *beyond = pool_world_ask(&w, false);
	assert_null(beyond->wait);
	assert_false(beyond->ready);
	/* In the order in which they came. */
	for (unsigned i = 0; i < 3; i++) {
		pool_world_answer(&w, i);
		assert_int_equal(w.calls[3 + i].order, 4 + i);
		assert_true(w.calls[3 + i].reused);
	}
	/* The last one waits too long. */
	pool_world_advance(&w, 11 * NS_PER_S);
	assert_true(w.calls[6].failed);
	assert_int_equal(w.calls[6].reason, REASON_OVERLOAD);
	assert_int_equal(pools_waiting(w.pools), 0);
	pool_world_close(&w);
}

static void test_pools_are_bounded(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V1);
	pool_world_ask(&w, false);
	pool_world_settle(&w);
	w.key.version = HTTP_V2; /* another pool */
	w.version = HTTP_V2;
	pool_world_ask(&w, false);
	pool_world_settle(&w);
	assert_int_equal(map_count(w.pools->by_key), 2);
	w.key.target.from = w.key.target.to; /* and one too many */
	struct pool_call *third = pool_world_ask(&w, false);
	assert_null(third->wait);
	assert_false(third->ready);
	/* One goes idle and makes room, with its connection. */
	pool_world_answer(&w, 0);
	pool_world_advance(&w, 61 * NS_PER_S);
	assert_non_null(pool_world_ask(&w, false)->wait);
	pool_world_settle(&w);
	assert_true(w.calls[3].ready);
	assert_int_equal(map_count(w.pools->by_key), 2);
	pool_world_close(&w);
}

/* -- upgrades
 * ----------------------------------------------------------------------------------------------------
 */

/* An upgrade waits for SETTINGS, others do not; then it is served. */
static void test_upgrades_wait_for_settings(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V2);
	struct pool_call *up = pool_world_ask(&w, true), *plain = pool_world_ask(&w, false);
	pool_world_settle(&w);
	assert_true(up->ready && plain->ready);
	assert_true(plain->order < up->order);
	struct pool_call *later = pool_world_ask(&w, true);
	assert_true(later->ready); /* known by now */
	assert_int_equal(w.accepted, 1);
	pool_world_close(&w);
}

/* -- retiring
 * ----------------------------------------------------------------------------------------------------
 */

/* Plaintext has no identity that could retire. */
static void test_plaintext_does_not_retire(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V1);
	pool_world_ask(&w, false);
	pool_world_settle(&w);
	pool_world_answer(&w, 0);
	pools_retire(w.pools, NULL);
	pool_world_settle(&w);
	assert_int_equal(pools_conns(w.pools), 1);
	pool_world_ask(&w, false);
	assert_true(w.calls[1].reused);
	pool_world_settle(&w);
	pool_world_close(&w);
}

static void test_ending_with_waiters(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V1);
	for (int i = 0; i < 5; i++)
		pool_world_ask(&w, false);
	pools_end(w.pools);
	pool_world_settle(&w);
	pool_world_close(&w);
	pool_world_open(&w, HTTP_V1);
	for (int i = 0; i < 5; i++)
		pool_world_ask(&w, false);
	pool_world_settle(&w);
	pools_end(w.pools);
	pool_world_settle(&w);
	for (int i = 0; i < 3; i++)
		assert_int_equal(w.calls[i].reason, REASON_DRAINING);
	pool_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http1_is_kept_for_reuse),
		cmocka_unit_test(test_http2_is_shared),
		cmocka_unit_test(test_the_last_used_comes_first),
		cmocka_unit_test(test_bounds_and_order),
		cmocka_unit_test(test_pools_are_bounded),
		cmocka_unit_test(test_upgrades_wait_for_settings),
		cmocka_unit_test(test_plaintext_does_not_retire),
		cmocka_unit_test(test_ending_with_waiters),
	};
	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
