/*
 * Flags to configuration, and what the rules say about a connection: who is captured, who is not,
 * and that nothing goes round in circles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"
#include "sidecar/capture/rules.h"

static struct addr at(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(str_from(text), &a), 0);
	return a;
}

static struct capture_config plain_config(void)
{
	struct capture_config cfg = {.inbound_port = 15006,
		.outbound_port = 15001,
		.proxy_uid = 1337,
		.proxy_gid = 1337};
	char why[CAPTURE_TROUBLE];

	assert_int_equal(port_list_parse(STR("15020,15021"), &cfg.own_ports, why), 0);
	return cfg;
}

static enum rule_action verdict(const struct capture_config *cfg, enum rule_chain chain,
	struct packet p)
{
	struct ruleset rs;

	ruleset_build(&rs, cfg, (enum addr_family)p.dst.family);
	enum rule_action action = ruleset_verdict(&rs, chain, &p);
	ruleset_clear(&rs);
	return action;
}

static enum rule_action out(const struct capture_config *cfg, uint32_t uid, uint32_t gid,
	const char *dst)
{
	struct addr to = at(dst);
	struct packet p = {
		.src = to.family == ADDR_V4 ? at("10.9.0.2:40000") : at("[fd09::2]:40000"),
		.dst = to,
		.uid = uid,
		.gid = gid,
		.iface = "eth0"};

	return verdict(cfg, CHAIN_OUT, p);
}

static enum rule_action in(const struct capture_config *cfg, const char *iface, const char *dst)
{
	struct addr to = at(dst);
	struct packet p = {
		.src = to.family == ADDR_V4 ? at("10.9.0.9:40000") : at("[fd09::9]:40000"),
		.dst = to,
		.iface = iface};

	return verdict(cfg, CHAIN_IN, p);
}

static void test_outbound(void **state)
{
	struct capture_config cfg = plain_config();

	(void)state;
	assert_int_equal(out(&cfg, 1000, 1000, "10.9.0.3:80"), DO_REDIRECT);
	assert_int_equal(out(&cfg, 0, 0, "[fd09::3]:80"), DO_REDIRECT);
	/* the pod itself by its own address: captured, so that policy holds */
	assert_int_equal(out(&cfg, 1000, 1000, "10.9.0.2:80"), DO_REDIRECT);
	/* the sidecar, by user or by group: also to the pod's own address, so that there is no loop
	 */
	assert_int_equal(out(&cfg, 1337, 0, "10.9.0.2:80"), DO_RETURN);
	assert_int_equal(out(&cfg, 0, 1337, "10.9.0.3:80"), DO_RETURN);
	assert_int_equal(out(&cfg, 1000, 1000, "127.0.0.1:80"), DO_RETURN);
	assert_int_equal(out(&cfg, 1000, 1000, "127.8.8.8:80"), DO_RETURN);
	assert_int_equal(out(&cfg, 1000, 1000, "[::1]:80"), DO_RETURN);
}

static void test_inbound(void **state)
{
	struct capture_config cfg = plain_config();

	(void)state;
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:80"), DO_REDIRECT);
	assert_int_equal(in(&cfg, "eth0", "[fd09::2]:80"), DO_REDIRECT);
	/* metrics and health are for others; every other port of ours comes to the inbound
	 * listener, which refuses it */
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:15020"), DO_RETURN);
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:15021"), DO_RETURN);
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:15000"), DO_REDIRECT);
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:15001"), DO_REDIRECT);
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:15006"), DO_REDIRECT);
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:15053"), DO_REDIRECT);
}

static void test_exclusions(void **state)
{
	struct capture_config cfg = plain_config();
	char why[CAPTURE_TROUBLE];

	(void)state;
	assert_int_equal(port_list_parse(STR("22, 9000-9010"), &cfg.exclude_inbound_ports, why), 0);
	assert_int_equal(port_list_parse(STR("5432"), &cfg.exclude_outbound_ports, why), 0);
	assert_int_equal(cidr_list_parse(STR("10.1.0.0/16,fd01::/16"), &cfg.exclude_outbound_cidrs,
				 why),
		0);
	assert_int_equal(iface_list_parse(STR("docker0,virbr+"), &cfg.exclude_interfaces, why), 0);
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:22"), DO_RETURN);
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:9010"), DO_RETURN);
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:9011"), DO_REDIRECT);
	assert_int_equal(in(&cfg, "docker0", "10.9.0.2:80"), DO_RETURN);
	assert_int_equal(in(&cfg, "virbr7", "10.9.0.2:80"), DO_RETURN);
	assert_int_equal(in(&cfg, "docker01", "10.9.0.2:80"), DO_REDIRECT);
	assert_int_equal(out(&cfg, 1, 1, "10.9.0.3:5432"), DO_RETURN);
	assert_int_equal(out(&cfg, 1, 1, "10.1.2.3:80"), DO_RETURN);
	assert_int_equal(out(&cfg, 1, 1, "[fd01::1]:80"), DO_RETURN);
	assert_int_equal(out(&cfg, 1, 1, "[fd02::1]:80"), DO_REDIRECT);
	/* excluded ports are excluded one way */
	assert_int_equal(in(&cfg, "eth0", "10.9.0.2:5432"), DO_REDIRECT);
	assert_int_equal(out(&cfg, 1, 1, "10.9.0.3:22"), DO_REDIRECT);
}

