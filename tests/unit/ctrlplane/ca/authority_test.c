/*
 * The authority: its files and all that may be wrong with them, what it issues, what it serves
 * with, what is revoked, and the warnings before its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs/describe.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "tests/support/ca_world.h"
#include "tests/support/worlds.h"

#define WEB "spiffe://cluster.local/ns/shop/sa/web"

static int setup(void **state)
{
	*state = malloc(sizeof(struct ca_world));
	ca_world_open(*state);
	return 0;
}

static int teardown(void **state)
{
	ca_world_close(*state);
	free(*state);
	return 0;
}

/* The start is refused with a text that has these words. */
static void expect_refusal(struct ca_world *w, int err, const char *file, const char *words)
{
	assert_int_equal(ca_world_start(w), err);
	assert_null(w->authority);
	if (strstr(w->err, file) == NULL || strstr(w->err, words) == NULL)
		fail_msg("\"%s\" has not \"%s\" and \"%s\"", w->err, file, words);
}

static void test_made_on_first_start(void **state)
{
	struct ca_world *w = *state;
	assert_int_equal(ca_world_start(w), 0);
	assert_int_equal(ca_world_mode(w, ""), 0700);
	assert_int_equal(ca_world_mode(w, "root.key"), 0600);
	assert_int_equal(ca_world_mode(w, "root.pem"), 0644);
	assert_false(ca_world_exists(w, "next.key"));
	assert_false(ca_world_exists(w, "next.pem"));
	assert_false(ca_world_exists(w, "rotation"));
	char *root = ca_world_read(w, "root.pem"), *key = ca_world_read(w, "root.key");
	ca_world_restart(w);
	char *root2 = ca_world_read(w, "root.pem"), *key2 = ca_world_read(w, "root.key");
	assert_string_equal(root, root2);
	assert_string_equal(key, key2);
	free(root), free(root2), free(key), free(key2);
}

static void test_issued(void **state)
{
	struct ca_world *w = *state;
	struct cert_chain *c;
	assert_int_equal(ca_world_start(w), 0);
	assert_int_equal(ca_world_issue(w, WEB, "u-1", &c), 0);
	const struct cert_leaf *leaf = cert_chain_leaf(c);
	assert_true(str_eq(leaf->id.id, STR(WEB)));
	assert_true(str_eq(leaf->pod_uid, STR("u-1")));
	assert_int_equal(leaf->not_before, CA_START - 120);
	assert_int_equal(leaf->not_after, CA_START + CA_DAY);
	assert_int_equal(cert_chain_count(c), 1);
	char *pem = ca_world_read(w, "root.pem");
	assert_int_equal(ca_world_judge(w, c, str_from(pem)), CERT_GOOD);
	assert_int_equal(ca_world_judge(w, c, authority_roots(w->authority)), CERT_GOOD);
	assert_true(ca_world_said(w, leaf->serial.p));
	assert_true(ca_world_said(w, WEB));
	free(pem);
	cert_chain_unref(&c);
	assert_int_equal(ca_world_issue(w, "spiffe://other/ns/a/sa/b", "", &c), ERR_DENIED);
	/* Whoever had it would be the control plane to every sidecar. */
	const char *own = "spiffe://cluster.local/ns/weft-system/sa/weft-ctrlplane";
	assert_int_equal(ca_world_issue(w, own, "u-1", &c), ERR_DENIED);
	assert_int_equal(ca_world_issue(w, "no id", "", &c), ERR_INVAL);
	assert_int_equal(ca_world_issue(w, WEB, "not a uid", &c), ERR_INVAL);
}

static void test_short_lives_and_the_cut(void **state)
{
	struct ca_world *w = *state;
	struct cert_chain *c;
	w->cfg.leaf_ns = 10 * NS_PER_S;
	w->cfg.root_ns = 60 * NS_PER_S;
	assert_int_equal(ca_world_start(w), 0);
	assert_int_equal(ca_world_issue(w, WEB, "", &c), 0);
	assert_int_equal(cert_chain_leaf(c)->not_after, CA_START + 10);
	cert_chain_unref(&c);
	ca_world_advance(w, 55);
	assert_int_equal(ca_world_issue(w, WEB, "", &c), 0);
	assert_int_equal(cert_chain_leaf(c)->not_after, CA_START + 60);
	cert_chain_unref(&c);
	ca_world_advance(w, 6);
	assert_int_equal(ca_world_issue(w, WEB, "", &c), ERR_EXPIRED);
	assert_non_null(authority_serving(w->authority));
	ca_world_stop(w);
	expect_refusal(w, ERR_EXPIRED, "root.pem", "expired; remove it");
}

