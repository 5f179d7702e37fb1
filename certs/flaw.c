/*
 * What is in a leaf: the extensions of a good X509-SVID, and how each flaw that tests ask for
 * spoils them. Owns nothing; called by issuing.
 */
#include "certs/ca_internal.h"

#include "certs/oid.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

#define HOUR 3600
/* Bit 4 of RFC 5280 4.2.1.3. */
#define KEY_AGREEMENT (1u << 4)

struct flaw_row {
	const char *option, *text;
};

static const struct flaw_row rows[CERT_FLAW_COUNT] = {
	[CERT_FLAW_NONE] = {"none", "nothing"},
#define CERT_FLAW(name, option, text) [CERT_FLAW_##name] = {option, text},
#include "certs/flaw.def"
#undef CERT_FLAW
};

const char *cert_flaw_option(enum cert_flaw flaw)
{
	return rows[flaw].option;
}

const char *cert_flaw_text(enum cert_flaw flaw)
{
	return rows[flaw].text;
}

int cert_flaw_parse(struct str option, enum cert_flaw *out)
{
	for (size_t i = 0; i < CERT_FLAW_COUNT; i++)
		if (str_eq(option, str_from(rows[i].option))) {
			*out = (enum cert_flaw)i;
			return 0;
		}
	return ERR_INVAL;
}

/* X509-SVID 4.3, appendix A. */
static unsigned key_usage(enum cert_flaw flaw)
{
	if (flaw == CERT_FLAW_NO_KEY_USAGE)
		return KEY_AGREEMENT;
	if (flaw == CERT_FLAW_CA_LEAF || flaw == CERT_FLAW_CERT_SIGN)
		return X509_DIGITAL_SIGNATURE | X509_KEY_CERT_SIGN;
	return X509_DIGITAL_SIGNATURE;
}

static void add_ext_key_usage(struct x509_exts *e, enum cert_flaw flaw)
{
	const struct str good[] = {OID_SERVER_AUTH, OID_CLIENT_AUTH}, bad[] = {OID_CODE_SIGNING};
	if (flaw == CERT_FLAW_WRONG_EKU)
		x509_ext_ext_key_usage(e, bad, 1);
	else
		x509_ext_ext_key_usage(e, good, 2);
}

/* The ID with its trust domain in upper case. */
static char *shout(const struct spiffe_id *id)
{
	char *text = mem_strndup(id->id.p, id->id.n);
	size_t from = (size_t)(id->trust_domain.p - id->id.p);
	for (size_t i = from; i < from + id->trust_domain.n; i++)
		if (text[i] >= 'a' && text[i] <= 'z')
			text[i] = (char)(text[i] - 'a' + 'A');
	return text;
}

static void add_names(struct x509_exts *e, const struct cert_issue *what,
	const struct spiffe_id *id)
{
	struct x509_name names[2 + CERT_DNS_NAMES] = {{6, id->id}};
	enum cert_flaw flaw = what->flaw;
	size_t n = 1;
	char *text = NULL;
	if (flaw == CERT_FLAW_NO_SAN)
		return;
	if (flaw == CERT_FLAW_DNS_ONLY)
		names[0] = (struct x509_name){2, id->trust_domain};
	if (flaw == CERT_FLAW_BAD_ID)
		names[0].text = str_from(text = shout(id));
	if (flaw == CERT_FLAW_TWO_SANS) {
		text = mem_printf("spiffe://%.*s/other", STR_ARG(id->trust_domain));
		names[n++] = (struct x509_name){6, str_from(text)};
	}
	for (size_t i = 0; i < what->n_dns; i++)
		names[n++] = (struct x509_name){2, what->dns[i]};
	x509_ext_names(e, true, names, n);
	mem_free(text);
}

void cert_flaw_extensions(struct x509_exts *e, const struct cert_issue *what,
	const struct spiffe_id *id)
{
	x509_ext_basic_constraints(e, what->flaw == CERT_FLAW_CA_LEAF, -1);
	x509_ext_key_usage(e, key_usage(what->flaw));
	add_ext_key_usage(e, what->flaw);
	add_names(e, what, id);
	if (what->pod_uid.n > 0)
		x509_ext_pod_uid(e, what->pod_uid);
}

void cert_flaw_validity(enum cert_flaw flaw, int64_t *not_before, int64_t *not_after)
{
	int64_t length = *not_after - *not_before;
	if (flaw == CERT_FLAW_EXPIRED) {
		*not_after = *not_before - HOUR;
		*not_before = *not_after - length;
	}
	if (flaw == CERT_FLAW_NOT_YET_VALID) {
		*not_before += HOUR;
		*not_after += HOUR;
	}
}

void cert_flaw_signature(enum cert_flaw flaw, struct str der)
{
	/* The last byte is the lowest of the signature's s: the form stays good. */
	if (flaw == CERT_FLAW_BAD_SIGNATURE)
		((uint8_t *)(uintptr_t)der.p)[der.n - 1] ^= 1;
}
