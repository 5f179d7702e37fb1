/*
 * What a scrape says, byte for byte, and that hostile label values keep to the grammar of the
 * text format: a small strict parser reads back what was rendered. Each test owns a registry and
 * a buf.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/obs/metric.h"

static const char *const labels[] = {"peer", "code", NULL};
static const double seconds[] = {0.005, 0.25, 10, 0};
static const struct metric_def requests = {
	"weft_requests_total", METRIC_COUNTER, "Requests, by \\ and\nline.", labels, NULL};
static const struct metric_def durations = {
	"weft_duration_seconds", METRIC_HISTOGRAM, "Time of requests.", labels, seconds};
static const struct metric_def plain = {
	"weft_plain_seconds", METRIC_HISTOGRAM, "Time.", NULL, seconds};

struct fixture {
	struct metrics *m;
	struct buf_pool *pool;
	struct buf out;
};

static int setup(void **state)
{
	static struct fixture f;

	f.m = metrics_new(10, 42);
	f.pool = buf_pool_new(1 << 20);
	buf_init(&f.out, f.pool);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	metrics_free(&f->m);
	buf_clear(&f->out);
	buf_pool_free(&f->pool);
	return 0;
}

/* The scrape as a string; the caller frees it. */
static char *render(struct fixture *f)
{
	buf_clear(&f->out);
	metrics_render(f->m, &f->out);
	char *text = calloc(1, buf_len(&f->out) + 1);

	buf_copy_out(&f->out, 0, text, buf_len(&f->out));
	return text;
}

static struct metric_series *get2(struct metric *metric, struct str a, struct str b)
{
	const struct str values[] = {a, b};

	return metric_get(metric, values, 2);
}

static int64_t read_seven(void *arg)
{
	(void)arg;
	return -7;
}

static void test_text(void **state)
{
	static const char expected[] =
		"# HELP weft_asked Asked at scrape.\n# TYPE weft_asked gauge\nweft_asked -7\n"
		"# HELP weft_duration_seconds Time of requests.\n"
		"# TYPE weft_duration_seconds histogram\n"
		"weft_duration_seconds_bucket{peer=\"a\",code=\"200\",le=\"0.005\"} 1\n"
		"weft_duration_seconds_bucket{peer=\"a\",code=\"200\",le=\"0.25\"} 3\n"
		"weft_duration_seconds_bucket{peer=\"a\",code=\"200\",le=\"10\"} 3\n"
		"weft_duration_seconds_bucket{peer=\"a\",code=\"200\",le=\"+Inf\"} 4\n"
		"weft_duration_seconds_sum{peer=\"a\",code=\"200\"} 11.255\n"
		"weft_duration_seconds_count{peer=\"a\",code=\"200\"} 4\n"
		"# HELP weft_requests_total Requests, by \\\\ and\\nline.\n"
		"# TYPE weft_requests_total counter\n"
		"weft_requests_total{peer=\"a\",code=\"200\"} 18446744073709551615\n"
		"weft_requests_total{peer=\"a\",code=\"503\"} 1\n"
		"weft_requests_total{peer=\"b\",code=\"200\"} 2\n"
		"# HELP weft_metrics_expired_total "
		"Series dropped because nothing happened on them.\n"
		"# TYPE weft_metrics_expired_total counter\n"
		"weft_metrics_expired_total{metric=\"weft_duration_seconds\"} 0\n"
		"weft_metrics_expired_total{metric=\"weft_requests_total\"} 0\n";
	struct fixture *f = *state;
	struct metric *r = metrics_add(f->m, &requests), *d = metrics_add(f->m, &durations);
	struct metric_series *s = get2(d, STR("a"), STR("200"));

	metrics_add_callback(f->m, "weft_asked", METRIC_GAUGE, "Asked at scrape.", read_seven,
		NULL);
	metric_add(get2(r, STR("b"), STR("200")), 2);
	metric_add(get2(r, STR("a"), STR("503")), 1);
	metric_add(get2(r, STR("a"), STR("200")), UINT64_MAX);
	metric_observe(s, 0.005);
	metric_observe(s, 0.25);
	metric_observe(s, 0.25);
	metric_observe(s, 10.75);
	char *text = render(f);

	assert_memory_equal(text, expected, sizeof(expected) - 1);
	free(text);
}

static void test_families_without_labels_show_zero(void **state)
{
	struct fixture *f = *state;

	metrics_add(f->m, &plain);
	char *text = render(f);

	assert_non_null(strstr(text, "\nweft_plain_seconds_bucket{le=\"0.005\"} 0\n"));
	assert_non_null(strstr(text, "\nweft_plain_seconds_sum 0\nweft_plain_seconds_count 0\n"));
	free(text);
}