static void test_configurations(void **state)
{
	struct ca_world *w = *state;
	w->cfg.trust_domain = "Not One";
	expect_refusal(w, ERR_INVAL, "Not One", "trust domain");
	w->cfg.trust_domain = CA_TD;
	w->cfg.key_file = "/nowhere";
	expect_refusal(w, ERR_INVAL, "", "all three or none");
	w->cfg.key_file = NULL;
	w->cfg.leaf_ns = 1;
	expect_refusal(w, ERR_INVAL, "", "a second at least");
	w->cfg.leaf_ns = w->cfg.root_ns + 1;
	expect_refusal(w, ERR_INVAL, "", "as long as a leaf");
}

static void test_half_a_pair(void **state)
{
	struct ca_world *w = *state;
	assert_int_equal(ca_world_start(w), 0);
	ca_world_stop(w);
	char *key = ca_world_read(w, "root.key");
	unlink(ca_world_path(w, "root.key"));
	expect_refusal(w, ERR_VERIFY, "root.key", "restore the missing file");
	ca_world_write(w, "root.key", 0600, key);
	unlink(ca_world_path(w, "root.pem"));
	expect_refusal(w, ERR_VERIFY, "root.pem", "restore the missing file");
	assert_true(ca_world_exists(w, "root.key"));
	free(key);
}

static void test_torn(void **state)
{
	struct ca_world *w = *state;
	assert_int_equal(ca_world_start(w), 0);
	ca_world_stop(w);
	char *key = ca_world_read(w, "root.key"), *cert = ca_world_read(w, "root.pem");
	char *half = mem_strndup(key, strlen(key) / 2);
	ca_world_write(w, "root.key", 0600, half);
	mem_free(half);
	expect_refusal(w, ERR_INVAL, "root.key", "torn");
	ca_world_write(w, "root.key", 0600, "");
	expect_refusal(w, ERR_INVAL, "root.key", "restore it");
	ca_world_write(w, "root.key", 0600, key);
	half = mem_strndup(cert, strlen(cert) / 2);
	ca_world_write(w, "root.pem", 0644, half);
	mem_free(half);
	expect_refusal(w, ERR_VERIFY, "root.pem", "torn");
	ca_world_write(w, "root.pem", 0644, "");
	expect_refusal(w, ERR_VERIFY, "root.pem", "restore it");
	ca_world_write(w, "root.pem", 0644, cert);
	ca_world_restart(w);
	free(key), free(cert);
}

static void test_foreign(void **state)
{
	struct ca_world *w = *state;
	assert_int_equal(ca_world_start(w), 0);
	ca_world_stop(w);
	struct cert_key *other = cert_key_generate(), *p384 = cert_key_generate_p384();
	char *pem = cert_key_pem(other), *wide = cert_key_pem(p384);
	char *key = ca_world_read(w, "root.key");
	ca_world_write(w, "root.key", 0600, pem);
	expect_refusal(w, ERR_VERIFY, "root.key", "not the key of");
	ca_world_write(w, "root.key", 0600, wide);
	expect_refusal(w, ERR_VERIFY, "root.key", "P-256");
	ca_world_write(w, "root.key", 0600, key);
	w->cfg.trust_domain = "example.org";
	expect_refusal(w, ERR_VERIFY, "root.pem", "of trust domain cluster.local");
	mem_free_secret(pem, strlen(pem));
	mem_free_secret(wide, strlen(wide));
	free(key);
	cert_key_unref(&other);
	cert_key_unref(&p384);
}

static void test_a_leaf_is_no_root(void **state)
{
	struct ca_world *w = *state;
	struct cert_chain *leaf;
	assert_int_equal(ca_world_start(w), 0);
	ca_world_stop(w);
	struct cert_ca *ca;
	struct cert_key *key = cert_key_generate();
	const struct cert_issue what = {
		.spiffe_id = STR(WEB), .not_before = CA_START, .not_after = CA_START + CA_DAY};
	assert_int_equal(cert_ca_create(STR(CA_TD), CA_START, CA_START + CA_DAY, &ca), 0);
	assert_int_equal(cert_ca_issue(ca, NULL, key, &what, &leaf), 0);
	char *cert_pem = cert_chain_pem(leaf), *key_pem = cert_key_pem(key);
	ca_world_write(w, "root.pem", 0644, cert_pem);
	ca_world_write(w, "root.key", 0600, key_pem);
	expect_refusal(w, ERR_VERIFY, "root.pem", "not the certificate of a CA");
	mem_free(cert_pem);
	mem_free_secret(key_pem, strlen(key_pem));
	cert_chain_unref(&leaf);
	cert_key_unref(&key);
	cert_ca_free(&ca);
}

