/*
 * Ways from a leaf to a root: intermediates in any order, path lengths, constraints on CAs,
 * rotation of roots, and the bound on work.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "certs/oid.h"
#include "lib/base/alloc.h"
#include "lib/crypto/crypto.h"
#include "tests/support/mint.h"

static const struct mint leaf_of_td = {.uris = {"spiffe://td/a"}};

static struct minted *make_root(const char *name)
{
	return mint(&(struct mint){.ca = true, .subject = name, .uris = {"spiffe://td"}}, NULL);
}

static struct minted *make_ca(const char *name, const struct minted *issuer)
{
	return mint(&(struct mint){.ca = true, .subject = name}, issuer);
}

/* Gives the chain up. */
static void assert_chain(struct cert_chain *c, const struct cert_bundle *b, enum cert_verdict want)
{
	enum cert_verdict got = cert_verify(c, b, MINT_NOW, true, NULL);
	if (got != want)
		fail_msg("got %s, want %s", cert_verdict_label(got), cert_verdict_label(want));
	cert_chain_unref(&c);
}

static void intermediates(void **state)
{
	(void)state;
	struct minted *root = make_root("r"), *one = make_ca("1", root), *two = make_ca("2", one),
		      *three = make_ca("3", two), *leaf = mint(&leaf_of_td, three);
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	assert_chain(mint_chain(leaf, three, two, one, NULL), b, CERT_GOOD);
	/* TLS 1.3 lets peers send them in any order (RFC 8446 4.4.2). */
	assert_chain(mint_chain(leaf, one, two, three, NULL), b, CERT_GOOD);
	assert_chain(mint_chain(leaf, two, three, one, NULL), b, CERT_GOOD);
	assert_chain(mint_chain(leaf, three, two, NULL), b, CERT_UNTRUSTED);
	assert_chain(mint_chain(leaf, two, one, NULL), b, CERT_UNTRUSTED);
	assert_chain(mint_chain(leaf, NULL), b, CERT_UNTRUSTED);
	cert_bundle_unref(&b);
	/* An intermediate in the bundle is an anchor of its own. */
	b = mint_bundle("td", two, NULL);
	assert_chain(mint_chain(leaf, three, NULL), b, CERT_GOOD);
	cert_bundle_unref(&b);
	minted_free(root, one, two, three, leaf, NULL);
}

static void root_may_be_sent_along(void **state)
{
	(void)state;
	struct minted *root = make_root("r"), *ca = make_ca("1", root),
		      *leaf = mint(&leaf_of_td, ca), *stranger = make_root("s");
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	assert_chain(mint_chain(leaf, ca, root, NULL), b, CERT_GOOD);
	assert_chain(mint_chain(leaf, stranger, ca, NULL), b, CERT_GOOD);
	cert_bundle_unref(&b);
	/* But what was sent along is no root. */
	b = mint_bundle("td", stranger, NULL);
	assert_chain(mint_chain(leaf, ca, root, NULL), b, CERT_UNTRUSTED);
	cert_bundle_unref(&b);
	minted_free(root, ca, leaf, stranger, NULL);
}

static void path_lengths(void **state)
{
	(void)state;
	static const struct mint none = {.ca = true, .subject = "0", .path_len = 1},
				 one = {.ca = true, .subject = "1", .path_len = 2};
	struct minted *root = make_root("r"), *zero_ca = mint(&none, root),
		      *one_ca = mint(&one, root);
	struct minted *below_zero = make_ca("bz", zero_ca), *below_one = make_ca("bo", one_ca),
		      *deeper = make_ca("d", below_one);
	struct minted *a = mint(&leaf_of_td, zero_ca), *c = mint(&leaf_of_td, below_zero),
		      *d = mint(&leaf_of_td, below_one), *e = mint(&leaf_of_td, deeper);
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	assert_chain(mint_chain(a, zero_ca, NULL), b, CERT_GOOD);
	assert_chain(mint_chain(c, below_zero, zero_ca, NULL), b, CERT_UNTRUSTED);
	assert_chain(mint_chain(d, below_one, one_ca, NULL), b, CERT_GOOD);
	assert_chain(mint_chain(e, deeper, below_one, one_ca, NULL), b, CERT_UNTRUSTED);
	cert_bundle_unref(&b);
	minted_free(root, zero_ca, one_ca, below_zero, below_one, deeper, a, c, d, e, NULL);
}

