/*
 * Start lines of HTTP/1 messages, byte by byte, stricter than the parser that follows: one space
 * where one space belongs, CRLF at the end, HTTP/1.0 or HTTP/1.1 (RFC 9112 sections 3 and 4). Plain
 * state, nothing owned; called by h1_recv.c.
 */
#include "lib/http/h1.h"

enum {
	LINE_METHOD,
	LINE_TARGET,
	LINE_VERSION,
	LINE_STATUS_SPACE,
	LINE_STATUS,
	LINE_AFTER_STATUS,
	LINE_PHRASE,
	LINE_CR,
	LINE_LF,
	LINE_END
};

static const char version_text[] = "HTTP/1.";

void h1_line_init(struct h1_line *l, bool request)
{
	*l = (struct h1_line){.part = request ? LINE_METHOD : LINE_VERSION, .request = request};
}

static void next(struct h1_line *l, uint8_t part)
{
	l->part = part;
	l->at = 0;
}

static const char *on_method(struct h1_line *l, char c)
{
	if (c == ' ' && l->at > 0) {
		next(l, LINE_TARGET);
		return NULL;
	}
	l->at = 1;
	return c >= 'A' && c <= 'Z' ? NULL : c == '-' || c == '_' ? NULL : "malformed method";
}

static const char *on_target(struct h1_line *l, char c)
{
	if (c == ' ' && l->at > 0) {
		next(l, LINE_VERSION);
		return NULL;
	}
	l->at = 1;
	return c > ' ' && c < 0x7f && c != '#' ? NULL : "malformed request target";
}

static const char *on_version(struct h1_line *l, char c)
{
	if (l->at < sizeof(version_text) - 1)
		return c == version_text[l->at++] ? NULL : "malformed or unknown HTTP version";
	if (c != '0' && c != '1')
		return "malformed or unknown HTTP version";
	next(l, l->request ? LINE_CR : LINE_STATUS_SPACE);
	return NULL;
}

static const char *on_status(struct h1_line *l, char c)
{
	if (c < '0' || c > '9')
		return "malformed status line";
	if (++l->at == 3)
		next(l, LINE_AFTER_STATUS);
	return NULL;
}

/* The phrase and the space before it are optional here: many servers leave both out. */
static const char *on_phrase(struct h1_line *l, char c)
{
	if (c == '\r') {
		next(l, LINE_LF);
		return NULL;
	}
	if (l->part == LINE_AFTER_STATUS) {
		next(l, LINE_PHRASE);
		return c == ' ' ? NULL : "malformed status line";
	}
	return c == '\t' || ((uint8_t)c >= ' ' && c != 0x7f) ? NULL : "malformed status line";
}

static const char *line_byte(struct h1_line *l, char c)
{
	switch (l->part) {
	case LINE_METHOD:
		return on_method(l, c);
	case LINE_TARGET:
		return on_target(l, c);
	case LINE_VERSION:
		return on_version(l, c);
	case LINE_STATUS_SPACE:
		next(l, LINE_STATUS);
		return c == ' ' ? NULL : "malformed status line";
	case LINE_STATUS:
		return on_status(l, c);
	case LINE_AFTER_STATUS:
	case LINE_PHRASE:
		return on_phrase(l, c);
	case LINE_CR:
		next(l, LINE_LF);
		return c == '\r' ? NULL : "malformed start line";
	default:
		next(l, LINE_END);
		return c == '\n' ? NULL : "carriage return without line feed";
	}
}

const char *h1_line_scan(struct h1_line *l, const char *p, size_t n, size_t *used, bool *done)
{
	const char *wrong = NULL;
	size_t i = 0;

	while (i < n && l->part != LINE_END && wrong == NULL)
		wrong = line_byte(l, p[i++]);
	*used = i;
	*done = l->part == LINE_END;
	return wrong;
}
