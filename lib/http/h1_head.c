/*
 * Heads and trailers of HTTP/1 messages: llhttp's callbacks gather text in the stream's arena and
 * pause the parser at each event, so that nothing above runs while it is on the stack. Owns the
 * parser's part of struct h1; called by h1_recv.c.
 */
#include "lib/http/h1.h"

/* Smallest piece of arena that text is gathered in. */
#define TEXT_BLOCK 1024

static struct h1 *h1_cast(llhttp_t *parser)
{
	return OBJ_CAST(struct h1, H1_MAGIC, parser->data);
}

/* --- gathering text --- */

static void text_add(struct h1 *h, const char *at, size_t n)
{
	struct h1_text *t = &h->text;

	if (n == 0)
		return;
	if (n > t->cap - t->n) {
		size_t cap = 2 * (t->n + n) > TEXT_BLOCK ? 2 * (t->n + n) : TEXT_BLOCK;
		char *p = arena_alloc(&h->cur->arena, cap);

		if (t->n > 0)
			memcpy(p, t->p, t->n);
		t->p = p;
		t->cap = cap;
	}
	memcpy(t->p + t->n, at, n);
	t->n += n;
}

static struct str text_take(struct h1 *h)
{
	struct h1_text *t = &h->text;
	struct str s = {t->p, t->n};

	if (t->n == 0)
		return STR("");
	t->p += t->n;
	t->cap -= t->n;
	t->n = 0;
	return s;
}

static int refuse(struct h1 *h, enum reason reason, const char *detail)
{
	h->why = reason;
	h->detail = detail;
	return -1;
}

static int fields_too_large(struct h1 *h)
{
	bool server = h->c->role == HTTP_SERVER;

	return refuse(h, server ? REASON_HEADERS_TOO_LARGE : REASON_RESPONSE_HEADERS_TOO_LARGE,
		h->fields == &h->trailers ? "trailer fields exceed the limit"
					  : "header fields exceed the limit");
}

/* --- callbacks --- */

static int on_url(llhttp_t *parser, const char *at, size_t n)
{
	struct h1 *h = h1_cast(parser);

	if (h->text.n + n > h->c->limits.target_bytes)
		return refuse(h, REASON_URI_TOO_LONG, "request target too long");
	text_add(h, at, n);
	return 0;
}

static int on_url_complete(llhttp_t *parser)
{
	struct h1 *h = h1_cast(parser);

	h->cur->head_in.path = text_take(h);
	return 0;
}

static int on_field_text(llhttp_t *parser, const char *at, size_t n)
{
	struct h1 *h = h1_cast(parser);

	h->field_bytes += n;
	if (h->field_bytes > h->field_limit)
		return fields_too_large(h);
	/* The rest of a body whose exchange is over: nobody reads its trailers. */
	if (h->cur != NULL)
		text_add(h, at, n);
	return 0;
}

static int on_name_complete(llhttp_t *parser)
{
	struct h1 *h = h1_cast(parser);

	h->name = text_take(h);
	for (size_t i = 0; i < h->name.n; i++) {
		char *c = (char *)(uintptr_t)&h->name.p[i];

		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + 'a' - 'A');
	}
	return 0;
}

static int on_value_complete(llhttp_t *parser)
{
	struct h1 *h = h1_cast(parser);
	struct str value = str_trim(text_take(h));

	h->field_bytes += 32;
	if (h->field_bytes > h->field_limit || h->fields->n >= h->c->limits.header_count)
		return fields_too_large(h);
	if (h->cur != NULL)
		http_fields_add(h->fields, h->name, value);
	return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
	h1_cast(parser)->event = H1_HEAD_DONE;
	return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
	struct h1 *h = h1_cast(parser);

	if (n == 0)
		return 0;
	h->event = H1_DATA;
	h->data = at;
	h->data_len = n;
	return HPE_PAUSED;
}

static int on_chunk_header(llhttp_t *parser)
{
	h1_cast(parser)->event = H1_CHUNK;
	return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *parser)
{
	h1_cast(parser)->event = H1_MESSAGE_DONE;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_url_complete = on_url_complete,
	.on_header_field = on_field_text,
	.on_header_field_complete = on_name_complete,
	.on_header_value = on_field_text,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_chunk_header = on_chunk_header,
	.on_message_complete = on_message_complete,
};

/* --- for h1_recv.c --- */

void h1_head_begin(struct h1 *h)
{
	bool request = h->c->role == HTTP_SERVER;

	llhttp_init(&h->parser, request ? LLHTTP_REQUEST : LLHTTP_RESPONSE, &settings);
	h->parser.data = h;
	h->text = (struct h1_text){0};
	h->name = STR_NULL;
	h->fields = &h->cur->head_in.fields;
	h->field_limit = h->c->limits.header_bytes;
	h->head_raw = 0;
	h->why = REASON_OK;
	h1_line_init(&h->line, request);
}

void h1_trailers_begin(struct h1 *h)
{
	http_fields_init(&h->trailers, &h->cur->arena);
	h->fields = &h->trailers;
	h->field_bytes = 0;
	h->field_limit = h->c->limits.trailer_bytes;
	h->overhead = 0;
	h->in_trailers = false;
}

int h1_parse(struct h1 *h, const char *p, size_t n, size_t *used)
{
	h->event = H1_NOTHING;
	llhttp_errno_t err = llhttp_execute(&h->parser, p, n);

	*used = n;
	if (err == HPE_OK)
		return 0;
	if (err == HPE_PAUSED) {
		*used = (size_t)(llhttp_get_error_pos(&h->parser) - p);
		llhttp_resume(&h->parser);
		return 0;
	}
	if (h->why == REASON_OK)
		refuse(h, http_conn_fault(h->c), llhttp_get_error_reason(&h->parser));
	return -1;
}

/* RFC 9112 3.2: origin-form, absolute-form, authority-form, asterisk-form. The grammar of the parts
 * is checked with the head. */
static const char *split_target(struct http_head *head, struct arena *arena)
{
	struct str t = head->path, rest;
	size_t end = 0;

	head->scheme = STR("http");
	if (str_eq(head->method, STR("CONNECT"))) {
		head->authority = t;
		head->path = STR("");
		return t.n > 0 ? NULL : "malformed target of CONNECT";
	}
	if (t.n > 0 && (t.p[0] == '/' || t.p[0] == '*'))
		return NULL;
	if (!str_starts_nocase(t, STR("http://")))
		return "malformed request target";
	rest = str_sub(t, 7, t.n);
	while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
		end++;
	head->authority = str_sub(rest, 0, end);
	head->path = str_sub(rest, end, rest.n);
	if (head->authority.n == 0)
		return "malformed request target";
	if (head->path.n == 0)
		head->path = str_eq(head->method, STR("OPTIONS")) ? STR("*") : STR("/");
	else if (head->path.p[0] == '?')
		head->path = arena_printf(arena, "/%.*s", STR_ARG(head->path));
	return NULL;
}

const char *h1_head_finish(struct h1 *h)
{
	struct http_head *head = &h->cur->head_in;

	head->version_major = h->parser.http_major;
	head->version_minor = h->parser.http_minor;
	if (head->kind == HTTP_RESPONSE) {
		head->status = h->parser.status_code;
		return NULL;
	}
	head->method = str_from(llhttp_method_name(h->parser.method));
	return split_target(head, &h->cur->arena);
}
