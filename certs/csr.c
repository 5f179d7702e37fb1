/*
 * Certificate signing requests (PKCS#10, RFC 2986): built by an identity, read by a CA. A CSR owns
 * a copy of its DER; nothing in it is believed but the key, and that only under the CSR's own
 * signature.
 */
#include "certs/csr_internal.h"

#include "certs/der.h"
#include "certs/oid.h"
#include "certs/pem.h"
#include "certs/write.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"

/* Owns der, into which facts points. */
struct cert_csr {
	struct x509_cert facts; /* tbs, spki, sig and names alone */
	void *der;
};

char *cert_csr_build(const struct cert_key *k, struct str spiffe_id)
{
	struct x509_exts exts;
	const struct x509_name name = {6, spiffe_id};
	x509_exts_init(&exts);
	x509_ext_names(&exts, true, &name, 1);
	struct str der = x509_write_csr(k, &exts);
	x509_exts_clear(&exts);
	char *pem = pem_encode(der, "CERTIFICATE REQUEST");
	mem_free((void *)(uintptr_t)der.p);
	return pem;
}

/* Attributes of the request (4.1): the extensions that it asks for, once at most (RFC 2985 5.4.2).
 */
static bool read_attributes(struct str attributes, struct x509_cert *out)
{
	struct str attribute, oid, values, exts;
	bool asked = false;
	while (attributes.n > 0) {
		if (!der_get(&attributes, DER_SEQUENCE, &attribute) ||
			!der_get(&attribute, MBEDTLS_ASN1_OID, &oid) ||
			!der_get(&attribute, DER_SET, &values) || attribute.n != 0)
			return false;
		if (!str_eq(oid, OID_EXTENSION_REQUEST))
			continue;
		if (asked || !der_get(&values, DER_SEQUENCE, &exts) || values.n != 0 ||
			x509_parse_extensions(exts, out) != 0)
			return false;
		asked = true;
	}
	return true;
}

static bool read_request(struct str der, struct x509_cert *out)
{
	struct str csr, info, subject, attributes, algorithm;
	unsigned version;
	if (!der_get(&der, DER_SEQUENCE, &csr) || der.n != 0 ||
		!der_get_whole(&csr, DER_SEQUENCE, &out->tbs) ||
		!x509_read_signature(&csr, &algorithm, out))
		return false;
	struct str whole = out->tbs;
	if (!der_get(&whole, DER_SEQUENCE, &info) || !der_small_int(&info, 0, &version) ||
		!der_get(&info, DER_SEQUENCE, &subject) || !x509_read_spki(&info, out))
		return false;
	/* OpenSSL leaves empty attributes out, against the letter of RFC 2986. */
	if (info.n == 0)
		return true;
	return der_get(&info, DER_EXPLICIT(0), &attributes) && info.n == 0 &&
		read_attributes(attributes, out);
}

/* The backend's own reader is not asked: it refuses the empty subject that most X509-SVID requests
 * have. */
static int judge(struct str der, struct x509_cert *facts)
{
	mbedtls_pk_context pk;
	if (!read_request(der, facts))
		return ERR_INVAL;
	if (facts->curve != X509_CURVE_P256 || facts->hash == X509_HASH_OTHER)
		return ERR_VERIFY;
	facts->readable = true;
	bool good = x509_public_key(facts, &pk) && x509_signed_by(facts, &pk);
	mbedtls_pk_free(&pk);
	return good ? 0 : ERR_VERIFY;
}

int cert_csr_parse(struct str in, struct cert_csr **out)
{
	struct cert_csr *csr = MEM_NEW(struct cert_csr);
	size_t n;
	int err = pem_or_der(in, "CERTIFICATE REQUEST", CERT_CSR_BYTES, &csr->der, &n);
	if (err == ERR_NOTFOUND)
		err = pem_or_der(in, "NEW CERTIFICATE REQUEST", CERT_CSR_BYTES, &csr->der, &n);
	if (err == 0)
		err = judge(str_make(csr->der, n), &csr->facts);
	if (err != 0) {
		cert_csr_free(&csr);
		return err == ERR_NOTFOUND ? ERR_INVAL : err;
	}
	*out = csr;
	return 0;
}

void cert_csr_free(struct cert_csr **csr)
{
	struct cert_csr *gone = *csr;
	*csr = NULL;
	if (gone == NULL)
		return;
	mem_free(gone->der);
	mem_free(gone);
}

struct str cert_csr_id(const struct cert_csr *csr, size_t *n_sans)
{
	struct str uri, first = STR_NULL;
	size_t cursor = 0, n = 0;
	bool found = false;
	while (x509_next_uri(csr->facts.names, &cursor, &uri, &n)) {
		if (!found)
			first = uri;
		found = true;
	}
	if (n_sans != NULL)
		*n_sans = n;
	return first;
}

struct str cert_csr_spki(const struct cert_csr *csr)
{
	return csr->facts.spki;
}

_Static_assert(CERT_KEY_HASH == SHA256_SIZE, "a key is known by its SHA-256");

void cert_csr_key_hash(const struct cert_csr *csr, uint8_t out[CERT_KEY_HASH])
{
	crypto_sha256(csr->facts.spki.p, csr->facts.spki.n, out);
}
