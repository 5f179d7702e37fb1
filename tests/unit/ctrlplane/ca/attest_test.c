/*
 * Attestation: join tokens made, spent, brought again and brought by others; sessions for as long
 * as their pod is there; Unix users; the file through restarts and damage. Calls are stand-ins that
 * say what a test wants them to.
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

#include "ctrlplane/ca/credentials.h"
#include "ctrlplane/ca/refusal_log.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "tests/support/ca_world.h"
#include "tests/support/worlds.h"

/* What attestation asks of a call. */
struct grpc_call {
	struct str bearer;
	struct io_info info;
	struct http_fields metadata;
};

struct str grpc_call_bearer(const struct grpc_call *c)
{
	return c->bearer;
}

const struct http_fields *grpc_call_metadata(const struct grpc_call *c)
{
	return &c->metadata;
}

void grpc_call_info(const struct grpc_call *c, struct io_info *info)
{
	*info = c->info;
}

#define PODS(account)                                                                          \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, uid: u-web}\n" \
	"spec: {serviceAccountName: " account                                                  \
	", containers: [{name: app}, {name: weft-sidecar}]}\n"                                 \
	"status: {podIP: 10.1.0.1}\n"
#define BARE                                                                                  \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: bare, namespace: shop, uid: u-b}\n" \
	"spec: {containers: [{name: app}]}\nstatus: {podIP: 10.1.0.9}\n"
#define UNIX_POD(name, ip, uid)                                                                    \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: shop, uid: u-" name \
	", annotations: {mesh.weft.dev/unix-uid: \"" uid                                           \
	"\"}}\nspec: {containers: [{name: app}, {name: weft-sidecar}]}\nstatus: {podIP: " ip "}\n"
#define REST POD("other", "10.1.0.2", "{}", "") BARE

static const uint8_t key_a[32] = {1}, key_b[32] = {2};

/* A world with the attestation in it; what the last question got. */
struct fixture {
	struct ca_world w;
	struct arena arena;
	struct attested who;
	struct str session;
	char err[512];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	ca_world_open(&f->w);
	assert_int_equal(ca_world_start(&f->w), 0);
	assert_int_equal(ca_world_attest(&f->w), 0);
	ca_world_source(&f->w, PODS("web") REST);
	arena_init(&f->arena, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	arena_clear(&f->arena);
	ca_world_close(&f->w);
	free(f);
	return 0;
}

/* A token for shop/web, in the arena. */
static struct str make_token(struct fixture *f, uint64_t seconds)
{
	char *token;
	int e = attest_create_token(f->w.attest, STR("shop"), STR("web"), seconds * NS_PER_S,
		&token, f->err, sizeof(f->err));
	if (e != 0)
		fail_msg("%s", f->err);
	struct str t = arena_str(&f->arena, str_from(token));
	mem_free_secret(token, t.n);
	return t;
}

static enum grpc_status redeem(struct fixture *f, struct str token, const uint8_t *key)
{
	const struct grpc_call c = {.bearer = token};
	f->err[0] = '\0';
	return attest_redeem(f->w.attest, &c, str_make(key, 32), &f->arena, &f->who, &f->session,
		f->err, sizeof(f->err));
}

static enum grpc_status call(struct fixture *f, struct str bearer)
{
	const struct grpc_call c = {.bearer = bearer};
	f->err[0] = '\0';
	return attest_call(f->w.attest, &c, &f->arena, &f->who, f->err, sizeof(f->err));
}

static enum grpc_status peek(struct fixture *f, struct str bearer)
{
	const struct grpc_call c = {.bearer = bearer};
	return attest_peek(f->w.attest, &c, &f->arena, &f->who, f->err, sizeof(f->err));
}

static void expect(enum grpc_status got, enum grpc_status want)
{
	assert_string_equal(grpc_status_name(got), grpc_status_name(want));
}

static void expect_web(const struct fixture *f, enum attest_how how)
{
	assert_int_equal(f->who.how, how);
	assert_true(str_eq(f->who.ns, STR("shop")));
	assert_true(str_eq(f->who.pod, STR("web")));
	assert_true(str_eq(f->who.uid, STR("u-web")));
	assert_true(str_eq(f->who.spiffe_id, STR("spiffe://cluster.local/ns/shop/sa/web")));
}

/* --- making --- */

static int create(struct fixture *f, const char *pod, uint64_t lifetime_ns)
{
	char *token;
	f->err[0] = '\0';
	int e = attest_create_token(f->w.attest, STR("shop"), str_from(pod), lifetime_ns, &token,
		f->err, sizeof(f->err));
	if (e == 0)
		mem_free_secret(token, strlen(token));
	return e;
}

static void test_who_gets_a_token(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(create(f, "web", 600 * NS_PER_S), 0);
	assert_int_equal(create(f, "nobody", 600 * NS_PER_S), ERR_NOTFOUND);
	assert_non_null(strstr(f->err, "shop/nobody"));
	assert_int_equal(create(f, "bare", 600 * NS_PER_S), ERR_NOTFOUND);
	assert_int_equal(create(f, "web", 0), ERR_INVAL);
	assert_int_equal(create(f, "web", UINT64_MAX), ERR_INVAL);
	ca_world_restart(&f->w);
	assert_int_equal(create(f, "web", 600 * NS_PER_S), ERR_AGAIN);
}

static void test_the_file_has_no_secret(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600);
	assert_true(str_starts(token, STR("wtj_")));
	assert_int_equal(token.n, 47);
	expect(redeem(f, token, key_a), GRPC_OK);
	assert_true(str_starts(f->session, STR("wts_")));
	assert_int_equal(f->session.n, 47);
	char *text = ca_world_read(&f->w, "tokens");
	assert_int_equal(ca_world_mode(&f->w, "tokens"), 0600);
	assert_non_null(strstr(text, "spiffe://cluster.local/ns/shop/sa/web"));
	assert_null(strstr(text, token.p + 4));
	assert_null(strstr(text, f->session.p + 4));
	assert_false(ca_world_said(&f->w, token.p + 4));
	assert_false(ca_world_said(&f->w, f->session.p + 4));
	free(text);
}

