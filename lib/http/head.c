/*
 * Lists of fields and message heads: building, searching, copying. Owns nothing; memory is the
 * arena's that the list was made in. Used by codecs, gate and everyone who reads or writes a
 * message.
 */
#include "lib/http/head.h"

void http_fields_init(struct http_fields *f, struct arena *arena)
{
	*f = (struct http_fields){.arena = arena};
}

static struct http_field *fields_push(struct http_fields *f)
{
	if (f->n == f->cap) {
		uint32_t cap = f->cap == 0 ? 16 : f->cap * 2;
		struct http_field *v = arena_alloc(f->arena, cap * sizeof(*v));

		if (f->n > 0)
			memcpy(v, f->v, f->n * sizeof(*v));
		f->v = v;
		f->cap = cap;
	}
	return &f->v[f->n++];
}

void http_fields_add(struct http_fields *f, struct str name, struct str value)
{
	*fields_push(f) = (struct http_field){.name = name, .value = value};
}

void http_fields_add_copy(struct http_fields *f, struct str name, struct str value)
{
	http_fields_add(f, arena_str(f->arena, name), arena_str(f->arena, value));
}

struct str http_fields_get(const struct http_fields *f, struct str name)
{
	for (uint32_t i = 0; i < f->n; i++) {
		if (str_eq(f->v[i].name, name))
			return f->v[i].value;
	}
	return STR_NULL;
}

bool http_fields_has(const struct http_fields *f, struct str name)
{
	return http_fields_count(f, name) > 0;
}

size_t http_fields_count(const struct http_fields *f, struct str name)
{
	size_t count = 0;

	for (uint32_t i = 0; i < f->n; i++)
		count += str_eq(f->v[i].name, name);
	return count;
}

size_t http_fields_remove(struct http_fields *f, struct str name)
{
	uint32_t kept = 0, had = f->n;

	for (uint32_t i = 0; i < had; i++) {
		if (!str_eq(f->v[i].name, name))
			f->v[kept++] = f->v[i];
	}
	f->n = kept;
	return had - kept;
}

void http_fields_set(struct http_fields *f, struct str name, struct str value)
{
	http_fields_remove(f, name);
	http_fields_add(f, name, value);
}

size_t http_fields_size(const struct http_fields *f)
{
	size_t size = 0;

	for (uint32_t i = 0; i < f->n; i++)
		size += f->v[i].name.n + f->v[i].value.n + 32;
	return size;
}

bool http_fields_has_token(const struct http_fields *f, struct str name, struct str token)
{
	for (uint32_t i = 0; i < f->n; i++) {
		struct str rest = f->v[i].value, piece;

		if (!str_eq(f->v[i].name, name))
			continue;
		while (str_split(&rest, ',', &piece)) {
			if (str_eq_nocase(str_trim(piece), token))
				return true;
		}
	}
	return false;
}

void http_head_init(struct http_head *h, enum http_kind kind, struct arena *arena)
{
	*h = (struct http_head){.kind = kind, .length = HTTP_LENGTH_UNKNOWN};
	http_fields_init(&h->fields, arena);
}

void http_head_copy(struct http_head *dst, const struct http_head *src, struct arena *arena)
{
	*dst = *src;
	dst->method = arena_str(arena, src->method);
	dst->scheme = arena_str(arena, src->scheme);
	dst->authority = arena_str(arena, src->authority);
	dst->path = arena_str(arena, src->path);
	dst->protocol = arena_str(arena, src->protocol);
	http_fields_init(&dst->fields, arena);
	for (uint32_t i = 0; i < src->fields.n; i++) {
		http_fields_add_copy(&dst->fields, src->fields.v[i].name, src->fields.v[i].value);
		dst->fields.v[i].never_index = src->fields.v[i].never_index;
	}
}
