/*
 * Decides from the first bytes of a connection what it speaks: TLS ClientHello (with SNI and ALPN),
 * HTTP/2 preface, HTTP/1 request line, or something else. Pure; called by detect.c and by tests and
 * fuzzers.
 */
#include "sidecar/detect/sniff.h"

#include <string.h>

#define METHOD_MAX 64

static const char h2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* Cursor over bytes that may end early; ok turns false at the first read past the end. */
struct cursor {
	const uint8_t *p, *end;
	bool ok;
};

static uint32_t take(struct cursor *c, size_t n)
{
	uint32_t v = 0;
	if ((size_t)(c->end - c->p) < n) {
		c->ok = false;
		c->p = c->end;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		v = v << 8 | *c->p++;
	return v;
}

static struct cursor take_block(struct cursor *c, size_t n)
{
	struct cursor part = {c->p, c->p, false};
	if ((size_t)(c->end - c->p) < n) {
		c->ok = false;
		c->p = c->end;
		return part;
	}
	part.end = c->p + n;
	part.ok = true;
	c->p += n;
	return part;
}

static struct str rest_of(const struct cursor *c)
{
	return str_make(c->p, (size_t)(c->end - c->p));
}

/* RFC 6066 3: a list of names, of which host_name (0) counts. */
static void read_sni(struct cursor ext, struct sniff_facts *f)
{
	struct cursor list = take_block(&ext, take(&ext, 2));
	while (list.ok && list.p < list.end) {
		uint32_t type = take(&list, 1);
		struct cursor name = take_block(&list, take(&list, 2));
		if (name.ok && type == 0 && f->sni.n == 0)
			f->sni = rest_of(&name);
	}
}

/* RFC 7301 3.1 */
static void read_alpn(struct cursor ext, struct sniff_facts *f)
{
	struct cursor list = take_block(&ext, take(&ext, 2));
	while (list.ok && list.p < list.end && f->n_alpn < SNIFF_ALPN_MAX) {
		struct cursor name = take_block(&list, take(&list, 1));
		if (name.ok && name.p < name.end)
			f->alpn[f->n_alpn++] = rest_of(&name);
	}
}

/* RFC 8446 4.2.1 */
static void read_versions(struct cursor ext, struct sniff_facts *f)
{
	struct cursor list = take_block(&ext, take(&ext, 1));
	while (list.ok && list.p < list.end)
		if (take(&list, 2) == 0x0304 && list.ok)
			f->tls13 = true;
}

static void read_extensions(struct cursor *hello, struct sniff_facts *f)
{
	struct cursor all = take_block(hello, take(hello, 2));
	while (all.ok && all.p < all.end) {
		uint32_t type = take(&all, 2);
		struct cursor ext = take_block(&all, take(&all, 2));
		if (!ext.ok)
			return;
		if (type == 0)
			read_sni(ext, f);
		else if (type == 16)
			read_alpn(ext, f);
		else if (type == 43)
			read_versions(ext, f);
	}
}

/*
 * A ClientHello that lies whole in its first record (what every stack sends; RFC 8446 5.1 lets it
 * span several, which is then TLS without facts: not ours, and never terminated).
 */
static enum sniff_verdict sniff_tls(struct str b, struct sniff_facts *f)
{
	const uint8_t *p = (const uint8_t *)b.p;
	if (b.n >= 2 && p[1] != 3)
		return SNIFF_OPAQUE;
	if (b.n < 6)
		return SNIFF_MORE;
	size_t record = (size_t)p[3] << 8 | p[4];
	if (p[2] > 4 || record < 4 || record > SNIFF_MAX || p[5] != 1)
		return SNIFF_OPAQUE;
	if (b.n < 5 + record && b.n < SNIFF_MAX)
		return SNIFF_MORE;
	struct cursor c = {p + 6, p + (b.n < 5 + record ? b.n : 5 + record), true};
	struct cursor hello = take_block(&c, take(&c, 3));
	if (!hello.ok)
		return SNIFF_TLS;
	take(&hello, 2 + 32);
	take_block(&hello, take(&hello, 1)); /* session id */
	take_block(&hello, take(&hello, 2)); /* cipher suites */
	take_block(&hello, take(&hello, 1)); /* compression */
	if (hello.ok)
		read_extensions(&hello, f);
	return SNIFF_TLS;
}

/* What lenient servers take for white space within a request line. */
static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r' && c != '\n');
}

static bool is_method_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 || c == 0x7f) && !is_blank(c);
}