/* --- spending --- */

static void test_spent_once(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600);
	expect(peek(f, token), GRPC_OK);
	expect_web(f, ATTEST_JOIN_TOKEN);
	expect(redeem(f, token, key_a), GRPC_OK);
	expect_web(f, ATTEST_JOIN_TOKEN);
	expect(redeem(f, token, key_b), GRPC_UNAUTHENTICATED);
	assert_non_null(strstr(f->err, "spent"));
	assert_int_equal(f->session.n, 0);
	assert_true(ca_world_said(&f->w, "another key came with it before"));
}

/* A lost answer: the same key comes again, for ten minutes, even past the token's own end. */
static void test_the_same_key_again(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 60);
	expect(redeem(f, token, key_a), GRPC_OK);
	struct str first = f->session;
	ca_world_advance(&f->w, 599);
	expect(redeem(f, token, key_a), GRPC_OK);
	assert_false(str_eq(first, f->session));
	expect(call(f, first), GRPC_OK);
	expect(call(f, f->session), GRPC_OK);
	ca_world_advance(&f->w, 1);
	expect(peek(f, token), GRPC_UNAUTHENTICATED);
	expect(redeem(f, token, key_a), GRPC_UNAUTHENTICATED);
	assert_non_null(strstr(f->err, "spent"));
	expect(call(f, first), GRPC_OK);
}

static void test_expired(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 60);
	ca_world_advance(&f->w, 60);
	expect(redeem(f, token, key_a), GRPC_UNAUTHENTICATED);
	assert_non_null(strstr(f->err, "expired"));
	expect(peek(f, token), GRPC_UNAUTHENTICATED);
	ca_world_advance(&f->w, 3600);
	make_token(f, 60);
	char *text = ca_world_read(&f->w, "tokens");
	const char *first = strstr(text, "join ");
	assert_non_null(first);
	assert_null(strstr(first + 1, "join "));
	free(text);
	expect(redeem(f, token, key_a), GRPC_UNAUTHENTICATED);
	assert_non_null(strstr(f->err, "unknown"));
}

