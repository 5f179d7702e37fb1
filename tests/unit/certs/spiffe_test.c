/*
 * The grammar of SPIFFE IDs, case by case: every rule of SPIFFE-ID sections 2.1 to 2.3 and its
 * limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "certs/spiffe.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

struct good {
	const char *id, *trust_domain, *path, *ns, *sa;
};

static const struct good good[] = {
	{"spiffe://example.org/a", "example.org", "/a", "", ""},
	{"spiffe://td/ns/default/sa/web", "td", "/ns/default/sa/web", "default", "web"},
	{"spiffe://td/ns/a/sa/b.c-d_e", "td", "/ns/a/sa/b.c-d_e", "a", "b.c-d_e"},
	{"spiffe://1.2.3.4/a", "1.2.3.4", "/a", "", ""},
	{"spiffe://a_b-c.d/X/Y", "a_b-c.d", "/X/Y", "", ""},
	{"spiffe://-._/a", "-._", "/a", "", ""},
	{"spiffe://td/...", "td", "/...", "", ""},
	{"spiffe://td/.a/..b/c.", "td", "/.a/..b/c.", "", ""},
	{"spiffe://td/AZaz09-._", "td", "/AZaz09-._", "", ""},
	{"spiffe://td/ns/a/sa/b/c", "td", "/ns/a/sa/b/c", "", ""},
	{"spiffe://td/ns/a/sa", "td", "/ns/a/sa", "", ""},
	{"spiffe://td/NS/a/sa/b", "td", "/NS/a/sa/b", "", ""},
	{"spiffe://td/ns/a/SA/b", "td", "/ns/a/SA/b", "", ""},
	{"spiffe://td/x/ns/a/sa/b", "td", "/x/ns/a/sa/b", "", ""},
};

static void assert_str(struct str got, const char *want)
{
	if (!str_eq(got, str_from(want)))
		fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(got), want);
}

static void accepts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct spiffe_id id;
		const char *why = "?";
		if (spiffe_parse(str_from(good[i].id), false, &id, &why) != 0)
			fail_msg("%s: %s", good[i].id, why);
		assert_null(why);
		assert_str(id.id, good[i].id);
		assert_str(id.trust_domain, good[i].trust_domain);
		assert_str(id.path, good[i].path);
		assert_str(id.ns, good[i].ns);
		assert_str(id.sa, good[i].sa);
	}
}

static const struct str bad[] = {
	STR(""),
	STR("/"),
	STR("td/a"),
	STR("spiffe"),
	STR("spiffe:"),
	STR("spiffe:/"),
	STR("spiffe:/td/a"),
	STR("spiffe://"),
	STR("spiffe:///"),
	STR("spiffe:///a"),
	STR("SPIFFE://td/a"),
	STR("Spiffe://td/a"),
	STR("spiffes://td/a"),
	STR("http://td/a"),
	STR(" spiffe://td/a"),
	STR("spiffe://td/a "),
	STR("spiffe://td"),
	STR("spiffe://td/"),
	STR("spiffe://td//"),
	STR("spiffe://td//a"),
	STR("spiffe://td/a/"),
	STR("spiffe://td/a//b"),
	STR("spiffe://td/."),
	STR("spiffe://td/.."),
	STR("spiffe://td/a/./b"),
	STR("spiffe://td/a/../b"),
	STR("spiffe://td/a/.."),
	STR("spiffe://Td/a"),
	STR("spiffe://TD/a"),
	STR("spiffe://td:8080/a"),
	STR("spiffe://td:/a"),
	STR("spiffe://user@td/a"),
	STR("spiffe://user:pw@td/a"),
	STR("spiffe://@td/a"),
	STR("spiffe://[::1]/a"),
	STR("spiffe://t%64/a"),
	STR("spiffe://t d/a"),
	STR("spiffe://t\xc3\xa4/a"),
	STR("spiffe://td/%61"),
	STR("spiffe://td/a%2fb"),
	STR("spiffe://td/a b"),
	STR("spiffe://td/a\tb"),
	STR("spiffe://td/a\nb"),
	STR("spiffe://td/\xc3\xa4"),
	STR("spiffe://td/a+b"),
	STR("spiffe://td/a~b"),
	STR("spiffe://td/a:b"),
	STR("spiffe://td/a@b"),
	STR("spiffe://td/a*"),
	STR("spiffe://td/a?q=1"),
	STR("spiffe://td/a?"),
	STR("spiffe://td?q"),
	STR("spiffe://td/a#f"),
	STR("spiffe://td#f"),
	STR("spiffe://td/a\\b"),
	STR("spiffe://td\0/a"),
	STR("spiffe://td/a\0"),
	STR("spiffe://td/a\0b"),
	STR("\0spiffe://td/a"),
};

static void refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct spiffe_id id;
		const char *why = NULL;
		if (spiffe_parse(bad[i], false, &id, &why) != ERR_INVAL)
			fail_msg("accepted: \"%.*s\"", STR_ARG(bad[i]));
		assert_non_null(why);
		assert_int_equal(id.id.n, 0);
		assert_int_equal(spiffe_parse(bad[i], false, &id, NULL), ERR_INVAL);
	}
}

static void trust_domain_alone_is_for_cas(void **state)
{
	(void)state;
	struct spiffe_id id;
	assert_int_equal(spiffe_parse(STR("spiffe://td"), true, &id, NULL), 0);
	assert_str(id.trust_domain, "td");
	assert_str(id.path, "");
	assert_int_equal(spiffe_parse(STR("spiffe://td/"), true, &id, NULL), ERR_INVAL);
	assert_int_equal(spiffe_parse(STR("spiffe://"), true, &id, NULL), ERR_INVAL);
	assert_int_equal(spiffe_parse(STR("spiffe://td/a"), true, &id, NULL), 0);
}

/* spiffe://<td of td_n bytes>/<path to total n> */
static struct str long_id(size_t td_n, size_t n)
{
	char *p = mem_alloc(n + 1);
	memcpy(p, "spiffe://", 9);
	memset(p + 9, 'a', n - 9);
	if (9 + td_n < n)
		p[9 + td_n] = '/';
	return str_make(p, n);
}

