/*
 * Handshakes between our two ends: who is let in, as whom, and what each side learns when somebody is not. In memory, on a simulated loop.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/process.h"
#include "tests/support/tls_world.h"

#define assert_str_eq(s, text) assert_true(str_eq((s), STR(text)))

static void assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

/* The io has ended with the peer's alert, which its reader and its failure text both tell. */
static void assert_refused(struct tls_world *w, struct io *io, int err, const char *alert)
{
	char bytes[16];
	size_t n;

	assert_non_null(io);
	assert_int_equal(tls_world_receive(w, io, bytes, sizeof(bytes), &n), err);
	assert_int_equal(n, 0);
	struct str why = tls_io_failure(io);
	char *text = mem_strndup(why.p, why.n);
	assert_has(text, alert);
	mem_free(text);
}

static void both_ends_know_each_other(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct io_info s, c;

	(void)state;
	tls_world_open(&w);
	tls_pair_good(&w, &p);
	io_info(p.server.io, &s);
	io_info(p.client.io, &c);
	assert_true(s.tls && c.tls);
	assert_str_eq(s.peer_id, WORLD_CLIENT);
	assert_str_eq(s.own_id, WORLD_SERVER);
	assert_str_eq(c.peer_id, WORLD_SERVER);
	assert_str_eq(c.own_id, WORLD_CLIENT);
	assert_str_eq(s.peer_uid, WORLD_UID);
	assert_str_eq(c.peer_uid, WORLD_UID);
	assert_true(s.peer_serial.n > 0 && c.peer_serial.n > 0 && !str_eq(s.peer_serial, c.peer_serial));
	assert_str_eq(s.tls_version, "TLSv1.3");
	assert_str_eq(s.cipher, "TLS_AES_128_GCM_SHA256");
	assert_str_eq(c.cipher, "TLS_AES_128_GCM_SHA256");
	assert_str_eq(s.alpn, "weft/h2");
	assert_str_eq(c.alpn, "weft/h2");
	assert_int_equal(s.sni.n, 0);
	assert_int_equal(s.peer_not_after, WORLD_START + 86400);
	assert_int_equal(s.own_not_after, WORLD_START + 86400);
	assert_int_equal(s.local.port, 15006);
	assert_int_equal(c.peer.port, 15006);
	assert_non_null(tls_io_peer_chain(p.server.io));
	assert_true(str_eq(cert_chain_leaf(tls_io_peer_chain(p.server.io))->id.id, STR(WORLD_CLIENT)));
	assert_int_equal(tls_io_failure(p.server.io).n, 0);
	assert_int_equal(tls_io_records(p.server.io), 0);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void a_handshake_takes_few_writes_and_holds_no_buffer_after(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	tls_world_open(&w);
	tls_pair_good(&w, &p);
	assert_int_equal(buf_pool_used(w.bufs), 0);
	tls_world_send(&w, p.client.io, "ping", 4);
	char bytes[8];
	size_t n;
	assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n), ERR_AGAIN);
	assert_int_equal(n, 4);
	assert_memory_equal(bytes, "ping", 4);
	assert_int_equal(buf_pool_used(w.bufs), 0);
	assert_int_equal(tls_io_records(p.server.io), 1);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

/* -- protocols and names -------------------------------------------------------------------------------------- */

