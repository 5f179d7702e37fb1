/*
 * Message heads in one neutral form: what HTTP/1 and HTTP/2 have in common after the codec has
 * checked and removed what is hop-by-hop. Field names are lower-case; pseudo fields and framing are
 * members. Memory is the stream's arena.
 */
#ifndef WEFT_HTTP_HEAD_H
#define WEFT_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

/* Slices borrow from the arena that the head was made in. */
struct http_field {
	struct str name; /* lower-case token */
	struct str value;
	bool never_index; /* RFC 7541 6.2.3: Authorization, cookies */
};

/* Ordered list in an arena; doubles as trailers. */
struct http_fields {
	struct arena *arena;
	struct http_field *v;
	uint32_t n, cap;
};

void http_fields_init(struct http_fields *f, struct arena *arena);
/* Appends; name must be lower-case. Slices are borrowed unless _copy. */
void http_fields_add(struct http_fields *f, struct str name, struct str value);
void http_fields_add_copy(struct http_fields *f, struct str name, struct str value);
/* First value; STR_NULL with p NULL where absent. */
struct str http_fields_get(const struct http_fields *f, struct str name);
bool http_fields_has(const struct http_fields *f, struct str name);
size_t http_fields_count(const struct http_fields *f, struct str name);
/* Removes all of that name; returns how many. */
size_t http_fields_remove(struct http_fields *f, struct str name);
/* Removes all, adds one. */
void http_fields_set(struct http_fields *f, struct str name, struct str value);
/* RFC 9113 10.5.1 size: sum of name + value + 32. */
size_t http_fields_size(const struct http_fields *f);
/* True where a comma-separated list field has that token (case folded), over all its lines. */
bool http_fields_has_token(const struct http_fields *f, struct str name, struct str token);

enum http_kind { HTTP_REQUEST, HTTP_RESPONSE };
#define HTTP_LENGTH_UNKNOWN UINT64_MAX

/* Owned by whoever declared it; its slices live in the arena of its fields. */
struct http_head {
	enum http_kind kind;
	/* request */
	struct str method;
	struct str scheme;    /* "http" unless the wire said otherwise */
	struct str authority; /* from :authority or Host; empty where HTTP/1.0 sent none */
	struct str path;      /* origin-form with query, "*" for OPTIONS *; empty for CONNECT */
	struct str protocol;  /* HTTP/1 Upgrade token or H2 :protocol (RFC 8441); empty: none */
	bool te_trailers;
	bool expect_continue;
	/* response */
	uint16_t status; /* 1xx come as heads of their own before the final one */
	/* both */
	uint8_t version_major, version_minor; /* as on the wire of this hop */
	bool keep_alive;                      /* HTTP/1: what the peer asked for */
	uint64_t length;           /* body bytes, or HTTP_LENGTH_UNKNOWN; 0 with end: none */
	struct http_fields fields; /* without host, connection, keep-alive, te, transfer-encoding,
				      upgrade, expect: 100-continue, content-length */
};

void http_head_init(struct http_head *h, enum http_kind kind, struct arena *arena);
/* Deep copy into arena. */
void http_head_copy(struct http_head *dst, const struct http_head *src, struct arena *arena);

/* RFC 9110 5.6.2 token; field value per RFC 9110 5.5 (no NUL, CR, LF, other controls but HTAB; no
 * leading/trailing white space). */
bool http_is_token(struct str s);
bool http_is_field_value(struct str s);
/* Request target in origin form: begins with '/', only VCHAR and obs-text-free, no '#', no space.
 */
bool http_is_path(struct str s);
/* host [":" port], no user information, no list, RFC 3986 3.2.2. */
bool http_is_authority(struct str s);
/* True where a response to that method with that status has no body by definition (HEAD, 1xx, 204,
 * 304, 2xx to CONNECT). */
bool http_no_body(struct str method, uint16_t status);
/* RFC 9110 15: "OK", "Not Found"; "Unknown" else, so that HTTP/1 lines always carry a phrase. */
struct str http_status_phrase(uint16_t status);
/* RFC 9110 9.2.2. */
bool http_method_idempotent(struct str method);

#endif
