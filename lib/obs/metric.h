/*
 * Metrics: counters, gauges and fixed-bucket histograms with labels, in a registry per process; rendered as Prometheus text on scrape. A series is looked up
 * once and then counted by plain increments; the number of series per metric is capped, idle series expire, what was not counted is counted.
 */
#ifndef WEFT_OBS_METRIC_H
#define WEFT_OBS_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* One metric family. Static storage; name with unit and _total as Prometheus wants it. buckets: upper bounds (in the unit of observe), ended by 0. */
struct metric_def {
	const char *name;
	enum metric_kind kind;
	const char *help;
	const char *const *labels; /* NULL-terminated label names, at most 16 */
	const double *buckets;
};

/* Owned by the proxy; owns families and series. max_series: per family. */
struct metrics;
struct metric;
/* Owned by its metric; valid until metrics_expire finds it idle with no holder. */
struct metric_series;

struct metrics *metrics_new(size_t max_series, uint64_t seed);
void metrics_free(struct metrics **m);
struct metric *metrics_add(struct metrics *m, const struct metric_def *def);

/* Series for these label values (as many as labels; each cut at 256 bytes). Over the cap: the family's overflow series, whose label values are all "overflow". */
struct metric_series *metric_get(struct metric *metric, const struct str *values, size_t n);
void metric_add(struct metric_series *s, uint64_t n);
void metric_set(struct metric_series *s, int64_t value);
void metric_observe(struct metric_series *s, double value);
uint64_t metric_value(const struct metric_series *s); /* counter, gauge (as signed), or histogram count */
/* Keeps / releases a series for somebody who holds the pointer. */
void metric_hold(struct metric_series *s);
void metric_release(struct metric_series *s);
/* Drops series without holder that did not change since the call before the last; now and idle_ns in loop time. */
void metrics_expire(struct metrics *m, uint64_t now, uint64_t idle_ns);

/* text/plain; version=0.0.4; charset=utf-8 */
#define METRIC_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
void metrics_render(const struct metrics *m, struct buf *out);

/* A gauge whose value is asked at scrape. */
typedef int64_t metric_read_fn(void *arg);
void metrics_add_callback(struct metrics *m, const char *name, enum metric_kind kind, const char *help, metric_read_fn *fn, void *arg);

#endif
