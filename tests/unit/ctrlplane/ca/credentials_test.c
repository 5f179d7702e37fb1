/*
 * The table of credentials: bounds, and a full one through its file and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrlplane/ca/credentials.h"
#include "ctrlplane/ca/sealed.h"
#include "lib/base/err.h"

/* A file's name in a folder of its own. */
struct fixture {
	char folder[64], file[96], err[512];
	struct credentials *c;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	strcpy(f->folder, "/tmp/weft-credentials-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->file, sizeof(f->file), "%s/tokens", f->folder);
	assert_int_equal(credentials_open(f->file, &f->c, f->err, sizeof(f->err)), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	credentials_close(&f->c);
	credentials_close(&f->c);
	unlink(f->file);
	rmdir(f->folder);
	free(f);
	return 0;
}

static bool add(struct fixture *f, bool session, unsigned pod, char text[CREDENTIAL_SIZE])
{
	char name[64];
	int n = snprintf(name, sizeof(name), "a-name-that-is-not-too-short-%u", pod);
	return credentials_add(f->c, session, STR("shop"), str_make(name, (size_t)n),
		       pod % 2 != 0 ? STR("0f6d9f5e-11f0-4a7c-9e36-5d8f0f2b1c11") : STR(""),
		       STR("spiffe://cluster.local/ns/shop/sa/web"), text) != NULL;
}

static void reopen(struct fixture *f)
{
	assert_int_equal(credentials_save(f->c, f->err, sizeof(f->err)), 0);
	credentials_close(&f->c);
	assert_int_equal(credentials_open(f->file, &f->c, f->err, sizeof(f->err)), 0);
}

static void test_full(void **state)
{
	struct fixture *f = *state;
	char join[CREDENTIAL_SIZE], session[CREDENTIAL_SIZE], more[CREDENTIAL_SIZE];
	for (unsigned i = 0; i < CREDENTIALS_JOIN_MAX; i++)
		assert_true(add(f, false, i, join));
	for (unsigned i = 0; i < CREDENTIALS_SESSIONS_MAX; i++)
		assert_true(add(f, true, i, session));
	assert_false(add(f, false, 0, more));
	assert_false(add(f, true, 0, more));
	struct credential *one = credentials_find(f->c, str_from(join));
	assert_non_null(one);
	one->expires_at = 1800000000;
	one->spent_at = 1700000000;
	memset(one->key, 7, sizeof(one->key));
	reopen(f);
	assert_int_equal(f->c->n_joins, CREDENTIALS_JOIN_MAX);
	assert_int_equal(f->c->n_sessions, CREDENTIALS_SESSIONS_MAX);
	one = credentials_find(f->c, str_from(join));
	assert_false(one->session);
	assert_int_equal(one->expires_at, 1800000000);
	assert_int_equal(one->spent_at, 1700000000);
	assert_int_equal(one->key[31], 7);
	assert_string_equal(one->uid, "0f6d9f5e-11f0-4a7c-9e36-5d8f0f2b1c11");
	one = credentials_find(f->c, str_from(session));
	assert_true(one->session);
	assert_string_equal(one->ns, "shop");
	assert_string_equal(one->spiffe_id, "spiffe://cluster.local/ns/shop/sa/web");
	session[40] ^= 1;
	assert_null(credentials_find(f->c, str_from(session)));
}

static void test_what_is_going_is_not_written(void **state)
{
	struct fixture *f = *state;
	char kept[CREDENTIAL_SIZE], gone[CREDENTIAL_SIZE];
	assert_true(add(f, true, 0, kept));
	assert_true(add(f, true, 0, gone));
	credentials_find(f->c, str_from(gone))->going = true;
	reopen(f);
	assert_non_null(credentials_find(f->c, str_from(kept)));
	assert_null(credentials_find(f->c, str_from(gone)));
}

static void test_forms(void **state)
{
	struct fixture *f = *state;
	char text[CREDENTIAL_SIZE];
	assert_true(add(f, false, 0, text));
	assert_true(credential_has_form(str_from(text), CREDENTIAL_JOIN));
	assert_false(credential_has_form(str_from(text), CREDENTIAL_SESSION));
	assert_false(credential_has_form(str_make(text, 46), CREDENTIAL_JOIN));
	text[10] = '=';
	assert_false(credential_has_form(str_from(text), CREDENTIAL_JOIN));
}

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* Under a good checksum, and still nothing that we would have written. */
static void test_lines_that_are_none(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {
		"\n",
		"session\n",
		"session " HASH "\n",
		"session " HASH " shop web u\n",
		"session " HASH " shop web u id more\n",
		"session " HASH " shop web  id\n",
		"session " HASH "  web u id\n",
		"session 00 shop web u id\n",
		"session X" HASH " shop web u id\n",
		"session " HASH " shop web u! id\n",
		"lesson " HASH " shop web u id\n",
		"join " HASH " shop web u id\n",
		"join " HASH " shop web u id 1 2 " HASH " more\n",
		"join " HASH " shop web u id -1 2 " HASH "\n",
		"join " HASH " shop web u id 1 99999999999999999999 " HASH "\n",
		"session " HASH " shop web u id\nsession " HASH " shop web u id\n",
	};
	struct credentials *c;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(sealed_write(f->file, "weft-tokens 1", str_from(bad[i]), f->err,
					 sizeof(f->err)),
			0);
		if (credentials_open(f->file, &c, f->err, sizeof(f->err)) != ERR_VERIFY)
			fail_msg("taken: %s", bad[i]);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_full),
		T(test_what_is_going_is_not_written),
		T(test_forms),
		T(test_lines_that_are_none),
	};
	return cmocka_run_group_tests_name("credentials", tests, NULL, NULL);
}
