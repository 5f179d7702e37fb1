/*
 * The client of the commands against servers on loopback that answer in pieces, too much, too late
 * or not at all; each is a process of its own.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/fetch.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/process.h"
#include "lib/net/addr.h"

/* What a server says to its one client, after it has read what came. */
typedef void answer_fn(int fd);

/* Owned by a test; server_end ends the process. */
struct server {
	int fd;
	pid_t pid;
	char url[64], path[64];
};

static void server_run(struct server *s, answer_fn *answer)
{
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid > 0)
		return;
	char request[4096];
	int fd = accept(s->fd, NULL, NULL);
	if (fd >= 0 && read(fd, request, sizeof(request)) > 0)
		answer(fd);
	_exit(0);
}

static void server_tcp(struct server *s, answer_fn *answer)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(in);

	memset(s, 0, sizeof(*s));
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&in, n), 0);
	assert_int_equal(listen(s->fd, 8), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &n), 0);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", ntohs(in.sin_port));
	server_run(s, answer);
}

static void server_unix(struct server *s, answer_fn *answer)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memset(s, 0, sizeof(*s));
	snprintf(s->path, sizeof(s->path), "/tmp/weft-fetch-%ld.sock", (long)getpid());
	unlink(s->path);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", s->path);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(s->fd, 8), 0);
	server_run(s, answer);
}

static void server_end(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->fd);
	if (s->path[0] != '\0')
		unlink(s->path);
}

static int ask(const struct server *s, uint64_t timeout, struct fetch_answer *out, char err[400])
{
	const struct fetch f = {.method = "GET",
		.url = s->path[0] == '\0' ? s->url : NULL,
		.socket = s->path,
		.target = "/ca?x=y",
		.program = "weft-ctrlplane",
		.flag = "--where",
		.timeout_ns = timeout};
	err[0] = '\0';
	return fetch(&f, out, err, 400);
}

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(1);
}

/* --- answers --- */

static void in_pieces(int fd)
{
	static const char text[] =
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 418 Teapot\r\n"
		"transfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n2\r\n\":\r\n2\r\n1}\r\n0\r\n\r\n";
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		if (write(fd, text + i, 1) != 1)
			_exit(1);
	pause();
}

static void until_closed(int fd)
{
	say(fd, "HTTP/1.0 200 OK\r\n\r\n{}\n");
}

static void nothing(int fd)
{
	(void)fd;
	pause();
}

static void half(int fd)
{
	say(fd, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{");
	pause();
}

static void endless(int fd)
{
	static char block[1 << 16];
	say(fd, "HTTP/1.1 200 OK\r\n\r\n");
	memset(block, ' ', sizeof(block));
	while (write(fd, block, sizeof(block)) > 0)
		continue;
}

/* --- tests --- */

static void test_whole_answers(void **state)
{
	struct server s;
	struct fetch_answer a;
	char err[400];
	(void)state;
	server_tcp(&s, in_pieces);
	assert_int_equal(ask(&s, 0, &a, err), 0);
	assert_int_equal(a.status, 418);
	assert_string_equal(a.body, "{\"a\":1}");
	assert_int_equal(a.n, 7);
	fetch_answer_free(&a);
	server_end(&s);
	server_unix(&s, until_closed);
	assert_int_equal(ask(&s, 0, &a, err), 0);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "{}\n");
	fetch_answer_free(&a);
	server_end(&s);
}

static void test_too_late(void **state)
{
	static answer_fn *const silent[] = {nothing, half};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct server s;
		struct fetch_answer a;
		char err[400];
		server_tcp(&s, silent[i]);
		assert_int_equal(ask(&s, 50 * NS_PER_MS, &a, err), ERR_TIMEOUT);
		assert_non_null(strstr(err, "no answer in time (--where)"));
		fetch_answer_free(&a);
		server_end(&s);
	}
}

static void test_too_much(void **state)
{
	struct server s;
	struct fetch_answer a;
	char err[400];
	(void)state;
	server_tcp(&s, endless);
	assert_int_equal(ask(&s, 60 * NS_PER_S, &a, err), ERR_LIMIT);
	assert_non_null(strstr(err, "larger than 32 MiB"));
	assert_null(a.body);
	server_end(&s);
}

static void test_nobody_there(void **state)
{
	struct server s;
	struct fetch_answer a;
	char err[400];
	(void)state;
	server_tcp(&s, nothing);
	server_end(&s);
	assert_int_equal(ask(&s, 0, &a, err), ERR_REFUSED);
	assert_non_null(strstr(err, "connection refused: is weft-ctrlplane running? (--where "));
	server_unix(&s, nothing);
	server_end(&s);
	assert_int_equal(ask(&s, 0, &a, err), ERR_NOTFOUND);
	assert_non_null(strstr(err, "no such socket: is weft-ctrlplane running? (--where "));
}

static int init(void **state)
{
	(void)state;
	return process_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_answers),
		cmocka_unit_test(test_too_late),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
