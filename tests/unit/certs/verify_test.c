/*
 * The verdicts on chains, one by one: a good one, every flaw that can be issued, foreign trust
 * domains, validity to the second, expectations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "certs/issue.h"
#include "certs/oid.h"
#include "lib/base/alloc.h"
#include "lib/crypto/crypto.h"
#include "tests/support/mint.h"

#define ID "spiffe://td/ns/a/sa/b"

/* A root, its bundle and a key, made once for the file. */
struct fixture {
	struct cert_ca *ca;
	struct cert_bundle *bundle;
	struct cert_key *key;
};

static struct cert_bundle *bundle_of(const char *trust_domain, const struct cert_ca *ca)
{
	struct cert_bundle *b = cert_bundle_new();
	char *pem = cert_ca_cert_pem(ca);
	assert_int_equal(cert_bundle_add(b, str_from(trust_domain), str_from(pem)), 0);
	mem_free(pem);
	return b;
}

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	assert_int_equal(cert_ca_create(STR("td"), MINT_NOW - 86400, MINT_NOW + 864000, &f->ca), 0);
	f->bundle = bundle_of("td", f->ca);
	f->key = cert_key_generate();
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	cert_ca_free(&f->ca);
	cert_bundle_unref(&f->bundle);
	cert_key_unref(&f->key);
	mem_free(f);
	return 0;
}

static struct cert_chain *issue(const struct fixture *f, enum cert_flaw flaw)
{
	struct cert_chain *chain = NULL;
	struct cert_key *p384 = flaw == CERT_FLAW_OTHER_CURVE ? cert_key_generate_p384() : NULL;
	const struct cert_issue what = {.spiffe_id = STR(ID),
		.pod_uid = STR("uid-1"),
		.not_before = MINT_NOW,
		.not_after = MINT_NOW + 3600,
		.flaw = flaw};
	assert_int_equal(cert_ca_issue(f->ca, NULL, p384 != NULL ? p384 : f->key, &what, &chain),
		0);
	cert_key_unref(&p384);
	return chain;
}

static void assert_row(const char *row, enum cert_verdict got, enum cert_verdict want)
{
	if (got != want)
		fail_msg("%s: got %s, want %s", row, cert_verdict_label(got),
			cert_verdict_label(want));
}

static void assert_verdict(enum cert_verdict got, enum cert_verdict want)
{
	assert_row("chain", got, want);
}

/* Verdict on a chain that is given up. */
static enum cert_verdict judge(const struct fixture *f, struct cert_chain *chain, int64_t now,
	bool server)
{
	enum cert_verdict v = cert_verify(chain, f->bundle, now, server, NULL);
	cert_chain_unref(&chain);
	return v;
}

static void good_in_both_roles(void **state)
{
	assert_verdict(judge(*state, issue(*state, CERT_FLAW_NONE), MINT_NOW, true), CERT_GOOD);
	assert_verdict(judge(*state, issue(*state, CERT_FLAW_NONE), MINT_NOW, false), CERT_GOOD);
}

static void missing(void **state)
{
	const struct fixture *f = *state;
	assert_verdict(cert_verify(NULL, f->bundle, MINT_NOW, true, NULL), CERT_MISSING);
	assert_verdict(cert_verify(NULL, NULL, MINT_NOW, true, NULL), CERT_MISSING);
}

