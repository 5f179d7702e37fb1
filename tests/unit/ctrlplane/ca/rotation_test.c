/*
 * Replacing the root by a fake clock: who signs, what is trusted and in which order, what the
 * control plane serves with, through restarts and crashes at every step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrlplane/ca/sealed.h"
#include "lib/base/err.h"
#include "tests/support/ca_world.h"

#define WEB "spiffe://cluster.local/ns/shop/sa/web"
#define OVERLAP_S 3600ll

/* A world, and the roots as they were at two times. */
struct fixture {
	struct ca_world w;
	char *old_pem;
	char *old_der, *new_der;
	size_t old_n, new_n;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	ca_world_open(&f->w);
	assert_int_equal(ca_world_start(&f->w), 0);
	f->old_pem = ca_world_read(&f->w, "root.pem");
	struct str old = authority_roots(f->w.authority);
	f->old_der = malloc(old.n);
	f->old_n = old.n;
	memcpy(f->old_der, old.p, old.n);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	ca_world_close(&f->w);
	free(f->old_pem);
	free(f->old_der);
	free(f->new_der);
	free(f);
	return 0;
}

static struct str old_root(const struct fixture *f)
{
	return str_make(f->old_der, f->old_n);
}

static struct str new_root(const struct fixture *f)
{
	return str_make(f->new_der, f->new_n);
}

static void rotate(struct fixture *f)
{
	struct ca_world *w = &f->w;
	assert_int_equal(authority_rotate(w->authority, OVERLAP_S * NS_PER_S, w->err,
				 sizeof(w->err)),
		0);
	struct str both = authority_roots(w->authority);
	f->new_n = both.n - f->old_n;
	f->new_der = malloc(f->new_n);
	memcpy(f->new_der, both.p + f->old_n, f->new_n);
}

/* The roots in force, in this order; empty: none. */
static void expect_roots(struct fixture *f, struct str first, struct str second)
{
	struct str roots = authority_roots(f->w.authority);
	assert_int_equal(roots.n, first.n + second.n);
	assert_memory_equal(roots.p, first.p, first.n);
	if (second.n > 0)
		assert_memory_equal(roots.p + first.n, second.p, second.n);
}

/* Leaves hang from this root alone. */
static void expect_signer(struct fixture *f, struct str root, struct str other)
{
	struct cert_chain *c;
	assert_int_equal(ca_world_issue(&f->w, WEB, "", &c), 0);
	assert_int_equal(ca_world_judge(&f->w, c, root), CERT_GOOD);
	assert_int_equal(ca_world_judge(&f->w, c, other), CERT_UNTRUSTED);
	cert_chain_unref(&c);
}

static void expect_published(struct fixture *f)
{
	expect_roots(f, old_root(f), new_root(f));
	expect_signer(f, old_root(f), new_root(f));
	assert_int_equal(ca_world_judge_serving(&f->w, str_from(f->old_pem)), CERT_GOOD);
}

/* A sidecar that knows the old root alone, and one that has the bundle in force. */
static void expect_signing(struct fixture *f)
{
	expect_roots(f, new_root(f), old_root(f));
	expect_signer(f, new_root(f), old_root(f));
	assert_int_equal(ca_world_judge_serving(&f->w, str_from(f->old_pem)), CERT_GOOD);
	assert_int_equal(ca_world_judge_serving(&f->w, authority_roots(f->w.authority)), CERT_GOOD);
}

static void expect_done(struct fixture *f)
{
	expect_roots(f, new_root(f), STR(""));
	expect_signer(f, new_root(f), old_root(f));
	assert_int_equal(ca_world_judge_serving(&f->w, str_from(f->old_pem)), CERT_UNTRUSTED);
	assert_int_equal(ca_world_judge_serving(&f->w, new_root(f)), CERT_GOOD);
	char *pem = ca_world_read(&f->w, "root.pem");
	assert_int_equal(ca_world_judge_serving(&f->w, str_from(pem)), CERT_GOOD);
	free(pem);
	assert_false(ca_world_exists(&f->w, "rotation"));
	assert_false(ca_world_exists(&f->w, "next.key"));
	assert_false(ca_world_exists(&f->w, "next.pem"));
	assert_int_equal(ca_world_mode(&f->w, "root.key"), 0600);
}

