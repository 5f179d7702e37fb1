/*
 * One X.509 certificate as slices and facts (RFC 5280 4.1). Private to certs/: chains, bundles and
 * issuing are built on it. Reads any algorithm, so that an unfit one is refused by name and not as
 * garbage; judges form alone.
 */
#ifndef WEFT_CERTS_X509_H
#define WEFT_CERTS_X509_H

#include <stdbool.h>
#include <stdint.h>

#include <mbedtls/pk.h>

#include "lib/base/str.h"

/* Bits of KeyUsage as RFC 5280 4.2.1.3 numbers them. */
#define X509_DIGITAL_SIGNATURE (1u << 0)
#define X509_KEY_CERT_SIGN (1u << 5)
#define X509_CRL_SIGN (1u << 6)

enum x509_curve { X509_CURVE_OTHER, X509_CURVE_P256, X509_CURVE_P384 };
enum x509_hash { X509_HASH_OTHER, X509_HASH_SHA256, X509_HASH_SHA384 };

/* Borrowed slices of the DER bytes that it was read from; owned by value by chain or bundle. */
struct x509_cert {
	struct str der, tbs, issuer, subject, spki, sig;
	struct str serial;                /* without leading zeros, one byte at least */
	struct str subject_id, issuer_id; /* key identifiers; empty: none */
	struct str names;                 /* contents of the SubjectAltName; empty: none */
	struct str pod_uid;
	int64_t not_before, not_after; /* seconds since the epoch, both inclusive */
	enum x509_curve curve;
	enum x509_hash hash; /* of the signature over it, ECDSA */
	int path_len;        /* -1: no limit */
	unsigned key_usage;  /* X509_*; 0 where absent */
	bool readable;       /* the backend can read it: known algorithms */
	bool unknown_critical;
	bool is_ca;
	bool has_eku, eku_server, eku_client, eku_any;
};

/* Cuts the first certificate off *rest. 0, ERR_INVAL. */
int x509_parse(struct str *rest, struct x509_cert *out);
/* All certificates of der, one after the other, at most max. Number, ERR_INVAL (also: none),
 * ERR_LIMIT. */
int x509_parse_all(struct str der, struct x509_cert *out, size_t max);

/* Next URI of the SubjectAltName after *cursor (zeroed at first); false at the end. n_names counts
 * names of every kind where not NULL. */
bool x509_next_uri(struct str names, size_t *cursor, struct str *uri, size_t *n_names);

/* The public key, initialised in pk, which the caller frees with mbedtls_pk_free in any case. False
 * where the backend cannot read it. */
bool x509_public_key(const struct x509_cert *c, mbedtls_pk_context *pk);
/* The signature on c is by pk, which belongs to issuer (RFC 5280 6.1.3 a 1). */
bool x509_signed_by(const struct x509_cert *c, mbedtls_pk_context *pk);
static inline bool x509_self_issued(const struct x509_cert *c)
{
	return str_eq(c->issuer, c->subject);
}

/* The pieces that CSRs share with certificates. 0 or ERR_INVAL; true where read. */
int x509_parse_extensions(struct str exts, struct x509_cert *out);
bool x509_read_spki(struct str *rest, struct x509_cert *out);
bool x509_read_signature(struct str *rest, struct str *algorithm, struct x509_cert *out);

#endif