static void test_overflow_and_expiry_are_counted(void **state)
{
	struct fixture *f = *state;
	struct metric *r = metrics_add(f->m, &requests);
	char name[8];

	for (int i = 0; i < 13; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		metric_add(get2(r, str_from(name), STR("200")), 1);
	}
	char *text = render(f);

	assert_non_null(strstr(text,
		"weft_requests_total{peer=\"overflow\",code=\"overflow\"} 3\n"));
	assert_non_null(strstr(text,
		"weft_metrics_overflow_total{metric=\"weft_requests_total\"} 3\n"));
	assert_non_null(strstr(text, "weft_metrics_series{metric=\"weft_requests_total\"} 11\n"));
	free(text);
	metrics_expire(f->m, 1, 1);
	metrics_expire(f->m, 2, 1);
	text = render(f);
	assert_non_null(strstr(text,
		"weft_metrics_expired_total{metric=\"weft_requests_total\"} 10\n"));
	assert_null(strstr(text, "peer=\"p1\""));
	free(text);
}

/* --- a strict reader of the sample lines --- */

static const char *skip_name(const char *at)
{
	size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

	assert_true(n > 0);
	return at + n;
}

/*
 * From the opening to behind the closing quote; the value may hold escapes but no bare newline.
 */
static const char *skip_value(const char *at)
{
	assert_int_equal(*at++, '"');
	for (; *at != '"'; at++) {
		assert_true((unsigned char)*at >= 0x20 || *at == '\t');
		assert_int_not_equal(*at, 0x7f);
		if (*at == '\\') {
			at++;
			assert_true(*at == '\\' || *at == 'n' || *at == '"');
		}
	}
	return at + 1;
}

static void check_sample(const char *at)
{
	char *end;

	at = skip_name(at);
	if (*at == '{') {
		do
			at = skip_value(skip_name(at + 1) + 1);
		while (*at == ',');
		assert_int_equal(*at++, '}');
	}
	assert_int_equal(*at++, ' ');
	strtod(at, &end);
	assert_true(end > at);
	assert_int_equal(*end, '\0');
}

static size_t check_grammar(char *text)
{
	size_t samples = 0;
	char *rest;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# TYPE ", 7) == 0)
			continue;
		check_sample(line);
		samples++;
	}
	return samples;
}

#define TEXT(z) {(z), sizeof(z) - 1}

static void test_hostile_values_keep_to_the_grammar(void **state)
{
	static const struct str hostile[] = {
		TEXT("\"} 1\nweft_fake 2\n"),
		TEXT("back\\slash\\"),
		TEXT("nul\0bel\a\x1b[31m"),
		TEXT("\xff\xfe\xc3"),
		TEXT("\xed\xa0\x80 surrogate"),
		TEXT(""),
		TEXT("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\x80"),
	};
	struct fixture *f = *state;
	struct metric *r = metrics_add(f->m, &requests), *d = metrics_add(f->m, &durations);

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		metric_add(get2(r, hostile[i], STR("\\")), 1);
		metric_observe(get2(d, STR("x\""), hostile[i]), 1e300);
	}
	char *text = render(f);

	assert_null(strstr(text, "\nweft_fake"));
	assert_non_null(strstr(text, "{peer=\"\\\"} 1\\nweft_fake 2\\n\",code=\"\\\\\"} 1\n"));
	assert_non_null(strstr(text, "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\x80"));
	/*
	 * 7 counters, 7 histograms of 4 buckets with sum and count, 3 own metrics of 2 families
	 */
	assert_int_equal(check_grammar(text), 7 + 7 * 6 + 3 * 2);
	free(text);
}

static void test_values_are_cut_between_characters(void **state)
{
	struct fixture *f = *state;
	struct metric *r = metrics_add(f->m, &requests);
	char value[400], *text, *at;

	for (size_t i = 0; i < sizeof(value); i += 2)
		memcpy(value + i, "\xc3\xa9", 2);
	metric_add(get2(r, str_make(value, sizeof(value)), STR("a")), 1);
	value[0] = 'a';
	metric_add(get2(r, str_make(value, sizeof(value)), STR("b")), 1);
	text = render(f);
	at = strstr(text, "peer=\"a\xef\xbf\xbd");
	assert_non_null(at);
	assert_int_equal(strcspn(at + 6, "\""), METRIC_VALUE_MAX);
	at = strstr(text, "peer=\"\xc3\xa9");
	assert_int_equal(strcspn(at + 6, "\""), METRIC_VALUE_MAX);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_families_without_labels_show_zero, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_overflow_and_expiry_are_counted, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_hostile_values_keep_to_the_grammar, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_values_are_cut_between_characters, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
