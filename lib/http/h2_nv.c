/*
 * The HTTP/2 codec, heads going out: the neutral head as HPACK fields. Names and values are copied
 * once into the stream's arena, which outlives what nghttp2 does with them. Called by h2_send.c.
 */
#include "lib/http/h2.h"

/* Fields that a head gets beside its own: at most 5 pseudo fields, te, expect, content-length. */
#define EXTRA 8
#define COPIED (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)

/* A list under construction; memory is the arena's. */
struct nv_list {
	struct arena *arena;
	nghttp2_nv *v;
	size_t n;
	char *text; /* room for what is copied */
};

static void nv_add(struct nv_list *l, struct str name, struct str value, uint8_t flags)
{
	/* nghttp2 takes no const, and does not write. */
	l->v[l->n++] = (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name.p,
		.namelen = name.n,
		.value = (uint8_t *)(uintptr_t)value.p,
		.valuelen = value.n,
		.flags = (uint8_t)(COPIED | flags),
	};
}

static struct str nv_copy(struct nv_list *l, struct str s)
{
	char *p = l->text;

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	l->text += s.n;
	return str_make(p, s.n);
}

static void nv_add_copy(struct nv_list *l, struct str name, struct str value)
{
	nv_add(l, name, nv_copy(l, value), 0);
}

/* What never enters the table that all users of a connection share (RFC 7541 7.1.3). */
static bool field_is_secret(const struct http_field *f)
{
	return f->never_index || str_eq(f->name, STR("authorization")) ||
		str_eq(f->name, STR("proxy-authorization")) || str_eq(f->name, STR("cookie")) ||
		str_eq(f->name, STR("set-cookie"));
}

/* Fields that belong to the framing or to one hop (RFC 9113 8.2.2), or that the head has members
 * for. */
static bool field_is_dropped(struct str name)
{
	static const struct str dropped[] = {
		{"te", 2},
		{"host", 4},
		{"expect", 6},
		{"upgrade", 7},
		{"connection", 10},
		{"keep-alive", 10},
		{"content-length", 14},
		{"http2-settings", 14},
		{"proxy-connection", 16},
		{"transfer-encoding", 17},
	};

	if (name.n == 0 || name.p[0] == ':')
		return true;
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
		if (str_eq(name, dropped[i]))
			return true;
	return false;
}

static void nv_add_fields(struct nv_list *l, const struct http_fields *fields)
{
	for (uint32_t i = 0; i < fields->n; i++) {
		const struct http_field *f = &fields->v[i];

		if (field_is_dropped(f->name))
			continue;
		struct str name = nv_copy(l, f->name);

		nv_add(l, name, nv_copy(l, f->value),
			field_is_secret(f) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE);
	}
}

static size_t fields_text(const struct http_fields *fields)
{
	size_t n = 0;

	for (uint32_t i = 0; i < fields->n; i++)
		n += fields->v[i].name.n + fields->v[i].value.n;
	return n;
}

static void nv_init(struct nv_list *l, struct arena *arena, size_t n, size_t text)
{
	*l = (struct nv_list){
		.arena = arena,
		.v = arena_alloc(arena, n * sizeof(nghttp2_nv)),
		.text = arena_alloc(arena, text),
	};
}

/* The longest uint64_t. */
#define DIGITS 20

static void nv_add_length(struct nv_list *l, uint64_t length)
{
	char *end = (char *)arena_alloc(l->arena, DIGITS) + DIGITS, *p = end;

	do
		*--p = (char)('0' + length % 10);
	while ((length /= 10) > 0);
	nv_add(l, STR("content-length"), str_make(p, (size_t)(end - p)), 0);
}

static void nv_add_request(struct nv_list *l, const struct http_head *head, bool end)
{
	bool tunnel = str_eq(head->method, STR("CONNECT")) && head->protocol.n == 0;

	/* RFC 8441: the upgrade is a CONNECT that says to what. */
	if (head->protocol.n > 0)
		nv_add(l, STR(":method"), STR("CONNECT"), 0);
	else
		nv_add_copy(l, STR(":method"), head->method);
	if (!tunnel) {
		nv_add_copy(l, STR(":scheme"), head->scheme.n > 0 ? head->scheme : STR("http"));
		nv_add_copy(l, STR(":path"), head->path.n > 0 ? head->path : STR("/"));
	}
	if (head->authority.n > 0)
		nv_add_copy(l, STR(":authority"), head->authority);
	if (head->protocol.n > 0)
		nv_add_copy(l, STR(":protocol"), head->protocol);
	if (head->te_trailers)
		nv_add(l, STR("te"), STR("trailers"), 0);
	if (head->expect_continue)
		nv_add(l, STR("expect"), STR("100-continue"), 0);
	if (!tunnel && head->protocol.n == 0 && !end && head->length != HTTP_LENGTH_UNKNOWN)
		nv_add_length(l, head->length);
}

/* The length of a response: of HEAD and 304 it tells of another one; of a tunnel there is none. */
static bool response_has_length(const struct http_stream *s, const struct http_head *head, bool end)
{
	if (head->length == HTTP_LENGTH_UNKNOWN || s->tunnel || head->status / 100 == 1 ||
		head->status == 204)
		return false;
	return !end || head->length == 0 || head->status == 304 || str_eq(s->method, STR("HEAD"));
}

/*
 * To an extended CONNECT every 2xx says yes: our yes, 101, is 200, and a 2xx of the application,
 * which did not change protocols, must not be read as one.
 */
static uint16_t wire_status(const struct http_stream *s, uint16_t status)
{
	if (status == 101)
		return 200;
	return s->protocol.n > 0 && status / 100 == 2 ? 502 : status;
}

static void nv_add_response(struct nv_list *l, const struct http_stream *s,
	const struct http_head *head, bool end)
{
	uint16_t status = wire_status(s, head->status);
	char *p = arena_alloc(l->arena, 3);

	p[0] = (char)('0' + status / 100 % 10);
	p[1] = (char)('0' + status / 10 % 10);
	p[2] = (char)('0' + status % 10);
	nv_add(l, STR(":status"), str_make(p, 3), 0);
	if (response_has_length(s, head, end))
		nv_add_length(l, head->length);
}

size_t h2_nv_head(struct http_stream *s, const struct http_head *head, bool end, nghttp2_nv **out)
{
	struct nv_list l;
	size_t text = fields_text(&head->fields) + head->method.n + head->scheme.n +
		head->authority.n + head->path.n + head->protocol.n + 16;

	nv_init(&l, &s->arena, head->fields.n + EXTRA, text);
	if (head->kind == HTTP_REQUEST)
		nv_add_request(&l, head, end);
	else
		nv_add_response(&l, s, head, end);
	nv_add_fields(&l, &head->fields);
	*out = l.v;
	return l.n;
}

size_t h2_nv_trailers(struct http_stream *s, const struct http_fields *fields, nghttp2_nv **out)
{
	struct nv_list l;

	nv_init(&l, &s->arena, fields->n + 1, fields_text(fields) + 1);
	nv_add_fields(&l, fields);
	*out = l.v;
	return l.n;
}
