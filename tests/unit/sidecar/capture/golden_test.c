/*
 * Configuration to rules, compared with the files in tests/golden/capture: one per case, family and
 * language. The tests run at the repository's root. With WEFT_GOLDEN_WRITE set the files are
 * written instead; read the difference before committing it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "sidecar/capture/text.h"

/* A configuration as its flags; NULL is empty. */
struct golden_case {
	const char *name, *own_ports, *exclude_in, *exclude_out, *include_cidrs, *exclude_cidrs,
		*ifaces;
	uint16_t inbound, outbound;
	uint32_t uid, gid;
	bool udp_deny;
};

static const struct golden_case cases[] = {
	{.name = "default",
		.own_ports = "15020,15021",
		.inbound = 15006,
		.outbound = 15001,
		.uid = 1337,
		.gid = 1337},
	{.name = "excluded",
		.own_ports = "15020,15021",
		.exclude_in = "22,9000-9010",
		.exclude_out = "5432,3306",
		.exclude_cidrs = "169.254.169.254,10.0.0.0/8,fd00:1::/32",
		.ifaces = "docker0,virbr+",
		.inbound = 15006,
		.outbound = 15001,
		.uid = 1337,
		.gid = 1337},
	{.name = "included",
		.own_ports = "15020,15021",
		.include_cidrs = "10.0.0.0/8,172.16.0.0/12,fd00::/8",
		.exclude_cidrs = "10.1.0.0/16",
		.inbound = 15006,
		.outbound = 15001,
		.uid = 1337,
		.gid = 1337},
	{.name = "udp_deny",
		.own_ports = "15020,15021",
		.exclude_out = "123,4500",
		.udp_deny = true,
		.inbound = 15006,
		.outbound = 15001,
		.uid = 1337,
		.gid = 1337},
	{.name = "many_ports",
		.own_ports = "16021",
		.exclude_in =
			"1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33-34,36-37,39-40,42-43,45-46,48-49,51-52,54-55",
		.inbound = 16006,
		.outbound = 16001,
		.uid = 2102,
		.gid = 2103},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static struct str text_of(const char *z)
{
	return str_from(z != NULL ? z : "");
}

static void config_of(const struct golden_case *g, struct capture_config *cfg)
{
	char why[CAPTURE_TROUBLE];

	*cfg = (struct capture_config){.inbound_port = g->inbound,
		.outbound_port = g->outbound,
		.proxy_uid = g->uid,
		.proxy_gid = g->gid,
		.udp_deny = g->udp_deny};
	assert_int_equal(port_list_parse(text_of(g->own_ports), &cfg->own_ports, why), 0);
	assert_int_equal(port_list_parse(text_of(g->exclude_in), &cfg->exclude_inbound_ports, why),
		0);
	assert_int_equal(port_list_parse(text_of(g->exclude_out), &cfg->exclude_outbound_ports,
				 why),
		0);
	assert_int_equal(cidr_list_parse(text_of(g->include_cidrs), &cfg->include_outbound_cidrs,
				 why),
		0);
	assert_int_equal(cidr_list_parse(text_of(g->exclude_cidrs), &cfg->exclude_outbound_cidrs,
				 why),
		0);
	assert_int_equal(iface_list_parse(text_of(g->ifaces), &cfg->exclude_interfaces, why), 0);
	assert_int_equal(capture_config_check(cfg, why), 0);
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 65536);

	if (f == NULL)
		fail_msg("%s is not there: run at the repository's root", path);
	size_t n = fread(text, 1, 65535, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

typedef void print_fn(const struct ruleset *rs, FILE *out);

static void compare(const struct golden_case *g, enum addr_family family, const char *language,
	print_fn *print)
{
	struct capture_config cfg;
	struct ruleset rs;
	char path[200], *text, *want;
	size_t n;

	config_of(g, &cfg);
	ruleset_build(&rs, &cfg, family);
	FILE *out = open_memstream(&text, &n);
	print(&rs, out);
	fclose(out);
	snprintf(path, sizeof(path), "tests/golden/capture/%s.%s.%s.rules", g->name,
		family == ADDR_V4 ? "ipv4" : "ipv6", language);
	if (getenv("WEFT_GOLDEN_WRITE") != NULL) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fputs(text, f);
		fclose(f);
	}
	want = read_file(path);
	assert_string_equal(text, want);
	free(want);
	free(text);
	ruleset_clear(&rs);
}

static void test_iptables(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		compare(&cases[i], ADDR_V4, "iptables", text_ipt_print);
		compare(&cases[i], ADDR_V6, "iptables", text_ipt_print);
	}
}

static void test_nft(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		compare(&cases[i], ADDR_V4, "nft", text_nft_table);
		compare(&cases[i], ADDR_V6, "nft", text_nft_table);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iptables),
		cmocka_unit_test(test_nft),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