static const enum cert_verdict verdict_of_flaw[CERT_FLAW_COUNT] = {
	[CERT_FLAW_NONE] = CERT_GOOD,
	[CERT_FLAW_EXPIRED] = CERT_EXPIRED,
	[CERT_FLAW_NOT_YET_VALID] = CERT_NOT_YET_VALID,
	[CERT_FLAW_NO_SAN] = CERT_NO_SAN,
	[CERT_FLAW_DNS_ONLY] = CERT_NO_SAN,
	[CERT_FLAW_TWO_SANS] = CERT_TWO_SANS,
	[CERT_FLAW_BAD_ID] = CERT_BAD_ID,
	[CERT_FLAW_FOREIGN_ID] = CERT_GOOD, /* the ID here is the CA's own */
	[CERT_FLAW_CA_LEAF] = CERT_CA_LEAF,
	[CERT_FLAW_CERT_SIGN] = CERT_KEY_USAGE,
	[CERT_FLAW_NO_KEY_USAGE] = CERT_KEY_USAGE,
	[CERT_FLAW_WRONG_EKU] = CERT_KEY_USAGE,
	[CERT_FLAW_BAD_SIGNATURE] = CERT_UNTRUSTED,
	[CERT_FLAW_OTHER_CURVE] = CERT_ALGORITHM,
};

static void each_flaw_has_its_verdict(void **state)
{
	for (int flaw = 0; flaw < CERT_FLAW_COUNT; flaw++) {
		enum cert_flaw parsed;
		const char *option = cert_flaw_option((enum cert_flaw)flaw);
		assert_row(option,
			judge(*state, issue(*state, (enum cert_flaw)flaw), MINT_NOW, true),
			verdict_of_flaw[flaw]);
		assert_int_equal(cert_flaw_parse(str_from(option), &parsed), 0);
		assert_int_equal(parsed, flaw);
		assert_true(cert_flaw_text((enum cert_flaw)flaw)[0] != '\0');
	}
}

static void validity_to_the_second(void **state)
{
	static const struct {
		int64_t now;
		enum cert_verdict want;
	} rows[] = {
		{MINT_NOW - 1, CERT_NOT_YET_VALID},
		{MINT_NOW, CERT_GOOD},
		{MINT_NOW + 3600, CERT_GOOD},
		{MINT_NOW + 3601, CERT_EXPIRED},
		{0, CERT_NOT_YET_VALID},
		{INT64_MAX, CERT_EXPIRED},
		{INT64_MIN, CERT_NOT_YET_VALID},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_verdict(judge(*state, issue(*state, CERT_FLAW_NONE), rows[i].now, true),
			rows[i].want);
}

static void expectations(void **state)
{
	static const struct {
		const char *id, *uid;
		enum cert_verdict want;
	} rows[] = {
		{"", "", CERT_GOOD},
		{ID, "", CERT_GOOD},
		{ID, "uid-1", CERT_GOOD},
		{"", "uid-1", CERT_GOOD},
		{ID, "uid-2", CERT_POD_UID},
		{"", "uid-", CERT_POD_UID},
		{"spiffe://td/ns/a/sa/c", "uid-1", CERT_IDENTITY},
		{"spiffe://td/ns/a/sa/c", "uid-2", CERT_IDENTITY},
		{"spiffe://td/ns/a/sa/B", "", CERT_IDENTITY},
		{"spiffe://td/ns/a/sa/", "", CERT_IDENTITY},
		{"spiffe://td", "", CERT_IDENTITY},
		{"spiffe://other/ns/a/sa/b", "", CERT_IDENTITY},
	};
	const struct fixture *f = *state;
	struct cert_chain *chain = issue(f, CERT_FLAW_NONE);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct cert_expect e = {str_from(rows[i].id), str_from(rows[i].uid)};
		assert_verdict(cert_verify(chain, f->bundle, MINT_NOW, true, &e), rows[i].want);
	}
	cert_chain_unref(&chain);
}

static void leaf_without_uid_is_not_the_expected_pod(void **state)
{
	const struct fixture *f = *state;
	struct cert_chain *chain = NULL;
	const struct cert_issue what = {
		.spiffe_id = STR(ID), .not_before = MINT_NOW, .not_after = MINT_NOW + 1};
	const struct cert_expect e = {STR(ID), STR("uid-1")}, none = {STR(ID), STR_NULL};
	assert_int_equal(cert_ca_issue(f->ca, NULL, f->key, &what, &chain), 0);
	assert_verdict(cert_verify(chain, f->bundle, MINT_NOW, true, &e), CERT_POD_UID);
	assert_verdict(cert_verify(chain, f->bundle, MINT_NOW, true, &none), CERT_GOOD);
	cert_chain_unref(&chain);
}

