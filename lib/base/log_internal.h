/*
 * One log line in a fixed buffer. Private to log.c and log_line.c.
 */
#ifndef WEFT_BASE_LOG_INTERNAL_H
#define WEFT_BASE_LOG_INTERNAL_H

#include "lib/base/log.h"

#define LOG_LINE_MAX 8192u  /* bytes of a line with its end */
#define LOG_VALUE_MAX 1024u /* bytes of one value, escapes counted */

/* On the stack of log_event. One byte more in front, for the newline that ends a torn line before
 * this one. */
struct log_line {
	size_t n, limit;
	bool cut;
	char bytes[1 + LOG_LINE_MAX];
};

/* Begins a line of at most limit (256..LOG_LINE_MAX) bytes. */
void log_line_begin(struct log_line *l, size_t limit);
/* What the event is; the fields that do not fit are left out and the line says so. Ends with a
 * newline. */
void log_line_json(struct log_line *l, uint64_t wall_ns, enum log_level level, const char *room,
	const char *msg, const struct log_field *fields, size_t n);
void log_line_text(struct log_line *l, uint64_t wall_ns, enum log_level level, const char *room,
	const char *msg, const struct log_field *fields, size_t n);

#endif
