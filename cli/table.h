/*
 * Tables for people: cells are collected, then printed in columns as wide as their widest cell.
 * What comes from elsewhere is made harmless for terminals.
 */
#ifndef WEFT_CLI_TABLE_H
#define WEFT_CLI_TABLE_H

#include "lib/base/arena.h"
#include "lib/base/str.h"

#define TABLE_COLUMNS 8

/* On the caller's stack; cells live in the arena. */
struct table {
	struct arena *arena;
	size_t columns, n, room;
	struct str *cells; /* row by row, the titles first */
};

/* titles end with NULL, at most TABLE_COLUMNS. */
void table_init(struct table *t, struct arena *arena, const char *const *titles);
/* The next cell; an empty one is shown as "-". */
void table_add(struct table *t, struct str cell);
void table_addf(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* By the first column, whole rows only. */
void table_sort(struct table *t);
/* Prints to stdout, nothing where there are no rows. */
void table_print(const struct table *t);

/* Bytes that a terminal could take for commands, or that are no ASCII, as \xNN. In the arena. */
struct str table_safe(struct arena *a, struct str s);

#endif