static void unknown_trust_domain(void **state)
{
	const struct fixture *f = *state;
	struct cert_chain *chain = issue(f, CERT_FLAW_NONE);
	struct cert_bundle *empty = cert_bundle_new();
	assert_verdict(cert_verify(chain, empty, MINT_NOW, true, NULL), CERT_TRUST_DOMAIN);
	assert_verdict(cert_verify(chain, NULL, MINT_NOW, true, NULL), CERT_TRUST_DOMAIN);
	cert_bundle_unref(&empty);
	cert_chain_unref(&chain);
}

/* The rule that one domain's CA vouches for no other's identities (X509-SVID 5, design rule 7). */
static void foreign_ca_with_the_right_id(void **state)
{
	const struct fixture *f = *state;
	struct cert_ca *evil;
	struct cert_chain *chain = NULL;
	const struct cert_issue what = {.spiffe_id = STR(ID),
		.not_before = MINT_NOW,
		.not_after = MINT_NOW + 3600,
		.flaw = CERT_FLAW_FOREIGN_ID};
	assert_int_equal(cert_ca_create(STR("evil"), MINT_NOW - 1, MINT_NOW + 7200, &evil), 0);
	assert_int_equal(cert_ca_issue(evil, NULL, f->key, &what, &chain), 0);
	struct cert_bundle *both = bundle_of("td", f->ca);
	char *pem = cert_ca_cert_pem(evil);
	assert_int_equal(cert_bundle_add(both, STR("evil"), str_from(pem)), 0);
	assert_verdict(cert_verify(chain, both, MINT_NOW, true, NULL), CERT_UNTRUSTED);
	mem_free(pem);
	cert_bundle_unref(&both);
	cert_chain_unref(&chain);
	cert_ca_free(&evil);
}

/* A root of the same name and trust domain that somebody else made. */
static void impostor_root_is_untrusted(void **state)
{
	const struct fixture *f = *state;
	struct cert_ca *impostor;
	struct cert_chain *chain = NULL;
	const struct cert_issue what = {
		.spiffe_id = STR(ID), .not_before = MINT_NOW, .not_after = MINT_NOW + 3600};
	assert_int_equal(cert_ca_create(STR("td"), MINT_NOW - 1, MINT_NOW + 7200, &impostor), 0);
	assert_int_equal(cert_ca_issue(impostor, NULL, f->key, &what, &chain), 0);
	assert_verdict(cert_verify(chain, f->bundle, MINT_NOW, true, NULL), CERT_UNTRUSTED);
	cert_chain_unref(&chain);
	cert_ca_free(&impostor);
}

