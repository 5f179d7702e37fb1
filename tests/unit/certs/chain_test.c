/*
 * Reading chains: PEM and DER, facts of the leaf, bounds, and hostile bytes. Every truncation and
 * many mutations of a good chain are read and judged, which under a sanitizer shows that nothing is
 * read past its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "certs/issue.h"
#include "certs/oid.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/crypto/crypto.h"
#include "tests/support/mint.h"

/* A leaf below an intermediate below a root; made once. */
struct fixture {
	struct minted *root, *ca, *leaf;
	struct cert_bundle *bundle;
	struct str der;
};

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	f->root = mint(&(struct mint){.ca = true, .subject = "r", .uris = {"spiffe://td"}}, NULL);
	f->ca = mint(&(struct mint){.ca = true, .subject = "i", .path_len = 1}, f->root);
	f->leaf = mint(&(struct mint){.uris = {"spiffe://td/ns/a/sa/b"},
			       .pod_uid = "0b7f-1",
			       .eku = OID_SERVER_AUTH},
		f->ca);
	f->bundle = mint_bundle("td", f->root, NULL);
	f->der = mint_join(f->leaf, f->ca, NULL);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	minted_free(f->root, f->ca, f->leaf, NULL);
	cert_bundle_unref(&f->bundle);
	mem_free((void *)(uintptr_t)f->der.p);
	mem_free(f);
	return 0;
}

static void facts(void **state)
{
	const struct fixture *f = *state;
	struct cert_chain *c;
	assert_int_equal(cert_chain_parse(f->der, &c), 0);
	const struct cert_leaf *leaf = cert_chain_leaf(c);
	assert_true(str_eq(leaf->id.id, STR("spiffe://td/ns/a/sa/b")));
	assert_true(str_eq(leaf->id.ns, STR("a")));
	assert_true(str_eq(leaf->pod_uid, STR("0b7f-1")));
	assert_true(leaf->not_before == MINT_NOW - 3600 && leaf->not_after == MINT_NOW + 3600);
	assert_true(leaf->serial.n >= 30 && leaf->serial.n <= 32);
	assert_false(leaf->is_ca);
	assert_int_equal(cert_chain_count(c), 2);
	assert_true(str_eq(cert_chain_der(c), f->der));
	assert_true(cert_chain_matches_key(c, f->leaf->key));
	assert_false(cert_chain_matches_key(c, f->ca->key));
	cert_chain_unref(&c);
	assert_null(c);
	cert_chain_unref(&c);
}

static void references(void **state)
{
	const struct fixture *f = *state;
	struct cert_chain *c, *second;
	assert_int_equal(cert_chain_parse(f->der, &c), 0);
	second = cert_chain_ref(c);
	cert_chain_unref(&c);
	assert_int_equal(cert_chain_count(second), 2);
	cert_chain_unref(&second);
}

static void pem_round_trip(void **state)
{
	const struct fixture *f = *state;
	struct cert_chain *c, *again;
	assert_int_equal(cert_chain_parse(f->der, &c), 0);
	char *pem = cert_chain_pem(c);
	assert_int_equal(cert_chain_parse(str_from(pem), &again), 0);
	assert_true(str_eq(cert_chain_der(again), f->der));
	mem_free(pem);
	cert_chain_unref(&c);
	cert_chain_unref(&again);
}

/* How files in the wild differ from what we write. */
static void pem_variants(void **state)
{
	const struct fixture *f = *state;
	struct cert_chain *c;
	assert_int_equal(cert_chain_parse(f->leaf->der, &c), 0);
	char *pem = cert_chain_pem(c);
	cert_chain_unref(&c);
	char *key = cert_key_pem(f->leaf->key);
	char *variants[] = {
		mem_printf("Subject: none\nIssuer: me\n%s", pem),
		mem_printf("%s\n\n\n%s", key, pem),
		mem_printf("%s%s", pem, key),
		mem_strndup(pem, strlen(pem) - 1),
		mem_printf("%s trailing words", pem),
	};
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		if (cert_chain_parse(str_from(variants[i]), &c) != 0)
			fail_msg("variant %zu", i);
		assert_int_equal(cert_chain_count(c), 1);
		cert_chain_unref(&c);
		mem_free(variants[i]);
	}
	char *crlf = mem_alloc(2 * strlen(pem) + 1), *at = crlf;
	for (const char *p = pem; *p != '\0'; p++) {
		if (*p == '\n')
			*at++ = '\r';
		*at++ = *p;
	}
	assert_int_equal(cert_chain_parse(str_from(crlf), &c), 0);
	cert_chain_unref(&c);
	mem_free(crlf);
	mem_free(pem);
	mem_free_secret(key, strlen(key));
}

