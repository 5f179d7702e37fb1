/*
 * The metrics registry: families, their series by label values, counting, cap and expiry. Owns
 * all of them. Filled by whoever defines metrics, counted by the telemetry of each program.
 */
#include "lib/obs/metric.h"

#include <math.h>

#include "lib/base/alloc.h"
#include "lib/base/escape.h"
#include "lib/base/map.h"
#include "lib/base/obj.h"
#include "lib/obs/metric_internal.h"

#define FIRST_SLOTS 8
#define KEY_MAX (METRIC_LABELS_MAX * (METRIC_VALUE_MAX + 1))

/* --- families --- */

struct metrics *metrics_new(size_t max_series, uint64_t seed)
{
	struct metrics *m = MEM_NEW(struct metrics);

	m->max_series = max_series;
	m->seed = seed;
	return m;
}

static void family_free(struct metric *metric)
{
	for (size_t i = 0; i < metric->n_series; i++)
		mem_free(metric->sorted[i]);
	mem_free(metric->overflow);
	mem_free(metric->sorted);
	mem_free(metric->slots);
	mem_free(metric);
}

void metrics_free(struct metrics **m)
{
	if (*m == NULL)
		return;
	for (size_t i = 0; i < (*m)->n_families; i++)
		family_free((*m)->families[i]);
	mem_free((*m)->families);
	mem_free(*m);
	*m = NULL;
}

static bool is_name(const char *z, bool colon)
{
	if (*z == '\0' || (*z >= '0' && *z <= '9'))
		return false;
	for (; *z != '\0'; z++) {
		bool letter = (*z >= 'a' && *z <= 'z') || (*z >= 'A' && *z <= 'Z') || *z == '_';

		if (!letter && !(*z >= '0' && *z <= '9') && !(colon && *z == ':'))
			return false;
	}
	return true;
}

static size_t count_labels(const struct metric_def *def)
{
	size_t n = 0;

	for (; def->labels != NULL && def->labels[n] != NULL; n++) {
		ASSERT(is_name(def->labels[n], false) && strncmp(def->labels[n], "__", 2) != 0);
		ASSERT(strcmp(def->labels[n], "le") != 0);
		ASSERT(strlen(def->labels[n]) <= METRIC_NAME_MAX);
	}
	ASSERT(n <= METRIC_LABELS_MAX);
	return n;
}

static size_t count_buckets(const struct metric_def *def)
{
	size_t n = 0;

	if (def->kind != METRIC_HISTOGRAM)
		return 0;
	for (; def->buckets[n] > 0; n++)
		ASSERT(n == 0 || def->buckets[n] > def->buckets[n - 1]);
	ASSERT(n > 0 && n <= METRIC_BUCKETS_MAX);
	return n;
}

/* At its place by name, which nobody else may have. */
static void insert_family(struct metrics *m, struct metric *metric)
{
	size_t at = m->n_families;

	if (m->n_families == m->cap_families) {
		m->cap_families = m->cap_families == 0 ? 16 : 2 * m->cap_families;
		m->families = mem_resize(m->families, m->cap_families * sizeof(*m->families));
	}
	while (at > 0 && strcmp(m->families[at - 1]->def.name, metric->def.name) >= 0) {
		ASSERT(strcmp(m->families[at - 1]->def.name, metric->def.name) != 0);
		m->families[at] = m->families[at - 1];
		at--;
	}
	m->families[at] = metric;
	m->n_families++;
}

static struct metric *new_family(struct metrics *m, const struct metric_def *def)
{
	struct metric *metric = MEM_NEW(struct metric);

	/* The registry's own metrics are called so. */
	ASSERT(is_name(def->name, true) && strncmp(def->name, "weft_metrics_", 13) != 0);
	metric->owner = m;
	metric->def = *def;
	metric->n_labels = count_labels(def);
	insert_family(m, metric);
	return metric;
}

struct metric *metrics_add(struct metrics *m, const struct metric_def *def)
{
	struct metric *metric = new_family(m, def);

	metric->n_buckets = count_buckets(def);
	metric->n_slots = FIRST_SLOTS;
	metric->slots = mem_alloc_array(metric->n_slots, sizeof(*metric->slots));
	if (metric->n_labels == 0)
		metric_get(metric, NULL, 0);
	return metric;
}

void metrics_add_callback(struct metrics *m, const char *name, enum metric_kind kind,
	const char *help, metric_read_fn *fn, void *arg)
{
	struct metric_def def = {.name = name, .kind = kind, .help = help};

	ASSERT(kind != METRIC_HISTOGRAM && fn != NULL);
	struct metric *metric = new_family(m, &def);

	metric->read = fn;
	metric->read_arg = arg;
}