static void test_modes(void **state)
{
	struct ca_world *w = *state;
	assert_int_equal(ca_world_start(w), 0);
	ca_world_stop(w);
	const unsigned loose[] = {0640, 0604, 0620, 0601, 0644};
	for (size_t i = 0; i < sizeof(loose) / sizeof(*loose); i++) {
		assert_int_equal(chmod(ca_world_path(w, "root.key"), loose[i]), 0);
		expect_refusal(w, ERR_DENIED, "root.key", "chmod 0600");
	}
	assert_int_equal(chmod(ca_world_path(w, "root.key"), 0400), 0);
	ca_world_hush(w);
	assert_int_equal(chmod(w->dir, 0777), 0);
	ca_world_restart(w);
	assert_true(ca_world_said(w, "chmod 0700"));
}

/* A crash between any two steps of making the first root leaves nothing that needs a hand. */
static void test_crash_on_first_start(void **state)
{
	struct ca_world *w = *state;
	assert_int_equal(ca_world_start(w), 0);
	ca_world_stop(w);
	char *key = ca_world_read(w, "root.key"), *cert = ca_world_read(w, "root.pem");
	/* before it was said that they are to be installed */
	unlink(ca_world_path(w, "root.key"));
	unlink(ca_world_path(w, "root.pem"));
	ca_world_write(w, "next.key", 0600, key);
	assert_int_equal(ca_world_start(w), 0);
	ca_world_stop(w);
	assert_false(ca_world_exists(w, "next.key"));
	char *fresh = ca_world_read(w, "root.pem");
	assert_string_not_equal(fresh, cert);
	free(key), free(cert), free(fresh);
}

static void test_serving(void **state)
{
	struct ca_world *w = *state;
	assert_int_equal(ca_world_start(w), 0);
	authority_set_dns_names(w->authority, "cp.example.org, ,bad name,localhost");
	assert_true(ca_world_said(w, "bad name"));
	char *root = ca_world_read(w, "root.pem");
	assert_int_equal(ca_world_judge_serving(w, str_from(root)), CERT_GOOD);
	struct tls_ctx *first = tls_ctx_ref(authority_serving(w->authority));
	ca_world_advance(w, CA_DAY / 2 - 1);
	assert_ptr_equal(authority_serving(w->authority), first);
	ca_world_advance(w, 1);
	assert_ptr_not_equal(authority_serving(w->authority), first);
	assert_int_equal(ca_world_judge_serving(w, str_from(root)), CERT_GOOD);
	assert_true(tls_ctx_leaf(first)->not_after <
		tls_ctx_leaf(authority_serving(w->authority))->not_after);
	tls_ctx_unref(&first);
	free(root);
}

/* --- revocation --- */

static void expect_revoked(struct ca_world *w)
{
	const struct catalog_required *need;
	struct catalog *c = store_catalog(w->store);
	assert_int_equal(catalog_required(c, STR("shop"), STR("web"), &need, w->err,
				 sizeof(w->err)),
		0);
	const struct compiled *r = catalog_resource(c, need->revocations);
	assert_non_null(r);
	assert_int_equal(r->resource->revocations->n_serials, 2);
	assert_string_equal(r->resource->revocations->serials[0], "01");
	assert_string_equal(r->resource->revocations->serials[1], "0abc01");
}

static void test_revoked(void **state)
{
	struct ca_world *w = *state;
	assert_int_equal(ca_world_start(w), 0);
	ca_world_source(w, POD("web", "10.1.0.1", "{}", ""));
	struct authority *a = w->authority;
	assert_int_equal(authority_revoke(a, STR("0A:bC:01"), w->err, sizeof(w->err)), 0);
	assert_int_equal(authority_revoke(a, STR("abc01"), w->err, sizeof(w->err)), 0);
	assert_int_equal(authority_revoke(a, STR("000001"), w->err, sizeof(w->err)), 0);
	assert_int_equal(ca_world_mode(w, "revoked"), 0600);
	for (int again = 0; again < 2; again++) {
		expect_revoked(w);
		ca_world_restart(w);
		ca_world_source(w, POD("web", "10.1.0.1", "{}", ""));
	}
}

