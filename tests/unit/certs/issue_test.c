/*
 * CAs and what they issue: roots, intermediates, leaves, cuts and refusals, loading CAs of other
 * origin.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs/describe.h"
#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"
#include "tests/support/mint.h"
#include "tests/support/openssl_lab.h"

#define DAY 86400

/* A root and a key for leaves. */
struct fixture {
	struct cert_ca *root;
	struct cert_key *key;
};

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	assert_int_equal(cert_ca_create(STR("td"), MINT_NOW, MINT_NOW + 10 * DAY, &f->root), 0);
	f->key = cert_key_generate();
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	cert_ca_free(&f->root);
	cert_key_unref(&f->key);
	mem_free(f);
	return 0;
}

static const struct cert_issue a_day = {.spiffe_id = STR("spiffe://td/ns/a/sa/b"),
	.not_before = MINT_NOW,
	.not_after = MINT_NOW + DAY};

static struct cert_bundle *bundle_of(const struct cert_ca *ca)
{
	struct cert_bundle *b = cert_bundle_new();
	char *pem = cert_ca_cert_pem(ca);
	assert_int_equal(cert_bundle_add(b, STR("td"), str_from(pem)), 0);
	mem_free(pem);
	return b;
}

static void root_is_a_root(void **state)
{
	const struct fixture *f = *state;
	const struct cert_leaf *own = cert_chain_leaf(cert_ca_chain(f->root));
	assert_true(own->is_ca);
	assert_int_equal(cert_chain_count(cert_ca_chain(f->root)), 1);
	assert_true(cert_chain_matches_key(cert_ca_chain(f->root), cert_ca_key(f->root)));
	struct cert_bundle *b = bundle_of(f->root);
	assert_true(cert_bundle_has(b, STR("td")));
	char *pem = cert_ca_cert_pem(f->root);
	assert_int_equal(cert_bundle_add(b, STR("other"), str_from(pem)), ERR_VERIFY);
	mem_free(pem);
	cert_bundle_unref(&b);
}

static void root_refusals(void **state)
{
	(void)state;
	struct cert_ca *ca;
	assert_int_equal(cert_ca_create(STR("TD"), 0, 1, &ca), ERR_INVAL);
	assert_int_equal(cert_ca_create(STR(""), 0, 1, &ca), ERR_INVAL);
	assert_int_equal(cert_ca_create(STR("td"), 1, 1, &ca), ERR_INVAL);
	assert_int_equal(cert_ca_create(STR("td"), 2, 1, &ca), ERR_INVAL);
	assert_int_equal(cert_ca_create(STR("td"), -1, 1, &ca), ERR_INVAL);
	assert_int_equal(cert_ca_create(STR("td"), 0, INT64_MAX, &ca), ERR_INVAL);
}

/* The longest trust domain does not fit into a name; the name is cut, the URI is not. */
static void long_trust_domain(void **state)
{
	(void)state;
	struct cert_ca *ca;
	char td[SPIFFE_TD_MAX];
	memset(td, 'a', sizeof(td));
	assert_int_equal(cert_ca_create(str_make(td, sizeof(td)), 0, DAY, &ca), 0);
	struct cert_bundle *b = cert_bundle_new();
	char *pem = cert_ca_cert_pem(ca);
	assert_int_equal(cert_bundle_add(b, str_make(td, sizeof(td)), str_from(pem)), 0);
	assert_int_equal(cert_bundle_add(b, str_make(td, sizeof(td) - 1), str_from(pem)),
		ERR_VERIFY);
	mem_free(pem);
	cert_bundle_unref(&b);
	cert_ca_free(&ca);
}

