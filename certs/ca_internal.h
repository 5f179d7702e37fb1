/*
 * The insides of a CA for issue.c, and how a flaw changes what is issued. Private to certs/.
 */
#ifndef WEFT_CERTS_CA_INTERNAL_H
#define WEFT_CERTS_CA_INTERNAL_H

#include "certs/chain_internal.h"
#include "certs/issue.h"
#include "certs/write.h"

/* Owns a reference on both. */
struct cert_ca {
	struct cert_chain *chain;
	struct cert_key *key;
};

/* Its own certificate. */
const struct x509_cert *cert_ca_own(const struct cert_ca *ca);
/* Certificates that go below it into a chain: all of its own but a root. */
size_t cert_ca_carried(const struct cert_ca *ca);
/* The end of validity of whichever certificate of the CA ends first. */
int64_t cert_ca_not_after(const struct cert_ca *ca);
/* der (a new certificate) and what the CA carries, parsed. */
int cert_ca_make_chain(const struct cert_ca *ca, struct str der, struct cert_chain **out);

/* The extensions of a leaf with this ID and pod UID, as the flaw wants them. */
void cert_flaw_extensions(struct x509_exts *e, const struct cert_issue *what,
	const struct spiffe_id *id);
void cert_flaw_validity(enum cert_flaw flaw, int64_t *not_before, int64_t *not_after);
/* After signing. */
void cert_flaw_signature(enum cert_flaw flaw, struct str der);

#endif