static void run_alpn(const char *const *server, const char *const *client, const char *const *offer, const char *chosen)
{
	struct tls_world w;
	struct tls_pair p;
	struct tls_ctx_config cfg = { .role = TLS_SERVER, .alpn = server };
	struct io_info info;

	tls_world_open(&w);
	cfg.chain = tls_world_leaf(&w, NULL, WORLD_SERVER, NULL, CERT_FLAW_NONE, &cfg.key);
	struct tls_ctx *s = tls_world_ctx_of(&w, cfg);
	cfg.role = TLS_CLIENT;
	cfg.alpn = client;
	struct tls_ctx *c = tls_world_ctx_of(&w, cfg);
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
	tls_pair_start(&w, &p, s, c, 65536, NULL, NULL);
	if (offer != NULL) {
		/* Another client with offers of its own, on the same context. */
		tls_handshake_cancel(&p.client.handshake);
		tls_handshake_cancel(&p.server.handshake);
		struct io *ends[2];
		struct addr a = { .family = ADDR_V4 };
		io_mem_pair(w.loop, w.bufs, 65536, &a, &a, ends);
		tls_end_start(&w, &p.server, ends[0], &(struct tls_handshake_config){ .ctx = s });
		tls_end_start(&w, &p.client, ends[1],
			&(struct tls_handshake_config){
				.ctx = c, .expect = { .id = STR(WORLD_SERVER) }, .alpn = offer, .sni = STR("server.shop") });
	}
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_settle(&w);
	if (chosen == NULL) {
		assert_int_equal(p.server.failure.err, ERR_PROTOCOL);
		assert_has(p.server.failure.text, "ALPN");
		assert_int_equal(p.client.failure.err, ERR_PROTOCOL);
		assert_true(p.client.failure.alert_from_peer);
		assert_has(p.client.failure.text, "no_application_protocol");
	} else {
		assert_non_null(p.server.io);
		io_info(p.server.io, &info);
		assert_true(str_eq(info.alpn, str_from(chosen)));
		assert_true(str_eq(info.sni, offer != NULL ? STR("server.shop") : STR_NULL));
		io_info(p.client.io, &info);
		assert_true(str_eq(info.alpn, str_from(chosen)));
	}
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void alpn_is_the_servers_choice_and_must_match(void **state)
{
	static const char *const h2_tcp[] = { "weft/h2", "weft/tcp", NULL }, *const tcp_h2[] = { "weft/tcp", "weft/h2", NULL };
	static const char *const other[] = { "http/1.1", NULL }, *const tcp[] = { "weft/tcp", NULL };

	(void)state;
	run_alpn(h2_tcp, tcp_h2, NULL, "weft/h2");
	run_alpn(tcp_h2, h2_tcp, NULL, "weft/tcp");
	run_alpn(h2_tcp, tcp_h2, tcp, "weft/tcp");
	run_alpn(h2_tcp, other, NULL, NULL);
	run_alpn(h2_tcp, tcp_h2, other, NULL);
	/* A client that offers none. */
	run_alpn(h2_tcp, NULL, NULL, NULL);
	/* A server that has none takes anybody; a client that offers some insists on one. */
	run_alpn(NULL, NULL, NULL, "");
}

static void a_client_that_offers_protocols_insists_on_one(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct tls_ctx_config cfg = { .role = TLS_SERVER };

	(void)state;
	tls_world_open(&w);
	cfg.chain = tls_world_leaf(&w, NULL, WORLD_SERVER, NULL, CERT_FLAW_NONE, &cfg.key);
	struct tls_ctx *s = tls_world_ctx_of(&w, cfg);
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
	tls_pair_run(&w, &p, s, tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE));
	assert_int_equal(p.client.failure.err, ERR_PROTOCOL);
	assert_has(p.client.failure.text, "no ALPN protocol");
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

/* -- certificates ---------------------------------------------------------------------------------------------- */

static const struct flaw_row {
	enum cert_flaw flaw;
	enum cert_verdict verdict;
	const char *alert;
	bool own_side; /* as a server the library will not even show such a certificate */
} flaws[] = {
	{ CERT_FLAW_EXPIRED, CERT_EXPIRED, "certificate_expired", false },
	{ CERT_FLAW_NOT_YET_VALID, CERT_NOT_YET_VALID, "certificate_expired", false },
	{ CERT_FLAW_NO_SAN, CERT_NO_SAN, "bad_certificate", false },
	{ CERT_FLAW_DNS_ONLY, CERT_NO_SAN, "bad_certificate", false },
	{ CERT_FLAW_TWO_SANS, CERT_TWO_SANS, "bad_certificate", false },
	{ CERT_FLAW_BAD_ID, CERT_BAD_ID, "bad_certificate", false },
	{ CERT_FLAW_CA_LEAF, CERT_CA_LEAF, "bad_certificate", false },
	{ CERT_FLAW_CERT_SIGN, CERT_KEY_USAGE, "unsupported_certificate", false },
	{ CERT_FLAW_NO_KEY_USAGE, CERT_KEY_USAGE, "unsupported_certificate", true },
	{ CERT_FLAW_WRONG_EKU, CERT_KEY_USAGE, "unsupported_certificate", true },
	{ CERT_FLAW_BAD_SIGNATURE, CERT_UNTRUSTED, "unknown_ca", false },
	{ CERT_FLAW_OTHER_CURVE, CERT_ALGORITHM, "unsupported_certificate", false },
};

static void every_flaw_of_a_client_is_refused_by_name(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	assert_int_equal(sizeof(flaws) / sizeof(flaws[0]), CERT_FLAW_COUNT - 1);
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++) {
		tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE),
			tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, flaws[i].flaw));
		assert_null(p.server.io);
		assert_int_equal(p.server.failure.err, ERR_VERIFY);
		assert_int_equal(p.server.failure.verdict, flaws[i].verdict);
		assert_false(p.server.failure.alert_from_peer);
		assert_has(p.server.failure.text, cert_verdict_text(flaws[i].verdict));
		/* TLS 1.3: the client is through before the server has looked. */
		assert_refused(&w, p.client.io, ERR_VERIFY, flaws[i].alert);
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
		tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, flaws[i].flaw),
			tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE));
		assert_null(p.server.io);
		assert_null(p.client.io);
		if (flaws[i].own_side) {
			assert_int_equal(p.client.failure.err, ERR_PROTOCOL);
			assert_has(p.client.failure.text, "handshake_failure");
		} else {
			assert_int_equal(p.client.failure.err, ERR_VERIFY);
			assert_int_equal(p.client.failure.verdict, flaws[i].verdict);
			assert_has(p.client.failure.text, cert_verdict_text(flaws[i].verdict));
			assert_int_equal(p.server.failure.err, ERR_VERIFY);
			assert_true(p.server.failure.alert_from_peer);
			assert_int_equal(p.server.failure.verdict, CERT_GOOD);
			assert_has(p.server.failure.text, flaws[i].alert);
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
		assert_has(p.client.failure.text, WORLD_SERVER);
		assert_has(p.server.failure.text, "access_denied");
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
	struct cert_ca *other;
	struct tls_ctx_config cfg = { .role = TLS_CLIENT };

	(void)state;
	tls_world_open(&w);
	assert_int_equal(cert_ca_create(STR("other.test"), WORLD_START - 60, WORLD_START + 86400, &other), 0);
	cfg.chain = tls_world_leaf(&w, other, id, NULL, CERT_FLAW_NONE, &cfg.key);
	cfg.alpn = (const char *const[]){ "weft/tcp", NULL };
	tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE), tls_world_ctx_of(&w, cfg));
	assert_int_equal(p.server.failure.verdict, CERT_TRUST_DOMAIN);
	assert_string_equal(p.server.failure.peer_id, id);
	assert_refused(&w, p.client.io, ERR_VERIFY, "unknown_ca");
	tls_pair_close(&w, &p);

	/* With the bundle of that domain it is let in; but the other CA does not vouch for ours. */
	char *pem = cert_ca_cert_pem(other);
	struct cert_bundle *both = cert_bundle_new();
	char *own = cert_ca_cert_pem(w.ca);
	assert_int_equal(cert_bundle_add(both, STR("other.test"), str_from(pem)), 0);
	assert_int_equal(cert_bundle_add(both, STR(WORLD_TD), str_from(own)), 0);
	struct tls_ctx_config server = { .role = TLS_SERVER, .bundle = both };
	server.chain = tls_world_leaf(&w, NULL, WORLD_SERVER, NULL, CERT_FLAW_NONE, &server.key);
	struct tls_ctx_config client = cfg;
	client.alpn = NULL;
	tls_pair_run(&w, &p, tls_world_ctx_of(&w, server), tls_world_ctx_of(&w, client));
	assert_non_null(p.server.io);
	tls_pair_close(&w, &p);
	cert_chain_unref(&client.chain);
	cert_key_unref(&client.key);
	client.chain = tls_world_leaf(&w, other, WORLD_CLIENT, NULL, CERT_FLAW_NONE, &client.key);
	tls_pair_run(&w, &p, tls_world_ctx_of(&w, server), tls_world_ctx_of(&w, client));
	assert_int_equal(p.server.failure.verdict, CERT_UNTRUSTED);
	assert_refused(&w, p.client.io, ERR_VERIFY, "unknown_ca");
	tls_pair_close(&w, &p);
	cert_chain_unref(&client.chain);
	cert_key_unref(&client.key);
	cert_chain_unref(&server.chain);
	cert_key_unref(&server.key);
	cert_bundle_unref(&both);
	mem_free(pem);
	mem_free(own);
	cert_ca_free(&other);
	tls_world_close(&w);
}

