/*
 * Splits and decodes queries. Owns nothing; called by the handlers of our endpoints.
 */
#include "ctrlplane/query.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode(struct str s, struct arena *a, struct str *out)
{
	if (str_find(s, '%') < 0) {
		*out = s;
		return true;
	}
	char *p = arena_alloc(a, s.n);
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];
		if (c == '%') {
			int hi = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
			int lo = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return false;
			c = hi * 16 + lo;
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return false;
		p[n++] = (char)c;
	}
	*out = str_make(p, n);
	return true;
}

/* Cuts the next "key=value" off; an item without '=' has an empty value. */
static bool next_item(struct str *query, struct str *key, struct str *value)
{
	struct str item;
	while (query->n > 0 && str_split(query, '&', &item)) {
		if (item.n == 0)
			continue;
		ptrdiff_t at = str_find(item, '=');
		*key = at < 0 ? item : str_sub(item, 0, (size_t)at);
		*value = at < 0 ? str_sub(item, item.n, 0) : str_sub(item, (size_t)at + 1, item.n);
		return true;
	}
	return false;
}

bool query_get(struct str query, struct str key, struct arena *a, struct str *value)
{
	struct str k, v;
	while (next_item(&query, &k, &v))
		if (str_eq(k, key))
			return decode(v, a, value);
	return false;
}

bool query_known(struct str query, const char *const *known, struct str *unknown)
{
	struct str k, v;
	while (next_item(&query, &k, &v)) {
		size_t i = 0;
		while (known[i] != NULL && !str_eq(k, str_from(known[i])))
			i++;
		if (known[i] == NULL) {
			*unknown = k;
			return false;
		}
	}
	return true;
}
