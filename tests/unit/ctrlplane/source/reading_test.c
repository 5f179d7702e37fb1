/*
 * When a directory is read and when it is not: files that have just changed, and files that look as
 * they did.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
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

#define NAMESPACE(name) "apiVersion: v1\nkind: Namespace\nmetadata: {name: " name "}\n---\n"
#define SERVICE                                                                                 \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: " \
	"[{port: 80}]}\n"

/* Cuts the file off as soon as the reading opens it. */
static void *cut_off(void *arg)
{
	const int *fd = arg;
	sigset_t set;
	int signo;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	assert_int_equal(sigwait(&set, &signo), 0);
	assert_int_equal(ftruncate(*fd, (off_t)strlen(NAMESPACE("a"))), 0);
	assert_int_equal(fcntl(*fd, F_SETLEASE, F_UNLCK), 0);
	return NULL;
}

/* Somebody writes it in place, and the last object is not there for a moment: nothing is deleted.
 * A lease holds the reading up, between its look at the file and the first byte. */
static void test_written_meanwhile(void **state)
{
	struct fixture *f = *state;
	sigset_t set, before;
	pthread_t thread;
	write_file(f, NAMESPACE("a") SERVICE, (int64_t)NS_PER_S);
	expect(f, true, false);
	int fd = open(f->file, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0) {
		close(fd);
		skip();
	}
	assert_int_equal(pthread_create(&thread, NULL, cut_off, &fd), 0);
	f->reading.hasty = true;
	reading_run(&f->reading);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(fd);
	assert_true(f->reading.early);
	assert_true(world_complete(f->reading.world));
	assert_non_null(world_service(f->reading.world, STR("shop"), STR("web")));
	world_free(&f->reading.world);
	/* It stays so, and then that is what it says. */
	reading_run(&f->reading);
	assert_false(f->reading.early);
	assert_null(world_service(f->reading.world, STR("shop"), STR("web")));
	world_free(&f->reading.world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_young, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_same, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_written_meanwhile, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
