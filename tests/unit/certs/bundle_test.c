/*
 * Bundles: what they accept as a root, bounds, atomic adding, and the epoch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"
#include "tests/support/mint.h"

static struct minted *make_root(const char *name)
{
	return mint(&(struct mint){.ca = true, .subject = name}, NULL);
}

static const struct {
	const char *name;
	struct mint root;
	int want;
} rows[] = {
	{"good", {.subject = "r", .ca = true}, 0},
	{"own domain", {.subject = "r", .ca = true, .uris = {"spiffe://td"}}, 0},
	{"own domain with path", {.subject = "r", .ca = true, .uris = {"spiffe://td/ca"}}, 0},
	{"https", {.subject = "r", .ca = true, .uris = {"https://example.org"}}, 0},
	{"other domain", {.subject = "r", .ca = true, .uris = {"spiffe://other"}}, ERR_VERIFY},
	{"prefix of the domain", {.subject = "r", .ca = true, .uris = {"spiffe://t"}}, ERR_VERIFY},
	{"longer domain", {.subject = "r", .ca = true, .uris = {"spiffe://td.x"}}, ERR_VERIFY},
	{"invalid ID", {.subject = "r", .ca = true, .uris = {"spiffe://td:1"}}, ERR_VERIFY},
	{"no CA", {.subject = "r", .key_usage = X509_KEY_CERT_SIGN}, ERR_VERIFY},
	{"no keyCertSign", {.subject = "r", .ca = true, .key_usage = X509_CRL_SIGN}, ERR_VERIFY},
	{"no key usage", {.subject = "r", .ca = true, .key_usage = MINT_NO_KEY_USAGE}, ERR_VERIFY},
	{"no extensions", {.subject = "r", .no_extensions = true}, ERR_VERIFY},
	{"critical extension",
		{.subject = "r", .ca = true, .unknown = STR("\x2a\x03"), .unknown_critical = true},
		ERR_VERIFY},
	{"expired", {.subject = "r", .ca = true, .not_after = 1}, 0},
};

static void what_may_be_a_root(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct minted *root = mint(&rows[i].root, NULL);
		struct cert_bundle *b = cert_bundle_new();
		int err = cert_bundle_add(b, STR("td"), root->der);
		if (err != rows[i].want || cert_bundle_has(b, STR("td")) != (err == 0))
			fail_msg("%s: %d", rows[i].name, err);
		cert_bundle_unref(&b);
		minted_free(root, NULL);
	}
}

static void malformed_input(void **state)
{
	(void)state;
	static const struct str bad[] = {STR(""), STR("x"), STR("\x30\x00"),
		STR("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
		STR("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n")};
	struct cert_bundle *b = cert_bundle_new();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cert_bundle_add(b, STR("td"), bad[i]), ERR_INVAL);
	struct minted *root = make_root("r");
	assert_int_equal(cert_bundle_add(b, STR("TD"), root->der), ERR_INVAL);
	assert_int_equal(cert_bundle_add(b, STR(""), root->der), ERR_INVAL);
	char *huge = mem_alloc(4 << 20);
	assert_int_equal(cert_bundle_add(b, STR("td"), str_make(huge, 4 << 20)), ERR_LIMIT);
	mem_free(huge);
	assert_false(cert_bundle_has(b, STR("td")));
	minted_free(root, NULL);
	cert_bundle_unref(&b);
}

/* One bad root spoils the whole addition and nothing else. */
static void adding_is_atomic(void **state)
{
	(void)state;
	struct minted *good = make_root("a"), *second = make_root("b"),
		      *bad = mint(&(struct mint){.subject = "c"}, NULL);
	struct cert_bundle *b = mint_bundle("td", good, NULL),
			   *same = mint_bundle("td", good, NULL);
	struct str both = mint_join(second, bad, NULL);
	assert_int_equal(cert_bundle_add(b, STR("td"), both), ERR_VERIFY);
	assert_int_equal(cert_bundle_add(b, STR("other"), both), ERR_VERIFY);
	assert_false(cert_bundle_has(b, STR("other")));
	assert_string_equal(cert_bundle_epoch(b), cert_bundle_epoch(same));
	mem_free((void *)(uintptr_t)both.p);
	cert_bundle_unref(&b);
	cert_bundle_unref(&same);
	minted_free(good, second, bad, NULL);
}

