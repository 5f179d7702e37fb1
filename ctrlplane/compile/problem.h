/*
 * What is wrong with, or worth knowing about, the objects that were read: collected, bounded, each
 * with file, line, object, field and what to do. Written by every part of the compiler, shown by
 * the command line, and later by status conditions.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_PROBLEM_H
#define WEFT_CTRLPLANE_COMPILE_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"
#include "lib/json/json.h"

/* Of each severity that many are kept, the rest is counted. */
#define PROBLEMS_MAX 1000
/* Of one object that many are told. */
#define PROBLEMS_OF_OBJECT 100

enum problem_severity {
	PROBLEM_ERROR,   /* the object (or file) is refused whole */
	PROBLEM_WARNING, /* taken, but probably not what was meant */
	PROBLEM_NOTE,    /* passed over */
	PROBLEM_SEVERITIES
};

/* Strings are in the list's arena. */
struct problem {
	enum problem_severity severity;
	struct str file, object; /* "Service shop/web"; empty: the file */
	uint32_t line;           /* 0: none */
	struct str field, text;  /* field "spec.ports[0].port"; empty: the object */
	struct problem *next;
};

/* Owned by its embedder; the problems are in the arena that it was made with. */
struct problems {
	struct arena *arena;
	struct problem *first, *last;
	size_t count[PROBLEM_SEVERITIES]; /* all, kept or not */
};

void problems_init(struct problems *l, struct arena *a);
/* True where the next one of this severity would only be counted; counts it then. */
bool problems_full(struct problems *l, enum problem_severity s);
/* Copies all strings. */
void problems_add(struct problems *l, const struct problem *p);
/* "FILE:LINE: Service shop/web: spec.ports[0].port: text"; warnings and notes say so after the
 * line. In the list's arena. */
struct str problem_text(const struct problems *l, const struct problem *p);
/* An array of what is kept: severity, file, line, object, field, message. */
void problems_json(const struct problems *l, struct json *j);
const char *problem_severity_text(enum problem_severity s);

#endif