/* --- series by label values --- */

static bool is_plain(unsigned char c)
{
	return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t';
}

#define EACH_BYTE(b) (0x0101010101010101ull * (b))

/* True where none of the eight bytes is below 0x20, above 0x7e or 0x7f. */
static bool is_plain_word(uint64_t w)
{
	uint64_t below = (w - EACH_BYTE(0x20)) & ~w, is_del = w ^ EACH_BYTE(0x7f);

	return ((w | below | ((is_del - EACH_BYTE(1)) & ~is_del)) & EACH_BYTE(0x80)) == 0;
}

/* Bytes at the start of s that stand as they are. */
static size_t plain_run(struct str s)
{
	size_t n = 0;
	uint64_t word;

	for (; s.n - n >= sizeof(word); n += sizeof(word)) {
		memcpy(&word, s.p + n, sizeof(word));
		if (!is_plain_word(word))
			break;
	}
	while (n < s.n && is_plain((unsigned char)s.p[n]))
		n++;
	return n;
}

static bool put_piece(struct str piece, char dst[METRIC_VALUE_MAX], size_t *len)
{
	if (*len + piece.n > METRIC_VALUE_MAX)
		return false;
	memcpy(dst + *len, piece.p, piece.n);
	*len += piece.n;
	return true;
}

/* The value, cut and made valid UTF-8 without control characters. Returns its length in dst. */
static size_t clean_value(struct str s, char dst[METRIC_VALUE_MAX])
{
	size_t len = 0, n;
	uint32_t code;

	for (;;) {
		n = plain_run(s);
		n = n < METRIC_VALUE_MAX - len ? n : METRIC_VALUE_MAX - len;
		if (n > 0)
			put_piece(str_sub(s, 0, n), dst, &len);
		s = str_sub(s, n, s.n - n);
		if (s.n == 0)
			return len;
		n = utf8_decode(s, &code);
		if (!put_piece(n > 1 ? str_sub(s, 0, n) : STR("\xef\xbf\xbd"), dst, &len))
			return len;
		n = n > 0 ? n : 1;
		s = str_sub(s, n, s.n - n);
	}
}

/*
 * Values with a NUL after each: sorts by the first label, then the second, ... Returns the
 * length.
 */
static size_t make_key(const struct str *values, size_t n, char key[KEY_MAX])
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		len += clean_value(values[i], key + len);
		key[len++] = '\0';
	}
	return len;
}