static void a_chain_with_intermediates_is_judged_whole(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct cert_ca *mid;
	struct tls_ctx_config cfg = { .role = TLS_CLIENT };

	(void)state;
	tls_world_open(&w);
	assert_int_equal(cert_ca_issue_ca(w.ca, WORLD_START - 60, WORLD_START + 86400, &mid), 0);
	cfg.chain = tls_world_leaf(&w, mid, WORLD_CLIENT, NULL, CERT_FLAW_NONE, &cfg.key);
	cfg.alpn = (const char *const[]){ "weft/tcp", NULL };
	assert_int_equal(cert_chain_count(cfg.chain), 2);
	tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE), tls_world_ctx_of(&w, cfg));
	assert_non_null(p.server.io);
	assert_int_equal(cert_chain_count(tls_io_peer_chain(p.server.io)), 2);
	tls_pair_close(&w, &p);
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
	cert_ca_free(&mid);
	tls_world_close(&w);
}

/* -- anonymous clients ------------------------------------------------------------------------------------------- */

static void an_anonymous_client_is_refused_unless_asked_for(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct io_info info;
	struct tls_ctx_config cfg = { .role = TLS_SERVER, .anonymous_client = true };

	(void)state;
	tls_world_open(&w);
	tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE),
		tls_world_ctx(&w, TLS_CLIENT, NULL, CERT_FLAW_NONE));
	assert_null(p.server.io);
	assert_int_equal(p.server.failure.err, ERR_VERIFY);
	assert_int_equal(p.server.failure.verdict, CERT_MISSING);
	assert_refused(&w, p.client.io, ERR_VERIFY, "certificate_required");
	tls_pair_close(&w, &p);

	cfg.chain = tls_world_leaf(&w, NULL, WORLD_SERVER, NULL, CERT_FLAW_NONE, &cfg.key);
	cfg.alpn = (const char *const[]){ "weft/h2", NULL };
	tls_pair_run(&w, &p, tls_world_ctx_of(&w, cfg), tls_world_ctx(&w, TLS_CLIENT, NULL, CERT_FLAW_NONE));
	assert_non_null(p.server.io);
	assert_null(tls_io_peer_chain(p.server.io));
	io_info(p.server.io, &info);
	assert_int_equal(info.peer_id.n, 0);
	io_info(p.client.io, &info);
	assert_int_equal(info.own_id.n, 0);
	assert_str_eq(info.peer_id, WORLD_SERVER);
	tls_pair_close(&w, &p);

	/* Nobody is asked, so a client that has a certificate stays anonymous too. */
	tls_pair_run(&w, &p, tls_world_ctx_of(&w, cfg), tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE));
	assert_non_null(p.server.io);
	assert_null(tls_io_peer_chain(p.server.io));
	tls_pair_close(&w, &p);
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
	tls_world_close(&w);
}

