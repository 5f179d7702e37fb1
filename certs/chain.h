/*
 * Certificate chains as X.509-SVIDs: what a leaf says, and whether it holds. Verification is ours
 * on top of mbedTLS's signatures: exactly one URI SAN, the bundle of the leaf's own trust domain
 * and no other, leaf constraints and key usage, validity, pod UID.
 */
#ifndef WEFT_CERTS_CHAIN_H
#define WEFT_CERTS_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "certs/key.h"
#include "certs/spiffe.h"
#include "lib/base/str.h"

#define CERT_CHAIN_MAX 4             /* certificates in a chain, leaf included */
#define CERT_CHAIN_BYTES (32 * 1024) /* DER bytes of a chain */
#define CERT_UID_MAX 64

/* Leaf first, then intermediates. Refcounted, immutable. */
struct cert_chain;
/* Roots by trust domain; several roots each. Refcounted, immutable. */
struct cert_bundle;

/* What the leaf says; borrowed from the chain. */
struct cert_leaf {
	struct spiffe_id id;           /* id.id.n == 0: no valid SPIFFE ID */
	struct str pod_uid;            /* from our extension; empty: none */
	struct str serial;             /* lower-case hex */
	int64_t not_before, not_after; /* seconds since the epoch */
	bool is_ca;
};

/* 1 to CERT_UID_MAX letters, digits, '.', '-' or '_'. */
bool cert_uid_valid(struct str uid);

/* PEM (several blocks) or concatenated DER. 0, ERR_INVAL, ERR_LIMIT. Parsing judges nothing but
 * form: unknown algorithms are cert_verify's affair. */
int cert_chain_parse(struct str pem_or_der, struct cert_chain **out);
/* Each certificate of a file of roots as a chain of its own, at most max. Their number, ERR_INVAL
 * (also: none), ERR_LIMIT. */
int cert_chain_split(struct str pem_or_der, struct cert_chain **out, size_t max);
size_t cert_chain_count(const struct cert_chain *c);
struct cert_chain *cert_chain_ref(struct cert_chain *c);
void cert_chain_unref(struct cert_chain **c);
const struct cert_leaf *cert_chain_leaf(const struct cert_chain *c);
/* Concatenated DER, borrowed. */
struct str cert_chain_der(const struct cert_chain *c);
/* PEM of all, NUL-terminated, mem_free. */
char *cert_chain_pem(const struct cert_chain *c);
/* True where the leaf's public key is that of k. */
bool cert_chain_matches_key(const struct cert_chain *c, const struct cert_key *k);

/* Why a peer's certificate was refused: one row each, label for metrics and text for people. See
 * certs/verdict.def. */
enum cert_verdict {
#define CERT_VERDICT(name, label, text) CERT_##name,
#include "certs/verdict.def"
#undef CERT_VERDICT
	CERT_VERDICT_COUNT
};
const char *cert_verdict_label(enum cert_verdict v);
const char *cert_verdict_text(enum cert_verdict v);
/* The verdict on a chain that cert_chain_parse refused with err. */
enum cert_verdict cert_verdict_of_parse(int err);

/* What the verifier demands beyond a good chain. Empty strings: not demanded. */
struct cert_expect {
	struct str id;  /* exact SPIFFE ID */
	struct str uid; /* pod UID: refused where the leaf has another one (a leaf without one
			   passes only where uid is empty) */
};

/*
 * Judges a chain at now (seconds since the epoch) by X509-SVID section 5 and RFC 5280 section 6.
 * server: the leaf is used as a server (EKU serverAuth if an EKU is present), else client. Order of
 * verdicts: missing (c is NULL), malformed, SAN, CA leaf, key usage, algorithm, bundle, signature,
 * validity, expectation. The certificates after the leaf may be in any order and more than are
 * needed. expect may be NULL.
 */
enum cert_verdict cert_verify(const struct cert_chain *c, const struct cert_bundle *b, int64_t now,
	bool server, const struct cert_expect *expect);

#define CERT_BUNDLE_DOMAINS 64
#define CERT_BUNDLE_ROOTS 16
#define CERT_BUNDLE_BYTES (128 * 1024) /* DER bytes that one call may add */

/*
 * Empty bundle; then add, before anybody else has it. 0, ERR_INVAL, ERR_LIMIT (domains, roots of
 * one), ERR_VERIFY (not a CA, no keyCertSign, foreign SPIFFE ID, key of an unknown kind). On an
 * error the bundle is as before; a root that is there already is passed over.
 */
struct cert_bundle *cert_bundle_new(void);
int cert_bundle_add(struct cert_bundle *b, struct str trust_domain, struct str roots_pem_or_der);
struct cert_bundle *cert_bundle_ref(struct cert_bundle *b);
void cert_bundle_unref(struct cert_bundle **b);
bool cert_bundle_has(const struct cert_bundle *b, struct str trust_domain);
/* SHA-256 over domains and roots in an order of their own, lower-case hex of 64 with NUL: the epoch
 * of tickets and caches. */
const char *cert_bundle_epoch(const struct cert_bundle *b);

#endif
