/*
 * Certificates that no CA of ours would issue, for tests of the verifier: any name, constraint,
 * extension or time, signed by any key.
 */
#ifndef WEFT_TESTS_SUPPORT_MINT_H
#define WEFT_TESTS_SUPPORT_MINT_H

#include "certs/chain.h"
#include "certs/write.h"
#include "certs/x509.h"

/* A time that tests take for now. */
#define MINT_NOW 1800000000ll

/* What to make; zeroed fields take the default. */
struct mint {
	const char *subject; /* common name; NULL: no subject */
	const char *uris[3]; /* of the SubjectAltName */
	const char *pod_uid;
	int64_t not_before, not_after; /* default: an hour around MINT_NOW */
	struct cert_key *key;          /* default: a new one; borrowed */
	unsigned key_usage;            /* default: a leaf's or a CA's; MINT_NO_KEY_USAGE: none */
	struct str eku;                /* OID; empty: no extension */
	struct str unknown;            /* OID of an extension that means nothing to anybody */
	int path_len;                  /* one more than it says; 0: none */
	bool ca, unknown_critical, no_constraints, no_extensions;
};
#define MINT_NO_KEY_USAGE 0xffffffffu

/* A certificate and its key. Owned by the test, freed with minted_free. */
struct minted {
	struct cert_key *key;
	struct str der, name; /* name: subject */
};

/* issuer NULL: self-signed. */
struct minted *mint(const struct mint *m, const struct minted *issuer);
/* Frees all of a NULL-terminated list. */
void minted_free(struct minted *first, ...) __attribute__((sentinel));
/* DER of all of a NULL-terminated list, one after the other, as a chain, which must parse. */
struct cert_chain *mint_chain(const struct minted *first, ...) __attribute__((sentinel));
/* The same as bytes in fresh memory (mem_free). */
struct str mint_join(const struct minted *first, ...) __attribute__((sentinel));
/* A bundle of one domain with these roots, which must be accepted. */
struct cert_bundle *mint_bundle(const char *trust_domain, const struct minted *first, ...)
	__attribute__((sentinel));

#endif
