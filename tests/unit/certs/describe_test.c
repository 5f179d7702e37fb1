/*
 * Certificates as text: names of any content escaped and cut, facts, and the trust domain that a
 * bundle file names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "certs/describe.h"
#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"
#include "tests/support/mint.h"

static void facts(void **state)
{
	(void)state;
	struct cert_description d;
	struct minted *root = mint(&(struct mint){.ca = true,
					   .subject = "r",
					   .path_len = 3,
					   .uris = {"spiffe://td"}},
		NULL);
	struct minted *leaf =
		mint(&(struct mint){.uris = {"spiffe://td/a", "b"}, .pod_uid = "u"}, root);
	struct cert_chain *c = mint_chain(leaf, root, NULL);
	cert_describe(c, 0, &d);
	assert_string_equal(d.subject, "");
	assert_string_equal(d.issuer, "O=tests, CN=r");
	assert_true(str_eq(cert_chain_leaf(c)->serial, str_from(d.serial)));
	assert_int_equal(strlen(d.fingerprint), 64);
	assert_int_equal(d.n_uris, 2);
	assert_int_equal(d.n_names, 2);
	assert_true(str_eq(d.uris[1], STR("b")));
	assert_true(str_eq(d.pod_uid, STR("u")));
	assert_string_equal(d.key, "P-256");
	assert_false(d.is_ca || d.self_issued);
	cert_describe(c, 1, &d);
	assert_true(d.is_ca && d.self_issued);
	assert_int_equal(d.path_len, 2);
	assert_true(d.not_before == MINT_NOW - 3600 && d.not_after == MINT_NOW + 3600);
	cert_chain_unref(&c);
	minted_free(root, leaf, NULL);
}

static void names_are_escaped(void **state)
{
	(void)state;
	static const struct {
		const char *name, *want;
	} rows[] = {
		{"plain", "O=tests, CN=plain"},
		{"a,b=c", "O=tests, CN=a\\,b\\=c"},
		{"a\x1b[31m", "O=tests, CN=a\\1b[31m"},
		{"\xc3\xa4\\\"", "O=tests, CN=\\c3\\a4\\\\\\\""},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cert_description d;
		struct minted *m = mint(&(struct mint){.subject = rows[i].name}, NULL);
		struct cert_chain *c = mint_chain(m, NULL);
		cert_describe(c, 0, &d);
		assert_string_equal(d.subject, rows[i].want);
		cert_chain_unref(&c);
		minted_free(m, NULL);
	}
}

/* 64 bytes that each need three: longer than what is shown, and cut without a sanitizer's
 * complaint. */
static void long_names_are_cut(void **state)
{
	(void)state;
	struct cert_description d;
	char name[65];
	memset(name, 1, 64);
	name[64] = '\0';
	struct str common = str_from(name);
	struct x509_exts exts;
	x509_exts_init(&exts);
	struct cert_key *k = cert_key_generate();
	struct x509_new cert = {.subject = x509_make_name(common, common),
		.spki = x509_spki_of(k),
		.serial = {1},
		.not_after = 1,
		.exts = &exts};
	cert.issuer = cert.subject;
	struct str der;
	struct cert_chain *c;
	assert_int_equal(x509_write_cert(&cert, k, &der), 0);
	assert_int_equal(cert_chain_parse(der, &c), 0);
	cert_describe(c, 0, &d);
	assert_int_equal(strlen(d.subject), CERT_NAME_TEXT - 1);
	cert_chain_unref(&c);
	mem_free((void *)(uintptr_t)der.p);
	mem_free((void *)(uintptr_t)cert.subject.p);
	mem_free((void *)(uintptr_t)cert.spki.p);
	cert_key_unref(&k);
}

static int domain_of(const char *first, const char *second, char *dst)
{
	struct minted *a = mint(&(struct mint){.ca = true, .subject = "a", .uris = {first}}, NULL);
	struct minted *b = mint(&(struct mint){.ca = true, .subject = "b", .uris = {second}}, NULL);
	struct str both = mint_join(a, b, NULL);
	int err = cert_trust_domain_of(both, dst);
	mem_free((void *)(uintptr_t)both.p);
	minted_free(a, b, NULL);
	return err;
}

static void trust_domain_of_roots(void **state)
{
	(void)state;
	char td[SPIFFE_TD_MAX + 1];
	assert_int_equal(domain_of("spiffe://td", "spiffe://td/ca", td), 0);
	assert_string_equal(td, "td");
	assert_int_equal(domain_of(NULL, "spiffe://td", td), 0);
	assert_string_equal(td, "td");
	assert_int_equal(domain_of("spiffe://a", "spiffe://b", td), ERR_EXISTS);
	assert_int_equal(domain_of(NULL, NULL, td), ERR_NOTFOUND);
	assert_int_equal(domain_of("https://td", NULL, td), ERR_NOTFOUND);
	assert_int_equal(cert_trust_domain_of(STR("x"), td), ERR_INVAL);
	assert_int_equal(cert_trust_domain_of(STR(""), td), ERR_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts),
		cmocka_unit_test(names_are_escaped),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(trust_domain_of_roots),
	};
	if (crypto_init() != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	crypto_cleanup();
	return failed;
}
