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

/* PKCS#10 in PEM for k with one URI SAN; mem_free. */
char *cert_csr_build(const struct cert_key *k, struct str spiffe_id);
/* What a CSR asks; form and self-signature have been checked. P-256 only. */
struct cert_csr;
/* 0, ERR_INVAL, ERR_LIMIT (8 KiB), ERR_VERIFY (bad self-signature, other key type). */
int cert_csr_parse(struct str pem_or_der, struct cert_csr **out);
void cert_csr_free(struct cert_csr **csr);
/* First URI SAN; empty: none. Number of SANs of any kind through n_sans. */
struct str cert_csr_id(const struct cert_csr *csr, size_t *n_sans);

/* Flaws that tests ask for; 0 in production. See certs/flaw.def: names for `weft cert --broken
 * NAME`. */
enum cert_flaw {
	CERT_FLAW_NONE,
#define CERT_FLAW(name, option, text) CERT_FLAW_##name,
#include "certs/flaw.def"
#undef CERT_FLAW
	CERT_FLAW_COUNT
};

struct cert_issue {
	struct str spiffe_id;
	struct str pod_uid;            /* empty: none */
	int64_t not_before, not_after; /* seconds since the epoch */
	enum cert_flaw flaw;
};

/* The signer: a key with its CA chain (own certificate first, up to but without the root unless it
 * is the root). */
struct cert_ca;
/* A new self-signed root for a trust domain (URI SAN spiffe://TD, keyCertSign, cRLSign, CA true).
 */
int cert_ca_create(struct str trust_domain, int64_t not_before, int64_t not_after,
	struct cert_ca **out);
int cert_ca_load(struct cert_chain *chain, struct cert_key *key, struct cert_ca **out);
void cert_ca_free(struct cert_ca **ca);
char *cert_ca_cert_pem(const struct cert_ca *ca);       /* mem_free */
struct cert_key *cert_ca_key(const struct cert_ca *ca); /* borrowed */
/* Leaf for the public key of csr (or of key where csr is NULL): digitalSignature critical, EKU
 * server and client, exactly one URI SAN, critical as the subject is empty, random 128-bit serial.
 * Chain with the CA's intermediates. NotAfter is cut at the CA's. 0 or ERR_*. */
int cert_ca_issue(const struct cert_ca *ca, const struct cert_csr *csr, const struct cert_key *key,
	const struct cert_issue *what, struct cert_chain **out);
/* An intermediate CA under ca. */
int cert_ca_issue_ca(const struct cert_ca *ca, int64_t not_before, int64_t not_after,
	struct cert_ca **out);

#endif
