/*
 * What stays in force when a source goes wrong: readings one after the other, each of some files,
 * and what is in force and said after the last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrlplane/compile/world_internal.h"
#include "lib/base/alloc.h"
#include "tests/support/worlds.h"

#define READINGS 4
#define FILES 3

/* One file of a reading; bytes NULL: it cannot be read. name NULL: no more files. */
struct file {
	const char *name, *bytes;
};

struct row {
	struct file readings[READINGS][FILES];
	const char *holds; /* "Service shop/a 10.0.0.1; ..." */
	const char *said;  /* part of the problems */
	bool incomplete;
};

static struct world *read_files(struct good *g, const struct file *files)
{
	struct world *w = world_new();
	world_remember(w, g);
	for (size_t i = 0; i < FILES && files[i].name != NULL; i++) {
		if (files[i].bytes == NULL)
			world_unread(w, files[i].name, "Permission denied");
		else
			world_add(w, files[i].name, str_from(files[i].bytes));
	}
	world_join(w);
	return w;
}

static void add(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void add(char *dst, size_t size, const char *fmt, ...)
{
	size_t used = strlen(dst);
	va_list args;
	va_start(args, fmt);
	vsnprintf(dst + used, size - used, fmt, args);
	va_end(args);
}

static const char *addr_text(const struct addr *v, size_t n, char dst[ADDR_TEXT])
{
	return n > 0 ? addr_format_ip(v, dst) : "-";
}

static const char *mode_text(const struct peer_auth *pa)
{
	if (pa->broken)
		return "broken";
	return pa->mode == WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE ? "permissive"
									   : "strict";
}

static void describe(const struct world *w, char *dst, size_t size)
{
	char ip[ADDR_TEXT];
	dst[0] = '\0';
	for (size_t i = 0; i < w->services.n; i++) {
		const struct kube_service *s = w->services.v[i];
		add(dst, size, "%.*s %s; ", STR_ARG(s->meta.name),
			addr_text(s->vips, s->n_vips, ip));
	}
	for (size_t i = 0; i < w->pods.n; i++) {
		const struct kube_pod *p = w->pods.v[i];
		add(dst, size, "%.*s %s; ", STR_ARG(p->meta.name),
			addr_text(p->addrs, p->n_addrs, ip));
	}
	for (size_t i = 0; i < w->authz.n; i++) {
		const struct authz *p = w->authz.v[i];
		add(dst, size, "%.*s %s; ", STR_ARG(p->meta.name),
			*p->policy.broken != '\0' ? "broken"
				: p->policy.action ==
					WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__DENY
				? "deny"
				: "allow");
	}
	for (size_t i = 0; i < w->peer_auths.n; i++) {
		const struct peer_auth *pa = w->peer_auths.v[i];
		add(dst, size, "%.*s %s; ", STR_ARG(pa->meta.name), mode_text(pa));
	}
	add(dst, size, "%s", w->config.mesh.trust_domain);
}

static void check(const struct row *row)
{
	char text[2048];
	struct good *g = good_new();
	struct world *w = NULL;
	for (size_t i = 0; i < READINGS && (i == 0 || row->readings[i][0].name != NULL); i++) {
		world_free(&w);
		w = read_files(g, row->readings[i]);
	}
	describe(w, text, sizeof(text));
	char *said = worlds_said(w);
	if (strcmp(text, row->holds) != 0 || strstr(said, row->said) == NULL ||
		(row->said[0] == '\0' && said[0] != '\0') || world_complete(w) == row->incomplete)
		fail_msg("row of %s: holds\n%s\nwanted\n%s\nsaid\n%s(complete %d)", row->said, text,
			row->holds, said, world_complete(w));
	mem_free(said);
	world_free(&w);
	good_free(&g);
}

static void run(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check(&rows[i]);
}
#define RUN(rows) run(rows, sizeof(rows) / sizeof((rows)[0]))

#define SVC(name, ip)                                                                       \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: shop}\n" \
	"spec: {clusterIP: " ip ", selector: {app: x}}\n"
#define BAD_SVC(name) SVC(name, "nowhere")
#define POLICY(name, spec)                                                     \
	"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\n" \
	"metadata: {name: " name ", namespace: shop}\nspec: {" spec "}\n"
#define DENY(name) POLICY(name, "action: DENY, rules: [{}]")
#define ALLOW(name) POLICY(name, "rules: [{}]")
#define BAD_POLICY(name) POLICY(name, "action: DENY, rulez: [{}]")
#define AUTH(name, mode)                                                      \
	"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: PeerAuthentication\n" \
	"metadata: {name: " name ", namespace: shop}\nspec: {mtls: {mode: " mode "}}\n"
#define CONFIG(name, domain)                                          \
	"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: MeshConfig\n" \
	"metadata: {name: " name "}\nspec: {trustDomain: " domain "}\n"
#define PODX(name, uid, ip)                                                                     \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: shop, uid: " uid \
	"}\nspec: {containers: [{name: weft-sidecar}]}\nstatus: {podIP: " ip "}\n"
#define NO_YAML "a: [\n"
#define KEPT "refused as it is now: what it was before stays in force"

/* An object that does not validate any more. */
static void test_objects(void **state)
{
	static const struct row rows[] = {
		{{{{"f", SVC("a", "10.0.0.1")}}}, "a 10.0.0.1; cluster.local", "", false},
		/* broken from the start: left out, or a denial */
		{{{{"f", BAD_SVC("a") DENY("d")}}}, "d deny; cluster.local",
			"f:5: Service shop/a: spec.clusterIP: expected an IP address, found "
			"\"nowhere\"\n",
			false},
		{{{{"f", BAD_POLICY("d")}}}, "d broken; cluster.local",
			"AuthorizationPolicy shop/d: spec.rulez: unknown field", false},
		/* broken later: as it was, wherever it stands now */
		{{{{"f", SVC("a", "10.0.0.1")}}, {{"f", BAD_SVC("a") SVC("b", "10.0.0.2")}}},
			"a 10.0.0.1; b 10.0.0.2; cluster.local",
			"f:2: warning: Service shop/a: " KEPT "\n", false},
		{{{{"f", SVC("a", "10.0.0.1")}}, {{"g", "\n" BAD_SVC("a")}}},
			"a 10.0.0.1; cluster.local", "g:3: warning: Service shop/a: " KEPT, false},
		{{{{"f", DENY("d")}}, {{"f", BAD_POLICY("d")}}}, "d deny; cluster.local", KEPT,
			false},
		{{{{"f", AUTH("p", "PERMISSIVE")}}, {{"f", AUTH("p", "permissive")}}},
			"p permissive; cluster.local", KEPT, false},
		{{{{"f", CONFIG("m", "a.example")}}, {{"f", CONFIG("m", "A/b")}}}, "a.example",
			KEPT, false},
		/* again and again, until it is mended or gone */
		{{{{"f", DENY("d")}}, {{"f", BAD_POLICY("d")}}, {{"f", "\n" BAD_POLICY("d")}}},
			"d deny; cluster.local", KEPT, false},
		{{{{"f", DENY("d")}}, {{"f", BAD_POLICY("d")}}, {{"f", ALLOW("d")}}},
			"d allow; cluster.local", "", false},
		{{{{"f", DENY("d")}}, {{"f", BAD_POLICY("d")}}, {{"f", ""}}}, "cluster.local", "",
			false},
		{{{{"f", DENY("d")}}, {{"f", ""}}, {{"f", BAD_POLICY("d")}}},
			"d broken; cluster.local", "rulez", false},
		/* another version of our API is no version of it */
		{{{{"f", DENY("d")}},
			 {{"f",
				 "apiVersion: mesh.weft.dev/v1\nkind: AuthorizationPolicy\n"
				 "metadata: {name: d, namespace: shop}\n"}}},
			"d deny; cluster.local", KEPT, false},
		/* under another name it is another one: broken, and the old one deleted */
		{{{{"f", DENY("d")}}, {{"f", BAD_POLICY("e")}}}, "e broken; cluster.local", "rulez",
			false},
		{{{{"f", SVC("a", "10.0.0.1")}}, {{"f", BAD_SVC("b")}}}, "cluster.local",
			"Service shop/b", false},
	};
	(void)state;
	RUN(rows);
}

/* A name that cannot be read may be that of what is missing. */
static void test_nameless(void **state)
{
	static const struct row rows[] = {
		{{{{"f", DENY("d") SVC("a", "10.0.0.1")}}, {{"f", DENY("D_x")}}},
			"a 10.0.0.1; d deny; cluster.local",
			"f: warning: objects of it that stay in force as they were: 2", false},
		{{{{"f", DENY("d")}}, {{"f", DENY("d") DENY("D_x")}}},
			"d deny; line-7 broken; cluster.local", "metadata.name: not a name", false},
		{{{{"f", AUTH("p", "PERMISSIVE")}}, {{"f", AUTH("P_", "STRICT")}}},
			"p permissive; cluster.local", "not a name", false},
		/* deleted in another file, which was read */
		{{{{"f", DENY("d")}, {"g", DENY("e")}}, {{"f", ""}, {"g", DENY("E_")}}},
			"e deny; cluster.local", "stay in force as they were: 1", false},
		/* a kind of which nobody knows what it is */
		{{{{"f", DENY("d")}},
			 {{"f",
				 "apiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorisationPolicy\n"
				 "metadata: {name: d, namespace: shop}\n"}}},
			"d deny; cluster.local", "AuthorisationPolicy is not supported", false},
		{{{{"f",
			 "apiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorisationPolicy\n"
			 "metadata: {name: d, namespace: shop}\n"}}},
			"d broken; cluster.local", "did you mean AuthorizationPolicy", false},
		/* no object at all: the file may have held anything */
		{{{{"f", SVC("a", "10.0.0.1") "--- []\n"}}}, "a 10.0.0.1; cluster.local",
			"expected a map", true},
		{{{{"f", SVC("a", "10.0.0.1") DENY("d")}},
			 {{"f", SVC("a", "10.0.0.2") "--- []\n"}}},
			"a 10.0.0.2; d deny; cluster.local", "stay in force as they were: 1",
			false},
	};
	(void)state;
	RUN(rows);
}

static void test_files(void **state)
{
	static const struct row rows[] = {
		/* nothing is known of what could never be read */
		{{{{"f", NO_YAML}, {"g", SVC("a", "10.0.0.1")}}}, "a 10.0.0.1; cluster.local",
			"f:2: ", true},
		{{{{"f", NULL}}}, "cluster.local", "f: cannot be read: Permission denied\n", true},
		{{{{"f", NO_YAML}}, {{"f", SVC("a", "10.0.0.1")}}}, "a 10.0.0.1; cluster.local", "",
			false},
		/* all of it stays as it was */
		{{{{"f", SVC("a", "10.0.0.1") DENY("d")}}, {{"f", NO_YAML}}},
			"a 10.0.0.1; d deny; cluster.local",
			"f: warning: objects of it that stay in force as they were: 2\n", false},
		{{{{"f", SVC("a", "10.0.0.1")}}, {{"f", NULL}}}, "a 10.0.0.1; cluster.local",
			"f: cannot be read", false},
		{{{{"d/f", SVC("a", "10.0.0.1")}, {"df", DENY("d")}}, {{"d", NULL}}},
			"a 10.0.0.1; cluster.local",
			"d: warning: objects of it that stay in force as they were: 1", false},
		{{{{"f", SVC("a", "10.0.0.1")}}, {{"f", NO_YAML}}, {{"f", NULL}}, {{"f", NO_YAML}}},
			"a 10.0.0.1; cluster.local", "f:2: ", false},
		/* also what was held over already when it broke */
		{{{{"f", DENY("d")}}, {{"f", BAD_POLICY("d")}}, {{"f", NO_YAML}}},
			"d deny; cluster.local", "f:2: ", false},
		/* until it is there: elsewhere, or not at all */
		{{{{"f", SVC("a", "10.0.0.1")}}, {{"f", NO_YAML}, {"g", SVC("a", "10.0.0.2")}}},
			"a 10.0.0.2; cluster.local", "f:2: ", false},
		{{{{"f", SVC("a", "10.0.0.1")}}, {{"f", NO_YAML}}, {{"f", ""}}}, "cluster.local",
			"", false},
		{{{{"f", SVC("a", "10.0.0.1")}, {"g", ""}}, {{"f", NO_YAML}}, {{"g", ""}}},
			"cluster.local", "", false},
		/* other files go on, and their deletions count */
		{{{{"f", SVC("a", "10.0.0.1")}, {"g", DENY("d")}},
			 {{"f", NO_YAML}, {"g", ALLOW("e")}}},
			"a 10.0.0.1; e allow; cluster.local", "f:2: ", false},
		/* but not where a file that was never read may hold what is missing */
		{{{{"f", SVC("a", "10.0.0.1") DENY("d")}}, {{"h", NO_YAML}}},
			"a 10.0.0.1; d deny; cluster.local",
			"h: warning: objects that are missing elsewhere may be in it: 2 stay in "
			"force until it can be read",
			false},
		{{{{"f", DENY("d")}}, {{"h", "- 1\n" DENY("e")}}, {{"h", "- 1\n" DENY("e")}}},
			"d deny; e deny; cluster.local", "expected a map", false},
		{{{{"f", DENY("d")}}, {{"h", NO_YAML}}, {{"h", ALLOW("d")}}},
			"d allow; cluster.local", "", false},
		/* a file that is empty, and an empty source, are no mistakes */
		{{{{"f", DENY("d")}}, {{"f", "# nothing\n"}}}, "cluster.local", "", false},
	};
	(void)state;
	RUN(rows);
}

/* Two of one name: what it was before they were two. */
static void test_twice(void **state)
{
	static const struct row rows[] = {
		{{{{"f", DENY("d")}}, {{"a", ALLOW("d")}, {"f", DENY("d")}}},
			"d deny; cluster.local", "f:2: AuthorizationPolicy shop/d: defined again",
			false},
		{{{{"f", DENY("d")}}, {{"f", DENY("d")}, {"g", ALLOW("d")}}},
			"d deny; cluster.local", "defined again", false},
		{{{{"f", DENY("d")}}, {{"f", DENY("d")}, {"g", BAD_POLICY("d")}},
			 {{"f", DENY("d")}}},
			"d deny; cluster.local", "", false},
		{{{{"f", DENY("d")}, {"g", ALLOW("d")}}, {{"f", DENY("d")}, {"g", ALLOW("d")}}},
			"d deny; d~2 broken; cluster.local", "defined again", false},
		{{{{"f", PODX("p", "u1", "10.0.0.1")}},
			 {{"a", PODX("p", "u1", "10.0.0.2")}, {"f", PODX("p", "u1", "10.0.0.1")}}},
			"p 10.0.0.1; cluster.local", "defined again", false},
		/* a second MeshConfig, whichever is read first */
		{{{{"f", CONFIG("m", "a.example")}},
			 {{"e", CONFIG("n", "b.example")}, {"f", CONFIG("m", "a.example")}}},
			"a.example", "there is one already", false},
		{{{{"f", ""}}, {{"f", CONFIG("m", "A/b")}}}, "cluster.local", "not a trust domain",
			false},
		{{{{"f", CONFIG("m", "a.example")}}, {{"f", CONFIG("n", "A/b")}}}, "a.example",
			"not a trust domain", false},
		{{{{"f", CONFIG("m", "A/b")}}}, "cluster.local", "not a trust domain", true},
	};
	(void)state;
	RUN(rows);
}

/* What is kept gives way to what is there. */
static void test_conflicts(void **state)
{
	static const struct row rows[] = {
		{{{{"f", PODX("p", "u1", "10.0.0.1")}},
			 {{"f", NO_YAML}, {"g", PODX("q", "u2", "10.0.0.1")}}},
			"p -; q 10.0.0.1; cluster.local", "f:2: ", false},
		{{{{"f", PODX("p", "u1", "10.0.0.1")}},
			 {{"f", NO_YAML}, {"g", PODX("q", "u1", "10.0.0.2")}}},
			"q 10.0.0.2; cluster.local", "f:2: ", false},
		{{{{"f", PODX("p", "u1", "10.0.0.1")}},
			 {{"f", PODX("p", "u1", "none")}, {"g", PODX("q", "u1", "10.0.0.2")}}},
			"q 10.0.0.2; cluster.local",
			"f:2: Pod shop/p: metadata.uid: is that of Pod shop/q too", false},
	};
	(void)state;
	RUN(rows);
}

/* A kind of any length, beside an object that falls back. */
static void test_long_kind(void **state)
{
	struct file files[FILES] = {{"f", DENY("d")}};
	struct good *g = good_new();
	struct world *w = read_files(g, files);
	(void)state;
	world_free(&w);
	char *kind = mem_alloc(5001);
	memset(kind, 'k', 5000);
	char *text = mem_printf("%s---\napiVersion: mesh.weft.dev/v1alpha1\nkind: %s\n"
				"metadata: {name: x, namespace: shop}\n",
		BAD_POLICY("d"), kind);
	files[0].bytes = text;
	w = read_files(g, files);
	assert_int_equal(w->authz.n, 2);
	world_free(&w);
	good_free(&g);
	mem_free(text);
	mem_free(kind);
}

/* Equal inputs, equal digest; what is held over counts as an input. */
static void test_digest(void **state)
{
	static const struct file good[FILES] = {{"f", DENY("d")}}, bad[FILES] = {{"f", NO_YAML}};
	struct good *g = good_new(), *other = good_new();
	struct world *a = read_files(g, good), *b = read_files(g, good);
	struct world *c = read_files(g, bad), *d = read_files(g, bad);
	struct world *fresh = read_files(other, bad);
	(void)state;
	assert_memory_equal(world_digest(a), world_digest(b), SHA256_SIZE);
	assert_memory_not_equal(world_digest(a), world_digest(c), SHA256_SIZE);
	assert_memory_equal(world_digest(c), world_digest(d), SHA256_SIZE);
	assert_memory_not_equal(world_digest(c), world_digest(fresh), SHA256_SIZE);
	world_free(&a);
	world_free(&b);
	world_free(&c);
	world_free(&d);
	world_free(&fresh);
	good_free(&g);
	good_free(&other);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_nameless),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_long_kind),
		cmocka_unit_test(test_digest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
