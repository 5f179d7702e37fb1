/*
 * Certificates as text for people. Names of any content are escaped, since they come from anybody.
 * Owns nothing; called by the command line.
 */
#include "certs/describe.h"

#include <stdio.h>

#include "certs/chain_internal.h"
#include "certs/der.h"
#include "certs/oid.h"
#include "certs/pem.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"

/* Text that is cut where it is full. */
struct text {
	char *at;
	size_t left;
};

static void add(struct text *t, const char *s, size_t n)
{
	for (size_t i = 0; i < n && t->left > 1; i++, t->left--)
		*t->at++ = s[i];
	*t->at = '\0';
}

/* RFC 4514 2.4: what could be taken for structure gets a backslash, what cannot be printed its hex.
 */
static void add_escaped(struct text *t, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char hex[4];
		if (c < 0x20 || c >= 0x7f) {
			snprintf(hex, sizeof(hex), "\\%02x", c);
			add(t, hex, 3);
		} else {
			if (strchr(",+\"\\<>;=", c) != NULL)
				add(t, "\\", 1);
			add(t, s.p + i, 1);
		}
	}
}

static const char *attribute(struct str oid)
{
	static const struct {
		const char *oid, *name;
	} known[] = {{"\x55\x04\x03", "CN"}, {"\x55\x04\x05", "serialNumber"},
		{"\x55\x04\x06", "C"}, {"\x55\x04\x07", "L"}, {"\x55\x04\x08", "ST"},
		{"\x55\x04\x0a", "O"}, {"\x55\x04\x0b", "OU"}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_eq(oid, str_from(known[i].oid)))
			return known[i].name;
	return "?";
}

/* RDNSequence of RFC 5280 4.1.2.4 in the order in which it stands. */
static void name_text(struct str name, char dst[CERT_NAME_TEXT])
{
	struct text t = {dst, CERT_NAME_TEXT};
	struct str list, set, pair, oid, value;
	uint8_t tag;
	dst[0] = '\0';
	if (!der_get(&name, DER_SEQUENCE, &list))
		return;
	while (der_get(&list, DER_SET, &set))
		while (der_get(&set, DER_SEQUENCE, &pair) &&
			der_get(&pair, MBEDTLS_ASN1_OID, &oid) &&
			der_any(&pair, &tag, &value, NULL)) {
			if (dst[0] != '\0')
				add(&t, ", ", 2);
			add(&t, attribute(oid), strlen(attribute(oid)));
			add(&t, "=", 1);
			add_escaped(&t, value);
		}
}

static const char *key_text(enum x509_curve curve)
{
	switch (curve) {
	case X509_CURVE_P256:
		return "P-256";
	case X509_CURVE_P384:
		return "P-384";
	case X509_CURVE_OTHER:
		break;
	}
	return "other";
}

void cert_describe(const struct cert_chain *c, size_t i, struct cert_description *out)
{
	const struct x509_cert *x = &c->certs[i];
	uint8_t hash[SHA256_SIZE];
	struct str uri;
	size_t cursor = 0;
	*out = (struct cert_description){.pod_uid = x->pod_uid,
		.not_before = x->not_before,
		.not_after = x->not_after,
		.key = key_text(x->curve),
		.is_ca = x->is_ca,
		.self_issued = x509_self_issued(x),
		.path_len = x->path_len};
	name_text(x->subject, out->subject);
	name_text(x->issuer, out->issuer);
	crypto_hex(x->serial.p, x->serial.n, out->serial);
	crypto_sha256(x->der.p, x->der.n, hash);
	crypto_hex(hash, sizeof(hash), out->fingerprint);
	while (x509_next_uri(x->names, &cursor, &uri, &out->n_names)) {
		if (out->n_uris < CERT_URIS_SHOWN)
			out->uris[out->n_uris] = uri;
		out->n_uris++;
	}
}

/* The one trust domain of the SPIFFE IDs in names, joined with what is in dst. */
static int join_domain(struct str names, char *dst)
{
	struct str uri;
	struct spiffe_id id;
	size_t cursor = 0;
	while (x509_next_uri(names, &cursor, &uri, NULL)) {
		if (spiffe_parse(uri, true, &id, NULL) != 0)
			continue;
		if (dst[0] != '\0' && !str_eq(str_from(dst), id.trust_domain))
			return ERR_EXISTS;
		(void)str_copy(dst, SPIFFE_TD_MAX + 1, id.trust_domain);
	}
	return 0;
}

int cert_trust_domain_of(struct str roots, char dst[SPIFFE_TD_MAX + 1])
{
	struct x509_cert certs[CERT_BUNDLE_ROOTS];
	void *der;
	size_t n;
	dst[0] = '\0';
	int err = pem_or_der(roots, "CERTIFICATE", CERT_BUNDLE_BYTES, &der, &n);
	if (err != 0)
		return err == ERR_NOTFOUND ? ERR_INVAL : err;
	int got = x509_parse_all(str_make(der, n), certs, CERT_BUNDLE_ROOTS);
	err = got < 0 ? got : 0;
	for (int i = 0; err == 0 && i < got; i++)
		err = join_domain(certs[i].names, dst);
	mem_free(der);
	if (err != 0)
		return err;
	return dst[0] != '\0' ? 0 : ERR_NOTFOUND;
}
