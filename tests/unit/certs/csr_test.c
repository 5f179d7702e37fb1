/*
 * CSRs: built and read back, refused where the self-signature, the key or the form is bad, and
 * never believed in what they ask for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "certs/issue.h"
#include "certs/pem.h"
#include "certs/write.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"
#include "tests/support/mint.h"

static struct str csr_der(const struct cert_key *k, const char *id)
{
	struct x509_exts exts;
	const struct x509_name name = {6, str_from(id)};
	x509_exts_init(&exts);
	x509_ext_names(&exts, true, &name, 1);
	struct str der = x509_write_csr(k, &exts);
	x509_exts_clear(&exts);
	return der;
}

static void free_str(struct str s)
{
	mem_free((void *)(uintptr_t)s.p);
}

static void round_trip(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate();
	struct cert_csr *csr;
	size_t n;
	char *pem = cert_csr_build(k, STR("spiffe://td/ns/a/sa/b"));
	assert_int_equal(strncmp(pem, "-----BEGIN CERTIFICATE REQUEST-----\n", 36), 0);
	assert_int_equal(cert_csr_parse(str_from(pem), &csr), 0);
	assert_true(str_eq(cert_csr_id(csr, &n), STR("spiffe://td/ns/a/sa/b")));
	assert_int_equal(n, 1);
	cert_csr_free(&csr);
	assert_null(csr);
	cert_csr_free(&csr);
	mem_free(pem);
	cert_key_unref(&k);
}

static void bad_self_signature(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate();
	struct str der = csr_der(k, "spiffe://td/a");
	struct cert_csr *csr;
	((char *)(uintptr_t)der.p)[der.n - 1] ^= 1;
	assert_int_equal(cert_csr_parse(der, &csr), ERR_VERIFY);
	((char *)(uintptr_t)der.p)[der.n - 1] ^= 1;
	assert_int_equal(cert_csr_parse(der, &csr), 0);
	cert_csr_free(&csr);
	free_str(der);
	cert_key_unref(&k);
}

/* Somebody else's key in a CSR that its author signed: the proof of possession fails. */
static void stolen_public_key(void **state)
{
	(void)state;
	struct cert_key *mine = cert_key_generate(), *theirs = cert_key_generate();
	struct str der = csr_der(mine, "spiffe://td/a"), a = x509_spki_of(mine),
		   b = x509_spki_of(theirs);
	struct cert_csr *csr;
	char *at = memmem(der.p, der.n, a.p, a.n);
	assert_non_null(at);
	memcpy(at, b.p, b.n);
	assert_int_equal(cert_csr_parse(der, &csr), ERR_VERIFY);
	free_str(der);
	free_str(a);
	free_str(b);
	cert_key_unref(&mine);
	cert_key_unref(&theirs);
}

static void other_curve(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate_p384();
	struct str der = csr_der(k, "spiffe://td/a");
	struct cert_csr *csr;
	assert_int_equal(cert_csr_parse(der, &csr), ERR_VERIFY);
	free_str(der);
	cert_key_unref(&k);
}

static void malformed_and_huge(void **state)
{
	(void)state;
	static const struct str rows[] = {STR(""), STR("x"), STR("\x30\x00"),
		STR("-----BEGIN CERTIFICATE REQUEST-----\n"),
		STR("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"),
		STR("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")};
	struct cert_csr *csr;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (cert_csr_parse(rows[i], &csr) != ERR_INVAL)
			fail_msg("row %zu", i);
	char *huge = mem_alloc(1 << 20);
	assert_int_equal(cert_csr_parse(str_make(huge, 1 << 20), &csr), ERR_LIMIT);
	assert_int_equal(cert_csr_parse(str_make(huge, CERT_CSR_BYTES + 1), &csr), ERR_LIMIT);
	mem_free(huge);
}

static void truncated_at_every_byte(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate();
	struct str der = csr_der(k, "spiffe://td/a");
	struct cert_csr *csr;
	for (size_t n = 0; n < der.n; n++) {
		char *part = mem_alloc(n + 1);
		memcpy(part, der.p, n);
		if (cert_csr_parse(str_make(part, n), &csr) != ERR_INVAL)
			fail_msg("%zu bytes", n);
		mem_free(part);
	}
	free_str(der);
	cert_key_unref(&k);
}

