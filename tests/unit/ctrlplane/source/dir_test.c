/*
 * A directory that is written to, broken, locked, emptied and removed while it is watched: what the
 * store has afterwards. On the kernel's loop, for inotify and the reading thread are real.
 */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctrlplane/source/dir.h"
#include "lib/base/alloc.h"

#define WAIT_NS (20 * NS_PER_S)
#define LOOK_NS (5 * NS_PER_MS)

#define SVC(name, ip)                                                                       \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: shop}\n" \
	"spec: {clusterIP: " ip ", selector: {app: x}}\n"

static const struct compile_bundle bundle = {{"cluster.local", 13}, {"one", 3}};

struct fixture {
	char *base, *dir;
	struct loop *loop;
	struct buf_pool *pool;
	struct store *store;
	struct dir_source *source;
	/* While waiting. */
	struct loop_timer look;
	uint64_t until;
	const char *wanted;
	bool found;
	char now[4096];
};

/* -- what the store has ----------------------------------------------------------------------- */

/* "a=10.0.0.1 b=- errors=1 complete": Services a to d, and the counts. */
static void describe(struct fixture *f)
{
	char ip[ADDR_TEXT];
	size_t n = 0, size = sizeof(f->now);
	struct catalog *c = store_catalog(f->store);
	for (char name = 'a'; name <= 'd'; name++) {
		struct str s = str_make(&name, 1);
		const struct kube_service *svc =
			c != NULL ? world_service(catalog_world(c), STR("shop"), s) : NULL;
		if (svc != NULL)
			n += (size_t)snprintf(f->now + n, size - n, "%c=%s ", name,
				svc->n_vips > 0 ? addr_format_ip(&svc->vips[0], ip) : "-");
	}
	struct buf b;
	struct json j;
	buf_init(&b, f->pool);
	json_init(&j, &b, false);
	json_object(&j);
	store_describe(f->store, &j);
	json_object_end(&j);
	n += buf_copy_out(&b, 0, f->now + n, size - n - 1);
	f->now[n] = '\0';
	buf_clear(&b);
}

/* Each word of wanted is in what is described; one that begins with '!' is not. */
static bool is_as_wanted(const struct fixture *f)
{
	struct str rest = str_from(f->wanted), word;
	while (str_split(&rest, ' ', &word)) {
		bool absent = word.n > 0 && word.p[0] == '!';
		char *z = mem_strndup(word.p + absent, word.n - absent);
		bool there = strstr(f->now, z) != NULL;
		mem_free(z);
		if (there == absent)
			return false;
	}
	return true;
}

static void on_look(void *arg)
{
	struct fixture *f = arg;
	describe(f);
	f->found = is_as_wanted(f);
	if (f->found || loop_now(f->loop) > f->until)
		loop_stop(f->loop);
	else
		loop_timer_start(&f->look, LOOK_NS);
}

static void expect(struct fixture *f, const char *wanted)
{
	f->wanted = wanted;
	f->until = loop_now(f->loop) + WAIT_NS;
	loop_timer_start(&f->look, LOOK_NS);
	loop_run(f->loop);
	if (!f->found)
		fail_msg("wanted %s, got %s", wanted, f->now);
}

/* -- the directory ---------------------------------------------------------------------------- */

