/*
 * The DER reader and writer: lengths must be minimal, nothing is read past the end, times by RFC
 * 5280, and what is written reads back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "certs/der.h"
#include "certs/derout.h"

static void lengths(void **state)
{
	(void)state;
	static const struct {
		struct str in;
		bool good;
	} rows[] = {
		{STR("\x04\x00"), true},
		{STR("\x04\x01x"), true},
		{STR("\x04\x01xy"), true},
		{STR("\x04\x02x"), false},
		{STR("\x04"), false},
		{STR(""), false},
		{STR("\x04\x81\x01x"), false},
		{STR("\x04\x82\x00\x01x"), false},
		{STR("\x04\x80x\x00\x00"), false},
		{STR("\x04\x84\xff\xff\xff\xff"), false},
		{STR("\x04\x85\x00\x00\x00\x00\x01x"), false},
		{STR("\x04\x88\xff\xff\xff\xff\xff\xff\xff\xff"), false},
		{STR("\x1f\x22\x00"), false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct str rest = rows[i].in, contents, whole;
		uint8_t tag;
		if (der_any(&rest, &tag, &contents, &whole) != rows[i].good)
			fail_msg("row %zu", i);
	}
}

static void leaves_the_rest(void **state)
{
	(void)state;
	struct str rest = STR("\x02\x01\x05\x04\x01x"), octets, none;
	unsigned v;
	assert_false(der_get(&rest, MBEDTLS_ASN1_OCTET_STRING, &none));
	assert_int_equal(rest.n, 6);
	assert_true(der_small_int(&rest, 5, &v));
	assert_int_equal(v, 5);
	assert_true(der_get(&rest, MBEDTLS_ASN1_OCTET_STRING, &octets));
	assert_true(str_eq(octets, STR("x")));
	assert_int_equal(rest.n, 0);
}

static void integers(void **state)
{
	(void)state;
	static const struct {
		struct str in;
		bool good;
		unsigned value;
	} rows[] = {
		{STR("\x02\x01\x00"), true, 0},
		{STR("\x02\x01\x7f"), true, 127},
		{STR("\x02\x02\x00\x80"), true, 128},
		{STR("\x02\x02\x03\xe8"), true, 1000},
		{STR("\x02\x02\x03\xe9"), false, 0},
		{STR("\x02\x01\x80"), false, 0},
		{STR("\x02\x02\x00\x01"), false, 0},
		{STR("\x02\x00"), false, 0},
		{STR("\x02\x04\x01\x00\x00\x00"), false, 0},
		{STR("\x0a\x01\x01"), false, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct str rest = rows[i].in;
		unsigned v = 0;
		if (der_small_int(&rest, 1000, &v) != rows[i].good ||
			(rows[i].good && v != rows[i].value))
			fail_msg("row %zu: %u", i, v);
	}
}

static void booleans(void **state)
{
	(void)state;
	bool v;
	struct str t = STR("\x01\x01\xff"), f = STR("\x01\x01\x00"), ber = STR("\x01\x01\x01"),
		   long_one = STR("\x01\x02\xff\xff");
	assert_true(der_bool(&t, &v) && v);
	assert_true(der_bool(&f, &v) && !v);
	assert_false(der_bool(&ber, &v));
	assert_false(der_bool(&long_one, &v));
}

static void times_read(void **state)
{
	(void)state;
	static const struct {
		struct str in;
		int64_t want; /* -1: refused */
	} rows[] = {
		{STR("\x17\x0d"
		     "700101000000Z"),
			0},
		{STR("\x17\x0d"
		     "000229120000Z"),
			951825600},
		{STR("\x17\x0d"
		     "491231235959Z"),
			2524607999},
		{STR("\x18\x0f"
		     "20500101000000Z"),
			2524608000},
		{STR("\x18\x0f"
		     "20270115080000Z"),
			1800000000},
		{STR("\x18\x0f"
		     "99991231235959Z"),
			253402300799},
		{STR("\x17\x0d"
		     "010229120000Z"),
			-1},
		{STR("\x18\x0f"
		     "21000229000000Z"),
			-1},
		{STR("\x17\x0d"
		     "701301000000Z"),
			-1},
		{STR("\x17\x0d"
		     "700001000000Z"),
			-1},
		{STR("\x17\x0d"
		     "700132000000Z"),
			-1},
		{STR("\x17\x0d"
		     "700101240000Z"),
			-1},
		{STR("\x17\x0d"
		     "700101006000Z"),
			-1},
		{STR("\x17\x0d"
		     "700101000060Z"),
			-1},
		{STR("\x17\x0d"
		     "70010100000 Z"),
			-1},
		{STR("\x17\x0d"
		     "7001010000000"),
			-1},
		{STR("\x17\x0b"
		     "7001010000Z"),
			-1},
		{STR("\x17\x11"
		     "700101000000+0100"),
			-1},
		{STR("\x18\x13"
		     "20270115080000.123Z"),
			-1},
		{STR("\x17\x0f"
		     "20270115080000Z"),
			-1},
		{STR("\x04\x0d"
		     "700101000000Z"),
			-1},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct str rest = rows[i].in;
		int64_t t = -1;
		bool good = der_time(&rest, &t);
		if (good != (rows[i].want >= 0) || (good && t != rows[i].want))
			fail_msg("row %zu: %lld", i, (long long)t);
	}
}

