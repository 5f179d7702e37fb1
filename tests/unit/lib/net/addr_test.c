/*
 * Addresses and CIDR blocks: tables of spellings that are accepted and of those that are not.
 */
#include "tests/unit/lib/net/support.h"

#include <netinet/in.h>

#include "lib/base/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_good_forms(void **state)
{
	static const struct {
		const char *in, *out, *ip;
		enum addr_family family;
		uint16_t port;
	} rows[] = {
		{"10.0.0.1", "10.0.0.1", "10.0.0.1", ADDR_V4, 0},
		{"10.0.0.1:80", "10.0.0.1:80", "10.0.0.1", ADDR_V4, 80},
		{"255.255.255.255:65535", "255.255.255.255:65535", "255.255.255.255", ADDR_V4,
			65535},
		{"0.0.0.0:0", "0.0.0.0", "0.0.0.0", ADDR_V4, 0},
		{"::", "::", "::", ADDR_V6, 0},
		{"::1", "::1", "::1", ADDR_V6, 0},
		{"[::1]:80", "[::1]:80", "::1", ADDR_V6, 80},
		{"[FD00::00a]:1", "[fd00::a]:1", "fd00::a", ADDR_V6, 1},
		{"::ffff:10.1.2.3", "10.1.2.3", "10.1.2.3", ADDR_V4, 0},
		{"[::ffff:10.1.2.3]:443", "10.1.2.3:443", "10.1.2.3", ADDR_V4, 443},
		{"::ffff:a01:203", "10.1.2.3", "10.1.2.3", ADDR_V4, 0},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
			"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ADDR_V6, 65535},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct addr a, again;
		char text[ADDR_TEXT];
		assert_int_equal(addr_parse(str_from(rows[i].in), &a), 0);
		assert_int_equal(a.family, rows[i].family);
		assert_int_equal(a.port, rows[i].port);
		assert_string_equal(addr_format(&a, text), rows[i].out);
		assert_string_equal(addr_format_ip(&a, text), rows[i].ip);
		assert_int_equal(addr_parse(str_from(rows[i].out), &again), 0);
		assert_memory_equal(&a, &again, sizeof(a));
	}
}

static void test_bad_forms(void **state)
{
	static const char *const rows[] = {"", " ", "10.0.0", "10.0.0.1.2", "10.0.0.256",
		"10.0.0.01", "010.0.0.1", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:65536",
		"10.0.0.1:080", "10.0.0.1:-1", "10.0.0.1:+1", "10.0.0.1: 80",
		"10.0.0.1:99999999999", " 10.0.0.1", "10.0.0.1 ", "0x0a.0.0.1", "167772161",
		"localhost", "localhost:80", "[::1]", "[::1]80", "[::1]:", "[::1", "::1]:80",
		"[]:80", "[10.0.0.1]:80", "[[::1]]:80", ":::", "1::2::3", "::1%lo",
		"[fe80::1%eth0]:80", "fe80::1%1", "12345::", "::ffff:10.0.0.256", ":80",
		"10.0.0.1/8", "1:2:3:4:5:6:7:8:9",
		"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555555555"};
	struct addr a;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		memset(&a, 0xff, sizeof(a));
		if (addr_parse(str_from(rows[i]), &a) != ERR_INVAL)
			fail_msg("accepted: %s", rows[i]);
		assert_int_equal(a.family, ADDR_NONE);
	}
	assert_int_equal(addr_parse(str_make("10.0.0.1\0", 9), &a), ERR_INVAL);
	assert_int_equal(addr_parse(str_make("::1\0:80", 7), &a), ERR_INVAL);
	assert_int_equal(addr_parse(STR_NULL, &a), ERR_INVAL);
}

static void test_classes(void **state)
{
	static const struct {
		const char *text;
		bool loopback, any, link_local, multicast;
	} rows[] = {
		{"127.0.0.1", true, false, false, false},
		{"127.255.255.255", true, false, false, false},
		{"128.0.0.1", false, false, false, false},
		{"::1", true, false, false, false},
		{"::2", false, false, false, false},
		{"::ffff:127.0.0.1", true, false, false, false},
		{"0.0.0.0", false, true, false, false},
		{"::", false, true, false, false},
		{"169.254.169.254", false, false, true, false},
		{"169.253.0.1", false, false, false, false},
		{"fe80::1", false, false, true, false},
		{"febf::1", false, false, true, false},
		{"fec0::1", false, false, false, false},
		{"224.0.0.1", false, false, false, true},
		{"239.255.255.255", false, false, false, true},
		{"240.0.0.1", false, false, false, false},
		{"ff02::1", false, false, false, true},
		{"fd00::1", false, false, false, false},
	};
	char text[ADDR_TEXT];
	struct addr none = {0};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct addr a = addr_of(rows[i].text);
		assert_int_equal(addr_is_loopback(&a), rows[i].loopback);
		assert_int_equal(addr_is_any(&a), rows[i].any);
		assert_int_equal(addr_is_link_local(&a), rows[i].link_local);
		assert_int_equal(addr_is_multicast(&a), rows[i].multicast);
	}
	assert_false(addr_is_any(&none));
	assert_false(addr_is_loopback(&none));
	assert_string_equal(addr_format(&none, text), "-");
}