static void each_bit_counts(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate();
	struct str der = csr_der(k, "spiffe://td/a");
	struct cert_csr *csr;
	char *p = (char *)(uintptr_t)der.p;
	for (size_t i = 0; i < der.n; i++) {
		p[i] ^= (char)(1 << i % 8);
		if (cert_csr_parse(der, &csr) == 0)
			fail_msg("byte %zu", i);
		p[i] ^= (char)(1 << i % 8);
	}
	free_str(der);
	cert_key_unref(&k);
}

/* A CSR that asks for everything gets what the caller says and nothing else. */
static void demands_are_ignored(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate();
	struct cert_ca *ca;
	struct cert_csr *csr;
	struct cert_chain *chain;
	struct x509_exts exts;
	size_t n;
	const struct x509_name names[] = {{2, STR("example.org")}, {6, STR("spiffe://td/admin")},
		{7, STR("\x7f\x00\x00\x01")}, {6, STR("spiffe://td/root")}};
	x509_exts_init(&exts);
	x509_ext_basic_constraints(&exts, true, -1);
	x509_ext_key_usage(&exts, X509_KEY_CERT_SIGN | X509_CRL_SIGN);
	x509_ext_names(&exts, true, names, 4);
	x509_ext_pod_uid(&exts, STR("forged"));
	x509_ext_add(&exts, STR("\x2a\x03"), true, STR("\x05\x00"));
	struct str der = x509_write_csr(k, &exts);
	assert_int_equal(cert_csr_parse(der, &csr), 0);
	assert_true(str_eq(cert_csr_id(csr, &n), STR("spiffe://td/admin")));
	assert_int_equal(n, 4);
	assert_int_equal(cert_ca_create(STR("td"), MINT_NOW, MINT_NOW + 60, &ca), 0);
	const struct cert_issue what = {.spiffe_id = STR("spiffe://td/ns/a/sa/b"),
		.pod_uid = STR("real"),
		.not_before = MINT_NOW,
		.not_after = MINT_NOW + 60};
	assert_int_equal(cert_ca_issue(ca, csr, NULL, &what, &chain), 0);
	const struct cert_leaf *leaf = cert_chain_leaf(chain);
	assert_true(str_eq(leaf->id.id, what.spiffe_id));
	assert_true(str_eq(leaf->pod_uid, STR("real")));
	assert_false(leaf->is_ca);
	assert_true(cert_chain_matches_key(chain, k));
	assert_null(memmem(cert_chain_der(chain).p, cert_chain_der(chain).n, "admin", 5));
	assert_null(memmem(cert_chain_der(chain).p, cert_chain_der(chain).n, "example.org", 11));
	cert_chain_unref(&chain);
	cert_ca_free(&ca);
	cert_csr_free(&csr);
	free_str(der);
	x509_exts_clear(&exts);
	cert_key_unref(&k);
}

static void key_hash_of(const struct cert_key *k, struct str id, uint8_t out[CERT_KEY_HASH])
{
	struct cert_csr *csr;
	char *pem = cert_csr_build(k, id);
	assert_int_equal(cert_csr_parse(str_from(pem), &csr), 0);
	cert_csr_key_hash(csr, out);
	cert_csr_free(&csr);
	mem_free(pem);
}

/* The hash is of SubjectPublicKeyInfo: same key, same hash, whatever else is asked for. */
static void key_hash(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate(), *other = cert_key_generate();
	uint8_t a[CERT_KEY_HASH], b[CERT_KEY_HASH], want[CERT_KEY_HASH];
	struct str spki = x509_spki_of(k);
	crypto_sha256(spki.p, spki.n, want);
	free_str(spki);
	key_hash_of(k, STR("spiffe://td/a"), a);
	key_hash_of(k, STR("spiffe://td/ns/b/sa/c"), b);
	assert_memory_equal(a, want, sizeof(a));
	assert_memory_equal(b, want, sizeof(b));
	key_hash_of(other, STR("spiffe://td/a"), b);
	assert_memory_not_equal(a, b, sizeof(a));
	cert_key_unref(&k);
	cert_key_unref(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(bad_self_signature),
		cmocka_unit_test(stolen_public_key),
		cmocka_unit_test(other_curve),
		cmocka_unit_test(malformed_and_huge),
		cmocka_unit_test(truncated_at_every_byte),
		cmocka_unit_test(each_bit_counts),
		cmocka_unit_test(demands_are_ignored),
		cmocka_unit_test(key_hash),
	};
	if (crypto_init() != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	crypto_cleanup();
	return failed;
}
