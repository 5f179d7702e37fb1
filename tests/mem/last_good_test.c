/*
 * The last-good file of sidecars with a control plane: enough to begin with, refused whole where
 * it does not hold, and never in the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/net/net_sim.h"
#include "sidecar/snapshot/state.h"
#include "tests/support/control_pair.h"

/* Killed and started again without control plane and token: the file is enough. */
static void test_restart_from_the_file(void **state)
{
	struct control_pair *w = *state;
	expect_answer(w, "200 OK");
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	mesh_control_stop(&w->control);
	mesh_control_kill(w->pair.client);
	mesh_control_kill(w->pair.web);
	unlink(w->pair.client->params.token);
	unlink(w->pair.web->params.token);
	mesh_start_proxy(w->pair.client);
	mesh_start_proxy(w->pair.web);
	expect_ready(w->pair.client);
	expect_answer(w, "200 OK");
	/* The session in it is good for another life. */
	mesh_control_start(&w->control);
	mesh_advance(&w->pair.m, 60 * NS_PER_S);
	assert_int_equal(mesh_metric(w->pair.client, "weft_discovery_connected", NULL), 1);
	mesh_advance(&w->pair.m, 20 * 3600 * NS_PER_S);
	assert_true(mesh_metric(w->pair.client, "weft_identity_renewals_total", "result=\"issued\"",
			    NULL) >= 1);
	assert_int_equal(mesh_metric(w->pair.client, "weft_state_refused_total", NULL), 0);
}

/* A file whose leaf ran out is refused whole and named; its session alone brings the pod back. */
static void test_restart_with_an_expired_file(void **state)
{
	struct control_pair *w = *state;
	expect_answer(w, "200 OK");
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	mesh_control_stop(&w->control);
	mesh_control_kill(w->pair.web);
	unlink(w->pair.web->params.token);
	mesh_advance(&w->pair.m, 100 * NS_PER_S);
	mesh_start_proxy(w->pair.web);
	expect_not_ready(w->pair.web, "expired");
	expect_not_ready(w->pair.web, mesh_control_state(&w->control, w->pair.web));
	assert_int_equal(mesh_metric(w->pair.web, "weft_state_refused_total", NULL), 1);
	assert_int_equal(mesh_metric(w->pair.web, "weft_certificate_expiry_seconds", NULL), -1);
	mesh_control_start(&w->control);
	mesh_advance(&w->pair.m, 60 * NS_PER_S);
	expect_ready(w->pair.web);
	mesh_advance(&w->pair.m, 60 * NS_PER_S);
	expect_answer(w, "200 OK");
}

static void damage(const char *path, int how)
{
	FILE *f = fopen(path, "r+b");
	assert_non_null(f);
	switch (how) {
	case 0:
		assert_int_equal(truncate(path, 200), 0);
		break;
	case 1:
		assert_int_equal(fseek(f, 300, SEEK_SET), 0);
		fputc(0x7f, f);
		fputc(0x11, f);
		break;
	case 2:
		assert_int_equal(truncate(path, 0), 0);
		break;
	default:
		fputs("nonsense", f);
		break;
	}
	fclose(f);
}

static void test_damaged_files_are_refused(void **state)
{
	struct control_pair *w = *state;
	expect_answer(w, "200 OK");
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	mesh_control_stop(&w->control);
	for (int how = 0; how < 4; how++) {
		mesh_control_kill(w->pair.web);
		damage(mesh_control_state(&w->control, w->pair.web), how);
		mesh_start_proxy(w->pair.web);
		mesh_advance(&w->pair.m, 10 * NS_PER_S);
		expect_not_ready(w->pair.web, mesh_control_state(&w->control, w->pair.web));
		assert_int_equal(mesh_metric(w->pair.web, "weft_state_refused_total", NULL), 1);
		expect_answer(w, "503");
	}
	/* Somebody else's file. */
	mesh_control_kill(w->pair.web);
	mesh_control_kill(w->pair.client);
	char *command =
		mem_printf("cp '%s' '%s'", w->pair.client->params.state, w->pair.web->params.state);
	assert_int_equal(system(command), 0);
	mem_free(command);
	mesh_start_proxy(w->pair.client);
	mesh_start_proxy(w->pair.web);
	expect_not_ready(w->pair.web, "foreign");
	/* Its session is gone with the file: a token brings it back. */
	mesh_control_start(&w->control);
	mesh_control_token(&w->control, w->pair.web);
	mesh_advance(&w->pair.m, 60 * NS_PER_S);
	expect_ready(w->pair.web);
	expect_answer(w, "200 OK");
}

