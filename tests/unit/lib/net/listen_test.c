/*
 * Listeners and dials of the kernel's network over loopback and Unix sockets, on the libev loop.
 * Ports are always chosen by the kernel.
 */
#include "tests/unit/lib/net/support.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/net/listen.h"

#define IOS_MAX 16

/* A network, what was accepted, and what was dialled. */
struct site {
	struct world w;
	struct net *net;
	struct listener *l;
	struct io *accepted[IOS_MAX], *dialled[IOS_MAX];
	int n_accepted, n_dialled, dial_err;
	int expect; /* the loop stops when this many results are there */
	bool close_on_accept, in_start;
	struct dial *dial;
	char err[256];
	char dir[32], path[64];
};

static void count_result(struct site *s)
{
	if (s->n_accepted + s->n_dialled >= s->expect)
		loop_stop(s->w.loop);
}

static void on_accept(void *arg, struct io *io)
{
	struct site *s = arg;

	s->accepted[s->n_accepted++] = io;
	if (s->close_on_accept)
		listener_close(&s->l);
	count_result(s);
}

static void on_dialled(void *arg, struct io *io, int err)
{
	struct site *s = arg;

	assert_false(s->in_start);
	assert_true((io != NULL) == (err == 0));
	s->dialled[s->n_dialled++] = io;
	s->dial_err = err;
	s->dial = NULL;
	count_result(s);
}

static int setup(void **state)
{
	struct site *s = calloc(1, sizeof(*s));

	s->w = world_new(loop_new(NULL));
	s->net = net_new(s->w.loop, s->w.pool, NULL);
	snprintf(s->dir, sizeof(s->dir), "/tmp/weft-listen-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct site *s = *state;

	for (int i = 0; i < IOS_MAX; i++) {
		io_close(&s->accepted[i], false);
		io_close(&s->dialled[i], false);
	}
	listener_close(&s->l);
	net_free(&s->net);
	world_free(&s->w);
	unlink(s->path);
	assert_int_equal(rmdir(s->dir), 0);
	free(s);
	return 0;
}

static int open_listener(struct site *s, const struct listen_config *cfg)
{
	return listener_open(s->net, cfg, on_accept, s, &s->l, s->err, sizeof(s->err));
}

static struct addr open_loopback(struct site *s)
{
	struct listen_config cfg = {.addr = addr_of("127.0.0.1:0")};

	assert_int_equal(open_listener(s, &cfg), 0);
	return listener_addr(s->l);
}

static void start(struct site *s, const struct dial_config *cfg)
{
	s->in_start = true;
	s->dial = dial_start(s->net, cfg, on_dialled, s);
	s->in_start = false;
}

static void run_until(struct site *s, int results)
{
	s->expect = results;
	if (s->n_accepted + s->n_dialled < results)
		loop_run(s->w.loop);
	assert_int_equal(s->n_accepted + s->n_dialled, results);
}

static void test_connect_and_facts(void **state)
{
	struct site *s = *state;
	struct dial_config cfg = {.to = open_loopback(s)};
	struct io_info a, d;

	assert_true(cfg.to.port != 0);
	start(s, &cfg);
	run_until(s, 2);
	io_info(s->accepted[0], &a);
	io_info(s->dialled[0], &d);
	assert_true(addr_eq(&d.peer, &cfg.to));
	assert_true(addr_eq(&a.local, &cfg.to));
	assert_true(addr_eq(&a.peer, &d.local));
	write_text(s->dialled[0], s->w.pool, "hello");
	read_text(s->accepted[0], s->w.pool, "hello");
}

static void test_ipv6(void **state)
{
	struct site *s = *state;
	struct listen_config cfg = {.addr = addr_of("[::1]:0"), .v6_only = true};
	struct dial_config dial = {0};

	if (open_listener(s, &cfg) == ERR_UNREACHABLE)
		skip();
	dial.to = listener_addr(s->l);
	start(s, &dial);
	run_until(s, 2);
	assert_int_equal(s->dial_err, 0);
}

static void test_refused(void **state)
{
	struct site *s = *state;
	struct dial_config cfg = {.to = open_loopback(s)};

	listener_close(&s->l);
	start(s, &cfg);
	run_until(s, 1);
	assert_int_equal(s->dial_err, ERR_REFUSED);
	s->n_dialled = 0;
	cfg.to = (struct addr){0};
	start(s, &cfg);
	run_until(s, 1);
	assert_int_equal(s->dial_err, ERR_INVAL);
}

static void test_source_address_and_options(void **state)
{
	struct site *s = *state;
	struct dial_config cfg = {.to = open_loopback(s), .user_timeout_ms = 4321, .mark = 77};
	struct io_info a;
	int value = 0;
	socklen_t len = sizeof(value);

	cfg.from = addr_of("127.0.0.5");
	if (geteuid() != 0)
		cfg.mark = 0;
	start(s, &cfg);
	run_until(s, 2);
	io_info(s->accepted[0], &a);
	struct addr peer = addr_with_port(&a.peer, 0);
	assert_true(addr_eq(&peer, &cfg.from));
	int fd = io_fd(s->dialled[0]);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_MARK, &value, &len), 0);
	assert_int_equal(value, cfg.mark);
	assert_int_equal(getsockopt(fd, 6, 18, &value, &len), 0); /* TCP_USER_TIMEOUT */
	assert_int_equal(value, 4321);
}

