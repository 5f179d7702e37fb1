/*
 * Peers that do not keep to the protocol, before, during and after the handshake: each is refused
 * with a reason, none is believed, and nothing of them stays. In memory, on a simulated loop.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/rand.h"
#include "lib/tls/handshake.h"
#include "lib/tls/io_tls.h"
#include "tests/support/tls_world.h"

/* --- bytes instead of a handshake --- */

/* A server of ours, and the other end of its connection in the hands of the test. */
static struct io *raw_client(struct tls_world *w, struct tls_end *server)
{
	struct tls_ctx *ctx = tls_world_ctx(w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct addr a = {.family = ADDR_V4};
	struct io *ends[2];

	io_mem_pair(w->loop, w->bufs, 1 << 20, &a, &a, ends);
	tls_end_start(w, server, ends[0], &(struct tls_handshake_config){.ctx = ctx});
	tls_ctx_unref(&ctx);
	return ends[1];
}

static void raw_send(struct tls_world *w, struct io *io, const void *bytes, size_t n)
{
	struct buf out;

	buf_init(&out, w->bufs);
	buf_append(&out, bytes, n);
	io_write(io, &out);
	buf_clear(&out);
	tls_world_settle(w);
}

static void drop(struct tls_world *w, struct tls_end *server, struct io **io)
{
	tls_handshake_cancel(&server->handshake);
	io_close(&server->io, false);
	io_close(io, false);
	tls_world_settle(w);
}

/* A ClientHello of TLS 1.2: no supported_versions. */
static size_t hello_12(uint8_t out[128])
{
	static const uint8_t fixed[] = {22, 3, 1, 0, 59, 1, 0, 0, 55, 3, 3};
	static const uint8_t rest[] = {
		0, 0, 4, 0xc0, 0x2b, 0x00, 0xff, 1, 0, 0, 8, 0, 10, 0, 4, 0, 2, 0, 23};

	memset(out, 0x5a, 128);
	memcpy(out, fixed, sizeof(fixed));
	memcpy(out + sizeof(fixed) + 32, rest, sizeof(rest));
	out[4] = (uint8_t)(4 + 2 + 32 + sizeof(rest));
	out[8] = (uint8_t)(2 + 32 + sizeof(rest));
	return sizeof(fixed) + 32 + sizeof(rest);
}

static void what_is_not_tls_13_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *text;
	} rows[] = {
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "not a TLS record"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, "not a TLS record"},
		{"*1\r\n$4\r\nPING\r\n", 14, "not a TLS record"},
		{"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", 11, "not a TLS record"},
		{"\0\0\0\0\0\0\0\0", 8, "not a TLS record"},
		{"\x17\x03\x03\x00\x05hello", 10, ""},
		{"\x15\x03\x03\x00\x02\x02\x28", 7, "handshake_failure"},
		{"\x15\x03\x03\x00\x02\x01\x00", 7, "close_notify"},
		{"\x16\x03\x01\x00\x00", 5, ""},
		{"\x16\x03\x01\xff\xff\x01", 6, ""},
		{"\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, ""},
		{"\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, ""},
	};
	struct tls_world w;
	struct tls_end server;
	uint8_t hello[128], answer[64];
	struct buf in;

	(void)state;
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct io *io = raw_client(&w, &server);
		raw_send(&w, io, rows[i].bytes, rows[i].n);
		if (server.calls != 1)
			fail_msg("row %zu is not refused", i);
		assert_null(server.io);
		tls_assert_has(server.failure.text, rows[i].text);
		drop(&w, &server, &io);
	}
	struct io *io = raw_client(&w, &server);
	raw_send(&w, io, hello, hello_12(hello));
	assert_int_equal(server.failure.err, ERR_PROTOCOL);
	tls_assert_has(server.failure.text, "TLS 1.3");
	buf_init(&in, w.bufs);
	assert_int_equal(io_read(io, &in, 100), 7);
	buf_copy_out(&in, 0, answer, 7);
	assert_memory_equal(answer, "\x15\x03\x03\x00\x02\x02\x46", 7);
	buf_clear(&in);
	drop(&w, &server, &io);
	tls_world_close(&w);
}

