/*
 * Certificates in the handshake: every flaw on either side, wrong identities and trust domains, and
 * what the refused side learns. In memory, on a simulated loop.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "tests/support/tls_world.h"

static const struct flaw_row {
	enum cert_flaw flaw;
	enum cert_verdict verdict;
	const char *alert;
	bool own_side; /* as a server the library will not even show such a certificate */
} flaws[] = {
	{CERT_FLAW_EXPIRED, CERT_EXPIRED, "certificate_expired", false},
	{CERT_FLAW_NOT_YET_VALID, CERT_NOT_YET_VALID, "certificate_expired", false},
	{CERT_FLAW_NO_SAN, CERT_NO_SAN, "bad_certificate", false},
	{CERT_FLAW_DNS_ONLY, CERT_NO_SAN, "bad_certificate", false},
	{CERT_FLAW_TWO_SANS, CERT_TWO_SANS, "bad_certificate", false},
	{CERT_FLAW_BAD_ID, CERT_BAD_ID, "bad_certificate", false},
	{CERT_FLAW_FOREIGN_ID, CERT_TRUST_DOMAIN, "unknown_ca", false},
	{CERT_FLAW_CA_LEAF, CERT_CA_LEAF, "bad_certificate", false},
	{CERT_FLAW_CERT_SIGN, CERT_KEY_USAGE, "unsupported_certificate", false},
	{CERT_FLAW_NO_KEY_USAGE, CERT_KEY_USAGE, "unsupported_certificate", true},
	{CERT_FLAW_WRONG_EKU, CERT_KEY_USAGE, "unsupported_certificate", true},
	{CERT_FLAW_BAD_SIGNATURE, CERT_UNTRUSTED, "unknown_ca", false},
	{CERT_FLAW_OTHER_CURVE, CERT_ALGORITHM, "unsupported_certificate", false},
};

static struct tls_ctx *flawed(struct tls_world *w, enum tls_role role, const char *id,
	enum cert_flaw flaw)
{
	if (flaw == CERT_FLAW_FOREIGN_ID)
		id = "spiffe://other.test/ns/shop/sa/client";
	return tls_world_ctx(w, role, id, flaw);
}

static void every_flaw_of_a_client_is_refused_by_name(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	assert_int_equal(sizeof(flaws) / sizeof(flaws[0]), CERT_FLAW_COUNT - 1);
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++) {
		tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE),
			flawed(&w, TLS_CLIENT, WORLD_CLIENT, flaws[i].flaw));
		assert_null(p.server.io);
		assert_int_equal(p.server.failure.err, ERR_VERIFY);
		assert_int_equal(p.server.failure.verdict, flaws[i].verdict);
		assert_false(p.server.failure.alert_from_peer);
		tls_assert_has(p.server.failure.text, cert_verdict_text(flaws[i].verdict));
		/* TLS 1.3: the client is through before the server has looked. */
		tls_assert_refused(&w, p.client.io, ERR_VERIFY, flaws[i].alert);
		tls_pair_close(&w, &p);
	}
	tls_world_close(&w);
}

static void every_flaw_of_a_server_is_refused_by_name(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++) {
		tls_pair_run(&w, &p, flawed(&w, TLS_SERVER, WORLD_SERVER, flaws[i].flaw),
			tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE));
		assert_null(p.server.io);
		assert_null(p.client.io);
		if (flaws[i].own_side) {
			assert_int_equal(p.client.failure.err, ERR_PROTOCOL);
			tls_assert_has(p.client.failure.text, "handshake_failure");
		} else {
			assert_int_equal(p.client.failure.err, ERR_VERIFY);
			assert_int_equal(p.client.failure.verdict, flaws[i].verdict);
			tls_assert_has(p.client.failure.text, cert_verdict_text(flaws[i].verdict));
			assert_int_equal(p.server.failure.err, ERR_VERIFY);
			assert_true(p.server.failure.alert_from_peer);
			assert_int_equal(p.server.failure.verdict, CERT_GOOD);
			tls_assert_has(p.server.failure.text, flaws[i].alert);
		}
		tls_pair_close(&w, &p);
	}
	tls_world_close(&w);
}