static void serials_are_random_and_positive(void **state)
{
	const struct fixture *f = *state;
	char seen[16][41];
	for (int i = 0; i < 16; i++) {
		struct cert_chain *c;
		assert_int_equal(cert_ca_issue(f->root, NULL, f->key, &a_day, &c), 0);
		struct str serial = cert_chain_leaf(c)->serial;
		assert_true(serial.n >= 26 && serial.n <= 32);
		assert_int_equal(str_copy(seen[i], sizeof(seen[i]), serial), 0);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(seen[i], seen[k]);
		cert_chain_unref(&c);
	}
}

static void leaf_ends_with_its_ca(void **state)
{
	const struct fixture *f = *state;
	struct cert_chain *c;
	struct cert_issue what = a_day;
	what.not_after = MINT_NOW + 100 * DAY;
	assert_int_equal(cert_ca_issue(f->root, NULL, f->key, &what, &c), 0);
	assert_true(cert_chain_leaf(c)->not_after == MINT_NOW + 10 * DAY);
	assert_true(cert_chain_leaf(c)->not_before == MINT_NOW);
	cert_chain_unref(&c);
	what.not_before = MINT_NOW + 10 * DAY;
	assert_int_equal(cert_ca_issue(f->root, NULL, f->key, &what, &c), ERR_EXPIRED);
	what.not_before = MINT_NOW - 300;
	assert_int_equal(cert_ca_issue(f->root, NULL, f->key, &what, &c), 0);
	assert_true(cert_chain_leaf(c)->not_before == MINT_NOW - 300);
	cert_chain_unref(&c);
}

static const struct {
	const char *name;
	struct cert_issue what;
	int want;
} refusals[] = {
	{"no ID", {.not_after = 1}, ERR_INVAL},
	{"no path", {.spiffe_id = STR("spiffe://td"), .not_after = 1}, ERR_INVAL},
	{"bad ID", {.spiffe_id = STR("spiffe://td/a/../b"), .not_after = 1}, ERR_INVAL},
	{"other domain", {.spiffe_id = STR("spiffe://te/a"), .not_after = 1}, ERR_DENIED},
	{"longer domain", {.spiffe_id = STR("spiffe://td.x/a"), .not_after = 1}, ERR_DENIED},
	{"no time", {.spiffe_id = STR("spiffe://td/a")}, ERR_INVAL},
	{"backwards", {.spiffe_id = STR("spiffe://td/a"), .not_before = 2, .not_after = 1},
		ERR_INVAL},
	{"before 1970", {.spiffe_id = STR("spiffe://td/a"), .not_before = -1, .not_after = 1},
		ERR_INVAL},
	{"bad UID", {.spiffe_id = STR("spiffe://td/a"), .pod_uid = STR("a b"), .not_after = 1},
		ERR_INVAL},
	{"p384 of P-256",
		{.spiffe_id = STR("spiffe://td/a"), .not_after = 1, .flaw = CERT_FLAW_OTHER_CURVE},
		ERR_INVAL},
};

static void leaf_refusals(void **state)
{
	const struct fixture *f = *state;
	struct cert_chain *c;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		int err = cert_ca_issue(f->root, NULL, f->key, &refusals[i].what, &c);
		if (err != refusals[i].want)
			fail_msg("%s: %d", refusals[i].name, err);
	}
	struct cert_key *p384 = cert_key_generate_p384();
	assert_int_equal(cert_ca_issue(f->root, NULL, p384, &a_day, &c), ERR_INVAL);
	cert_key_unref(&p384);
}

