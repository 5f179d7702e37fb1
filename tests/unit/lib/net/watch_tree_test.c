/*
 * The watch on a directory: documents written, renamed, linked and removed at any depth, folders
 * that come and go, a ConfigMap's exchange, the directory itself replaced; and not what is none of
 * its business. On the kernel's loop, for inotify is a descriptor.
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

#include "lib/net/watch.h"

/* A folder with the watched one in it, a loop, and how often the watch called. */
struct world {
	char *base;
	char paths[4][160];
	unsigned next;
	struct loop *loop;
	struct watch_tree *watch;
	struct loop_timer timer;
	unsigned calls, wanted;
};

static void on_change(void *arg)
{
	struct world *w = arg;
	w->calls++;
	if (w->calls >= w->wanted)
		loop_stop(w->loop);
}

static void on_time(void *arg)
{
	struct world *w = arg;
	loop_stop(w->loop);
}

static void run(struct world *w, unsigned wanted, uint64_t ns)
{
	w->wanted = wanted;
	loop_timer_start(&w->timer, ns);
	loop_run(w->loop);
	loop_timer_stop(&w->timer);
}

/* The next call comes. */
static void expect_call(struct world *w)
{
	unsigned before = w->calls;
	run(w, before + 1, 20 * NS_PER_S);
	assert_true(w->calls > before);
}

/* Nothing more is told of what was done so far. */
static void expect_quiet(struct world *w)
{
	unsigned before = w->calls;
	run(w, before + 1, 100 * NS_PER_MS);
	assert_int_equal(w->calls, before);
}

/* Takes whatever the last step told. */
static void settle(struct world *w)
{
	run(w, UINT32_MAX, 100 * NS_PER_MS);
}

