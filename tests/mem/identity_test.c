/*
 * Who may call and who may answer: every broken certificate on either side with its own reason in
 * log and metric, foreign trust domains, revoked serials, plaintext by mode, endpoints without
 * sidecar.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/net/net_sim.h"
#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

static unsigned refused(struct mesh_test_pod *p, const char *label)
{
	char word[64];
	snprintf(word, sizeof(word), "reason=\"%s\"", label);
	return (unsigned)mesh_metric(p, "weft_connections_refused_total", word, NULL);
}

static bool logged_reason(struct mesh *m, const char *label)
{
	char word[64];
	snprintf(word, sizeof(word), "\"reason\":\"%s\"", label);
	return mesh_logged(m, word);
}

/* -- broken certificates
 * ----------------------------------------------------------------------------------------------
 */

static const struct {
	enum cert_flaw flaw;
	enum cert_verdict verdict;
	bool unused; /* our own TLS does not even present it as a server */
} flaws[] = {
	{CERT_FLAW_EXPIRED, CERT_EXPIRED, false},
	{CERT_FLAW_NOT_YET_VALID, CERT_NOT_YET_VALID, false},
	{CERT_FLAW_NO_SAN, CERT_NO_SAN, false},
	{CERT_FLAW_DNS_ONLY, CERT_NO_SAN, false},
	{CERT_FLAW_TWO_SANS, CERT_TWO_SANS, false},
	{CERT_FLAW_BAD_ID, CERT_BAD_ID, false},
	{CERT_FLAW_FOREIGN_ID, CERT_TRUST_DOMAIN, false},
	{CERT_FLAW_CA_LEAF, CERT_CA_LEAF, false},
	{CERT_FLAW_CERT_SIGN, CERT_KEY_USAGE, false},
	{CERT_FLAW_NO_KEY_USAGE, CERT_KEY_USAGE, true},
	{CERT_FLAW_WRONG_EKU, CERT_KEY_USAGE, true},
	{CERT_FLAW_BAD_SIGNATURE, CERT_UNTRUSTED, false},
};

/* The pod's leaf has that flaw: the request fails, the other side says why. */
static void broken(struct pair *p, struct mesh_test_pod *bad, struct mesh_test_pod *judge)
{
	struct mesh_app app;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++) {
		const char *label = cert_verdict_label(flaws[i].verdict);
		unsigned before = refused(judge, label);
		struct wire x;
		buf_clear(&p->m.log_text);
		mesh_apply_leaf(&p->m, bad, p->m.ca,
			flaws[i].flaw == CERT_FLAW_FOREIGN_ID ? "spiffe://other.example/ns/a/sa/b"
							      : bad->id,
			flaws[i].flaw);
		/* A retry would be counted too; there is none with one endpoint. */
		pair_wire(p, &x);
		char *got = pair_ask(&x, GET);
		/* Of its own a client knows that it is over. */
		bool known = flaws[i].flaw == CERT_FLAW_EXPIRED && bad == p->client;
		if (strstr(got, "503 Service Unavailable") == NULL ||
			strstr(got, known ? "(own_certificate)" : "(UF)") == NULL)
			fail_msg("%s: %s", cert_flaw_option(flaws[i].flaw), got);
		free(got);
		wire_fini(&x);
		if (known)
			continue;
		if (flaws[i].unused && bad == p->web)
			continue;
		if (refused(judge, label) != before + 1)
			fail_msg("%s: %s not counted once", cert_flaw_option(flaws[i].flaw), label);
		if (!mesh_logged(&p->m, cert_verdict_text(flaws[i].verdict)))
			fail_msg("%s: not logged", cert_flaw_option(flaws[i].flaw));
	}
	assert_int_equal(app.accepted, 0);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_broken_servers(void **state)
{
	struct pair *p = *state;
	broken(p, p->web, p->client);
}

static void test_broken_clients(void **state)
{
	struct pair *p = *state;
	broken(p, p->client, p->web);
	assert_true(logged_reason(&p->m, "cert_untrusted"));
}