/* Leaves that only a broken CA makes, all signed by a trusted root. */
static const struct {
	const char *name;
	struct mint leaf;
	enum cert_verdict client, server;
} odd[] = {
	{"plain", {.uris = {ID}}, CERT_GOOD, CERT_GOOD},
	{"with a subject", {.subject = "x", .uris = {ID}}, CERT_GOOD, CERT_GOOD},
	{"unknown extension", {.uris = {ID}, .unknown = STR("\x2a\x03")}, CERT_GOOD, CERT_GOOD},
	{"unknown critical extension",
		{.uris = {ID}, .unknown = STR("\x2a\x03"), .unknown_critical = true}, CERT_CRITICAL,
		CERT_CRITICAL},
	{"critical name constraints",
		{.uris = {ID}, .unknown = STR("\x55\x1d\x1e"), .unknown_critical = true},
		CERT_CRITICAL, CERT_CRITICAL},
	{"unknown critical comes before others", /* also: no SAN */
		{.unknown = STR("\x2a\x03"), .unknown_critical = true}, CERT_CRITICAL,
		CERT_CRITICAL},
	{"client only", {.uris = {ID}, .eku = OID_CLIENT_AUTH}, CERT_GOOD, CERT_KEY_USAGE},
	{"server only", {.uris = {ID}, .eku = OID_SERVER_AUTH}, CERT_KEY_USAGE, CERT_GOOD},
	{"any usage", {.uris = {ID}, .eku = OID_ANY_EXT_KEY_USAGE}, CERT_KEY_USAGE, CERT_KEY_USAGE},
	{"no key usage", {.uris = {ID}, .key_usage = MINT_NO_KEY_USAGE}, CERT_KEY_USAGE,
		CERT_KEY_USAGE},
	{"cRLSign", {.uris = {ID}, .key_usage = X509_DIGITAL_SIGNATURE | X509_CRL_SIGN},
		CERT_KEY_USAGE, CERT_KEY_USAGE},
	{"no basic constraints", {.uris = {ID}, .no_constraints = true}, CERT_GOOD, CERT_GOOD},
	{"no extensions", {.subject = "x", .no_extensions = true}, CERT_NO_SAN, CERT_NO_SAN},
	{"URI without path", {.uris = {"spiffe://td"}}, CERT_BAD_ID, CERT_BAD_ID},
	{"empty URI", {.uris = {""}}, CERT_BAD_ID, CERT_BAD_ID},
	{"https URI", {.uris = {"https://td/a"}}, CERT_BAD_ID, CERT_BAD_ID},
	{"https beside the ID", {.uris = {ID, "https://td/a"}}, CERT_TWO_SANS, CERT_TWO_SANS},
	{"the ID twice", {.uris = {ID, ID}}, CERT_TWO_SANS, CERT_TWO_SANS},
	{"SAN before CA", {.ca = true, .subject = "x"}, CERT_NO_SAN, CERT_NO_SAN},
	{"CA before key usage", {.ca = true, .uris = {ID}}, CERT_CA_LEAF, CERT_CA_LEAF},
	{"unknown domain", {.uris = {"spiffe://other/a"}}, CERT_TRUST_DOMAIN, CERT_TRUST_DOMAIN},
	{"other case of the domain", {.uris = {"spiffe://Td/a"}}, CERT_BAD_ID, CERT_BAD_ID},
};

static void odd_leaves(void **state)
{
	(void)state;
	struct minted *root = mint(&(struct mint){.ca = true, .subject = "root"}, NULL);
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct minted *leaf = mint(&odd[i].leaf, root);
		struct cert_chain *c = mint_chain(leaf, NULL);
		assert_row(odd[i].name, cert_verify(c, b, MINT_NOW, false, NULL), odd[i].client);
		assert_row(odd[i].name, cert_verify(c, b, MINT_NOW, true, NULL), odd[i].server);
		cert_chain_unref(&c);
		minted_free(leaf, NULL);
	}
	cert_bundle_unref(&b);
	minted_free(root, NULL);
}

static void texts(void **state)
{
	(void)state;
	for (int v = 0; v < CERT_VERDICT_COUNT; v++) {
		assert_true(cert_verdict_label((enum cert_verdict)v)[0] != '\0');
		assert_true(cert_verdict_text((enum cert_verdict)v)[0] != '\0');
	}
	assert_string_equal(cert_verdict_label(CERT_EXPIRED), "cert_expired");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_in_both_roles),
		cmocka_unit_test(missing),
		cmocka_unit_test(each_flaw_has_its_verdict),
		cmocka_unit_test(validity_to_the_second),
		cmocka_unit_test(expectations),
		cmocka_unit_test(leaf_without_uid_is_not_the_expected_pod),
		cmocka_unit_test(unknown_trust_domain),
		cmocka_unit_test(foreign_ca_with_the_right_id),
		cmocka_unit_test(impostor_root_is_untrusted),
		cmocka_unit_test(odd_leaves),
		cmocka_unit_test(texts),
	};
	if (crypto_init() != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	crypto_cleanup();
	return failed;
}
