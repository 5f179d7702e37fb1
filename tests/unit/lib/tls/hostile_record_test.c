/*
 * Peers that finish the handshake and then do not keep to the protocol: records that have no place,
 * that are malformed, or too many. In memory, on a simulated loop; the peer's own key is used
 * against us.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/tls/io_tls.h"
#include "tests/support/tls_world.h"

static void raw_send(struct tls_world *w, struct io *io, const void *bytes, size_t n)
{
	struct buf out;

	buf_init(&out, w->bufs);
	buf_append(&out, bytes, n);
	io_write(io, &out);
	buf_clear(&out);
	tls_world_settle(w);
}

static struct tls_io *inside(struct io *io)
{
	return OBJ_CAST(struct tls_io, IO_MAGIC, io);
}

/* Sends one record as the peer of victim, and what victim makes of it. */
static int inject(struct tls_world *w, struct io *from, struct io *victim, int type, const void *p,
	size_t n)
{
	uint8_t content[256] = {0}, bytes[256];

	memcpy(content, p, n);
	tls_seal_bytes(inside(from), (enum record_type)type, content, n);
	tls_io_flush(inside(from));
	tls_world_settle(w);
	return tls_world_receive(w, victim, bytes, sizeof(bytes), &n);
}

static const struct control_row {
	const char *name;
	struct {
		int type;
		const char *p;
		size_t n;
	} records[4];
	int from_client, from_server; /* how the victim's reading ends */
} controls[] = {
	{"empty data", {{23, "", 0}}, ERR_AGAIN, ERR_AGAIN},
	{"ticket", {{22, "\4\0\0\3abc", 7}}, ERR_PROTOCOL, ERR_AGAIN},
	{"two tickets in one record", {{22, "\4\0\0\1a\4\0\0\2bc", 11}}, ERR_PROTOCOL, ERR_AGAIN},
	{"ticket in pieces", {{22, "\4\0", 2}, {22, "\0\5a", 3}, {22, "bcde", 4}, {23, "x", 1}},
		ERR_PROTOCOL, ERR_AGAIN},
	{"data within a ticket", {{22, "\4\0\0\5a", 5}, {23, "x", 1}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"alert within a ticket", {{22, "\4\0", 2}, {21, "\1\0", 2}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"empty ticket", {{22, "\4\0\0\0", 4}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"empty handshake record", {{22, "", 0}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"empty alert", {{21, "", 0}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"short alert", {{21, "\1", 1}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"two alerts in one record", {{21, "\1\132\1\0", 4}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"user_canceled, then the end", {{21, "\1\132", 2}, {21, "\1\0", 2}}, 0, 0},
	{"close_notify marked fatal", {{21, "\2\0", 2}}, 0, 0},
	{"warning that is an error", {{21, "\1\60", 2}}, ERR_VERIFY, ERR_VERIFY},
	{"access_denied", {{21, "\2\61", 2}}, ERR_VERIFY, ERR_VERIFY},
	{"access_denied after nothing", {{23, "", 0}, {21, "\2\61", 2}}, ERR_VERIFY, ERR_VERIFY},
	{"access_denied after data", {{23, "x", 1}, {21, "\2\61", 2}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"internal_error", {{21, "\2\120", 2}}, ERR_RESET, ERR_RESET},
	{"unknown alert", {{21, "\2\311", 2}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"certificate request", {{22, "\15\0\0\3\0\0\0", 7}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"client hello again", {{22, "\1\0\0\4abcd", 8}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"change of cipher, protected", {{20, "\1", 1}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"unknown type", {{99, "abc", 3}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"key update with a bad request", {{22, "\30\0\0\1\2", 5}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"key update too long", {{22, "\30\0\0\2\0\0", 6}}, ERR_PROTOCOL, ERR_PROTOCOL},
	{"key update with data behind", {{22, "\30\0\0\1\0\4", 6}}, ERR_PROTOCOL, ERR_PROTOCOL},
};

static void records_that_have_no_place_end_the_stream(void **state)
{
	struct tls_world w;
	struct tls_pair p;

	(void)state;
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
		for (int side = 0; side < 2; side++) {
			int ret = ERR_AGAIN,
			    expect = side == 0 ? controls[i].from_client : controls[i].from_server;
			tls_pair_good(&w, &p);
			struct io *from = side == 0 ? p.client.io : p.server.io,
				  *victim = side == 0 ? p.server.io : p.client.io;
			for (int r = 0;
				r < 4 && controls[i].records[r].type != 0 && ret == ERR_AGAIN; r++)
				ret = inject(&w, from, victim, controls[i].records[r].type,
					controls[i].records[r].p, controls[i].records[r].n);
			if (ret != expect)
				fail_msg("%s, side %d: %d", controls[i].name, side, ret);
			/* Whom we accuse is told so. */
			if (expect == ERR_PROTOCOL &&
				strcmp(controls[i].name, "unknown alert") != 0 &&
				strcmp(controls[i].name, "access_denied after data") != 0)
				tls_assert_refused(&w, from, ERR_PROTOCOL, "alert");
			tls_pair_close(&w, &p);
		}
	}
	tls_world_close(&w);
}

static void bytes_that_are_no_protected_record_end_the_stream(void **state)
{
	static const struct {
		const char *p;
		size_t n;
		const char *alert;
	} rows[] = {
		{"\x14\x03\x03\x00\x01\x01", 6, "unexpected_message"},
		{"\x15\x03\x03\x00\x02\x01\x00", 7, "unexpected_message"},
		{"\x16\x03\x03\x00\x04\x00\x00\x00\x00", 9, "unexpected_message"},
		{"GET / HTTP/1.1\r\n", 16, "unexpected_message"},
		{"\x17\x03\x03\x41\x01", 5, "record_overflow"},
		{"\x17\x03\x03\x00\x00", 5, "bad_record_mac"},
		{"\x17\x03\x03\x00\x10 0123456789abcdef", 21, "bad_record_mac"},
		{"\x17\x03\x03\x00\x15 0123456789abcdefghijk", 26, "bad_record_mac"},
	};
	struct tls_world w;
	struct tls_pair p;
	char bytes[16];
	size_t n;

	(void)state;
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tls_pair_good(&w, &p);
		raw_send(&w, p.mem[1], rows[i].p, rows[i].n);
		assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n),
			ERR_PROTOCOL);
		tls_assert_refused(&w, p.client.io, ERR_PROTOCOL, rows[i].alert);
		tls_pair_close(&w, &p);
	}
	tls_world_close(&w);
}

/* RFC 8446 5.4: padding counts too. */
static void content_beyond_the_limit_is_refused(void **state)
{
	static const struct {
		size_t content, padding;
		bool good;
	} rows[] = {{16384, 0, true}, {16385, 0, false}, {16000, 384, true}, {16000, 385, false},
		{1, 16383, true}, {1, 16384, false}, {1, 16622, false}};
	struct tls_world w;
	struct tls_pair p;
	uint8_t *big = mem_alloc(RECORD_CIPHER_MAX + RECORD_HEADER);

	(void)state;
	tls_world_open(&w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char bytes[20000];
		size_t n, inner = rows[i].content + 1 + rows[i].padding,
			  length = inner + RECORD_TAG;
		uint8_t header[RECORD_HEADER] = {23, 3, 3, (uint8_t)(length >> 8), (uint8_t)length},
			*nonce;
		tls_pair_good(&w, &p);
		struct record_key *k = &inside(p.client.io)->out;
		memset(big, 0, inner);
		memset(big, 'a', rows[i].content);
		big[rows[i].content] = RECORD_APPLICATION_DATA;
		nonce = k->iv; /* of record 0 */
		assert_int_equal(mbedtls_gcm_crypt_and_tag(&k->u.gcm, MBEDTLS_GCM_ENCRYPT, inner,
					 nonce, 12, header, sizeof(header), big, big, RECORD_TAG,
					 big + inner),
			0);
		struct buf out;
		buf_init(&out, w.bufs);
		buf_append(&out, header, sizeof(header));
		buf_append(&out, big, length);
		assert_int_equal(io_write(p.mem[1], &out), RECORD_HEADER + length);
		tls_world_settle(&w);
		int ret = tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n);
		if (ret != (rows[i].good ? ERR_AGAIN : ERR_PROTOCOL))
			fail_msg("row %zu: %d", i, ret);
		assert_int_equal(n, rows[i].good ? rows[i].content : 0);
		if (!rows[i].good)
			tls_assert_has(tls_io_failure(p.server.io).p, "record_overflow");
		tls_pair_close(&w, &p);
	}
	mem_free(big);
	tls_world_close(&w);
}

static void idle_chatter_is_bounded_and_key_updates_cost_one_answer(void **state)
{
	struct tls_world w;
	struct tls_pair p;
	int ret = ERR_AGAIN, rounds = 0;
	char bytes[16];
	size_t n;

	(void)state;
	tls_world_open(&w);
	tls_pair_good(&w, &p);
	while (ret == ERR_AGAIN && rounds++ < 1000)
		ret = inject(&w, p.client.io, p.server.io, RECORD_APPLICATION_DATA, "", 0);
	assert_int_equal(ret, ERR_PROTOCOL);
	assert_true(rounds < 100);
	tls_pair_close(&w, &p);

	tls_pair_good(&w, &p);
	for (int i = 0; i < 40; i++) {
		tls_seal_key_update(inside(p.client.io), true);
		tls_io_flush(inside(p.client.io));
	}
	tls_world_settle(&w);
	assert_int_equal(tls_world_receive(&w, p.server.io, bytes, sizeof(bytes), &n), ERR_AGAIN);
	assert_int_equal(tls_io_records(p.server.io), 40);
	tls_world_send(&w, p.server.io, "still here", 10);
	assert_int_equal(tls_io_records(p.server.io), 42); /* one answer, and the data */
	assert_int_equal(tls_world_receive(&w, p.client.io, bytes, sizeof(bytes), &n), ERR_AGAIN);
	assert_int_equal(n, 10);
	tls_pair_close(&w, &p);
	tls_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_that_have_no_place_end_the_stream),
		cmocka_unit_test(bytes_that_are_no_protected_record_end_the_stream),
		cmocka_unit_test(content_beyond_the_limit_is_refused),
		cmocka_unit_test(idle_chatter_is_bounded_and_key_updates_cost_one_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
