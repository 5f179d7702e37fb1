/*
 * Which mTLS mode holds: the scopes of PeerAuthentication, ties, ports, and what is broken. A row
 * is a set of them around one pod, shop/p with the label app: a.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "tests/support/worlds.h"

#define PA(name, ns, meta, spec)                                                                    \
	"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: PeerAuthentication\nmetadata: {name: " name \
	", namespace: " ns meta "}\nspec: {" spec "}\n"
#define APP_A "selector: {matchLabels: {app: a}}, "
#define APP_B "selector: {matchLabels: {app: b}}, "
#define MODE(m) "mtls: {mode: " m "}"

struct row {
	const char *yaml;
	const char *mode;  /* of the pod */
	const char *ports; /* "80 DISABLE 81 STRICT", of the ones listed */
};

static const char *mode_text(Weft__Mesh__V1__MtlsMode mode)
{
	static const char *const words[] = {"UNSET", "STRICT", "PERMISSIVE", "DISABLE"};
	return words[mode];
}

static void check_modes(const Weft__Mesh__V1__State *st, const struct row *row)
{
	char ports[256] = "";
	size_t used = 0;
	const Weft__Mesh__V1__Workload *own = worlds_resource(st, "Workload/shop/p")->workload;
	const Weft__Mesh__V1__Pod *pod = worlds_resource(st, "Pod/shop/p")->pod;
	assert_string_equal(mode_text(own->mtls_mode), row->mode);
	assert_int_equal(pod->endpoint->mtls_mode, own->mtls_mode);
	assert_int_equal(pod->endpoint->n_ports, own->n_ports);
	for (size_t i = 0; i < own->n_ports; i++) {
		used += (size_t)snprintf(ports + used, sizeof(ports) - used, "%s%u %s",
			i > 0 ? " " : "", own->ports[i]->port, mode_text(own->ports[i]->mtls_mode));
		assert_int_equal(pod->endpoint->ports[i]->mtls_mode, own->ports[i]->mtls_mode);
	}
	assert_string_equal(ports, row->ports);
}