static void bounds(void **state)
{
	(void)state;
	struct cert_bundle *b = cert_bundle_new();
	struct minted *root = make_root("r");
	char td[16];
	for (int i = 0; i < CERT_BUNDLE_DOMAINS; i++) {
		snprintf(td, sizeof(td), "td%d", i);
		assert_int_equal(cert_bundle_add(b, str_from(td), root->der), 0);
	}
	assert_int_equal(cert_bundle_add(b, STR("more"), root->der), ERR_LIMIT);
	for (int i = 1; i < CERT_BUNDLE_ROOTS; i++) {
		struct minted *another = make_root("r");
		assert_int_equal(cert_bundle_add(b, STR("td0"), another->der), 0);
		minted_free(another, NULL);
	}
	struct minted *last = make_root("r");
	assert_int_equal(cert_bundle_add(b, STR("td0"), last->der), ERR_LIMIT);
	assert_int_equal(cert_bundle_add(b, STR("td0"), root->der), 0);
	minted_free(root, last, NULL);
	cert_bundle_unref(&b);
}

static void epoch(void **state)
{
	(void)state;
	struct minted *a = make_root("a"), *c = make_root("c");
	struct cert_bundle *empty = cert_bundle_new(), *one = mint_bundle("td", a, NULL),
			   *two = mint_bundle("td", a, c, NULL),
			   *turned = mint_bundle("td", c, a, NULL),
			   *twice = mint_bundle("td", a, a, NULL),
			   *other = mint_bundle("te", a, NULL);
	assert_int_equal(strlen(cert_bundle_epoch(empty)), 64);
	assert_string_not_equal(cert_bundle_epoch(empty), cert_bundle_epoch(one));
	assert_string_not_equal(cert_bundle_epoch(one), cert_bundle_epoch(two));
	assert_string_not_equal(cert_bundle_epoch(one), cert_bundle_epoch(other));
	assert_string_equal(cert_bundle_epoch(two), cert_bundle_epoch(turned));
	assert_string_equal(cert_bundle_epoch(one), cert_bundle_epoch(twice));
	/* The order of domains does not matter, to which of them a root belongs does. */
	assert_int_equal(cert_bundle_add(one, STR("te"), c->der), 0);
	assert_int_equal(cert_bundle_add(other, STR("td"), c->der), 0);
	assert_string_not_equal(cert_bundle_epoch(one), cert_bundle_epoch(other));
	struct cert_bundle *back = mint_bundle("te", c, NULL);
	assert_int_equal(cert_bundle_add(back, STR("td"), a->der), 0);
	assert_string_equal(cert_bundle_epoch(one), cert_bundle_epoch(back));
	cert_bundle_unref(&empty);
	cert_bundle_unref(&one);
	cert_bundle_unref(&two);
	cert_bundle_unref(&turned);
	cert_bundle_unref(&twice);
	cert_bundle_unref(&other);
	cert_bundle_unref(&back);
	minted_free(a, c, NULL);
}

static void references(void **state)
{
	(void)state;
	struct cert_bundle *b = cert_bundle_new(), *second = cert_bundle_ref(b);
	cert_bundle_unref(&b);
	assert_null(b);
	assert_false(cert_bundle_has(second, STR("td")));
	cert_bundle_unref(&second);
	cert_bundle_unref(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_be_a_root),
		cmocka_unit_test(malformed_input),
		cmocka_unit_test(adding_is_atomic),
		cmocka_unit_test(bounds),
		cmocka_unit_test(epoch),
		cmocka_unit_test(references),
	};
	if (crypto_init() != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	crypto_cleanup();
	return failed;
}
