/*
 * The insides of chains and bundles for the rest of certs/.
 */
#ifndef WEFT_CERTS_CHAIN_INTERNAL_H
#define WEFT_CERTS_CHAIN_INTERNAL_H

#include <stdatomic.h>

#include "certs/chain.h"
#include "certs/x509.h"

/* Refcounted and immutable; owns der, into which everything else points. Serial text of the leaf is
 * in serial. */
struct cert_chain {
	atomic_uint refs;
	size_t n;
	struct x509_cert certs[CERT_CHAIN_MAX];
	struct cert_leaf leaf;
	size_t n_uris; /* of the leaf */
	char serial[2 * 20 + 1];
	struct str der;
};

/* A root as a bundle holds it: owns der and the key read from it. */
struct cert_root {
	void *der;
	struct x509_cert cert;
	mbedtls_pk_context pk;
};

/* Roots of one trust domain; owned by the bundle. */
struct cert_domain {
	char *name;
	size_t n;
	struct cert_root roots[CERT_BUNDLE_ROOTS];
};

/* NULL where there is none. */
const struct cert_domain *cert_bundle_domain(const struct cert_bundle *b, struct str trust_domain);

/* A certificate that may sign others: CA, keyCertSign, version and critical extensions understood,
 * key of a kind we verify. */
bool cert_may_sign(const struct x509_cert *c);
/* No SPIFFE ID among its URIs, or one of trust_domain alone (X509-SVID 4.1). */
bool cert_in_domain(const struct x509_cert *c, struct str trust_domain);

#endif
