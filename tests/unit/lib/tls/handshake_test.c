/*
 * Handshakes between our two ends: who is let in, as whom, and what each side learns when somebody
 * is not. In memory, on a simulated loop.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/process.h"
#include "lib/tls/ctx.h"
#include "tests/support/tls_world.h"

#define assert_str_eq(s, text) assert_true(str_eq((s), STR(text)))

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
	assert_true(s.peer_serial.n > 0 && c.peer_serial.n > 0 &&
		!str_eq(s.peer_serial, c.peer_serial));
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
	assert_true(str_eq(cert_chain_leaf(tls_io_peer_chain(p.server.io))->id.id,
		STR(WORLD_CLIENT)));
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

/* --- protocols and names --- */

static void run_alpn(const char *const *server, const char *const *client, const char *const *offer,
	const char *chosen)
{
	struct tls_world w;
	struct tls_pair p;
	struct tls_ctx_config cfg = {.role = TLS_SERVER, .alpn = server};
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
		struct addr a = {.family = ADDR_V4};
		io_mem_pair(w.loop, w.bufs, 65536, &a, &a, ends);
		tls_end_start(&w, &p.server, ends[0], &(struct tls_handshake_config){.ctx = s});
		tls_end_start(&w, &p.client, ends[1],
			&(struct tls_handshake_config){.ctx = c,
				.expect = {.id = STR(WORLD_SERVER)},
				.alpn = offer,
				.sni = STR("server.shop")});
	}
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_settle(&w);
	if (chosen == NULL) {
		assert_int_equal(p.server.failure.err, ERR_PROTOCOL);
		tls_assert_has(p.server.failure.text, "ALPN");
		assert_int_equal(p.client.failure.err, ERR_PROTOCOL);
		assert_true(p.client.failure.alert_from_peer);
		tls_assert_has(p.client.failure.text, "no_application_protocol");
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
	static const char *const h2_tcp[] = {"weft/h2", "weft/tcp", NULL},
				 *const tcp_h2[] = {"weft/tcp", "weft/h2", NULL};
	static const char *const other[] = {"http/1.1", NULL}, *const tcp[] = {"weft/tcp", NULL};

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
	struct tls_ctx_config cfg = {.role = TLS_SERVER};

	(void)state;
	tls_world_open(&w);
	cfg.chain = tls_world_leaf(&w, NULL, WORLD_SERVER, NULL, CERT_FLAW_NONE, &cfg.key);
	struct tls_ctx *s = tls_world_ctx_of(&w, cfg);
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
	tls_pair_run(&w, &p, s, tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE));
	assert_int_equal(p.client.failure.err, ERR_PROTOCOL);
	tls_assert_has(p.client.failure.text, "no ALPN protocol");
	/* By then the server is through; it reads the refusal. */
	tls_assert_refused(&w, p.server.io, ERR_PROTOCOL, "unexpected_message");
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

/* --- anonymous clients --- */

