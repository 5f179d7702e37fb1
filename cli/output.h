/*
 * Output of commands: JSON to stdout, times, and text of unknown origin for a terminal.
 */
#ifndef WEFT_CLI_OUTPUT_H
#define WEFT_CLI_OUTPUT_H

#include <stdint.h>

#include "lib/json/json.h"

/* On the caller's stack; owns its buffer until output_end. */
struct output {
	struct buf_pool *pool;
	struct buf buf;
	struct json json;
};

void output_begin(struct output *o);
/* Writes what was collected and a newline to stdout. */
void output_end(struct output *o);

/* RFC 3339 in UTC to seconds, for any date that a certificate can have; size is at least
 * OUTPUT_TIME. */
#define OUTPUT_TIME 32
void output_time(int64_t seconds, char dst[OUTPUT_TIME]);
/* Bytes that a terminal could take for commands, or that are no ASCII, as \xNN. */
void output_safe(struct str s);

#endif
