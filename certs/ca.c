/*
 * Certificate authorities: made, loaded, and intermediate ones below others. A CA holds its chain
 * and key; the control plane and the command line own one for as long as they sign.
 */
#include "certs/ca_internal.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"

const struct x509_cert *cert_ca_own(const struct cert_ca *ca)
{
	return &ca->chain->certs[0];
}

size_t cert_ca_carried(const struct cert_ca *ca)
{
	size_t n = ca->chain->n;
	return x509_self_issued(&ca->chain->certs[n - 1]) ? n - 1 : n;
}

int64_t cert_ca_not_after(const struct cert_ca *ca)
{
	int64_t t = cert_ca_own(ca)->not_after;
	for (size_t i = 1; i < ca->chain->n; i++)
		if (ca->chain->certs[i].not_after < t)
			t = ca->chain->certs[i].not_after;
	return t;
}

int cert_ca_make_chain(const struct cert_ca *ca, struct str der, struct cert_chain **out)
{
	size_t n = der.n;
	for (size_t i = 0; i < cert_ca_carried(ca); i++)
		n += ca->chain->certs[i].der.n;
	char *all = mem_alloc(n), *at = all + der.n;
	memcpy(all, der.p, der.n);
	for (size_t i = 0; i < cert_ca_carried(ca); i++) {
		struct str one = ca->chain->certs[i].der;
		memcpy(at, one.p, one.n);
		at += one.n;
	}
	int err = cert_chain_parse(str_make(all, n), out);
	mem_free(all);
	return err;
}

/* The extensions that every CA certificate of ours has; issuer_id is empty for a root. */
static void ca_extensions(struct x509_exts *e, struct str uri, struct str spki,
	struct str issuer_id, int path_len)
{
	uint8_t id[X509_KEY_ID_SIZE];
	const struct x509_name name = {6, uri};
	x509_key_id(spki, id);
	x509_ext_basic_constraints(e, true, path_len);
	x509_ext_key_usage(e, X509_KEY_CERT_SIGN | X509_CRL_SIGN);
	x509_ext_subject_key_id(e, id);
	if (issuer_id.n > 0)
		x509_ext_authority_key_id(e, issuer_id);
	x509_ext_names(e, false, &name, 1);
}

/* Organisation: the trust domain; common name: the kind and enough of the key to tell two apart. */
static struct str ca_name(const char *kind, struct str trust_domain, struct str spki)
{
	uint8_t id[X509_KEY_ID_SIZE];
	char hex[2 * 4 + 1], text[64];
	x509_key_id(spki, id);
	crypto_hex(id, 4, hex);
	snprintf(text, sizeof(text), "weft %s %s", kind, hex);
	return x509_make_name(trust_domain, str_from(text));
}

struct ca_spec {
	const char *kind;
	struct str trust_domain, issuer, issuer_id;
	int64_t not_before, not_after;
	int path_len;
};

/* A CA certificate for key, signed by signer. issuer empty: self-signed. */
static int write_ca(const struct ca_spec *spec, const struct cert_key *key,
	const struct cert_key *signer, struct str *der)
{
	struct x509_exts exts;
	struct str spki = x509_spki_of(key), name = ca_name(spec->kind, spec->trust_domain, spki);
	char *uri = mem_printf("spiffe://%.*s", STR_ARG(spec->trust_domain));
	x509_exts_init(&exts);
	ca_extensions(&exts, str_from(uri), spki, spec->issuer_id, spec->path_len);
	struct x509_new cert = {.issuer = spec->issuer.n > 0 ? spec->issuer : name,
		.subject = name,
		.spki = spki,
		.not_before = spec->not_before,
		.not_after = spec->not_after,
		.exts = &exts};
	crypto_random(cert.serial, sizeof(cert.serial));
	int err = x509_write_cert(&cert, signer, der);
	x509_exts_clear(&exts);
	mem_free(uri);
	mem_free((void *)(uintptr_t)name.p);
	mem_free((void *)(uintptr_t)spki.p);
	return err;
}

/* Takes both references over. */
static struct cert_ca *ca_new(struct cert_chain *chain, struct cert_key *key)
{
	struct cert_ca *ca = MEM_NEW(struct cert_ca);
	ca->chain = chain;
	ca->key = key;
	return ca;
}

int cert_ca_create(struct str trust_domain, int64_t not_before, int64_t not_after,
	struct cert_ca **out)
{
	const struct ca_spec spec = {.kind = "root",
		.trust_domain = trust_domain,
		.not_before = not_before,
		.not_after = not_after,
		.path_len = -1};
	struct cert_chain *chain;
	struct str der;
	if (!spiffe_td_valid(trust_domain) || not_after <= not_before)
		return ERR_INVAL;
	struct cert_key *key = cert_key_generate();
	int err = write_ca(&spec, key, key, &der);
	if (err == 0) {
		err = cert_chain_parse(der, &chain);
		mem_free((void *)(uintptr_t)der.p);
	}
	if (err != 0)
		cert_key_unref(&key);
	else
		*out = ca_new(chain, key);
	return err;
}