/* It ended before it had a configuration: its token is spent, what came for it is kept. */
static void test_restart_with_an_identity_alone(void **state)
{
	struct control_pair *w = *state;
	struct mesh_test_pod *web = w->pair.web;
	Weft__Mesh__V1__State *st;
	char err[256];
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	mesh_control_stop(&w->control);
	mesh_control_kill(web);
	unlink(web->params.token);
	assert_int_equal(state_read(web->params.state, &st, err, sizeof(err)), 0);
	size_t n = st->n_required;
	st->n_required = 0;
	assert_int_equal(state_save(web->params.state, st, err, sizeof(err)), 0);
	st->n_required = n;
	state_free(&st);
	mesh_start_proxy(web);
	assert_int_equal(mesh_metric(web, "weft_state_refused_total", NULL), 0);
	expect_not_ready(web, "");
	expect_answer(w, "503");
	mesh_control_start(&w->control);
	mesh_advance(&w->pair.m, 40 * NS_PER_S);
	expect_ready(web);
	assert_int_equal(mesh_metric(web, "weft_identity_renewals_total", "result=\"issued\"",
				 NULL),
		0);
	expect_answer(w, "200 OK");
}

static void test_file_that_is_too_old(void **state)
{
	struct control_pair *w = *state;
	expect_answer(w, "200 OK");
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	mesh_control_stop(&w->control);
	mesh_control_kill(w->pair.web);
	unlink(w->pair.web->params.token);
	w->pair.web->params.max_stale = 60 * NS_PER_S;
	mesh_advance(&w->pair.m, 120 * NS_PER_S);
	mesh_start_proxy(w->pair.web);
	expect_not_ready(w->pair.web, "max-stale");
	assert_int_equal(mesh_metric(w->pair.web, "weft_state_refused_total", NULL), 1);
	expect_answer(w, "503");
	mesh_control_start(&w->control);
	mesh_advance(&w->pair.m, 40 * NS_PER_S);
	expect_ready(w->pair.web); /* by its session */
	mesh_advance(&w->pair.m, 3600 * NS_PER_S);
	expect_ready(w->pair.web);
	expect_answer(w, "200 OK");
}

/* What denies is in the file once it is in force, for whoever is killed right then. */
static void test_a_denial_is_kept_at_once(void **state)
{
	struct control_pair *w = *state;
	struct mesh_test_pod *web = w->pair.web;
	Weft__Mesh__V1__State *st;
	char err[256];
	size_t policies = 0;
	expect_answer(w, "200 OK");
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	w->control.extra =
		"apiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: "
		"none, namespace: default}\nspec: {action: DENY, rules: [{}]}\n";
	mesh_control_write(&w->control);
	for (int i = 0; i < 5000 && proxy_flow(web->proxy)->snap->n_policies == 0; i++)
		mesh_advance(&w->pair.m, NS_PER_MS);
	assert_int_equal(proxy_flow(web->proxy)->snap->n_policies, 1);
	assert_int_equal(state_read(web->params.state, &st, err, sizeof(err)), 0);
	for (size_t i = 0; i < st->n_required; i++)
		policies += st->required[i]->kind_case ==
			WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY;
	state_free(&st);
	assert_int_equal(policies, 1);
}

static char *kept_session(const struct mesh_test_pod *pod)
{
	Weft__Mesh__V1__State *st;
	char err[256];
	assert_int_equal(state_read(pod->params.state, &st, err, sizeof(err)), 0);
	char *session = mem_strdup(st->session);
	state_free(&st);
	return session;
}