static void times_written_read_back(void **state)
{
	(void)state;
	static const int64_t rows[] = {
		0, 1, 951825600, 1800000000, 2524607999, 2524608000, 4102444800, 253402300799};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t buf[64];
		struct der_out o;
		int64_t t = -1;
		der_out_init(&o, buf, sizeof(buf));
		der_put_time(&o, rows[i]);
		struct str rest = der_out_get(&o);
		assert_int_equal(rest.p[0], rows[i] < 2524608000 ? 0x17 : 0x18);
		assert_true(der_time(&rest, &t));
		assert_int_equal(t, rows[i]);
	}
}

static void times_out_of_range(void **state)
{
	(void)state;
	static const int64_t rows[] = {-1, 253402300800, INT64_MAX, INT64_MIN};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t buf[64];
		struct der_out o;
		der_out_init(&o, buf, sizeof(buf));
		der_put_time(&o, rows[i]);
		assert_true(o.full);
	}
}

static void long_contents_read_back(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 127, 128, 255, 256, 65535, 65536};
	static uint8_t buf[70000], text[65536];
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct der_out o;
		der_out_init(&o, buf, sizeof(buf));
		der_put_element(&o, MBEDTLS_ASN1_OCTET_STRING, str_make(text, sizes[i]));
		assert_false(o.full);
		struct str rest = der_out_get(&o), got;
		assert_true(der_get(&rest, MBEDTLS_ASN1_OCTET_STRING, &got));
		assert_int_equal(got.n, sizes[i]);
		assert_int_equal(rest.n, 0);
	}
}

static void integers_are_minimal(void **state)
{
	(void)state;
	static const struct {
		uint8_t in[3];
		struct str want;
	} rows[] = {
		{{0, 0, 0}, STR("\x02\x01\x00")},
		{{0, 0, 0x7f}, STR("\x02\x01\x7f")},
		{{0, 0, 0x80}, STR("\x02\x02\x00\x80")},
		{{0x80, 0, 0}, STR("\x02\x04\x00\x80\x00\x00")},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t buf[16];
		struct der_out o;
		der_out_init(&o, buf, sizeof(buf));
		der_put_integer(&o, rows[i].in, 3);
		assert_true(str_eq(der_out_get(&o), rows[i].want));
	}
}

static void what_does_not_fit_is_noticed(void **state)
{
	(void)state;
	uint8_t buf[4];
	struct der_out o;
	der_out_init(&o, buf, sizeof(buf));
	der_put(&o, STR("abc"));
	assert_false(o.full);
	der_wrap(&o, DER_SEQUENCE, 0);
	assert_true(o.full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),
		cmocka_unit_test(leaves_the_rest),
		cmocka_unit_test(integers),
		cmocka_unit_test(booleans),
		cmocka_unit_test(times_read),
		cmocka_unit_test(times_written_read_back),
		cmocka_unit_test(times_out_of_range),
		cmocka_unit_test(long_contents_read_back),
		cmocka_unit_test(integers_are_minimal),
		cmocka_unit_test(what_does_not_fit_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
