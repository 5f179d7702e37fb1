/*
 * A control plane and two sidecars in one process: pods get identity and configuration, traffic
 * flows, the control plane goes and comes back, leaves run out and are had again, and a sidecar
 * begins with nothing but its file.
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
#include "lib/net/net_sim.h"
#include "sidecar/snapshot/state.h"
#include "tests/support/mesh_control.h"
#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

/* The usual pair, and who tells it. pair is the first member: what takes a pair takes this. */
struct world {
	struct pair pair;
	struct mesh_control control;
	struct mesh_app app;
};

static int begin(void **state, const char *const *flags)
{
	struct world *w = MEM_NEW(struct world);
	mesh_init(&w->pair.m);
	w->pair.client = mesh_pod(&w->pair.m, "client", true);
	w->pair.web = mesh_pod(&w->pair.m, "web", true);
	mesh_control_init(&w->control, &w->pair.m, flags);
	mesh_control_start(&w->control);
	mesh_control_prepare(&w->control, w->pair.client);
	mesh_control_prepare(&w->control, w->pair.web);
	mesh_app_start(&w->app, w->pair.web, 8080, HTTP_V1, app_hello);
	mesh_start_proxy(w->pair.client);
	mesh_start_proxy(w->pair.web);
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	*state = w;
	return 0;
}

static int setup(void **state)
{
	return begin(state, NULL);
}

/* Leaves of a minute, as many as anybody asks for. */
static int setup_brief(void **state)
{
	static const char *const flags[] = {
		"--leaf-lifetime=60s", "--issue-per-minute=10000", "--issue-burst=1000", NULL};
	return begin(state, flags);
}

static int teardown(void **state)
{
	struct world *w = *state;
	mesh_app_stop(&w->app);
	for (size_t i = 0; i < w->pair.m.n_pods; i++)
		if (w->pair.m.pods[i].proxy != NULL)
			mesh_control_kill(&w->pair.m.pods[i]);
	mesh_control_fini(&w->control);
	mesh_fini(&w->pair.m);
	mem_free(w);
	return 0;
}

static char *reasons(struct mesh_test_pod *pod)
{
	struct buf b;
	buf_init(&b, pod->mesh->log_bufs);
	bool ready = proxy_ready(pod->proxy, &b);
	size_t n = buf_len(&b);
	char *text = calloc(1, n + 1);
	buf_copy_out(&b, 0, text, n);
	buf_clear(&b);
	assert_int_equal(ready, n == 0);
	return text;
}

static void expect_ready(struct mesh_test_pod *pod)
{
	char *text = reasons(pod);
	if (text[0] != '\0') {
		mesh_print_log(pod->mesh);
		fail_msg("%s is not ready: %s", pod->name, text);
	}
	free(text);
}

static void expect_not_ready(struct mesh_test_pod *pod, const char *part)
{
	char *text = reasons(pod);
	assert_has(text, part);
	free(text);
}

/* One request on a connection of its own. */
static void expect_answer(struct world *w, const char *part)
{
	struct wire x;
	pair_wire(&w->pair, &x);
	wire_send(&x, STR(GET), 0, NULL);
	mesh_advance(&w->pair.m, 5 * NS_PER_S);
	char *got = wire_take(&x);
	if (strstr(got, part) == NULL)
		mesh_print_log(&w->pair.m);
	assert_has(got, part);
	free(got);
	wire_fini(&x);
	mesh_settle(&w->pair.m);
}

