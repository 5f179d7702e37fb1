/*
 * When a directory is read and when it is not: files that have just changed, and files that look as
 * they did.
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

#include "ctrlplane/source/reading.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"

struct fixture {
	char *dir, *file;
	struct good *good;
	struct reading reading;
};

/* Written so long ago, or in so long. */
static void write_file(const struct fixture *f, const char *text, int64_t age_ns)
{
	int64_t at = (int64_t)clock_wall(clock_system()) - age_ns;
	const struct timespec times[2] = {
		{.tv_sec = at / (int64_t)NS_PER_S, .tv_nsec = at % (int64_t)NS_PER_S},
		{.tv_sec = at / (int64_t)NS_PER_S, .tv_nsec = at % (int64_t)NS_PER_S}};
	int fd = open(f->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void expect(struct fixture *f, bool read, bool early)
{
	reading_run(&f->reading);
	assert_int_equal(f->reading.world != NULL, read);
	assert_int_equal(f->reading.early, early);
	world_free(&f->reading.world);
}

static int set_up(void **state)
{
	char path[] = "/tmp/weft-reading-XXXXXX";
	struct fixture *f = MEM_NEW(struct fixture);
	f->dir = mem_strdup(mkdtemp(path));
	f->file = mem_printf("%s/a.yaml", path);
	f->good = good_new();
	f->reading = (struct reading){.path = f->dir, .good = f->good};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	(void)unlink(f->file);
	(void)rmdir(f->dir);
	good_free(&f->good);
	mem_free(f->dir);
	mem_free(f->file);
	mem_free(f);
	return 0;
}

static void test_young(void **state)
{
	struct fixture *f = *state;
	write_file(f, "", -3600 * (int64_t)NS_PER_S);
	expect(f, true, false); /* from the future: of another clock */
	write_file(f, "", (int64_t)NS_PER_S);
	expect(f, true, false);
	for (int i = 0; i < 100 && !f->reading.early; i++) {
		write_file(f, "", 0);
		reading_run(&f->reading);
		world_free(&f->reading.world);
	}
	assert_true(f->reading.early);
	f->reading.hasty = true;
	expect(f, true, false);
}

static void test_same(void **state)
{
	struct fixture *f = *state;
	write_file(f, "", (int64_t)NS_PER_S);
	expect(f, true, false);
	f->reading.if_other = true;
	expect(f, false, false);
	write_file(f, "#", (int64_t)NS_PER_S);
	expect(f, true, false);
	expect(f, false, false);
	assert_int_equal(unlink(f->file), 0);
	expect(f, true, false);
	assert_int_equal(rmdir(f->dir), 0);
	expect(f, true, false);
	expect(f, false, false);
	f->reading.if_other = false;
	expect(f, true, false);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_young, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_same, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
