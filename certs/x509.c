/*
 * Reads a certificate into slices and facts (RFC 5280 4.1), then has mbedTLS read it too: both must
 * agree that it is well-formed, and only an algorithm that mbedTLS does not know is forgiven, to be
 * refused by name later. Owns nothing; called by chain and bundle.
 */
#include "certs/x509.h"

#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/x509_crt.h>

#include "certs/der.h"
#include "certs/oid.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"

/* Octets of a serial number without leading zeros: RFC 5280 4.1.2.2. */
#define SERIAL_MAX 20

static bool read_version(struct str *tbs, unsigned *version)
{
	struct str v;
	*version = 0;
	if (!der_is(*tbs, DER_EXPLICIT(0)))
		return true;
	return der_get(tbs, DER_EXPLICIT(0), &v) && der_small_int(&v, 2, version) && v.n == 0;
}

static bool read_serial(struct str *tbs, struct str *serial)
{
	if (!der_get(tbs, MBEDTLS_ASN1_INTEGER, serial) || serial->n == 0)
		return false;
	if ((serial->p[0] & 0x80) != 0)
		return false;
	while (serial->n > 1 && serial->p[0] == 0)
		*serial = str_sub(*serial, 1, serial->n);
	return serial->n <= SERIAL_MAX;
}

static bool read_validity(struct str *tbs, struct x509_cert *out)
{
	struct str v;
	return der_get(tbs, DER_SEQUENCE, &v) && der_time(&v, &out->not_before) &&
		der_time(&v, &out->not_after) && v.n == 0;
}

static enum x509_hash hash_of(struct str oid, struct str params)
{
	if (params.n != 0)
		return X509_HASH_OTHER;
	if (str_eq(oid, OID_ECDSA_SHA256))
		return X509_HASH_SHA256;
	if (str_eq(oid, OID_ECDSA_SHA384))
		return X509_HASH_SHA384;
	return X509_HASH_OTHER;
}

bool x509_read_spki(struct str *rest, struct x509_cert *out)
{
	struct str seq, oid, params, curve, bits;
	if (!der_get_whole(rest, DER_SEQUENCE, &out->spki))
		return false;
	struct str whole = out->spki;
	if (!der_get(&whole, DER_SEQUENCE, &seq) || !der_algorithm(&seq, &oid, &params) ||
		!der_get(&seq, MBEDTLS_ASN1_BIT_STRING, &bits) || seq.n != 0)
		return false;
	if (!str_eq(oid, OID_EC_PUBLIC_KEY) || !der_get(&params, MBEDTLS_ASN1_OID, &curve))
		return true;
	if (str_eq(curve, OID_P256))
		out->curve = X509_CURVE_P256;
	else if (str_eq(curve, OID_P384))
		out->curve = X509_CURVE_P384;
	return true;
}

/* Algorithm and signature at the end of certificates and CSRs. */
bool x509_read_signature(struct str *rest, struct str *algorithm, struct x509_cert *out)
{
	struct str bits, oid, params;
	if (!der_get_whole(rest, DER_SEQUENCE, algorithm) ||
		!der_get(rest, MBEDTLS_ASN1_BIT_STRING, &bits) || rest->n != 0)
		return false;
	if (bits.n < 1 || bits.p[0] != 0)
		return false;
	out->sig = str_sub(bits, 1, bits.n);
	struct str alg = *algorithm;
	if (!der_algorithm(&alg, &oid, &params))
		return false;
	out->hash = hash_of(oid, params);
	return true;
}

/* Unique identifiers [1] and [2] are skipped: nobody has used them since 1996. */
static bool read_tail(struct str *tbs, unsigned version, struct x509_cert *out)
{
	struct str skipped, exts, list;
	for (uint8_t n = 1; n <= 2; n++)
		if (der_is(*tbs, DER_CONTEXT(n)) &&
			(version == 0 || !der_get(tbs, DER_CONTEXT(n), &skipped)))
			return false;
	if (tbs->n == 0)
		return true;
	if (version != 2 || !der_get(tbs, DER_EXPLICIT(3), &exts) || tbs->n != 0)
		return false;
	if (!der_get(&exts, DER_SEQUENCE, &list) || exts.n != 0)
		return false;
	return x509_parse_extensions(list, out) == 0;
}