static void test_from_nothing(void **state)
{
	struct world *w = *state;
	struct stat st;
	expect_ready(w->pair.client);
	expect_ready(w->pair.web);
	expect_answer(w, "200 OK");
	assert_int_equal(w->app.accepted, 1);
	assert_int_equal(mesh_metric(w->pair.client, "weft_discovery_connected", NULL), 1);
	assert_true(mesh_metric(w->pair.client, "weft_discovery_subscriptions", NULL) >= 1);
	assert_int_equal(mesh_metric(w->pair.client, "weft_identity_renewals_total",
				 "result=\"issued\"", NULL),
		1);
	/* Both are kept. */
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	assert_int_equal(stat(mesh_control_state(&w->control, w->pair.client), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(mesh_control_state(&w->control, w->pair.web), &st), 0);
	assert_false(mesh_logged(&w->pair.m, "wts_") || mesh_logged(&w->pair.m, "wtj_"));
}

static void test_control_plane_goes_and_comes(void **state)
{
	struct world *w = *state;
	expect_answer(w, "200 OK");
	mesh_control_stop(&w->control);
	expect_answer(w, "200 OK");
	mesh_advance(&w->pair.m, 3600 * NS_PER_S);
	expect_ready(w->pair.client);
	expect_answer(w, "200 OK");
	assert_int_equal(mesh_metric(w->pair.client, "weft_discovery_connected", NULL), 0);
	mesh_control_start(&w->control);
	mesh_advance(&w->pair.m, 40 * NS_PER_S);
	assert_int_equal(mesh_metric(w->pair.client, "weft_discovery_connected", NULL), 1);
	assert_int_equal(mesh_metric(w->pair.web, "weft_discovery_connected", NULL), 1);
	/* And what changes is heard again. */
	w->control.extra =
		"apiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\n"
		"metadata: {name: none, namespace: default}\nspec: {action: DENY, rules: [{}]}\n";
	mesh_control_write(&w->control);
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	expect_answer(w, "403 Forbidden");
}

/* A day without control plane: beyond max-stale, counted from the last contact, all is refused. */
static void test_staleness_counts_from_the_last_contact(void **state)
{
	struct world *w = *state;
	expect_answer(w, "200 OK");
	mesh_advance(&w->pair.m, 30 * 3600 * NS_PER_S);
	expect_ready(w->pair.web);
	assert_true(mesh_metric(w->pair.web, "weft_state_age_seconds", NULL) <= 10);
	mesh_control_stop(&w->control);
	for (int i = 0; i < 2; i++) { /* long leaves or not: the age alone counts here */
		mesh_advance(&w->pair.m, 12 * 3600 * NS_PER_S + 60 * NS_PER_S);
	}
	expect_not_ready(w->pair.web, "older than max-stale");
	mesh_control_start(&w->control);
	mesh_advance(&w->pair.m, 60 * NS_PER_S);
	expect_ready(w->pair.web);
	expect_answer(w, "200 OK");
}

static void test_leaves_run_out_and_are_had_again(void **state)
{
	struct world *w = *state;
	char first[64];
	expect_answer(w, "200 OK");
	snprintf(first, sizeof(first), "%s", mesh_serial(w->pair.web));
	for (int i = 0; i < 30; i++) {
		mesh_advance(&w->pair.m, 5 * NS_PER_S);
		expect_answer(w, "200 OK");
	}
	assert_string_not_equal(mesh_serial(w->pair.web), first);
	assert_true(mesh_metric(w->pair.web, "weft_certificate_expiry_seconds", NULL) >= 15);
	mesh_control_stop(&w->control);
	mesh_advance(&w->pair.m, 70 * NS_PER_S);
	expect_not_ready(w->pair.web, "the own certificate has expired");
	expect_not_ready(w->pair.client, "certificate");
	expect_answer(w, "503");
	mesh_advance(&w->pair.m, 600 * NS_PER_S);
	expect_answer(w, "503");
	mesh_control_start(&w->control);
	mesh_advance(&w->pair.m, 40 * NS_PER_S);
	expect_ready(w->pair.web);
	expect_ready(w->pair.client);
	expect_answer(w, "200 OK");
}

/* Killed and started again without control plane and token: the file is enough. */
static void test_restart_from_the_file(void **state)
{
	struct world *w = *state;
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
	struct world *w = *state;
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
	struct world *w = *state;
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
	struct world *w = *state;
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
	struct world *w = *state;
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

/* Where nothing can be written everything goes on, counted and said. */
static void test_file_cannot_be_written(void **state)
{
	struct world *w = *state;
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

/* The token of another pod is good for that pod alone. */
static void test_token_of_another_pod(void **state)
{
	struct world *w = *state;
	mesh_control_kill(w->pair.web);
	unlink(w->pair.web->params.state);
	mesh_control_token(&w->control, w->pair.client);
	mem_free(w->pair.web->params.token);
	w->pair.web->params.token = mem_strdup(w->pair.client->params.token);
	mesh_start_proxy(w->pair.web);
	mesh_advance(&w->pair.m, 60 * NS_PER_S);
	expect_not_ready(w->pair.web, "uid-client");
	assert_true(mesh_metric(w->pair.web, "weft_identity_renewals_total", "result=\"rejected\"",
			    NULL) >= 1);
}

static size_t count_roots(const struct world *w)
{
	struct cert_chain *roots;
	struct str der = authority_roots(ctrlplane_authority(w->control.cp));
	assert_int_equal(cert_chain_parse(der, &roots), 0);
	size_t n = cert_chain_count(roots);
	cert_chain_unref(&roots);
	return n;
}

static void rotate(struct world *w)
{
	char err[256];
	if (authority_rotate(ctrlplane_authority(w->control.cp), 10 * NS_PER_S, err, sizeof(err)) !=
		0)
		fail_msg("%s", err);
}

/* Whether the pod's own leaf hangs from what the control plane trusts now. */
static bool is_trusted(const struct world *w, const struct mesh_test_pod *pod)
{
	struct cert_bundle *b = cert_bundle_new();
	struct cert_chain *chain = proxy_flow(pod->proxy)->snap->chain;
	assert_int_equal(cert_bundle_add(b, STR("cluster.local"),
				 authority_roots(ctrlplane_authority(w->control.cp))),
		0);
	enum cert_verdict v = cert_verify(chain, b, cert_chain_leaf(chain)->not_after, true, NULL);
	cert_bundle_unref(&b);
	return v == CERT_GOOD;
}

static void test_root_is_replaced(void **state)
{
	struct world *w = *state;
	expect_answer(w, "200 OK");
	rotate(w);
	for (int i = 0; i < 50; i++) {
		mesh_advance(&w->pair.m, NS_PER_S);
		expect_answer(w, "200 OK");
	}
	assert_int_equal(count_roots(w), 1);
	assert_true(mesh_logged(&w->pair.m, "the first root is another one now"));
	assert_true(is_trusted(w, w->pair.client) && is_trusted(w, w->pair.web));
	assert_int_equal(mesh_metric(w->pair.client, "weft_connections_refused_total", NULL), 0);
	assert_int_equal(mesh_metric(w->pair.web, "weft_connections_refused_total", NULL), 0);
}

/* Who was cut off through all of it finds back by the root in its file and its session. */
static void test_root_is_replaced_meanwhile(void **state)
{
	struct world *w = *state;
	expect_answer(w, "200 OK");
	mesh_control_stop(&w->control);
	net_sim_fail(w->pair.m.net, &w->control.addr, ERR_TIMEOUT);
	mesh_control_start(&w->control);
	rotate(w);
	mesh_advance(&w->pair.m, 300 * NS_PER_S);
	assert_int_equal(count_roots(w), 1);
	assert_false(is_trusted(w, w->pair.client));
	expect_not_ready(w->pair.client, "certificate");
	expect_answer(w, "503");
	net_sim_fail(w->pair.m.net, &w->control.addr, 0);
	mesh_advance(&w->pair.m, 90 * NS_PER_S);
	expect_ready(w->pair.client);
	expect_ready(w->pair.web);
	assert_true(is_trusted(w, w->pair.client) && is_trusted(w, w->pair.web));
	expect_answer(w, "200 OK");
}

/* The control plane has forgotten all sessions: a token in the file brings the pod back. */
static void test_sessions_are_lost(void **state)
{
	struct world *w = *state;
	char *tokens = mem_printf("%s/tokens", w->control.params.data_dir);
	mesh_control_stop(&w->control);
	unlink(tokens);
	mem_free(tokens);
	mesh_control_start(&w->control);
	mesh_advance(&w->pair.m, 40 * NS_PER_S);
	assert_int_equal(mesh_metric(w->pair.web, "weft_discovery_connected", NULL), 0);
	assert_true(mesh_logged(&w->pair.m, "weft token create"));
	expect_ready(w->pair.web);
	mesh_control_token(&w->control, w->pair.web);
	mesh_control_token(&w->control, w->pair.client);
	mesh_advance(&w->pair.m, 70 * NS_PER_S);
	assert_int_equal(mesh_metric(w->pair.web, "weft_discovery_connected", NULL), 1);
	assert_int_equal(mesh_metric(w->pair.client, "weft_discovery_connected", NULL), 1);
	expect_answer(w, "200 OK");
}

/* Draining needs the control plane until the last connection has ended. */
static void test_drain(void **state)
{
	struct world *w = *state;
	struct wire x;
	pair_wire(&w->pair, &x);
	pair_expect(&x, GET, "200 OK");
	proxy_drain(w->pair.client->proxy);
	mesh_advance(&w->pair.m, 3 * NS_PER_S);
	assert_false(w->pair.client->done);
	assert_int_equal(mesh_metric(w->pair.client, "weft_discovery_connected", NULL), 1);
	pair_expect(&x, GET, "200 OK");
	wire_fini(&x);
	mesh_advance(&w->pair.m, 3 * NS_PER_S);
	assert_true(w->pair.client->done);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_BRIEF(fn) cmocka_unit_test_setup_teardown(fn, setup_brief, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_from_nothing),
		TEST(test_control_plane_goes_and_comes),
		TEST(test_staleness_counts_from_the_last_contact),
		TEST_BRIEF(test_leaves_run_out_and_are_had_again),
		TEST(test_restart_from_the_file),
		TEST_BRIEF(test_restart_with_an_expired_file),
		TEST(test_damaged_files_are_refused),
		TEST(test_restart_with_an_identity_alone),
		TEST(test_file_that_is_too_old),
		TEST(test_file_cannot_be_written),
		TEST(test_token_of_another_pod),
		TEST_BRIEF(test_root_is_replaced),
		TEST_BRIEF(test_root_is_replaced_meanwhile),
		TEST(test_sessions_are_lost),
		TEST(test_drain),
	};
	return cmocka_run_group_tests_name("control plane", tests, NULL, NULL);
}