static void test_through_restarts(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600);
	ca_world_restart(&f->w);
	expect(redeem(f, token, key_a), GRPC_UNAVAILABLE);
	ca_world_source(&f->w, PODS("web") REST);
	expect(redeem(f, token, key_a), GRPC_OK);
	struct str session = f->session;
	ca_world_restart(&f->w);
	expect(call(f, session), GRPC_UNAVAILABLE);
	ca_world_source(&f->w, PODS("web") REST);
	expect(call(f, session), GRPC_OK);
	expect_web(f, ATTEST_SESSION);
	expect(redeem(f, token, key_b), GRPC_UNAUTHENTICATED);
	expect(redeem(f, token, key_a), GRPC_OK);
}

static void test_the_oldest_session_makes_room(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600), sessions[CREDENTIALS_POD_SESSIONS + 1];
	for (int i = 0; i <= CREDENTIALS_POD_SESSIONS; i++) {
		expect(redeem(f, token, key_a), GRPC_OK);
		sessions[i] = f->session;
	}
	expect(call(f, sessions[0]), GRPC_UNAUTHENTICATED);
	for (int i = 1; i <= CREDENTIALS_POD_SESSIONS; i++)
		expect(call(f, sessions[i]), GRPC_OK);
	ca_world_restart(&f->w);
	ca_world_source(&f->w, PODS("web") REST);
	expect(call(f, sessions[0]), GRPC_UNAUTHENTICATED);
	expect(call(f, sessions[1]), GRPC_OK);
}

/* What cannot be put on disk is not spent, and gives nothing. */
static void test_a_disk_that_takes_nothing(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600);
	assert_int_equal(unlink(ca_world_path(&f->w, "tokens")), 0);
	assert_int_equal(mkdir(ca_world_path(&f->w, "tokens"), 0700), 0);
	expect(redeem(f, token, key_a), GRPC_UNAVAILABLE);
	assert_int_equal(f->session.n, 0);
	assert_int_not_equal(create(f, "web", NS_PER_S), 0);
	assert_int_equal(rmdir(ca_world_path(&f->w, "tokens")), 0);
	expect(redeem(f, token, key_b), GRPC_OK);
	expect(redeem(f, token, key_a), GRPC_UNAUTHENTICATED);
}

/* --- pods --- */

static void test_a_deleted_pod(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600), unspent = make_token(f, 600);
	expect(redeem(f, token, key_a), GRPC_OK);
	struct str session = f->session;
	/* An incomplete reading deletes nobody. */
	store_set_world(f->w.store, worlds_of(REST), false);
	loop_sim_settle(f->w.loop, 100);
	expect(call(f, session), GRPC_OK);
	ca_world_source(&f->w, REST);
	expect(call(f, session), GRPC_UNAUTHENTICATED);
	expect(redeem(f, unspent, key_a), GRPC_UNAUTHENTICATED);
	assert_true(ca_world_said(&f->w, "credentials of pods that are gone were dropped"));
	ca_world_source(&f->w, PODS("web") REST);
	expect(call(f, session), GRPC_UNAUTHENTICATED);
	ca_world_restart(&f->w);
	ca_world_source(&f->w, PODS("web") REST);
	expect(call(f, session), GRPC_UNAUTHENTICATED);
}

/* Deleted while nobody looked, and another one under its name. */
static void test_another_pod_of_that_name(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600);
	expect(redeem(f, token, key_a), GRPC_OK);
	struct str session = f->session;
	ca_world_restart(&f->w);
	ca_world_source(&f->w, POD("web", "10.1.0.1", "{}", "") REST);
	expect(call(f, session), GRPC_UNAUTHENTICATED);
	expect(redeem(f, token, key_a), GRPC_UNAUTHENTICATED);
}

/* Out of the mesh for a while: refused, not forgotten. */
static void test_a_pod_that_has_finished(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600);
	expect(redeem(f, token, key_a), GRPC_OK);
	struct str session = f->session;
	ca_world_source(&f->w,
		"---\napiVersion: v1\nkind: Pod\n"
		"metadata: {name: web, namespace: shop, uid: u-web}\n"
		"spec: {containers: [{name: app}, {name: weft-sidecar}]}\n"
		"status: {podIP: 10.1.0.1, phase: Failed}\n" REST);
	expect(call(f, session), GRPC_PERMISSION_DENIED);
	ca_world_source(&f->w, PODS("web") REST);
	expect(call(f, session), GRPC_OK);
}

