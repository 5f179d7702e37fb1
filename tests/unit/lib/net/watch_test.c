/*
 * The watch on a file: a rename over it, a write into it, a file that comes later; not its
 * neighbours. On the kernel's loop, for inotify is a descriptor.
 */
#include <fcntl.h>
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

/* A folder, a loop, and how often the watch called. */
struct world {
	char folder[64], path[96], other[96], temp[96];
	struct loop *loop;
	struct watch *watch;
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

/* Runs until so many calls came in all, or for ns where they do not come. */
static void run(struct world *w, unsigned wanted, uint64_t ns)
{
	w->wanted = wanted;
	loop_timer_start(&w->timer, ns);
	loop_run(w->loop);
	loop_timer_stop(&w->timer);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	strcpy(w->folder, "/tmp/weft-watch-test-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->path, sizeof(w->path), "%s/state", w->folder);
	snprintf(w->other, sizeof(w->other), "%s/state.other", w->folder);
	snprintf(w->temp, sizeof(w->temp), "%s/.state.new", w->folder);
	w->loop = loop_new(NULL);
	loop_timer_init(&w->timer, w->loop, on_time, w);
	w->watch = watch_start(w->loop, w->path, on_change, w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	watch_stop(&w->watch);
	assert_null(w->watch);
	watch_stop(&w->watch);
	run(w, UINT32_MAX, NS_PER_MS); /* what is to be freed is freed at the end of a turn */
	loop_free(&w->loop);
	unlink(w->path);
	unlink(w->other);
	unlink(w->temp);
	rmdir(w->folder);
	free(w);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_replaced_by_rename(void **state)
{
	struct world *w = *state;
	for (unsigned i = 1; i <= 3; i++) {
		write_file(w->temp, "new");
		assert_int_equal(rename(w->temp, w->path), 0);
		run(w, i, 20 * NS_PER_S);
		assert_int_equal(w->calls, i);
	}
}

static void test_written_in_place(void **state)
{
	struct world *w = *state;
	write_file(w->path, "first");
	run(w, 1, 20 * NS_PER_S);
	assert_int_equal(w->calls, 1);
	write_file(w->path, "second");
	run(w, 2, 20 * NS_PER_S);
	assert_int_equal(w->calls, 2);
}

/* The neighbours' events come before the file's own, so that the one call is the file's. */
static void test_neighbours_are_not_it(void **state)
{
	struct world *w = *state;
	write_file(w->other, "x");
	write_file(w->temp, "x");
	unlink(w->other);
	write_file(w->path, "x");
	run(w, 2, 200 * NS_PER_MS);
	assert_int_equal(w->calls, 1);
}

/* As the kubelet exchanges a Secret: the file is a link through a link that is renamed. */
static void test_a_mounted_secret(void **state)
{
	struct world *w = *state;
	assert_int_equal(symlink("..data/state", w->path), 0);
	assert_int_equal(symlink("..2026_1", w->temp), 0);
	snprintf(w->other, sizeof(w->other), "%s/..data", w->folder);
	assert_int_equal(rename(w->temp, w->other), 0);
	run(w, 1, 20 * NS_PER_S);
	assert_int_equal(w->calls, 1);
}

static void test_several_changes_of_one_turn(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 50; i++)
		write_file(w->path, "x");
	run(w, UINT32_MAX, 200 * NS_PER_MS);
	assert_int_equal(w->calls, 1);
}

static void test_stopped_before_it_is_read(void **state)
{
	struct world *w = *state;
	write_file(w->path, "x");
	watch_stop(&w->watch);
	run(w, 1, 50 * NS_PER_MS);
	assert_int_equal(w->calls, 0);
}

/* A folder that does not exist cannot be watched: the file's identity is polled. */
static void test_polling(void **state)
{
	struct world *w = *state;
	char folder[128], path[160];
	snprintf(folder, sizeof(folder), "%s/later", w->folder);
	snprintf(path, sizeof(path), "%s/state", folder);
	struct watch *late = watch_start(w->loop, path, on_change, w);
	assert_int_equal(mkdir(folder, 0700), 0);
	write_file(path, "x");
	run(w, 1, 20 * NS_PER_S);
	assert_int_equal(w->calls, 1);
	watch_stop(&late);
	unlink(path);
	rmdir(folder);
}

/* The folder goes and comes again. */
static void test_the_folder_is_replaced(void **state)
{
	struct world *w = *state;
	write_file(w->path, "x");
	run(w, 1, 20 * NS_PER_S);
	unlink(w->path);
	assert_int_equal(rmdir(w->folder), 0);
	run(w, 2, 50 * NS_PER_MS);
	assert_int_equal(w->calls, 1);
	assert_int_equal(mkdir(w->folder, 0700), 0);
	write_file(w->path, "y");
	run(w, 2, 20 * NS_PER_S);
	assert_int_equal(w->calls, 2);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_replaced_by_rename),
		T(test_written_in_place),
		T(test_neighbours_are_not_it),
		T(test_a_mounted_secret),
		T(test_several_changes_of_one_turn),
		T(test_stopped_before_it_is_read),
		T(test_polling),
		T(test_the_folder_is_replaced),
	};
	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
