/*
 * The extensions of a certificate (RFC 5280 4.2): those that mean something to the mesh become
 * facts, unknown critical ones are noted, and none may come twice. Owns nothing; called by x509.c,
 * and for names by the CSR reader.
 */
#include "certs/x509.h"

#include "certs/chain.h"
#include "certs/der.h"
#include "certs/oid.h"
#include "lib/base/err.h"

/* No certificate in use has a third of this. */
#define EXTENSIONS_MAX 32

static bool read_key_usage(struct str v, struct x509_cert *out)
{
	struct str bits;
	if (!der_get(&v, MBEDTLS_ASN1_BIT_STRING, &bits) || v.n != 0 || bits.n < 1 || bits.n > 3)
		return false;
	if ((uint8_t)bits.p[0] > 7 || (bits.n == 1 && bits.p[0] != 0))
		return false;
	for (unsigned i = 0; i < 8 * (bits.n - 1); i++)
		if (((uint8_t)bits.p[1 + i / 8] & (0x80u >> (i % 8))) != 0)
			out->key_usage |= 1u << i;
	return true;
}

static bool read_basic_constraints(struct str v, struct x509_cert *out)
{
	struct str seq;
	unsigned path_len;
	if (!der_get(&v, DER_SEQUENCE, &seq) || v.n != 0)
		return false;
	if (der_is(seq, MBEDTLS_ASN1_BOOLEAN) && !der_bool(&seq, &out->is_ca))
		return false;
	if (seq.n == 0)
		return true;
	/* A path length without cA asserted is forbidden (4.2.1.9). */
	if (!out->is_ca || !der_small_int(&seq, 0xffff, &path_len) || seq.n != 0)
		return false;
	out->path_len = (int)path_len;
	return true;
}

static bool read_ext_key_usage(struct str v, struct x509_cert *out)
{
	struct str seq, oid;
	if (!der_get(&v, DER_SEQUENCE, &seq) || v.n != 0 || seq.n == 0)
		return false;
	out->has_eku = true;
	while (seq.n > 0) {
		if (!der_get(&seq, MBEDTLS_ASN1_OID, &oid))
			return false;
		out->eku_server |= str_eq(oid, OID_SERVER_AUTH);
		out->eku_client |= str_eq(oid, OID_CLIENT_AUTH);
		out->eku_any |= str_eq(oid, OID_ANY_EXT_KEY_USAGE);
	}
	return true;
}

/* Tags of GeneralName (4.2.1.6): which are constructed is part of them. */
static bool name_tag_valid(uint8_t tag)
{
	static const uint8_t tags[] = {0xa0, 0x81, 0x82, 0xa3, 0xa4, 0xa5, 0x86, 0x87, 0x88};
	for (size_t i = 0; i < sizeof(tags); i++)
		if (tag == tags[i])
			return true;
	return false;
}

static bool names_valid(struct str names)
{
	struct str contents;
	uint8_t tag;
	if (names.n == 0)
		return false;
	while (names.n > 0)
		if (!der_any(&names, &tag, &contents, NULL) || !name_tag_valid(tag))
			return false;
	return true;
}

bool x509_next_uri(struct str names, size_t *cursor, struct str *uri, size_t *n_names)
{
	struct str rest = str_sub(names, *cursor, names.n), contents;
	uint8_t tag;
	while (rest.n > 0 && der_any(&rest, &tag, &contents, NULL)) {
		*cursor = names.n - rest.n;
		if (n_names != NULL)
			(*n_names)++;
		if (tag == DER_CONTEXT(6)) {
			*uri = contents;
			return true;
		}
	}
	return false;
}

static bool read_names(struct str v, struct x509_cert *out)
{
	return der_get(&v, DER_SEQUENCE, &out->names) && v.n == 0 && names_valid(out->names);
}

static bool read_authority_key_id(struct str v, struct x509_cert *out)
{
	struct str seq;
	if (!der_get(&v, DER_SEQUENCE, &seq) || v.n != 0)
		return false;
	return !der_is(seq, DER_CONTEXT(0)) || der_get(&seq, DER_CONTEXT(0), &out->issuer_id);
}

static bool read_subject_key_id(struct str v, struct x509_cert *out)
{
	return der_get(&v, MBEDTLS_ASN1_OCTET_STRING, &out->subject_id) && v.n == 0;
}

static bool read_pod_uid(struct str v, struct x509_cert *out)
{
	return der_get(&v, MBEDTLS_ASN1_UTF8_STRING, &out->pod_uid) && v.n == 0 &&
		cert_uid_valid(out->pod_uid);
}

bool cert_uid_valid(struct str uid)
{
	for (size_t i = 0; i < uid.n; i++) {
		char c = uid.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			c != '-' && c != '.' && c != '_')
			return false;
	}
	return uid.n > 0 && uid.n <= CERT_UID_MAX;
}

static bool read_extension(struct str oid, bool critical, struct str v, struct x509_cert *out)
{
	if (str_eq(oid, OID_KEY_USAGE))
		return read_key_usage(v, out);
	if (str_eq(oid, OID_BASIC_CONSTRAINTS))
		return read_basic_constraints(v, out);
	if (str_eq(oid, OID_EXT_KEY_USAGE))
		return read_ext_key_usage(v, out);
	if (str_eq(oid, OID_SUBJECT_ALT_NAME))
		return read_names(v, out);
	if (str_eq(oid, OID_AUTHORITY_KEY_ID))
		return read_authority_key_id(v, out);
	if (str_eq(oid, OID_SUBJECT_KEY_ID))
		return read_subject_key_id(v, out);
	if (str_eq(oid, OID_POD_UID))
		return read_pod_uid(v, out);
	out->unknown_critical |= critical;
	return true;
}

static bool seen_before(const struct str *seen, size_t n, struct str oid)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(seen[i], oid))
			return true;
	return false;
}

int x509_parse_extensions(struct str exts, struct x509_cert *out)
{
	struct str seen[EXTENSIONS_MAX], ext, oid, value;
	size_t n = 0;
	while (exts.n > 0) {
		bool critical = false;
		if (n == EXTENSIONS_MAX || !der_get(&exts, DER_SEQUENCE, &ext) ||
			!der_get(&ext, MBEDTLS_ASN1_OID, &oid) || seen_before(seen, n, oid))
			return ERR_INVAL;
		if (der_is(ext, MBEDTLS_ASN1_BOOLEAN) && !der_bool(&ext, &critical))
			return ERR_INVAL;
		if (!der_get(&ext, MBEDTLS_ASN1_OCTET_STRING, &value) || ext.n != 0 ||
			!read_extension(oid, critical, value, out))
			return ERR_INVAL;
		seen[n++] = oid;
	}
	return n > 0 ? 0 : ERR_INVAL;
}
