/*
 * The grammars of gRPC over HTTP/2, and unpacking within a bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/grpc/wire.h"
#include "weft/mesh/v1/discovery.pb-c.h"

static void test_content_types(void **state)
{
	static const char *const good[] = {"application/grpc", "application/grpc+proto",
		"application/grpc;charset=utf-8", "Application/GRPC+Proto ; x=y"};
	static const char *const bad[] = {"", "application/grp", "application/grpc+json",
		"application/grpc-web", "application/grpcx", "text/plain",
		"application/grpc+protox"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(grpc_is_content_type(str_from(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(grpc_is_content_type(str_from(bad[i])));
}

static void test_timeouts(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} rows[] = {
		{"1n", 1},
		{"0m", 0},
		{"99999999u", 99999999 * NS_PER_US},
		{"250m", 250 * NS_PER_MS},
		{"3S", 3 * NS_PER_S},
		{"2M", 120 * NS_PER_S},
		{"1H", 3600 * NS_PER_S},
		{"99999999H", UINT64_MAX},
	};
	static const char *const bad[] = {
		"", "1", "m", "1s", "123456789m", "-1m", "1 m", "+1m", "0x1m", "1mm"};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(grpc_parse_timeout(str_from(rows[i].text), &ns), 0);
		assert_int_equal(ns, rows[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(grpc_parse_timeout(str_from(bad[i]), &ns), ERR_INVAL);
}

static void test_timeouts_written(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} rows[] = {
		{1, "1n"},
		{99999999, "99999999n"},
		{100000000, "100000u"},
		{100000001, "100001u"},
		{5 * NS_PER_S, "5000000u"},
		{100 * NS_PER_S, "100000m"},
		{3600 * NS_PER_S * 24 * 365, "31536000S"},
		{UINT64_MAX, "307445735M"},
	};
	char text[GRPC_TIMEOUT_TEXT];
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		grpc_format_timeout(rows[i].ns, text);
		if (i + 1 < sizeof(rows) / sizeof(rows[0]))
			assert_string_equal(text, rows[i].text);
		assert_true(strlen(text) <= GRPC_TIMEOUT_DIGITS + 1);
		assert_int_equal(grpc_parse_timeout(str_from(text), &ns), 0);
		assert_true(ns >= rows[i].ns);
	}
}

static void expect_text(struct str plain, const char *wire, const char *back)
{
	struct arena a;

	arena_init(&a, NULL);
	struct str s = grpc_encode_text(&a, plain);

	assert_true(http_is_field_value(s));
	assert_int_equal(s.n, strlen(wire));
	assert_memory_equal(s.p, wire, s.n);
	s = grpc_decode_text(&a, s);
	assert_int_equal(s.n, strlen(back));
	assert_memory_equal(s.p, back, s.n);
	arena_clear(&a);
}

static void test_texts(void **state)
{
	char big[2000], want[2000];

	(void)state;
	expect_text(STR(""), "", "");
	expect_text(STR("a b"), "a b", "a b");
	expect_text(STR(" a "), "%20a%20", " a ");
	expect_text(STR("50%\n\xc3\xa4\x01"), "50%25%0A%C3%A4%01", "50%\\n\xc3\xa4\\u0001");
	expect_text(str_make("a\0b", 3), "a%00b", "a\\u0000b");
	memset(big, 'x', sizeof(big));
	memset(want, 'x', sizeof(want));
	memcpy(big + GRPC_TEXT_MAX - 1, "\xc3\xa4", 2);
	want[GRPC_TEXT_MAX - 1] = '\0';
	expect_text(str_make(big, sizeof(big)), want, want);
}

static void test_texts_of_others(void **state)
{
	struct arena a;
	struct str s;
	char big[100000];

	(void)state;
	arena_init(&a, NULL);
	s = grpc_decode_text(&a, STR("a%4%zz%"));
	assert_true(str_eq(s, STR("a%4%zz%")));
	s = grpc_decode_text(&a, STR("%e2%80%ae%ff%1b[31m"));
	assert_null(memchr(s.p, 0x1b, s.n));
	memset(big, '%', sizeof(big));
	assert_true(grpc_decode_text(&a, str_make(big, sizeof(big))).n <= 6 * GRPC_TEXT_MAX);
	arena_clear(&a);
}

static void test_statuses(void **state)
{
	(void)state;
	assert_int_equal(grpc_parse_status(STR("0")), GRPC_OK);
	assert_int_equal(grpc_parse_status(STR("16")), GRPC_UNAUTHENTICATED);
	assert_int_equal(grpc_parse_status(STR("17")), GRPC_UNKNOWN);
	assert_int_equal(grpc_parse_status(STR("")), GRPC_UNKNOWN);
	assert_int_equal(grpc_parse_status(STR("-1")), GRPC_UNKNOWN);
	assert_int_equal(grpc_parse_status(STR("00000000000000000001")), GRPC_UNKNOWN);
	assert_string_equal(grpc_status_name(GRPC_UNAVAILABLE), "UNAVAILABLE");
	assert_string_equal(grpc_status_name(99), "UNKNOWN");
	assert_int_equal(grpc_from_http(503), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_from_http(404), GRPC_UNIMPLEMENTED);
	assert_int_equal(grpc_from_http(418), GRPC_UNKNOWN);
	assert_int_equal(grpc_from_h2(8), GRPC_CANCELLED);
	assert_int_equal(grpc_from_h2(11), GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(grpc_from_h2(0), GRPC_INTERNAL);
	for (int r = 0; r < REASON_COUNT; r++) {
		assert_true(grpc_from_reason((enum reason)r, true) != GRPC_OK);
		assert_true(grpc_from_reason((enum reason)r, false) != GRPC_OK);
	}
}

/* --- unpacking --- */

