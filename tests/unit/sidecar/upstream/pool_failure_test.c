/*
 * Pools whose dials fail, whose connections end while somebody waits, and whose callers cancel, at
 * every moment and from inside of callbacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/pool_world.h"

/* -- failures
 * ----------------------------------------------------------------------------------------------------
 */

static void test_a_failed_dial_fails_all_who_wait(void **state)
{
	struct pool_world w;
	(void)state;
	for (int v = 0; v < 2; v++) {
		pool_world_open(&w, v == 0 ? HTTP_V1 : HTTP_V2);
		net_sim_fail(w.net, &w.key.target.to, ERR_REFUSED);
		for (int i = 0; i < 4; i++)
			pool_world_ask(&w, i == 3);
		pool_world_settle(&w);
		for (unsigned i = 0; i < 4; i++) {
			assert_true(w.calls[i].failed);
			assert_int_equal(w.calls[i].reason, REASON_CONNECT_FAILED);
			assert_int_equal(w.calls[i].order, i + 1);
		}
		assert_int_equal(pools_conns(w.pools), 0);
		net_sim_fail(w.net, &w.key.target.to, 0);
		pool_world_ask(&w, false);
		pool_world_settle(&w);
		assert_true(w.calls[4].ready);
		pool_world_close(&w);
	}
}

/* A connection that is busy is no comfort to who waits for a dial that failed. */
static void test_a_failed_dial_beside_a_busy_connection(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V1);
	pool_world_ask(&w, false);
	pool_world_settle(&w);
	net_sim_fail(w.net, &w.key.target.to, ERR_REFUSED);
	pool_world_ask(&w, false);
	pool_world_settle(&w);
	assert_true(w.calls[1].failed);
	assert_int_equal(w.calls[1].reason, REASON_CONNECT_FAILED);
	assert_true(w.calls[0].ready && !w.calls[0].ended);
	pool_world_close(&w);
}

/* Two dials, one of which fails first: the other serves whom it can, a third is made for the rest.
 */
static void test_who_failed_is_dialled_for_again(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V1);
	pool_world_ask(&w, false);
	pool_world_ask(&w, false);
	pool_world_settle(&w);
	assert_int_equal(w.accepted, 2);
	/* A kept connection ends while somebody waits for it. */
	w.bounds.max_conns = 2;
	pool_world_ask(&w, false);
	pool_world_settle(&w);
	http_conn_end(w.users[0]->conn, REASON_INTERNAL);
	pool_world_settle(&w);
	assert_true(w.calls[0].ended);
	assert_true(w.calls[2].ready);
	pool_world_close(&w);
}

/* Accepted and closed at once: those who wait for SETTINGS do not have it dialled for ever. */
static void test_an_upstream_that_hangs_up(void **state)
{
	struct pool_world w;
	(void)state;
	pool_world_open(&w, HTTP_V2);
	w.hang_up = true;
	pool_world_ask(&w, true);
	pool_world_settle(&w);
	assert_true(w.calls[0].failed);
	assert_in_range(w.accepted, 1, 5);
	/* A plain request takes the connection it gets, and fails with it. */
	pool_world_ask(&w, false);
	pool_world_settle(&w);
	assert_true(w.calls[1].ended || w.calls[1].failed);
	assert_in_range(w.accepted, 2, 10);
	w.hang_up = false;
	w.accepted = 0;
	pool_world_ask(&w, true);
	pool_world_settle(&w);
	assert_true(w.calls[2].ready);
	pool_world_close(&w);
}

/* -- cancelling
 * --------------------------------------------------------------------------------------------------
 */

static void test_cancelled_at_every_moment(void **state)
{
	struct pool_world w;
	(void)state;
	for (int v = 0; v < 2; v++) {
		bool over = false;
		for (size_t turns = 0; !over; turns++) {
			pool_world_open(&w, v == 0 ? HTTP_V1 : HTTP_V2);
			for (int i = 0; i < 3; i++)
				pool_world_ask(&w, v == 1 && i == 1);
			loop_sim_settle(w.w.loop, turns);
			over = w.calls[0].ready && w.calls[1].ready && w.calls[2].ready;
			for (int i = 0; i < 3; i++) {
				pools_cancel(&w.calls[i].wait);
				pools_cancel(&w.calls[i].wait);
			}
			unsigned before = w.answered;
			pool_world_settle(&w);
			assert_int_equal(w.answered, before);
			assert_int_equal(pools_waiting(w.pools), 0);
			pool_world_close(&w);
		}
	}
}

static void cancel_the_others(struct pool_call *c)
{
	for (unsigned i = 0; i < c->w->n_calls; i++)
		pools_cancel(&c->w->calls[i].wait);
}

static void ask_again(struct pool_call *c)
{
	c->on_ready = NULL;
	pool_world_ask(c->w, false);
}

/* A callback that cancels its neighbours, or comes back at once. */
static void test_callbacks_that_act(void **state)
{
	struct pool_world w;
	(void)state;
	for (int fails = 0; fails < 2; fails++) {
		pool_world_open(&w, HTTP_V1);
		if (fails)
			net_sim_fail(w.net, &w.key.target.to, ERR_REFUSED);
		for (int i = 0; i < 3; i++)
			pool_world_ask(&w, false);
		w.calls[0].on_ready = cancel_the_others;
		pool_world_settle(&w);
		assert_int_equal(w.answered, 1);
		assert_int_equal(pools_waiting(w.pools), 0);
		pool_world_close(&w);

		pool_world_open(&w, HTTP_V1);
		if (fails)
			net_sim_fail(w.net, &w.key.target.to, ERR_REFUSED);
		for (int i = 0; i < 3; i++)
			pool_world_ask(&w, false)->on_ready = ask_again;
		pool_world_settle(&w);
		assert_int_equal(w.n_calls, 6);
		for (int i = 0; i < 6; i++)
			assert_true(fails ? w.calls[i].failed
					  : w.calls[i].ready || w.calls[i].wait != NULL);
		pool_world_close(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_failed_dial_fails_all_who_wait),
		cmocka_unit_test(test_a_failed_dial_beside_a_busy_connection),
		cmocka_unit_test(test_who_failed_is_dialled_for_again),
		cmocka_unit_test(test_an_upstream_that_hangs_up),
		cmocka_unit_test(test_cancelled_at_every_moment),
		cmocka_unit_test(test_callbacks_that_act),
	};
	return cmocka_run_group_tests_name("pools that fail", tests, NULL, NULL);
}
