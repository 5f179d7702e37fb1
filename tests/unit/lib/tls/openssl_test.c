/*
 * Our two ends against an implementation that is not ours: `openssl s_server` and `s_client` as
 * real processes, over Unix sockets on the real loop. Skipped where the program is not installed.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/process.h"
#include "lib/crypto/crypto.h"
#include "tests/support/openssl_lab.h"

/* --- conditions --- */

static bool accepting(const struct lab *lab)
{
	return lab_said(lab, "ACCEPT");
}

/* s_server is through with the handshake too: before that, it loses what is typed. */
static bool settled(const struct lab *lab)
{
	return lab_said(lab, "CIPHER is");
}

static bool handshake_done(const struct lab *lab)
{
	return lab->done;
}

static bool ended(const struct lab *lab)
{
	return lab->done && (lab->io == NULL || lab->end != 1);
}

static bool exited(const struct lab *lab)
{
	return lab->from_watch.wanted == 0 && ended(lab);
}

static bool got_line(const struct lab *lab)
{
	return lab->end != 1 || buf_find(&lab->in, 0, '\n') >= 0;
}

static void expect_line(struct lab *lab, const char *line)
{
	lab_run_until(lab, got_line);
	assert_int_equal(lab->end, 1);
	if (!buf_eq(&lab->in, str_from(line))) {
		struct str s = buf_peek(&lab->in);
		fail_msg("got %.*s", (int)s.n, s.p);
	}
	buf_clear(&lab->in);
}

static void send_line(struct lab *lab, const char *line)
{
	buf_append(&lab->out, line, strlen(line));
	lab_flush(lab);
	assert_int_equal(buf_len(&lab->out), 0);
}

/* --- we are the client --- */

#define S_SERVER                                                                                                              \
	"s_server -unix @socket -tls1_3 -cert @server.pem -key @server.key -CAfile @root.pem -Verify 3 -verify_return_error " \
	"-alpn weft/tcp "