/* RFC 5280 4.2.1.9: certificates issued by a CA to itself, as when it changes its key, do not
 * count. */
static void self_issued_do_not_count(void **state)
{
	(void)state;
	static const struct mint again = {.ca = true, .subject = "r"};
	struct minted *root = mint(&(struct mint){.ca = true, .subject = "r", .path_len = 1}, NULL);
	struct minted *next = mint(&again, root), *leaf = mint(&leaf_of_td, next);
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	assert_chain(mint_chain(leaf, next, NULL), b, CERT_GOOD);
	cert_bundle_unref(&b);
	minted_free(root, next, leaf, NULL);
}

/* What stands between root and leaf and may not sign. */
static const struct {
	const char *name;
	struct mint ca;
	enum cert_verdict want;
} unfit[] = {
	{"a good one", {.subject = "i", .ca = true}, CERT_GOOD},
	{"no CA", {.subject = "i", .key_usage = X509_KEY_CERT_SIGN}, CERT_UNTRUSTED},
	{"no constraints",
		{.subject = "i", .no_constraints = true, .key_usage = X509_KEY_CERT_SIGN},
		CERT_UNTRUSTED},
	{"no keyCertSign", {.subject = "i", .ca = true, .key_usage = X509_CRL_SIGN},
		CERT_UNTRUSTED},
	{"no key usage", {.subject = "i", .ca = true, .key_usage = MINT_NO_KEY_USAGE},
		CERT_UNTRUSTED},
	{"no extensions", {.subject = "i", .no_extensions = true}, CERT_UNTRUSTED},
	{"own domain", {.subject = "i", .ca = true, .uris = {"spiffe://td/ca"}}, CERT_GOOD},
	{"other domain", {.subject = "i", .ca = true, .uris = {"spiffe://other"}}, CERT_UNTRUSTED},
	{"invalid ID", {.subject = "i", .ca = true, .uris = {"spiffe://TD"}}, CERT_UNTRUSTED},
	{"own and other domain",
		{.subject = "i", .ca = true, .uris = {"spiffe://td", "SPIFFE://other"}},
		CERT_UNTRUSTED},
	{"no SPIFFE ID", {.subject = "i", .ca = true, .uris = {"https://td"}}, CERT_GOOD},
	{"critical extension",
		{.subject = "i", .ca = true, .unknown = STR("\x2a\x03"), .unknown_critical = true},
		CERT_CRITICAL},
	{"for clients", {.subject = "i", .ca = true, .eku = OID_CLIENT_AUTH}, CERT_UNTRUSTED},
	{"for servers", {.subject = "i", .ca = true, .eku = OID_SERVER_AUTH}, CERT_GOOD},
	{"for anything", {.subject = "i", .ca = true, .eku = OID_ANY_EXT_KEY_USAGE}, CERT_GOOD},
	{"expired", {.subject = "i", .ca = true, .not_after = MINT_NOW - 1}, CERT_EXPIRED},
	{"ends now", {.subject = "i", .ca = true, .not_after = MINT_NOW}, CERT_GOOD},
	{"begins soon", {.subject = "i", .ca = true, .not_before = MINT_NOW + 1},
		CERT_NOT_YET_VALID},
	{"begins now", {.subject = "i", .ca = true, .not_before = MINT_NOW}, CERT_GOOD},
};

static void unfit_intermediates(void **state)
{
	(void)state;
	struct minted *root = make_root("r");
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
		struct minted *ca = mint(&unfit[i].ca, root), *leaf = mint(&leaf_of_td, ca);
		struct cert_chain *c = mint_chain(leaf, ca, NULL);
		enum cert_verdict got = cert_verify(c, b, MINT_NOW, true, NULL);
		if (got != unfit[i].want)
			fail_msg("%s: %s", unfit[i].name, cert_verdict_label(got));
		cert_chain_unref(&c);
		minted_free(ca, leaf, NULL);
	}
	cert_bundle_unref(&b);
	minted_free(root, NULL);
}

