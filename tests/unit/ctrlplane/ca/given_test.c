/*
 * An intermediate given by files: what it issues, how it is replaced while this runs, and every set
 * of files that is refused. On the kernel's loop, for the files are watched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "tests/support/ca_world.h"
#include "tests/support/mint.h"

#define WEB "spiffe://cluster.local/ns/shop/sa/web"

/* A world, a root and an intermediate below it, and the files that say so. */
struct fixture {
	struct ca_world w;
	struct cert_ca *root, *below;
	char cert[128], key[128], roots[128];
	struct loop_timer look;
	const char *awaited;
	unsigned looks;
};

static void put(const char *path, unsigned mode, char *text)
{
	char err[256];
	assert_int_equal(file_replace(path, mode, str_from(text), err, sizeof(err)), 0);
	mem_free(text);
}

static void put_ca(struct fixture *f, const struct cert_ca *ca)
{
	put(f->cert, 0644, cert_ca_cert_pem(ca));
	put(f->key, 0600, cert_key_pem(cert_ca_key(ca)));
}

static void make_cas(struct fixture *f, struct cert_ca **root, struct cert_ca **below)
{
	int64_t now = ca_world_now(&f->w);
	assert_int_equal(cert_ca_create(STR(CA_TD), now - 60, now + 100 * CA_DAY, root), 0);
	assert_int_equal(cert_ca_issue_ca(*root, now - 60, now + 50 * CA_DAY, below), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct ca_world *w = &f->w;
	ca_world_open_real(w);
	snprintf(f->cert, sizeof(f->cert), "%s/ca.pem", w->base);
	snprintf(f->key, sizeof(f->key), "%s/ca.key", w->base);
	snprintf(f->roots, sizeof(f->roots), "%s/roots.pem", w->base);
	make_cas(f, &f->root, &f->below);
	put_ca(f, f->below);
	put(f->roots, 0644, cert_ca_cert_pem(f->root));
	w->cfg.cert_file = f->cert;
	w->cfg.key_file = f->key;
	w->cfg.roots_file = f->roots;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	ca_world_close(&f->w);
	cert_ca_free(&f->root);
	cert_ca_free(&f->below);
	free(f);
	return 0;
}

static struct str root_der(const struct fixture *f)
{
	return cert_chain_der(cert_ca_chain(f->root));
}

static void test_issues_with_its_chain(void **state)
{
	struct fixture *f = *state;
	struct ca_world *w = &f->w;
	struct cert_chain *c;
	assert_int_equal(ca_world_start(w), 0);
	assert_false(ca_world_exists(w, "root.pem"));
	assert_int_equal(ca_world_issue(w, WEB, "u", &c), 0);
	assert_int_equal(cert_chain_count(c), 2);
	assert_int_equal(ca_world_judge(w, c, root_der(f)), CERT_GOOD);
	cert_chain_unref(&c);
	assert_true(str_eq(authority_roots(w->authority), root_der(f)));
	assert_int_equal(ca_world_judge_serving(w, root_der(f)), CERT_GOOD);
	assert_int_equal(authority_rotate(w->authority, 0, w->err, sizeof(w->err)), ERR_DENIED);
	assert_non_null(strstr(w->err, f->cert));
	assert_int_equal(authority_revoke(w->authority, STR("01"), w->err, sizeof(w->err)), 0);
}

static void test_a_root_may_be_given(void **state)
{
	struct fixture *f = *state;
	struct cert_chain *c;
	put_ca(f, f->root);
	assert_int_equal(ca_world_start(&f->w), 0);
	assert_int_equal(ca_world_issue(&f->w, WEB, "", &c), 0);
	assert_int_equal(cert_chain_count(c), 1);
	assert_int_equal(ca_world_judge(&f->w, c, root_der(f)), CERT_GOOD);
	cert_chain_unref(&c);
}

/* A root as most PKIs have it, with no SPIFFE ID; and one of another domain. */
static void test_roots_of_other_makers(void **state)
{
	struct fixture *f = *state;
	struct ca_world *w = &f->w;
	int64_t now = ca_world_now(w);
	const struct mint plain = {.subject = "Corporate Root",
		.ca = true,
		.not_before = now - 60,
		.not_after = now + CA_DAY};
	struct mint foreign = plain;
	foreign.uris[0] = "spiffe://example.org";
	struct minted *root = mint(&plain, NULL), *other = mint(&foreign, NULL);
	struct mint middle = plain;
	middle.subject = "Corporate Issuing CA";
	struct minted *issuing = mint(&middle, root);
	struct cert_chain *chain = mint_chain(issuing, NULL), *top = mint_chain(root, NULL);
	struct cert_chain *wrong = mint_chain(other, NULL), *c;
	put(f->cert, 0644, cert_chain_pem(chain));
	put(f->key, 0600, cert_key_pem(issuing->key));
	put(f->roots, 0644, cert_chain_pem(top));
	assert_int_equal(ca_world_start(w), 0);
	assert_int_equal(ca_world_issue(w, WEB, "", &c), 0);
	assert_int_equal(ca_world_judge(w, c, cert_chain_der(top)), CERT_GOOD);
	cert_chain_unref(&c);
	ca_world_stop(w);
	put(f->roots, 0644, cert_chain_pem(wrong));
	assert_int_equal(ca_world_start(w), ERR_VERIFY);
	assert_non_null(strstr(w->err, "no SPIFFE ID or one of that trust domain"));
	assert_non_null(strstr(w->err, f->roots));
	cert_chain_unref(&chain);
	cert_chain_unref(&top);
	cert_chain_unref(&wrong);
	minted_free(root, other, issuing, NULL);
}

static void expect_refusal(struct fixture *f, const char *file, const char *words)
{
	struct ca_world *w = &f->w;
	assert_int_not_equal(ca_world_start(w), 0);
	if (strstr(w->err, file) == NULL || strstr(w->err, words) == NULL)
		fail_msg("\"%s\" has not \"%s\" and \"%s\"", w->err, file, words);
}

static void test_sets_that_do_not_fit(void **state)
{
	struct fixture *f = *state;
	struct cert_ca *root, *below;
	make_cas(f, &root, &below);
	put(f->key, 0600, cert_key_pem(cert_ca_key(below)));
	expect_refusal(f, f->cert, "cannot sign with");
	put_ca(f, below);
	expect_refusal(f, f->cert, "does not hold under");
	put_ca(f, f->below);
	assert_int_equal(chmod(f->key, 0640), 0);
	expect_refusal(f, f->key, "chmod 0600");
	put(f->key, 0600, mem_strdup("junk"));
	expect_refusal(f, f->key, "restore it");
	unlink(f->key);
	expect_refusal(f, f->key, "No such file");
	put_ca(f, f->below);
	put(f->roots, 0644, mem_strdup(""));
	expect_refusal(f, f->roots, "certificates in PEM");
	put(f->roots, 0644, cert_ca_cert_pem(f->root));
	put(f->cert, 0644, mem_strdup("-----BEGIN CERTIFICATE-----\n"));
	expect_refusal(f, f->cert, "not a chain");
	f->w.cfg.trust_domain = "example.org";
	put_ca(f, f->below);
	expect_refusal(f, f->roots, "not all of it are roots of example.org");
	cert_ca_free(&root);
	cert_ca_free(&below);
}

static void on_look(void *arg)
{
	struct fixture *f = arg;
	if (ca_world_said(&f->w, f->awaited) || ++f->looks == 2000)
		loop_stop(f->w.loop);
	else
		loop_timer_start(&f->look, 10 * NS_PER_MS);
}

static void run_until_said(struct fixture *f, const char *text)
{
	f->awaited = text;
	f->looks = 0;
	loop_timer_init(&f->look, f->w.loop, on_look, f);
	loop_timer_start(&f->look, NS_PER_MS);
	loop_run(f->w.loop);
	assert_true(ca_world_said(&f->w, text));
}

/* A bad set changes nothing, the good one that comes after it is put in force. */
static void test_replaced_while_it_runs(void **state)
{
	struct fixture *f = *state;
	struct ca_world *w = &f->w;
	struct cert_ca *root, *below;
	struct cert_chain *c;
	assert_int_equal(ca_world_start(w), 0);
	make_cas(f, &root, &below);
	ca_world_hush(w);
	put(f->key, 0600, cert_key_pem(cert_ca_key(below)));
	run_until_said(f, "those before stay in force");
	assert_int_equal(ca_world_issue(w, WEB, "", &c), 0);
	assert_int_equal(ca_world_judge(w, c, root_der(f)), CERT_GOOD);
	cert_chain_unref(&c);
	ca_world_hush(w);
	put_ca(f, below);
	char *new_root = cert_ca_cert_pem(root), *old_root = cert_ca_cert_pem(f->root);
	put(f->roots, 0644, mem_printf("%s%s", new_root, old_root));
	run_until_said(f, "an intermediate is in force");
	struct str new_der = cert_chain_der(cert_ca_chain(root));
	assert_int_equal(ca_world_issue(w, WEB, "", &c), 0);
	assert_int_equal(ca_world_judge(w, c, new_der), CERT_GOOD);
	assert_int_equal(ca_world_judge(w, c, root_der(f)), CERT_UNTRUSTED);
	cert_chain_unref(&c);
	assert_int_equal(authority_roots(w->authority).n, new_der.n + root_der(f).n);
	assert_memory_equal(authority_roots(w->authority).p, new_der.p, new_der.n);
	assert_int_equal(ca_world_judge_serving(w, new_der), CERT_GOOD);
	mem_free(new_root);
	mem_free(old_root);
	cert_ca_free(&root);
	cert_ca_free(&below);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_issues_with_its_chain),
		T(test_a_root_may_be_given),
		T(test_roots_of_other_makers),
		T(test_sets_that_do_not_fit),
		T(test_replaced_while_it_runs),
	};
	return cmocka_run_group_tests_name("given", tests, NULL, NULL);
}
