/*
 * Answers of a signer, good ones and all that are not: another key, domain, pod or root, expired,
 * garbage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"
#include "sidecar/identity/answer.h"

#define WALL 1800000000ll
#define UID "uid-1"

/* Two roots of our domain, one of another, and an answer in the making. */
struct world {
	struct cert_ca *ca, *next, *foreign;
	struct cert_key *key;
	struct cert_chain *chain;
	Weft__Mesh__V1__SignResponse answer;
	Weft__Mesh__V1__TrustBundle bundle, *bundles[1];
	struct answer_expect expect;
	bool ours;
	char err[256];
};

static struct cert_ca *new_ca(const char *td)
{
	struct cert_ca *ca;
	assert_int_equal(cert_ca_create(str_from(td), WALL - 86400, WALL + 86400 * 30, &ca), 0);
	return ca;
}

static struct str roots_of(const struct cert_ca *ca)
{
	return cert_chain_der(cert_ca_chain(ca));
}

static ProtobufCBinaryData bytes_of(struct str s)
{
	return (ProtobufCBinaryData){.len = s.n, .data = (uint8_t *)(uintptr_t)s.p};
}

static int setup(void **state)
{
	struct world *w = MEM_NEW(struct world);
	assert_int_equal(crypto_init(), 0);
	w->ca = new_ca("cluster.local");
	w->next = new_ca("cluster.local");
	w->foreign = new_ca("other.example");
	w->key = cert_key_generate();
	weft__mesh__v1__sign_response__init(&w->answer);
	weft__mesh__v1__trust_bundle__init(&w->bundle);
	w->bundle.trust_domain = (char *)(uintptr_t)"cluster.local";
	w->bundle.roots = bytes_of(roots_of(w->ca));
	w->bundles[0] = &w->bundle;
	w->answer.bundles = w->bundles;
	w->answer.n_bundles = 1;
	w->answer.session = (char *)(uintptr_t)"wts_1";
	w->expect = (struct answer_expect){.key = w->key,
		.trust_domain = STR("cluster.local"),
		.pod_uid = STR(UID),
		.now = WALL};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	cert_chain_unref(&w->chain);
	cert_key_unref(&w->key);
	cert_ca_free(&w->ca);
	cert_ca_free(&w->next);
	cert_ca_free(&w->foreign);
	mem_free(w);
	return 0;
}

/* The answer has a leaf like this. */
static void issue(struct world *w, struct cert_ca *ca, const char *id, const char *uid,
	enum cert_flaw flaw)
{
	struct cert_issue what = {.spiffe_id = str_from(id),
		.pod_uid = str_from(uid),
		.not_before = WALL - 120,
		.not_after = WALL + 600,
		.flaw = flaw};
	cert_chain_unref(&w->chain);
	assert_int_equal(cert_ca_issue(ca, NULL, w->key, &what, &w->chain), 0);
	w->answer.chain = bytes_of(cert_chain_der(w->chain));
}

#define ID "spiffe://cluster.local/ns/default/sa/web"

static void expect_good(struct world *w)
{
	struct cert_chain *got;
	int e = answer_check(&w->answer, &w->expect, &got, &w->ours, w->err, sizeof(w->err));
	if (e != 0)
		fail_msg("refused: %s", w->err);
	assert_true(w->ours);
	assert_string_equal(cert_chain_leaf(got)->id.id.p, cert_chain_leaf(w->chain)->id.id.p);
	cert_chain_unref(&got);
}

static void expect_refused(struct world *w, bool ours, const char *text)
{
	struct cert_chain *got;
	int e = answer_check(&w->answer, &w->expect, &got, &w->ours, w->err, sizeof(w->err));
	assert_int_equal(e, ERR_VERIFY);
	assert_null(got);
	assert_int_equal(w->ours, ours);
	if (strstr(w->err, text) == NULL)
		fail_msg("no \"%s\" in \"%s\"", text, w->err);
}

static void test_good(void **state)
{
	struct world *w = *state;
	issue(w, w->ca, ID, UID, CERT_FLAW_NONE);
	expect_good(w); /* under the bundle that came with it */
	w->expect.roots = roots_of(w->ca);
	w->answer.n_bundles = 0;
	expect_good(w); /* under the one in force */
	w->expect.pod_uid = w->expect.trust_domain = STR_NULL;
	expect_good(w); /* nothing demanded */
}

