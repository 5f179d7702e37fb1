/*
 * What is in a certificate, for people: names as text, every URI, constraints, fingerprint. For the
 * command line and dumps; judging is cert_verify's.
 */
#ifndef WEFT_CERTS_DESCRIBE_H
#define WEFT_CERTS_DESCRIBE_H

#include <stdbool.h>
#include <stdint.h>

#include "certs/chain.h"

#define CERT_NAME_TEXT 256
#define CERT_URIS_SHOWN 4

/* On the caller's stack; slices are borrowed from the chain. */
struct cert_description {
	char subject[CERT_NAME_TEXT], issuer[CERT_NAME_TEXT]; /* "O=td, CN=x"; empty: none; cut */
	char serial[41], fingerprint[65]; /* lower-case hex; SHA-256 over the DER */
	struct str uris[CERT_URIS_SHOWN]; /* of the SubjectAltName, as they are */
	size_t n_uris, n_names;           /* all of them; names of every kind */
	struct str pod_uid;
	int64_t not_before, not_after;
	const char *key; /* "P-256", "P-384", "other" */
	bool is_ca, self_issued;
	int path_len; /* -1: no limit */
};

/* i below cert_chain_count. */
void cert_describe(const struct cert_chain *c, size_t i, struct cert_description *out);

/*
 * The trust domain that the certificates of a bundle file name in their SPIFFE IDs, with NUL into
 * dst of SPIFFE_TD_MAX + 1 bytes. 0, ERR_NOTFOUND (none of them names one), ERR_EXISTS (they name
 * several), ERR_INVAL, ERR_LIMIT.
 */
int cert_trust_domain_of(struct str roots_pem_or_der, char dst[SPIFFE_TD_MAX + 1]);

#endif