static void intermediates(void **state)
{
	const struct fixture *f = *state;
	struct cert_ca *one, *two, *three, *four;
	struct cert_chain *c;
	assert_int_equal(cert_ca_issue_ca(f->root, MINT_NOW, MINT_NOW + 90 * DAY, &one), 0);
	assert_true(cert_chain_leaf(cert_ca_chain(one))->not_after == MINT_NOW + 10 * DAY);
	assert_int_equal(cert_ca_issue_ca(one, MINT_NOW, MINT_NOW + 2 * DAY, &two), 0);
	assert_int_equal(cert_ca_issue_ca(two, MINT_NOW, MINT_NOW + 3 * DAY, &three), 0);
	assert_int_equal(cert_ca_issue_ca(three, MINT_NOW, MINT_NOW + DAY, &four), ERR_LIMIT);
	struct cert_bundle *b = bundle_of(f->root);
	struct cert_ca *all[] = {f->root, one, two, three};
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(cert_ca_issue(all[i], NULL, f->key, &a_day, &c), 0);
		assert_int_equal(cert_chain_count(c), i + 1);
		assert_int_equal(cert_verify(c, b, MINT_NOW, true, NULL), CERT_GOOD);
		cert_chain_unref(&c);
	}
	assert_int_equal(cert_ca_issue_ca(f->root, MINT_NOW + 10 * DAY, MINT_NOW + 11 * DAY, &four),
		ERR_EXPIRED);
	assert_int_equal(cert_ca_issue_ca(f->root, MINT_NOW, MINT_NOW, &four), ERR_INVAL);
	cert_bundle_unref(&b);
	cert_ca_free(&one);
	cert_ca_free(&two);
	cert_ca_free(&three);
}

static void saved_and_loaded(void **state)
{
	const struct fixture *f = *state;
	struct cert_ca *middle, *loaded;
	struct cert_chain *chain, *leaf;
	struct cert_key *key;
	assert_int_equal(cert_ca_issue_ca(f->root, MINT_NOW, MINT_NOW + DAY, &middle), 0);
	char *pem = cert_ca_cert_pem(middle), *key_pem = cert_key_pem(cert_ca_key(middle));
	assert_int_equal(cert_chain_parse(str_from(pem), &chain), 0);
	assert_int_equal(cert_key_parse(str_from(key_pem), &key), 0);
	assert_int_equal(cert_ca_load(chain, f->key, &loaded), ERR_VERIFY);
	assert_int_equal(cert_ca_load(chain, key, &loaded), 0);
	cert_chain_unref(&chain);
	cert_key_unref(&key);
	struct cert_bundle *b = bundle_of(f->root);
	assert_int_equal(cert_ca_issue(loaded, NULL, f->key, &a_day, &leaf), 0);
	assert_int_equal(cert_verify(leaf, b, MINT_NOW, true, NULL), CERT_GOOD);
	cert_chain_unref(&leaf);
	cert_bundle_unref(&b);
	cert_ca_free(&loaded);
	cert_ca_free(&middle);
	mem_free(pem);
	mem_free_secret(key_pem, strlen(key_pem));
}

/* Loads what the mint made as a CA; gives the chain up. */
static int load(struct cert_chain *chain, struct cert_key *key)
{
	struct cert_ca *ca = NULL;
	int err = cert_ca_load(chain, key, &ca);
	cert_chain_unref(&chain);
	cert_ca_free(&ca);
	return err;
}

static void load_refusals(void **state)
{
	(void)state;
	static const struct mint ca = {.ca = true, .subject = "c"};
	struct minted *root = mint(&(struct mint){.ca = true, .subject = "r"}, NULL);
	struct minted *one = mint(&ca, root), *two = mint(&ca, one), *three = mint(&ca, two),
		      *four = mint(&ca, three);
	struct minted *leaf = mint(&(struct mint){.subject = "l"}, root);
	assert_int_equal(load(mint_chain(one, root, NULL), one->key), 0);
	assert_int_equal(load(mint_chain(two, one, NULL), two->key), 0);
	assert_int_equal(load(mint_chain(leaf, root, NULL), leaf->key), ERR_VERIFY);
	assert_int_equal(load(mint_chain(two, root, NULL), two->key), ERR_VERIFY);
	assert_int_equal(load(mint_chain(root, one, NULL), root->key), ERR_VERIFY);
	assert_int_equal(load(mint_chain(one, root, NULL), root->key), ERR_VERIFY);
	assert_int_equal(load(mint_chain(three, two, one, root, NULL), three->key), 0);
	struct minted *nameless = mint(&(struct mint){.ca = true, .uris = {"spiffe://td"}}, root);
	assert_int_equal(load(mint_chain(nameless, NULL), nameless->key), ERR_INVAL);
	minted_free(root, one, two, three, four, leaf, nameless, NULL);
}

