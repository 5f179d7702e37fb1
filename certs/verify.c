/*
 * The judgement on a peer's chain: X509-SVID section 5 for the leaf, RFC 5280 section 6.1 for the
 * way to a root of the leaf's own trust domain. Signatures are the backend's; names, constraints,
 * validity and identity are decided here, at a time that the caller hands in. Owns nothing; called
 * by the TLS handshake, by whoever judges open connections again, and by `weft cert verify`.
 */
#include "certs/chain.h"

#include "certs/chain_internal.h"

/*
 * Signatures that one judgement may check: a chain of full length under as many roots of one name
 * as a bundle can hold. The search goes from the roots down and follows only what a trusted CA has
 * signed, so a peer with certificates of its own making costs one signature for each of them and
 * each root of that name, and never comes near this.
 */
#define SIGNATURES_MAX (CERT_BUNDLE_ROOTS + CERT_CHAIN_MAX)
/* More CAs than any chain has. */
#define ROOM_UNLIMITED CERT_CHAIN_MAX

/* One search for a way from a root to the leaf; on the stack of cert_verify. */
struct search {
	const struct cert_chain *chain;
	const struct cert_domain *domain;
	int64_t now;
	bool server, check_time;
	bool time_mattered; /* a CA was passed over because of its validity alone */
	unsigned signatures_left;
	/* The way that was found: the leaf's issuer first, the root last. */
	const struct x509_cert *way[CERT_CHAIN_MAX];
	size_t n_way;
};

bool cert_may_sign(const struct x509_cert *c)
{
	return c->is_ca && (c->key_usage & X509_KEY_CERT_SIGN) != 0 && !c->unknown_critical &&
		c->readable && c->curve != X509_CURVE_OTHER;
}

bool cert_in_domain(const struct x509_cert *c, struct str trust_domain)
{
	struct str uri;
	struct spiffe_id id;
	size_t cursor = 0;
	while (x509_next_uri(c->names, &cursor, &uri, NULL)) {
		if (!str_starts_nocase(uri, STR("spiffe:")))
			continue;
		if (spiffe_parse(uri, true, &id, NULL) != 0 ||
			!str_eq(id.trust_domain, trust_domain))
			return false;
	}
	return true;
}

static enum cert_verdict judge_time(const struct x509_cert *c, int64_t now)
{
	if (now > c->not_after)
		return CERT_EXPIRED;
	return now < c->not_before ? CERT_NOT_YET_VALID : CERT_GOOD;
}

/* Extended key usage of a CA, where there is one, limits what it may issue. */
static bool eku_permits(const struct x509_cert *c, bool server)
{
	return !c->has_eku || c->eku_any || (server ? c->eku_server : c->eku_client);
}

/* What a CA must be besides signed, to be on the way at all. */
static bool fits(struct search *s, const struct x509_cert *ca)
{
	if (!eku_permits(ca, s->server))
		return false;
	if (!s->check_time || judge_time(ca, s->now) == CERT_GOOD)
		return true;
	s->time_mattered = true;
	return false;
}

static bool issued(struct search *s, const struct x509_cert *issuer, mbedtls_pk_context *pk,
	const struct x509_cert *child)
{
	if (!str_eq(child->issuer, issuer->subject) || s->signatures_left == 0)
		return false;
	s->signatures_left--;
	return x509_signed_by(child, pk);
}

/* How many CAs may follow below ca where room may without its own limit (6.1.4 m). */
static int narrow(int room, const struct x509_cert *ca)
{
	return ca->path_len >= 0 && ca->path_len < room ? ca->path_len : room;
}

/*
 * A way from a trusted issuer down to the leaf. used: bit mask of the certificates that are on it
 * already; room: how many CAs may still follow, not counting those that a CA issued to itself
 * (6.1.4 l).
 */
static bool descend(struct search *s, const struct x509_cert *issuer, mbedtls_pk_context *pk,
	unsigned used, int room)
{
	if (issued(s, issuer, pk, &s->chain->certs[0]))
		return true;
	for (unsigned i = 1; i < s->chain->n; i++) {
		const struct x509_cert *ca = &s->chain->certs[i];
		int left = room - !x509_self_issued(ca);
		mbedtls_pk_context ca_pk;
		if ((used & 1u << i) != 0 || left < 0 || !cert_may_sign(ca) ||
			!cert_in_domain(ca, str_from(s->domain->name)) || !fits(s, ca) ||
			!issued(s, issuer, pk, ca))
			continue;
		bool found = x509_public_key(ca, &ca_pk) &&
			descend(s, ca, &ca_pk, used | 1u << i, narrow(left, ca));
		mbedtls_pk_free(&ca_pk);
		if (found) {
			s->way[s->n_way++] = ca;
			return true;
		}
	}
	return false;
}

