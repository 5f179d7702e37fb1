/*
 * Metrics: counters, gauges and fixed-bucket histograms with labels, in a registry; rendered as
 * Prometheus text on scrape. A series is looked up once and then counted by plain increments; the
 * number of series per metric is capped, idle series expire, what was not counted is counted.
 *
 * One thread, its worker's, looks up, counts and expires; values are relaxed atomics, so that
 * another thread may read them with metric_value.
 */
#ifndef WEFT_OBS_METRIC_H
#define WEFT_OBS_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

#define METRIC_LABELS_MAX 16
#define METRIC_BUCKETS_MAX 64
#define METRIC_NAME_MAX 64   /* bytes of a label name */
#define METRIC_VALUE_MAX 256 /* bytes of a label value; longer ones are cut */

/*
 * One metric family. Static storage; name with unit and _total as Prometheus wants it. labels:
 * NULL-terminated names, NULL for none. buckets: ascending upper bounds above 0 in the unit of
 * metric_observe, ended by 0; histograms only.
 */
struct metric_def {
	const char *name;
	enum metric_kind kind;
	const char *help;
	const char *const *labels;
	const double *buckets;
};

/* Owned by the proxy; owns families and series. */
struct metrics;
struct metric;
/* Owned by its metric; valid until metrics_expire finds it idle with no holder. */
struct metric_series;

/* max_series: per family, without the overflow series. seed: against chosen hash collisions. */
struct metrics *metrics_new(size_t max_series, uint64_t seed);
void metrics_free(struct metrics **m);
/* Names must be valid, unique and ours: asserted. A family without labels has its series at once.
 */
struct metric *metrics_add(struct metrics *m, const struct metric_def *def);

/*
 * Series for these label values (as many as labels; each cut at METRIC_VALUE_MAX bytes; what is
 * no UTF-8 and control characters become U+FFFD). Over the cap: the family's overflow series,
 * whose label values are all "overflow"; counted in weft_metrics_overflow_total. Never NULL.
 */
struct metric_series *metric_get(struct metric *metric, const struct str *values, size_t n);
void metric_add(struct metric_series *s, uint64_t n);          /* counter */
void metric_set(struct metric_series *s, int64_t value);       /* gauge */
void metric_gauge_add(struct metric_series *s, int64_t delta); /* gauge */
void metric_observe(struct metric_series *s, double value);    /* histogram; NaN is ignored */
/* Counter, gauge (as signed), or number of observations. */
uint64_t metric_value(const struct metric_series *s);
/* Keeps / releases a series for somebody who holds the pointer. */
void metric_hold(struct metric_series *s);
void metric_release(struct metric_series *s);
/*
 * Drops series without holder that nobody touched for idle_ns, as seen by the calls to this (a
 * touched series begins to be idle with the next call). now and idle_ns in loop time. Series of
 * families without labels and overflow series stay.
 */
void metrics_expire(struct metrics *m, uint64_t now, uint64_t idle_ns);
/* Series that exist now, in all families. */
size_t metrics_series(const struct metrics *m);

/* Text exposition format 0.0.4, families and series in order of their names and label values. */
#define METRIC_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
void metrics_render(const struct metrics *m, struct buf *out);

/* A counter or gauge whose value is asked at scrape. name and help: static storage. */
typedef int64_t metric_read_fn(void *arg);
void metrics_add_callback(struct metrics *m, const char *name, enum metric_kind kind,
	const char *help, metric_read_fn *fn, void *arg);

#endif