static int parse_long(size_t td_n, size_t n)
{
	struct spiffe_id id;
	struct str s = long_id(td_n, n);
	int err = spiffe_parse(s, false, &id, NULL);
	mem_free((void *)(uintptr_t)s.p);
	return err;
}

static void limits(void **state)
{
	(void)state;
	assert_int_equal(parse_long(2, SPIFFE_ID_MAX), 0);
	assert_int_equal(parse_long(2, SPIFFE_ID_MAX + 1), ERR_INVAL);
	assert_int_equal(parse_long(SPIFFE_TD_MAX, 400), 0);
	assert_int_equal(parse_long(SPIFFE_TD_MAX + 1, 400), ERR_INVAL);
	assert_int_equal(parse_long(SPIFFE_TD_MAX, SPIFFE_ID_MAX), 0);
	assert_int_equal(parse_long(2, 1 << 20), ERR_INVAL);
}

static void trust_domains(void **state)
{
	(void)state;
	assert_true(spiffe_td_valid(STR("example.org")));
	assert_true(spiffe_td_valid(STR("a")));
	assert_true(spiffe_td_valid(STR("_.-9")));
	assert_false(spiffe_td_valid(STR_NULL));
	assert_false(spiffe_td_valid(STR("Example")));
	assert_false(spiffe_td_valid(STR("a/b")));
	assert_false(spiffe_td_valid(STR("a\0")));
	assert_false(spiffe_td_valid(STR("spiffe://a")));
}

static void formats(void **state)
{
	(void)state;
	char dst[64];
	struct spiffe_id id;
	assert_int_equal(spiffe_format(dst, sizeof(dst), STR("td"), STR("ns-1"), STR("a.b")), 0);
	assert_string_equal(dst, "spiffe://td/ns/ns-1/sa/a.b");
	assert_int_equal(spiffe_parse(str_from(dst), false, &id, NULL), 0);
	assert_str(id.sa, "a.b");
	assert_int_equal(spiffe_format(dst, 22, STR("td"), STR("a"), STR("bc")), ERR_LIMIT);
	assert_string_equal(dst, "");
	assert_int_equal(spiffe_format(dst, 23, STR("td"), STR("a"), STR("bc")), 0);
	assert_int_equal(spiffe_format(dst, 0, STR("td"), STR("a"), STR("b")), ERR_LIMIT);
}

static void format_refuses(void **state)
{
	(void)state;
	static const struct str labels[] = {STR_NULL, STR("A"), STR("-a"), STR("a-"), STR("a_b"),
		STR("a/b"), STR("a b"), STR("a\0b"), STR(".."), STR("a..b"), STR(".a"), STR("a.")};
	char dst[512], a[254];
	memset(a, 'a', sizeof(a));
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		assert_int_equal(spiffe_format(dst, sizeof(dst), STR("td"), labels[i], STR("b")),
			ERR_INVAL);
		assert_int_equal(spiffe_format(dst, sizeof(dst), STR("td"), STR("a"), labels[i]),
			ERR_INVAL);
	}
	assert_int_equal(spiffe_format(dst, sizeof(dst), STR("td"), STR("a.b"), STR("b")),
		ERR_INVAL);
	assert_int_equal(spiffe_format(dst, sizeof(dst), STR("t"), str_make(a, 63),
				 str_make(a, 253)),
		0);
	assert_int_equal(spiffe_format(dst, sizeof(dst), STR("t"), str_make(a, 64), STR("b")),
		ERR_INVAL);
	assert_int_equal(spiffe_format(dst, sizeof(dst), STR("t"), STR("a"), str_make(a, 254)),
		ERR_INVAL);
	assert_int_equal(spiffe_format(dst, sizeof(dst), STR("T"), STR("a"), STR("b")), ERR_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(trust_domain_alone_is_for_cas),
		cmocka_unit_test(limits),
		cmocka_unit_test(trust_domains),
		cmocka_unit_test(formats),
		cmocka_unit_test(format_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
