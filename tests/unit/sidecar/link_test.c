/*
 * The way to the control plane: addresses as people write them, roots from the file and in force,
 * the server's identity, and words for what goes wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/net/net_sim.h"
#include "sidecar/link.h"
#include "tests/support/tls_world.h"

#define CONTROL "spiffe://mesh.test/ns/weft-system/sa/weft-ctrlplane"
#define AT "10.0.0.9:15012"

/* A server that speaks TLS at AT, and what a dial came to. */
struct world {
	struct tls_world t;
	struct net *net;
	struct listener *listener;
	struct tls_ctx *server;
	struct tls_end ends[8];
	size_t n_ends;
	char path[64];
	struct link_config cfg;
	struct link *link;
	struct io *io;
	int err, calls;
	char text[1024];
};

static void on_accept(void *arg, struct io *io)
{
	struct world *w = arg;
	struct tls_handshake_config cfg = {.ctx = w->server, .bufs = w->t.bufs};
	assert_true(w->n_ends < sizeof(w->ends) / sizeof(w->ends[0]));
	tls_end_start(&w->t, &w->ends[w->n_ends++], io, &cfg);
}

static void serve(struct world *w, const struct cert_ca *ca, const char *id, const char *alpn)
{
	const char *const list[] = {alpn, NULL};
	struct tls_ctx_config cfg = {.role = TLS_SERVER, .alpn = list, .anonymous_client = true};
	cfg.chain = tls_world_leaf(&w->t, ca, id, NULL, CERT_FLAW_NONE, &cfg.key);
	tls_ctx_unref(&w->server);
	w->server = tls_world_ctx_of(&w->t, cfg);
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
}

static void put_roots(struct world *w, const struct cert_ca *ca)
{
	char err[256], *pem = cert_ca_cert_pem(ca);
	assert_int_equal(file_replace(w->path, 0644, str_from(pem), err, sizeof(err)), 0);
	mem_free(pem);
}

static int setup(void **state)
{
	struct world *w = MEM_NEW(struct world);
	struct listen_config listen = {0};
	char err[128];
	tls_world_open(&w->t);
	w->net = net_new_sim(w->t.loop, w->t.bufs, 65536);
	assert_int_equal(addr_parse(STR(AT), &listen.addr), 0);
	assert_int_equal(listener_open(w->net, &listen, on_accept, w, &w->listener, err,
				 sizeof(err)),
		0);
	serve(w, NULL, CONTROL, "h2");
	strcpy(w->path, "/tmp/weft-link-test-XXXXXX");
	close(mkstemp(w->path));
	put_roots(w, w->t.ca);
	w->cfg = (struct link_config){.loop = w->t.loop,
		.net = w->net,
		.bufs = w->t.bufs,
		.to = AT,
		.root_file = w->path,
		.id = "",
		.trust_domain = "",
		.mark = 1};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	io_close(&w->io, false);
	link_free(&w->link);
	for (size_t i = 0; i < w->n_ends; i++) {
		tls_handshake_cancel(&w->ends[i].handshake);
		io_close(&w->ends[i].io, true);
	}
	listener_close(&w->listener);
	tls_ctx_unref(&w->server);
	loop_sim_advance(w->t.loop, 60 * NS_PER_S);
	net_free(&w->net);
	tls_world_close(&w->t);
	unlink(w->path);
	mem_free(w);
	return 0;
}

static void on_dialled(void *arg, struct io *io, int err, const char *text)
{
	struct world *w = arg;
	w->calls++;
	w->io = io;
	w->err = err;
	snprintf(w->text, sizeof(w->text), "%s", text != NULL ? text : "");
}