static void test_source_that_is_not_ours(void **state)
{
	struct site *s = *state;
	struct dial_config cfg = {.to = open_loopback(s), .from = addr_of("192.0.2.77")};

	start(s, &cfg);
	run_until(s, 1);
	assert_int_equal(s->dial_err, ERR_UNREACHABLE);
}

static void test_cancel(void **state)
{
	struct site *s = *state;
	struct dial_config cfg = {.to = open_loopback(s)};
	struct dial_config refused = {.to = addr_of("127.0.0.1:1")};

	start(s, &cfg);
	dial_cancel(&s->dial);
	assert_null(s->dial);
	dial_cancel(&s->dial);
	start(s, &refused);
	dial_cancel(&s->dial);
	start(s, &cfg);
	while (s->n_dialled == 0) {
		s->expect = s->n_accepted + 1;
		loop_run(s->w.loop);
	}
	assert_int_equal(s->n_dialled, 1);
	assert_int_equal(s->dial_err, 0);
}

static void test_taken_port(void **state)
{
	struct site *s = *state;
	struct addr taken = open_loopback(s);
	struct listener *second = NULL;
	struct listen_config cfg = {.addr = taken};
	char want[ADDR_TEXT + 80], name[ADDR_TEXT];

	assert_int_equal(listener_open(s->net, &cfg, on_accept, s, &second, s->err, sizeof(s->err)),
		ERR_EXISTS);
	assert_null(second);
	snprintf(want, sizeof(want), "%s: address already in use by another process; ",
		addr_format(&taken, name));
	assert_memory_equal(s->err, want, strlen(want));
	cfg.addr = addr_of("192.0.2.1:0");
	assert_int_equal(listener_open(s->net, &cfg, on_accept, s, &second, s->err, sizeof(s->err)),
		ERR_UNREACHABLE);
	assert_string_equal(s->err, "192.0.2.1: no interface of this host has this address");
}

static void test_reuse_port_shares(void **state)
{
	struct site *s = *state;
	struct listen_config cfg = {.addr = addr_of("127.0.0.1:0"), .reuse_port = true};
	struct listener *second = NULL;

	assert_int_equal(open_listener(s, &cfg), 0);
	cfg.addr = listener_addr(s->l);
	assert_int_equal(listener_open(s->net, &cfg, on_accept, s, &second, s->err, sizeof(s->err)),
		0);
	listener_close(&second);
}

static void test_pause_and_resume(void **state)
{
	struct site *s = *state;
	struct dial_config cfg = {.to = open_loopback(s)};

	listener_pause(s->l);
	listener_pause(s->l);
	start(s, &cfg);
	run_until(s, 1);
	assert_int_equal(s->n_dialled, 1);
	assert_int_equal(s->n_accepted, 0);
	listener_resume(s->l);
	run_until(s, 2);
	assert_int_equal(s->n_accepted, 1);
}

/* Notes in which turn a connection was accepted. */
static void accept_by_turn(void *arg, struct io *io)
{
	struct site *s = arg;
	static const int bound = 2;

	s->accepted[s->n_accepted++] = io;
	s->dial_err = (int)loop_turn(s->w.loop); /* the last turn */
	if (s->n_accepted == bound)
		s->n_dialled = s->dial_err; /* the first turn */
	if (s->n_accepted == 6)
		loop_stop(s->w.loop);
}

static void test_accepts_are_bounded_per_turn(void **state)
{
	struct site *s = *state;
	struct listen_config cfg = {.addr = addr_of("127.0.0.1:0"), .accepts_per_turn = 2};
	struct sockaddr_storage ss;
	int fds[6];

	assert_int_equal(listener_open(s->net, &cfg, accept_by_turn, s, &s->l, s->err,
				 sizeof(s->err)),
		0);
	struct addr to = listener_addr(s->l);
	socklen_t len = addr_to_sockaddr(&to, &ss);
	for (int i = 0; i < 6; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&ss, len), 0);
	}
	loop_run(s->w.loop);
	assert_int_equal(s->n_accepted, 6);
	assert_true(s->dial_err - s->n_dialled >= 2);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
}

static void test_closed_while_accepting(void **state)
{
	struct site *s = *state;
	struct dial_config cfg = {.to = open_loopback(s)};

	s->close_on_accept = true;
	start(s, &cfg);
	start(s, &cfg);
	run_until(s, 3);
	assert_int_equal(s->n_accepted, 1);
	assert_null(s->l);
}