/* Path lengths of a CA of other origin are kept, and passed on to what is issued below it. */
static void path_lengths(void **state)
{
	const struct fixture *f = *state;
	struct cert_ca *ca, *below, *none;
	struct cert_chain *leaf;
	struct minted *root = mint(&(struct mint){.ca = true,
					   .subject = "r",
					   .uris = {"spiffe://td"},
					   .path_len = 2},
		NULL);
	struct cert_chain *chain = mint_chain(root, NULL);
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	const struct cert_issue what = {.spiffe_id = STR("spiffe://td/a"),
		.not_before = MINT_NOW,
		.not_after = MINT_NOW + 60};
	assert_int_equal(cert_ca_load(chain, root->key, &ca), 0);
	assert_int_equal(cert_ca_issue_ca(ca, MINT_NOW, MINT_NOW + 60, &below), 0);
	assert_int_equal(cert_ca_issue_ca(below, MINT_NOW, MINT_NOW + 60, &none), ERR_DENIED);
	assert_int_equal(cert_ca_issue(below, NULL, f->key, &what, &leaf), 0);
	assert_int_equal(cert_verify(leaf, b, MINT_NOW, true, NULL), CERT_GOOD);
	cert_chain_unref(&leaf);
	cert_chain_unref(&chain);
	cert_bundle_unref(&b);
	cert_ca_free(&below);
	cert_ca_free(&ca);
	minted_free(root, NULL);
}

/* A CA that names no trust domain issues leaves of any, but no CA of unknown allegiance. */
static void ca_without_trust_domain(void **state)
{
	const struct fixture *f = *state;
	struct cert_ca *ca, *below;
	struct cert_chain *leaf;
	struct minted *root = mint(&(struct mint){.ca = true, .subject = "corporate"}, NULL);
	struct cert_chain *chain = mint_chain(root, NULL);
	const struct cert_issue what = {.spiffe_id = STR("spiffe://any/a"),
		.not_before = MINT_NOW,
		.not_after = MINT_NOW + 60};
	assert_int_equal(cert_ca_load(chain, root->key, &ca), 0);
	assert_int_equal(cert_ca_issue(ca, NULL, f->key, &what, &leaf), 0);
	assert_int_equal(cert_ca_issue_ca(ca, MINT_NOW, MINT_NOW + 60, &below), ERR_INVAL);
	cert_chain_unref(&leaf);
	cert_chain_unref(&chain);
	cert_ca_free(&ca);
	minted_free(root, NULL);
}