/* RFC 5280 4.1.2: the fields in their order. */
static bool read_tbs(struct str tbs, struct str outer_algorithm, struct x509_cert *out)
{
	unsigned version;
	struct str algorithm;
	out->path_len = -1;
	if (!read_version(&tbs, &version) || !read_serial(&tbs, &out->serial) ||
		!der_get_whole(&tbs, DER_SEQUENCE, &algorithm))
		return false;
	/* 4.1.2.3: the algorithm that is signed is the one that is stated outside. */
	if (!str_eq(algorithm, outer_algorithm))
		return false;
	return der_get_whole(&tbs, DER_SEQUENCE, &out->issuer) && read_validity(&tbs, out) &&
		der_get_whole(&tbs, DER_SEQUENCE, &out->subject) && x509_read_spki(&tbs, out) &&
		read_tail(&tbs, version, out);
}

static int on_unknown_extension(void *arg, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid,
	int critical, const unsigned char *p, const unsigned char *end)
{
	(void)arg, (void)crt, (void)oid, (void)critical, (void)p, (void)end;
	return 0;
}

/* 1 readable, 0 well-formed as far as the backend can tell but of an algorithm or with a critical
 * extension it does not know, ERR_INVAL. */
static int backend_reads(struct str der)
{
	mbedtls_x509_crt crt;
	mbedtls_x509_crt_init(&crt);
	int err = mbedtls_x509_crt_parse_der_with_ext_cb(&crt, (const unsigned char *)der.p, der.n,
		0, on_unknown_extension, NULL);
	mbedtls_x509_crt_free(&crt);
	if (err == 0)
		return 1;
	/* The upper part of a code is the module's own, the lower what it stumbled over. */
	switch (-(-err & 0xff80)) {
	case MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG:
	case MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE:
	case MBEDTLS_ERR_PK_UNKNOWN_PK_ALG:
	case MBEDTLS_ERR_PK_UNKNOWN_NAMED_CURVE:
	case MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE:
	case MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE:
		return 0;
	}
	return ERR_INVAL;
}

int x509_parse(struct str *rest, struct x509_cert *out)
{
	struct str cert, algorithm, tbs;
	*out = (struct x509_cert){0};
	if (!der_get_whole(rest, DER_SEQUENCE, &out->der))
		return ERR_INVAL;
	struct str der = out->der;
	if (!der_get(&der, DER_SEQUENCE, &cert) || !der_get_whole(&cert, DER_SEQUENCE, &out->tbs) ||
		!x509_read_signature(&cert, &algorithm, out))
		return ERR_INVAL;
	der = out->tbs;
	if (!der_get(&der, DER_SEQUENCE, &tbs) || !read_tbs(tbs, algorithm, out))
		return ERR_INVAL;
	int readable = backend_reads(out->der);
	out->readable = readable > 0;
	return readable < 0 ? readable : 0;
}

int x509_parse_all(struct str der, struct x509_cert *out, size_t max)
{
	size_t n = 0;
	while (der.n > 0) {
		struct x509_cert one;
		int err = x509_parse(&der, &one);
		if (err != 0)
			return err;
		if (n == max)
			return ERR_LIMIT;
		out[n++] = one;
	}
	return n > 0 ? (int)n : ERR_INVAL;
}

bool x509_public_key(const struct x509_cert *c, mbedtls_pk_context *pk)
{
	mbedtls_pk_init(pk);
	if (c->curve == X509_CURVE_OTHER || !c->readable)
		return false;
	return mbedtls_pk_parse_public_key(pk, (const unsigned char *)c->spki.p, c->spki.n) == 0;
}

bool x509_signed_by(const struct x509_cert *c, mbedtls_pk_context *pk)
{
	mbedtls_md_type_t md = MBEDTLS_MD_SHA256;
	unsigned char hash[MBEDTLS_MD_MAX_SIZE];
	if (c->hash == X509_HASH_OTHER)
		return false;
	if (c->hash == X509_HASH_SHA384)
		md = MBEDTLS_MD_SHA384;
	const mbedtls_md_info_t *info = mbedtls_md_info_from_type(md);
	if (mbedtls_md(info, (const unsigned char *)c->tbs.p, c->tbs.n, hash) != 0)
		return false;
	return mbedtls_pk_verify(pk, md, hash, mbedtls_md_get_size(info),
		       (const unsigned char *)c->sig.p, c->sig.n) == 0;
}
