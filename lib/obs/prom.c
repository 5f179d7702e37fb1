/*
 * Prometheus text exposition format 0.0.4 from the registry: HELP, TYPE and samples, in a fixed
 * order, label values escaped. Owns nothing. Called by the admin server on each scrape.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/obj.h"
#include "lib/obs/metric_internal.h"

#define NUMBER_TEXT 32
#define LE_TEXT (NUMBER_TEXT + 16)
/* Each byte of a value may be escaped; 8 for what stands around name and value. */
#define LABELS_TEXT (METRIC_LABELS_MAX * (METRIC_NAME_MAX + 2 * METRIC_VALUE_MAX + 8))

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

/* Runs of ordinary bytes in one piece. */
static void put_help(struct buf *out, struct str s)
{
	size_t from = 0;

	for (size_t i = 0; i < s.n; i++) {
		struct str escape = escape_of(s.p[i], false);

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
	put_help(out, str_from(help));
	put_z(out, "\n# TYPE ");
	put_z(out, name);
	put_z(out, " ");
	put_z(out, types[kind]);
	put_z(out, "\n");
}

/* --- samples --- */

/* One family being written: what its lines have in common is made once. On the stack. */
struct writer {
	struct buf *out;
	const struct metric *metric;
	struct str name;
	char labels[LABELS_TEXT]; /* "{a=\"b\",c=\"d\"" of the series being written */
	size_t n_labels_text;
	char le[METRIC_BUCKETS_MAX + 1][LE_TEXT]; /* "le=\"0.5\"} " */
};

static void add_text(struct writer *w, struct str s)
{
	ASSERT(s.n <= sizeof(w->labels) - w->n_labels_text);
	memcpy(w->labels + w->n_labels_text, s.p, s.n);
	w->n_labels_text += s.n;
}

static void add_escaped(struct writer *w, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		struct str escape = escape_of(s.p[i], true);

		add_text(w, escape.n > 0 ? escape : str_sub(s, i, 1));
	}
}

static void set_labels(struct writer *w, const struct metric_series *s)
{
	struct str keys = str_make(s->key, s->key_len), value;

	w->n_labels_text = 0;
	for (size_t i = 0; i < w->metric->n_labels && str_split(&keys, '\0', &value); i++) {
		add_text(w, i == 0 ? STR("{") : STR(","));
		add_text(w, str_from(w->metric->def.labels[i]));
		add_text(w, STR("=\""));
		add_escaped(w, value);
		add_text(w, STR("\""));
	}
}

/* name, suffix and labels without what closes them. */
static void put_name(struct writer *w, struct str suffix)
{
	put_str(w->out, w->name);
	put_str(w->out, suffix);
	put_str(w->out, str_make(w->labels, w->n_labels_text));
}

static struct str closing(const struct writer *w)
{
	return w->n_labels_text > 0 ? STR("} ") : STR(" ");
}

static void put_u64(struct buf *out, uint64_t v)
{
	char text[NUMBER_TEXT], *at = text + sizeof(text);

	*--at = '\n';
	do
		*--at = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	put_str(out, str_make(at, (size_t)(text + sizeof(text) - at)));
}

static void put_i64(struct buf *out, int64_t v)
{
	if (v < 0)
		put_str(out, STR("-"));
	put_u64(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static void set_bounds(struct writer *w)
{
	size_t n = w->metric->n_buckets;
	char text[NUMBER_TEXT];

	for (size_t i = 0; i <= n; i++) {
		format_double(i < n ? w->metric->def.buckets[i] : HUGE_VAL, text);
		snprintf(w->le[i], sizeof(w->le[i]), "%sle=\"%s\"} ",
			w->metric->n_labels > 0 ? "," : "{", text);
	}
}

static void put_histogram(struct writer *w, const struct metric_series *s)
{
	size_t n = w->metric->n_buckets;
	uint64_t count = 0;
	char text[NUMBER_TEXT];

	for (size_t i = 0; i <= n; i++) {
		put_name(w, STR("_bucket"));
		put_z(w->out, w->le[i]);
		count += cell_get(s, i);
		put_u64(w->out, count);
	}
	put_name(w, STR("_sum"));
	put_str(w->out, closing(w));
	format_double(cell_get_double(s, n + 1), text);
	put_z(w->out, text);
	put_str(w->out, STR("\n"));
	put_name(w, STR("_count"));
	put_str(w->out, closing(w));
	put_u64(w->out, count);
}

static void put_series(struct writer *w, const struct metric_series *s)
{
	set_labels(w, s);
	if (w->metric->def.kind == METRIC_HISTOGRAM) {
		put_histogram(w, s);
		return;
	}
	put_name(w, STR(""));
	put_str(w->out, closing(w));
	if (w->metric->def.kind == METRIC_COUNTER)
		put_u64(w->out, cell_get(s, 0));
	else
		put_i64(w->out, (int64_t)cell_get(s, 0));
}

static void put_family(struct buf *out, const struct metric *metric)
{
	struct writer w;

	w.out = out;
	w.metric = metric;
	w.name = str_from(metric->def.name);
	put_head(out, metric->def.name, metric->def.kind, metric->def.help);
	if (metric->read != NULL) {
		put_str(out, w.name);
		put_str(out, STR(" "));
		put_i64(out, metric->read(metric->read_arg));
		return;
	}
	if (metric->def.kind == METRIC_HISTOGRAM)
		set_bounds(&w);
	for (size_t i = 0; i < metric->n_series; i++)
		put_series(&w, metric->sorted[i]);
	if (metric->overflow != NULL)
		put_series(&w, metric->overflow);
}

/* --- the whole --- */

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
