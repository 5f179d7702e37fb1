/*
 * A control plane and two sidecars in one process: pods get identity and configuration, traffic
 * flows, the control plane goes and comes back, leaves run out and are had again, roots are
 * replaced.
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
#include "tests/support/control_pair.h"

static void test_from_nothing(void **state)
{
	struct control_pair *w = *state;
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
	struct control_pair *w = *state;
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
	struct control_pair *w = *state;
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
	struct control_pair *w = *state;
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

/* The token of another pod is good for that pod alone. */
static void test_token_of_another_pod(void **state)
{
	struct control_pair *w = *state;
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

static size_t count_roots(const struct control_pair *w)
{
	struct cert_chain *roots;
	struct str der = authority_roots(ctrlplane_authority(w->control.cp));
	assert_int_equal(cert_chain_parse(der, &roots), 0);
	size_t n = cert_chain_count(roots);
	cert_chain_unref(&roots);
	return n;
}

static void rotate(struct control_pair *w)
{
	char err[256];
	if (authority_rotate(ctrlplane_authority(w->control.cp), 10 * NS_PER_S, err, sizeof(err)) !=
		0)
		fail_msg("%s", err);
}

/* Whether the pod's own leaf hangs from what the control plane trusts now. */
static bool is_trusted(const struct control_pair *w, const struct mesh_test_pod *pod)
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
	struct control_pair *w = *state;
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
	struct control_pair *w = *state;
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
	struct control_pair *w = *state;
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
	struct control_pair *w = *state;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTROL_TEST(test_from_nothing),
		CONTROL_TEST(test_control_plane_goes_and_comes),
		CONTROL_TEST(test_staleness_counts_from_the_last_contact),
		CONTROL_TEST_BRIEF(test_leaves_run_out_and_are_had_again),
		CONTROL_TEST(test_token_of_another_pod),
		CONTROL_TEST_BRIEF(test_root_is_replaced),
		CONTROL_TEST_BRIEF(test_root_is_replaced_meanwhile),
		CONTROL_TEST(test_sessions_are_lost),
		CONTROL_TEST(test_drain),
	};
	return cmocka_run_group_tests_name("control plane", tests, NULL, NULL);
}
