/*
 * Reading DER (X.690) in slices: each call cuts one element off the front of a slice. Private to
 * certs/. Stricter than what it stands on: lengths must be minimal, and nothing is read past the
 * slice.
 */
#ifndef WEFT_CERTS_DER_H
#define WEFT_CERTS_DER_H

#include <stdbool.h>
#include <stdint.h>

#include <mbedtls/asn1.h>

#include "lib/base/str.h"

#define DER_SEQUENCE (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)
#define DER_SET (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET)
#define DER_CONTEXT(n) (MBEDTLS_ASN1_CONTEXT_SPECIFIC | (n))
#define DER_EXPLICIT(n) (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | (n))

/* Tag and contents of the first element; whole receives header and contents where not NULL. False
 * where there is none or it is malformed. */
bool der_any(struct str *rest, uint8_t *tag, struct str *contents, struct str *whole);
/* The same, false (and *rest unchanged) where the tag is another one. */
bool der_get(struct str *rest, uint8_t tag, struct str *contents);
bool der_get_whole(struct str *rest, uint8_t tag, struct str *whole);
/* True where the next tag is this one. */
bool der_is(struct str rest, uint8_t tag);
/* Non-negative INTEGER up to max. */
bool der_small_int(struct str *rest, unsigned max, unsigned *out);
bool der_bool(struct str *rest, bool *out);
/* AlgorithmIdentifier: OID, and the parameters as a whole element (empty: none). */
bool der_algorithm(struct str *rest, struct str *oid, struct str *params);
/* UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 restricts them; seconds since the epoch. */
bool der_time(struct str *rest, int64_t *out);

#endif
