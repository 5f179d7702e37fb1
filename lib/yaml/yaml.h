/*
 * YAML (and with it JSON) as bounded document trees that know where every value was written. The
 * only door to libyaml; nothing here knows what the documents mean. Trees live in the caller's
 * arena and are read-only.
 */
#ifndef WEFT_YAML_YAML_H
#define WEFT_YAML_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

#define YAML_MAX_BYTES (32u << 20) /* of one file */
#define YAML_MAX_NODES 4000000u    /* of one file, all documents together */
#define YAML_MAX_DEPTH 64u         /* lists and maps inside one another */

/*
 * What a plain (unquoted) scalar is follows the core schema of YAML 1.2, so that "yes", "on" and
 * "12:30" are strings and only true and false are booleans. Every notation of a number that some
 * reader knows, other than a plain decimal integer (0x10, 010, 1_000, 1e3, 1.5), is YAML_REAL: not
 * a string, and not silently one of several possible integers.
 */
enum yaml_kind { YAML_NULL, YAML_BOOL, YAML_INT, YAML_REAL, YAML_STRING, YAML_LIST, YAML_MAP };

/* Owned by the arena that it was parsed into; children are linked from first through next. */
struct yaml_node {
	enum yaml_kind kind;
	bool quoted;                    /* a scalar in quotes, literal or folded: always a string */
	bool truth;                     /* of YAML_BOOL */
	uint32_t line, column;          /* from 1 */
	uint32_t key_line, key_column;  /* in a map: where its key is */
	uint32_t index;                 /* position in its list or map */
	uint32_t n;                     /* children */
	int64_t number;                 /* of YAML_INT */
	struct str text;                /* of a scalar, as written, without quotes and escapes */
	struct str key;                 /* in a map */
	const struct yaml_node *parent; /* NULL: a document */
	struct yaml_node *first, *next;
};

/* Where and why a file could not be read. The caller's. */
struct yaml_error {
	uint32_t line; /* from 1 */
	char text[400];
};

/*
 * Parses all documents of a file; empty ones are left out. *docs is the first (next leads to the
 * others), NULL where there is none. Refused: aliases, tags other than !!str, keys that are no
 * scalars or occur twice in a map, invalid UTF-8, and what is beyond the limits above.
 * 0, ERR_INVAL or ERR_LIMIT with line and text in error.
 */
int yaml_parse(struct arena *a, struct str bytes, const struct yaml_node **docs,
	struct yaml_error *error);

/* The value of a key; NULL where map is NULL, no map, or has no such key. */
const struct yaml_node *yaml_field(const struct yaml_node *map, struct str key);
/* The same along several keys with dots between them: "spec.selector". */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *path);

/* Where a node is below root (NULL: its document): "spec.ports[0].port"; keys that hold a dot are
 * put in brackets and quotes. In the arena. */
struct str yaml_path(struct arena *a, const struct yaml_node *root, const struct yaml_node *node);

/* "a map", "a list", "a string", ... */
const char *yaml_kind_text(enum yaml_kind kind);

#endif
