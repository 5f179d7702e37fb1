/*
 * Prometheus text exposition format 0.0.4 from the registry: HELP, TYPE and samples, in a fixed
 * order, label values escaped. Owns nothing. Called by the admin server on each scrape.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/obs/metric_internal.h"

#define NUMBER_TEXT 32

static void put_str(struct buf *out, struct str s)
{
	buf_append(out, s.p, s.n);
}

static void put_z(struct buf *out, const char *z)
{
	put_str(out, str_from(z));
}

static struct str escape_of(char c, bool quotes)
{
	switch (c) {
	case '\\':
		return STR("\\\\");
	case '\n':
		return STR("\\n");
	case '"':
		return quotes ? STR("\\\"") : STR_NULL;
	}
	return STR_NULL;
}

/* Runs of ordinary bytes in one piece; quotes: the text stands between double quotes. */
static void put_escaped(struct buf *out, struct str s, bool quotes)
{
	size_t from = 0;

	for (size_t i = 0; i < s.n; i++) {
		struct str escape = escape_of(s.p[i], quotes);

		if (escape.n == 0)
			continue;
		put_str(out, str_sub(s, from, i - from));
		put_str(out, escape);
		from = i + 1;
	}
	put_str(out, str_sub(s, from, s.n - from));
}

/* The shortest of two notations that reads back as the same number. */
static void format_double(double v, char dst[NUMBER_TEXT])
{
	if (isinf(v)) {
		snprintf(dst, NUMBER_TEXT, v > 0 ? "+Inf" : "-Inf");
		return;
	}
	snprintf(dst, NUMBER_TEXT, "%.15g", v);
	if (strtod(dst, NULL) < v || strtod(dst, NULL) > v)
		snprintf(dst, NUMBER_TEXT, "%.17g", v);
}

static void put_head(struct buf *out, const char *name, enum metric_kind kind, const char *help)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	put_z(out, "# HELP ");
	put_z(out, name);
	put_z(out, " ");
	put_escaped(out, str_from(help), false);
	put_z(out, "\n# TYPE ");
	put_z(out, name);
	put_z(out, " ");
	put_z(out, types[kind]);
	put_z(out, "\n");
}

static void put_label(struct buf *out, bool first, const char *name, struct str value)
{
	put_z(out, first ? "{" : ",");
	put_z(out, name);
	put_z(out, "=\"");
	put_escaped(out, value, true);
	put_z(out, "\"");
}

/* name, suffix and the labels of s, with le where it is not NULL; a space follows. */
static void put_name(struct buf *out, const struct metric_series *s, const char *suffix,
	const char *le)
{
	const struct metric *metric = s->metric;
	struct str keys = str_make(s->key, s->key_len), value;

	put_z(out, metric->def.name);
	put_z(out, suffix);
	for (size_t i = 0; i < metric->n_labels && str_split(&keys, '\0', &value); i++)
		put_label(out, i == 0, metric->def.labels[i], value);
	if (le != NULL)
		put_label(out, metric->n_labels == 0, "le", str_from(le));
	put_z(out, metric->n_labels > 0 || le != NULL ? "} " : " ");
}

static void put_histogram(struct buf *out, const struct metric_series *s)
{
	const struct metric *metric = s->metric;
	uint64_t count = 0;
	char text[NUMBER_TEXT];

	for (size_t i = 0; i <= metric->n_buckets; i++) {
		format_double(i < metric->n_buckets ? metric->def.buckets[i] : HUGE_VAL, text);
		put_name(out, s, "_bucket", text);
		count += cell_get(s, i);
		buf_printf(out, "%" PRIu64 "\n", count);
	}
	put_name(out, s, "_sum", NULL);
	format_double(cell_get_double(s, metric->n_buckets + 1), text);
	buf_printf(out, "%s\n", text);
	put_name(out, s, "_count", NULL);
	buf_printf(out, "%" PRIu64 "\n", count);
}

static void put_series(struct buf *out, const struct metric_series *s)
{
	switch (s->metric->def.kind) {
	case METRIC_COUNTER:
		put_name(out, s, "", NULL);
		buf_printf(out, "%" PRIu64 "\n", cell_get(s, 0));
		break;
	case METRIC_GAUGE:
		put_name(out, s, "", NULL);
		buf_printf(out, "%" PRId64 "\n", (int64_t)cell_get(s, 0));
		break;
	case METRIC_HISTOGRAM:
		put_histogram(out, s);
		break;
	}
}

static void put_family(struct buf *out, const struct metric *metric)
{
	put_head(out, metric->def.name, metric->def.kind, metric->def.help);
	if (metric->read != NULL)
		buf_printf(out, "%s %" PRId64 "\n", metric->def.name,
			metric->read(metric->read_arg));
	for (size_t i = 0; i < metric->n_series; i++)
		put_series(out, metric->sorted[i]);
	if (metric->overflow != NULL)
		put_series(out, metric->overflow);
}

static uint64_t overflowed(const struct metric *metric)
{
	return metric->overflowed;
}

static uint64_t expired(const struct metric *metric)
{
	return metric->expired;
}

static uint64_t series(const struct metric *metric)
{
	return metric->n_series + (metric->overflow != NULL);
}

/* What the registry knows of itself: one sample for each family that has labels. */
static void put_own(struct buf *out, const struct metrics *m, const char *name,
	enum metric_kind kind, const char *help, uint64_t (*value)(const struct metric *metric))
{
	put_head(out, name, kind, help);
	for (size_t i = 0; i < m->n_families; i++) {
		const struct metric *metric = m->families[i];

		if (metric->n_labels > 0)
			buf_printf(out, "%s{metric=\"%s\"} %" PRIu64 "\n", name, metric->def.name,
				value(metric));
	}
}

void metrics_render(const struct metrics *m, struct buf *out)
{
	for (size_t i = 0; i < m->n_families; i++)
		put_family(out, m->families[i]);
	put_own(out, m, "weft_metrics_expired_total", METRIC_COUNTER,
		"Series dropped because nothing happened on them.", expired);
	put_own(out, m, "weft_metrics_overflow_total", METRIC_COUNTER,
		"Lookups that fell to the overflow series because the metric has its most series.",
		overflowed);
	put_own(out, m, "weft_metrics_series", METRIC_GAUGE, "Series that exist now.", series);
}