static void leaf_does_not_sign(void **state)
{
	(void)state;
	struct minted *root = make_root("r");
	struct minted *middle =
		mint(&(struct mint){.subject = "m", .uris = {"spiffe://td/m"}}, root);
	struct minted *leaf = mint(&leaf_of_td, middle);
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	assert_chain(mint_chain(leaf, middle, NULL), b, CERT_UNTRUSTED);
	cert_bundle_unref(&b);
	minted_free(root, middle, leaf, NULL);
}

static void same_name_other_key(void **state)
{
	(void)state;
	struct minted *first = make_root("r"), *second = make_root("r"), *third = make_root("r");
	struct minted *a = mint(&leaf_of_td, first), *c = mint(&leaf_of_td, second),
		      *d = mint(&leaf_of_td, third);
	struct cert_bundle *b = mint_bundle("td", first, second, NULL);
	assert_chain(mint_chain(a, NULL), b, CERT_GOOD);
	assert_chain(mint_chain(c, NULL), b, CERT_GOOD);
	assert_chain(mint_chain(d, NULL), b, CERT_UNTRUSTED);
	assert_chain(mint_chain(d, third, NULL), b, CERT_UNTRUSTED);
	cert_bundle_unref(&b);
	minted_free(first, second, third, a, c, d, NULL);
}

/* Rotation: both roots are trusted for a while, then the old one is gone. */
static void root_rotation(void **state)
{
	(void)state;
	struct minted *old = make_root("old"), *new = make_root("new");
	struct minted *a = mint(&leaf_of_td, old), *c = mint(&leaf_of_td, new);
	struct cert_bundle *before = mint_bundle("td", old, NULL),
			   *during = mint_bundle("td", old, new, NULL),
			   *after = mint_bundle("td", new, NULL);
	assert_chain(mint_chain(a, NULL), before, CERT_GOOD);
	assert_chain(mint_chain(c, NULL), before, CERT_UNTRUSTED);
	assert_chain(mint_chain(a, NULL), during, CERT_GOOD);
	assert_chain(mint_chain(c, NULL), during, CERT_GOOD);
	assert_chain(mint_chain(a, NULL), after, CERT_UNTRUSTED);
	assert_chain(mint_chain(c, NULL), after, CERT_GOOD);
	cert_bundle_unref(&before);
	cert_bundle_unref(&during);
	cert_bundle_unref(&after);
	minted_free(old, new, a, c, NULL);
}

/* A leaf under the new root reaches who knows only the old one by a cross-signed certificate, and
 * the other way round. */
static void cross_signed(void **state)
{
	(void)state;
	struct minted *old = make_root("old"), *new = make_root("new");
	struct minted *bridge =
		mint(&(struct mint){.ca = true, .subject = "new", .key = new->key}, old);
	struct minted *leaf = mint(&leaf_of_td, new);
	struct cert_bundle *knows_old = mint_bundle("td", old, NULL),
			   *knows_new = mint_bundle("td", new, NULL);
	assert_chain(mint_chain(leaf, bridge, NULL), knows_old, CERT_GOOD);
	assert_chain(mint_chain(leaf, bridge, NULL), knows_new, CERT_GOOD);
	cert_bundle_unref(&knows_old);
	cert_bundle_unref(&knows_new);
	minted_free(old, new, bridge, leaf, NULL);
}

/* A root renewed with the same name and key: the expired one in the bundle does no harm, alone it
 * says why. */
static void expired_root_beside_its_successor(void **state)
{
	(void)state;
	struct minted *new = make_root("r");
	struct minted *old = mint(&(struct mint){.ca = true,
					  .subject = "r",
					  .key = new->key,
					  .not_after = MINT_NOW - 1},
		NULL);
	struct minted *leaf = mint(&leaf_of_td, new);
	struct cert_bundle *both = mint_bundle("td", old, new, NULL),
			   *alone = mint_bundle("td", old, NULL);
	assert_chain(mint_chain(leaf, NULL), both, CERT_GOOD);
	assert_chain(mint_chain(leaf, NULL), alone, CERT_EXPIRED);
	cert_bundle_unref(&both);
	cert_bundle_unref(&alone);
	minted_free(new, old, leaf, NULL);
}

