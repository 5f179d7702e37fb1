/*
 * Header rules of the mesh: what only Weft may set is removed on entry in every spelling, and what
 * an application may trust is set from TLS alone. Pure but for the arena of the fields; used by
 * request.c and forward.c.
 */
#include "sidecar/flow/request.h"

#include "lib/crypto/crypto.h"

/* The name with '_' read as '-', as CGI-like applications do; names are lower-case here. */
static bool reads_as(struct str name, struct str reserved, bool prefix)
{
	if (prefix ? name.n < reserved.n : name.n != reserved.n)
		return false;
	for (size_t i = 0; i < reserved.n; i++) {
		char c = name.p[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if ((c == '_' ? '-' : c) != reserved.p[i])
			return false;
	}
	return true;
}

static bool is_reserved(struct str name)
{
	return reads_as(name, STR("x-forwarded-client-cert"), false) ||
		reads_as(name, STR("x-weft-"), true);
}

size_t headers_strip_reserved(struct http_fields *fields)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < fields->n; i++)
		if (!is_reserved(fields->v[i].name))
			fields->v[kept++] = fields->v[i];
	size_t removed = fields->n - kept;
	fields->n = kept;
	return removed;
}

void headers_set_identity(struct http_fields *fields, struct str own_id, struct str peer_id)
{
	if (peer_id.n == 0)
		return;
	struct str value =
		arena_printf(fields->arena, "By=%.*s;URI=%.*s", STR_ARG(own_id), STR_ARG(peer_id));
	http_fields_add(fields, STR("x-forwarded-client-cert"), value);
}

static struct str base64(struct arena *a, const uint8_t *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = arena_alloc(a, (n + 2) / 3 * 4);
	size_t o = 0;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
			(i + 2 < n ? p[i + 2] : 0);
		out[o++] = digits[v >> 18];
		out[o++] = digits[v >> 12 & 63];
		out[o++] = i + 1 < n ? digits[v >> 6 & 63] : '=';
		out[o++] = i + 2 < n ? digits[v & 63] : '=';
	}
	return str_make(out, o);
}

/*
 * RFC 6455 4.1 against RFC 8441 4: HTTP/1 asks by GET with a key, HTTP/2 by CONNECT without. The
 * key of an HTTP/1 client travels through HTTP/2 hops as an ordinary field, so that its server can
 * answer it.
 */
void headers_fit_upgrade_request(struct http_head *head, enum http_version next)
{
	if (head->protocol.n == 0)
		return;
	if (next == HTTP_V2) {
		head->method = STR("CONNECT");
		return;
	}
	head->method = STR("GET");
	if (!http_fields_has(&head->fields, STR("sec-websocket-key"))) {
		uint8_t key[16];
		crypto_random(key, sizeof(key));
		http_fields_add(&head->fields, STR("sec-websocket-key"),
			base64(head->fields.arena, key, sizeof(key)));
	}
}

void headers_fit_upgrade_response(struct http_head *head, struct str protocol,
	enum http_version next)
{
	if (next == HTTP_V1 && head->status == 200) {
		head->status = 101;
		head->protocol = protocol;
	} else if (next == HTTP_V2 && head->status == 101) {
		head->status = 200;
		head->protocol = STR_NULL;
	}
}