static void an_anonymous_client_is_refused_unless_asked_for(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct io_info info;
	struct tls_ctx_config cfg = {.role = TLS_SERVER, .anonymous_client = true};

	(void)state;
	tls_world_open(&w);
	tls_pair_run(&w, &p, tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE),
		tls_world_ctx(&w, TLS_CLIENT, NULL, CERT_FLAW_NONE));
	assert_null(p.server.io);
	assert_int_equal(p.server.failure.err, ERR_VERIFY);
	assert_int_equal(p.server.failure.verdict, CERT_MISSING);
	tls_assert_refused(&w, p.client.io, ERR_VERIFY, "certificate_required");
	tls_pair_close(&w, &p);

	cfg.chain = tls_world_leaf(&w, NULL, WORLD_SERVER, NULL, CERT_FLAW_NONE, &cfg.key);
	cfg.alpn = (const char *const[]){"weft/h2", NULL};
	tls_pair_run(&w, &p, tls_world_ctx_of(&w, cfg),
		tls_world_ctx(&w, TLS_CLIENT, NULL, CERT_FLAW_NONE));
	assert_non_null(p.server.io);
	assert_null(tls_io_peer_chain(p.server.io));
	io_info(p.server.io, &info);
	assert_int_equal(info.peer_id.n, 0);
	io_info(p.client.io, &info);
	assert_int_equal(info.own_id.n, 0);
	assert_str_eq(info.peer_id, WORLD_SERVER);
	tls_pair_close(&w, &p);

	/* Nobody is asked, so a client that has a certificate stays anonymous too. */
	tls_pair_run(&w, &p, tls_world_ctx_of(&w, cfg),
		tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE));
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
	struct cert_chain *chain =
		tls_world_leaf(&w, NULL, WORLD_SERVER, NULL, CERT_FLAW_NONE, &key);
	const struct clock *clock = loop_clock(w.loop);
	const struct tls_ctx_config bad[] = {
		{.role = TLS_SERVER,
			.chain = chain,
			.key = other,
			.bundle = w.bundle,
			.clock = clock},
		{.role = TLS_SERVER, .chain = chain, .key = key, .bundle = none, .clock = clock},
		{.role = TLS_CLIENT, .chain = chain, .key = key, .clock = clock},
		{.role = TLS_SERVER, .bundle = w.bundle, .clock = clock},
		{.role = TLS_CLIENT, .key = key, .bundle = w.bundle, .clock = clock},
		{.role = TLS_CLIENT, .bundle = w.bundle},
		{.role = TLS_CLIENT,
			.bundle = w.bundle,
			.clock = clock,
			.alpn = (const char *const[]){"", NULL}},
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

/* --- time, cancel, rotation --- */

static void a_silent_peer_runs_into_the_timeout(void **state)
{
	struct tls_world w;
	struct tls_end end;
	struct io *ends[2];
	struct addr a = {.family = ADDR_V4};

	(void)state;
	tls_world_open(&w);
	for (int role = 0; role < 2; role++) {
		for (int ms = 0; ms <= 500; ms += 500) {
			struct tls_ctx *ctx = tls_world_ctx(&w, (enum tls_role)role, WORLD_SERVER,
				CERT_FLAW_NONE);
			struct tls_handshake_config cfg = {
				.ctx = ctx, .timeout_ns = (uint64_t)ms * NS_PER_MS};
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
			assert_true(p.server.failure.err == ERR_CLOSED ||
				p.server.failure.err == ERR_RESET);
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
	loop_sim_settle(w.loop, 1);
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

/* Whoever dials may build its list anew each time, and forget it when the handshake is over. */
static void offers_are_copied_and_kept_once(void **state)
{
	static const char *const words[] = {"weft/tcp", "weft/h2"};
	struct tls_world w;
	struct tls_pair p;
	struct io_info info;
	const char **lists[20];
	size_t n = 0;

	(void)state;
	tls_world_open(&w);
	struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	for (size_t i = 0; i < 20; i++) {
		struct addr a = {.family = ADDR_V4};
		lists[i] = mem_alloc(2 * sizeof(*lists[i]));
		lists[i][0] = mem_strdup(words[i % 2]);
		io_mem_pair(w.loop, w.bufs, 65536, &a, &a, p.mem);
		tls_end_start(&w, &p.server, p.mem[0], &(struct tls_handshake_config){.ctx = s});
		tls_end_start(&w, &p.client, p.mem[1],
			&(struct tls_handshake_config){
				.ctx = c, .expect = {.id = STR(WORLD_SERVER)}, .alpn = lists[i]});
		mem_free((char *)(uintptr_t)lists[i][0]);
		lists[i][0] = "nothing";
		tls_world_settle(&w);
		assert_non_null(p.client.io);
		io_info(p.client.io, &info);
		assert_true(str_eq(info.alpn, str_from(words[i % 2])));
		tls_pair_close(&w, &p);
	}
	for (const struct tls_variant *v = c->variants; v != NULL; v = v->next)
		n++;
	assert_int_equal(n, 3);
	for (size_t i = 0; i < 20; i++)
		mem_free(lists[i]);
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_close(&w);
}

static void a_name_that_no_host_has_is_not_sent(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	struct io_info info;
	char name[256];

	(void)state;
	tls_world_open(&w);
	memset(name, 'a', sizeof(name));
	for (size_t n = 255; n <= 256; n++) {
		struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
		struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
		struct addr a = {.family = ADDR_V4};
		io_mem_pair(w.loop, w.bufs, 65536, &a, &a, p.mem);
		tls_end_start(&w, &p.server, p.mem[0], &(struct tls_handshake_config){.ctx = s});
		tls_end_start(&w, &p.client, p.mem[1],
			&(struct tls_handshake_config){.ctx = c,
				.expect = {.id = STR(WORLD_SERVER)},
				.sni = str_make(name, n)});
		tls_ctx_unref(&s);
		tls_ctx_unref(&c);
		tls_world_settle(&w);
		assert_non_null(p.server.io);
		io_info(p.server.io, &info);
		assert_int_equal(info.sni.n, n <= 255 ? n : 0);
		tls_pair_close(&w, &p);
	}
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
		cmocka_unit_test(an_anonymous_client_is_refused_unless_asked_for),
		cmocka_unit_test(a_context_that_cannot_work_is_not_made),
		cmocka_unit_test(a_silent_peer_runs_into_the_timeout),
		cmocka_unit_test(no_call_follows_a_cancel),
		cmocka_unit_test(rotation_leaves_a_running_handshake_alone),
		cmocka_unit_test(validity_is_judged_by_the_contexts_clock),
		cmocka_unit_test(offers_are_copied_and_kept_once),
		cmocka_unit_test(a_name_that_no_host_has_is_not_sent),
		cmocka_unit_test(a_thousand_handshakes_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