static void a_peer_that_goes_is_told_apart(void **state)
{
	struct tls_world w;
	struct tls_end server;
	uint8_t hello[128];

	(void)state;
	tls_world_open(&w);
	size_t n = hello_12(hello);
	for (size_t cut = 0; cut < n; cut += 3) {
		for (int reset = 0; reset < 2; reset++) {
			struct io *io = raw_client(&w, &server);
			raw_send(&w, io, hello, cut);
			assert_int_equal(server.calls, 0);
			io_close(&io, reset == 1);
			tls_world_settle(&w);
			assert_int_equal(server.failure.err, reset == 1 ? ERR_RESET : ERR_CLOSED);
			assert_int_equal(server.failure.verdict, CERT_GOOD);
			drop(&w, &server, &io);
		}
	}
	tls_world_close(&w);
}

static void noise_is_refused_or_waits(void **state)
{
	struct tls_world w;
	struct tls_end server;
	uint8_t noise[600];
	struct rng rng;

	(void)state;
	tls_world_open(&w);
	rng_seed(&rng, 7);
	for (int i = 0; i < 400; i++) {
		size_t n = (size_t)rng_between(&rng, 1, sizeof(noise));
		for (size_t j = 0; j < n; j++)
			noise[j] = (uint8_t)rng_next(&rng);
		/* Every other one begins like a record, with a length that fits. */
		if (i % 2 == 0 && n > 9) {
			noise[0] = 22;
			noise[1] = 3;
			noise[2] = 1;
			noise[3] = (uint8_t)((n - 5) >> 8);
			noise[4] = (uint8_t)(n - 5);
			noise[5] = 1;
			noise[6] = 0;
			noise[7] = (uint8_t)((n - 9) >> 8);
			noise[8] = (uint8_t)(n - 9);
		}
		struct io *io = raw_client(&w, &server);
		raw_send(&w, io, noise, n);
		assert_null(server.io);
		if (i % 2 == 0 && n > 9)
			assert_int_equal(server.calls, 1);
		drop(&w, &server, &io);
	}
	tls_world_close(&w);
}

static void a_flood_instead_of_a_handshake_is_bounded(void **state)
{
	/* Nothing but change_cipher_spec; crumbs of a message that says it has 16 MiB; large pieces
	 * of it. */
	static const struct {
		uint8_t head[9];
		size_t n, fill;
	} rows[] = {
		{{20, 3, 3, 0, 1, 1}, 6, 0},
		{{22, 3, 1, 0, 1, 1}, 6, 0},
		{{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, 9, 16380},
	};
	uint8_t zeros[16384] = {0};
	struct tls_world w;
	struct tls_end server;
	struct buf flood;

	(void)state;
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct io *io = raw_client(&w, &server);
		buf_init(&flood, w.bufs);
		while (buf_len(&flood) < 200000) {
			buf_append(&flood, rows[i].head, rows[i].n);
			buf_append(&flood, zeros, rows[i].fill);
		}
		io_write(io, &flood);
		tls_world_settle(&w);
		assert_int_equal(server.calls, 1);
		assert_null(server.io);
		buf_clear(&flood);
		drop(&w, &server, &io);
	}
	tls_world_close(&w);
}

/* --- somebody in the middle --- */

/* Carries bytes between two ends and touches one of them. Owned by the test. */
struct middle {
	struct tls_world *w;
	struct side {
		struct middle *m;
		struct io *io; /* NULL once it has ended */
		uint64_t seen; /* bytes that came from it */
	} side[2];             /* towards the server, towards the client */
	int target;            /* side whose byte at offset is touched; -1: none */
	uint64_t offset;
	uint8_t flip;          /* 0: the connection is cut there */
	struct tls_end *forge; /* the server, where the client's Finished is to be forged */
};

static void middle_close(struct middle *m, bool reset)
{
	io_close(&m->side[0].io, reset);
	io_close(&m->side[1].io, reset);
}

/* Touches the byte if it is among the n that are at the end of in; true: the connection is to be
 * cut behind what is left. */
static bool touch(struct middle *m, struct side *from, struct buf *in)
{
	uint8_t bytes[65536];
	uint64_t start = from->seen - buf_len(in);

	if (m->target != from - m->side || m->offset < start || m->offset >= from->seen)
		return false;
	size_t n = buf_copy_out(in, 0, bytes, buf_len(in)), at = (size_t)(m->offset - start);
	bytes[at] ^= m->flip;
	buf_clear(in);
	buf_append(in, bytes, m->flip == 0 ? at : n);
	return m->flip == 0;
}

/*
 * Replaces the last record of the client's second flight, its Finished, by one with a key update
 * behind it. The key is taken from the server, as a client that means harm has it too.
 */