/* Writes text to a new file in dir; path has room for it. */
static void put_file(const char *dir, const char *name, char *path, size_t size, char *text)
{
	snprintf(path, size, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	mem_free(text);
}

/* Whether an independent implementation takes the leaf for a server of that name. */
static bool openssl_takes(const struct cert_ca *ca, const struct cert_chain *leaf, const char *host)
{
	char dir[] = "/tmp/weft-issue-test-XXXXXX", root[64], own[64], command[512];
	assert_non_null(mkdtemp(dir));
	put_file(dir, "root.pem", root, sizeof(root), cert_ca_cert_pem(ca));
	put_file(dir, "leaf.pem", own, sizeof(own), cert_chain_pem(leaf));
	snprintf(command, sizeof(command),
		"openssl verify -x509_strict -purpose sslserver -attime %lld -verify_hostname %s "
		"-CAfile %s %s >/dev/null 2>&1",
		MINT_NOW + 1, host, root, own);
	int status = system(command);
	unlink(root);
	unlink(own);
	rmdir(dir);
	return status == 0;
}

/* Exactly one URI, and host names beside it, by our verifier and by another's. */
static void dns_names(void **state)
{
	const struct fixture *f = *state;
	const struct str names[] = {STR("localhost"), STR("weft-ctrlplane.weft-system.svc")};
	struct cert_issue what = a_day;
	struct cert_chain *chain;
	struct cert_description d;
	what.dns = names;
	what.n_dns = 2;
	assert_int_equal(cert_ca_issue(f->root, NULL, f->key, &what, &chain), 0);
	cert_describe(chain, 0, &d);
	assert_int_equal(d.n_uris, 1);
	assert_int_equal(d.n_names, 3);
	struct cert_bundle *b = bundle_of(f->root);
	const struct cert_expect expect = {.id = what.spiffe_id};
	assert_int_equal(cert_verify(chain, b, MINT_NOW, true, &expect), CERT_GOOD);
	if (lab_possible()) {
		assert_true(openssl_takes(f->root, chain, "localhost"));
		assert_true(openssl_takes(f->root, chain, "weft-ctrlplane.weft-system.svc"));
		assert_false(openssl_takes(f->root, chain, "other.svc"));
	}
	cert_bundle_unref(&b);
	cert_chain_unref(&chain);
}

static void dns_refusals(void **state)
{
	const struct fixture *f = *state;
	const char *const bad[] = {"", ".", "a..b", "-a", "a-", "a b", "*.svc", "a.", "a_b",
		"\xc3\xa9", "1234567890123456789012345678901234567890123456789012345678901234.svc"};
	struct str names[CERT_DNS_NAMES + 1];
	struct cert_issue what = a_day;
	struct cert_chain *chain;
	what.dns = names;
	what.n_dns = 1;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		names[0] = str_from(bad[i]);
		assert_int_equal(cert_ca_issue(f->root, NULL, f->key, &what, &chain), ERR_INVAL);
	}
	char *longest = mem_alloc(254);
	for (size_t i = 0; i < 253; i++)
		longest[i] = i % 50 == 49 ? '.' : 'a';
	for (size_t i = 0; i <= CERT_DNS_NAMES; i++)
		names[i] = str_make(longest, 253);
	what.n_dns = CERT_DNS_NAMES;
	assert_int_equal(cert_ca_issue(f->root, NULL, f->key, &what, &chain), 0);
	cert_chain_unref(&chain);
	what.n_dns++;
	assert_int_equal(cert_ca_issue(f->root, NULL, f->key, &what, &chain), ERR_INVAL);
	mem_free(longest);
}

static void flaw_names(void **state)
{
	(void)state;
	enum cert_flaw flaw;
	assert_int_equal(cert_flaw_parse(STR("p384"), &flaw), 0);
	assert_int_equal(flaw, CERT_FLAW_OTHER_CURVE);
	assert_int_equal(cert_flaw_parse(STR("none"), &flaw), 0);
	assert_int_equal(flaw, CERT_FLAW_NONE);
	assert_int_equal(cert_flaw_parse(STR(""), &flaw), ERR_INVAL);
	assert_int_equal(cert_flaw_parse(STR("Expired"), &flaw), ERR_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_is_a_root),
		cmocka_unit_test(root_refusals),
		cmocka_unit_test(long_trust_domain),
		cmocka_unit_test(serials_are_random_and_positive),
		cmocka_unit_test(leaf_ends_with_its_ca),
		cmocka_unit_test(leaf_refusals),
		cmocka_unit_test(intermediates),
		cmocka_unit_test(saved_and_loaded),
		cmocka_unit_test(load_refusals),
		cmocka_unit_test(path_lengths),
		cmocka_unit_test(ca_without_trust_domain),
		cmocka_unit_test(dns_names),
		cmocka_unit_test(dns_refusals),
		cmocka_unit_test(flaw_names),
	};
	if (crypto_init() != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	crypto_cleanup();
	return failed;
}
