/*
 * The grammar of HTTP's words: tokens, field values, paths, authorities, and what methods and
 * statuses mean. Pure functions over slices, by RFC 9110 and RFC 3986; used by the checks on the
 * way in and the writers on the way out.
 */
#include <arpa/inet.h>

#include "lib/http/head.h"

enum { C_TOKEN = 1, C_VALUE = 2, C_PATH = 4, C_HOST = 8, C_HEX = 16, C_DIGIT = 32 };

#define T C_TOKEN
#define V C_VALUE
#define P C_PATH
#define H C_HOST
#define A (C_TOKEN | C_VALUE | C_PATH | C_HOST)
#define X (A | C_HEX)
#define D (A | C_HEX | C_DIGIT)

/* RFC 9110 5.6.2 tchar, 5.5 field-vchar with SP and HTAB, VCHAR without '#', RFC 3986 3.2.2
 * reg-name without ',' and '%'. */
static const uint8_t classes[256] = {
	['\t'] = V,
	[' '] = V,
	['!'] = A,
	['"'] = V | P,
	['#'] = T | V,
	['$'] = A,
	['%'] = T | V | P,
	['&'] = A,
	['\''] = A,
	['('] = V | P | H,
	[')'] = V | P | H,
	['*'] = A,
	['+'] = A,
	[','] = V | P,
	['-'] = A,
	['.'] = A,
	['/'] = V | P,
	['0' ... '9'] = D,
	[':'] = V | P,
	[';'] = V | P | H,
	['<'] = V | P,
	['='] = V | P | H,
	['>'] = V | P,
	['?'] = V | P,
	['@'] = V | P,
	['A' ... 'F'] = X,
	['G' ... 'Z'] = A,
	['['] = V | P,
	['\\'] = V | P,
	[']'] = V | P,
	['^'] = T | V | P,
	['_'] = A,
	['`'] = T | V | P,
	['a' ... 'f'] = X,
	['g' ... 'z'] = A,
	['{'] = V | P,
	['|'] = T | V | P,
	['}'] = V | P,
	['~'] = A,
	[0x80 ... 0xff] = V,
};

#undef T
#undef V
#undef P
#undef H
#undef A
#undef X
#undef D

static bool all_of(struct str s, uint8_t class)
{
	uint8_t all = class;

	for (size_t i = 0; i < s.n; i++)
		all &= classes[(uint8_t)s.p[i]];
	return all != 0;
}

bool http_is_token(struct str s)
{
	return s.n > 0 && all_of(s, C_TOKEN);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool http_is_field_value(struct str s)
{
	if (s.n == 0)
		return true;
	return !is_blank(s.p[0]) && !is_blank(s.p[s.n - 1]) && all_of(s, C_VALUE);
}

bool http_is_path(struct str s)
{
	return s.n > 0 && s.p[0] == '/' && all_of(s, C_PATH);
}

/* RFC 3986 2.1: '%' is followed by two hexadecimal digits. */
static bool is_reg_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			if (!(classes[(uint8_t)s.p[i]] & C_HOST))
				return false;
			continue;
		}
		if (s.n - i < 3 || !all_of(str_sub(s, i + 1, 2), C_HEX))
			return false;
		i += 2;
	}
	return s.n > 0;
}

static bool is_ipv6(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	return str_copy(text, sizeof(text), s) == 0 && strlen(text) == s.n &&
		inet_pton(AF_INET6, text, &addr) == 1;
}

bool http_is_authority(struct str s)
{
	ptrdiff_t end = -1;
	uint64_t port;

	if (s.n > 0 && s.p[0] == '[') {
		end = str_find(s, ']');
		if (end < 0 || !is_ipv6(str_sub(s, 1, (size_t)end - 1)))
			return false;
		end++;
	} else {
		end = str_find(s, ':');
		if (end < 0)
			end = (ptrdiff_t)s.n;
		if (!is_reg_name(str_sub(s, 0, (size_t)end)))
			return false;
	}
	if ((size_t)end == s.n)
		return true;
	return s.p[end] == ':' && str_to_u64(str_sub(s, (size_t)end + 1, s.n), 65535, &port) == 0;
}

bool http_no_body(struct str method, uint16_t status)
{
	if (status / 100 == 1 || status == 204 || status == 304)
		return true;
	if (str_eq(method, STR("HEAD")))
		return true;
	return status / 100 == 2 && str_eq(method, STR("CONNECT"));
}

bool http_method_idempotent(struct str method)
{
	static const struct str known[] = {
		{"GET", 3}, {"HEAD", 4}, {"PUT", 3}, {"DELETE", 6}, {"OPTIONS", 7}, {"TRACE", 5}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (str_eq(method, known[i]))
			return true;
	}
	return false;
}

struct str http_status_phrase(uint16_t status)
{
	static const struct {
		uint16_t status;
		const char *phrase;
	} known[] = {
#define HTTP_STATUS(number, text) {number, text},
#include "lib/http/status.def"
#undef HTTP_STATUS
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].status == status)
			return str_from(known[i].phrase);
	}
	return STR("Unknown");
}
