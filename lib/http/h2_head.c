/*
 * The HTTP/2 codec, header blocks coming in: fields go into the stream's arena as they are decoded,
 * within the limits, pseudo fields into the head, crumbs of cookies together. Owns nothing beyond
 * struct h2_block; called by h2_recv.c per field and by h2_tell.c when a block is whole.
 */
#include "lib/base/err.h"
#include "lib/http/h2.h"

/* Of the pseudo fields beside target and authority. */
#define PSEUDO_SLACK 1024

void h2_block_begin(struct h2_stream *hs, bool trailers)
{
	struct http_stream *s = hs->s;
	const struct http_limits *l = &s->conn->limits;
	struct h2_block *b = &hs->block;

	*b = (struct h2_block){
		.trailers = trailers,
		.max = trailers ? l->trailer_bytes : l->header_bytes,
	};
	b->crumbs_end = &b->crumbs;
	if (trailers) {
		http_fields_init(&hs->trailers_in, &s->arena);
		b->fields = &hs->trailers_in;
		return;
	}
	http_head_init(&s->head_in, s->conn->role == HTTP_SERVER ? HTTP_REQUEST : HTTP_RESPONSE,
		&s->arena);
	s->head_in.version_major = 2;
	s->head_in.keep_alive = true;
	b->fields = &s->head_in.fields;
}

/* Names from HPACK's static table live as long as the program. */
static struct str keep(struct arena *arena, nghttp2_rcbuf *buf)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(buf);
	struct str s = str_make(v.base, v.len);

	return nghttp2_rcbuf_is_static(buf) ? s : arena_str(arena, s);
}

/* nghttp2 has checked that it is known, in its place and there once. */
static void take_pseudo(struct h2_stream *hs, struct str name, nghttp2_rcbuf *value)
{
	struct http_head *head = &hs->s->head_in;
	struct str v = keep(&hs->s->arena, value);

	if (str_eq(name, STR(":method")))
		head->method = v;
	else if (str_eq(name, STR(":scheme")))
		head->scheme = v;
	else if (str_eq(name, STR(":authority")))
		head->authority = v;
	else if (str_eq(name, STR(":path")))
		head->path = v;
	else if (str_eq(name, STR(":protocol")))
		head->protocol = v;
	else if (str_eq(name, STR(":status")))
		hs->block.status = v;
}

static void take_crumb(struct h2_stream *hs, nghttp2_rcbuf *value)
{
	struct h2_block *b = &hs->block;
	struct h2_crumb *crumb = ARENA_NEW(&hs->s->arena, struct h2_crumb);

	crumb->value = keep(&hs->s->arena, value);
	b->crumbs_size += crumb->value.n + 2;
	*b->crumbs_end = crumb;
	b->crumbs_end = &crumb->next;
}

/* Crumbs of one cookie field count as one field, and each by its size. */
static bool block_has_room(struct h2_block *b, const struct http_limits *limits, size_t size,
	bool counts)
{
	b->size += size;
	if (counts)
		b->count++;
	if (b->size > b->max || b->count > limits->header_count)
		b->over = true;
	return !b->over;
}

/* What is a start line in HTTP/1 does not count as fields: a message that is within the limits of
 * one hop is within those of the next, whichever versions they speak. */
static bool pseudo_has_room(struct h2_block *b, const struct http_limits *limits, size_t size)
{
	b->pseudo_size += size;
	if (b->pseudo_size > 2 * limits->target_bytes + PSEUDO_SLACK)
		b->over = true;
	return !b->over;
}

int h2_block_field(struct h2_stream *hs, nghttp2_rcbuf *name, nghttp2_rcbuf *value, bool never)
{
	struct h2_block *b = &hs->block;
	nghttp2_vec nv = nghttp2_rcbuf_get_buf(name), vv = nghttp2_rcbuf_get_buf(value);
	struct str n = str_make(nv.base, nv.len);
	bool pseudo = n.n > 0 && n.p[0] == ':';
	bool crumb = !b->trailers && str_eq(n, STR("cookie"));

	size_t size = nv.len + vv.len + 32;
	bool room = pseudo
		? pseudo_has_room(b, &hs->s->conn->limits, size)
		: block_has_room(b, &hs->s->conn->limits, size, !(crumb && b->crumbs != NULL));

	if (!room)
		return (b->size + b->pseudo_size) / H2_FAR_BEYOND > b->max ? ERR_LIMIT : 0;
	if (pseudo) {
		take_pseudo(hs, n, value);
		return 0;
	}
	if (crumb) {
		take_crumb(hs, value);
		return 0;
	}
	http_fields_add(b->fields, keep(&hs->s->arena, name), keep(&hs->s->arena, value));
	b->fields->v[b->fields->n - 1].never_index = never;
	return 0;
}

/* RFC 9113 8.2.3: whoever passes cookies on outside HTTP/2 joins the crumbs. */
static struct str join_crumbs(struct arena *arena, const struct h2_block *b)
{
	if (b->crumbs->next == NULL)
		return b->crumbs->value;
	char *p = arena_alloc(arena, b->crumbs_size);
	size_t n = 0;

	for (const struct h2_crumb *c = b->crumbs; c != NULL; c = c->next) {
		if (n > 0) {
			memcpy(p + n, "; ", 2);
			n += 2;
		}
		memcpy(p + n, c->value.p, c->value.n);
		n += c->value.n;
	}
	return str_make(p, n);
}

void h2_block_end(struct h2_stream *hs)
{
	struct h2_block *b = &hs->block;

	if (b->crumbs == NULL || b->over)
		return;
	http_fields_add(b->fields, STR("cookie"), join_crumbs(&hs->s->arena, b));
	b->fields->v[b->fields->n - 1].never_index = true;
	b->crumbs = NULL;
}
