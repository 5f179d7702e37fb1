/*
 * The issuing side: CSRs, roots and leaves. What ends up in a leaf comes from the caller (the
 * attested identity), never from the CSR, whose key and self-signature alone are used.
 */
#ifndef WEFT_CERTS_ISSUE_H
#define WEFT_CERTS_ISSUE_H

#include <stdbool.h>
#include <stdint.h>

#include "certs/chain.h"
#include "certs/key.h"

#define CERT_CSR_BYTES 8192
#define CERT_KEY_HASH 32
#define CERT_DNS_NAMES 16 /* in one leaf */

/* PKCS#10 (RFC 2986) in PEM for k with one URI SAN and no subject; mem_free. */
char *cert_csr_build(const struct cert_key *k, struct str spiffe_id);
/* What a CSR asks; form and self-signature have been checked. P-256 only. Owned by its parser. */
struct cert_csr;
/* 0, ERR_INVAL, ERR_LIMIT (CERT_CSR_BYTES), ERR_VERIFY (bad self-signature, other key type). */
int cert_csr_parse(struct str pem_or_der, struct cert_csr **out);
void cert_csr_free(struct cert_csr **csr);
/*
 * First URI SAN, whatever it says; empty: none. Number of SANs of any kind through n_sans where not
 * NULL. For comparing and logging alone: no issuing looks at it.
 */
struct str cert_csr_id(const struct cert_csr *csr, size_t *n_sans);
/* SHA-256 of its SubjectPublicKeyInfo: tells one key from another. */
void cert_csr_key_hash(const struct cert_csr *csr, uint8_t out[CERT_KEY_HASH]);

/* Flaws that tests ask for; 0 in production. See certs/flaw.def. */
enum cert_flaw {
	CERT_FLAW_NONE,
#define CERT_FLAW(name, option, text) CERT_FLAW_##name,
#include "certs/flaw.def"
#undef CERT_FLAW
	CERT_FLAW_COUNT
};
/* Name for `weft cert leaf --broken NAME` ("none" for 0), and what is wrong. Static storage. */
const char *cert_flaw_option(enum cert_flaw flaw);
const char *cert_flaw_text(enum cert_flaw flaw);
/* 0 or ERR_INVAL. */
int cert_flaw_parse(struct str option, enum cert_flaw *out);

struct cert_issue {
	struct str spiffe_id;
	struct str pod_uid; /* empty: none */
	/* Beside the ID, for clients that look for a host (X509-SVID 2). */
	const struct str *dns;
	size_t n_dns;
	int64_t not_before,
		not_after;   /* seconds since the epoch; backdating is the caller's choice */
	enum cert_flaw flaw; /* the hour of EXPIRED and NOT_YET_VALID counts from not_before */
};

/*
 * The signer: a key with its CA chain (own certificate first, up to but without the root unless it
 * is the root). Owned by its maker.
 */
struct cert_ca;
/*
 * A new self-signed root for a trust domain (URI SAN spiffe://TD, keyCertSign, cRLSign, CA true). 0
 * or ERR_INVAL (trust domain, times).
 */
int cert_ca_create(struct str trust_domain, int64_t not_before, int64_t not_after,
	struct cert_ca **out);
/*
 * References both. 0, ERR_VERIFY (not a CA's, other key, certificates in another order than each
 * signed by the next), ERR_LIMIT (no room for a leaf in the chain), ERR_INVAL (no subject name).
 */
int cert_ca_load(struct cert_chain *chain, struct cert_key *key, struct cert_ca **out);
void cert_ca_free(struct cert_ca **ca);
char *cert_ca_cert_pem(const struct cert_ca *ca); /* own certificate and intermediates; mem_free */
/* A host name of letters, digits and hyphens (RFC 1123 2.1), no wildcard. */
bool cert_dns_valid(struct str name);
struct cert_key *cert_ca_key(const struct cert_ca *ca);           /* borrowed */
const struct cert_chain *cert_ca_chain(const struct cert_ca *ca); /* borrowed */
/*
 * Leaf for the public key of csr (or of key where csr is NULL): digitalSignature critical, EKU
 * server and client, exactly one URI SAN, critical as the subject is empty (X509-SVID 2 to 4),
 * random 128-bit serial. Chain with the CA's intermediates. NotAfter is cut at the CA's. 0,
 * ERR_INVAL (ID, pod UID, DNS names, times; a flaw that does not fit the key), ERR_DENIED (another
 * trust domain than the CA's), ERR_EXPIRED (no time left below the CA's). A CA without a SPIFFE ID
 * of its own issues for any trust domain: which one it stands for is what the bundle says.
 */
int cert_ca_issue(const struct cert_ca *ca, const struct cert_csr *csr, const struct cert_key *key,
	const struct cert_issue *what, struct cert_chain **out);
/*
 * An intermediate CA under ca, of the same trust domain, with a path length one less than ca's
 * where that has one. As above, and ERR_DENIED where ca's path length forbids it, ERR_LIMIT where a
 * leaf below would make the chain too long.
 */
int cert_ca_issue_ca(const struct cert_ca *ca, int64_t not_before, int64_t not_after,
	struct cert_ca **out);

#endif