static void test_bad_serials(void **state)
{
	struct ca_world *w = *state;
	const char *const bad[] = {
		"", ":", "xyz", "12 34", "0x12", "0102030405060708090a0b0c0d0e0f101112131415"};
	assert_int_equal(ca_world_start(w), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(authority_revoke(w->authority, str_from(bad[i]), w->err,
					 sizeof(w->err)),
			ERR_INVAL);
	assert_false(ca_world_exists(w, "revoked"));
	assert_int_equal(authority_revoke(w->authority,
				 STR("ff02030405060708090a0b0c0d0e0f1011121314"), w->err,
				 sizeof(w->err)),
		0);
}

static void test_torn_list_of_revocations(void **state)
{
	struct ca_world *w = *state;
	assert_int_equal(ca_world_start(w), 0);
	assert_int_equal(authority_revoke(w->authority, STR("0102"), w->err, sizeof(w->err)), 0);
	assert_int_equal(authority_revoke(w->authority, STR("0304"), w->err, sizeof(w->err)), 0);
	ca_world_stop(w);
	char *text = ca_world_read(w, "revoked");
	text[strlen(text) - 5] = '\0';
	ca_world_write(w, "revoked", 0600, text);
	expect_refusal(w, ERR_VERIFY, "revoked", "restore it from a backup");
	ca_world_write(w, "revoked", 0600, "");
	expect_refusal(w, ERR_VERIFY, "revoked", "torn");
	free(text);
}

/* --- the end of the root --- */

static void expect_warning(struct ca_world *w, int64_t advance, bool said)
{
	ca_world_hush(w);
	ca_world_advance(w, advance);
	assert_int_equal(ca_world_said(w, "the root ends soon"), said);
}

static void test_warnings(void **state)
{
	struct ca_world *w = *state;
	w->cfg.root_ns = 40 * CA_DAY * NS_PER_S;
	assert_int_equal(ca_world_start(w), 0);
	assert_false(ca_world_said(w, "ends soon"));
	expect_warning(w, 10 * CA_DAY - 3600, false);
	expect_warning(w, 7200, true);
	expect_warning(w, 22 * CA_DAY, false);
	expect_warning(w, CA_DAY, true);
	expect_warning(w, 5 * CA_DAY, false);
	expect_warning(w, CA_DAY, true);
	expect_warning(w, CA_DAY / 2, false);
	ca_world_hush(w);
	ca_world_restart(w);
	assert_true(ca_world_said(w, "the root ends soon"));
}

static void test_metrics_and_description(void **state)
{
	struct ca_world *w = *state;
	struct cert_chain *c;
	struct buf_pool *pool = buf_pool_new(0);
	struct buf out;
	struct json j;
	char text[4096] = "";
	buf_init(&out, pool);
	assert_int_equal(ca_world_start(w), 0);
	assert_int_equal(ca_world_issue(w, WEB, "", &c), 0);
	cert_chain_unref(&c);
	metrics_render(w->metrics, &out);
	buf_copy_out(&out, 0, text, sizeof(text) - 1);
	assert_non_null(strstr(text, "weft_ca_issued_total 1\n"));
	assert_non_null(strstr(text, "weft_root_expiry_seconds 315360000\n"));
	buf_clear(&out);
	json_init(&j, &out, false);
	json_object(&j);
	authority_describe(w->authority, &j);
	json_object_end(&j);
	memset(text, 0, sizeof(text));
	buf_copy_out(&out, 0, text, sizeof(text) - 1);
	assert_non_null(strstr(text, "\"rotation\":null"));
	assert_non_null(strstr(text, "\"issued\":1"));
	assert_non_null(strstr(text, "\"signs\":true"));
	assert_null(strstr(text, "PRIVATE"));
	buf_clear(&out);
	buf_pool_free(&pool);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_made_on_first_start),
		T(test_issued),
		T(test_short_lives_and_the_cut),
		T(test_configurations),
		T(test_half_a_pair),
		T(test_torn),
		T(test_foreign),
		T(test_a_leaf_is_no_root),
		T(test_modes),
		T(test_crash_on_first_start),
		T(test_serving),
		T(test_revoked),
		T(test_bad_serials),
		T(test_torn_list_of_revocations),
		T(test_warnings),
		T(test_metrics_and_description),
	};
	return cmocka_run_group_tests_name("authority", tests, NULL, NULL);
}
