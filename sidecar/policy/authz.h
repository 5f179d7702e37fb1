/*
 * Authorisation, pure: facts in, verdict and rule name out. DENY before ALLOW; a workload with an
 * ALLOW policy denies the rest; without any policy every identity of our own trust domain may call.
 * Plaintext matches no principal, namespace or service account, nor a negated form of them in
 * ALLOW.
 */
#ifndef WEFT_SIDECAR_POLICY_AUTHZ_H
#define WEFT_SIDECAR_POLICY_AUTHZ_H

#include "sidecar/snapshot/snapshot.h"

/* What is known about a call; borrowed for the duration of the check. */
struct authz_in {
	struct spiffe_id peer; /* id.n == 0: plaintext */
	struct addr source;
	uint16_t port; /* container port */
};

/* Verdict; strings are borrowed from the snapshot. policy is empty where no policy decided. */
struct authz_out {
	bool allowed;
	struct str ns, policy; /* of the deciding policy */
	int rule;              /* index of the deciding rule; -1: none (default) */
	const char *why; /* short text: "denied by rule", "no ALLOW rule matches", "foreign trust
			    domain", ... */
};

void authz_check(const struct snapshot *s, const struct authz_in *in, struct authz_out *out);
/* "deny-web/default rule 0", for logs and replies; returns dst. */
const char *authz_rule_text(const struct authz_out *out, char *dst, size_t size);

#endif