static void dial(struct world *w)
{
	char err[256];
	io_close(&w->io, false);
	if (w->link == NULL && link_new(&w->cfg, &w->link, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	struct grpc_dialler d = link_dialler(w->link);
	w->calls = 0;
	d.start(d.arg, on_dialled, w);
	assert_int_equal(w->calls, 0); /* never from inside */
	loop_sim_advance(w->t.loop, 11 * NS_PER_S);
	assert_int_equal(w->calls, 1);
}

static void expect_good(struct world *w)
{
	struct io_info info = {0};
	dial(w);
	if (w->io == NULL)
		fail_msg("%s", w->text);
	io_info(w->io, &info);
	assert_true(str_eq(info.alpn, STR("h2")));
	assert_true(str_eq(info.peer_id, STR(CONTROL)));
	assert_int_equal(info.own_id.n, 0);
}

static void expect_bad(struct world *w, const char *part, const char *more)
{
	dial(w);
	assert_null(w->io);
	assert_true(w->err < 0);
	if (strstr(w->text, part) == NULL || strstr(w->text, more) == NULL)
		fail_msg("no \"%s\" and \"%s\" in \"%s\"", part, more, w->text);
}

static void test_by_the_file(void **state)
{
	struct world *w = *state;
	expect_good(w);
	assert_true(str_eq(link_trust_domain(w->link), STR("mesh.test")));
	assert_string_equal(link_authority(w->link), AT);
	expect_good(w);
}

static void test_the_file_is_read_again(void **state)
{
	struct world *w = *state;
	struct cert_ca *other;
	assert_int_equal(cert_ca_create(STR("mesh.test"), WORLD_START - 60,
				 WORLD_START + 86400 * 365, &other),
		0);
	put_roots(w, other);
	expect_bad(w, "does not lead to a root", w->path);
	assert_non_null(strstr(w->text, CONTROL));
	serve(w, other, CONTROL, "h2");
	expect_good(w);
	/* The roots in force count beside the file, and without it. */
	put_roots(w, w->t.ca);
	expect_bad(w, "does not lead to a root", AT);
	link_set_roots(w->link, STR("mesh.test"), cert_chain_der(cert_ca_chain(other)));
	expect_good(w);
	unlink(w->path);
	expect_good(w);
	link_set_roots(w->link, STR("else.test"), cert_chain_der(cert_ca_chain(other)));
	expect_bad(w, w->path, "No such file");
	cert_ca_free(&other);
}

static void test_bad_files(void **state)
{
	struct world *w = *state;
	char err[256];
	unlink(w->path);
	expect_bad(w, w->path, "No such file");
	expect_bad(w, "root.pem there", "--root");
	assert_int_equal(link_trust_domain(w->link).n, 0);
	assert_int_equal(file_replace(w->path, 0644, STR("nonsense"), err, sizeof(err)), 0);
	expect_bad(w, w->path, "certificates in PEM");
	link_free(&w->link);
	w->cfg.trust_domain = "other.test"; /* none of the file's */
	put_roots(w, w->t.ca);
	expect_bad(w, w->path, "other.test");
}

static void test_who_answers(void **state)
{
	struct world *w = *state;
	serve(w, NULL, WORLD_SERVER, "h2");
	expect_bad(w, WORLD_SERVER, CONTROL);
	link_free(&w->link);
	w->cfg.id = WORLD_SERVER;
	dial(w);
	assert_non_null(w->io);
	link_free(&w->link);
	w->cfg.id = "";
	serve(w, NULL, CONTROL, "http/1.1");
	expect_bad(w, AT, "no_application_protocol");
}

static void test_nobody_answers(void **state)
{
	struct world *w = *state;
	struct addr at;
	assert_int_equal(addr_parse(STR(AT), &at), 0);
	net_sim_fail(w->net, &at, ERR_REFUSED);
	expect_bad(w, AT, "connection refused");
	net_sim_fail(w->net, &at, ERR_TIMEOUT);
	expect_bad(w, AT, "timed out");
}

static void test_cancelled(void **state)
{
	struct world *w = *state;
	char err[256];
	assert_int_equal(link_new(&w->cfg, &w->link, err, sizeof(err)), 0);
	struct grpc_dialler d = link_dialler(w->link);
	listener_pause(w->listener); /* the handshake goes on for ever */
	for (size_t turns = 0; turns < 6; turns++) {
		void *handle = d.start(d.arg, on_dialled, w);
		loop_sim_settle(w->t.loop, turns);
		assert_int_equal(w->calls, 0);
		d.cancel(d.arg, handle);
		tls_world_settle(&w->t);
	}
	assert_int_equal(w->calls, 0);
	unlink(w->path);
	void *handle = d.start(d.arg, on_dialled, w);
	d.cancel(d.arg, handle);
	tls_world_settle(&w->t);
	assert_int_equal(w->calls, 0);
}

static void refuse(struct world *w, const char *to, const char *id, const char *part)
{
	struct link *l;
	char err[512] = "";
	w->cfg.to = to;
	w->cfg.id = id;
	assert_int_equal(link_new(&w->cfg, &l, err, sizeof(err)), ERR_INVAL);
	assert_null(l);
	if (strstr(err, part) == NULL)
		fail_msg("no \"%s\" in \"%s\"", part, err);
}

static void expect_taken(struct world *w, const char *to, const char *authority)
{
	struct link *l;
	char err[512] = "";
	w->cfg.to = to;
	if (link_new(&w->cfg, &l, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	assert_string_equal(link_authority(l), authority);
	link_free(&l);
}

static void test_flags(void **state)
{
	struct world *w = *state;
	expect_taken(w, "10.0.0.1", "10.0.0.1:15012");
	expect_taken(w, "10.0.0.1:99", "10.0.0.1:99");
	expect_taken(w, "[fd00::1]:99", "[fd00::1]:99");
	expect_taken(w, "unix:/run/weft/grpc.sock", "localhost");
	expect_taken(w, "weft-ctrlplane.weft-system.svc", "weft-ctrlplane.weft-system.svc:15012");
	expect_taken(w, "localhost:99", "localhost:99");
	refuse(w, "localhost:", "", "--control-plane");
	refuse(w, "10.0.0.256:80", "", "--control-plane");
	refuse(w, "unix:", "", "--control-plane");
	refuse(w, "10.0.0.1:70000", "", "--control-plane");
	refuse(w, "10.0.0.1:x", "", "--control-plane 10.0.0.1:x");
	refuse(w, "a b", "", "--control-plane");
	refuse(w, AT, "http://x", "--control-plane-id");
	w->cfg.trust_domain = "UPPER";
	refuse(w, AT, "", "--trust-domain");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_by_the_file),
		TEST(test_the_file_is_read_again),
		TEST(test_bad_files),
		TEST(test_who_answers),
		TEST(test_nobody_answers),
		TEST(test_cancelled),
		TEST(test_flags),
	};
	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
