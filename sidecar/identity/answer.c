/*
 * Judges answers of Identity.Sign: form, key, trust domain, pod, and the way to a root that is in
 * force. Owns nothing; called by identity.c.
 */
#include "sidecar/identity/answer.h"

#include <stdio.h>

#include "lib/base/err.h"

#define SESSION_MAX 1024

static int refuse(char *err, size_t size, const char *text)
{
	snprintf(err, size, "%s", text);
	return ERR_VERIFY;
}

/* What may stand in a header; empty: none. */
static bool is_session(const char *z)
{
	size_t n = strlen(z);
	for (size_t i = 0; i < n; i++)
		if (z[i] <= ' ' || z[i] >= 0x7f)
			return false;
	return n <= SESSION_MAX;
}

/* Whose leaf it is. */
static int check_owner(const struct cert_chain *c, const struct answer_expect *x, char *err,
	size_t size)
{
	const struct cert_leaf *leaf = cert_chain_leaf(c);
	if (!cert_chain_matches_key(c, x->key))
		return refuse(err, size, "the certificate is not for the key that was sent");
	if (leaf->id.id.n == 0)
		return refuse(err, size, "the certificate has no SPIFFE ID");
	if (x->trust_domain.n > 0 && !str_eq(leaf->id.trust_domain, x->trust_domain)) {
		snprintf(err, size, "the certificate is of trust domain %.*s, ours is %.*s",
			STR_ARG(leaf->id.trust_domain), STR_ARG(x->trust_domain));
		return ERR_VERIFY;
	}
	if (x->pod_uid.n > 0 && !str_eq(leaf->pod_uid, x->pod_uid)) {
		snprintf(err, size, "the certificate is for pod UID %.*s, this pod has %.*s",
			STR_ARG(leaf->pod_uid), STR_ARG(x->pod_uid));
		return ERR_VERIFY;
	}
	return 0;
}

/* The roots to verify under. */
static struct str roots_for(const Weft__Mesh__V1__SignResponse *a, struct str trust_domain,
	struct str in_force)
{
	if (in_force.n > 0)
		return in_force;
	for (size_t i = 0; i < a->n_bundles; i++)
		if (str_eq(str_from(a->bundles[i]->trust_domain), trust_domain))
			return str_make(a->bundles[i]->roots.data, a->bundles[i]->roots.len);
	return STR_NULL;
}

static enum cert_verdict verify(const struct cert_chain *c, struct str roots, int64_t now)
{
	struct cert_bundle *b = cert_bundle_new();
	enum cert_verdict v = CERT_TRUST_DOMAIN;
	if (roots.n > 0 && cert_bundle_add(b, cert_chain_leaf(c)->id.trust_domain, roots) == 0) {
		v = cert_verify(c, b, now, true, NULL);
		if (v == CERT_GOOD)
			v = cert_verify(c, b, now, false, NULL);
	}
	cert_bundle_unref(&b);
	return v;
}

int answer_check(const Weft__Mesh__V1__SignResponse *a, const struct answer_expect *x,
	struct cert_chain **out, bool *ours, char *err, size_t size)
{
	struct cert_chain *c;
	*ours = false;
	*out = NULL;
	if (cert_chain_parse(str_make(a->chain.data, a->chain.len), &c) != 0)
		return refuse(err, size, "the certificate in the answer cannot be parsed");
	int e = check_owner(c, x, err, size);
	*ours = e == 0 && is_session(a->session);
	if (e == 0) {
		struct str roots = roots_for(a, cert_chain_leaf(c)->id.trust_domain, x->roots);
		enum cert_verdict v = verify(c, roots, x->now);
		if (v != CERT_GOOD)
			e = refuse(err, size, cert_verdict_text(v));
	}
	if (e == 0)
		*out = c;
	else
		cert_chain_unref(&c);
	return e;
}

/* The first certificate of several: a DER SEQUENCE, its length in up to three bytes (X.690 8.1.3).
 * Empty where there is none. */
static struct str first_root(struct str roots)
{
	const uint8_t *p = (const uint8_t *)roots.p;
	size_t head = 2, n;
	if (roots.n < 2 || p[0] != 0x30)
		return STR_NULL;
	n = p[1];
	if (n >= 0x80) {
		size_t more = n & 0x7f;
		if (more == 0 || more > 3 || roots.n < 2 + more)
			return STR_NULL;
		n = 0;
		for (size_t i = 0; i < more; i++)
			n = n << 8 | p[2 + i];
		head += more;
	}
	return n <= roots.n - head ? str_sub(roots, 0, head + n) : STR_NULL;
}

bool answer_hangs_from_first(const struct cert_chain *c, struct str roots)
{
	struct str first = first_root(roots);
	if (first.n == 0)
		return true; /* nothing to hang from: nothing to be gained by a new one */
	enum cert_verdict v = verify(c, first, cert_chain_leaf(c)->not_after);
	return v != CERT_UNTRUSTED && v != CERT_TRUST_DOMAIN;
}