static void test_inclusions(void **state)
{
	struct capture_config cfg = plain_config();
	char why[CAPTURE_TROUBLE];

	(void)state;
	assert_int_equal(cidr_list_parse(STR("10.0.0.0/8"), &cfg.include_outbound_cidrs, why), 0);
	assert_int_equal(cidr_list_parse(STR("10.1.0.0/16"), &cfg.exclude_outbound_cidrs, why), 0);
	assert_int_equal(out(&cfg, 1, 1, "10.9.0.3:80"), DO_REDIRECT);
	assert_int_equal(out(&cfg, 1, 1, "10.1.0.3:80"), DO_RETURN);
	assert_int_equal(out(&cfg, 1, 1, "192.168.0.1:80"), DO_RETURN);
	/* no block of the family is in the list: none of it is captured */
	assert_int_equal(out(&cfg, 1, 1, "[fd02::1]:80"), DO_RETURN);
	/* what comes in is captured in any case */
	assert_int_equal(in(&cfg, "eth0", "192.168.0.1:80"), DO_REDIRECT);
}

static void test_chains_follow_udp(void **state)
{
	struct capture_config cfg = plain_config();
	struct ruleset rs;

	(void)state;
	ruleset_build(&rs, &cfg, ADDR_V4);
	assert_true(ruleset_has_chain(&rs, CHAIN_IN));
	assert_true(ruleset_has_chain(&rs, CHAIN_INVALID_OUT));
	assert_false(ruleset_has_chain(&rs, CHAIN_UDP_OUT));
	ruleset_clear(&rs);
	cfg.udp_deny = true;
	ruleset_build(&rs, &cfg, ADDR_V6);
	assert_true(ruleset_has_chain(&rs, CHAIN_UDP_IN));
	assert_true(ruleset_has_chain(&rs, CHAIN_UDP_OUT));
	ruleset_clear(&rs);
}

static void test_ports_parse(void **state)
{
	struct port_list l;
	char why[CAPTURE_TROUBLE];
	const char *const bad[] = {"0", "65536", "80,", ",80", "a", "80-", "-80", "90-80",
		"80-90-100", "80 90", "+80", "1-65536"};

	(void)state;
	assert_int_equal(port_list_parse(STR(""), &l, why), 0);
	assert_int_equal(l.n, 0);
	/* sorted, joined where they touch or overlap */
	assert_int_equal(port_list_parse(STR("90,80-85,86,84-88,65535,1"), &l, why), 0);
	assert_int_equal(l.n, 4);
	assert_int_equal(l.v[1].lo, 80);
	assert_int_equal(l.v[1].hi, 88);
	assert_int_equal(l.v[3].lo, 65535);
	assert_true(port_list_has(&l, 88));
	assert_false(port_list_has(&l, 89));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(port_list_parse(str_from(bad[i]), &l, why), ERR_INVAL);
		assert_non_null(strstr(why, "is not a port or range"));
	}
	char many[400] = "1";
	for (int i = 0; i < 64; i++)
		strcat(many, ",7");
	assert_int_equal(port_list_parse(str_from(many), &l, why), ERR_LIMIT);
}

static void test_cidrs_and_interfaces_parse(void **state)
{
	struct cidr_list c;
	struct iface_list f;
	char why[CAPTURE_TROUBLE];
	const char *const bad_names[] = {"", "-eth0", "+", "a b", "eth0;drop", "\"x\"", "eth*",
		"averyveryverylongname", "a/b", "e+0"};

	(void)state;
	assert_int_equal(cidr_list_parse(STR("10.0.0.0/8, ::/0"), &c, why), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(cidr_list_parse(STR("10.0.0.1/8"), &c, why), ERR_INVAL);
	assert_non_null(strstr(why, "\"10.0.0.1/8\" is not a CIDR block"));
	assert_int_equal(iface_list_parse(STR("eth0,wg+"), &f, why), 0);
	assert_string_equal(f.v[1], "wg+");
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
		char two[60];
		snprintf(two, sizeof(two), "eth0,%s", bad_names[i]);
		assert_int_equal(iface_list_parse(str_from(two), &f, why), ERR_INVAL);
	}
}

static void test_config_check(void **state)
{
	struct capture_config cfg = plain_config();
	char why[CAPTURE_TROUBLE];

	(void)state;
	assert_int_equal(capture_config_check(&cfg, why), 0);
	port_list_parse(STR("15000-15010"), &cfg.exclude_inbound_ports, why);
	assert_int_equal(capture_config_check(&cfg, why), ERR_INVAL);
	assert_non_null(strstr(why, "15006"));
	cfg = plain_config();
	iface_list_parse(STR("l+"), &cfg.exclude_interfaces, why);
	assert_int_equal(capture_config_check(&cfg, why), ERR_INVAL);
	cfg = plain_config();
	cfg.outbound_port = cfg.inbound_port;
	assert_int_equal(capture_config_check(&cfg, why), ERR_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outbound),
		cmocka_unit_test(test_inbound),
		cmocka_unit_test(test_exclusions),
		cmocka_unit_test(test_inclusions),
		cmocka_unit_test(test_chains_follow_udp),
		cmocka_unit_test(test_ports_parse),
		cmocka_unit_test(test_cidrs_and_interfaces_parse),
		cmocka_unit_test(test_config_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