static bool issued_by(const struct x509_cert *child, const struct x509_cert *parent)
{
	mbedtls_pk_context pk;
	bool holds = x509_public_key(parent, &pk) && x509_signed_by(child, &pk);
	mbedtls_pk_free(&pk);
	return holds && str_eq(child->issuer, parent->subject);
}

/* Each certificate is signed by the next one, and all of them may sign. */
static bool chain_signs(const struct cert_chain *chain)
{
	for (size_t i = 0; i < chain->n; i++)
		if (!cert_may_sign(&chain->certs[i]) ||
			(i > 0 && !issued_by(&chain->certs[i - 1], &chain->certs[i])))
			return false;
	return true;
}

int cert_ca_load(struct cert_chain *chain, struct cert_key *key, struct cert_ca **out)
{
	struct cert_ca ca = {chain, key};
	if (!cert_chain_matches_key(chain, key) || !chain_signs(chain))
		return ERR_VERIFY;
	/* An issuer without a name is none (RFC 5280 4.1.2.4). */
	if (cert_ca_own(&ca)->subject.n <= 2)
		return ERR_INVAL;
	if (cert_ca_carried(&ca) >= CERT_CHAIN_MAX)
		return ERR_LIMIT;
	*out = ca_new(cert_chain_ref(chain), cert_key_ref(key));
	return 0;
}

void cert_ca_free(struct cert_ca **ca)
{
	struct cert_ca *gone = *ca;
	*ca = NULL;
	if (gone == NULL)
		return;
	cert_chain_unref(&gone->chain);
	cert_key_unref(&gone->key);
	mem_free(gone);
}

char *cert_ca_cert_pem(const struct cert_ca *ca)
{
	return cert_chain_pem(ca->chain);
}

struct cert_key *cert_ca_key(const struct cert_ca *ca)
{
	return ca->key;
}

const struct cert_chain *cert_ca_chain(const struct cert_ca *ca)
{
	return ca->chain;
}

/* The trust domain that the CA's certificate names; empty: none. */
static struct str ca_trust_domain(const struct cert_ca *ca)
{
	struct str uri;
	struct spiffe_id id;
	size_t cursor = 0;
	while (x509_next_uri(cert_ca_own(ca)->names, &cursor, &uri, NULL))
		if (spiffe_parse(uri, true, &id, NULL) == 0)
			return id.trust_domain;
	return STR_NULL;
}

/* How many CAs there may be below this one by the path lengths above; -1: no limit. */
static int path_len_left(const struct cert_ca *ca)
{
	int left = -1;
	for (size_t i = 0; i < ca->chain->n; i++) {
		int here = ca->chain->certs[i].path_len - (int)i;
		if (ca->chain->certs[i].path_len >= 0 && (left < 0 || here < left))
			left = here > 0 ? here : 0;
	}
	return left;
}

/* 0, or why there is no intermediate CA below this one. */
static int judge_intermediate(const struct cert_ca *ca, const struct ca_spec *spec)
{
	if (spec->trust_domain.n == 0)
		return ERR_INVAL;
	if (path_len_left(ca) == 0)
		return ERR_DENIED;
	if (cert_ca_carried(ca) + 1 >= CERT_CHAIN_MAX)
		return ERR_LIMIT;
	return spec->not_after <= spec->not_before ? ERR_EXPIRED : 0;
}

int cert_ca_issue_ca(const struct cert_ca *ca, int64_t not_before, int64_t not_after,
	struct cert_ca **out)
{
	const struct x509_cert *own = cert_ca_own(ca);
	int64_t end = cert_ca_not_after(ca);
	const struct ca_spec spec = {.kind = "intermediate",
		.trust_domain = ca_trust_domain(ca),
		.issuer = own->subject,
		.issuer_id = own->subject_id,
		.not_before = not_before,
		.not_after = not_after < end ? not_after : end,
		.path_len = path_len_left(ca) > 0 ? path_len_left(ca) - 1 : -1};
	struct cert_chain *chain;
	struct str der;
	if (not_after <= not_before)
		return ERR_INVAL;
	int err = judge_intermediate(ca, &spec);
	if (err != 0)
		return err;
	struct cert_key *key = cert_key_generate();
	err = write_ca(&spec, key, ca->key, &der);
	if (err == 0) {
		err = cert_ca_make_chain(ca, der, &chain);
		mem_free((void *)(uintptr_t)der.p);
	}
	if (err != 0)
		cert_key_unref(&key);
	else
		*out = ca_new(chain, key);
	return err;
}