static void forge_finished(struct middle *m, struct buf *in)
{
	uint8_t bytes[4096], plain[256], type;
	size_t n = buf_copy_out(in, 0, bytes, sizeof(bytes)), at = 0, last = 0, len, content;
	struct record_key key;
	struct record_sealed r;
	struct iovec out = {plain, sizeof(plain)};
	uint64_t records = 0;

	for (; at + RECORD_HEADER < n;
		at += RECORD_HEADER + ((size_t)bytes[at + 3] << 8 | bytes[at + 4])) {
		last = at;
		records += bytes[at] == RECORD_APPLICATION_DATA;
	}
	len = n - last - RECORD_OVERHEAD + 1;
	memcpy(r.header, bytes + last, RECORD_HEADER);
	memcpy(r.tag, bytes + n - RECORD_TAG, RECORD_TAG);
	r.body[0] = (struct iovec){bytes + last + RECORD_HEADER, len};
	r.n_body = 1;
	record_key_init(&key, record_suite_by_id(0x1301),
		m->forge->handshake->handshake[TLS_CLIENT].bytes);
	key.seq = records - 1;
	assert_int_equal(record_open(&key, &r, &out, 1, &type, &content), 0);
	assert_int_equal(type, RECORD_HANDSHAKE);
	assert_int_equal(plain[0], 20);
	memcpy(plain + content, "\30\0\0\1\0", 5);
	key.seq = records - 1;
	out.iov_len = content + 5;
	record_seal(&key, RECORD_HANDSHAKE, &out, 1, bytes + last);
	record_key_free(&key);
	buf_clear(in);
	buf_append(in, bytes, last + content + 5 + RECORD_OVERHEAD);
	m->forge = NULL;
}

static void on_side(void *arg, unsigned events)
{
	struct side *from = arg;
	struct middle *m = from->m;
	struct side *to = &m->side[from == &m->side[0]];
	struct buf in;

	(void)events;
	buf_init(&in, m->w->bufs);
	ssize_t n = io_read(from->io, &in, 65536);
	if (n > 0) {
		from->seen += (uint64_t)n;
		bool cut = touch(m, from, &in);
		if (m->forge != NULL && from == &m->side[1] &&
			buf_peek(&in).p[0] == RECORD_CHANGE_CIPHER_SPEC)
			forge_finished(m, &in);
		if (to->io != NULL && buf_len(&in) > 0)
			io_write(to->io, &in);
		if (cut)
			middle_close(m, false);
	} else if (n == 0) {
		io_want(from->io, 0);
		if (to->io != NULL)
			io_shutdown(to->io);
	} else if (n != ERR_AGAIN) {
		middle_close(m, true);
	}
	buf_clear(&in);
}

/* A handshake through the middle, run until nothing moves. */
static void run_middle(struct tls_world *w, struct middle *m, struct tls_pair *p, struct tls_ctx *s,
	struct tls_ctx *c)
{
	struct addr a = {.family = ADDR_V4};
	struct io *ends[2][2];

	m->w = w;
	for (int i = 0; i < 2; i++) {
		io_mem_pair(w->loop, w->bufs, 1 << 20, &a, &a, ends[i]);
		m->side[i] = (struct side){.m = m, .io = ends[i][1]};
		io_set_user(ends[i][1], on_side, &m->side[i]);
		io_want(ends[i][1], IO_READ);
	}
	tls_end_start(w, &p->server, ends[0][0], &(struct tls_handshake_config){.ctx = s});
	tls_end_start(w, &p->client, ends[1][0],
		&(struct tls_handshake_config){.ctx = c, .expect = {.id = STR(WORLD_SERVER)}});
	tls_world_settle(w);
}

static void no_touched_byte_is_believed(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	char bytes[16];
	size_t n;
	int through = 0;

	(void)state;
	tls_world_open(&w);
	struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	struct middle m = {.target = -1};
	run_middle(&w, &m, &p, s, c);
	assert_non_null(p.server.io);
	uint64_t length[2] = {m.side[0].seen, m.side[1].seen};
	middle_close(&m, false);
	tls_pair_close(&w, &p);
	for (int side = 0; side < 2; side++) {
		for (uint64_t at = 0; at < length[side]; at += at < 300 ? 1 : 9) {
			m = (struct middle){
				.target = side, .offset = at, .flip = (uint8_t)(1u << (at % 8))};
			run_middle(&w, &m, &p, s, c);
			assert_true(p.server.calls <= 1 && p.client.calls <= 1);
			/* Only bytes that mean nothing (versions of outer headers) may go through;
			 * then both agree on all the rest. */
			if (p.server.io != NULL && p.client.io != NULL) {
				/* Signatures vary in length: this one may have ended before the
				 * byte came. */
				through += at < m.side[side].seen;
				m.target = -1;
				tls_world_send(&w, p.client.io, "true", 4);
				assert_int_equal(tls_world_receive(&w, p.server.io, bytes,
							 sizeof(bytes), &n),
					ERR_AGAIN);
				assert_int_equal(n, 4);
			}
			/* A server that was fooled would have given an io to somebody who is not
			 * the client. */
			if (p.server.io != NULL)
				assert_non_null(p.client.io);
			middle_close(&m, false);
			tls_pair_close(&w, &p);
		}
	}
	/* Two in each of: ClientHello, ServerHello, and the two change_cipher_spec. */
	assert_true(through <= 8);
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_close(&w);
}

