/*
 * IP addresses and CIDR blocks: parsing, printing, comparing. Pure functions on plain values,
 * nothing is owned. Called by everyone who names a peer; accepts the documented spellings and no
 * others, so that a policy and a log agree on what an address is.
 */
#include "lib/net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct addr addr_from_v4(const void *bytes, uint16_t port)
{
	struct addr a = {.family = ADDR_V4, .port = port};

	memcpy(a.bytes, bytes, 4);
	return a;
}

static struct addr addr_from_v6(const uint8_t bytes[16], uint16_t port)
{
	struct addr a = {.family = ADDR_V6, .port = port};

	if (memcmp(bytes, v4_mapped, sizeof(v4_mapped)) == 0)
		return addr_from_v4(bytes + 12, port);
	memcpy(a.bytes, bytes, 16);
	return a;
}

/* inet_pton wants a NUL and would stop at one inside. */
static int ip_text(struct str s, char dst[INET6_ADDRSTRLEN])
{
	if (s.n == 0 || s.n >= INET6_ADDRSTRLEN || memchr(s.p, '\0', s.n) != NULL)
		return ERR_INVAL;
	memcpy(dst, s.p, s.n);
	dst[s.n] = '\0';
	return 0;
}

static int parse_v4(struct str s, struct addr *out)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr in;

	if (ip_text(s, text) < 0 || inet_pton(AF_INET, text, &in) != 1)
		return ERR_INVAL;
	*out = addr_from_v4(&in, 0);
	return 0;
}

static int parse_v6(struct str s, struct addr *out)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr in;

	if (ip_text(s, text) < 0 || inet_pton(AF_INET6, text, &in) != 1)
		return ERR_INVAL;
	*out = addr_from_v6(in.s6_addr, 0);
	return 0;
}

/* One to max_digits decimal digits without a leading zero, so that a number has one spelling. */
static int parse_number(struct str s, size_t max_digits, unsigned max, unsigned *out)
{
	unsigned v = 0;

	if (s.n == 0 || s.n > max_digits || (s.n > 1 && s.p[0] == '0'))
		return ERR_INVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return ERR_INVAL;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	if (v > max)
		return ERR_INVAL;
	*out = v;
	return 0;
}

static int parse_port(struct str s, struct addr *out)
{
	unsigned port;

	if (parse_number(s, 5, 65535, &port) < 0)
		return ERR_INVAL;
	out->port = (uint16_t)port;
	return 0;
}

static size_t count_char(struct str s, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == c;
	return n;
}

/* "[::1]:80" */
static int parse_bracketed(struct str s, struct addr *out)
{
	ptrdiff_t end = str_find(s, ']');

	if (end < 0 || (size_t)end + 1 >= s.n || s.p[end + 1] != ':')
		return ERR_INVAL;
	struct str inside = str_sub(s, 1, (size_t)end - 1);
	struct str port = str_sub(s, (size_t)end + 2, s.n);
	if (parse_v6(inside, out) < 0)
		return ERR_INVAL;
	return parse_port(port, out);
}

static int parse_any(struct str s, struct addr *out)
{
	if (s.n > 0 && s.p[0] == '[')
		return parse_bracketed(s, out);
	switch (count_char(s, ':')) {
	case 0:
		return parse_v4(s, out);
	case 1: {
		size_t colon = (size_t)str_find(s, ':');
		if (parse_v4(str_sub(s, 0, colon), out) < 0)
			return ERR_INVAL;
		return parse_port(str_sub(s, colon + 1, s.n), out);
	}
	default:
		return parse_v6(s, out);
	}
}

int addr_parse(struct str s, struct addr *out)
{
	struct addr a = {0};

	memset(out, 0, sizeof(*out));
	if (parse_any(s, &a) < 0)
		return ERR_INVAL;
	*out = a;
	return 0;
}

const char *addr_format_ip(const struct addr *a, char dst[ADDR_TEXT])
{
	switch ((enum addr_family)a->family) {
	case ADDR_V4:
		inet_ntop(AF_INET, a->bytes, dst, ADDR_TEXT);
		break;
	case ADDR_V6:
		inet_ntop(AF_INET6, a->bytes, dst, ADDR_TEXT);
		break;
	case ADDR_NONE:
		snprintf(dst, ADDR_TEXT, "-");
		break;
	}
	return dst;
}

const char *addr_format(const struct addr *a, char dst[ADDR_TEXT])
{
	char ip[ADDR_TEXT];

	addr_format_ip(a, ip);
	if (a->port == 0 || a->family == ADDR_NONE)
		memcpy(dst, ip, sizeof(ip));
	else if (a->family == ADDR_V6)
		snprintf(dst, ADDR_TEXT, "[%.*s]:%u", INET6_ADDRSTRLEN - 1, ip, a->port);
	else
		snprintf(dst, ADDR_TEXT, "%.*s:%u", INET_ADDRSTRLEN - 1, ip, a->port);
	return dst;
}

