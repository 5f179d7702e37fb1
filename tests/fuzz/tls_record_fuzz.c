/*
 * A peer that holds the keys and does as it likes: the input says which records it seals, which
 * bytes it sends bare, how it cuts them and how much the user reads. Whatever it does, only data
 * that it sealed as data comes out, in order, and after the end nothing does.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <mbedtls/ssl_ciphersuites.h>

#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"
#include "lib/tls/io_tls.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return crypto_init();
}

/* The input as a stream of numbers and bytes. */
struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t next(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

/* One run: the peer's hands and what must come out. Owned by the run. */
struct run {
	struct io *io, *peer;
	struct record_key key;   /* the peer's */
	struct buf wire, expect; /* not sent yet; data that may still come */
	unsigned idle;           /* records without data in a row */
	bool clean;              /* nothing has been sent that would end the stream */
	int end;                 /* 1: reading goes on */
};

/* What all runs share; made by the first one. */
static struct {
	struct loop *loop;
	struct buf_pool *bufs;
	struct tls_ctx *ctx[2];
} world;

static void make_world(void)
{
	struct cert_bundle *bundle = cert_bundle_new();
	struct cert_key *key = cert_key_generate();
	struct cert_issue what = {
		.spiffe_id = STR("spiffe://mesh.test/a"), .not_before = 1, .not_after = 2000000000};
	struct cert_chain *chain;
	struct cert_ca *ca;
	char err[128];

	world.loop = loop_new_sim(1800000000 * NS_PER_S);
	world.bufs = buf_pool_new(1 << 20);
	ASSERT(cert_ca_create(STR("mesh.test"), 1, 2000000000, &ca) == 0);
	char *pem = cert_ca_cert_pem(ca);
	ASSERT(cert_bundle_add(bundle, STR("mesh.test"), str_from(pem)) == 0);
	ASSERT(cert_ca_issue(ca, NULL, key, &what, &chain) == 0);
	for (int role = 0; role < 2; role++) {
		struct tls_ctx_config cfg = {.role = (enum tls_role)role,
			.chain = chain,
			.key = key,
			.bundle = bundle,
			.clock = loop_clock(world.loop)};
		ASSERT(tls_ctx_new(&cfg, &world.ctx[role], err, sizeof(err)) == 0);
	}
	mem_free(pem);
	cert_chain_unref(&chain);
	cert_key_unref(&key);
	cert_bundle_unref(&bundle);
	cert_ca_free(&ca);
}

/* What comes is the beginning of what was sealed as data. */
static void compare(struct run *r, struct buf *in)
{
	ASSERT(buf_len(in) <= buf_len(&r->expect));
	while (buf_len(in) > 0) {
		struct str a = buf_peek(in), b = buf_peek(&r->expect);
		size_t same = a.n < b.n ? a.n : b.n;
		ASSERT(memcmp(a.p, b.p, same) == 0);
		buf_consume(in, same);
		buf_consume(&r->expect, same);
	}
}

static void on_event(void *arg, unsigned events)
{
	struct run *r = arg;
	struct buf in;

	if ((events & IO_READ) == 0)
		return;
	buf_init(&in, world.bufs);
	ssize_t n = io_read(r->io, &in, 1000);
	ASSERT(n == ERR_AGAIN || n <= 0 || (size_t)n == buf_len(&in));
	compare(r, &in);
	if (n <= 0 && n != ERR_AGAIN) {
		r->end = (int)n;
		io_want(r->io, 0);
		ASSERT(io_read(r->io, &in, 1000) == n && buf_len(&in) == 0);
	}
}

static void seal(struct run *r, uint8_t type, const uint8_t *p, size_t n)
{
	uint8_t record[600 + RECORD_OVERHEAD];
	struct iovec iov = {(void *)(uintptr_t)p, n};

	record_seal(&r->key, (enum record_type)type, &iov, 1, record);
	buf_append(&r->wire, record, n + RECORD_OVERHEAD);
	/* A type of zero is padding, and the content ends in the real one (RFC 8446 5.4). */
	while (type == 0 && n > 0)
		type = p[--n];
	if (type != RECORD_APPLICATION_DATA) {
		r->clean = false;
		return;
	}
	buf_append(&r->expect, p, n);
	r->idle = n > 0 ? 0 : r->idle + 1;
}

/* With all that belongs to it, so that the stream goes on. */
static void update_key(struct run *r, bool ask)
{
	uint8_t message[5] = {24, 0, 0, 1, ask};
	bool clean = r->clean;

	seal(r, RECORD_HANDSHAKE, message, sizeof(message));
	record_key_update(&r->key);
	r->clean = clean;
	r->idle++;
}

static void send_some(struct run *r, size_t most)
{
	struct buf part;

	buf_init(&part, world.bufs);
	buf_move(&part, &r->wire, buf_len(&r->wire) < most ? buf_len(&r->wire) : most);
	io_write(r->peer, &part);
	buf_clear(&part);
	ASSERT(loop_sim_settle(world.loop, 10000) < 10000);
}

/* One thing that the peer does. */
static void step(struct run *r, struct input *in)
{
	static const uint8_t types[] = {23, 23, 23, 21, 22, 22, 20, 0};
	uint8_t op = next(in), bytes[512];
	size_t n = (size_t)next(in) * 2;

	if ((op & 7) < 4)
		for (size_t i = 0; i < n; i++)
			bytes[i] = next(in);
	if ((op & 7) < 3)
		seal(r, types[op >> 3 & 7], bytes, n);
	else if ((op & 7) == 3)
		buf_append(&r->wire, bytes, n);
	else if ((op & 7) == 4)
		update_key(r, (op & 8) != 0);
	else if ((op & 7) == 5)
		tls_io_limit(r->io, (uint64_t)(op >> 3) + 1, 4 * ((uint64_t)(op >> 3) + 1));
	else
		send_some(r, (op & 7) == 6 ? n + 1 : SIZE_MAX);
	if (((op & 7) == 3 && n > 0) || (op & 7) == 5 || r->idle > 60)
		r->clean = false;
}

static void start(struct run *r, uint8_t choice)
{
	static const int suites[] = {MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
		MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS1_3_AES_256_GCM_SHA384};
	static const uint8_t secrets[2][RECORD_SECRET_MAX] = {{1}, {2}};
	struct addr a = {.family = ADDR_V4};
	struct io *ends[2];
	struct buf none;

	buf_init(&none, world.bufs);
	io_mem_pair(world.loop, world.bufs, 1 << 20, &a, &a, ends);
	struct tls_io_config cfg = {.below = ends[0],
		.ctx = world.ctx[choice & 1],
		.bufs = world.bufs,
		.suite = record_suite_by_id(suites[(choice >> 1) % 3]),
		.secret_in = secrets[0],
		.secret_out = secrets[1],
		.received = &none,
		.unsent = &none};
	*r = (struct run){.peer = ends[1], .clean = true, .end = 1};
	r->io = tls_io_new(&cfg);
	record_key_init(&r->key, cfg.suite, secrets[0]);
	buf_init(&r->wire, world.bufs);
	buf_init(&r->expect, world.bufs);
	io_set_user(r->io, on_event, r);
	io_want(r->io, IO_READ);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct run r;

	if (world.loop == NULL)
		make_world();
	start(&r, next(&in));
	while (in.n > 0)
		step(&r, &in);
	send_some(&r, SIZE_MAX);
	io_shutdown(r.peer);
	ASSERT(loop_sim_settle(world.loop, 10000) < 10000);
	/* It ended, never in order without close_notify; and where nothing was wrong, all has come.
	 */
	ASSERT(r.end <= 0);
	ASSERT(!r.clean || (r.end == ERR_RESET && buf_len(&r.expect) == 0));
	ASSERT(r.end == 0 || tls_io_failure(r.io).n > 0);
	io_close(&r.io, false);
	io_close(&r.peer, true);
	record_key_free(&r.key);
	buf_clear(&r.wire);
	buf_clear(&r.expect);
	loop_sim_settle(world.loop, 1000);
	ASSERT(buf_pool_used(world.bufs) == 0);
	return 0;
}
