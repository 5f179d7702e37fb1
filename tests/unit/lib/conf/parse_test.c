/*
 * Durations and sizes: what is accepted, what is refused, and that what is printed reads back as
 * the same number. Owns nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/conf/nearest.h"
#include "lib/conf/params.h"

struct number_case {
	const char *text;
	int err;
	uint64_t value;
};

static void test_durations(void **state)
{
	static const struct number_case cases[] = {
		{"0", 0, 0},
		{"0s", 0, 0},
		{"250us", 0, 250 * NS_PER_US},
		{"3ms", 0, 3 * NS_PER_MS},
		{"5s", 0, 5 * NS_PER_S},
		{"1.5s", 0, 1500 * NS_PER_MS},
		{"0.5us", 0, 500},
		{"1m30s", 0, 90 * NS_PER_S},
		{"1h2m3s4ms5us", 0, 3723 * NS_PER_S + 4 * NS_PER_MS + 5 * NS_PER_US},
		{"24h", 0, 86400 * NS_PER_S},
		{"0.1234567891s", ERR_INVAL, 0},
		{"0.0001us", ERR_INVAL, 0},
		{"", ERR_INVAL, 0},
		{"5", ERR_INVAL, 0},
		{"s", ERR_INVAL, 0},
		{"5 s", ERR_INVAL, 0},
		{" 5s", ERR_INVAL, 0},
		{"5s ", ERR_INVAL, 0},
		{"-5s", ERR_INVAL, 0},
		{"5S", ERR_INVAL, 0},
		{"5d", ERR_INVAL, 0},
		{"1.s", ERR_INVAL, 0},
		{".5s", ERR_INVAL, 0},
		{"1..5s", ERR_INVAL, 0},
		{"1m30", ERR_INVAL, 0},
		{"18446744073709551615us", ERR_LIMIT, 0},
		{"18446744073709551616s", ERR_LIMIT, 0},
		{"5124095h60m", ERR_LIMIT, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t v = 0;

		assert_int_equal(conf_parse_duration(str_from(cases[i].text), &v), cases[i].err);
		assert_int_equal(v, cases[i].value);
	}
}

static void test_sizes(void **state)
{
	static const struct number_case cases[] = {
		{"0", 0, 0},
		{"4096", 0, 4096},
		{"4096B", 0, 4096},
		{"64KiB", 0, 65536},
		{"64Ki", 0, 65536},
		{"1.5MiB", 0, 3 << 19},
		{"2Gi", 0, 2ull << 30},
		{"18446744073709551615", 0, UINT64_MAX},
		{"", ERR_INVAL, 0},
		{"1.5", ERR_INVAL, 0},
		{"0.5B", ERR_INVAL, 0},
		{"64K", ERR_INVAL, 0},
		{"64kib", ERR_INVAL, 0},
		{"KiB", ERR_INVAL, 0},
		{"-1", ERR_INVAL, 0},
		{"1KiB1", ERR_INVAL, 0},
		{"1MiB1KiB", ERR_INVAL, 0},
		{"18446744073709551616", ERR_LIMIT, 0},
		{"18014398509481984KiB", ERR_LIMIT, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t v = 0;

		assert_int_equal(conf_parse_size(str_from(cases[i].text), &v), cases[i].err);
		assert_int_equal(v, cases[i].value);
	}
}

static void test_what_is_printed_reads_back(void **state)
{
	static const uint64_t values[] = {0, 1, 500, 999, 1000, 1500, 1001001, 90 * NS_PER_S,
		3600 * NS_PER_S, 3661 * NS_PER_S + 7, 86400 * NS_PER_S, 1ull << 40, UINT64_MAX};
	char text[CONF_TEXT];
	uint64_t back;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		conf_format_duration(values[i], text);
		assert_int_equal(conf_parse_duration(str_from(text), &back), 0);
		assert_int_equal(back, values[i]);
		conf_format_size(values[i], text);
		assert_int_equal(conf_parse_size(str_from(text), &back), 0);
		assert_int_equal(back, values[i]);
	}
	conf_format_duration(90 * NS_PER_S, text);
	assert_string_equal(text, "1m30s");
	conf_format_size(65536, text);
	assert_string_equal(text, "64KiB");
}

static struct str nearest(const char *word)
{
	static const char *const flags[] = {
		"admin-port", "drain-time", "log-level", "log-format", "concurrency"};
	struct nearest n;

	nearest_init(&n, str_from(word));
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		nearest_offer(&n, str_from(flags[i]));
	return nearest_pick(&n);
}

static void test_nearest_word(void **state)
{
	(void)state;
	assert_true(str_eq(nearest("admn-port"), STR("admin-port")));
	assert_true(str_eq(nearest("drian-time"), STR("drain-time")));
	assert_true(str_eq(nearest("loglevel"), STR("log-level")));
	assert_true(str_eq(nearest("conc"), STR("concurrency")));
	assert_int_equal(nearest("x").n, 0);
	assert_int_equal(nearest("").n, 0);
	assert_int_equal(nearest("something-else").n, 0);
	assert_int_equal(
		nearest("a-word-that-is-so-long-that-nobody-can-have-meant-any-of-our-flags-by-it")
			.n,
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_what_is_printed_reads_back),
		cmocka_unit_test(test_nearest_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
