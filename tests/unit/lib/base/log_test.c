/*
 * Log: what a line looks like in both formats, that nothing in a value can break out of it, and
 * that bounds cut cleanly. Descriptors that do not take lines are in log_fd_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/escape.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

static uint64_t fixed_wall(const struct clock *c)
{
	(void)c;
	return 1795341600123456789ull;
}

static const struct clock fixed_clock = {.mono_ns = fixed_wall, .wall_ns = fixed_wall};

/* The last line and how many there were. */
struct sink {
	char line[9000];
	size_t n;
	int count;
};

static void on_line(void *arg, struct str line)
{
	struct sink *s = arg;

	assert_true(line.n < sizeof(s->line));
	memcpy(s->line, line.p, line.n);
	s->line[line.n] = '\0';
	s->n = line.n;
	s->count++;
}

static void test_json(void **state)
{
	struct sink s = {.n = 0};
	struct log *log = log_new_sink(on_line, &s, LOG_INFO, LOG_JSON, &fixed_clock);

	(void)state;
	log_at(log, LOG_WARN, "dial", "connect failed", LOG_Z("addr", "10.0.0.1:80"),
		LOG_U("try", 2), LOG_I("err", -4), LOG_B("meshed", true), LOG_D("took_ms", 1234567),
		LOG_T("until", 1795401823), LOG_T("never", 0));
	assert_string_equal(s.line,
		"{\"time\":\"2026-11-22T10:00:00.123Z\",\"level\":\"warn\",\"room\":\"dial\",\"msg\":\"connect failed\","
		"\"addr\":\"10.0.0.1:80\",\"try\":2,\"err\":-4,\"meshed\":true,\"took_ms\":1.234,"
		"\"until\":\"2026-11-23T02:43:43.000Z\",\"never\":\"\"}\n");
	log_free(&log);
	assert_null(log);
}

static void test_text(void **state)
{
	struct sink s = {.n = 0};
	struct log *log = log_new_sink(on_line, &s, LOG_INFO, LOG_TEXT, &fixed_clock);

	(void)state;
	log_at(log, LOG_ERROR, "dial", "connect failed", LOG_Z("addr", "10.0.0.1:80"),
		LOG_Z("why", "no route"), LOG_Z("none", ""), LOG_Z("evil", "a=b\nc"),
		LOG_U("n", 1));
	assert_string_equal(s.line,
		"2026-11-22T10:00:00.123Z error dial: connect failed addr=10.0.0.1:80 why=\"no route\" "
		"none=\"\" evil=\"a=b\\nc\" n=1\n");
	log_free(&log);
}

static void test_level(void **state)
{
	struct sink s = {.n = 0};
	struct log *log = log_new_sink(on_line, &s, LOG_WARN, LOG_JSON, &fixed_clock);

	(void)state;
	log_at(log, LOG_INFO, "x", "y", LOG_U("n", 1));
	log_event(log, LOG_DEBUG, "x", "y", NULL, 0);
	assert_int_equal(s.count, 0);
	log_level_set(log, LOG_TRACE);
	assert_int_equal(log_level_get(log), LOG_TRACE);
	log_at(log, LOG_TRACE, "x", "y", LOG_U("n", 1));
	log_event(log, LOG_INFO, "x", "no fields", NULL, 0);
	assert_int_equal(s.count, 2);
	log_free(&log);
	log_at(log, LOG_ERROR, "x", "a log of NULL is silent", LOG_U("n", 1));
	log_event(NULL, LOG_ERROR, "x", "y", NULL, 0);
}

static void test_level_names(void **state)
{
	enum log_level level;

	(void)state;
	for (int i = LOG_ERROR; i <= (int)LOG_TRACE; i++) {
		assert_int_equal(log_level_parse(str_from(log_level_name((enum log_level)i)),
					 &level),
			0);
		assert_int_equal(level, i);
	}
	assert_int_equal(log_level_parse(STR("WARN"), &level), 0);
	assert_int_equal(log_level_parse(STR("loud"), &level), ERR_INVAL);
	assert_int_equal(log_level_parse(STR(""), &level), ERR_INVAL);
}

static const char *escaped(struct str s)
{
	static char out[256];
	size_t used, n = escape_json(s, out, sizeof(out) - 1, &used);

	assert_int_equal(used, s.n);
	out[n] = '\0';
	return out;
}