static void test_another_service_account(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600), spent = make_token(f, 600);
	expect(redeem(f, spent, key_a), GRPC_OK);
	struct str session = f->session;
	ca_world_source(&f->w, PODS("admin") REST);
	expect(redeem(f, token, key_a), GRPC_PERMISSION_DENIED);
	assert_non_null(strstr(f->err, "another service account"));
	expect(call(f, session), GRPC_OK);
	assert_true(str_eq(f->who.spiffe_id, STR("spiffe://cluster.local/ns/shop/sa/admin")));
}

/* A manifest without a UID that says another service account is of another pod. */
static void test_another_service_account_without_a_uid(void **state)
{
	struct fixture *f = *state;
	ca_world_source(&f->w, POD("web", "10.1.0.1", "{}", "") REST);
	struct str token = make_token(f, 600);
	expect(redeem(f, token, key_a), GRPC_OK);
	struct str session = f->session;
	expect(call(f, session), GRPC_OK);
	ca_world_source(&f->w,
		"---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\n"
		"spec: {serviceAccountName: admin, containers: [{name: app}, {name: weft-sidecar}]}"
		"\nstatus: {podIP: 10.1.0.1}\n" REST);
	expect(call(f, session), GRPC_UNAUTHENTICATED);
	expect(redeem(f, token, key_a), GRPC_UNAUTHENTICATED);
}

/* --- other credentials --- */

static void test_unknown(void **state)
{
	struct fixture *f = *state;
	const char *const bad[] = {"", "x", "wts_", "wtj_",
		"wts_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"wtj_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"wts_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+",
		"wtx_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		expect(call(f, str_from(bad[i])), GRPC_UNAUTHENTICATED);
		expect(peek(f, str_from(bad[i])), GRPC_UNAUTHENTICATED);
		expect(redeem(f, str_from(bad[i]), key_a), GRPC_UNAUTHENTICATED);
	}
	assert_false(ca_world_said(&f->w, "AAAAAAAA"));
}

/* Each kind of credential is good for its own purpose alone. */
static void test_kinds(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600);
	expect(call(f, token), GRPC_UNAUTHENTICATED);
	assert_non_null(strstr(f->err, "Identity.Sign alone"));
	expect(redeem(f, token, key_a), GRPC_OK);
	struct str session = f->session;
	expect(redeem(f, session, key_b), GRPC_OK);
	expect_web(f, ATTEST_SESSION);
	assert_int_equal(f->session.n, 0);
	char *swapped = arena_strdup(&f->arena, session);
	memcpy(swapped, "wtj_", 4);
	expect(redeem(f, str_from(swapped), key_a), GRPC_UNAUTHENTICATED);
}

static void test_unix_users(void **state)
{
	struct fixture *f = *state;
	struct grpc_call c = {.info = {.unix_uid = 4711, .unix_uid_known = true}};
	struct attest *a = f->w.attest;
	ca_world_source(&f->w, PODS("web") UNIX_POD("one", "10.1.0.3", "4711"));
	expect(attest_call(a, &c, &f->arena, &f->who, f->err, sizeof(f->err)), GRPC_OK);
	assert_int_equal(f->who.how, ATTEST_UNIX_UID);
	assert_true(str_eq(f->who.pod, STR("one")));
	expect(attest_redeem(a, &c, str_make(key_a, 32), &f->arena, &f->who, &f->session, f->err,
		       sizeof(f->err)),
		GRPC_OK);
	assert_int_equal(f->session.n, 0);
	c.info.unix_uid = 4712;
	expect(attest_call(a, &c, &f->arena, &f->who, f->err, sizeof(f->err)),
		GRPC_UNAUTHENTICATED);
	c.info.unix_uid = 0;
	c.info.unix_uid_known = false;
	expect(attest_call(a, &c, &f->arena, &f->who, f->err, sizeof(f->err)),
		GRPC_UNAUTHENTICATED);
	/* Two pods claim one user: it is neither. */
	c.info.unix_uid = 4711;
	c.info.unix_uid_known = true;
	ca_world_source(&f->w,
		UNIX_POD("one", "10.1.0.3", "4711") UNIX_POD("two", "10.1.0.4", "4711"));
	expect(attest_call(a, &c, &f->arena, &f->who, f->err, sizeof(f->err)),
		GRPC_UNAUTHENTICATED);
}