static void a_context_that_cannot_work_is_not_made(void **state)
{
	struct tls_world w;
	struct tls_ctx *ctx;
	char err[128];
	struct cert_key *key, *other = cert_key_generate();
	struct cert_bundle *none = cert_bundle_new();

	(void)state;
	tls_world_open(&w);
	struct cert_chain *chain = tls_world_leaf(&w, NULL, WORLD_SERVER, NULL, CERT_FLAW_NONE, &key);
	const struct clock *clock = loop_clock(w.loop);
	const struct tls_ctx_config bad[] = {
		{ .role = TLS_SERVER, .chain = chain, .key = other, .bundle = w.bundle, .clock = clock },
		{ .role = TLS_SERVER, .chain = chain, .key = key, .bundle = none, .clock = clock },
		{ .role = TLS_CLIENT, .chain = chain, .key = key, .clock = clock },
		{ .role = TLS_SERVER, .bundle = w.bundle, .clock = clock },
		{ .role = TLS_CLIENT, .key = key, .bundle = w.bundle, .clock = clock },
		{ .role = TLS_CLIENT, .bundle = w.bundle },
		{ .role = TLS_CLIENT, .bundle = w.bundle, .clock = clock, .alpn = (const char *const[]){ "", NULL } },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err[0] = '\0';
		assert_int_equal(tls_ctx_new(&bad[i], &ctx, err, sizeof(err)), ERR_INVAL);
		assert_null(ctx);
		assert_true(err[0] != '\0');
	}
	cert_chain_unref(&chain);
	cert_key_unref(&key);
	cert_key_unref(&other);
	cert_bundle_unref(&none);
	tls_world_close(&w);
}