/* A second token was spent for a second session: that is in the file as soon as it is there. */
static void test_another_session_is_kept_at_once(void **state)
{
	struct control_pair *w = *state;
	struct mesh_test_pod *web = w->pair.web;
	char *tokens = mem_printf("%s/tokens", w->control.params.data_dir);
	expect_answer(w, "200 OK");
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	char *before = kept_session(web);
	mesh_control_stop(&w->control);
	unlink(tokens);
	mesh_control_start(&w->control);
	mesh_control_token(&w->control, web);
	unsigned issued = mesh_count_logged(&w->pair.m, "certificate issued");
	for (int i = 0; i < 100000; i++) {
		if (mesh_count_logged(&w->pair.m, "certificate issued") > issued)
			break;
		mesh_advance(&w->pair.m, NS_PER_MS);
	}
	char *after = kept_session(web);
	assert_string_not_equal(before, after);
	mem_free(before);
	mem_free(after);
	mem_free(tokens);
}

/* Of which mesh this pod is its root says, where no flag does. */
static void test_file_of_another_mesh(void **state)
{
	struct control_pair *w = *state;
	struct mesh_test_pod *web = w->pair.web;
	char err[256], *pem = cert_ca_cert_pem(w->pair.m.other_ca);
	expect_answer(w, "200 OK");
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	mesh_control_kill(web);
	mem_free(web->params.trust_domain);
	web->params.trust_domain = mem_strdup("");
	mem_free(web->params.root);
	web->params.root = mem_printf("%s/other.pem", w->control.folder);
	assert_int_equal(file_replace(web->params.root, 0644, str_from(pem), err, sizeof(err)), 0);
	mem_free(pem);
	mesh_start_proxy(web);
	expect_not_ready(web, "foreign: trust domain cluster.local, expected other.example");
	expect_answer(w, "503");
}

/* The clock was years ahead for a while: what was written then is not believed for years. */
static void test_clock_that_was_set_back(void **state)
{
	struct control_pair *w = *state;
	struct mesh_test_pod *web = w->pair.web;
	const int64_t ahead = 40 * 3600;
	Weft__Mesh__V1__State *st;
	char err[256];
	expect_answer(w, "200 OK");
	loop_sim_wall_jump(w->pair.m.w.loop, ahead * (int64_t)NS_PER_S);
	mesh_advance(&w->pair.m, 200 * NS_PER_S);
	assert_int_equal(state_read(web->params.state, &st, err, sizeof(err)), 0);
	int64_t then = st->written_at;
	state_free(&st);
	loop_sim_wall_jump(w->pair.m.w.loop, -ahead * (int64_t)NS_PER_S);
	mesh_advance(&w->pair.m, 20 * NS_PER_S);
	assert_int_equal(state_read(web->params.state, &st, err, sizeof(err)), 0);
	assert_true(st->written_at < then);
	state_free(&st);
}

/* Where nothing can be written everything goes on, counted and said. */
static void test_file_cannot_be_written(void **state)
{
	struct control_pair *w = *state;
	struct mesh_test_pod *web = w->pair.web;
	mesh_control_kill(web);
	mesh_control_token(&w->control, web);
	mem_free(web->params.state);
	web->params.state = mem_printf("%s/none/state", w->control.folder);
	mesh_start_proxy(web);
	mesh_advance(&w->pair.m, 10 * NS_PER_S);
	expect_ready(web);
	expect_answer(w, "200 OK");
	assert_true(mesh_metric(web, "weft_state_write_failures_total", NULL) >= 2);
	assert_int_equal(mesh_count_logged(&w->pair.m, "last good state not written"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTROL_TEST(test_restart_from_the_file),
		CONTROL_TEST_BRIEF(test_restart_with_an_expired_file),
		CONTROL_TEST(test_damaged_files_are_refused),
		CONTROL_TEST(test_restart_with_an_identity_alone),
		CONTROL_TEST(test_file_that_is_too_old),
		CONTROL_TEST(test_a_denial_is_kept_at_once),
		CONTROL_TEST(test_another_session_is_kept_at_once),
		CONTROL_TEST(test_file_of_another_mesh),
		CONTROL_TEST(test_clock_that_was_set_back),
		CONTROL_TEST(test_file_cannot_be_written),
	};
	return cmocka_run_group_tests_name("last good", tests, NULL, NULL);
}