static void test_step_by_step(void **state)
{
	struct fixture *f = *state;
	struct ca_world *w = &f->w;
	expect_roots(f, old_root(f), STR(""));
	rotate(f);
	expect_published(f);
	assert_int_equal(authority_rotate(w->authority, 0, w->err, sizeof(w->err)), ERR_EXISTS);
	ca_world_advance(w, OVERLAP_S - 1);
	expect_published(f);
	ca_world_advance(w, 1);
	expect_signing(f);
	assert_int_equal(authority_rotate(w->authority, 0, w->err, sizeof(w->err)), ERR_EXISTS);
	ca_world_advance(w, CA_DAY);
	expect_signing(f);
	ca_world_advance(w, 1);
	expect_done(f);
	ca_world_restart(w);
	expect_done(f);
}

/* The last leaf of the old root lives for as long as that is trusted. */
static void test_no_leaf_is_cut_off(void **state)
{
	struct fixture *f = *state;
	struct cert_chain *last;
	rotate(f);
	ca_world_advance(&f->w, OVERLAP_S - 1);
	assert_int_equal(ca_world_issue(&f->w, WEB, "", &last), 0);
	int64_t end = cert_chain_leaf(last)->not_after;
	ca_world_advance(&f->w, end - ca_world_now(&f->w));
	assert_int_equal(ca_world_judge(&f->w, last, authority_roots(f->w.authority)), CERT_GOOD);
	cert_chain_unref(&last);
}

static void test_through_restarts(void **state)
{
	struct fixture *f = *state;
	rotate(f);
	ca_world_restart(&f->w);
	expect_published(f);
	ca_world_advance(&f->w, OVERLAP_S);
	expect_signing(f);
	ca_world_restart(&f->w);
	expect_signing(f);
	ca_world_advance(&f->w, CA_DAY / 2);
	ca_world_restart(&f->w);
	expect_signing(f);
	ca_world_advance(&f->w, CA_DAY / 2 + 1);
	expect_done(f);
}

/* Steps that came due while nobody ran are done at the start, each in its time. */
static void test_down_meanwhile(void **state)
{
	struct fixture *f = *state;
	rotate(f);
	ca_world_stop(&f->w);
	ca_world_advance(&f->w, 10 * CA_DAY);
	assert_int_equal(ca_world_start(&f->w), 0);
	expect_signing(f);
	ca_world_advance(&f->w, CA_DAY + 1);
	expect_done(f);
}

/* Who is given root.pem in the middle of it trusts both. */
static void test_file_for_sidecars(void **state)
{
	struct fixture *f = *state;
	rotate(f);
	char *pem = ca_world_read(&f->w, "root.pem");
	assert_memory_equal(pem, f->old_pem, strlen(f->old_pem));
	ca_world_advance(&f->w, OVERLAP_S);
	expect_signing(f);
	char *later = ca_world_read(&f->w, "root.pem");
	assert_string_equal(pem, later);
	ca_world_advance(&f->w, CA_DAY + 1);
	expect_done(f);
	assert_int_equal(ca_world_judge_serving(&f->w, str_from(pem)), CERT_GOOD);
	free(pem), free(later);
}

static void test_no_overlap_and_again(void **state)
{
	struct fixture *f = *state;
	struct ca_world *w = &f->w;
	f->new_n = 0;
	assert_int_equal(authority_rotate(w->authority, 0, w->err, sizeof(w->err)), 0);
	struct str roots = authority_roots(w->authority);
	f->new_n = roots.n - f->old_n;
	f->new_der = malloc(f->new_n);
	memcpy(f->new_der, roots.p, f->new_n);
	expect_signing(f);
	ca_world_advance(w, CA_DAY + 1);
	expect_done(f);
	assert_int_equal(authority_rotate(w->authority, 0, w->err, sizeof(w->err)), 0);
	ca_world_advance(w, CA_DAY + 1);
	assert_int_equal(ca_world_judge_serving(w, new_root(f)), CERT_UNTRUSTED);
}

/* The four files of the last step, as they were before it. */
struct files {
	char *next_key, *next_pem, *root_key, *root_pem;
};

static struct files read_files(struct ca_world *w)
{
	return (struct files){ca_world_read(w, "next.key"), ca_world_read(w, "next.pem"),
		ca_world_read(w, "root.key"), ca_world_read(w, "root.pem")};
}

static void free_files(struct files *s)
{
	free(s->next_key), free(s->next_pem), free(s->root_key), free(s->root_pem);
}

/* As they are when so many of the two renames were done, whatever there is now. */
static void put_files(struct ca_world *w, const struct files *s, int renamed)
{
	unlink(ca_world_path(w, "next.key"));
	unlink(ca_world_path(w, "next.pem"));
	ca_world_write(w, "root.key", 0600, renamed >= 1 ? s->next_key : s->root_key);
	ca_world_write(w, "root.pem", 0644, renamed >= 2 ? s->next_pem : s->root_pem);
	if (renamed < 1)
		ca_world_write(w, "next.key", 0600, s->next_key);
	if (renamed < 2)
		ca_world_write(w, "next.pem", 0644, s->next_pem);
}