static void bad_pem(void **state)
{
	(void)state;
	static const struct str rows[] = {STR(""), STR("\n"), STR("words"), STR("-----BEGIN "),
		STR("-----BEGIN CERTIFICATE-----"), STR("-----BEGIN CERTIFICATE-----\n"),
		STR("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
		STR("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
		STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		STR("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
		STR("-----BEGIN CERTIFICATE-----MAA=\n-----END CERTIFICATE-----\n"),
		STR("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE----\n"),
		STR("-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n"),
		STR("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
		STR("-----BEGIN CERTIFICATE-----\nMA\0A=\n-----END CERTIFICATE-----\n")};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cert_chain *c;
		if (cert_chain_parse(rows[i], &c) != ERR_INVAL)
			fail_msg("row %zu", i);
	}
}

static void bounds(void **state)
{
	const struct fixture *f = *state;
	struct cert_chain *c;
	struct str four = mint_join(f->leaf, f->ca, f->ca, f->root, NULL),
		   five = mint_join(f->leaf, f->ca, f->ca, f->ca, f->root, NULL),
		   nine = mint_join(f->leaf, f->ca, f->ca, f->ca, f->ca, f->ca, f->ca, f->ca, f->ca,
			   NULL);
	assert_int_equal(cert_chain_parse(four, &c), 0);
	cert_chain_unref(&c);
	assert_int_equal(cert_chain_parse(five, &c), ERR_LIMIT);
	assert_int_equal(cert_chain_parse(nine, &c), ERR_LIMIT);
	assert_int_equal(cert_verdict_of_parse(ERR_LIMIT), CERT_TOO_LONG);
	assert_int_equal(cert_verdict_of_parse(ERR_INVAL), CERT_MALFORMED);
	mem_free((void *)(uintptr_t)four.p);
	mem_free((void *)(uintptr_t)five.p);
	mem_free((void *)(uintptr_t)nine.p);
}

static void huge_inputs(void **state)
{
	(void)state;
	size_t n = 4u << 20;
	char *p = mem_alloc(n);
	struct cert_chain *c;
	assert_int_equal(cert_chain_parse(str_make(p, n), &c), ERR_LIMIT);
	memset(p, 0x30, n);
	assert_int_equal(cert_chain_parse(str_make(p, n), &c), ERR_LIMIT);
	memset(p, 'A', n);
	memcpy(p, "-----BEGIN CERTIFICATE-----\n", 28);
	assert_int_equal(cert_chain_parse(str_make(p, n), &c), ERR_LIMIT);
	memset(p, 0x30, n);
	assert_int_equal(cert_chain_parse(str_make(p, CERT_CHAIN_BYTES), &c), ERR_INVAL);
	assert_int_equal(cert_chain_parse(str_make(p, CERT_CHAIN_BYTES + 1), &c), ERR_LIMIT);
	mem_free(p);
}

/* An ID of 2048 bytes is good, a certificate of many names is read. */
static void large_but_legal(void **state)
{
	const struct fixture *f = *state;
	char id[SPIFFE_ID_MAX + 1];
	memset(id, 'a', sizeof(id));
	memcpy(id, "spiffe://td/", 12);
	id[SPIFFE_ID_MAX] = '\0';
	struct minted *leaf = mint(&(struct mint){.uris = {id}}, f->root);
	struct cert_chain *c = mint_chain(leaf, NULL);
	assert_int_equal(cert_verify(c, f->bundle, MINT_NOW, true, NULL), CERT_GOOD);
	cert_chain_unref(&c);
	minted_free(leaf, NULL);
}

/* Copies to memory of exactly n bytes, so that a sanitizer sees a step too far; reads and judges.
 */
static int read_exactly(const struct fixture *f, const char *p, size_t n)
{
	char *copy = mem_alloc(n > 0 ? n : 1);
	struct cert_chain *c;
	memcpy(copy, p, n);
	int err = cert_chain_parse(str_make(copy, n), &c);
	if (err == 0) {
		(void)cert_verify(c, f->bundle, MINT_NOW, true, NULL);
		cert_chain_unref(&c);
	}
	mem_free(copy);
	return err;
}

static void truncated_at_every_byte(void **state)
{
	const struct fixture *f = *state;
	for (size_t n = 0; n < f->der.n; n++) {
		int err = read_exactly(f, f->der.p, n);
		if (err != (n == f->leaf->der.n ? 0 : ERR_INVAL))
			fail_msg("%zu bytes: %d", n, err);
	}
}

static void trailing_bytes(void **state)
{
	const struct fixture *f = *state;
	char *p = mem_alloc(f->leaf->der.n + 1);
	memcpy(p, f->leaf->der.p, f->leaf->der.n);
	assert_int_equal(read_exactly(f, p, f->leaf->der.n + 1), ERR_INVAL);
	mem_free(p);
}

/* No change of a signed certificate may be good; most are not even readable. */
static void every_byte_changed(void **state)
{
	const struct fixture *f = *state;
	char *p = mem_alloc(f->der.n);
	for (size_t i = 0; i < f->der.n; i++) {
		struct cert_chain *c;
		memcpy(p, f->der.p, f->der.n);
		p[i] ^= (char)(1 << i % 8);
		if (cert_chain_parse(str_make(p, f->der.n), &c) != 0)
			continue;
		enum cert_verdict v = cert_verify(c, f->bundle, MINT_NOW, true, NULL);
		cert_chain_unref(&c);
		if (v == CERT_GOOD)
			fail_msg("byte %zu", i);
	}
	mem_free(p);
}

static void random_changes(void **state)
{
	const struct fixture *f = *state;
	char *p = mem_alloc(f->der.n);
	struct rng rng;
	rng_seed(&rng, 1);
	for (int round = 0; round < 2000; round++) {
		memcpy(p, f->der.p, f->der.n);
		for (uint64_t k = rng_below(&rng, 8); k > 0; k--)
			p[rng_below(&rng, f->der.n)] = (char)rng_next(&rng);
		(void)read_exactly(f, p, f->der.n - rng_below(&rng, 4));
	}
	mem_free(p);
}

static void pod_uids(void **state)
{
	(void)state;
	char uid[CERT_UID_MAX + 2];
	memset(uid, 'a', sizeof(uid));
	assert_true(cert_uid_valid(str_make(uid, CERT_UID_MAX)));
	assert_false(cert_uid_valid(str_make(uid, CERT_UID_MAX + 1)));
	assert_false(cert_uid_valid(STR("")));
	assert_false(cert_uid_valid(STR("a b")));
	assert_false(cert_uid_valid(STR("a\0b")));
	assert_false(cert_uid_valid(STR("a/b")));
	assert_true(cert_uid_valid(STR("4e3c1f6e-0b7f-4c8a-9d2e-5a6b7c8d9e0f")));
}

/* A pod UID that is none makes the certificate malformed: nothing is concluded from half of it. */
static void bad_pod_uid_in_a_leaf(void **state)
{
	const struct fixture *f = *state;
	static const char *const uids[] = {"", "a b", "\xff"};
	for (size_t i = 0; i < sizeof(uids) / sizeof(uids[0]); i++) {
		struct cert_chain *c;
		struct minted *leaf =
			mint(&(struct mint){.uris = {"spiffe://td/a"}, .pod_uid = uids[i]},
				f->root);
		assert_int_equal(cert_chain_parse(leaf->der, &c), ERR_INVAL);
		minted_free(leaf, NULL);
	}
}

/* A file of roots: each certificate by itself, all of them or none. */
static void split(void **state)
{
	(void)state;
	const struct mint ca = {.subject = "root", .ca = true};
	struct minted *a = mint(&ca, NULL), *b = mint(&ca, NULL);
	struct str both = mint_join(a, b, NULL);
	struct cert_chain *out[2];
	assert_int_equal(cert_chain_split(both, out, 2), 2);
	assert_true(str_eq(cert_chain_der(out[0]), a->der));
	assert_true(str_eq(cert_chain_der(out[1]), b->der));
	char *one = cert_chain_pem(out[0]), *other = cert_chain_pem(out[1]);
	char *pem = mem_printf("%s# between\n%s", one, other);
	cert_chain_unref(&out[0]);
	cert_chain_unref(&out[1]);
	assert_int_equal(cert_chain_split(str_from(pem), out, 2), 2);
	cert_chain_unref(&out[0]);
	cert_chain_unref(&out[1]);
	assert_int_equal(cert_chain_split(both, out, 1), ERR_LIMIT);
	assert_int_equal(cert_chain_split(str_make(both.p, both.n - 1), out, 2), ERR_INVAL);
	assert_int_equal(cert_chain_split(STR(""), out, 2), ERR_INVAL);
	mem_free(pem);
	mem_free(one);
	mem_free(other);
	mem_free((void *)(uintptr_t)both.p);
	minted_free(a, b, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts),
		cmocka_unit_test(references),
		cmocka_unit_test(pem_round_trip),
		cmocka_unit_test(pem_variants),
		cmocka_unit_test(bad_pem),
		cmocka_unit_test(bounds),
		cmocka_unit_test(huge_inputs),
		cmocka_unit_test(large_but_legal),
		cmocka_unit_test(truncated_at_every_byte),
		cmocka_unit_test(trailing_bytes),
		cmocka_unit_test(every_byte_changed),
		cmocka_unit_test(random_changes),
		cmocka_unit_test(pod_uids),
		cmocka_unit_test(bad_pod_uid_in_a_leaf),
		cmocka_unit_test(split),
	};
	if (crypto_init() != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	crypto_cleanup();
	return failed;
}