/* One of the words is a protocol version: "HTTP/", in any case. */
static bool names_http(struct str line)
{
	for (size_t i = 1; i + 5 <= line.n; i++)
		if (is_blank(line.p[i - 1]) && str_eq_nocase(str_make(line.p + i, 5), STR("http/")))
			return true;
	return false;
}

/*
 * A request line in the widest sense: what any server might take for one (empty lines before it,
 * any case of the method, tabs, targets without a slash) goes to the strict parser, which has the
 * last word; were it relayed as opaque, headers that the mesh removes would pass. A word and a
 * blank are waited on until their line ends; a binary protocol shows itself by a control byte
 * before that, which is no proof only where the line begins strictly as HTTP does.
 */
static enum sniff_verdict sniff_http1(struct str b)
{
	size_t from = 0, i;
	bool strict = true;
	while (from < b.n && (is_blank(b.p[from]) || b.p[from] == '\n'))
		from++;
	for (i = from; i < b.n && is_method_char(b.p[i]); i++) {
		strict =
			strict && ((b.p[i] >= 'A' && b.p[i] <= 'Z') || (i > from && b.p[i] == '-'));
		if (i - from >= METHOD_MAX)
			return SNIFF_OPAQUE;
	}
	if (i == b.n)
		return SNIFF_MORE;
	if (i == from || !is_blank(b.p[i]))
		return SNIFF_OPAQUE;
	strict = strict && b.p[i] == ' ' && i - from >= 3;
	const char *end = memchr(b.p + i, '\n', b.n - i);
	size_t n = end != NULL ? (size_t)(end - b.p) : b.n;
	for (size_t j = i; j < n && !strict; j++)
		if (is_control(b.p[j]))
			return SNIFF_OPAQUE;
	if (end != NULL)
		return names_http(str_make(b.p + i, n - i)) ? SNIFF_HTTP1 : SNIFF_OPAQUE;
	/* A long target is left to the parser's limits. */
	return b.n < SNIFF_MAX ? SNIFF_MORE : SNIFF_HTTP1;
}

static enum sniff_verdict sniff_plain(struct str b)
{
	size_t n = sizeof(h2_preface) - 1;
	if (memcmp(b.p, h2_preface, b.n < n ? b.n : n) == 0 && b.n >= 3)
		return b.n < n ? SNIFF_MORE : SNIFF_HTTP2;
	return sniff_http1(b);
}

enum sniff_verdict sniff(struct str bytes, bool eof, struct sniff_facts *facts)
{
	memset(facts, 0, sizeof(*facts));
	if (bytes.n == 0)
		return eof ? SNIFF_OPAQUE : SNIFF_MORE;
	if (bytes.n > SNIFF_MAX)
		bytes.n = SNIFF_MAX;
	enum sniff_verdict v =
		(uint8_t)bytes.p[0] == 0x16 ? sniff_tls(bytes, facts) : sniff_plain(bytes);
	if (v != SNIFF_MORE || (!eof && bytes.n < SNIFF_MAX))
		return v;
	return sniff_may_be_http(bytes) && (!eof || names_http(bytes)) ? SNIFF_HTTP1 : SNIFF_OPAQUE;
}

bool sniff_may_be_http(struct str bytes)
{
	return bytes.n > 0 && (uint8_t)bytes.p[0] != 0x16;
}

bool sniff_http_server(struct str bytes)
{
	static const size_t frame_head = 9, setting = 6;
	const uint8_t *p = (const uint8_t *)bytes.p;
	if (str_starts(bytes, STR("HTTP/")))
		return true;
	if (bytes.n < frame_head)
		return false;
	/* SETTINGS, not an acknowledgement, of stream 0 (RFC 9113 3.4 and 6.5). */
	size_t length = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
	return p[3] == 4 && p[4] == 0 && length % setting == 0 && length <= 64 * setting &&
		memcmp(p + 5, "\0\0\0\0", 4) == 0;
}

bool sniff_is_mesh(const struct sniff_facts *facts)
{
	return facts->n_alpn > 0 && str_starts(facts->alpn[0], STR("weft/"));
}

const char *sniff_name(enum sniff_verdict v)
{
	switch (v) {
	case SNIFF_MORE:
		return "undecided";
	case SNIFF_TLS:
		return "tls";
	case SNIFF_HTTP1:
		return "http/1";
	case SNIFF_HTTP2:
		return "http/2";
	case SNIFF_OPAQUE:
		return "opaque";
	}
	return "?";
}
