/*
 * What is put in force when, the position that counts it, and what is said where nothing is.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctrlplane/store/store.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/crypto/crypto.h"
#include "tests/support/worlds.h"

#define SVC(ip)                                                                       \
	"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec: " \
	"{clusterIP: " ip ", selector: {app: a}}\n"
#define CONFIG(domain)                                           \
	"apiVersion: mesh.weft.dev/v1alpha1\nkind: MeshConfig\n" \
	"metadata: {name: m}\nspec: {trustDomain: " domain "}\n"

static const struct compile_bundle first[] = {{{"cluster.local", 13}, {"one", 3}}};
static const struct compile_bundle second[] = {{{"cluster.local", 13}, {"two", 3}}};

/* A store on a simulated loop with a file of its own. */
struct fixture {
	struct loop *loop;
	struct buf_pool *pool;
	char *folder, *file;
	struct store *store;
	struct store_listener listener;
	unsigned told;
};

static void on_told(void *arg)
{
	((struct fixture *)arg)->told++;
}

static void open_store(struct fixture *f)
{
	char err[512];
	if (store_new(f->loop, NULL, f->file, &f->store, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	f->listener = (struct store_listener){.fn = on_told, .arg = f};
	store_listen(f->store, &f->listener);
}

static void close_store(struct fixture *f)
{
	store_unlisten(&f->listener);
	store_free(&f->store);
}

static int set_up(void **state)
{
	char path[] = "/tmp/weft-store-XXXXXX";
	struct fixture *f = MEM_NEW(struct fixture);
	f->loop = loop_new_sim(1);
	f->pool = buf_pool_new(0);
	f->folder = mem_strdup(mkdtemp(path));
	f->file = mem_printf("%s/position", path);
	open_store(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	(void)chmod(f->folder, 0700);
	(void)unlink(f->file);
	(void)rmdir(f->file);
	(void)rmdir(f->folder);
	loop_free(&f->loop);
	buf_pool_free(&f->pool);
	mem_free(f->folder);
	mem_free(f->file);
	mem_free(f);
	return 0;
}

static void put(struct fixture *f, const char *yaml)
{
	struct world *w = worlds_of(yaml);
	store_set_world(f->store, w, world_complete(w));
	(void)loop_sim_settle(f->loop, 100);
}

static void bundles(struct fixture *f, const struct compile_bundle *b, size_t n)
{
	store_set_bundles(f->store, b, n);
	(void)loop_sim_settle(f->loop, 100);
}

static char *position(const struct fixture *f)
{
	struct str s = store_position(f->store);
	return mem_strndup(s.n > 0 ? s.p : "", s.n);
}

/* How the position moved since before, which is freed; the new one. */
static char *expect_move(const struct fixture *f, char *before, int moved)
{
	char *now = position(f);
	assert_int_equal(position_compare(str_from(now), str_from(before)), moved);
	mem_free(before);
	return now;
}

/* The text of why it is not ready. */
static char *reasons(struct fixture *f)
{
	struct buf b;
	buf_init(&b, f->pool);
	bool ready = store_ready(f->store, &b);
	size_t n = buf_len(&b);
	char *text = mem_alloc(n + 1);
	(void)buf_copy_out(&b, 0, text, n);
	buf_clear(&b);
	assert_int_equal(ready, store_catalog(f->store) != NULL);
	assert_int_equal(ready, n == 0);
	return text;
}

static void expect_reasons(struct fixture *f, const char *part)
{
	char *text = reasons(f);
	if (strstr(text, part) == NULL || (part[0] == '\0' && text[0] != '\0'))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
	mem_free(text);
}

static void test_compare(void **state)
{
	static const struct {
		const char *a, *b;
		int order;
	} rows[] = {
		{"x:1", "x:1", 0},
		{"x:1", "x:2", -1},
		{"x:10", "x:9", 1},
		{"x:18446744073709551615", "x:1", 1},
		{"x:1", "y:1", 2},
		{"", "", 2},
		{"x:1", "", 2},
		{":1", ":1", 2},
		{"x:", "x:", 2},
		{"x:1a", "x:1", 2},
		{"x:-1", "x:1", 2},
		{"x:18446744073709551616", "x:1", 2},
		{"x", "x", 2},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct str a = str_from(rows[i].a), b = str_from(rows[i].b);
		assert_int_equal(position_compare(a, b), rows[i].order);
		assert_int_equal(position_compare(b, a), rows[i].order == 2 ? 2 : -rows[i].order);
	}
}

/* Nothing is in force before both are there, in either order. */
static void test_first(void **state)
{
	struct fixture *f = *state;
	expect_reasons(f, "the source has not been read yet\nthere is no certificate authority");
	assert_int_equal(store_position(f->store).n, 0);
	put(f, SVC("10.0.0.1"));
	expect_reasons(f, "there is no certificate authority yet\n");
	assert_int_equal(f->told, 0);
	bundles(f, first, 1);
	assert_int_equal(f->told, 1);
	expect_reasons(f, "");
	assert_non_null(catalog_resource(store_catalog(f->store), STR("Service/shop/a")));
	close_store(f);
	open_store(f);
	bundles(f, first, 1);
	expect_reasons(f, "the source has not been read yet");
	put(f, SVC("10.0.0.1"));
	expect_reasons(f, "");
	assert_int_equal(f->told, 2);
}

static void test_incomplete(void **state)
{
	struct fixture *f = *state;
	bundles(f, first, 1);
	put(f, "a: [\n");
	expect_reasons(f, "the source could not be read completely; mend these:\nf.yaml:2: ");
	assert_null(store_catalog(f->store));
	put(f, SVC("10.0.0.1"));
	char *at = position(f);
	struct catalog *c = store_catalog(f->store);
	/* what is in force stays, and so does readiness */
	put(f, "a: [\n");
	expect_reasons(f, "");
	assert_ptr_equal(store_catalog(f->store), c);
	at = expect_move(f, at, 0);
	mem_free(at);
	assert_int_equal(f->told, 1);
}

static void test_position(void **state)
{
	static const struct str serials[] = {{"01", 2}};
	struct fixture *f = *state;
	put(f, SVC("10.0.0.1"));
	bundles(f, first, 1);
	char *at = position(f);
	struct catalog *c = store_catalog(f->store);
	put(f, SVC("10.0.0.1"));
	bundles(f, first, 1);
	store_set_revoked(f->store, NULL, 0);
	at = expect_move(f, at, 0);
	assert_ptr_equal(store_catalog(f->store), c);
	put(f, SVC("10.0.0.2"));
	at = expect_move(f, at, 1);
	bundles(f, second, 1);
	at = expect_move(f, at, 1);
	store_set_revoked(f->store, serials, 1);
	at = expect_move(f, at, 1);
	assert_int_equal(catalog_resource(store_catalog(f->store), STR("Revocations"))
				 ->resource->revocations->n_serials,
		1);
	(void)loop_sim_settle(f->loop, 100);
	assert_int_equal(f->told, 4);
	/* an unchanged source keeps its position over a restart, a changed one moves on */
	close_store(f);
	open_store(f);
	store_set_revoked(f->store, serials, 1);
	put(f, SVC("10.0.0.2"));
	bundles(f, second, 1);
	at = expect_move(f, at, 0);
	close_store(f);
	open_store(f);
	put(f, SVC("10.0.0.2"));
	bundles(f, second, 1);
	at = expect_move(f, at, 1);
	mem_free(at);
}

/* A reference that was taken holds. */
static void test_reference(void **state)
{
	struct fixture *f = *state;
	put(f, SVC("10.0.0.1"));
	bundles(f, first, 1);
	struct catalog *c = catalog_ref(store_catalog(f->store));
	put(f, SVC("10.0.0.2"));
	const struct compiled *r = catalog_resource(c, STR("Service/shop/a"));
	assert_int_equal(r->resource->service->addresses[0].data[3], 1);
	catalog_unref(&c);
}

/* Nobody hears of a position that is not on disk. */
static void test_disk(void **state)
{
	struct fixture *f = *state;
	bundles(f, first, 1);
	assert_int_equal(mkdir(f->file, 0700), 0);
	put(f, SVC("10.0.0.1"));
	assert_null(store_catalog(f->store));
	expect_reasons(f, "/position cannot be written");
	assert_int_equal(f->told, 0);
	assert_int_equal(rmdir(f->file), 0);
	loop_sim_advance(f->loop, 2 * NS_PER_S);
	expect_reasons(f, "");
	assert_int_equal(f->told, 1);
	struct stat st;
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_broken_file(void **state)
{
	static const char *const files[] = {"", "weft position 1\n", "x\n",
		"weft position 1\nabcd\n1\n00\n",
		"weft position 1\n00112233445566778899aabbccddeeff\n-1\n"
		"0000000000000000000000000000000000000000000000000000000000000000\n",
		"weft position 1\n00112233445566778899aabbccddeeff\n1\n"
		"0000000000000000000000000000000000000000000000000000000000000000\nmore"};
	struct fixture *f = *state;
	char err[512];
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct store *s = NULL;
		assert_int_equal(file_replace(f->file, 0600, str_from(files[i]), err, sizeof(err)),
			0);
		assert_int_equal(store_new(f->loop, NULL, f->file, &s, err, sizeof(err)),
			ERR_INVAL);
		assert_non_null(strstr(err, "/position: not a position"));
		assert_null(s);
	}
}

static void test_trust_domain(void **state)
{
	struct fixture *f = *state;
	bundles(f, first, 1);
	put(f, CONFIG("b.example"));
	expect_reasons(f,
		"MeshConfig's trustDomain is b.example, the certificate authority's is "
		"cluster.local");
	put(f, SVC("10.0.0.1"));
	expect_reasons(f, "");
	char *at = position(f);
	put(f, CONFIG("b.example"));
	at = expect_move(f, at, 0);
	expect_reasons(f, "");
	mem_free(at);
}

/* A listener that goes while it is told, and takes another one with it. */
struct leaver {
	struct store_listener l, other;
	unsigned told;
};

static void on_leave(void *arg)
{
	struct leaver *v = arg;
	v->told++;
	store_unlisten(&v->l);
	store_unlisten(&v->other);
}

static void on_other(void *arg)
{
	(void)arg;
	fail_msg("it was removed");
}

static void test_listeners(void **state)
{
	struct fixture *f = *state;
	struct leaver v = {.l = {.fn = on_leave, .arg = &v}, .other = {.fn = on_other, .arg = &v}};
	store_listen(f->store, &v.l);
	store_listen(f->store, &v.other);
	put(f, SVC("10.0.0.1"));
	bundles(f, first, 1);
	put(f, SVC("10.0.0.2"));
	assert_int_equal(v.told, 1);
	assert_int_equal(f->told, 2);
}

static void test_describe(void **state)
{
	struct fixture *f = *state;
	struct buf b;
	struct json j;
	buf_init(&b, f->pool);
	put(f, SVC("nowhere"));
	json_init(&j, &b, false);
	json_object(&j);
	store_describe(f->store, &j);
	json_object_end(&j);
	size_t n = buf_len(&b);
	char *text = mem_alloc(n + 1);
	(void)buf_copy_out(&b, 0, text, n);
	assert_string_equal(text,
		"{\"position\":\"\",\"complete\":true,\"files\":1,\"services\":0,\"pods\":0,"
		"\"meshedPods\":0,\"authorizationPolicies\":0,\"peerAuthentications\":0,\"errors\":1,"
		"\"warnings\":0,\"problems\":[{\"severity\":\"error\",\"file\":\"f.yaml\",\"line\":4,"
		"\"object\":\"Service shop/a\",\"field\":\"spec.clusterIP\",\"message\":\"expected an "
		"IP address, found \\\"nowhere\\\"\"}]}");
	mem_free(text);
	buf_clear(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test_setup_teardown(test_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_incomplete, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_position, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reference, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_trust_domain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_listeners, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_describe, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
