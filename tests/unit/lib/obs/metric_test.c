/*
 * The metrics registry: lookup, counting, cap and overflow, expiry and holders. Each test owns a
 * registry; what a scrape looks like is in prom_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/obs/metric.h"

#define MAX_SERIES 20

static const char *const two_labels[] = {"peer", "code", NULL};
static const double seconds[] = {0.01, 0.1, 1, 0};
static const struct metric_def requests = {
	"weft_requests_total", METRIC_COUNTER, "Requests.", two_labels, NULL};
static const struct metric_def open_conns = {
	"weft_open_connections", METRIC_GAUGE, "Open now.", NULL, NULL};
static const struct metric_def durations = {
	"weft_duration_seconds", METRIC_HISTOGRAM, "Time.", NULL, seconds};

static int setup(void **state)
{
	*state = metrics_new(MAX_SERIES, 42);
	return 0;
}

static int teardown(void **state)
{
	struct metrics *m = *state;

	metrics_free(&m);
	metrics_free(&m);
	return 0;
}

static struct metric_series *get2(struct metric *metric, const char *a, const char *b)
{
	const struct str values[] = {str_from(a), str_from(b)};

	return metric_get(metric, values, 2);
}

static void test_counters(void **state)
{
	struct metric *metric = metrics_add(*state, &requests);
	struct metric_series *s = get2(metric, "a", "200");

	metric_add(s, 1);
	metric_add(s, 41);
	assert_int_equal(metric_value(s), 42);
	assert_ptr_equal(get2(metric, "a", "200"), s);
	assert_ptr_not_equal(get2(metric, "a", "500"), s);
	/* The border between the values counts: "a" + "b" is not "ab" + "". */
	assert_ptr_not_equal(get2(metric, "a2", "00"), s);
	assert_int_equal(metrics_series(*state), 3);
}

static void test_gauges(void **state)
{
	struct metric_series *s = metric_get(metrics_add(*state, &open_conns), NULL, 0);

	metric_set(s, -5);
	assert_int_equal((int64_t)metric_value(s), -5);
	metric_gauge_add(s, 7);
	metric_gauge_add(s, -1);
	assert_int_equal((int64_t)metric_value(s), 1);
}

static void test_histogram_counts_observations(void **state)
{
	struct metric_series *s = metric_get(metrics_add(*state, &durations), NULL, 0);

	metric_observe(s, 0.01);
	metric_observe(s, 0.5);
	metric_observe(s, 100);
	metric_observe(s, __builtin_nan(""));
	assert_int_equal(metric_value(s), 3);
}

static void fill(struct metric *metric)
{
	char text[16];

	for (int i = 0; i < MAX_SERIES; i++) {
		snprintf(text, sizeof(text), "peer-%d", i);
		metric_add(get2(metric, text, "200"), 1);
	}
}

static void test_over_the_cap_all_is_counted_in_one_series(void **state)
{
	struct metric *metric = metrics_add(*state, &requests);
	struct metric_series *s, *real;

	fill(metric);
	s = get2(metric, "one-too-many", "200");
	metric_add(s, 2);
	assert_ptr_equal(get2(metric, "another", "500"), s);
	assert_int_equal(metric_value(s), 2);
	assert_int_equal(metrics_series(*state), MAX_SERIES + 1);
	/* Old series are still found, and a peer called "overflow" cannot make a twin. */
	assert_ptr_not_equal(get2(metric, "peer-0", "200"), s);
	real = get2(metric, "overflow", "overflow");
	assert_ptr_equal(real, s);
}

static void test_many_series_are_found_again(void **state)
{
	struct metrics *m = metrics_new(5000, 7);
	struct metric *metric = metrics_add(m, &requests);
	char text[16];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3000; i++) {
			snprintf(text, sizeof(text), "%d", i * 7919 % 3000);
			metric_add(get2(metric, text, "200"), 1);
		}
	}
	assert_int_equal(metrics_series(m), 3000);
	assert_int_equal(metric_value(get2(metric, "1234", "200")), 2);
	metrics_free(&m);
}