/* -- time, cancel, rotation -------------------------------------------------------------------------------------- */

static void a_silent_peer_runs_into_the_timeout(void **state)
{
	struct tls_world w;
	struct tls_end end;
	struct io *ends[2];
	struct addr a = { .family = ADDR_V4 };

	(void)state;
	tls_world_open(&w);
	for (int role = 0; role < 2; role++) {
		for (int ms = 0; ms <= 500; ms += 500) {
			struct tls_ctx *ctx = tls_world_ctx(&w, (enum tls_role)role, WORLD_SERVER, CERT_FLAW_NONE);
			struct tls_handshake_config cfg = { .ctx = ctx, .timeout_ns = (uint64_t)ms * NS_PER_MS };
			uint64_t limit = ms != 0 ? cfg.timeout_ns : 10 * NS_PER_S;
			cfg.expect.id = STR(WORLD_SERVER);
			io_mem_pair(w.loop, w.bufs, 65536, &a, &a, ends);
			tls_end_start(&w, &end, ends[0], &cfg);
			tls_ctx_unref(&ctx);
			loop_sim_advance(w.loop, limit - NS_PER_MS);
			assert_int_equal(end.calls, 0);
			loop_sim_advance(w.loop, 2 * NS_PER_MS);
			assert_int_equal(end.calls, 1);
			assert_int_equal(end.failure.err, ERR_TIMEOUT);
			assert_null(end.io);
			io_close(&ends[1], false);
			tls_world_settle(&w);
		}
	}
	tls_world_close(&w);
}

