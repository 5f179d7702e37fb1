/*
 * Slices: a pointer and a length into memory that somebody else owns. Bytes, not text: may hold
 * NUL, may be invalid UTF-8. All comparisons are on bytes; the _nocase forms fold ASCII letters
 * only (RFC 9110 field names).
 */
#ifndef WEFT_BASE_STR_H
#define WEFT_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes; never freed through this struct. p may be NULL when n is 0. */
struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NULL ((struct str){NULL, 0})
/* For printf: "%.*s", STR_ARG(s) */
#define STR_ARG(s) (int)(s).n, ((s).p != NULL ? (s).p : "")

static inline struct str str_from(const char *z)
{
	return (struct str){z, z != NULL ? strlen(z) : 0};
}

static inline struct str str_make(const void *p, size_t n)
{
	return (struct str){p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_starts_nocase(struct str s, struct str prefix);
/* First position of c, or -1. */
ptrdiff_t str_find(struct str s, char c);
/* Part of s from..from+n, clamped to s. */
struct str str_sub(struct str s, size_t from, size_t n);
/* Without leading and trailing SP and HTAB (OWS of RFC 9110 5.6.3). */
struct str str_trim(struct str s);
/* Cuts the piece before the first sep off *rest and returns it; false when *rest is used up. An
 * empty last piece counts. */
bool str_split(struct str *rest, char sep, struct str *piece);
/* Decimal digits only, no sign, no space: 0, or ERR_INVAL (empty, other bytes) or ERR_LIMIT (over
 * max). */
int str_to_u64(struct str s, uint64_t max, uint64_t *out);
/* Copies into dst with a NUL; ERR_LIMIT where it does not fit (dst is then empty). */
int str_copy(char *dst, size_t size, struct str s);

#endif