static int compare_keys(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static struct str series_key(const struct metric_series *s)
{
	return str_make(s->key, s->key_len);
}

static struct metric_series *find_series(const struct metric *metric, struct str key, uint64_t hash)
{
	struct metric_series *s = metric->slots[hash & (metric->n_slots - 1)];

	while (s != NULL && (s->hash != hash || !str_eq(series_key(s), key)))
		s = s->next;
	return s;
}

static struct metric_series *new_series(struct metric *metric, struct str key, uint64_t hash)
{
	size_t n_cells = metric->def.kind == METRIC_HISTOGRAM ? metric->n_buckets + 2 : 1;
	size_t fixed = sizeof(struct metric_series) + n_cells * sizeof(_Atomic uint64_t);
	struct metric_series *s = mem_alloc(fixed + key.n);

	s->metric = metric;
	s->hash = hash;
	s->touched = true;
	s->key_len = (uint32_t)key.n;
	s->key = (char *)s + fixed;
	if (key.n > 0)
		memcpy((char *)s + fixed, key.p, key.n);
	return s;
}

static void link_slot(struct metric *metric, struct metric_series *s)
{
	struct metric_series **slot = &metric->slots[s->hash & (metric->n_slots - 1)];

	s->next = *slot;
	*slot = s;
}

static void unlink_slot(struct metric *metric, struct metric_series *s)
{
	struct metric_series **at = &metric->slots[s->hash & (metric->n_slots - 1)];

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
}

static void grow(struct metric *metric)
{
	if (metric->n_series == metric->cap_series) {
		metric->cap_series = metric->cap_series == 0 ? 4 : 2 * metric->cap_series;
		metric->sorted =
			mem_resize(metric->sorted, metric->cap_series * sizeof(*metric->sorted));
	}
	if (metric->n_series < metric->n_slots)
		return;
	mem_free(metric->slots);
	metric->n_slots *= 2;
	metric->slots = mem_alloc_array(metric->n_slots, sizeof(*metric->slots));
	for (size_t i = 0; i < metric->n_series; i++)
		link_slot(metric, metric->sorted[i]);
}

static void insert_series(struct metric *metric, struct metric_series *s)
{
	size_t lo = 0, hi = metric->n_series;

	grow(metric);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (compare_keys(series_key(metric->sorted[mid]), series_key(s)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	memmove(metric->sorted + lo + 1, metric->sorted + lo,
		(metric->n_series - lo) * sizeof(*metric->sorted));
	metric->sorted[lo] = s;
	metric->n_series++;
	link_slot(metric, s);
}

static struct str overflow_key(const struct metric *metric, char key[KEY_MAX])
{
	struct str values[METRIC_LABELS_MAX];

	for (size_t i = 0; i < metric->n_labels; i++)
		values[i] = STR("overflow");
	return str_make(key, make_key(values, metric->n_labels, key));
}

static struct metric_series *get_overflow(struct metric *metric)
{
	char key[KEY_MAX];

	if (metric->overflow == NULL)
		metric->overflow = new_series(metric, overflow_key(metric, key), 0);
	return metric->overflow;
}

/* Somebody whose values really are all "overflow" must not make a second series of that name. */
static bool is_overflow_key(const struct metric *metric, struct str key)
{
	char other[KEY_MAX];

	return metric->n_labels > 0 && str_starts(key, STR("overflow")) &&
		str_eq(key, overflow_key(metric, other));
}

struct metric_series *metric_get(struct metric *metric, const struct str *values, size_t n)
{
	char text[KEY_MAX];

	ASSERT(n == metric->n_labels && metric->read == NULL);
	struct str key = str_make(text, make_key(values, n, text));
	uint64_t hash = hash_bytes(key.p, key.n, metric->owner->seed);
	struct metric_series *s = find_series(metric, key, hash);

	if (s != NULL)
		return s;
	if (is_overflow_key(metric, key))
		return get_overflow(metric);
	if (n > 0 && metric->n_series >= metric->owner->max_series) {
		metric->overflowed++;
		return get_overflow(metric);
	}
	s = new_series(metric, key, hash);
	insert_series(metric, s);
	return s;
}

/* --- counting --- */

void metric_add(struct metric_series *s, uint64_t n)
{
	ASSERT(s->metric->def.kind == METRIC_COUNTER);
	s->touched = true;
	cell_set(s, 0, cell_get(s, 0) + n);
}

void metric_set(struct metric_series *s, int64_t value)
{
	ASSERT(s->metric->def.kind == METRIC_GAUGE);
	s->touched = true;
	cell_set(s, 0, (uint64_t)value);
}

void metric_gauge_add(struct metric_series *s, int64_t delta)
{
	ASSERT(s->metric->def.kind == METRIC_GAUGE);
	s->touched = true;
	cell_set(s, 0, cell_get(s, 0) + (uint64_t)delta);
}

void metric_observe(struct metric_series *s, double value)
{
	const struct metric *metric = s->metric;
	size_t i = 0, sum = metric->n_buckets + 1;

	ASSERT(metric->def.kind == METRIC_HISTOGRAM);
	if (isnan(value))
		return;
	while (i < metric->n_buckets && value > metric->def.buckets[i])
		i++;
	s->touched = true;
	cell_set(s, i, cell_get(s, i) + 1);
	cell_set_double(s, sum, cell_get_double(s, sum) + value);
}

uint64_t metric_value(const struct metric_series *s)
{
	uint64_t n = 0;

	if (s->metric->def.kind != METRIC_HISTOGRAM)
		return cell_get(s, 0);
	for (size_t i = 0; i <= s->metric->n_buckets; i++)
		n += cell_get(s, i);
	return n;
}

/* --- lifetime --- */

void metric_hold(struct metric_series *s)
{
	s->holders++;
}

void metric_release(struct metric_series *s)
{
	ASSERT(s->holders > 0);
	s->holders--;
}

static bool is_idle(struct metric_series *s, uint64_t now, uint64_t idle_ns)
{
	if (s->touched || s->holders > 0) {
		s->touched = false;
		s->idle_since = now;
		return false;
	}
	return now - s->idle_since >= idle_ns;
}

static void expire_family(struct metric *metric, uint64_t now, uint64_t idle_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < metric->n_series; i++) {
		struct metric_series *s = metric->sorted[i];

		if (!is_idle(s, now, idle_ns)) {
			metric->sorted[kept++] = s;
			continue;
		}
		unlink_slot(metric, s);
		mem_free(s);
		metric->expired++;
	}
	metric->n_series = kept;
}

void metrics_expire(struct metrics *m, uint64_t now, uint64_t idle_ns)
{
	for (size_t i = 0; i < m->n_families; i++)
		if (m->families[i]->n_labels > 0)
			expire_family(m->families[i], now, idle_ns);
}

size_t metrics_series(const struct metrics *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_families; i++)
		n += m->families[i]->n_series + (m->families[i]->overflow != NULL);
	return n;
}
