/*
 * Which connections are older than the rules, from lists of sockets as the kernel would give them;
 * and the frames that the probe makes by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sidecar/capture/older.h"
#include "sidecar/capture/probe_frame.h"

enum { SIDECAR = 1337, APP = 1000 };

/* One socket of a list. */
struct row {
	const char *local, *peer; /* peer NULL: listening */
	uint32_t uid;
	const char *iface;
};

static struct addr at(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(str_from(text), &a), 0);
	return a;
}

/* Which rows are older, as letters: "bd" for the second and the fourth. */
static const char *older(const struct capture_config *cfg, const struct row *rows, size_t n)
{
	static char letters[32];
	struct tcp_socket v[26];
	struct tcp_sockets all = {.v = v, .n = n};
	struct rules_by_family rules = {.n = 2};
	const char *names[26];
	size_t which[26];

	memset(v, 0, sizeof(v));
	for (size_t i = 0; i < n; i++) {
		v[i].local = at(rows[i].local);
		v[i].listening = rows[i].peer == NULL;
		if (rows[i].peer != NULL)
			v[i].peer = at(rows[i].peer);
		v[i].uid = rows[i].uid;
		names[i] = rows[i].iface != NULL ? rows[i].iface : "eth0";
	}
	ruleset_build(&rules.v[0], cfg, ADDR_V4);
	ruleset_build(&rules.v[1], cfg, ADDR_V6);
	size_t found = older_find(&rules, &all, names, which);
	for (size_t i = 0; i < found; i++)
		letters[i] = (char)('a' + which[i]);
	letters[found] = '\0';
	ruleset_clear(&rules.v[0]);
	ruleset_clear(&rules.v[1]);
	return letters;
}
#define OLDER(cfg, rows) older((cfg), (rows), sizeof(rows) / sizeof((rows)[0]))

static struct capture_config config(void)
{
	struct capture_config cfg = {.inbound_port = 15006,
		.outbound_port = 15001,
		.proxy_uid = SIDECAR,
		.proxy_gid = SIDECAR};
	char why[CAPTURE_TROUBLE];

	port_list_parse(STR("15020,15021"), &cfg.own_ports, why);
	return cfg;
}

static void test_plain_connections_are_older(void **state)
{
	struct capture_config cfg = config();
	const struct row rows[] = {
		{"0.0.0.0:80", NULL, APP, NULL},
		{"10.0.0.2:80", "10.0.0.9:41000", APP, NULL},    /* b: accepted */
		{"10.0.0.2:42000", "10.0.0.9:443", APP, NULL},   /* c: dialled */
		{"[fd00::2]:42000", "[fd00::9]:443", APP, NULL}, /* d */
		{"127.0.0.1:80", "127.0.0.1:43000", APP, NULL},
		{"[::1]:80", "[::1]:43000", APP, NULL},
	};

	(void)state;
	assert_string_equal(OLDER(&cfg, rows), "bcd");
}

static void test_captured_connections_are_not(void **state)
{
	struct capture_config cfg = config();
	const struct row rows[] = {
		{"0.0.0.0:15001", NULL, SIDECAR, NULL},
		{"0.0.0.0:15006", NULL, SIDECAR, NULL},
		{"0.0.0.0:80", NULL, APP, NULL},
		/* outbound: the application's end and the sidecar's, then the sidecar's own call */
		{"10.0.0.2:42000", "10.0.0.9:80", APP, NULL},
		{"127.0.0.1:15001", "10.0.0.2:42000", SIDECAR, NULL},
		{"10.0.0.2:42001", "10.0.0.9:80", SIDECAR, NULL},
		/* inbound: from outside, and both ends of the way to the application */
		{"10.0.0.2:15006", "10.0.0.8:50000", SIDECAR, NULL},
		{"10.0.0.2:42002", "10.0.0.2:80", SIDECAR, NULL},
		{"10.0.0.2:80", "10.0.0.2:42002", APP, NULL},
		/* a handshake at the listener has no owner yet */
		{"10.0.0.2:15006", "10.0.0.8:50001", 0, NULL},
	};

	(void)state;
	assert_string_equal(OLDER(&cfg, rows), "");
}