/* The same over raw TCP, where no request carries the reason. */
static void test_broken_peers_over_tcp(void **state)
{
	struct pair *p = *state;
	struct mesh_raw app;
	p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP;
	mesh_raw_start(&app, p->web, 8080, "220 ready\r\n");
	for (int i = 0; i < 2; i++) {
		struct mesh_test_pod *bad = i == 0 ? p->web : p->client,
				     *judge = i == 0 ? p->client : p->web;
		struct wire x;
		mesh_apply(&p->m);
		mesh_apply_leaf(&p->m, bad, p->m.ca, bad->id, CERT_FLAW_NOT_YET_VALID);
		pair_wire(p, &x);
		wire_send(&x, STR("hello"), 0, NULL);
		mesh_advance(&p->m, NS_PER_S);
		assert_int_equal(x.total, 0);
		assert_true(x.err == ERR_RESET);
		assert_int_equal(refused(judge, "cert_not_yet_valid"), 1);
		wire_fini(&x);
	}
	assert_int_equal(app.n, 0);
	mesh_raw_stop(&app);
	mesh_assert_idle(&p->m);
}

/* -- foreign trust domains
 * -------------------------------------------------------------------------------------------- */

static void foreign_client(struct pair *p)
{
	mesh_apply_leaf(&p->m, p->client, p->m.other_ca,
		"spiffe://other.example/ns/default/sa/client", CERT_FLAW_NONE);
}

