/*
 * The last-good file as it is kept: changes together, nothing lost where the disk refuses, written
 * at once at the end.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "sidecar/keeper.h"

/* A keeper of a file in a folder of its own. */
struct world {
	struct loop *loop;
	struct log *log;
	struct keeper *keeper;
	char folder[64], path[96], said[8192];
	bool nothing;
	unsigned fills;
};

static void on_line(void *arg, struct str line)
{
	struct world *w = arg;
	size_t at = strlen(w->said);
	snprintf(w->said + at, sizeof(w->said) - at, "%.*s\n", STR_ARG(line));
}

static bool fill(void *arg, Weft__Mesh__V1__State *st)
{
	struct world *w = arg;
	w->fills++;
	st->format = STATE_FORMAT;
	st->written_at = (int64_t)(loop_wall(w->loop) / NS_PER_S);
	return !w->nothing;
}

static int setup(void **state)
{
	struct world *w = MEM_NEW(struct world);
	w->loop = loop_new_sim(1800000000ull * NS_PER_S);
	w->log = log_new_sink(on_line, w, LOG_INFO, LOG_JSON, loop_clock(w->loop));
	strcpy(w->folder, "/tmp/weft-keeper-test-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->path, sizeof(w->path), "%s/state", w->folder);
	struct keeper_config cfg = {
		.loop = w->loop, .log = w->log, .path = w->path, .fill = fill, .arg = w};
	w->keeper = keeper_new(&cfg);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	keeper_free(&w->keeper);
	loop_sim_settle(w->loop, 100);
	unlink(w->path);
	rmdir(w->folder);
	log_free(&w->log);
	loop_free(&w->loop);
	mem_free(w);
	return 0;
}

static bool is_there(const struct world *w)
{
	struct stat st;
	if (stat(w->path, &st) != 0)
		return false;
	assert_int_equal(st.st_mode & 07777, 0600);
	return true;
}

static void test_together(void **state)
{
	struct world *w = *state;
	keeper_touch(w->keeper);
	assert_false(is_there(w));
	for (int i = 0; i < 5; i++) { /* goes on changing: not later than a second */
		loop_sim_advance(w->loop, 90 * NS_PER_MS);
		keeper_touch(w->keeper);
	}
	assert_int_equal(w->fills, 0);
	loop_sim_advance(w->loop, 100 * NS_PER_MS);
	assert_int_equal(w->fills, 1);
	assert_true(is_there(w));
	for (int i = 0; i < 30; i++) {
		keeper_touch(w->keeper);
		loop_sim_advance(w->loop, 50 * NS_PER_MS);
	}
	assert_int_equal(w->fills, 2);
	loop_sim_advance(w->loop, NS_PER_S);
	assert_int_equal(w->fills, 3);
	loop_sim_advance(w->loop, 3600 * NS_PER_S);
	assert_int_equal(w->fills, 3);
	assert_int_equal(keeper_failures(w->keeper), 0);
}

static void test_nothing_to_write(void **state)
{
	struct world *w = *state;
	w->nothing = true;
	keeper_touch(w->keeper);
	loop_sim_advance(w->loop, NS_PER_S);
	assert_int_equal(w->fills, 1);
	assert_false(is_there(w));
	keeper_flush(w->keeper);
	assert_int_equal(w->fills, 1);
}

/* Said once, counted each time, tried ever less often, and mended by itself. */
static void test_the_disk_refuses(void **state)
{
	struct world *w = *state;
	rmdir(w->folder);
	keeper_check_place(w->keeper);
	assert_non_null(strstr(w->said, "is not there"));
	keeper_touch(w->keeper);
	loop_sim_advance(w->loop, 200 * NS_PER_MS);
	assert_int_equal(keeper_failures(w->keeper), 1);
	keeper_touch(w->keeper); /* does not hurry it */
	loop_sim_advance(w->loop, 500 * NS_PER_MS);
	assert_int_equal(keeper_failures(w->keeper), 1);
	loop_sim_advance(w->loop, 3600 * NS_PER_S);
	uint64_t n = keeper_failures(w->keeper);
	assert_true(n > 50 && n < 80);
	const char *first = strstr(w->said, "not written");
	assert_non_null(first);
	assert_null(strstr(first + 1, "not written"));
	assert_int_equal(mkdir(w->folder, 0700), 0);
	loop_sim_advance(w->loop, 61 * NS_PER_S);
	assert_true(is_there(w));
	assert_non_null(strstr(w->said, "written again"));
	keeper_touch(w->keeper);
	loop_sim_advance(w->loop, 200 * NS_PER_MS);
	assert_int_equal(keeper_failures(w->keeper), n);
}

/* The disk is full after some bytes: what was written before stays, nothing else does. */
static void test_the_disk_is_full(void **state)
{
	struct world *w = *state;
	struct rlimit before, small;
	Weft__Mesh__V1__State *st;
	char err[256];
	keeper_touch(w->keeper);
	loop_sim_advance(w->loop, NS_PER_S);
	assert_true(is_there(w));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 20;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	keeper_touch(w->keeper);
	loop_sim_advance(w->loop, 200 * NS_PER_MS);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(keeper_failures(w->keeper), 1);
	assert_int_equal(state_read(w->path, &st, err, sizeof(err)), 0);
	assert_int_equal(st->written_at, 1800000000);
	state_free(&st);
	assert_int_equal(unlink(w->path), 0);
	assert_int_equal(rmdir(w->folder), 0); /* empty */
	assert_int_equal(mkdir(w->folder, 0700), 0);
	loop_sim_advance(w->loop, 2 * NS_PER_S);
	assert_true(is_there(w));
}

/* What could not be written is not to be any more: the next change is written all the same. */
static void test_nothing_to_write_after_a_failure(void **state)
{
	struct world *w = *state;
	rmdir(w->folder);
	keeper_touch(w->keeper);
	loop_sim_advance(w->loop, 200 * NS_PER_MS);
	assert_int_equal(keeper_failures(w->keeper), 1);
	w->nothing = true;
	loop_sim_advance(w->loop, 10 * NS_PER_S);
	assert_int_equal(keeper_failures(w->keeper), 1);
	w->nothing = false;
	assert_int_equal(mkdir(w->folder, 0700), 0);
	keeper_touch(w->keeper);
	loop_sim_advance(w->loop, NS_PER_S);
	assert_true(is_there(w));
}

static void test_flush(void **state)
{
	struct world *w = *state;
	keeper_flush(w->keeper);
	assert_false(is_there(w));
	keeper_touch(w->keeper);
	keeper_flush(w->keeper);
	assert_true(is_there(w));
	assert_int_equal(keeper_written_at(w->keeper), 1800000000);
	loop_sim_advance(w->loop, 10 * NS_PER_S);
	assert_int_equal(w->fills, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_together),
		TEST(test_nothing_to_write),
		TEST(test_the_disk_refuses),
		TEST(test_the_disk_is_full),
		TEST(test_nothing_to_write_after_a_failure),
		TEST(test_flush),
	};
	return cmocka_run_group_tests_name("keeper", tests, NULL, NULL);
}
