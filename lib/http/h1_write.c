/*
 * Text of HTTP/1 heads: straight into the connection's wire buffer, in as few pieces as it has room
 * for. What may not go out is left out here, so that no head from HTTP/2 or from above can smuggle.
 * Owns nothing; called by h1_send.c.
 */
#include "lib/http/h1_write.h"

/* Room that is asked for at once; heads beyond it take another piece. */
#define WRITE_PIECE 512

void h1_write_begin(struct h1_writer *w, struct buf *out)
{
	*w = (struct h1_writer){.out = out};
}

void h1_write_end(struct h1_writer *w)
{
	if (w->p != NULL)
		buf_commit(w->out, w->used);
	*w = (struct h1_writer){.out = w->out};
}

void h1_write(struct h1_writer *w, struct str s)
{
	while (s.n > 0) {
		if (w->used == w->room) {
			h1_write_end(w);
			w->p = buf_reserve(w->out, WRITE_PIECE, &w->room);
		}
		size_t n = s.n < w->room - w->used ? s.n : w->room - w->used;

		memcpy(w->p + w->used, s.p, n);
		w->used += n;
		s = str_make(s.p + n, s.n - n);
	}
}

void h1_write_u64(struct h1_writer *w, uint64_t value)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	h1_write(w, str_make(text + at, sizeof(text) - at));
}

void h1_write_status_line(struct h1_writer *w, uint16_t status)
{
	h1_write(w, STR("HTTP/1.1 "));
	h1_write_u64(w, status);
	h1_write(w, STR(" "));
	h1_write(w, http_status_phrase(status));
	h1_write(w, STR("\r\n"));
}

/* Framing and hop-by-hop fields are ours to write, never copied. */
static bool is_ours(struct str name)
{
	static const struct str ours[] = {{"te", 2}, {"host", 4}, {"expect", 6}, {"upgrade", 7},
		{"connection", 10}, {"keep-alive", 10}, {"content-length", 14},
		{"proxy-connection", 16}, {"transfer-encoding", 17}};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (str_eq_nocase(name, ours[i]))
			return true;
	}
	return false;
}

void h1_write_fields(struct h1_writer *w, const struct http_fields *fields)
{
	for (uint32_t i = 0; i < fields->n; i++) {
		struct http_field f = fields->v[i];

		if (!http_is_token(f.name) || !http_is_field_value(f.value) || is_ours(f.name))
			continue;
		h1_write(w, f.name);
		h1_write(w, STR(": "));
		h1_write(w, f.value);
		h1_write(w, STR("\r\n"));
	}
}