static void test_escape(void **state)
{
	(void)state;
	assert_string_equal(escaped(STR("plain \xc3\xa4 \xf0\x9f\x98\x80")),
		"plain \xc3\xa4 \xf0\x9f\x98\x80");
	assert_string_equal(escaped(STR("\"\\\n\r\t\0\x1f\x7f")),
		"\\\"\\\\\\n\\r\\t\\u0000\\u001f\\u007f");
	assert_string_equal(escaped(STR("\x1b[31m")), "\\u001b[31m");
	/* C1 control, line separator, right-to-left override */
	assert_string_equal(escaped(STR("\xc2\x9b\xe2\x80\xa8\xe2\x80\xae")),
		"\\u009b\\u2028\\u202e");
	/* lone continuation, overlong slash, surrogate, beyond U+10FFFF, cut short */
	assert_string_equal(escaped(STR("\x80")), "\xef\xbf\xbd");
	assert_string_equal(escaped(STR("\xc0\xaf")), "\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(escaped(STR("\xed\xa0\x80")), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(escaped(STR("\xf4\x90\x80\x80x")),
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx");
	assert_string_equal(escaped(STR("\xe2\x82")), "\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_escape_cuts_between_characters(void **state)
{
	char out[7];
	size_t used;

	(void)state;
	assert_int_equal(escape_json(STR("abcdef\n"), out, 7, &used), 6);
	assert_int_equal(used, 6);
	assert_int_equal(escape_json(STR("abcdef\xc3\xa4"), out, 7, &used), 6);
	assert_int_equal(used, 6);
	assert_int_equal(escape_json(STR("ab\x01"), out, 7, &used), 2);
	assert_int_equal(used, 2);
}

static void test_value_is_cut(void **state)
{
	struct sink s = {.n = 0};
	struct log *log = log_new_sink(on_line, &s, LOG_INFO, LOG_JSON, &fixed_clock);
	char big[5000];

	(void)state;
	memset(big, 'v', sizeof(big));
	log_at(log, LOG_INFO, "x", "y", LOG_S("big", str_make(big, sizeof(big))),
		LOG_U("after", 1));
	assert_non_null(strstr(s.line, "vvv\xe2\x80\xa6\",\"after\":1}\n"));
	assert_true(s.n < 1024 + 200);
	log_free(&log);
}

static void test_line_is_cut(void **state)
{
	struct sink s = {.n = 0};
	struct log *log = log_new_sink(on_line, &s, LOG_INFO, LOG_JSON, &fixed_clock);
	char big[1024];

	(void)state;
	memset(big, 'v', sizeof(big));
	struct str v = str_make(big, sizeof(big));
	log_at(log, LOG_INFO, "x", "y", LOG_S("a", v), LOG_S("b", v), LOG_S("c", v), LOG_S("d", v),
		LOG_S("e", v), LOG_S("f", v), LOG_S("g", v), LOG_S("h", v), LOG_S("i", v),
		LOG_U("last", 1));
	assert_true(s.n <= 8192);
	assert_string_equal(s.line + s.n - 16, "vv\",\"cut\":true}\n");
	assert_null(strstr(s.line, "last"));
	log_free(&log);
}

/* Whatever the bytes are, there is one line, and every quote in it is one of ours. */
static void test_random_bytes_stay_inside(void **state)
{
	struct sink s = {.n = 0};
	struct log *log = log_new_sink(on_line, &s, LOG_INFO, LOG_JSON, &fixed_clock);
	struct rng rng;
	char junk[1500];

	(void)state;
	rng_seed(&rng, 3);
	for (int i = 0; i < 3000; i++) {
		size_t n = rng_below(&rng, sizeof(junk));
		for (size_t k = 0; k < n; k++)
			junk[k] = (char)rng_next(&rng);
		log_at(log, LOG_INFO, "x", "y", LOG_S("v", str_make(junk, n)));
		int quotes = 0;
		for (size_t k = 0; k < s.n; k++) {
			assert_true((unsigned char)s.line[k] >= 0x20 || k == s.n - 1);
			if (s.line[k] == '\\')
				k++;
			else
				quotes += s.line[k] == '"';
		}
		assert_int_equal(quotes, 4 * 5);
		assert_true(str_ends(str_make(s.line, s.n), STR("\"}\n")));
		uint32_t c;
		for (struct str rest = str_make(s.line, s.n); rest.n > 0;) {
			size_t len = utf8_decode(rest, &c);
			assert_true(len > 0);
			rest = str_sub(rest, len, rest.n);
		}
	}
	log_free(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_level_names),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_cuts_between_characters),
		cmocka_unit_test(test_value_is_cut),
		cmocka_unit_test(test_line_is_cut),
		cmocka_unit_test(test_random_bytes_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