static void test_foreign_trust_domains(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	foreign_client(p);
	pair_wire(p, &x);
	pair_expect(&x, GET, "(UF)");
	assert_int_equal(refused(p->web, "cert_unknown_trust_domain"), 1);
	/* Known but not named: identified, and denied. */
	p->m.trust_other = true;
	mesh_apply_one(&p->m, p->web);
	foreign_client(p);
	pair_expect(&x, GET, "403 Forbidden");
	assert_true(mesh_logged(&p->m, "allowed only by a rule that names it"));
	mesh_policy(&p->m, "anybody", MESH_ALLOW, "*", 0);
	mesh_apply_one(&p->m, p->web);
	pair_expect(&x, GET, "403 Forbidden");
	mesh_policy(&p->m, "partner", MESH_ALLOW, "other.example/ns/default/sa/client", 0);
	mesh_apply_one(&p->m, p->web);
	pair_expect(&x, GET, "200 OK");
	assert_has(http_user_log(app.users[0]), "URI=spiffe://other.example/ns/default/sa/client");
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* A CA vouches for its own domain alone, known or not. */
static void test_a_ca_vouches_for_its_domain_alone(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct cert_ca *impostor = mesh_ca("cluster.local");
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	p->m.trust_other = true;
	mesh_apply(&p->m);
	mesh_apply_leaf(&p->m, p->client, impostor, p->client->id, CERT_FLAW_NONE);
	pair_wire(p, &x);
	pair_expect(&x, GET, "(UF)");
	assert_int_equal(refused(p->web, "cert_untrusted"), 1);
	wire_fini(&x);
	mesh_app_stop(&app);
	cert_ca_free(&impostor);
	mesh_assert_idle(&p->m);
}

/* The right name in the wrong pod. */
static void test_another_pod_of_the_same_identity(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	strcpy(p->web->uid, "uid-of-before");
	mesh_apply_one(&p->m, p->client); /* knows the web by another UID */
	strcpy(p->web->uid, "uid-web");
	pair_wire(p, &x);
	pair_expect(&x, GET, "(UF)");
	assert_int_equal(refused(p->client, "cert_wrong_pod"), 1);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* -- revocation
 * ------------------------------------------------------------------------------------------------------
 */

static void revoke(struct pair *p, struct mesh_test_pod *bad)
{
	static char serial[128];
	snprintf(serial, sizeof(serial), "%s", mesh_serial(bad));
	p->m.revoked[0] = serial;
	p->m.n_revoked = 1;
}

static void test_revoked_client(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	pair_expect(&x, GET, "200 OK");
	revoke(p, p->client);
	mesh_apply_one(&p->m, p->web);
	/* What was open is cut, what comes is refused. */
	assert_int_equal(refused(p->web, "cert_revoked"), 1);
	pair_expect(&x, GET, "503 Service Unavailable");
	assert_int_equal(refused(p->web, "cert_revoked"), 2);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_revoked_server(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	pair_expect(&x, GET, "200 OK");
	revoke(p, p->web);
	mesh_apply_one(&p->m, p->client);
	pair_expect(&x, GET, "(UF)");
	assert_true(refused(p->client, "cert_revoked") >= 1);
	assert_true(mesh_logged(&p->m, "the certificate is revoked"));
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* -- modes
 * ------------------------------------------------------------------------------------------------------
 */

static void test_plaintext_where_it_is_admitted(void **state)
{
	static const Weft__Mesh__V1__MtlsMode modes[] = {
		WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE,
		WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_DISABLE};
	struct pair *p = *state;
	struct mesh_test_pod *stranger = mesh_pod(&p->m, "stranger", false);
	struct mesh_app app;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	for (unsigned i = 0; i < 2; i++) {
		struct wire x;
		p->m.mtls = modes[i];
		mesh_apply(&p->m);
		wire_init(&x, &p->m.w, mesh_dial(&p->m, stranger, "10.77.0.3:8080"));
		pair_expect(&x,
			"GET / HTTP/1.1\r\nHost: web\r\nX-Forwarded-Client-Cert: forged\r\n\r\n",
			"200 OK");
		assert_has_not(http_user_log(app.users[app.n - 1]), "forged");
		assert_int_equal(mesh_metric(p->web, "weft_plaintext_connections_total",
					 "source_workload=\"stranger\"", NULL),
			i + 1);
		wire_fini(&x);
		/* Ours is TLS in every mode. */
		pair_wire(p, &x);
		pair_expect(&x, GET, "200 OK");
		wire_fini(&x);
		assert_int_equal(mesh_metric(p->web, "weft_requests_total", "tls=\"mtls\"", NULL),
			i + 1);
		assert_int_equal(mesh_metric(p->web, "weft_requests_total", "tls=\"none\"",
					 "source_identity=\"unknown\"", NULL),
			i + 1);
	}
	/* Plaintext matches no identity. */
	mesh_policy(&p->m, "friends", MESH_ALLOW, "*", 0);
	mesh_apply(&p->m);
	struct wire x;
	wire_init(&x, &p->m.w, mesh_dial(&p->m, stranger, "10.77.0.3:8080"));
	pair_expect(&x, GET, "403 Forbidden");
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

static void test_endpoints_without_sidecar(void **state)
{
	struct pair *p = *state;
	struct mesh_test_pod *bare = mesh_pod(&p->m, "bare", false);
	struct mesh_app app;
	struct wire x;
	mesh_app_start(&app, bare, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	wire_init(&x, &p->m.w, mesh_dial(&p->m, p->client, "10.77.0.4:8080"));
	pair_expect(&x, GET, "(strict)");
	assert_int_equal(app.accepted, 0);
	p->m.not_meshed_flag = true;
	mesh_apply(&p->m);
	pair_expect(&x, GET, "200 OK");
	assert_int_equal(mesh_metric(p->client, "weft_requests_total", "tls=\"none\"",
				 "code=\"200\"", NULL),
		1);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* A service some of whose pods are not meshed: the others answer. */
static void test_services_that_are_meshed_in_part(void **state)
{
	struct pair *p = *state;
	struct mesh_test_pod *bare = mesh_pod(&p->m, "web-bare", false);
	struct mesh_app app, other;
	struct wire x;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_app_start(&other, bare, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	pair_wire(p, &x);
	for (int i = 0; i < 20; i++)
		pair_expect(&x, GET, "200 OK");
	assert_int_equal(other.accepted, 0);
	p->web->unready = true;
	mesh_apply(&p->m);
	pair_expect(&x, GET, "(strict)");
	assert_int_equal(other.accepted, 0);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_app_stop(&other);
	mesh_assert_idle(&p->m);
}

/* A meshed endpoint whose sidecar is not there is never answered by plaintext. */
static void test_no_downgrade(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	struct addr ip;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	assert_int_equal(addr_parse(str_from(p->web->ip), &ip), 0);
	net_sim_redirect_in(p->m.net, &ip, NULL); /* straight to the application */
	pair_wire(p, &x);
	pair_expect(&x, GET, "(UF)");
	assert_int_equal(app.accepted, 1);
	assert_int_equal(app.users[0]->n, 1); /* a ClientHello is no request */
	assert_has(http_user_log(app.users[0]), "conn end PROTOCOL");
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_broken_servers),
		PAIR_TEST(test_broken_clients),
		PAIR_TEST(test_broken_peers_over_tcp),
		PAIR_TEST(test_foreign_trust_domains),
		PAIR_TEST(test_a_ca_vouches_for_its_domain_alone),
		PAIR_TEST(test_another_pod_of_the_same_identity),
		PAIR_TEST(test_revoked_client),
		PAIR_TEST(test_revoked_server),
		PAIR_TEST(test_plaintext_where_it_is_admitted),
		PAIR_TEST(test_endpoints_without_sidecar),
		PAIR_TEST(test_services_that_are_meshed_in_part),
		PAIR_TEST(test_no_downgrade),
	};
	return cmocka_run_group_tests_name("identity and modes", tests, NULL, NULL);
}
