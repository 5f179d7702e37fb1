/*
 * Bytes as the inside of a JSON string (RFC 8259 section 7), safe for terminals too: control
 * characters, DEL, C1 and what turns the direction of text are written as \u escapes, invalid UTF-8
 * becomes U+FFFD. Used by log.c and by lib/json.
 */
#ifndef WEFT_BASE_ESCAPE_H
#define WEFT_BASE_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

/* No input byte grows to more than this. */
#define ESCAPE_MAX 6

/*
 * Escapes the longest part of s that fits into size bytes, never half a character or escape; *used
 * receives how many bytes of s that were. Returns the bytes written; no NUL is added.
 */
size_t escape_json(struct str s, char *dst, size_t size, size_t *used);

/*
 * Length of the UTF-8 character at the start of s (RFC 3629: shortest form, no surrogates, up to
 * U+10FFFF), with its code point; 0 where there is none.
 */
size_t utf8_decode(struct str s, uint32_t *code);

#endif
