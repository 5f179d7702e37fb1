/*
 * The inside of the metrics registry, shared by metric.c (lookup, counting, expiry) and prom.c
 * (rendering). Not for use outside of lib/obs.
 */
#ifndef WEFT_OBS_METRIC_INTERNAL_H
#define WEFT_OBS_METRIC_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "lib/obs/metric.h"

/* Owned by its metric. key and cells follow in the same allocation. */
struct metric_series {
	struct metric *metric;
	struct metric_series *next; /* in the same hash slot */
	uint64_t hash;
	uint64_t idle_since; /* loop time of the expiry that saw it touched last */
	uint32_t holders;
	uint32_t key_len;
	bool touched;
	const char *key; /* label values, each ended by NUL */
	/*
	 * counter, gauge: one cell. Histogram: one per bucket, +Inf, and the sum as a double's
	 * bits
	 */
	_Atomic uint64_t cells[];
};

/* Owned by the registry; owns its series. */
struct metric {
	struct metrics *owner;
	struct metric_def def;
	metric_read_fn *read; /* NULL: it has series */
	void *read_arg;
	size_t n_labels, n_buckets;
	struct metric_series **slots; /* by hash; a power of two of them */
	size_t n_slots;
	struct metric_series **sorted; /* by key */
	size_t n_series, cap_series;
	struct metric_series *overflow; /* NULL until needed */
	uint64_t overflowed, expired;
};

struct metrics {
	size_t max_series;
	uint64_t seed;
	struct metric **families; /* by name */
	size_t n_families, cap_families;
};

static inline uint64_t cell_get(const struct metric_series *s, size_t i)
{
	return atomic_load_explicit(&s->cells[i], memory_order_relaxed);
}

/* One writer: no read-modify-write is needed. */
static inline void cell_set(struct metric_series *s, size_t i, uint64_t v)
{
	atomic_store_explicit(&s->cells[i], v, memory_order_relaxed);
}

/* The sum's double lives in a cell as its bits. */
static inline double cell_get_double(const struct metric_series *s, size_t i)
{
	uint64_t bits = cell_get(s, i);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static inline void cell_set_double(struct metric_series *s, size_t i, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	cell_set(s, i, bits);
}

#endif