/* --- Unix sockets --- */

static int connect_unix(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void test_unix_socket(void **state)
{
	struct site *s = *state;
	struct listen_config cfg = {.unix_path = s->path};
	struct listener *second = NULL;
	struct stat st;
	char want[128];

	umask(0);
	assert_int_equal(open_listener(s, &cfg), 0);
	umask(022);
	assert_int_equal(lstat(s->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	int fd = connect_unix(s->path);
	assert_true(fd >= 0);
	run_until(s, 1);
	assert_int_equal(listener_open(s->net, &cfg, on_accept, s, &second, s->err, sizeof(s->err)),
		ERR_EXISTS);
	snprintf(want, sizeof(want), "%s: already in use", s->path);
	assert_memory_equal(s->err, want, strlen(want));
	close(fd);
	listener_close(&s->l);
	assert_int_equal(lstat(s->path, &st), -1);
}

static void test_unix_socket_for_everybody(void **state)
{
	struct site *s = *state;
	struct listen_config cfg = {.unix_path = s->path, .unix_mode = 0666};
	struct stat st;

	umask(077);
	assert_int_equal(open_listener(s, &cfg), 0);
	umask(022);
	assert_int_equal(lstat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	listener_close(&s->l);
}

static void test_unix_dial_tells_who(void **state)
{
	struct site *s = *state;
	struct listen_config cfg = {.unix_path = s->path};
	char path[64];
	struct io_info a, d;

	assert_int_equal(open_listener(s, &cfg), 0);
	snprintf(path, sizeof(path), "%s", s->path);
	struct dial_config to = {.unix_path = path};

	start(s, &to);
	memset(path, 'x', sizeof(path)); /* it was copied */
	run_until(s, 2);
	assert_int_equal(s->dial_err, 0);
	io_info(s->accepted[0], &a);
	io_info(s->dialled[0], &d);
	assert_true(a.unix_uid_known && d.unix_uid_known);
	assert_int_equal(a.unix_uid, getuid());
	assert_int_equal(d.unix_uid, getuid());
	assert_int_equal(a.peer.family, ADDR_NONE);
}

static void test_unix_dial_without_listener(void **state)
{
	struct site *s = *state;
	struct dial_config to = {.unix_path = s->path};
	char long_path[200];

	start(s, &to);
	run_until(s, 1);
	assert_null(s->dialled[0]);
	assert_int_equal(s->dial_err, ERR_NOTFOUND);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	to.unix_path = long_path;
	start(s, &to);
	run_until(s, 2);
	assert_true(s->dial_err < 0);
	start(s, &to);
	dial_cancel(&s->dial);
}

/* A bound socket file whose process is gone. */
static void leave_stale_socket(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
}

static void test_stale_unix_socket_is_replaced(void **state)
{
	struct site *s = *state;
	struct listen_config cfg = {.unix_path = s->path};

	leave_stale_socket(s->path);
	assert_int_equal(open_listener(s, &cfg), 0);
	int fd = connect_unix(s->path);
	assert_true(fd >= 0);
	close(fd);
}

static void test_other_files_are_not_replaced(void **state)
{
	struct site *s = *state;
	struct listen_config cfg = {.unix_path = s->path};
	struct stat st;
	char long_path[200];

	FILE *f = fopen(s->path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(open_listener(s, &cfg), ERR_EXISTS);
	assert_int_equal(lstat(s->path, &st), 0);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	cfg.unix_path = long_path;
	assert_int_equal(open_listener(s, &cfg), ERR_LIMIT);
}

/* Somebody else's socket at the same path outlives ours. */
static void test_close_removes_only_its_own_file(void **state)
{
	struct site *s = *state;
	struct listen_config cfg = {.unix_path = s->path};
	struct stat st;

	assert_int_equal(open_listener(s, &cfg), 0);
	assert_int_equal(unlink(s->path), 0);
	leave_stale_socket(s->path);
	listener_close(&s->l);
	assert_int_equal(lstat(s->path, &st), 0);
}

#define SITE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(test_connect_and_facts),
		SITE(test_ipv6),
		SITE(test_refused),
		SITE(test_source_address_and_options),
		SITE(test_source_that_is_not_ours),
		SITE(test_cancel),
		SITE(test_taken_port),
		SITE(test_reuse_port_shares),
		SITE(test_pause_and_resume),
		SITE(test_accepts_are_bounded_per_turn),
		SITE(test_closed_while_accepting),
		SITE(test_unix_socket),
		SITE(test_unix_socket_for_everybody),
		SITE(test_unix_dial_tells_who),
		SITE(test_unix_dial_without_listener),
		SITE(test_stale_unix_socket_is_replaced),
		SITE(test_other_files_are_not_replaced),
		SITE(test_close_removes_only_its_own_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