/* One of four paths below the base. */
static const char *at(struct world *w, const char *name)
{
	char *p = w->paths[w->next++ % 4];
	snprintf(p, sizeof(w->paths[0]), "%s/%s", w->base, name);
	return p;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->base = strdup("/tmp/weft-watch-tree-XXXXXX");
	assert_non_null(mkdtemp(w->base));
	assert_int_equal(mkdir(at(w, "conf"), 0700), 0);
	assert_int_equal(mkdir(at(w, "conf/sub"), 0700), 0);
	w->loop = loop_new(NULL);
	loop_timer_init(&w->timer, w->loop, on_time, w);
	w->watch = watch_tree_start(w->loop, at(w, "conf/"), on_change, w);
	*state = w;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct world *w = *state;
	watch_tree_stop(&w->watch);
	assert_null(w->watch);
	watch_tree_stop(&w->watch);
	run(w, UINT32_MAX, NS_PER_MS);
	loop_free(&w->loop);
	nftw(w->base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(w->base);
	free(w);
	return 0;
}

static void test_written_renamed_removed(void **state)
{
	struct world *w = *state;
	write_file(at(w, "conf/a.yaml"), "x");
	expect_call(w);
	write_file(at(w, "conf/sub/b.yml"), "x");
	expect_call(w);
	write_file(at(w, "conf/sub/c.json.new"), "x");
	expect_quiet(w);
	assert_int_equal(rename(at(w, "conf/sub/c.json.new"), at(w, "conf/sub/c.json")), 0);
	expect_call(w);
	assert_int_equal(unlink(at(w, "conf/a.yaml")), 0);
	expect_call(w);
	expect_quiet(w);
}

static void test_other_names(void **state)
{
	struct world *w = *state;
	write_file(at(w, "conf/README.md"), "x");
	write_file(at(w, "conf/.a.yaml.swp"), "x");
	write_file(at(w, "conf/.hidden.yaml"), "x");
	write_file(at(w, "conf/.yaml"), "x");
	write_file(at(w, "beside.yaml"), "x");
	expect_quiet(w);
}

/* What was begun and not closed is not told; a hard or symbolic link has its contents at once. */
static void test_begun_and_linked(void **state)
{
	struct world *w = *state;
	int fd = open(at(w, "conf/a.yaml"), O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	expect_quiet(w);
	close(fd);
	expect_call(w);
	write_file(at(w, "real.yaml"), "x");
	expect_quiet(w);
	assert_int_equal(link(at(w, "real.yaml"), at(w, "conf/hard.yaml")), 0);
	expect_call(w);
	assert_int_equal(symlink("../real.yaml", at(w, "conf/soft.yaml")), 0);
	expect_call(w);
}

static void test_folders_come_and_go(void **state)
{
	struct world *w = *state;
	assert_int_equal(mkdir(at(w, "conf/new"), 0700), 0);
	assert_int_equal(mkdir(at(w, "conf/new/deep"), 0700), 0);
	write_file(at(w, "conf/new/deep/a.yaml"), "x");
	expect_call(w);
	settle(w);
	write_file(at(w, "conf/new/deep/a.yaml"), "y");
	expect_call(w);
	settle(w);
	assert_int_equal(rename(at(w, "conf/new"), at(w, "out")), 0);
	expect_call(w);
	settle(w);
	write_file(at(w, "out/deep/a.yaml"), "z");
	expect_quiet(w);
	assert_int_equal(rename(at(w, "out"), at(w, "conf/back")), 0);
	expect_call(w);
	settle(w);
	write_file(at(w, "conf/back/deep/a.yaml"), "z");
	expect_call(w);
}

/* As the kubelet writes a ConfigMap: a new folder, and a link to it exchanged. */
static void test_config_map(void **state)
{
	struct world *w = *state;
	assert_int_equal(mkdir(at(w, "conf/..2026_1"), 0700), 0);
	write_file(at(w, "conf/..2026_1/a.yaml"), "x");
	expect_quiet(w);
	assert_int_equal(symlink("..2026_1", at(w, "conf/..data")), 0);
	expect_call(w);
	assert_int_equal(symlink("..data/a.yaml", at(w, "conf/a.yaml")), 0);
	expect_call(w);
	assert_int_equal(mkdir(at(w, "conf/..2026_2"), 0700), 0);
	write_file(at(w, "conf/..2026_2/a.yaml"), "y");
	assert_int_equal(symlink("..2026_2", at(w, "conf/..data_tmp")), 0);
	expect_quiet(w);
	assert_int_equal(rename(at(w, "conf/..data_tmp"), at(w, "conf/..data")), 0);
	expect_call(w);
}

static void test_the_directory_is_replaced(void **state)
{
	struct world *w = *state;
	assert_int_equal(rename(at(w, "conf"), at(w, "old")), 0);
	expect_call(w);
	settle(w);
	write_file(at(w, "old/a.yaml"), "x");
	expect_quiet(w);
	assert_int_equal(mkdir(at(w, "conf"), 0700), 0);
	expect_call(w);
	settle(w);
	write_file(at(w, "conf/a.yaml"), "x");
	expect_call(w);
}

static void test_a_link_is_exchanged(void **state)
{
	struct world *w = *state;
	assert_int_equal(mkdir(at(w, "v1"), 0700), 0);
	assert_int_equal(mkdir(at(w, "v2"), 0700), 0);
	assert_int_equal(symlink("v1", at(w, "link")), 0);
	watch_tree_stop(&w->watch);
	w->watch = watch_tree_start(w->loop, at(w, "link"), on_change, w);
	write_file(at(w, "v1/a.yaml"), "x");
	expect_call(w);
	assert_int_equal(symlink("v2", at(w, "link.new")), 0);
	assert_int_equal(rename(at(w, "link.new"), at(w, "link")), 0);
	expect_call(w);
	settle(w);
	write_file(at(w, "v1/a.yaml"), "y");
	expect_quiet(w);
	write_file(at(w, "v2/a.yaml"), "y");
	expect_call(w);
}

/* Neither the directory nor the one above: polled, then watched. */
static void test_comes_late(void **state)
{
	struct world *w = *state;
	watch_tree_stop(&w->watch);
	w->watch = watch_tree_start(w->loop, at(w, "far/conf"), on_change, w);
	expect_quiet(w);
	assert_int_equal(mkdir(at(w, "far"), 0700), 0);
	assert_int_equal(mkdir(at(w, "far/conf"), 0700), 0);
	write_file(at(w, "far/conf/a.yaml"), "x");
	expect_call(w);
	settle(w);
	write_file(at(w, "far/conf/a.yaml"), "y");
	expect_call(w);
}

static void test_many_changes_of_one_turn(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 50; i++)
		write_file(at(w, "conf/a.yaml"), "x");
	settle(w);
	assert_int_equal(w->calls, 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_written_renamed_removed),
		T(test_other_names),
		T(test_begun_and_linked),
		T(test_folders_come_and_go),
		T(test_config_map),
		T(test_the_directory_is_replaced),
		T(test_a_link_is_exchanged),
		T(test_comes_late),
		T(test_many_changes_of_one_turn),
	};
	return cmocka_run_group_tests_name("watch_tree", tests, NULL, NULL);
}