static void no_call_follows_a_cancel(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	tls_world_open(&w);
	for (int turns = 0; turns < 12; turns++) {
		struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
		struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
		tls_pair_start(&w, &p, s, c, 700, NULL, NULL);
		tls_ctx_unref(&s);
		tls_ctx_unref(&c);
		loop_sim_settle(w.loop, (size_t)turns);
		bool running = p.client.handshake != NULL;
		tls_handshake_cancel(&p.client.handshake);
		assert_null(p.client.handshake);
		tls_handshake_cancel(&p.client.handshake);
		tls_world_settle(&w);
		assert_int_equal(p.client.calls, running ? 0 : 1);
		if (running)
			assert_true(p.server.failure.err == ERR_CLOSED || p.server.failure.err == ERR_RESET);
		tls_pair_close(&w, &p);
	}
	tls_world_close(&w);
}

static void rotation_leaves_a_running_handshake_alone(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct io_info info;

	(void)state;
	tls_world_open(&w);
	struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	struct str serial = tls_ctx_leaf(s)->serial;
	char *old = mem_strndup(serial.p, serial.n);
	tls_pair_start(&w, &p, s, c, 300, NULL, NULL);
	loop_sim_settle(w.loop, 3);
	assert_non_null(p.server.handshake);
	/* The new contexts are made and the last reference of ours to the old ones goes. */
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	tls_world_settle(&w);
	assert_non_null(p.client.io);
	io_info(p.client.io, &info);
	assert_true(str_eq(info.peer_serial, str_from(old)));
	tls_ctx_unref(&s);
	mem_free(old);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void validity_is_judged_by_the_contexts_clock(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	tls_world_open(&w);
	struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	loop_sim_wall_jump(w.loop, (int64_t)(86400 + 60) * (int64_t)NS_PER_S);
	tls_pair_run(&w, &p, tls_ctx_ref(s), tls_ctx_ref(c));
	assert_int_equal(p.client.failure.verdict, CERT_EXPIRED);
	tls_pair_close(&w, &p);
	loop_sim_wall_jump(w.loop, -(int64_t)(120) * (int64_t)NS_PER_S);
	tls_pair_run(&w, &p, s, c);
	assert_non_null(p.client.io);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

static void a_thousand_handshakes_leave_nothing_behind(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	tls_world_open(&w);
	struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	uint64_t before = 0;
	for (int i = 0; i < 1000; i++) {
		tls_pair_run(&w, &p, tls_ctx_ref(s), tls_ctx_ref(c));
		assert_non_null(p.server.io);
		assert_non_null(p.client.io);
		tls_pair_close(&w, &p);
		assert_int_equal(buf_pool_used(w.bufs), 0);
		if (i == 100)
			before = process_rss_bytes();
	}
	/* AddressSanitizer keeps freed memory aside; there its own leak check decides. */
#ifndef __SANITIZE_ADDRESS__
	assert_true(process_rss_bytes() < before + 2 * 1024 * 1024);
#else
	(void)before;
#endif
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_know_each_other),
		cmocka_unit_test(a_handshake_takes_few_writes_and_holds_no_buffer_after),
		cmocka_unit_test(alpn_is_the_servers_choice_and_must_match),
		cmocka_unit_test(a_client_that_offers_protocols_insists_on_one),
		cmocka_unit_test(every_flaw_of_a_client_is_refused_by_name),
		cmocka_unit_test(every_flaw_of_a_server_is_refused_by_name),
		cmocka_unit_test(the_server_must_be_the_expected_one),
		cmocka_unit_test(a_foreign_trust_domain_needs_its_own_bundle),
		cmocka_unit_test(a_chain_with_intermediates_is_judged_whole),
		cmocka_unit_test(an_anonymous_client_is_refused_unless_asked_for),
		cmocka_unit_test(a_context_that_cannot_work_is_not_made),
		cmocka_unit_test(a_silent_peer_runs_into_the_timeout),
		cmocka_unit_test(no_call_follows_a_cancel),
		cmocka_unit_test(rotation_leaves_a_running_handshake_alone),
		cmocka_unit_test(validity_is_judged_by_the_contexts_clock),
		cmocka_unit_test(a_thousand_handshakes_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
