/*
 * Certificates and CSRs as DER, signed with ECDSA over SHA-256, or SHA-384 for a P-384 key. Owns
 * nothing; called by the CA, by the identity that asks for a certificate, and by tests.
 */
#include "certs/write.h"

#include <mbedtls/md.h>

#include "certs/backend.h"
#include "certs/der.h"
#include "certs/oid.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"
#include "lib/crypto/rng.h"

/* Everything of a certificate that is not name or extension. */
#define FIXED_MAX 1024
#define SPKI_MAX 256
/* RFC 5280 A.1, ub-organization-name and ub-common-name. */
#define NAME_PART_MAX 64

static struct str copy(struct str s)
{
	char *p = mem_alloc(s.n);
	memcpy(p, s.p, s.n);
	return str_make(p, s.n);
}

struct str x509_spki_of(const struct cert_key *k)
{
	uint8_t buf[SPKI_MAX];
	int n = mbedtls_pk_write_pubkey_der(cert_key_backend(k), buf, sizeof(buf));
	ASSERT(n > 0);
	return copy(str_make(buf + sizeof(buf) - (size_t)n, (size_t)n));
}

void x509_key_id(struct str spki, uint8_t id[X509_KEY_ID_SIZE])
{
	struct str seq = STR_NULL, alg, bits = STR_NULL;
	uint8_t hash[SHA256_SIZE];
	ASSERT(der_get(&spki, DER_SEQUENCE, &seq) && der_get(&seq, DER_SEQUENCE, &alg) &&
		der_get(&seq, MBEDTLS_ASN1_BIT_STRING, &bits) && bits.n > 1);
	crypto_sha256(bits.p + 1, bits.n - 1, hash);
	memcpy(id, hash, X509_KEY_ID_SIZE);
}

/* RelativeDistinguishedName of one UTF8String. */
static void put_rdn(struct der_out *o, struct str oid, struct str text)
{
	size_t mark = o->used;
	der_put_element(o, MBEDTLS_ASN1_UTF8_STRING, str_sub(text, 0, NAME_PART_MAX));
	der_put_element(o, MBEDTLS_ASN1_OID, oid);
	der_wrap(o, DER_SEQUENCE, mark);
	der_wrap(o, DER_SET, mark);
}

struct str x509_make_name(struct str organisation, struct str common_name)
{
	uint8_t buf[256];
	struct der_out o;
	der_out_init(&o, buf, sizeof(buf));
	put_rdn(&o, OID_COMMON_NAME, common_name);
	put_rdn(&o, OID_ORGANIZATION, organisation);
	der_wrap(&o, DER_SEQUENCE, 0);
	ASSERT(!o.full);
	return copy(der_out_get(&o));
}

/* SEQUENCE OF Extension. */
static void put_exts(struct der_out *o, const struct x509_exts *exts)
{
	size_t all = o->used;
	for (size_t i = exts->n; i > 0; i--) {
		const struct x509_ext *e = &exts->list[i - 1];
		size_t mark = o->used;
		der_put_element(o, MBEDTLS_ASN1_OCTET_STRING, e->value);
		if (e->critical)
			der_put_true(o);
		der_put_element(o, MBEDTLS_ASN1_OID, e->oid);
		der_wrap(o, DER_SEQUENCE, mark);
	}
	der_wrap(o, DER_SEQUENCE, all);
}

static bool is_p384(const struct cert_key *k)
{
	return mbedtls_pk_get_bitlen(cert_key_backend(k)) == 384;
}

static void put_signature_algorithm(struct der_out *o, const struct cert_key *signer)
{
	size_t mark = o->used;
	der_put_element(o, MBEDTLS_ASN1_OID, is_p384(signer) ? OID_ECDSA_SHA384 : OID_ECDSA_SHA256);
	der_wrap(o, DER_SEQUENCE, mark);
}

