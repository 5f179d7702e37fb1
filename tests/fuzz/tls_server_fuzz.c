/*
 * Bytes of a stranger into a handshake of ours, as server or as client, cut into pieces as the
 * input says. Whatever they are, the handshake ends once or waits, lets nobody in, and leaves no
 * buffer.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"
#include "lib/tls/tls.h"

#define START 1800000000
#define SERVER "spiffe://mesh.test/ns/a/sa/b"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return crypto_init();
}

/* What all runs share; made by the first one. */
static struct {
	struct loop *loop;
	struct buf_pool *bufs;
	struct tls_ctx *ctx[2];
} world;

static void make_world(void)
{
	static const char *const alpn[] = {"weft/h2", "weft/tcp", NULL};
	struct cert_issue what = {
		.spiffe_id = STR(SERVER), .not_before = START - 60, .not_after = START + 86400};
	struct cert_bundle *bundle = cert_bundle_new();
	struct cert_key *key = cert_key_generate();
	struct cert_chain *chain;
	struct cert_ca *ca;
	char err[128];

	world.loop = loop_new_sim((uint64_t)START * NS_PER_S);
	world.bufs = buf_pool_new(1 << 20);
	ASSERT(cert_ca_create(STR("mesh.test"), START - 3600, START + 86400, &ca) == 0);
	char *pem = cert_ca_cert_pem(ca);
	ASSERT(cert_bundle_add(bundle, STR("mesh.test"), str_from(pem)) == 0);
	ASSERT(cert_ca_issue(ca, NULL, key, &what, &chain) == 0);
	for (int role = 0; role < 2; role++) {
		struct tls_ctx_config cfg = {.role = (enum tls_role)role,
			.chain = chain,
			.key = key,
			.bundle = bundle,
			.alpn = alpn,
			.clock = loop_clock(world.loop)};
		ASSERT(tls_ctx_new(&cfg, &world.ctx[role], err, sizeof(err)) == 0);
	}
	mem_free(pem);
	cert_chain_unref(&chain);
	cert_key_unref(&key);
	cert_bundle_unref(&bundle);
	cert_ca_free(&ca);
}

static void on_done(void *arg, struct io *io, const struct tls_failure *failure)
{
	int *calls = arg;

	/* Nobody whose bytes do not depend on ours knows a key. */
	ASSERT(io == NULL && failure != NULL && failure->err < 0 && failure->text[0] != '\0');
	(*calls)++;
}

/* The first byte says which end we are and how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr a = {.family = ADDR_V4};
	struct io *ends[2];
	struct buf out;
	int calls = 0;

	if (world.loop == NULL)
		make_world();
	if (size < 1)
		return 0;
	struct tls_ctx *ctx = world.ctx[data[0] & 1];
	size_t piece = (size_t)(data[0] >> 1) * 8 + 1;
	struct tls_handshake_config cfg = {
		.ctx = ctx, .bufs = world.bufs, .expect = {.id = STR(SERVER)}};
	io_mem_pair(world.loop, world.bufs, 1 << 20, &a, &a, ends);
	tls_handshake_start(ends[0], &cfg, on_done, &calls);
	buf_init(&out, world.bufs);
	for (size_t at = 1; at < size && calls == 0; at += piece) {
		buf_append(&out, data + at, size - at < piece ? size - at : piece);
		if (io_write(ends[1], &out) < 0)
			break;
		loop_sim_settle(world.loop, 1000);
	}
	buf_clear(&out);
	io_close(&ends[1], false);
	ASSERT(loop_sim_settle(world.loop, 1000) < 1000);
	ASSERT(calls == 1);
	ASSERT(buf_pool_used(world.bufs) == 0);
	return 0;
}