static void test_idle_series_expire(void **state)
{
	struct metric *metric = metrics_add(*state, &requests);
	struct metric_series *held = get2(metric, "held", "200");

	metric_get(metrics_add(*state, &open_conns), NULL, 0);
	metric_hold(held);
	metric_add(get2(metric, "busy", "200"), 1);
	metric_add(get2(metric, "idle", "200"), 1);
	metrics_expire(*state, 100, 50);
	metric_add(get2(metric, "busy", "200"), 1);
	metrics_expire(*state, 149, 50);
	assert_int_equal(metrics_series(*state), 4);
	metrics_expire(*state, 150, 50);
	assert_int_equal(metrics_series(*state), 3);
	assert_int_equal(metric_value(get2(metric, "busy", "200")), 2);
	metric_release(held);
	metrics_expire(*state, 1000, 50);
	/* What was held until now, and looked up but not counted, begins to be idle at the last
	 * call. */
	assert_int_equal(metrics_series(*state), 1);
	assert_int_equal(metric_value(get2(metric, "idle", "200")), 0);
}

static void test_expiry_makes_room(void **state)
{
	struct metric *metric = metrics_add(*state, &requests);

	fill(metric);
	metrics_expire(*state, 1, 10);
	metrics_expire(*state, 11, 10);
	assert_int_equal(metrics_series(*state), 0);
	fill(metric);
	assert_int_equal(metrics_series(*state), MAX_SERIES);
	metric_add(get2(metric, "more", ""), 1);
	/* The overflow series stays for ever: its counter must not jump back. */
	metrics_expire(*state, 20, 10);
	metrics_expire(*state, 40, 10);
	assert_int_equal(metrics_series(*state), 1);
}

static void test_values_are_cut_and_cleaned(void **state)
{
	struct metric *metric = metrics_add(*state, &requests);
	char longer[300], longest[400];

	memset(longer, 'x', sizeof(longer));
	memset(longest, 'x', sizeof(longest));
	const struct str a[] = {str_make(longer, sizeof(longer)), STR("1")};
	const struct str b[] = {str_make(longest, sizeof(longest)), STR("1")};
	const struct str nul[] = {STR("a\0b"), STR("1")};
	const struct str replaced[] = {STR("a\xef\xbf\xbd"
					   "b"),
		STR("1")};

	assert_ptr_equal(metric_get(metric, a, 2), metric_get(metric, b, 2));
	assert_ptr_equal(metric_get(metric, nul, 2), metric_get(metric, replaced, 2));
	assert_int_equal(metrics_series(*state), 2);
}

/* Every byte alone, at each place of a word: what is replaced must not depend on its neighbours. */
static void test_which_bytes_are_replaced(void **state)
{
	struct metrics *m = metrics_new(10000, 7);
	struct metric *metric = metrics_add(m, &requests);

	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		bool plain = (byte >= 0x20 && byte < 0x7f) || byte == '\n' || byte == '\t';

		for (size_t at = 0; at < 11; at++) {
			char text[] = "abcdefghijk", replaced[] = "abcdefghijk..";
			const struct str a[] = {str_make(text, 11), STR("")};
			const struct str b[] = {str_make(replaced, 13), STR("")};

			text[at] = (char)byte;
			memcpy(replaced + at, "\xef\xbf\xbd", 3);
			memcpy(replaced + at + 3, text + at + 1, 10 - at);
			if (plain)
				assert_ptr_not_equal(metric_get(metric, a, 2),
					metric_get(metric, b, 2));
			else
				assert_ptr_equal(metric_get(metric, a, 2),
					metric_get(metric, b, 2));
		}
	}
	metrics_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gauges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_histogram_counts_observations, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_over_the_cap_all_is_counted_in_one_series,
			setup, teardown),
		cmocka_unit_test(test_many_series_are_found_again),
		cmocka_unit_test_setup_teardown(test_idle_series_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expiry_makes_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_are_cut_and_cleaned, setup, teardown),
		cmocka_unit_test(test_which_bytes_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