static void test_unpack(void **state)
{
	static const char wire[] = "\x1a\x03"
				   "abc"
				   "\x32\x01x";
	Weft__Mesh__V1__DiscoveryRequest *r = (Weft__Mesh__V1__DiscoveryRequest *)
		grpc_unpack(&weft__mesh__v1__discovery_request__descriptor,
			str_make(wire, sizeof(wire) - 1));

	(void)state;
	assert_non_null(r);
	assert_string_equal(r->position, "abc");
	weft__mesh__v1__discovery_request__free_unpacked(r, NULL);
	r = (Weft__Mesh__V1__DiscoveryRequest *)
		grpc_unpack(&weft__mesh__v1__discovery_request__descriptor, STR_NULL);
	assert_non_null(r);
	weft__mesh__v1__discovery_request__free_unpacked(r, NULL);
	for (size_t n = 1; n < sizeof(wire) - 1; n++) {
		ProtobufCMessage *m = grpc_unpack(&weft__mesh__v1__discovery_request__descriptor,
			str_make(wire, n));
		assert_true((m != NULL) == (n == 5));
		if (m != NULL)
			protobuf_c_message_free_unpacked(m, NULL);
	}
}

/* Two bytes each on the wire, a hundred in memory. */
static void test_unpack_is_bounded(void **state)
{
	static const size_t counts[] = {100, 500000};
	static const char fields[] = {0x12, 0x22, 0x2a, 0x3a};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(fields); i++) {
		size_t n = counts[i % 2];
		char *bytes = calloc(n, 2);

		for (size_t k = 0; k < n; k++)
			bytes[2 * k] = fields[i / 2];
		ProtobufCMessage *m = grpc_unpack(&weft__mesh__v1__discovery_request__descriptor,
			str_make(bytes, 2 * n));

		assert_true((m != NULL) == (i % 2 == 0));
		if (m != NULL)
			protobuf_c_message_free_unpacked(m, NULL);
		free(bytes);
	}
}

/* What a control plane really sends fits well. */
static void test_unpack_of_many_small_resources(void **state)
{
	enum { N = 20000 };
	Weft__Mesh__V1__DiscoveryRequest r = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	Weft__Mesh__V1__Key *keys = calloc(N, sizeof(keys[0]));
	Weft__Mesh__V1__Key **list = calloc(N, sizeof(list[0]));
	uint8_t address[4] = {10, 0, 0, 1};

	(void)state;
	for (size_t i = 0; i < N; i++) {
		weft__mesh__v1__key__init(&keys[i]);
		keys[i].by_case = WEFT__MESH__V1__KEY__BY_ADDRESS;
		keys[i].address = (ProtobufCBinaryData){4, address};
		list[i] = &keys[i];
	}
	r.n_subscribe = N;
	r.subscribe = list;
	size_t n = weft__mesh__v1__discovery_request__get_packed_size(&r);
	uint8_t *bytes = malloc(n);

	weft__mesh__v1__discovery_request__pack(&r, bytes);
	ProtobufCMessage *m =
		grpc_unpack(&weft__mesh__v1__discovery_request__descriptor, str_make(bytes, n));

	assert_non_null(m);
	protobuf_c_message_free_unpacked(m, NULL);
	free(bytes);
	free(keys);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_types),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_timeouts_written),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_texts_of_others),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_unpack),
		cmocka_unit_test(test_unpack_is_bounded),
		cmocka_unit_test(test_unpack_of_many_small_resources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