static void test_whose(void **state)
{
	struct world *w = *state;
	struct cert_key *own = w->key;
	issue(w, w->ca, ID, "uid-2", CERT_FLAW_NONE);
	expect_refused(w, false, "uid-2");
	issue(w, w->ca, ID, "", CERT_FLAW_NONE);
	expect_refused(w, false, UID);
	issue(w, w->foreign, "spiffe://other.example/ns/default/sa/web", UID, CERT_FLAW_NONE);
	expect_refused(w, false, "other.example");
	w->key = cert_key_generate();
	issue(w, w->ca, ID, UID, CERT_FLAW_NONE);
	expect_refused(w, false, "key");
	cert_key_unref(&own);
	w->expect.key = w->key;
	expect_good(w);
	w->answer.session = (char *)(uintptr_t)"two words"; /* none for a header */
	struct cert_chain *got;
	assert_int_equal(answer_check(&w->answer, &w->expect, &got, &w->ours, w->err,
				 sizeof(w->err)),
		0);
	assert_false(w->ours);
	cert_chain_unref(&got);
}

/* It is ours, but not to be used (yet). */
static void test_not_usable(void **state)
{
	struct world *w = *state;
	issue(w, w->next, ID, UID, CERT_FLAW_NONE);
	expect_refused(w, true, "does not lead to a root");
	w->expect.roots = roots_of(w->next);
	expect_good(w);
	w->expect.roots = roots_of(w->ca);
	expect_refused(w, true, "does not lead to a root");
	issue(w, w->ca, ID, UID, CERT_FLAW_NONE);
	w->expect.now = WALL + 601;
	expect_refused(w, true, "expired");
	w->expect.now = WALL - 121;
	expect_refused(w, true, "not valid yet");
	w->expect.now = WALL;
	w->expect.roots = STR_NULL;
	w->answer.n_bundles = 0;
	expect_refused(w, true, "no bundle");
}

static void test_malformed(void **state)
{
	struct world *w = *state;
	expect_refused(w, false, "cannot be parsed");
	w->answer.chain = bytes_of(STR("\x30\x03garbage"));
	expect_refused(w, false, "cannot be parsed");
	for (int f = CERT_FLAW_NONE + 1; f < CERT_FLAW_COUNT; f++) {
		struct cert_chain *got;
		if (f == CERT_FLAW_OTHER_CURVE || f == CERT_FLAW_FOREIGN_ID)
			continue; /* want another key, and another CA */
		issue(w, w->ca, ID, UID, (enum cert_flaw)f);
		if (answer_check(&w->answer, &w->expect, &got, &w->ours, w->err, sizeof(w->err)) ==
			0)
			fail_msg("a leaf with flaw %s was taken", cert_flaw_option(f));
	}
}

static void test_first_root(void **state)
{
	struct world *w = *state;
	char both[8192];
	struct str a = roots_of(w->ca), b = roots_of(w->next);
	issue(w, w->ca, ID, UID, CERT_FLAW_NONE);
	memcpy(both, a.p, a.n);
	memcpy(both + a.n, b.p, b.n);
	assert_true(answer_hangs_from_first(w->chain, a));
	assert_false(answer_hangs_from_first(w->chain, b));
	assert_true(answer_hangs_from_first(w->chain, str_make(both, a.n + b.n)));
	memcpy(both, b.p, b.n);
	memcpy(both + b.n, a.p, a.n);
	assert_false(answer_hangs_from_first(w->chain, str_make(both, a.n + b.n)));
	/* What is no list of roots is no reason to renew. */
	assert_true(answer_hangs_from_first(w->chain, STR_NULL));
	assert_true(answer_hangs_from_first(w->chain, STR("0")));
	assert_true(answer_hangs_from_first(w->chain, STR("\x30\x84\xff\xff\xff\xff")));
	assert_true(answer_hangs_from_first(w->chain, str_make(both, 100)));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_whose),
		TEST(test_not_usable),
		TEST(test_malformed),
		TEST(test_first_root),
	};
	return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
