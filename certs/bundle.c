/*
 * Bundles: the roots that may vouch for each trust domain, and for that one alone (SPIFFE Trust
 * Domain and Bundle, section 4). A bundle owns its roots with their keys read; it is filled by the
 * one who made it and immutable afterwards.
 */
#include "certs/chain.h"

#include <stdlib.h>

#include "certs/chain_internal.h"
#include "certs/pem.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"

/* Refcounted; owns its domains. */
struct cert_bundle {
	atomic_uint refs;
	size_t n;
	struct cert_domain *domains[CERT_BUNDLE_DOMAINS];
	char epoch[2 * SHA256_SIZE + 1];
};

/* What one root or domain adds to the epoch, in an order that does not depend on how the bundle was
 * filled. */
struct digest {
	uint8_t bytes[SHA256_SIZE];
};

static int compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct digest));
}

/* Sorts them in place and hashes them after the first bytes. */
static struct digest digest_all(struct digest *parts, size_t n, struct str first)
{
	struct digest out, head;
	qsort(parts, n, sizeof(*parts), compare_digests);
	crypto_sha256(first.p, first.n, head.bytes);
	struct digest *all = mem_alloc_array(n + 1, sizeof(*all));
	all[0] = head;
	if (n > 0)
		memcpy(all + 1, parts, n * sizeof(*parts));
	crypto_sha256(all, (n + 1) * sizeof(*all), out.bytes);
	mem_free(all);
	return out;
}

static void update_epoch(struct cert_bundle *b)
{
	struct digest domains[CERT_BUNDLE_DOMAINS], roots[CERT_BUNDLE_ROOTS];
	for (size_t i = 0; i < b->n; i++) {
		const struct cert_domain *d = b->domains[i];
		for (size_t k = 0; k < d->n; k++)
			crypto_sha256(d->roots[k].cert.der.p, d->roots[k].cert.der.n,
				roots[k].bytes);
		domains[i] = digest_all(roots, d->n, str_from(d->name));
	}
	struct digest all = digest_all(domains, b->n, STR("weft bundle"));
	crypto_hex(all.bytes, sizeof(all.bytes), b->epoch);
}

struct cert_bundle *cert_bundle_new(void)
{
	struct cert_bundle *b = MEM_NEW(struct cert_bundle);
	atomic_init(&b->refs, 1);
	update_epoch(b);
	return b;
}

struct cert_bundle *cert_bundle_ref(struct cert_bundle *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

/* Drops the roots from the n-th on. */
static void domain_cut(struct cert_domain *d, size_t n)
{
	while (d->n > n) {
		struct cert_root *r = &d->roots[--d->n];
		mbedtls_pk_free(&r->pk);
		mem_free(r->der);
		*r = (struct cert_root){0};
	}
}

static void domain_free(struct cert_domain *d)
{
	domain_cut(d, 0);
	mem_free(d->name);
	mem_free(d);
}

void cert_bundle_unref(struct cert_bundle **b)
{
	struct cert_bundle *gone = *b;
	*b = NULL;
	if (gone == NULL || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < gone->n; i++)
		domain_free(gone->domains[i]);
	mem_free(gone);
}

static struct cert_domain *find_domain(const struct cert_bundle *b, struct str trust_domain)
{
	for (size_t i = 0; i < b->n; i++)
		if (str_eq(str_from(b->domains[i]->name), trust_domain))
			return b->domains[i];
	return NULL;
}

const struct cert_domain *cert_bundle_domain(const struct cert_bundle *b, struct str trust_domain)
{
	return find_domain(b, trust_domain);
}

bool cert_bundle_has(const struct cert_bundle *b, struct str trust_domain)
{
	return find_domain(b, trust_domain) != NULL;
}

const char *cert_bundle_epoch(const struct cert_bundle *b)
{
	return b->epoch;
}

static bool has_root(const struct cert_domain *d, struct str der)
{
	for (size_t i = 0; i < d->n; i++)
		if (str_eq(d->roots[i].cert.der, der))
			return true;
	return false;
}

/* Copies the root and reads its key. 0 or ERR_VERIFY where it may not vouch for the trust domain.
 */
static int root_init(struct cert_root *r, struct str der, struct str trust_domain)
{
	r->der = mem_alloc(der.n);
	memcpy(r->der, der.p, der.n);
	struct str rest = str_make(r->der, der.n);
	if (x509_parse(&rest, &r->cert) != 0 || !cert_may_sign(&r->cert) ||
		!cert_in_domain(&r->cert, trust_domain) || !x509_public_key(&r->cert, &r->pk))
		return ERR_VERIFY;
	return 0;
}

static int add_roots(struct cert_domain *d, const struct x509_cert *certs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (has_root(d, certs[i].der))
			continue;
		if (d->n == CERT_BUNDLE_ROOTS)
			return ERR_LIMIT;
		int err = root_init(&d->roots[d->n++], certs[i].der, str_from(d->name));
		if (err != 0)
			return err;
	}
	return 0;
}

static int add_der(struct cert_bundle *b, struct str trust_domain, struct str der)
{
	struct x509_cert certs[CERT_BUNDLE_ROOTS];
	int n = x509_parse_all(der, certs, CERT_BUNDLE_ROOTS);
	if (n < 0)
		return n;
	struct cert_domain *d = find_domain(b, trust_domain);
	bool fresh = d == NULL;
	if (fresh && b->n == CERT_BUNDLE_DOMAINS)
		return ERR_LIMIT;
	if (fresh) {
		d = MEM_NEW(struct cert_domain);
		d->name = mem_strndup(trust_domain.p, trust_domain.n);
	}
	size_t before = d->n;
	int err = add_roots(d, certs, (size_t)n);
	if (err != 0)
		domain_cut(d, before);
	if (err != 0 && fresh)
		domain_free(d);
	if (err == 0 && fresh)
		b->domains[b->n++] = d;
	return err;
}

int cert_bundle_add(struct cert_bundle *b, struct str trust_domain, struct str roots)
{
	void *der;
	size_t n;
	if (!spiffe_td_valid(trust_domain))
		return ERR_INVAL;
	int err = pem_or_der(roots, "CERTIFICATE", CERT_BUNDLE_BYTES, &der, &n);
	if (err != 0)
		return err == ERR_NOTFOUND ? ERR_INVAL : err;
	err = add_der(b, trust_domain, str_make(der, n));
	mem_free(der);
	if (err == 0)
		update_epoch(b);
	return err;
}
