/*
 * JSON writer (RFC 8259) onto a buf: escapes everything, keeps commas itself, asserts that
 * nesting is right. For logs, config dumps and `-o json`.
 */
#ifndef WEFT_JSON_JSON_H
#define WEFT_JSON_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

/* Deepest nesting; what is written has a shape of our own, so more is our fault and asserted. */
#define JSON_DEPTH 32

/* On the caller's stack; writes to a buf that the caller owns. pretty: two spaces of indentation.
 */
struct json {
	struct buf *out;
	bool pretty;
	bool after_key;
	bool done; /* the one top-level value is complete */
	uint8_t depth;
	bool first[JSON_DEPTH];
	char kind[JSON_DEPTH]; /* '{' or '[' */
};

void json_init(struct json *j, struct buf *out, bool pretty);
void json_object(struct json *j); /* { */
void json_object_end(struct json *j);
void json_array(struct json *j); /* [ */
void json_array_end(struct json *j);
/* Keys are ours, not a peer's; still escaped. Each needs one value after it. */
void json_key(struct json *j, const char *key);
void json_key_slice(struct json *j, struct str key);
void json_str(struct json *j, struct str s); /* invalid UTF-8 becomes U+FFFD */
void json_u64(struct json *j, uint64_t v);
void json_i64(struct json *j, int64_t v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);
void json_key_str(struct json *j, const char *key, struct str s);
void json_key_u64(struct json *j, const char *key, uint64_t v);
void json_key_bool(struct json *j, const char *key, bool v);
/*
 * Escaped text of s without quotes into dst, with a NUL (cut at size - 1, never inside a
 * character or an escape); returns its length. For log lines.
 */
size_t json_escape(char *dst, size_t size, struct str s);

#endif
