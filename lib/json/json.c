/*
 * Writes one JSON value piece by piece. Owns nothing: the state is the caller's, the bytes go to
 * the caller's buf. Called wherever something of ours is shown as JSON.
 */
#include "lib/json/json.h"

#include <inttypes.h>

#include "lib/base/escape.h"
#include "lib/base/obj.h"

void json_init(struct json *j, struct buf *out, bool pretty)
{
	*j = (struct json){.out = out, .pretty = pretty};
}

static void put(struct json *j, struct str s)
{
	buf_append(j->out, s.p, s.n);
}

static void new_line(struct json *j)
{
	if (!j->pretty)
		return;
	put(j, STR("\n"));
	for (uint8_t i = 0; i < j->depth; i++)
		put(j, STR("  "));
}

/* What separates an element or key from the one before it. */
static void separate(struct json *j)
{
	if (!j->first[j->depth - 1])
		put(j, STR(","));
	j->first[j->depth - 1] = false;
	new_line(j);
}

static void begin_value(struct json *j)
{
	ASSERT(!j->done);
	if (j->depth == 0)
		return;
	if (j->kind[j->depth - 1] == '[')
		separate(j);
	else
		ASSERT(j->after_key);
	j->after_key = false;
}

static void end_value(struct json *j)
{
	j->done = j->depth == 0;
}

static void open_nested(struct json *j, char kind)
{
	begin_value(j);
	ASSERT(j->depth < JSON_DEPTH);
	buf_append(j->out, &kind, 1);
	j->kind[j->depth] = kind;
	j->first[j->depth] = true;
	j->depth++;
}

static void close_nested(struct json *j, char kind, struct str bracket)
{
	ASSERT(j->depth > 0 && j->kind[j->depth - 1] == kind && !j->after_key);
	j->depth--;
	if (!j->first[j->depth])
		new_line(j);
	put(j, bracket);
	end_value(j);
}

void json_object(struct json *j)
{
	open_nested(j, '{');
}

void json_object_end(struct json *j)
{
	close_nested(j, '{', STR("}"));
}

void json_array(struct json *j)
{
	open_nested(j, '[');
}

void json_array_end(struct json *j)
{
	close_nested(j, '[', STR("]"));
}

static void put_quoted(struct json *j, struct str s)
{
	put(j, STR("\""));
	while (s.n > 0) {
		size_t room, used;
		uint8_t *dst = buf_reserve(j->out, ESCAPE_MAX, &room);

		buf_commit(j->out, escape_json(s, (char *)dst, room, &used));
		s = str_sub(s, used, s.n - used);
	}
	put(j, STR("\""));
}

void json_key_slice(struct json *j, struct str key)
{
	ASSERT(j->depth > 0 && j->kind[j->depth - 1] == '{' && !j->after_key);
	separate(j);
	put_quoted(j, key);
	put(j, j->pretty ? STR(": ") : STR(":"));
	j->after_key = true;
}

void json_key(struct json *j, const char *key)
{
	json_key_slice(j, str_from(key));
}

void json_str(struct json *j, struct str s)
{
	begin_value(j);
	put_quoted(j, s);
	end_value(j);
}

void json_u64(struct json *j, uint64_t v)
{
	begin_value(j);
	buf_printf(j->out, "%" PRIu64, v);
	end_value(j);
}

void json_i64(struct json *j, int64_t v)
{
	begin_value(j);
	buf_printf(j->out, "%" PRId64, v);
	end_value(j);
}

void json_bool(struct json *j, bool v)
{
	begin_value(j);
	put(j, v ? STR("true") : STR("false"));
	end_value(j);
}

void json_null(struct json *j)
{
	begin_value(j);
	put(j, STR("null"));
	end_value(j);
}

void json_key_str(struct json *j, const char *key, struct str s)
{
	json_key(j, key);
	json_str(j, s);
}

void json_key_u64(struct json *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_u64(j, v);
}

void json_key_bool(struct json *j, const char *key, bool v)
{
	json_key(j, key);
	json_bool(j, v);
}

size_t json_escape(char *dst, size_t size, struct str s)
{
	size_t used, n;

	if (size == 0)
		return 0;
	n = escape_json(s, dst, size - 1, &used);
	dst[n] = '\0';
	return n;
}
