/*
 * The small grammars of gRPC over HTTP/2. Pure, owns constant tables only; called by the files of
 * lib/grpc for every head and every end.
 */
#include "lib/grpc/wire.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/escape.h"

static const struct {
	const char *name;
	unsigned number;
} status_rows[] = {
#define GRPC_STATUS(name, number) {#name, number},
#include "lib/grpc/status.def"
#undef GRPC_STATUS
};

const char *grpc_status_name(unsigned status)
{
	for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
		if (status_rows[i].number == status)
			return status_rows[i].name;
	}
	return "UNKNOWN";
}

/* --- heads --- */

bool grpc_is_content_type(struct str s)
{
	static const char type[] = "application/grpc";
	size_t n = sizeof(type) - 1;

	if (!str_starts_nocase(s, STR("application/grpc")))
		return false;
	s = str_sub(s, n, s.n);
	if (str_starts_nocase(s, STR("+proto")))
		s = str_sub(s, 6, s.n);
	s = str_trim(s);
	return s.n == 0 || s.p[0] == ';';
}

/* From the smallest on. */
static const struct {
	char unit;
	uint64_t ns;
} timeout_units[] = {
	{'n', 1},
	{'u', NS_PER_US},
	{'m', NS_PER_MS},
	{'S', NS_PER_S},
	{'M', 60 * NS_PER_S},
	{'H', 3600 * NS_PER_S},
};
#define TIMEOUT_UNITS (sizeof(timeout_units) / sizeof(timeout_units[0]))

int grpc_parse_timeout(struct str s, uint64_t *ns)
{
	uint64_t n;

	if (s.n < 2 || s.n > GRPC_TIMEOUT_DIGITS + 1 ||
		str_to_u64(str_sub(s, 0, s.n - 1), UINT64_MAX, &n) != 0)
		return ERR_INVAL;
	for (size_t i = 0; i < TIMEOUT_UNITS; i++) {
		if (timeout_units[i].unit != s.p[s.n - 1])
			continue;
		if (__builtin_mul_overflow(n, timeout_units[i].ns, ns))
			*ns = UINT64_MAX;
		return 0;
	}
	return ERR_INVAL;
}

void grpc_format_timeout(uint64_t ns, char dst[GRPC_TIMEOUT_TEXT])
{
	const uint64_t max = 99999999;
	uint64_t n = max;
	size_t i;

	for (i = 0; i < TIMEOUT_UNITS; i++) {
		n = ns / timeout_units[i].ns + (ns % timeout_units[i].ns != 0);
		if (n <= max)
			break;
	}
	if (i == TIMEOUT_UNITS) {
		n = max;
		i--;
	}
	snprintf(dst, GRPC_TIMEOUT_TEXT, "%u%c", (unsigned)n, timeout_units[i].unit);
}

/* --- statuses --- */

enum grpc_status grpc_parse_status(struct str s)
{
	uint64_t n;

	if (s.n > 9 || str_to_u64(s, GRPC_STATUS_MAX, &n) != 0)
		return GRPC_UNKNOWN;
	return (enum grpc_status)n;
}

/* At most max bytes, and no part of a UTF-8 character at the end. */
static struct str cut_text(struct str s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max > 0 && ((unsigned char)s.p[max] & 0xc0) == 0x80)
		max--;
	return str_sub(s, 0, max);
}

/* HTTP takes no white space at the ends of a value. */
static bool text_is_plain(struct str s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];

	if (c == ' ')
		return i > 0 && i + 1 < s.n;
	return c > ' ' && c <= '~' && c != '%';
}

struct str grpc_encode_text(struct arena *arena, struct str text)
{
	static const char hex[] = "0123456789ABCDEF";

	text = cut_text(text, GRPC_TEXT_MAX);
	char *out = arena_alloc(arena, 3 * text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (text_is_plain(text, i)) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return str_make(out, n);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is not well encoded stands for itself. */
static struct str percent_decode(struct arena *arena, struct str s)
{
	char *out = arena_alloc(arena, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 &&
			hex_digit(s.p[i + 2]) >= 0) {
			out[n++] = (char)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2]));
			i += 2;
		} else {
			out[n++] = s.p[i];
		}
	}
	return str_make(out, n);
}

struct str grpc_decode_text(struct arena *arena, struct str wire)
{
	struct str plain = percent_decode(arena, str_sub(wire, 0, 3 * GRPC_TEXT_MAX));
	size_t size = ESCAPE_MAX * GRPC_TEXT_MAX, used;

	plain = cut_text(plain, GRPC_TEXT_MAX);
	char *out = arena_alloc(arena, size);
	size_t n = escape_json(plain, out, size, &used);

	return str_make(out, n);
}

enum grpc_status grpc_from_http(uint16_t status)
{
	switch (status) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	}
	return GRPC_UNKNOWN;
}

enum grpc_status grpc_from_h2(uint32_t code)
{
	enum { REFUSED_STREAM = 7, CANCEL = 8, ENHANCE_YOUR_CALM = 11, INADEQUATE_SECURITY = 12 };

	switch (code) {
	case REFUSED_STREAM:
		return GRPC_UNAVAILABLE;
	case CANCEL:
		return GRPC_CANCELLED;
	case ENHANCE_YOUR_CALM:
		return GRPC_RESOURCE_EXHAUSTED;
	case INADEQUATE_SECURITY:
		return GRPC_PERMISSION_DENIED;
	}
	return GRPC_INTERNAL;
}

enum grpc_status grpc_from_reason(enum reason reason, bool server)
{
	const struct reason_info *info = reason_info(reason);

	if (reason == REASON_OK || reason == REASON_UPSTREAM_PROTOCOL)
		return GRPC_INTERNAL;
	if (reason == REASON_PROTOCOL || (server && reason == REASON_IDLE_TIMEOUT))
		return GRPC_CANCELLED;
	if (reason == REASON_IDLE_TIMEOUT)
		return GRPC_UNAVAILABLE;
	return info->grpc_status <= GRPC_STATUS_MAX ? (enum grpc_status)info->grpc_status
						    : GRPC_UNKNOWN;
}