static void test_crash_while_installing(void **state)
{
	struct fixture *f = *state;
	struct ca_world *w = &f->w;
	rotate(f);
	ca_world_advance(w, OVERLAP_S);
	struct files saved = read_files(w);
	for (int renamed = 0; renamed <= 2; renamed++) {
		ca_world_stop(w);
		put_files(w, &saved, renamed);
		assert_int_equal(sealed_write(ca_world_path(w, "rotation"), "weft-rotation 1",
					 STR("install 0\n"), w->err, sizeof(w->err)),
			0);
		assert_int_equal(ca_world_start(w), 0);
		expect_done(f);
	}
	free_files(&saved);
}

/* The next root was written, and nothing said yet that there is one. */
static void test_crash_before_publishing(void **state)
{
	struct fixture *f = *state;
	struct ca_world *w = &f->w;
	rotate(f);
	struct files saved = read_files(w);
	ca_world_stop(w);
	put_files(w, &saved, 0);
	unlink(ca_world_path(w, "rotation"));
	assert_int_equal(ca_world_start(w), 0);
	expect_roots(f, old_root(f), STR(""));
	char *pem = ca_world_read(w, "root.pem");
	assert_string_equal(pem, f->old_pem);
	free(pem);
	assert_false(ca_world_exists(w, "next.key"));
	free_files(&saved);
}

static void expect_refusal(struct ca_world *w, const char *file, const char *words)
{
	assert_int_not_equal(ca_world_start(w), 0);
	if (strstr(w->err, file) == NULL || strstr(w->err, words) == NULL)
		fail_msg("\"%s\" has not \"%s\" and \"%s\"", w->err, file, words);
}

static void test_what_is_broken_is_named(void **state)
{
	struct fixture *f = *state;
	struct ca_world *w = &f->w;
	rotate(f);
	ca_world_stop(w);
	char *phase = ca_world_read(w, "rotation"), *key = ca_world_read(w, "next.key");
	ca_world_write(w, "rotation", 0600, "");
	expect_refusal(w, "rotation", "torn");
	phase[strlen(phase) - 3] ^= 1;
	ca_world_write(w, "rotation", 0600, phase);
	expect_refusal(w, "rotation", "restore it from a backup");
	phase[strlen(phase) - 3] ^= 1;
	ca_world_write(w, "rotation", 0600, phase);
	unlink(ca_world_path(w, "next.key"));
	expect_refusal(w, "next.key", "is not there");
	char *pem = ca_world_read(w, "next.pem");
	unlink(ca_world_path(w, "next.pem"));
	expect_refusal(w, "next.pem", "remove the file rotation to give it up");
	ca_world_write(w, "next.pem", 0644, pem);
	free(pem);
	ca_world_write(w, "next.key", 0644, key);
	expect_refusal(w, "next.key", "chmod 0600");
	ca_world_write(w, "next.key", 0600, key);
	assert_int_equal(sealed_write(ca_world_path(w, "rotation"), "weft-rotation 1",
				 STR("perhaps 1\n"), w->err, sizeof(w->err)),
		0);
	expect_refusal(w, "rotation", "does not know");
	ca_world_write(w, "rotation", 0600, phase);
	assert_int_equal(ca_world_start(w), 0);
	expect_published(f);
	free(phase), free(key);
}

/* A disk that takes nothing: the step waits, the old state stays in force, then it goes on. */
static void test_a_step_that_cannot_be_written(void **state)
{
	struct fixture *f = *state;
	struct ca_world *w = &f->w;
	rotate(f);
	unlink(ca_world_path(w, "rotation"));
	assert_int_equal(mkdir(ca_world_path(w, "rotation"), 0700), 0);
	ca_world_hush(w);
	ca_world_advance(w, OVERLAP_S + 10);
	expect_published(f);
	assert_true(ca_world_said(w, "a step of the rotation failed"));
	assert_int_equal(rmdir(ca_world_path(w, "rotation")), 0);
	ca_world_advance(w, 60);
	expect_signing(f);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_step_by_step),
		T(test_no_leaf_is_cut_off),
		T(test_through_restarts),
		T(test_down_meanwhile),
		T(test_file_for_sidecars),
		T(test_no_overlap_and_again),
		T(test_crash_while_installing),
		T(test_crash_before_publishing),
		T(test_what_is_broken_is_named),
		T(test_a_step_that_cannot_be_written),
	};
	return cmocka_run_group_tests_name("rotation", tests, NULL, NULL);
}