/* The signed whole of tbs: it, the algorithm and the signature. In fresh memory. */
static struct str sign(struct str tbs, const struct cert_key *signer)
{
	mbedtls_md_type_t md = is_p384(signer) ? MBEDTLS_MD_SHA384 : MBEDTLS_MD_SHA256;
	const mbedtls_md_info_t *info = mbedtls_md_info_from_type(md);
	unsigned char hash[MBEDTLS_MD_MAX_SIZE], sig[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
	size_t n = 0;
	ASSERT(mbedtls_md(info, (const unsigned char *)tbs.p, tbs.n, hash) == 0);
	ASSERT(mbedtls_pk_sign(cert_key_backend(signer), md, hash, mbedtls_md_get_size(info), sig,
		       sizeof(sig), &n, crypto_rng, NULL) == 0);
	size_t size = tbs.n + FIXED_MAX;
	uint8_t *buf = mem_alloc(size);
	struct der_out o;
	der_out_init(&o, buf, size);
	der_put_bits(&o, str_make(sig, n));
	put_signature_algorithm(&o, signer);
	der_put(&o, tbs);
	der_wrap(&o, DER_SEQUENCE, 0);
	ASSERT(!o.full);
	struct str whole = copy(der_out_get(&o));
	mem_free(buf);
	return whole;
}

static size_t exts_size(const struct x509_exts *exts)
{
	size_t n = 0;
	for (size_t i = 0; i < exts->n; i++)
		n += exts->list[i].value.n + exts->list[i].oid.n + 32;
	return n;
}

static void put_name(struct der_out *o, struct str name)
{
	if (name.n == 0)
		der_put_element(o, DER_SEQUENCE, STR_NULL);
	else
		der_put(o, name);
}

static void put_tbs(struct der_out *o, const struct x509_new *cert, const struct cert_key *signer)
{
	if (cert->exts->n > 0) {
		put_exts(o, cert->exts);
		der_wrap(o, DER_EXPLICIT(3), 0);
	}
	der_put(o, cert->spki);
	put_name(o, cert->subject);
	size_t mark = o->used;
	der_put_time(o, cert->not_after);
	der_put_time(o, cert->not_before);
	der_wrap(o, DER_SEQUENCE, mark);
	put_name(o, cert->issuer);
	put_signature_algorithm(o, signer);
	der_put_integer(o, cert->serial, sizeof(cert->serial));
	mark = o->used;
	der_put_small_int(o, 2);
	der_wrap(o, DER_EXPLICIT(0), mark);
	der_wrap(o, DER_SEQUENCE, 0);
}

int x509_write_cert(const struct x509_new *cert, const struct cert_key *signer, struct str *der)
{
	size_t size =
		FIXED_MAX + cert->issuer.n + cert->subject.n + cert->spki.n + exts_size(cert->exts);
	uint8_t *buf = mem_alloc(size);
	struct der_out o;
	der_out_init(&o, buf, size);
	put_tbs(&o, cert, signer);
	if (!o.full)
		*der = sign(der_out_get(&o), signer);
	mem_free(buf);
	return o.full ? ERR_INVAL : 0;
}

struct str x509_write_csr(const struct cert_key *k, const struct x509_exts *exts)
{
	struct str spki = x509_spki_of(k);
	size_t size = FIXED_MAX + spki.n + exts_size(exts);
	uint8_t *buf = mem_alloc(size);
	struct der_out o;
	der_out_init(&o, buf, size);
	put_exts(&o, exts);
	der_wrap(&o, DER_SET, 0);
	der_put_element(&o, MBEDTLS_ASN1_OID, OID_EXTENSION_REQUEST);
	der_wrap(&o, DER_SEQUENCE, 0);
	der_wrap(&o, DER_EXPLICIT(0), 0);
	der_put(&o, spki);
	put_name(&o, STR_NULL);
	der_put_small_int(&o, 0);
	der_wrap(&o, DER_SEQUENCE, 0);
	ASSERT(!o.full);
	struct str csr = sign(der_out_get(&o), k);
	mem_free(buf);
	mem_free((void *)(uintptr_t)spki.p);
	return csr;
}