/* RFC 8446 5.1: a key change falls on the border of a record. */
static void nothing_may_stand_behind_the_finished(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	tls_world_open(&w);
	struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	struct middle m = {.target = -1, .forge = &p.server};
	run_middle(&w, &m, &p, s, c);
	assert_null(m.forge);
	assert_null(p.server.io);
	assert_int_equal(p.server.failure.err, ERR_PROTOCOL);
	tls_assert_refused(&w, p.client.io, ERR_PROTOCOL, "unexpected_message");
	middle_close(&m, false);
	tls_pair_close(&w, &p);
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_close(&w);
}

static void a_handshake_cut_anywhere_ends_once_on_each_side(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	char bytes[16];
	size_t n;

	(void)state;
	tls_world_open(&w);
	struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	for (int side = 0; side < 2; side++) {
		for (uint64_t at = 0; at < 1100; at += 11) {
			struct middle m = {.target = side, .offset = at};
			run_middle(&w, &m, &p, s, c);
			if (p.server.io == NULL) {
				assert_int_equal(p.server.calls, 1);
				assert_int_equal(p.server.failure.err, ERR_CLOSED);
			}
			if (p.client.io == NULL)
				assert_int_equal(p.client.failure.err, ERR_CLOSED);
			else if (p.server.io == NULL)
				assert_int_equal(tls_world_receive(&w, p.client.io, bytes,
							 sizeof(bytes), &n),
					ERR_RESET);
			middle_close(&m, false);
			tls_pair_close(&w, &p);
		}
	}
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_close(&w);
}

static void a_connection_that_breaks_anywhere_ends_once(void **state)
{
	static const int errors[] = {ERR_RESET, ERR_TIMEOUT, ERR_UNREACHABLE};
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	tls_world_open(&w);
	struct tls_ctx *s = tls_world_ctx(&w, TLS_SERVER, WORLD_SERVER, CERT_FLAW_NONE);
	struct tls_ctx *c = tls_world_ctx(&w, TLS_CLIENT, WORLD_CLIENT, CERT_FLAW_NONE);
	for (int turns = 0; turns < 60; turns++) {
		int err = errors[turns % 3], side = turns / 3 % 2;
		tls_pair_start(&w, &p, s, c, turns % 2 == 0 ? 65536 : 100, NULL, NULL);
		loop_sim_settle(w.loop, (size_t)turns / 2);
		struct tls_end *end = side == 0 ? &p.server : &p.client;
		bool over = end->calls > 0;
		if (!over || end->io != NULL)
			io_mem_break(p.mem[side], err);
		tls_world_settle(&w);
		assert_int_equal(end->calls, 1);
		if (!over)
			assert_int_equal(end->failure.err, err);
		/* The other one hears nothing of a break until its own timer or the close. */
		loop_sim_advance(w.loop, 11000000000ull);
		assert_int_equal(p.server.calls, 1);
		assert_int_equal(p.client.calls, 1);
		tls_pair_close(&w, &p);
	}
	tls_ctx_unref(&s);
	tls_ctx_unref(&c);
	tls_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_tls_13_is_refused),
		cmocka_unit_test(a_peer_that_goes_is_told_apart),
		cmocka_unit_test(noise_is_refused_or_waits),
		cmocka_unit_test(a_flood_instead_of_a_handshake_is_bounded),
		cmocka_unit_test(no_touched_byte_is_believed),
		cmocka_unit_test(nothing_may_stand_behind_the_finished),
		cmocka_unit_test(a_handshake_cut_anywhere_ends_once_on_each_side),
		cmocka_unit_test(a_connection_that_breaks_anywhere_ends_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
