/*
 * Private keys: made, read and written. A key owns its mbedTLS context, which is only read after it
 * was made, so that threads may share it; the identity that made it and the TLS contexts that use
 * it hold references.
 */
#include "certs/key.h"

#include <stdatomic.h>

#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>

#include "certs/backend.h"
#include "certs/der.h"
#include "certs/derout.h"
#include "certs/oid.h"
#include "certs/pem.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"
#include "lib/crypto/rng.h"

#define KEY_BYTES_MAX 8192
/* A P-384 key in PKCS#8 has under 200 bytes. */
#define KEY_DER_MAX 512

/* Refcounted; owns pk. */
struct cert_key {
	atomic_uint refs;
	mbedtls_pk_context pk;
};

static struct cert_key *key_new(void)
{
	struct cert_key *k = MEM_NEW(struct cert_key);
	atomic_init(&k->refs, 1);
	mbedtls_pk_init(&k->pk);
	return k;
}

static struct cert_key *key_generate(mbedtls_ecp_group_id curve)
{
	struct cert_key *k = key_new();
	ASSERT(mbedtls_pk_setup(&k->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0);
	ASSERT(mbedtls_ecp_gen_key(curve, mbedtls_pk_ec(k->pk), crypto_rng, NULL) == 0);
	return k;
}

struct cert_key *cert_key_generate(void)
{
	return key_generate(MBEDTLS_ECP_DP_SECP256R1);
}

struct cert_key *cert_key_generate_p384(void)
{
	return key_generate(MBEDTLS_ECP_DP_SECP384R1);
}

/* PKCS#8 (RFC 5208) of an algorithm that is not EC, or PKCS#1 (RFC 8017 A.1.2): a good key for
 * somebody else. */
static bool is_foreign(struct str der)
{
	struct str seq, oid, params;
	unsigned version;
	if (!der_get(&der, DER_SEQUENCE, &seq) || !der_small_int(&seq, 1, &version))
		return false;
	if (der_is(seq, MBEDTLS_ASN1_INTEGER))
		return true;
	if (!der_is(seq, DER_SEQUENCE) || !der_algorithm(&seq, &oid, &params))
		return false;
	return !str_eq(oid, OID_EC_PUBLIC_KEY) || !der_get(&params, MBEDTLS_ASN1_OID, &oid) ||
		!str_eq(oid, OID_P256);
}

/* SEC1 (RFC 5915) names its curve behind the key. */
static bool is_foreign_sec1(struct str der)
{
	struct str seq, octets, params, oid;
	unsigned version;
	return der_get(&der, DER_SEQUENCE, &seq) && der_small_int(&seq, 1, &version) &&
		der_get(&seq, MBEDTLS_ASN1_OCTET_STRING, &octets) &&
		der_get(&seq, DER_EXPLICIT(0), &params) &&
		der_get(&params, MBEDTLS_ASN1_OID, &oid) && !str_eq(oid, OID_P256);
}

static int key_read(struct cert_key *k, struct str der)
{
	int err = mbedtls_pk_parse_key(&k->pk, (const unsigned char *)der.p, der.n, NULL, 0,
		crypto_rng, NULL);
	if (err != 0)
		return is_foreign(der) || is_foreign_sec1(der) ? ERR_VERIFY : ERR_INVAL;
	if (mbedtls_pk_get_type(&k->pk) != MBEDTLS_PK_ECKEY ||
		mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(k->pk)) != MBEDTLS_ECP_DP_SECP256R1)
		return ERR_VERIFY;
	/* The public part in the file need not be that of the private one. */
	if (mbedtls_ecp_keypair_calc_public(mbedtls_pk_ec(k->pk), crypto_rng, NULL) != 0)
		return ERR_INVAL;
	return 0;
}

/* Labels that keys come under, and PKCS#1's, which is no key for us but no garbage either. */
static int key_der(struct str in, void **der, size_t *n)
{
	int err = pem_or_der(in, "PRIVATE KEY", KEY_BYTES_MAX, der, n);
	if (err == ERR_NOTFOUND)
		err = pem_or_der(in, "EC PRIVATE KEY", KEY_BYTES_MAX, der, n);
	if (err == ERR_NOTFOUND)
		err = pem_or_der(in, "RSA PRIVATE KEY", KEY_BYTES_MAX, der, n);
	return err == ERR_NOTFOUND ? ERR_INVAL : err;
}

int cert_key_parse(struct str pem_or_der_in, struct cert_key **out)
{
	void *der;
	size_t n;
	int err = key_der(pem_or_der_in, &der, &n);
	if (err != 0)
		return err;
	struct cert_key *k = key_new();
	err = key_read(k, str_make(der, n));
	mem_free_secret(der, n);
	if (err != 0)
		cert_key_unref(&k);
	else
		*out = k;
	return err;
}

struct cert_key *cert_key_ref(struct cert_key *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void cert_key_unref(struct cert_key **k)
{
	struct cert_key *gone = *k;
	*k = NULL;
	if (gone == NULL || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
		return;
	mbedtls_pk_free(&gone->pk);
	mem_free_secret(gone, sizeof(*gone));
}

/* PrivateKeyInfo (RFC 5208 5) around the ECPrivateKey that the backend writes. */
static void put_pkcs8(struct der_out *o, struct str sec1, struct str curve)
{
	der_put_element(o, MBEDTLS_ASN1_OCTET_STRING, sec1);
	size_t mark = o->used;
	der_put_element(o, MBEDTLS_ASN1_OID, curve);
	der_put_element(o, MBEDTLS_ASN1_OID, OID_EC_PUBLIC_KEY);
	der_wrap(o, DER_SEQUENCE, mark);
	der_put_small_int(o, 0);
	der_wrap(o, DER_SEQUENCE, 0);
}

void *cert_key_der(const struct cert_key *k, size_t *n)
{
	uint8_t sec1[KEY_DER_MAX], pkcs8[KEY_DER_MAX];
	const mbedtls_ecp_keypair *ec = mbedtls_pk_ec(k->pk);
	bool p256 = mbedtls_ecp_keypair_get_group_id(ec) == MBEDTLS_ECP_DP_SECP256R1;
	int len = mbedtls_pk_write_key_der(&k->pk, sec1, sizeof(sec1));
	ASSERT(len > 0);
	struct der_out o;
	der_out_init(&o, pkcs8, sizeof(pkcs8));
	put_pkcs8(&o, str_make(sec1 + sizeof(sec1) - (size_t)len, (size_t)len),
		p256 ? OID_P256 : OID_P384);
	ASSERT(!o.full);
	struct str der = der_out_get(&o);
	uint8_t *copy = mem_alloc(der.n);
	memcpy(copy, der.p, der.n);
	*n = der.n;
	mem_wipe(sec1, sizeof(sec1));
	mem_wipe(pkcs8, sizeof(pkcs8));
	return copy;
}

char *cert_key_pem(const struct cert_key *k)
{
	size_t n;
	void *der = cert_key_der(k, &n);
	char *pem = pem_encode(str_make(der, n), "PRIVATE KEY");
	mem_free_secret(der, n);
	return pem;
}

mbedtls_pk_context *cert_key_backend(const struct cert_key *k)
{
	return (mbedtls_pk_context *)(uintptr_t)&k->pk;
}