static bool find_way(struct search *s)
{
	for (size_t i = 0; i < s->domain->n; i++) {
		const struct cert_root *r = &s->domain->roots[i];
		/* The backend only reads the key. */
		mbedtls_pk_context *pk = (mbedtls_pk_context *)(uintptr_t)&r->pk;
		if (fits(s, &r->cert) &&
			descend(s, &r->cert, pk, 1, narrow(ROOM_UNLIMITED, &r->cert))) {
			s->way[s->n_way++] = &r->cert;
			return true;
		}
	}
	return false;
}

/*
 * Signature and validity. A way whose CAs are all valid now is preferred, so that an expired root
 * beside its successor does no harm; only where there is none is one searched whose CAs are not, in
 * order to say which of the two is wrong.
 */
static enum cert_verdict judge_way(const struct cert_chain *c, const struct cert_domain *d,
	int64_t now, bool server)
{
	struct search s = {.chain = c,
		.domain = d,
		.now = now,
		.server = server,
		.check_time = true,
		.signatures_left = SIGNATURES_MAX};
	if (!find_way(&s)) {
		s.check_time = false;
		if (!s.time_mattered || !find_way(&s))
			return CERT_UNTRUSTED;
	}
	enum cert_verdict v = judge_time(&c->certs[0], now);
	for (size_t i = 0; v == CERT_GOOD && i < s.n_way; i++)
		v = judge_time(s.way[i], now);
	return v;
}

/* X509-SVID 4.3 and 4.4: what the leaf's key may be used for. */
static bool usage_fits(const struct x509_cert *leaf, bool server)
{
	if ((leaf->key_usage & X509_DIGITAL_SIGNATURE) == 0)
		return false;
	if ((leaf->key_usage & (X509_KEY_CERT_SIGN | X509_CRL_SIGN)) != 0)
		return false;
	return !leaf->has_eku || (server ? leaf->eku_server : leaf->eku_client);
}

static bool algorithms_fit(const struct cert_chain *c)
{
	if (c->certs[0].curve != X509_CURVE_P256)
		return false;
	for (size_t i = 0; i < c->n; i++) {
		const struct x509_cert *x = &c->certs[i];
		if (!x->readable || x->curve == X509_CURVE_OTHER || x->hash == X509_HASH_OTHER)
			return false;
	}
	return true;
}

static bool has_unknown_critical(const struct cert_chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->certs[i].unknown_critical)
			return true;
	return false;
}

/* What can be said of the chain alone, without bundle or clock. */
static enum cert_verdict judge_form(const struct cert_chain *c, bool server)
{
	if (has_unknown_critical(c))
		return CERT_CRITICAL;
	if (c->n_uris == 0)
		return CERT_NO_SAN;
	if (c->n_uris > 1)
		return CERT_TWO_SANS;
	if (c->leaf.id.id.n == 0)
		return CERT_BAD_ID;
	if (c->leaf.is_ca)
		return CERT_CA_LEAF;
	if (!usage_fits(&c->certs[0], server))
		return CERT_KEY_USAGE;
	return algorithms_fit(c) ? CERT_GOOD : CERT_ALGORITHM;
}

static enum cert_verdict judge_expectation(const struct cert_leaf *leaf,
	const struct cert_expect *expect)
{
	if (expect == NULL)
		return CERT_GOOD;
	if (expect->id.n > 0 && !str_eq(expect->id, leaf->id.id))
		return CERT_IDENTITY;
	if (expect->uid.n > 0 && !str_eq(expect->uid, leaf->pod_uid))
		return CERT_POD_UID;
	return CERT_GOOD;
}

enum cert_verdict cert_verify(const struct cert_chain *c, const struct cert_bundle *b, int64_t now,
	bool server, const struct cert_expect *expect)
{
	if (c == NULL)
		return CERT_MISSING;
	enum cert_verdict v = judge_form(c, server);
	if (v != CERT_GOOD)
		return v;
	const struct cert_domain *d = NULL;
	if (b != NULL)
		d = cert_bundle_domain(b, c->leaf.id.trust_domain);
	if (d == NULL)
		return CERT_TRUST_DOMAIN;
	v = judge_way(c, d, now, server);
	return v != CERT_GOOD ? v : judge_expectation(&c->leaf, expect);
}
