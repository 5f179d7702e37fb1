/*
 * Comparison, cutting and parsing of byte slices. Owns nothing and allocates nothing.
 * Called by every room.
 */
#include "lib/base/str.h"

#include "lib/base/err.h"

/* ASCII only: the C library's functions follow the locale. */
static unsigned char str_lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (str_lower(a.p[i]) != str_lower(b.p[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_make(s.p, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, suffix.n), suffix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq_nocase(str_make(s.p, prefix.n), prefix);
}

ptrdiff_t str_find(struct str s, char c)
{
	const char *at = s.n != 0 ? memchr(s.p, c, s.n) : NULL;

	return at != NULL ? at - s.p : -1;
}

struct str str_sub(struct str s, size_t from, size_t n)
{
	if (s.p == NULL)
		return STR_NULL;
	if (from > s.n)
		from = s.n;
	if (n > s.n - from)
		n = s.n - from;
	return str_make(s.p + from, n);
}

static bool str_is_ows(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	size_t from = 0, to = s.n;

	while (from < to && str_is_ows(s.p[from]))
		from++;
	while (to > from && str_is_ows(s.p[to - 1]))
		to--;
	return str_sub(s, from, to - from);
}

bool str_split(struct str *rest, char sep, struct str *piece)
{
	if (rest->p == NULL)
		return false;
	ptrdiff_t at = str_find(*rest, sep);
	if (at < 0) {
		*piece = *rest;
		*rest = STR_NULL;
		return true;
	}
	*piece = str_sub(*rest, 0, (size_t)at);
	*rest = str_sub(*rest, (size_t)at + 1, rest->n);
	return true;
}

int str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	bool over = false;

	if (s.n == 0)
		return ERR_INVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return ERR_INVAL;
		over = over || __builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value);
	}
	if (over || value > max)
		return ERR_LIMIT;
	*out = value;
	return 0;
}

int str_copy(char *dst, size_t size, struct str s)
{
	if (size == 0)
		return ERR_LIMIT;
	dst[0] = '\0';
	if (s.n >= size)
		return ERR_LIMIT;
	if (s.n != 0)
		memcpy(dst, s.p, s.n);
	dst[s.n] = '\0';
	return 0;
}
