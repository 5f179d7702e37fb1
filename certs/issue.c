/*
 * Issuing leaves: an attested identity and a public key become an X509-SVID. Called by the control
 * plane's CA, by `weft cert` and by tests; owns nothing.
 */
#include "certs/issue.h"

#include "certs/ca_internal.h"
#include "certs/csr_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"

static bool label_valid(struct str label)
{
	if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			c != '-')
			return false;
	}
	return true;
}

bool cert_dns_valid(struct str name)
{
	struct str label;
	if (name.n == 0 || name.n > 253)
		return false;
	while (str_split(&name, '.', &label))
		if (!label_valid(label))
			return false;
	return true;
}

static bool dns_valid(const struct cert_issue *what)
{
	for (size_t i = 0; i < what->n_dns; i++)
		if (!cert_dns_valid(what->dns[i]))
			return false;
	return what->n_dns <= CERT_DNS_NAMES;
}

/* 0, or why this CA does not issue that. */
static int judge_request(const struct cert_ca *ca, const struct cert_issue *what,
	struct spiffe_id *id)
{
	if (spiffe_parse(what->spiffe_id, false, id, NULL) != 0)
		return ERR_INVAL;
	if (what->pod_uid.n > 0 && !cert_uid_valid(what->pod_uid))
		return ERR_INVAL;
	if (what->not_after <= what->not_before || !dns_valid(what))
		return ERR_INVAL;
	if (what->flaw != CERT_FLAW_FOREIGN_ID &&
		!cert_in_domain(cert_ca_own(ca), id->trust_domain))
		return ERR_DENIED;
	return 0;
}

/* The public key that the leaf is for, in fresh memory. ERR_INVAL where its curve is not the one
 * that the flaw, or its absence, asks for. */
static int public_key(const struct cert_csr *csr, const struct cert_key *key, enum cert_flaw flaw,
	struct str *out)
{
	struct x509_cert facts = {0};
	enum x509_curve want = flaw == CERT_FLAW_OTHER_CURVE ? X509_CURVE_P384 : X509_CURVE_P256;
	struct str spki = STR_NULL;
	if (csr != NULL) {
		spki = cert_csr_spki(csr);
		spki.p = memcpy(mem_alloc(spki.n), spki.p, spki.n);
	} else {
		spki = x509_spki_of(key);
	}
	struct str rest = spki;
	if (x509_read_spki(&rest, &facts) && facts.curve == want) {
		*out = spki;
		return 0;
	}
	mem_free((void *)(uintptr_t)spki.p);
	return ERR_INVAL;
}

static int write_leaf(const struct cert_ca *ca, struct str spki, const struct cert_issue *what,
	const struct spiffe_id *id, struct str *der)
{
	struct x509_exts exts;
	const struct x509_cert *own = cert_ca_own(ca);
	int64_t end = cert_ca_not_after(ca);
	struct x509_new cert = {.issuer = own->subject,
		.spki = spki,
		.not_before = what->not_before,
		.not_after = what->not_after,
		.exts = &exts};
	cert_flaw_validity(what->flaw, &cert.not_before, &cert.not_after);
	if (cert.not_after > end)
		cert.not_after = end;
	if (cert.not_after <= cert.not_before)
		return ERR_EXPIRED;
	x509_exts_init(&exts);
	cert_flaw_extensions(&exts, what, id);
	if (own->subject_id.n > 0)
		x509_ext_authority_key_id(&exts, own->subject_id);
	crypto_random(cert.serial, sizeof(cert.serial));
	int err = x509_write_cert(&cert, ca->key, der);
	x509_exts_clear(&exts);
	return err;
}

int cert_ca_issue(const struct cert_ca *ca, const struct cert_csr *csr, const struct cert_key *key,
	const struct cert_issue *what, struct cert_chain **out)
{
	struct spiffe_id id;
	struct str spki, der;
	int err = judge_request(ca, what, &id);
	if (err == 0)
		err = public_key(csr, key, what->flaw, &spki);
	if (err != 0)
		return err;
	err = write_leaf(ca, spki, what, &id, &der);
	mem_free((void *)(uintptr_t)spki.p);
	if (err != 0)
		return err;
	cert_flaw_signature(what->flaw, der);
	err = cert_ca_make_chain(ca, der, out);
	mem_free((void *)(uintptr_t)der.p);
	return err;
}