static void run_expectation(const char *id, const char *uid, enum cert_verdict verdict)
{
	struct tls_world w;
	struct tls_pair p;

	tls_world_open(&w);
	struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	tls_pair_start(&w, &p, s, c, 65536, id, uid);
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_settle(&w);
	if (verdict == CERT_GOOD) {
		assert_non_null(p.client.io);
	} else {
		assert_int_equal(p.client.failure.err, ERR_VERIFY);
		assert_int_equal(p.client.failure.verdict, verdict);
		assert_string_equal(p.client.failure.peer_id, WORLD_SERVER);
		tls_assert_has(p.client.failure.text, WORLD_SERVER);
		tls_assert_has(p.server.failure.text, "access_denied");
	}
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void the_server_must_be_the_expected_one(void **state)
{
	(void)state;
	run_expectation(WORLD_SERVER, NULL, CERT_GOOD);
	run_expectation(WORLD_SERVER, WORLD_UID, CERT_GOOD);
	run_expectation("spiffe://mesh.test/ns/shop/sa/other", NULL, CERT_IDENTITY);
	run_expectation("spiffe://mesh.test/ns/shop/sa/serve", NULL, CERT_IDENTITY);
	run_expectation("spiffe://mesh.test/ns/shop/sa/server2", WORLD_UID, CERT_IDENTITY);
	run_expectation(WORLD_SERVER, "11111111-2222-3333-4444-555555555555", CERT_POD_UID);
}

/* A second trust domain; its leaf is good in itself. */
static void a_foreign_trust_domain_needs_its_own_bundle(void **state)
{
	static const char id[] = "spiffe://other.test/ns/shop/sa/client";
	struct tls_world w;
	struct tls_pair p;
	struct cert_ca *other, *usurper;
	struct tls_ctx_config cfg = {.role = TLS_CLIENT};

	(void)state;
	tls_world_open(&w);
	assert_int_equal(cert_ca_create(STR("other.test"), WORLD_START - 600, WORLD_START + 86400,
				 &other),
		0);
	assert_int_equal(cert_ca_create(STR(WORLD_TD), WORLD_START - 600, WORLD_START + 86400,
				 &usurper),
		0);
	cfg.chain = tls_world_leaf(&w, other, id, NULL, CERT_FLAW_NONE, &cfg.key);
	cfg.alpn = (const char *const[]){"weft/tcp", NULL};
	tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE),
		tls_world_ctx_of(&w, cfg));
	assert_int_equal(p.server.failure.verdict, CERT_TRUST_DOMAIN);
	assert_string_equal(p.server.failure.peer_id, id);
	tls_assert_refused(&w, p.client.io, ERR_VERIFY, "unknown_ca");
	tls_pair_close(&w, &p);

	/* With the bundle of that domain it is let in; but a CA that calls itself ours is not. */
	char *pem = cert_ca_cert_pem(other);
	struct cert_bundle *both = cert_bundle_new();
	char *own = cert_ca_cert_pem(w.ca);
	assert_int_equal(cert_bundle_add(both, STR("other.test"), str_from(pem)), 0);
	assert_int_equal(cert_bundle_add(both, STR(WORLD_TD), str_from(own)), 0);
	struct tls_ctx_config server = {.role = TLS_SERVER, .bundle = both};
	server.chain = tls_world_leaf(&w, NULL, WORLD_SERVER, NULL, CERT_FLAW_NONE, &server.key);
	struct tls_ctx_config client = cfg;
	client.alpn = NULL;
	tls_pair_run(&w, &p, tls_world_ctx_of(&w, server), tls_world_ctx_of(&w, client));
	assert_non_null(p.server.io);
	tls_pair_close(&w, &p);
	cert_chain_unref(&client.chain);
	cert_key_unref(&client.key);
	client.chain = tls_world_leaf(&w, usurper, WORLD_CLIENT, NULL, CERT_FLAW_NONE, &client.key);
	tls_pair_run(&w, &p, tls_world_ctx_of(&w, server), tls_world_ctx_of(&w, client));
	assert_int_equal(p.server.failure.verdict, CERT_UNTRUSTED);
	tls_assert_refused(&w, p.client.io, ERR_VERIFY, "unknown_ca");
	tls_pair_close(&w, &p);
	cert_chain_unref(&client.chain);
	cert_key_unref(&client.key);
	cert_chain_unref(&server.chain);
	cert_key_unref(&server.key);
	cert_bundle_unref(&both);
	mem_free(pem);
	mem_free(own);
	cert_ca_free(&other);
	cert_ca_free(&usurper);
	tls_world_close(&w);
}

static void a_chain_with_intermediates_is_judged_whole(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct cert_ca *mid;
	struct tls_ctx_config cfg = {.role = TLS_CLIENT};

	(void)state;
	tls_world_open(&w);
	assert_int_equal(cert_ca_issue_ca(w.ca, WORLD_START - 600, WORLD_START + 86400, &mid), 0);
	cfg.chain = tls_world_leaf(&w, mid, WORLD_CLIENT, NULL, CERT_FLAW_NONE, &cfg.key);
	cfg.alpn = (const char *const[]){"weft/tcp", NULL};
	assert_int_equal(cert_chain_count(cfg.chain), 2);
	tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE),
		tls_world_ctx_of(&w, cfg));
	assert_non_null(p.server.io);
	assert_int_equal(cert_chain_count(tls_io_peer_chain(p.server.io)), 2);
	tls_pair_close(&w, &p);
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
	cert_ca_free(&mid);
	tls_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flaw_of_a_client_is_refused_by_name),
		cmocka_unit_test(every_flaw_of_a_server_is_refused_by_name),
		cmocka_unit_test(the_server_must_be_the_expected_one),
		cmocka_unit_test(a_foreign_trust_domain_needs_its_own_bundle),
		cmocka_unit_test(a_chain_with_intermediates_is_judged_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
