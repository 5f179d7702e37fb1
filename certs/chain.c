/*
 * Chains: a copy of the DER with the facts of each certificate beside it. A chain is immutable and
 * refcounted; own identity, TLS contexts and verified connections hold references.
 */
#include "certs/chain.h"

#include "certs/backend.h"
#include "certs/chain_internal.h"
#include "certs/pem.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"

/* SubjectPublicKeyInfo of P-384 has 120 bytes. */
#define SPKI_MAX 256

static void read_leaf(struct cert_chain *c)
{
	const struct x509_cert *x = &c->certs[0];
	struct str uri, first = STR_NULL;
	size_t cursor = 0;
	while (x509_next_uri(x->names, &cursor, &uri, NULL))
		if (c->n_uris++ == 0)
			first = uri;
	if (c->n_uris == 1)
		(void)spiffe_parse(first, false, &c->leaf.id, NULL);
	crypto_hex(x->serial.p, x->serial.n, c->serial);
	c->leaf.serial = str_from(c->serial);
	c->leaf.pod_uid = x->pod_uid;
	c->leaf.not_before = x->not_before;
	c->leaf.not_after = x->not_after;
	c->leaf.is_ca = x->is_ca;
}

int cert_chain_parse(struct str in, struct cert_chain **out)
{
	void *der;
	size_t n;
	int err = pem_or_der(in, "CERTIFICATE", CERT_CHAIN_BYTES, &der, &n);
	if (err != 0)
		return err == ERR_NOTFOUND ? ERR_INVAL : err;
	struct cert_chain *c = MEM_NEW(struct cert_chain);
	atomic_init(&c->refs, 1);
	c->der = str_make(mem_resize(der, n), n);
	int got = x509_parse_all(c->der, c->certs, CERT_CHAIN_MAX);
	if (got < 0) {
		cert_chain_unref(&c);
		return got;
	}
	c->n = (size_t)got;
	read_leaf(c);
	*out = c;
	return 0;
}

/* Cuts one certificate after the other off der. */
static int split_der(struct str der, struct cert_chain **out, size_t max)
{
	struct x509_cert one;
	size_t n = 0;
	int err = 0;
	while (err == 0 && der.n > 0) {
		err = n == max ? ERR_LIMIT : x509_parse(&der, &one);
		if (err == 0)
			err = cert_chain_parse(one.der, &out[n]);
		if (err == 0)
			n++;
	}
	if (err == 0 && n > 0)
		return (int)n;
	while (n > 0)
		cert_chain_unref(&out[--n]);
	return err != 0 ? err : ERR_INVAL;
}

int cert_chain_split(struct str in, struct cert_chain **out, size_t max)
{
	void *der;
	size_t n;
	int err = pem_or_der(in, "CERTIFICATE", CERT_BUNDLE_BYTES, &der, &n);
	if (err != 0)
		return err == ERR_NOTFOUND ? ERR_INVAL : err;
	err = split_der(str_make(der, n), out, max);
	mem_free(der);
	return err;
}

struct cert_chain *cert_chain_ref(struct cert_chain *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void cert_chain_unref(struct cert_chain **c)
{
	struct cert_chain *gone = *c;
	*c = NULL;
	if (gone == NULL || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
		return;
	mem_free((void *)(uintptr_t)gone->der.p);
	mem_free(gone);
}

const struct cert_leaf *cert_chain_leaf(const struct cert_chain *c)
{
	return &c->leaf;
}

size_t cert_chain_count(const struct cert_chain *c)
{
	return c->n;
}

struct str cert_chain_der(const struct cert_chain *c)
{
	return c->der;
}

char *cert_chain_pem(const struct cert_chain *c)
{
	char *all = mem_strdup("");
	for (size_t i = 0; i < c->n; i++) {
		char *one = pem_encode(c->certs[i].der, "CERTIFICATE");
		char *both = mem_printf("%s%s", all, one);
		mem_free(all);
		mem_free(one);
		all = both;
	}
	return all;
}

bool cert_chain_matches_key(const struct cert_chain *c, const struct cert_key *k)
{
	uint8_t buf[SPKI_MAX];
	int n = mbedtls_pk_write_pubkey_der(cert_key_backend(k), buf, sizeof(buf));
	ASSERT(n > 0);
	return str_eq(c->certs[0].spki, str_make(buf + sizeof(buf) - (size_t)n, (size_t)n));
}
