/*
 * Typed reading of document trees. Whatever is not as expected is reported with its line, its path
 * ("spec.ports[0].port") and what would be right; reading goes on, so that one run shows all.
 */
#ifndef WEFT_YAML_READ_H
#define WEFT_YAML_READ_H

#include "lib/yaml/yaml.h"

/* Longest piece of somebody's text that a message repeats. */
#define YAML_SHOWN 64

/* Gets each problem; line is that of the value, or of its map where it is missing. Both strings
 * are in the reader's arena; path is empty for the object itself. */
typedef void yaml_report_fn(void *arg, uint32_t line, struct str path, struct str text);

/* On the caller's stack for one object; borrows all. problems counts what was wrong; only the first
 * max of it is reported, so that a hostile file cannot make messages of all its bytes. */
struct yaml_reader {
	struct arena *arena;
	const struct yaml_node *root; /* paths begin below it */
	yaml_report_fn *report;
	void *arg;
	unsigned problems, max;
};

enum yaml_need { YAML_OPTIONAL, YAML_REQUIRED };

/*
 * Reading a key of a map: true (or a node) where it is there and right; strings are copied to the
 * reader's arena, so that the tree may go. A key without value counts as absent. Absent and
 * required, or there and wrong, is reported; out is then left as it was. map may be NULL, which is
 * absent without a report.
 */
bool yaml_read_str(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	enum yaml_need need, struct str *out);
bool yaml_read_bool(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	enum yaml_need need, bool *out);
bool yaml_read_int(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	enum yaml_need need, int64_t min, int64_t max, int64_t *out);
/* One of the words, by its position; words ends with NULL. */
bool yaml_read_choice(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	enum yaml_need need, const char *const *words, size_t *out);
const struct yaml_node *yaml_read_map(struct yaml_reader *r, const struct yaml_node *map,
	const char *key, enum yaml_need need);
const struct yaml_node *yaml_read_list(struct yaml_reader *r, const struct yaml_node *map,
	const char *key, enum yaml_need need);

/* The same for a node that is there, as of a list. */
bool yaml_as_str(struct yaml_reader *r, const struct yaml_node *node, struct str *out);
bool yaml_as_int(struct yaml_reader *r, const struct yaml_node *node, int64_t min, int64_t max,
	int64_t *out);
bool yaml_as_map(struct yaml_reader *r, const struct yaml_node *node);

/*
 * For objects that are read strictly: reports each key of map that is none of known (ends with
 * NULL), with the nearest that is, and each without a value, for what was to be there may have been
 * lost on the way.
 */
void yaml_check_keys(struct yaml_reader *r, const struct yaml_node *map, const char *const *known);

/* Reports something about a node. */
void yaml_problem(struct yaml_reader *r, const struct yaml_node *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same about a key of map that is not there (or map itself where key is NULL). */
void yaml_problem_at(struct yaml_reader *r, const struct yaml_node *map, const char *key,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* What a node is, for messages: 80, "http", a list. In the arena. */
struct str yaml_shown(struct arena *a, const struct yaml_node *node);

/* " (did you mean X?)" where a known word (list ends with NULL) is near, else "". In the arena. */
const char *yaml_nearest(struct arena *a, struct str word, const char *const *known);

#endif