static void test_modes(void **state)
{
	static const struct row rows[] = {
		/* nothing said */
		{"", "STRICT", ""},
		/* the three scopes, and that other places do not matter */
		{PA("m", "weft-system", "", MODE("PERMISSIVE")), "PERMISSIVE", ""},
		{PA("n", "shop", "", MODE("DISABLE")), "DISABLE", ""},
		{PA("w", "shop", "", APP_A MODE("DISABLE")), "DISABLE", ""},
		{PA("n", "other", "", MODE("DISABLE")), "STRICT", ""},
		{PA("w", "shop", "", APP_B MODE("DISABLE")), "STRICT", ""},
		{PA("w", "other", "", APP_A MODE("DISABLE")), "STRICT", ""},
		{PA("w", "weft-system", "", APP_A MODE("DISABLE")), "STRICT", ""},
		{PA("n", "shop", "", "selector: {matchLabels: {}}, " MODE("DISABLE")), "DISABLE",
			""},
		/* the narrower wins */
		{PA("m", "weft-system", "", MODE("DISABLE"))
				PA("n", "shop", "", MODE("PERMISSIVE")),
			"PERMISSIVE", ""},
		{PA("n", "shop", "", MODE("DISABLE")) PA("w", "shop", "", APP_A MODE("STRICT")),
			"STRICT", ""},
		{PA("m", "weft-system", "", MODE("STRICT"))
				PA("w", "shop", "", APP_A MODE("DISABLE")),
			"DISABLE", ""},
		/* UNSET, and nothing, take what encloses them */
		{PA("m", "weft-system", "", MODE("PERMISSIVE")) PA("n", "shop", "", MODE("UNSET")),
			"PERMISSIVE", ""},
		{PA("n", "shop", "", MODE("DISABLE"))
				PA("w", "shop", "", "selector: {matchLabels: {app: a}}"),
			"DISABLE", ""},
		{PA("n", "shop", "", MODE("UNSET")), "STRICT", ""},
		/* ports */
		{PA("w", "shop", "",
			 APP_A MODE(
				 "PERMISSIVE") ", portLevelMtls: {81: {mode: STRICT}, 80: {mode: DISABLE}, "
					       "82: {mode: UNSET}}"),
			"PERMISSIVE", "80 DISABLE 81 STRICT 82 PERMISSIVE"},
		{PA("n", "shop", "", MODE("DISABLE")) PA("w", "shop", "",
			 APP_A "portLevelMtls: {80: {mode: PERMISSIVE}}"),
			"DISABLE", "80 PERMISSIVE"},
		{PA("w", "shop", "", APP_B "portLevelMtls: {80: {mode: DISABLE}}"), "STRICT", ""},
		/* broken: STRICT for what it selects, whatever the others say */
		{PA("n", "shop", "", MODE("DISABLE")) PA("w", "shop", "", APP_A MODE("OFF")),
			"STRICT", ""},
		{PA("n", "shop", "", MODE("DISABLE")) PA("w", "shop", "", APP_B MODE("OFF")),
			"DISABLE", ""},
		{PA("w", "shop", "", APP_A "portLevelMtls: {80: {mode: DISABLE}}")
				PA("n", "shop", "", MODE("OFF")),
			"STRICT", ""},
		{PA("n", "shop", "", MODE("DISABLE")) PA("m", "weft-system", "", MODE("OFF")),
			"STRICT", ""},
		{PA("w", "shop", "", APP_A MODE("DISABLE")) PA("n", "other", "", MODE("OFF")),
			"DISABLE", ""},
		/* broken with a selector that cannot be read: its namespace */
		{PA("w", "shop", "", "selector: {matchLabel: {app: b}}, " MODE("DISABLE")),
			"STRICT", ""},
		{PA("n", "shop", "", MODE("DISABLE"))
				PA("w", "shop", "", "selector: {matchLabels: {app: 1}}"),
			"STRICT", ""},
		/* broken with a namespace that cannot be read: everywhere */
		{PA("n", "shop", "", MODE("DISABLE")) PA("w", "Shop", "", MODE("DISABLE")),
			"STRICT", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a;
		char *yaml = mem_printf("%s%s", POD("p", "10.0.0.1", "{app: a}", ""), rows[i].yaml);
		struct world *w = worlds_of(yaml);
		arena_init(&a, NULL);
		check_modes(worlds_state(w, "p", &a), &rows[i]);
		arena_clear(&a);
		world_free(&w);
		mem_free(yaml);
	}
}

/* Of one scope the oldest holds, then the first by name; the others are named. */
static void test_ties(void **state)
{
	static const struct row rows[] = {
		{PA("b", "shop", ", creationTimestamp: 2024-01-01T00:00:00Z", MODE("DISABLE"))
				PA("a", "shop", ", creationTimestamp: 2024-01-02T00:00:00Z",
					MODE("STRICT")),
			"DISABLE",
			"f.yaml:13: warning: PeerAuthentication shop/a: PeerAuthentication shop/b is "
			"of the same scope and older (or first by name): it holds in this one's "
			"place\n"},
		{PA("b", "shop", "", MODE("STRICT")) PA("a", "shop", "", MODE("PERMISSIVE")),
			"PERMISSIVE",
			"f.yaml:8: warning: PeerAuthentication shop/b: PeerAuthentication shop/a is of "
			"the same scope and older (or first by name): it holds in this one's place\n"},
		{PA("b", "shop", "", APP_A MODE("STRICT"))
				PA("a", "shop", "", APP_A MODE("DISABLE")),
			"DISABLE",
			"f.yaml:8: warning: PeerAuthentication shop/b: PeerAuthentication shop/a is of "
			"the same scope and older (or first by name): it holds in this one's place\n"},
		{PA("b", "weft-system", "", MODE("STRICT")) PA("a", "weft-system",
			 ", creationTimestamp: null", MODE("DISABLE")),
			"DISABLE",
			"f.yaml:8: warning: PeerAuthentication weft-system/b: PeerAuthentication "
			"weft-system/a is of the same scope and older (or first by name): it holds in "
			"this one's place\n"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a;
		char *yaml = mem_printf("%s%s", POD("p", "10.0.0.1", "{app: a}", ""), rows[i].yaml);
		struct world *w = worlds_of(yaml);
		arena_init(&a, NULL);
		check_modes(worlds_state(w, "p", &a), &(struct row){"", rows[i].mode, ""});
		worlds_expect(w, rows[i].ports);
		arena_clear(&a);
		world_free(&w);
		mem_free(yaml);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_ties),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
