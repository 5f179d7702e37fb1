/*
 * Log on descriptors that are full, gone or shared: lines are dropped and counted, nothing blocks,
 * nobody's descriptor changes its mode. An alarm ends the test where a write blocks after all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/process.h"

static void say(struct log *log, uint64_t n)
{
	log_at(log, LOG_INFO, "test", "a line", LOG_U("n", n));
}

static size_t drain(int fd, char *dst, size_t size)
{
	ssize_t n = read(fd, dst, size - 1);

	assert_true(n >= 0);
	dst[n] = '\0';
	return (size_t)n;
}

static void test_full_pipe(void **state)
{
	int fds[2];
	char text[70000];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	int flags = fcntl(fds[1], F_GETFL);
	struct log *log = log_new(fds[1], LOG_INFO, LOG_JSON, clock_system());
	uint64_t n = 0;
	while (log_dropped(log) == 0)
		say(log, n++);
	assert_true(n > 100);
	for (int i = 0; i < 100; i++)
		say(log, n++);
	assert_int_equal(log_dropped(log), 101);
	assert_int_equal(fcntl(fds[1], F_GETFL), flags);
	size_t got = drain(fds[0], text, sizeof(text));
	assert_int_equal(text[got - 1], '\n'); /* no half line */
	say(log, n);
	assert_int_equal(log_dropped(log), 101);
	got = drain(fds[0], text, sizeof(text));
	assert_int_equal(text[0], '{');
	log_free(&log);
	assert_true(fcntl(fds[1], F_GETFL) >= 0); /* not closed by the log */
	close(fds[0]);
	close(fds[1]);
}

static void test_pipe_lines_are_atomic(void **state)
{
	int fds[2];
	char big[1024], text[9000];
	struct str v = str_make(big, sizeof(big));

	(void)state;
	memset(big, 'v', sizeof(big));
	assert_int_equal(pipe(fds), 0);
	struct log *log = log_new(fds[1], LOG_INFO, LOG_JSON, clock_system());
	log_at(log, LOG_INFO, "x", "y", LOG_S("a", v), LOG_S("b", v), LOG_S("c", v), LOG_S("d", v),
		LOG_S("e", v));
	size_t got = drain(fds[0], text, sizeof(text));
	assert_true(got <= 4096);
	assert_non_null(strstr(text, "\"cut\":true}\n"));
	log_free(&log);
	close(fds[0]);
	close(fds[1]);
}

static void test_closed_pipe(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	struct log *log = log_new(fds[1], LOG_INFO, LOG_JSON, clock_system());
	close(fds[0]);
	say(log, 1);
	assert_int_equal(log_dropped(log), 1);
	close(fds[1]);
	say(log, 2);
	assert_int_equal(log_dropped(log), 2);
	log_free(&log);
}

static void test_full_disk(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	struct log *log = log_new(fd, LOG_INFO, LOG_TEXT, clock_system());
	for (uint64_t i = 0; i < 10; i++)
		say(log, i);
	assert_int_equal(log_dropped(log), 10);
	log_free(&log);
	close(fd);
}

static void test_full_socket(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	struct log *log = log_new(fds[1], LOG_INFO, LOG_JSON, clock_system());
	for (uint64_t n = 0; log_dropped(log) == 0; n++)
		say(log, n);
	close(fds[0]);
	say(log, 0);
	assert_int_equal(log_dropped(log), 2);
	log_free(&log);
	close(fds[1]);
}

/* A line that went out in part costs that line alone. TCP takes parts; its reader sees each whole
 * line but the torn one. */
static void test_torn_line_is_ended(void **state)
{
	int fds[2], size = 1;
	static char text[1 << 20], big[1000];
	size_t got = 0;

	(void)state;
	memset(big, 'v', sizeof(big));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	struct log *log = log_new(fds[1], LOG_INFO, LOG_JSON, clock_system());
	struct str v = str_make(big, sizeof(big));
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 10; i++)
			log_at(log, LOG_INFO, "x", "y", LOG_S("a", v), LOG_S("b", v), LOG_S("c", v),
				LOG_S("d", v), LOG_S("e", v), LOG_S("f", v));
		ssize_t n;
		while ((n = recv(fds[0], text + got, sizeof(text) - 1 - got, MSG_DONTWAIT)) > 0)
			got += (size_t)n;
	}
	text[got] = '\0';
	int lines = 0;
	for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
		if (strchr(line, '\n') == NULL)
			break;
		assert_memory_equal(line, "{\"time\"", 7);
		lines++;
	}
	assert_true(lines > 10);
	log_free(&log);
	close(fds[0]);
	close(fds[1]);
}

static void test_stopped_terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	(void)state;
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		skip();
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0)
		skip();
	struct log *log = log_new(slave, LOG_INFO, LOG_TEXT, clock_system());
	for (uint64_t n = 0; n < 20000 && log_dropped(log) < 10; n++)
		say(log, n);
	assert_int_equal(log_dropped(log), 10);
	log_free(&log);
	close(slave);
	close(master);
}

static void test_regular_file(void **state)
{
	FILE *f = tmpfile();
	char text[400];

	(void)state;
	struct log *log = log_new(fileno(f), LOG_INFO, LOG_TEXT, clock_system());
	say(log, 1);
	say(log, 2);
	rewind(f);
	assert_non_null(fgets(text, sizeof(text), f));
	assert_non_null(strstr(text, "info test: a line n=1\n"));
	assert_non_null(fgets(text, sizeof(text), f));
	assert_non_null(strstr(text, "info test: a line n=2\n"));
	assert_int_equal(log_dropped(log), 0);
	log_free(&log);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_pipe),
		cmocka_unit_test(test_pipe_lines_are_atomic),
		cmocka_unit_test(test_closed_pipe),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_full_socket),
		cmocka_unit_test(test_torn_line_is_ended),
		cmocka_unit_test(test_stopped_terminal),
		cmocka_unit_test(test_regular_file),
	};

	alarm(60);
	process_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