static void test_what_the_rules_leave_alone_is_left_alone(void **state)
{
	struct capture_config cfg = config();
	char why[CAPTURE_TROUBLE];
	const struct row rows[] = {
		{"0.0.0.0:22", NULL, 0, NULL},
		{"10.0.0.2:22", "10.0.0.9:41000", 0, NULL},
		{"10.0.0.2:42000", "10.0.0.9:5432", APP, NULL},
		{"10.0.0.2:42001", "10.1.0.9:443", APP, NULL},
		{"172.17.0.1:42002", "172.17.0.2:80", APP, "docker0"},
		{"10.0.0.2:42003", "10.0.0.9:22", APP, NULL}, /* f: excluded inbound only */
		{"0.0.0.0:15021", NULL, SIDECAR, NULL},
		{"10.0.0.2:15021", "10.0.0.9:41000", SIDECAR, NULL},
	};

	(void)state;
	port_list_parse(STR("22"), &cfg.exclude_inbound_ports, why);
	port_list_parse(STR("5432"), &cfg.exclude_outbound_ports, why);
	cidr_list_parse(STR("10.1.0.0/16"), &cfg.exclude_outbound_cidrs, why);
	iface_list_parse(STR("docker0"), &cfg.exclude_interfaces, why);
	assert_string_equal(OLDER(&cfg, rows), "f");
}

/* A program that calls its pod's own address: both ends are here, and the rules would have captured
 * the call. */
static void test_calls_of_the_pod_to_itself(void **state)
{
	struct capture_config cfg = config();
	const struct row rows[] = {
		{"0.0.0.0:80", NULL, APP, NULL},
		{"10.0.0.2:42000", "10.0.0.2:80", APP, NULL},
		{"10.0.0.2:80", "10.0.0.2:42000", APP, NULL},
	};

	(void)state;
	assert_string_equal(OLDER(&cfg, rows), "bc");
}

static void test_frames(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
	uint8_t bytes[FRAME_MAX];
	struct frame_tcp got,
		t = {.src = at("192.0.2.254:40000"),
			.dst = at("192.0.2.253:80"),
			.seq = 0xfffefdfc,
			.ack = 0x01020304,
			.flags = FRAME_SYN | FRAME_ACK};

	(void)state;
	size_t n = frame_build(&t, mac, bytes);
	assert_int_equal(n, 54);
	assert_memory_equal(bytes, mac, 6);
	assert_true(frame_parse(bytes, n, &got));
	assert_true(addr_eq(&got.src, &t.src) && addr_eq(&got.dst, &t.dst));
	assert_true(got.seq == t.seq && got.ack == t.ack && got.flags == t.flags);
	t.src = at("[2001:db8::2]:40000");
	t.dst = at("[2001:db8::1]:80");
	n = frame_build(&t, mac, bytes);
	assert_int_equal(n, 74);
	assert_true(frame_parse(bytes, n, &got));
	assert_true(addr_eq(&got.src, &t.src) && addr_eq(&got.dst, &t.dst));
	for (size_t cut = 0; cut < n; cut++)
		assert_false(frame_parse(bytes, cut, &got));
	bytes[20] = 17; /* UDP */
	assert_false(frame_parse(bytes, n, &got));
}

/* A header and its checksum add up to all ones (RFC 1071): worked example of a SYN. */
static void test_frame_checksums(void **state)
{
	static const uint8_t mac[6] = {0};
	uint8_t bytes[FRAME_MAX];
	struct frame_tcp t = {.src = at("192.0.2.254:40000"),
		.dst = at("192.0.2.253:80"),
		.seq = 1,
		.flags = FRAME_SYN};
	uint32_t sum = 0;

	(void)state;
	frame_build(&t, mac, bytes);
	for (size_t i = 14; i < 34; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
	sum = 6 + 20; /* the pseudo header */
	for (size_t i = 26; i < 54; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_connections_are_older),
		cmocka_unit_test(test_captured_connections_are_not),
		cmocka_unit_test(test_what_the_rules_leave_alone_is_left_alone),
		cmocka_unit_test(test_calls_of_the_pod_to_itself),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_frame_checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