bool addr_eq_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && addr_eq_ip(a, b);
}

struct addr addr_with_port(const struct addr *a, uint16_t port)
{
	struct addr out = *a;

	out.port = port;
	return out;
}

struct addr addr_any(enum addr_family family, uint16_t port)
{
	return (struct addr){.family = (uint8_t)family, .port = port};
}

bool addr_is_loopback(const struct addr *a)
{
	if (a->family == ADDR_V4)
		return a->bytes[0] == 127;
	return a->family == ADDR_V6 && memcmp(a->bytes, in6addr_loopback.s6_addr, 16) == 0;
}

bool addr_is_any(const struct addr *a)
{
	return a->family != ADDR_NONE && memcmp(a->bytes, in6addr_any.s6_addr, 16) == 0;
}

bool addr_is_link_local(const struct addr *a)
{
	if (a->family == ADDR_V4)
		return a->bytes[0] == 169 && a->bytes[1] == 254;
	return a->family == ADDR_V6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

bool addr_is_multicast(const struct addr *a)
{
	if (a->family == ADDR_V4)
		return (a->bytes[0] & 0xf0) == 0xe0;
	return a->family == ADDR_V6 && a->bytes[0] == 0xff;
}

struct str addr_key(const struct addr *a)
{
	return str_make(a, sizeof(*a));
}

int addr_from_sockaddr(const struct sockaddr *sa, struct addr *out)
{
	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
		*out = addr_from_v4(&in->sin_addr, ntohs(in->sin_port));
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)sa;
		*out = addr_from_v6(in->sin6_addr.s6_addr, ntohs(in->sin6_port));
		return 0;
	}
	return ERR_INVAL;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (a->family == ADDR_V4) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;
		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->bytes, 4);
		return sizeof(*in);
	}
	if (a->family == ADDR_V6) {
		struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
		in->sin6_family = AF_INET6;
		in->sin6_port = htons(a->port);
		memcpy(&in->sin6_addr, a->bytes, 16);
		return sizeof(*in);
	}
	return 0;
}

/* --- CIDR --- */

static unsigned addr_bits(const struct addr *a)
{
	return a->family == ADDR_V4 ? 32 : 128;
}

/* True when all bits after the first prefix ones are zero. */
static bool host_bits_clear(const struct addr *a, unsigned prefix)
{
	for (unsigned i = prefix; i < addr_bits(a); i++) {
		if ((a->bytes[i / 8] >> (7 - i % 8)) & 1)
			return false;
	}
	return true;
}

/* An IPv4-mapped block is the IPv4 block; one so wide that it leaves the mapped range has host bits
 * set by definition. */
static int cidr_prefix(struct str text, struct str ip, const struct addr *base, unsigned *out)
{
	bool mapped = base->family == ADDR_V4 && str_find(ip, ':') >= 0;
	unsigned prefix;

	if (parse_number(text, 3, mapped ? 128 : addr_bits(base), &prefix) < 0)
		return ERR_INVAL;
	if (mapped && prefix < 96)
		return ERR_INVAL;
	*out = mapped ? prefix - 96 : prefix;
	return 0;
}

int cidr_parse(struct str s, struct cidr *out)
{
	ptrdiff_t slash = str_find(s, '/');
	struct str ip = slash >= 0 ? str_sub(s, 0, (size_t)slash) : s;
	struct addr base = {0};
	unsigned prefix;

	memset(out, 0, sizeof(*out));
	if ((str_find(ip, ':') >= 0 ? parse_v6(ip, &base) : parse_v4(ip, &base)) < 0)
		return ERR_INVAL;
	prefix = addr_bits(&base);
	if (slash >= 0 && cidr_prefix(str_sub(s, (size_t)slash + 1, s.n), ip, &base, &prefix) < 0)
		return ERR_INVAL;
	if (!host_bits_clear(&base, prefix))
		return ERR_INVAL;
	out->base = base;
	out->prefix = (uint8_t)prefix;
	return 0;
}

bool cidr_contains(const struct cidr *c, const struct addr *a)
{
	unsigned whole = c->prefix / 8, rest = c->prefix % 8;

	if (a->family == ADDR_NONE || a->family != c->base.family)
		return false;
	if (memcmp(a->bytes, c->base.bytes, whole) != 0)
		return false;
	return rest == 0 || ((a->bytes[whole] ^ c->base.bytes[whole]) >> (8 - rest)) == 0;
}

const char *cidr_format(const struct cidr *c, char dst[ADDR_TEXT])
{
	char ip[ADDR_TEXT];

	addr_format_ip(&c->base, ip);
	snprintf(dst, ADDR_TEXT, "%.*s/%u", INET6_ADDRSTRLEN - 1, ip, c->prefix);
	return dst;
}
