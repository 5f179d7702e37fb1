/*
 * SPIFFE IDs by the book (SPIFFE-ID section 2): scheme spiffe, a trust domain, a path; no port,
 * user information, query, fragment, percent-encoding, dot or empty segments. Pure: text in,
 * verdict out.
 */
#ifndef WEFT_CERTS_SPIFFE_H
#define WEFT_CERTS_SPIFFE_H

#include <stdbool.h>

#include "lib/base/str.h"

#define SPIFFE_ID_MAX 2048
#define SPIFFE_TD_MAX 255

/* Borrowed parts of a checked ID. ns and sa are set where the path is exactly /ns/<ns>/sa/<sa>. */
struct spiffe_id {
	struct str id, trust_domain, path, ns, sa;
};

/* 0 or ERR_INVAL with *why a short text. A workload ID needs a path; with allow_td a bare trust
 * domain (CA) is fine too. */
int spiffe_parse(struct str s, bool allow_td, struct spiffe_id *out, const char **why);
bool spiffe_td_valid(struct str td);
/*
 * Writes spiffe://TD/ns/NS/sa/SA with NUL into dst. ERR_INVAL where the trust domain is invalid, ns
 * is no DNS-1123 label or sa no DNS-1123 subdomain (what Kubernetes permits for each); ERR_LIMIT
 * where it does not fit.
 */
int spiffe_format(char *dst, size_t size, struct str td, struct str ns, struct str sa);

#endif
