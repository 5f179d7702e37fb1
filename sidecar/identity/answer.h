/*
 * What an answer of Identity.Sign must be before it is taken. Pure: the time and all that is
 * expected are handed in.
 */
#ifndef WEFT_SIDECAR_IDENTITY_ANSWER_H
#define WEFT_SIDECAR_IDENTITY_ANSWER_H

#include "certs/chain.h"
#include "weft/mesh/v1/identity.pb-c.h"

/* Borrowed for the call; empty strings: not demanded. */
struct answer_expect {
	const struct cert_key *key;
	struct str trust_domain, pod_uid;
	struct str roots; /* in force for our trust domain, DER; empty: those in the answer */
	int64_t now;      /* seconds since the epoch */
};

/*
 * 0 with the chain (one reference), or ERR_VERIFY with text in err. *ours: the leaf is for our key,
 * trust domain and pod, so that the session beside it is ours, even where the leaf is not to be
 * used (a root that has not reached us yet, a clock that is wrong).
 */
int answer_check(const Weft__Mesh__V1__SignResponse *a, const struct answer_expect *x,
	struct cert_chain **out, bool *ours, char *err, size_t size);
/* The leaf hangs from the first of these roots (DER), whatever the hour. */
bool answer_hangs_from_first(const struct cert_chain *c, struct str roots);

#endif