/* Who brings a credential is judged by it, not by who it is besides. */
static void test_malformed_on_a_unix_socket(void **state)
{
	struct fixture *f = *state;
	struct grpc_call c = {.info = {.unix_uid = 4711, .unix_uid_known = true}};
	ca_world_source(&f->w, UNIX_POD("one", "10.1.0.3", "4711"));
	http_fields_init(&c.metadata, &f->arena);
	http_fields_add(&c.metadata, STR("authorization"), STR("Basic Zm9vOmJhcg=="));
	expect(attest_call(f->w.attest, &c, &f->arena, &f->who, f->err, sizeof(f->err)),
		GRPC_UNAUTHENTICATED);
	assert_non_null(strstr(f->err, "malformed authorization"));
}

static void test_log_is_bounded(void **state)
{
	struct fixture *f = *state;
	size_t lines = 0;
	ca_world_hush(&f->w);
	for (int i = 0; i < 1000; i++)
		expect(call(f, STR("x")), GRPC_UNAUTHENTICATED);
	for (const char *p = f->w.said; (p = strstr(p, "\"refused\"")) != NULL; p++)
		lines++;
	assert_int_equal(lines, REFUSAL_LINES);
	ca_world_advance(&f->w, 1);
	expect(call(f, STR("x")), GRPC_UNAUTHENTICATED);
	assert_true(ca_world_said(&f->w, "\"not_logged\":980"));
}

/* --- the file --- */

static void expect_refusal(struct fixture *f, int err, const char *words)
{
	attest_free(&f->w.attest);
	loop_sim_settle(f->w.loop, 100);
	assert_int_equal(ca_world_attest(&f->w), err);
	assert_null(f->w.attest);
	if (strstr(f->w.err, "/tokens") == NULL || strstr(f->w.err, words) == NULL)
		fail_msg("\"%s\" has not \"tokens\" and \"%s\"", f->w.err, words);
}

static void test_torn_files(void **state)
{
	struct fixture *f = *state;
	struct str token = make_token(f, 600);
	expect(redeem(f, token, key_a), GRPC_OK);
	char *text = ca_world_read(&f->w, "tokens");
	size_t n = strlen(text);
	for (size_t cut = 0; cut < n; cut += 7) {
		char *part = mem_strndup(text, cut);
		ca_world_write(&f->w, "tokens", 0600, part);
		mem_free(part);
		expect_refusal(f, ERR_VERIFY, "restore it from a backup");
	}
	for (size_t at = 0; at < n; at += 11) {
		text[at] ^= 4;
		ca_world_write(&f->w, "tokens", 0600, text);
		text[at] ^= 4;
		expect_refusal(f, ERR_VERIFY, "restore it from a backup");
	}
	ca_world_write(&f->w, "tokens", 0640, text);
	expect_refusal(f, ERR_DENIED, "chmod 0600");
	ca_world_write(&f->w, "tokens", 0600, text);
	assert_int_equal(ca_world_attest(&f->w), 0);
	expect(redeem(f, token, key_b), GRPC_UNAUTHENTICATED);
	free(text);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_who_gets_a_token),
		T(test_the_file_has_no_secret),
		T(test_spent_once),
		T(test_the_same_key_again),
		T(test_expired),
		T(test_through_restarts),
		T(test_the_oldest_session_makes_room),
		T(test_a_disk_that_takes_nothing),
		T(test_a_deleted_pod),
		T(test_another_pod_of_that_name),
		T(test_a_pod_that_has_finished),
		T(test_another_service_account),
		T(test_another_service_account_without_a_uid),
		T(test_unknown),
		T(test_kinds),
		T(test_unix_users),
		T(test_malformed_on_a_unix_socket),
		T(test_log_is_bounded),
		T(test_torn_files),
	};
	return cmocka_run_group_tests_name("attest", tests, NULL, NULL);
}
