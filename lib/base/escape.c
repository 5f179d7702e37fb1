/*
 * UTF-8 checked character by character, and its escaping for JSON. Owns nothing; called by log.c
 * and lib/json.
 */
#include "lib/base/escape.h"

#include <stdbool.h>
#include <stdio.h>

size_t utf8_decode(struct str s, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n;

	if (s.n == 0)
		return 0;
	if (p[0] < 0x80) {
		*code = p[0];
		return 1;
	}
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc0 || p[0] > 0xf4 || s.n < n)
		return 0;
	uint32_t c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return n;
}

/* Not printed as it is: C0, DEL, C1, line and paragraph separators, marks and overrides of
 * direction. */
static bool escape_is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) ||
		(c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* The short escapes of RFC 8259; 0 where the character has none. */
static char escape_short(uint32_t c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	}
	return 0;
}

/* Writes what stands for the n bytes at p into out; returns its length. n is 0 where they are no
 * character. */
static size_t escape_one(const char *p, size_t n, uint32_t c, char out[ESCAPE_MAX + 1])
{
	if (n == 0) {
		memcpy(out, "\xef\xbf\xbd", 3);
		return 3;
	}
	char letter = escape_short(c);
	if (letter != 0) {
		out[0] = '\\';
		out[1] = letter;
		return 2;
	}
	if (escape_is_unsafe(c))
		return (size_t)snprintf(out, ESCAPE_MAX + 1, "\\u%04x", (unsigned)(c & 0xffff));
	memcpy(out, p, n);
	return n;
}

size_t escape_json(struct str s, char *dst, size_t size, size_t *used)
{
	size_t at = 0, written = 0;

	while (at < s.n) {
		char piece[ESCAPE_MAX + 1];
		uint32_t c = 0;
		size_t n = utf8_decode(str_sub(s, at, s.n), &c);
		size_t out = escape_one(s.p + at, n, c, piece);
		if (out > size - written)
			break;
		memcpy(dst + written, piece, out);
		written += out;
		at += n != 0 ? n : 1;
	}
	*used = at;
	return written;
}
