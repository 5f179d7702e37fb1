/*
 * Header rules of the mesh: what only Weft may set is removed on entry in every spelling, and what
 * an application may trust is set from TLS alone. Pure but for the arena of the fields; used by
 * request.c and forward.c.
 */
#include "sidecar/flow/request.h"

/* Whatever is neither letter nor digit is read as '-', as applications do that make variables of
 * names ('_' by CGI, others besides by some servers). */
static bool reads_as(struct str name, struct str reserved, bool prefix)
{
	if (prefix ? name.n < reserved.n : name.n != reserved.n)
		return false;
	for (size_t i = 0; i < reserved.n; i++) {
		char c = name.p[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		else if ((c < 'a' || c > 'z') && (c < '0' || c > '9'))
			c = '-';
		if (c != reserved.p[i])
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
