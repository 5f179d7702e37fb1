/*
 * A peer whose chain is far longer than any that is taken, made of CAs that all bear one name: it
 * is refused before signatures are tried in every order. Their cost is counted in allocations of
 * the TLS library, of which each signature makes many.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <mbedtls/platform.h>

#include "lib/base/alloc.h"
#include "lib/tls/ctx.h"
#include "tests/support/mint.h"
#include "tests/support/tls_world.h"

#define FLOOD 40

static size_t allocations;

static void *count_calloc(size_t n, size_t size)
{
	allocations++;
	return mem_alloc_array(n != 0 ? n : 1, size != 0 ? size : 1);
}

/* A context whose own chain is one leaf and n CAs behind it. */
static struct tls_ctx *long_chain(struct tls_world *w, enum tls_role role, int n)
{
	static const char *const alpn[] = {"weft/tcp", NULL};
	const struct mint ca = {.subject = "one name", .ca = true};
	const struct mint end = {.uris = {role == TLS_SERVER ? WORLD_SERVER : WORLD_CLIENT}};
	struct minted *top = mint(&ca, NULL), *leaf = mint(&end, top);
	struct tls_ctx_config cfg = {.role = role, .alpn = alpn};

	cfg.chain = mint_chain(leaf, NULL);
	cfg.key = cert_key_ref(leaf->key);
	struct tls_ctx *ctx = tls_world_ctx_of(w, cfg);
	struct mint one = ca;
	one.key = top->key;
	for (int i = 0; i < n; i++) {
		struct minted *m = mint(&one, NULL);
		assert_int_equal(mbedtls_x509_crt_parse_der(&ctx->own_crt,
					 (const unsigned char *)m->der.p, m->der.n),
			0);
		minted_free(m, NULL);
	}
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
	minted_free(top, leaf, NULL);
	return ctx;
}

/* Allocations of a handshake in which one side presents n CAs; it must be refused with verdict. */
static size_t cost(enum tls_role role, int n, enum cert_verdict verdict)
{
	struct tls_world w;
	struct tls_pair p;

	tls_world_open(&w);
	assert_int_equal(mbedtls_platform_set_calloc_free(count_calloc, mem_free), 0);
	struct tls_ctx *bad = long_chain(&w, role, n);
	struct tls_ctx *good = role == TLS_SERVER
		? tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE)
		: tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	allocations = 0;
	tls_pair_run(&w, &p, role == TLS_SERVER ? bad : good, role == TLS_SERVER ? good : bad);
	size_t spent = allocations;
	struct tls_end *judge = role == TLS_SERVER ? &p.client : &p.server;
	assert_null(judge->io);
	assert_int_equal(judge->failure.verdict, verdict);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
	return spent;
}

static void a_flood_of_cas_costs_no_signatures(void **state)
{
	(void)state;
	for (int role = TLS_SERVER; role <= TLS_CLIENT; role++) {
		size_t none = cost((enum tls_role)role, 0, CERT_UNTRUSTED);
		size_t some = cost((enum tls_role)role, FLOOD, CERT_TOO_LONG);
		assert_true(none > 0);
		if (some > 2 * none)
			fail_msg("%zu allocations with %d CAs, %zu without", some, FLOOD, none);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_of_cas_costs_no_signatures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
