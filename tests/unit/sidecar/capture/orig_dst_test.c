/*
 * Original destination where there is none to be had: sockets that are no TCP sockets, and
 * connections that no rule turned. What redirected connections answer is shown end to end, in
 * tests/e2e/test_capture.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "sidecar/capture/orig_dst.h"

static void test_no_socket(void **state)
{
	struct addr a;
	int fds[2];

	(void)state;
	assert_true(orig_dst_get(-1, &a) < 0);
	assert_int_equal(pipe(fds), 0);
	assert_true(orig_dst_get(fds[0], &a) < 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(orig_dst_get(fds[0], &a), ERR_INVAL);
	close(fds[0]);
	close(fds[1]);
}

/* Without a rule the answer is either unknown or the very address that the client called. */
static void check_direct(int family, const char *any, const char *target)
{
	struct addr listen_at, called, got;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int on = 1;

	assert_int_equal(addr_parse(str_from(any), &listen_at), 0);
	assert_int_equal(addr_parse(str_from(target), &called), 0);
	int server = socket(family, SOCK_STREAM, 0), client;
	if (server < 0)
		skip();
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	len = addr_to_sockaddr(&listen_at, &ss);
	if (bind(server, (struct sockaddr *)&ss, len) < 0 || listen(server, 1) < 0) {
		close(server);
		skip();
	}
	len = sizeof(ss);
	assert_int_equal(getsockname(server, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, &listen_at), 0);
	called.port = listen_at.port;
	client = socket(called.family == ADDR_V4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
	len = addr_to_sockaddr(&called, &ss);
	assert_int_equal(connect(client, (struct sockaddr *)&ss, len), 0);
	int accepted = accept(server, NULL, NULL);
	int r = orig_dst_get(accepted, &got);
	if (r == 0)
		assert_true(addr_eq(&got, &called));
	else
		assert_int_equal(r, ERR_NOTFOUND);
	close(accepted);
	close(client);
	close(server);
}

static void test_direct_v4(void **state)
{
	(void)state;
	check_direct(AF_INET, "127.0.0.1", "127.0.0.1");
}

static void test_direct_v6(void **state)
{
	(void)state;
	check_direct(AF_INET6, "::1", "::1");
}

static void test_direct_v4_on_dual_stack(void **state)
{
	(void)state;
	check_direct(AF_INET6, "::", "127.0.0.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_socket),
		cmocka_unit_test(test_direct_v4),
		cmocka_unit_test(test_direct_v6),
		cmocka_unit_test(test_direct_v4_on_dual_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