static void path_of(const struct fixture *f, const char *name, char dst[256])
{
	snprintf(dst, 256, "%s/%s", f->dir, name);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Written beside it and moved over it. */
static void put(const struct fixture *f, const char *name, const char *text)
{
	char path[256], temporary[256];
	path_of(f, name, path);
	path_of(f, ".new", temporary);
	write_file(temporary, text);
	assert_int_equal(rename(temporary, path), 0);
}

static void drop(const struct fixture *f, const char *name)
{
	char path[256];
	path_of(f, name, path);
	assert_int_equal(remove(path), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void start(struct fixture *f)
{
	char err[512];
	if (dir_source_start(f->loop, NULL, f->dir, f->store, &f->source, err, sizeof(err)) != 0)
		fail_msg("%s", err);
}

static int set_up(void **state)
{
	char path[] = "/tmp/weft-dir-XXXXXX", err[512];
	struct fixture *f = MEM_NEW(struct fixture);
	f->base = mem_strdup(mkdtemp(path));
	f->dir = mem_printf("%s/m", path);
	assert_int_equal(mkdir(f->dir, 0755), 0);
	f->loop = loop_new(NULL);
	f->pool = buf_pool_new(0);
	char *file = mem_printf("%s/position", path);
	assert_int_equal(store_new(f->loop, NULL, file, &f->store, err, sizeof(err)), 0);
	mem_free(file);
	store_set_bundles(f->store, &bundle, 1);
	loop_timer_init(&f->look, f->loop, on_look, f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	loop_timer_stop(&f->look);
	dir_source_stop(&f->source);
	store_free(&f->store);
	loop_free(&f->loop);
	buf_pool_free(&f->pool);
	(void)chmod(f->dir, 0755);
	assert_int_equal(nftw(f->base, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	mem_free(f->base);
	mem_free(f->dir);
	mem_free(f);
	return 0;
}

/* -- tests ------------------------------------------------------------------------------------ */

/* The first reading is done when start returns. */
static void test_start(void **state)
{
	struct fixture *f = *state;
	put(f, "a.yaml", SVC("a", "10.0.0.1"));
	put(f, "b.txt", "no manifest");
	start(f);
	describe(f);
	assert_non_null(strstr(f->now, "a=10.0.0.1 "));
	assert_non_null(strstr(f->now, "\"files\":1"));
}

static void test_changes(void **state)
{
	struct fixture *f = *state;
	char path[256];
	start(f);
	put(f, "a.yaml", SVC("a", "10.0.0.1"));
	expect(f, "a=10.0.0.1");
	put(f, "a.yaml", SVC("a", "10.0.0.2"));
	expect(f, "a=10.0.0.2");
	path_of(f, "sub", path);
	assert_int_equal(mkdir(path, 0755), 0);
	put(f, "sub/b.json",
		"{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"b\", "
		"\"namespace\": \"shop\"}, \"spec\": {\"clusterIP\": \"10.0.0.3\"}}");
	expect(f, "a=10.0.0.2 b=10.0.0.3");
	path_of(f, "c.yml", path);
	write_file(path, SVC("c", "10.0.0.4"));
	expect(f, "a=10.0.0.2 b=10.0.0.3 c=10.0.0.4");
	drop(f, "a.yaml");
	drop(f, "sub/b.json");
	expect(f, "!a= !b= c=10.0.0.4 \"errors\":0");
}

/* Whatever happens to it, what was in it stays, and it is named. */
static void test_broken(void **state)
{
	static const struct {
		const char *text, *said;
	} rows[] = {
		{SVC("a", "nowhere"), "\"object\":\"Service"},
		{SVC("a", "10.0.0.9") "a: [\n", "no"},
		{"- 1\n", "expected"},
	};
	struct fixture *f = *state;
	start(f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put(f, "a.yaml", SVC("a", "10.0.0.1"));
		expect(f, "a=10.0.0.1 \"errors\":0 !a.yaml");
		put(f, "a.yaml", rows[i].text);
		put(f, "b.yaml", SVC("b", "10.0.0.2"));
		expect(f, "a=10.0.0.1 b=10.0.0.2 \"complete\":true \"errors\":1 /a.yaml");
		assert_non_null(strstr(f->now, rows[i].said));
		drop(f, "b.yaml");
		expect(f, "a=10.0.0.1 !b=");
	}
	put(f, "a.yaml", SVC("a", "10.0.0.1"));
	expect(f, "\"errors\":0");
	drop(f, "a.yaml");
	expect(f, "!a=");
}

static void test_deep_and_large(void **state)
{
	struct fixture *f = *state;
	put(f, "a.yaml", SVC("a", "10.0.0.1"));
	start(f);
	char *deep = mem_alloc(20004);
	memset(deep, '[', 10000);
	memset(deep + 10000, ']', 10000);
	put(f, "a.yaml", deep);
	expect(f, "a=10.0.0.1 \"errors\":1 /a.yaml lists");
	mem_free(deep);
	char path[256];
	path_of(f, "a.yaml", path);
	assert_int_equal(truncate(path, 50 << 20), 0);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	close(fd);
	expect(f, "a=10.0.0.1 \"errors\":1 /a.yaml larger MiB");
}

/* Root reads everything, so a link to nowhere stands for what may not be read. */
static void test_unreadable(void **state)
{
	struct fixture *f = *state;
	char path[256];
	put(f, "a.yaml", SVC("a", "10.0.0.1"));
	start(f);
	drop(f, "a.yaml");
	path_of(f, "a.yaml", path);
	assert_int_equal(symlink("nowhere", path), 0);
	expect(f, "a=10.0.0.1 \"errors\":1 /a.yaml cannot");
	drop(f, "a.yaml");
	expect(f, "!a= \"errors\":0");
}

static void test_broken_from_the_start(void **state)
{
	struct fixture *f = *state;
	put(f, "a.yaml", "a: [\n");
	put(f, "b.yaml", SVC("b", "10.0.0.2"));
	start(f);
	expect(f, "\"position\":\"\" \"complete\":false /a.yaml");
	struct buf b;
	buf_init(&b, f->pool);
	assert_false(store_ready(f->store, &b));
	char text[1024] = "";
	(void)buf_copy_out(&b, 0, text, sizeof(text) - 1);
	buf_clear(&b);
	assert_non_null(strstr(text, "/a.yaml:2: "));
	drop(f, "a.yaml");
	expect(f, "b=10.0.0.2 \"complete\":true");
}

/* The directory comes after the start, goes, and comes again. */
static void test_no_directory(void **state)
{
	struct fixture *f = *state;
	char away[256];
	snprintf(away, sizeof(away), "%s/away", f->base);
	put(f, "a.yaml", SVC("a", "10.0.0.1"));
	assert_int_equal(rename(f->dir, away), 0);
	start(f);
	expect(f, "\"complete\":false cannot");
	assert_int_equal(rename(away, f->dir), 0);
	expect(f, "a=10.0.0.1 \"complete\":true");
	assert_int_equal(rename(f->dir, away), 0);
	expect(f, "a=10.0.0.1 \"errors\":1 cannot");
	assert_int_equal(mkdir(f->dir, 0755), 0);
	expect(f, "!a= \"errors\":0 \"complete\":true");
	assert_int_equal(rmdir(f->dir), 0);
	assert_int_equal(rename(away, f->dir), 0);
	expect(f, "a=10.0.0.1 \"errors\":0");
}

/* A hundred changes are a few readings: each would count the position up. */
static void test_burst(void **state)
{
	struct fixture *f = *state;
	char text[256];
	start(f);
	for (unsigned i = 1; i <= 200; i++) {
		snprintf(text, sizeof(text), SVC("a", "10.0.0.%u"), i);
		put(f, "a.yaml", text);
	}
	expect(f, "a=10.0.0.200");
	struct str at = store_position(f->store), id;
	uint64_t number = 0;
	(void)str_split(&at, ':', &id);
	assert_int_equal(str_to_u64(at, UINT64_MAX, &number), 0);
	assert_true(number <= 20);
}

/* A file that is written in place is not read between its first and its last byte: what was changed
 * a moment ago is waited for, though not for ever. */
static void test_in_place(void **state)
{
	struct fixture *f = *state;
	char path[256];
	start(f);
	path_of(f, "a.yaml", path);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	const char *text = SVC("a", "10.0.0.1") SVC("b", "10.0.0.2");
	for (size_t i = 0; i < strlen(text); i++) {
		assert_int_equal(write(fd, text + i, 1), 1);
		if (i % 16 == 0)
			put(f, "c.yaml", i % 32 == 0 ? SVC("c", "10.0.0.3") : SVC("c", "10.0.0.4"));
	}
	close(fd);
	expect(f, "a=10.0.0.1 b=10.0.0.2 \"errors\":0");
}

/* Asked for, also while it reads. */
static void test_reload(void **state)
{
	struct fixture *f = *state;
	start(f);
	put(f, "a.yaml", SVC("a", "10.0.0.1"));
	for (int i = 0; i < 10; i++)
		dir_source_reload(f->source);
	expect(f, "a=10.0.0.1");
	dir_source_reload(f->source); /* and stopped in the middle of it */
}

/* What a ConfigMap looks like: names that are links into a folder that is exchanged. */
static void test_config_map(void **state)
{
	struct fixture *f = *state;
	char one[256], two[256], link[256], next[256], name[256];
	path_of(f, "..1", one);
	path_of(f, "..2", two);
	path_of(f, "..data", link);
	path_of(f, "..data_tmp", next);
	path_of(f, "a.yaml", name);
	assert_int_equal(mkdir(one, 0755), 0);
	assert_int_equal(mkdir(two, 0755), 0);
	put(f, "..1/a.yaml", SVC("a", "10.0.0.1"));
	put(f, "..2/a.yaml", SVC("a", "10.0.0.2"));
	assert_int_equal(symlink("..1", link), 0);
	assert_int_equal(symlink("..data/a.yaml", name), 0);
	start(f);
	expect(f, "a=10.0.0.1 \"files\":1");
	assert_int_equal(symlink("..2", next), 0);
	assert_int_equal(rename(next, link), 0);
	expect(f, "a=10.0.0.2 \"files\":1");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_deep_and_large, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_from_the_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_directory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_burst, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_in_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reload, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_config_map, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