static void our_client_agrees_with_every_suite_and_group(void **state)
{
	static const struct {
		const char *words, *cipher;
	} rows[] = {
		{S_SERVER "-rev -ciphersuites TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
		{S_SERVER "-rev -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
			"TLS_CHACHA20_POLY1305_SHA256"},
		{S_SERVER "-rev -ciphersuites TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
		/* Ours offers a share of X25519, so this one asks again. */
		{S_SERVER "-rev -groups P-256", NULL},
		{S_SERVER "-rev -num_tickets 8", NULL},
		{S_SERVER "-rev -no_middlebox", NULL},
	};
	struct io_info info;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab *lab = lab_open();
		lab_use(lab, TLS_CLIENT, CERT_FLAW_NONE);
		lab_start(lab, rows[i].words);
		lab_run_until(lab, accepting);
		lab_dial(lab);
		lab_run_until(lab, handshake_done);
		if (lab->io == NULL)
			fail_msg("row %zu: %s; %s", i, lab->failure.text, lab->said);
		io_info(lab->io, &info);
		assert_true(str_eq(info.peer_id, STR(LAB_SERVER)));
		assert_true(str_eq(info.alpn, STR("weft/tcp")));
		if (rows[i].cipher != NULL)
			assert_true(str_eq(info.cipher, str_from(rows[i].cipher)));
		for (int round = 0; round < 3; round++) {
			send_line(lab, "drawer\n");
			expect_line(lab, "reward\n");
		}
		lab_close(lab);
	}
}

static void our_client_renews_keys_with_openssl(void **state)
{
	(void)state;
	struct lab *lab = lab_open();
	lab_use(lab, TLS_CLIENT, CERT_FLAW_NONE);
	lab->rekey = 2;
	lab_start(lab, S_SERVER "-rev");
	lab_run_until(lab, accepting);
	lab_dial(lab);
	for (int round = 0; round < 5; round++) {
		lab_run_until(lab, handshake_done);
		assert_non_null(lab->io);
		send_line(lab, "stressed\n");
		expect_line(lab, "desserts\n");
	}
	lab_close(lab);
}

static void openssl_renews_keys_with_our_client(void **state)
{
	(void)state;
	struct lab *lab = lab_open();
	lab_use(lab, TLS_CLIENT, CERT_FLAW_NONE);
	lab_start(lab, S_SERVER);
	lab_run_until(lab, accepting);
	lab_dial(lab);
	lab_run_until(lab, handshake_done);
	assert_non_null(lab->io);
	lab_run_until(lab, settled);
	lab_type(lab, "before\n");
	expect_line(lab, "before\n");
	lab_command(lab, "K\n");
	lab_command(lab, "k\n");
	lab_type(lab, "after\n");
	expect_line(lab, "after\n");
	lab_close(lab);
}

static void our_client_learns_why_openssl_refuses_it(void **state)
{
	static const struct {
		enum cert_flaw flaw;
		const char *alert;
	} rows[] = {{CERT_FLAW_EXPIRED, "certificate_expired"},
		{CERT_FLAW_BAD_SIGNATURE, "decrypt_error"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab *lab = lab_open();
		lab_use(lab, TLS_CLIENT, rows[i].flaw);
		lab_start(lab, S_SERVER "-rev");
		lab_run_until(lab, accepting);
		lab_dial(lab);
		lab_run_until(lab, ended);
		assert_non_null(lab->io);
		struct str why = tls_io_failure(lab->io);
		if (strstr(why.p != NULL ? why.p : "", rows[i].alert) == NULL)
			fail_msg("%zu: %d, %.*s", i, lab->end, STR_ARG(why));
		lab_close(lab);
	}
}

static bool told(const struct lab *lab)
{
	return lab_said(lab, "error:");
}

static void our_client_refuses_what_it_should(void **state)
{
	(void)state;
	struct lab *lab = lab_open();
	lab_use(lab, TLS_CLIENT, CERT_FLAW_NONE);
	lab_start(lab,
		"s_server -unix @socket -tls1_3 -cert @client.pem -key @client.key -alpn weft/tcp");
	lab_run_until(lab, accepting);
	lab_dial(lab);
	lab_run_until(lab, handshake_done);
	assert_null(lab->io);
	assert_int_equal(lab->failure.verdict, CERT_IDENTITY);
	assert_string_equal(lab->failure.peer_id, LAB_CLIENT);
	lab_close(lab);

	lab = lab_open();
	lab_use(lab, TLS_CLIENT, CERT_FLAW_NONE);
	lab_start(lab,
		"s_server -unix @socket -tls1_2 -cert @server.pem -key @server.key -alpn weft/tcp");
	lab_run_until(lab, accepting);
	lab_dial(lab);
	lab_run_until(lab, handshake_done);
	assert_null(lab->io);
	assert_int_equal(lab->failure.err, ERR_PROTOCOL);
	assert_true(lab->failure.alert_from_peer);
	assert_non_null(strstr(lab->failure.text, "protocol_version"));
	lab_close(lab);

	/* No signature of ours would do, which the library finds out with its certificate already
	 * sealed: the alert must still be one that the server can open. */
	lab = lab_open();
	lab_use(lab, TLS_CLIENT, CERT_FLAW_NONE);
	lab_start(lab, S_SERVER "-client_sigalgs RSA-PSS+SHA256");
	lab_run_until(lab, accepting);
	lab_dial(lab);
	lab_run_until(lab, handshake_done);
	assert_null(lab->io);
	assert_int_equal(lab->failure.err, ERR_PROTOCOL);
	lab_run_until(lab, told);
	assert_true(lab_said(lab, "alert decrypt error"));
	lab_close(lab);
}

/* --- we are the server --- */

#define S_CLIENT "s_client -unix @socket -CAfile @root.pem -verify_return_error -alpn weft/h2 "
#define WITH_CERT "-cert @client.pem -key @client.key "

static bool said_line(const struct lab *lab)
{
	return ended(lab) || lab_said(lab, "hello, mesh\n");
}

static void our_server_agrees_with_every_suite_and_group(void **state)
{
	static const struct {
		const char *words, *cipher;
	} rows[] = {
		{S_CLIENT WITH_CERT "-tls1_3 -quiet", NULL},
		{S_CLIENT WITH_CERT "-quiet -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
			"TLS_CHACHA20_POLY1305_SHA256"},
		{S_CLIENT WITH_CERT "-quiet -ciphersuites TLS_AES_256_GCM_SHA384",
			"TLS_AES_256_GCM_SHA384"},
		{S_CLIENT WITH_CERT "-quiet -ciphersuites TLS_AES_128_GCM_SHA256",
			"TLS_AES_128_GCM_SHA256"},
		{S_CLIENT WITH_CERT "-quiet -groups P-256", NULL},
		{S_CLIENT WITH_CERT "-quiet -groups P-384:P-256", NULL},
		{S_CLIENT WITH_CERT "-quiet -servername server.shop", NULL},
		{S_CLIENT WITH_CERT "-quiet -no_middlebox", NULL},
		{S_CLIENT WITH_CERT "-quiet -record_padding 512", NULL},
		{S_CLIENT WITH_CERT "-quiet -max_send_frag 512", NULL},
	};
	struct io_info info;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab *lab = lab_open();
		lab_use(lab, TLS_SERVER, CERT_FLAW_NONE);
		lab->echo = true;
		lab_listen(lab);
		lab_start(lab, rows[i].words);
		lab_type(lab, "hello, mesh\n");
		lab_run_until(lab, said_line);
		if (lab->io == NULL || lab->end != 1)
			fail_msg("row %zu: %s; %s", i, lab->failure.text, lab->said);
		io_info(lab->io, &info);
		assert_true(str_eq(info.peer_id, STR(LAB_CLIENT)));
		assert_true(str_eq(info.alpn, STR("weft/h2")));
		if (rows[i].cipher != NULL)
			assert_true(str_eq(info.cipher, str_from(rows[i].cipher)));
		if (strstr(rows[i].words, "servername") != NULL)
			assert_true(str_eq(info.sni, STR("server.shop")));
		lab_close(lab);
	}
}

static bool said_after(const struct lab *lab)
{
	return ended(lab) || lab_said(lab, "after\n");
}

static void openssl_renews_keys_with_our_server(void **state)
{
	(void)state;
	struct lab *lab = lab_open();
	lab_use(lab, TLS_SERVER, CERT_FLAW_NONE);
	lab->echo = true;
	lab->rekey = 2;
	lab_listen(lab);
	lab_start(lab, S_CLIENT WITH_CERT "-tls1_3");
	lab_run_until(lab, handshake_done);
	assert_non_null(lab->io);
	lab_command(lab, "K\n");
	lab_type(lab, "hello, mesh\n");
	lab_run_until(lab, said_line);
	lab_command(lab, "k\n");
	lab_type(lab, "after\n");
	lab_run_until(lab, said_after);
	assert_int_equal(lab->end, 1);
	lab_close(lab);
}

/* What openssl says of our alert proves that it could read it. */
static void openssl_learns_why_our_server_refuses_it(void **state)
{
	static const struct {
		const char *words;
		enum cert_verdict verdict;
		const char *alert;
	} rows[] = {
		{S_CLIENT "-tls1_3", CERT_MISSING, "alert certificate required"},
		{S_CLIENT "-tls1_3 -cert @expired.pem -key @expired.key", CERT_EXPIRED,
			"alert certificate expired"},
		{S_CLIENT WITH_CERT "-tls1_2", CERT_GOOD, "alert protocol version"},
		{"s_client -unix @socket -CAfile @root.pem -tls1_3 -alpn http/1.1 " WITH_CERT,
			CERT_GOOD, "alert no application protocol"},
		{"s_client -unix @socket -CAfile @root.pem -tls1_3 " WITH_CERT, CERT_GOOD,
			"alert no application protocol"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab *lab = lab_open();
		lab_use(lab, TLS_SERVER, CERT_FLAW_NONE);
		lab_listen(lab);
		lab_start(lab, rows[i].words);
		lab_run_until(lab, exited);
		assert_null(lab->io);
		assert_int_equal(lab->failure.verdict, rows[i].verdict);
		assert_false(lab->failure.alert_from_peer);
		if (!lab_said(lab, rows[i].alert))
			fail_msg("row %zu: %s; %s", i, lab->failure.text, lab->said);
		lab_close(lab);
	}
}

static void our_server_learns_why_openssl_refuses_it(void **state)
{
	static const struct {
		enum cert_flaw flaw;
		const char *alert;
	} rows[] = {{CERT_FLAW_EXPIRED, "certificate_expired"},
		{CERT_FLAW_BAD_SIGNATURE, "decrypt_error"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab *lab = lab_open();
		lab_use(lab, TLS_SERVER, rows[i].flaw);
		lab_listen(lab);
		lab_start(lab, S_CLIENT WITH_CERT "-tls1_3");
		lab_run_until(lab, handshake_done);
		assert_null(lab->io);
		assert_true(lab->failure.alert_from_peer);
		if (strstr(lab->failure.text, rows[i].alert) == NULL)
			fail_msg("%s", lab->failure.text);
		lab_close(lab);
	}
}

#define BULK (8u << 20)

static bool received_bulk(const struct lab *lab)
{
	return ended(lab) || lab->said_all >= BULK;
}

static void bulk_goes_through_openssl_and_back(void **state)
{
	(void)state;
	struct lab *lab = lab_open();
	lab_use(lab, TLS_SERVER, CERT_FLAW_NONE);
	uint8_t *big = mem_alloc(BULK);
	memset(big, 'b', BULK);
	buf_append(&lab->out, big, BULK);
	mem_free(big);
	lab_listen(lab);
	lab_start(lab, S_CLIENT WITH_CERT "-tls1_3 -quiet -verify_quiet");
	lab_run_until(lab, received_bulk);
	assert_int_equal(lab->end, 1);
	assert_true(lab->said_all >= BULK);
	for (size_t i = lab->said_n - 1000; i < lab->said_n; i++)
		assert_int_equal(lab->said[i], 'b');
	lab_close(lab);
}

static void ends_are_told_from_breaks(void **state)
{
	(void)state;
	/* End of its input: close_notify. */
	struct lab *lab = lab_open();
	lab_use(lab, TLS_SERVER, CERT_FLAW_NONE);
	lab_listen(lab);
	lab_start(lab, S_CLIENT WITH_CERT "-tls1_3");
	lab_run_until(lab, handshake_done);
	assert_non_null(lab->io);
	lab_type(lab, "Q\n");
	lab_run_until(lab, ended);
	assert_int_equal(lab->end, 0);
	lab_close(lab);
	/* Killed: none. */
	lab = lab_open();
	lab_use(lab, TLS_SERVER, CERT_FLAW_NONE);
	lab_listen(lab);
	lab_start(lab, S_CLIENT WITH_CERT "-tls1_3");
	lab_run_until(lab, handshake_done);
	assert_non_null(lab->io);
	kill(lab->pid, SIGKILL);
	lab_run_until(lab, ended);
	assert_int_equal(lab->end, ERR_RESET);
	lab_close(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_client_agrees_with_every_suite_and_group),
		cmocka_unit_test(our_client_renews_keys_with_openssl),
		cmocka_unit_test(openssl_renews_keys_with_our_client),
		cmocka_unit_test(our_client_learns_why_openssl_refuses_it),
		cmocka_unit_test(our_client_refuses_what_it_should),
		cmocka_unit_test(our_server_agrees_with_every_suite_and_group),
		cmocka_unit_test(openssl_renews_keys_with_our_server),
		cmocka_unit_test(openssl_learns_why_our_server_refuses_it),
		cmocka_unit_test(our_server_learns_why_openssl_refuses_it),
		cmocka_unit_test(bulk_goes_through_openssl_and_back),
		cmocka_unit_test(ends_are_told_from_breaks),
	};

	if (process_init() != 0 || crypto_init() != 0)
		return 1;
	if (!lab_possible()) {
		printf("no openssl program: skipped\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
