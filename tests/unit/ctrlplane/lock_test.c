/*
 * The lock of a data directory: made privately, held by one at a time, said with the process that
 * has it, gone with its descriptor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrlplane/lock.h"
#include "lib/base/err.h"

struct fixture {
	char top[64], dir[80], err[512];
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	snprintf(f.top, sizeof(f.top), "/tmp/weft-lock-XXXXXX");
	assert_non_null(mkdtemp(f.top));
	snprintf(f.dir, sizeof(f.dir), "%s/data", f.top);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/pid", f->dir);
	unlink(path);
	rmdir(f->dir);
	unlink(f->dir);
	return rmdir(f->top);
}

static void test_one_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char pid[32];
	int fd = data_dir_lock(f->dir, f->err, sizeof(f->err));

	assert_true(fd >= 0);
	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(data_dir_lock(f->dir, f->err, sizeof(f->err)), ERR_EXISTS);
	snprintf(pid, sizeof(pid), "(process %ld)", (long)getpid());
	assert_non_null(strstr(f->err, pid));
	assert_non_null(strstr(f->err, f->dir));
	assert_non_null(strstr(f->err, "--data-dir"));
	close(fd);
	fd = data_dir_lock(f->dir, f->err, sizeof(f->err));
	assert_true(fd >= 0);
	close(fd);
}

static void test_gone_with_its_process(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(data_dir_lock(f->dir, f->err, sizeof(f->err)) >= 0 ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	int fd = data_dir_lock(f->dir, f->err, sizeof(f->err));
	assert_true(fd >= 0);
	close(fd);
}

static void test_what_cannot_be(void **state)
{
	struct fixture *f = *state;
	char deep[160];

	snprintf(deep, sizeof(deep), "%s/no/such", f->top);
	assert_int_equal(data_dir_lock(deep, f->err, sizeof(f->err)), ERR_NOTFOUND);
	assert_non_null(strstr(f->err, deep));
	FILE *file = fopen(f->dir, "w");
	assert_non_null(file);
	fclose(file);
	assert_true(data_dir_lock(f->dir, f->err, sizeof(f->err)) < 0);
	assert_non_null(strstr(f->err, "Not a directory"));
}

int main(void)
{
#define LOCK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		LOCK_TEST(test_one_at_a_time),
		LOCK_TEST(test_gone_with_its_process),
		LOCK_TEST(test_what_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