/* An expired leaf of nobody we trust is untrusted, not expired: signature comes before validity. */
static void signature_before_validity(void **state)
{
	(void)state;
	struct minted *root = make_root("r"), *other = make_root("r");
	struct minted *leaf =
		mint(&(struct mint){.uris = {"spiffe://td/a"}, .not_after = MINT_NOW - 10}, other);
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	assert_chain(mint_chain(leaf, NULL), b, CERT_UNTRUSTED);
	cert_bundle_unref(&b);
	minted_free(root, other, leaf, NULL);
}

static void other_curves(void **state)
{
	(void)state;
	struct cert_key *p384 = cert_key_generate_p384();
	struct minted *root = mint(&(struct mint){.ca = true, .subject = "r", .key = p384}, NULL);
	struct minted *leaf = mint(&leaf_of_td, root);
	struct minted *big = mint(&(struct mint){.uris = {"spiffe://td/a"}, .key = p384}, root);
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	assert_chain(mint_chain(leaf, NULL), b, CERT_GOOD);
	assert_chain(mint_chain(big, NULL), b, CERT_ALGORITHM);
	cert_bundle_unref(&b);
	minted_free(root, leaf, big, NULL);
	cert_key_unref(&p384);
}

/* Sixteen roots of one name and three intermediates: the longest honest way is still within the
 * bound. */
static void longest_honest_way(void **state)
{
	(void)state;
	struct minted *roots[CERT_BUNDLE_ROOTS];
	struct cert_bundle *b = cert_bundle_new();
	for (size_t i = 0; i < CERT_BUNDLE_ROOTS; i++) {
		roots[i] = make_root("r");
		assert_int_equal(cert_bundle_add(b, STR("td"), roots[i]->der), 0);
	}
	struct minted *one = make_ca("1", roots[CERT_BUNDLE_ROOTS - 1]), *two = make_ca("2", one),
		      *three = make_ca("3", two), *leaf = mint(&leaf_of_td, three);
	assert_chain(mint_chain(leaf, three, two, one, NULL), b, CERT_GOOD);
	minted_free(one, two, three, leaf, NULL);
	cert_bundle_unref(&b);
	for (size_t i = 0; i < CERT_BUNDLE_ROOTS; i++)
		minted_free(roots[i], NULL);
}

/* Certificates that all could have issued each other: refused, and after a bounded number of
 * signatures (the loop ends). */
static void everybody_issued_everybody(void **state)
{
	(void)state;
	struct minted *root = make_root("r"), *fake = make_root("r");
	static const struct mint same = {.ca = true, .subject = "r"};
	struct mint again = same;
	again.key = fake->key;
	struct minted *a = mint(&again, fake), *c = mint(&again, fake), *d = mint(&again, fake);
	struct minted *leaf = mint(&leaf_of_td, fake);
	struct cert_bundle *b = mint_bundle("td", root, NULL);
	assert_chain(mint_chain(leaf, a, c, d, NULL), b, CERT_UNTRUSTED);
	cert_bundle_unref(&b);
	minted_free(root, fake, a, c, d, leaf, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intermediates),
		cmocka_unit_test(root_may_be_sent_along),
		cmocka_unit_test(path_lengths),
		cmocka_unit_test(self_issued_do_not_count),
		cmocka_unit_test(unfit_intermediates),
		cmocka_unit_test(leaf_does_not_sign),
		cmocka_unit_test(same_name_other_key),
		cmocka_unit_test(root_rotation),
		cmocka_unit_test(cross_signed),
		cmocka_unit_test(expired_root_beside_its_successor),
		cmocka_unit_test(signature_before_validity),
		cmocka_unit_test(other_curves),
		cmocka_unit_test(longest_honest_way),
		cmocka_unit_test(everybody_issued_everybody),
	};
	if (crypto_init() != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	crypto_cleanup();
	return failed;
}
