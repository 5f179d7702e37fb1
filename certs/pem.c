/*
 * PEM blocks by RFC 7468 section 2: found by their boundaries, decoded with the backend's base64,
 * which leaks no key through its timing. Owns nothing; called by the parsers of chains, bundles,
 * keys and CSRs.
 */
#include "certs/pem.h"

#include <stdio.h>

#include <mbedtls/base64.h>
#include <mbedtls/pem.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"

/* Longest boundary line: "-----BEGIN " label "-----" and a newline. */
#define BOUNDARY_MAX 64
/* Text that PEM may be longer than its DER by: line breaks, explanatory text. */
#define PEM_OVERHEAD 4

bool pem_looks(struct str text)
{
	return text.n > 0 && memmem(text.p, text.n, "-----BEGIN ", 11) != NULL &&
		(uint8_t)text.p[0] != 0x30;
}

static bool find(struct str text, const char *what, size_t *at)
{
	const char *hit = text.n == 0 ? NULL : memmem(text.p, text.n, what, strlen(what));
	if (hit == NULL)
		return false;
	*at = (size_t)(hit - text.p);
	return true;
}

/* Cuts the next block's base64 text off *rest. 1, 0 where there is none, ERR_INVAL where it has no
 * end. */
static int next_block(struct str *rest, const char *begin, const char *end, struct str *body)
{
	size_t at;
	if (!find(*rest, begin, &at))
		return 0;
	struct str after = str_sub(*rest, at + strlen(begin), rest->n);
	if (!find(after, end, &at))
		return ERR_INVAL;
	*body = str_trim(str_sub(after, 0, at));
	/* The boundary is a line: what follows it on the line would be taken for data. */
	if (!str_starts(*body, STR("\n")) && !str_starts(*body, STR("\r\n")))
		return ERR_INVAL;
	while (body->n > 0 && (body->p[0] == '\n' || body->p[0] == '\r'))
		*body = str_sub(*body, 1, body->n);
	*rest = str_sub(after, at + strlen(end), after.n);
	return 1;
}

static int decode_block(struct str body, uint8_t *out, size_t room, size_t *n)
{
	int err = mbedtls_base64_decode(out, room, n, (const unsigned char *)body.p, body.n);
	if (err == MBEDTLS_ERR_BASE64_BUFFER_TOO_SMALL)
		return ERR_LIMIT;
	return err == 0 && *n > 0 ? 0 : ERR_INVAL;
}

static int decode_all(struct str text, const char *begin, const char *end, uint8_t *out, size_t max,
	size_t *n)
{
	struct str body;
	int got;
	*n = 0;
	while ((got = next_block(&text, begin, end, &body)) > 0) {
		size_t one;
		int err = decode_block(body, out + *n, max - *n, &one);
		if (err != 0)
			return err;
		*n += one;
	}
	if (got < 0)
		return got;
	return *n > 0 ? 0 : ERR_NOTFOUND;
}

int pem_decode(struct str text, const char *label, size_t max, void **out, size_t *n)
{
	char begin[BOUNDARY_MAX], end[BOUNDARY_MAX];
	snprintf(begin, sizeof(begin), "-----BEGIN %s-----", label);
	snprintf(end, sizeof(end), "-----END %s-----", label);
	if (text.n > PEM_OVERHEAD * max)
		return ERR_LIMIT;
	size_t room = text.n < max ? text.n : max;
	uint8_t *buf = mem_alloc(room + 1);
	int err = decode_all(text, begin, end, buf, room, n);
	if (err != 0) {
		mem_free_secret(buf, room + 1);
		return err;
	}
	*out = buf;
	return 0;
}

char *pem_encode(struct str der, const char *label)
{
	char begin[BOUNDARY_MAX], end[BOUNDARY_MAX];
	snprintf(begin, sizeof(begin), "-----BEGIN %s-----\n", label);
	snprintf(end, sizeof(end), "-----END %s-----\n", label);
	size_t size = 2 * BOUNDARY_MAX + der.n / 3 * 4 + der.n / 32 + 64, n = 0;
	char *text = mem_alloc(size);
	ASSERT(mbedtls_pem_write_buffer(begin, end, (const unsigned char *)der.p, der.n,
		       (unsigned char *)text, size, &n) == 0);
	return text;
}

int pem_or_der(struct str in, const char *label, size_t max, void **out, size_t *n)
{
	if (pem_looks(in))
		return pem_decode(in, label, max, out, n);
	if (in.n > max)
		return ERR_LIMIT;
	if (in.n == 0)
		return ERR_INVAL;
	*out = mem_alloc(in.n);
	memcpy(*out, in.p, in.n);
	*n = in.n;
	return 0;
}