static void test_equality_and_keys(void **state)
{
	struct addr a = addr_of("10.0.0.1:80"), b = addr_of("[::ffff:10.0.0.1]:80");
	struct addr c = addr_with_port(&a, 81), any = addr_any(ADDR_V6, 15006);

	(void)state;
	assert_true(addr_eq(&a, &b));
	assert_true(str_eq(addr_key(&a), addr_key(&b)));
	assert_false(addr_eq(&a, &c));
	assert_true(addr_eq_ip(&a, &c));
	assert_false(str_eq(addr_key(&a), addr_key(&c)));
	assert_true(addr_is_any(&any));
	assert_int_equal(any.port, 15006);
}

static void test_sockaddr_round_trip(void **state)
{
	static const char *const rows[] = {"10.1.2.3:80", "[fd00::1]:443", "0.0.0.0", "::"};
	struct sockaddr_storage ss;
	struct addr out, none = {0}, want = addr_of("10.0.0.1:7");

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct addr a = addr_of(rows[i]);
		assert_true(addr_to_sockaddr(&a, &ss) > 0);
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, &out), 0);
		assert_memory_equal(&a, &out, sizeof(a));
	}
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
	memcpy(mapped.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&mapped, &out), 0);
	assert_true(addr_eq(&out, &want));
	assert_int_equal(addr_to_sockaddr(&none, &ss), 0);
	ss.ss_family = AF_UNIX;
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, &out), ERR_INVAL);
	assert_int_equal(out.family, ADDR_NONE);
}

static void test_cidr(void **state)
{
	static const struct {
		const char *in, *out, *inside, *outside;
	} rows[] = {
		{"10.0.0.0/8", "10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
		{"10.0.0.1", "10.0.0.1/32", "10.0.0.1:99", "10.0.0.2"},
		{"0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", "::1"},
		{"::/0", "::/0", "ffff::", "10.0.0.1"},
		{"172.16.0.0/12", "172.16.0.0/12", "172.31.255.255", "172.32.0.0"},
		{"192.168.1.128/25", "192.168.1.128/25", "192.168.1.129", "192.168.1.127"},
		{"192.168.1.7/32", "192.168.1.7/32", "192.168.1.7", "192.168.1.6"},
		{"fd00::/8", "fd00::/8", "fdff::1", "fc00::1"},
		{"2001:db8::/33", "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
		{"fd00::1", "fd00::1/128", "fd00::1", "fd00::2"},
		{"::ffff:10.0.0.0/104", "10.0.0.0/8", "10.1.1.1", "11.0.0.0"},
	};
	struct cidr c;
	struct addr none = {0};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[ADDR_TEXT];
		struct addr in = addr_of(rows[i].inside), out = addr_of(rows[i].outside);
		assert_int_equal(cidr_parse(str_from(rows[i].in), &c), 0);
		assert_string_equal(cidr_format(&c, text), rows[i].out);
		assert_true(cidr_contains(&c, &in));
		assert_false(cidr_contains(&c, &out));
	}
	assert_int_equal(cidr_parse(STR("0.0.0.0/0"), &c), 0);
	assert_false(cidr_contains(&c, &none));
}

static void test_cidr_bad(void **state)
{
	static const char *const rows[] = {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8",
		"10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8/8", "10.0.0.0:80/8", "10.0.0.0:80",
		"[::1]:80", "[fd00::]/8", "fd00::/129", "fd00::1/64", "::ffff:10.0.0.0/95",
		"::ffff:0:0/90", "10/8", "a/8", "10.0.0.0/8 ", "10.0.0.0/0x8"};
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (cidr_parse(str_from(rows[i]), &c) != ERR_INVAL)
			fail_msg("accepted: %s", rows[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_forms),
		cmocka_unit_test(test_bad_forms),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_equality_and_keys),
		cmocka_unit_test(test_sockaddr_round_trip),
		cmocka_unit_test(test_cidr),
		cmocka_unit_test(test_cidr_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
