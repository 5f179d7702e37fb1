/*
 * Turns an event into one line of JSON or text, within bounds and with everything escaped that
 * could forge a line or move a cursor. Owns nothing; called by log.c alone.
 */
#include "lib/base/log_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/escape.h"

/* Kept free for what ends the line: ,"cut":true}\n */
#define LOG_LINE_END 14u
#define LOG_CUT_MARK "\xe2\x80\xa6" /* the ellipsis */

/* A value as it will stand on the line. */
struct log_value {
	size_t n;
	bool quote;
	char bytes[LOG_VALUE_MAX + sizeof(LOG_CUT_MARK)];
};

void log_line_begin(struct log_line *l, size_t limit)
{
	l->n = 1;
	l->limit = limit - LOG_LINE_END;
	l->cut = false;
	l->bytes[0] = '\n';
}

/* All pieces or none, so that a field is never half there. */
static void line_put(struct log_line *l, const struct str *pieces, size_t count)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += pieces[i].n;
	if (l->cut || total > l->limit - l->n) {
		l->cut = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		memcpy(l->bytes + l->n, pieces[i].p, pieces[i].n);
		l->n += pieces[i].n;
	}
}

static void line_end(struct log_line *l, struct str end)
{
	memcpy(l->bytes + l->n, end.p, end.n);
	l->n += end.n;
}

static void value_from_str(struct log_value *v, struct str s)
{
	size_t used;

	v->n = escape_json(s, v->bytes, LOG_VALUE_MAX, &used);
	v->quote = true;
	if (used < s.n) {
		memcpy(v->bytes + v->n, LOG_CUT_MARK, sizeof(LOG_CUT_MARK) - 1);
		v->n += sizeof(LOG_CUT_MARK) - 1;
	}
}

static void value_from_time(struct log_value *v, int64_t seconds)
{
	char text[CLOCK_TEXT] = "";
	if (seconds > 0)
		clock_format((uint64_t)seconds * NS_PER_S, text, sizeof(text));
	value_from_str(v, str_from(text));
}

static void value_from_field(struct log_value *v, const struct log_field *f)
{
	int n = 0;

	v->quote = false;
	switch (f->kind) {
	case LOG_F_STR:
		value_from_str(v, f->s);
		return;
	case LOG_F_U64:
		n = snprintf(v->bytes, sizeof(v->bytes), "%" PRIu64, f->u);
		break;
	case LOG_F_I64:
		n = snprintf(v->bytes, sizeof(v->bytes), "%" PRId64, f->i);
		break;
	case LOG_F_BOOL:
		n = snprintf(v->bytes, sizeof(v->bytes), "%s", f->u != 0 ? "true" : "false");
		break;
	case LOG_F_MS:
		n = snprintf(v->bytes, sizeof(v->bytes), "%llu.%03u",
			(unsigned long long)(f->u / NS_PER_MS),
			(unsigned)(f->u / NS_PER_US % 1000));
		break;
	case LOG_F_TIME:
		value_from_time(v, f->i);
		return;
	}
	v->n = n > 0 ? (size_t)n : 0;
}

static void line_put_json(struct log_line *l, const char *key, const struct log_value *v)
{
	struct str quote = v->quote ? STR("\"") : STR("");
	const struct str pieces[] = {l->n == 1 ? STR("{\"") : STR(",\""), str_from(key), STR("\":"),
		quote, str_make(v->bytes, v->n), quote};

	line_put(l, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

static void line_put_json_str(struct log_line *l, const char *key, const char *text)
{
	struct log_value v;

	value_from_str(&v, str_from(text));
	line_put_json(l, key, &v);
}

void log_line_json(struct log_line *l, uint64_t wall_ns, enum log_level level, const char *room,
	const char *msg, const struct log_field *fields, size_t n)
{
	char time[CLOCK_TEXT];

	clock_format(wall_ns, time, sizeof(time));
	line_put_json_str(l, "time", time);
	line_put_json_str(l, "level", log_level_name(level));
	line_put_json_str(l, "room", room);
	line_put_json_str(l, "msg", msg);
	for (size_t i = 0; i < n; i++) {
		struct log_value v;
		value_from_field(&v, &fields[i]);
		line_put_json(l, fields[i].key, &v);
	}
	line_end(l, l->cut ? STR(",\"cut\":true}\n") : STR("}\n"));
}

/* In text a value goes without quotes where it reads as one word. */
static bool value_is_word(const struct log_value *v)
{
	if (v->n == 0)
		return false;
	for (size_t i = 0; i < v->n; i++)
		if (v->bytes[i] <= ' ' || v->bytes[i] == '"' || v->bytes[i] == '\\' ||
			v->bytes[i] == '=')
			return false;
	return true;
}

void log_line_text(struct log_line *l, uint64_t wall_ns, enum log_level level, const char *room,
	const char *msg, const struct log_field *fields, size_t n)
{
	char time[CLOCK_TEXT];
	struct log_value v;

	clock_format(wall_ns, time, sizeof(time));
	value_from_str(&v, str_from(msg));
	const struct str head[] = {str_from(time), STR(" "), str_from(log_level_name(level)),
		STR(" "), str_from(room), STR(": "), str_make(v.bytes, v.n)};
	line_put(l, head, sizeof(head) / sizeof(head[0]));
	for (size_t i = 0; i < n; i++) {
		value_from_field(&v, &fields[i]);
		struct str quote = v.quote && !value_is_word(&v) ? STR("\"") : STR("");
		const struct str pieces[] = {STR(" "), str_from(fields[i].key), STR("="), quote,
			str_make(v.bytes, v.n), quote};
		line_put(l, pieces, sizeof(pieces) / sizeof(pieces[0]));
	}
	line_end(l, l->cut ? STR(" cut=true\n") : STR("\n"));
}
