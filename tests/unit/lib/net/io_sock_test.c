/*
 * The socket layer over socket pairs and loopback TCP on the libev loop: adaptive reads, gathered
 * writes, half-close, reset, and the turn-long memory of "would block".
 */
#include "tests/unit/lib/net/support.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* An io on one end, a bare descriptor at the other. */
struct wire {
	struct world w;
	struct io *io;
	int fd;
	struct recorder on_io;
};

static void tcp_pair(int fds[2])
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(l, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&in, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&in, len), 0);
	fds[1] = accept(l, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(l);
}

static struct wire *wire_new(int fds[2])
{
	struct wire *w = calloc(1, sizeof(*w));

	w->w = world_new(loop_new(NULL));
	w->io = io_sock_new(w->w.loop, fds[0]);
	w->fd = fds[1];
	io_set_user(w->io, record_event, &w->on_io);
	w->on_io.stop = w->w.loop;
	return w;
}

static int setup_unix(void **state)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*state = wire_new(fds);
	return 0;
}

static int setup_tcp(void **state)
{
	int fds[2];

	tcp_pair(fds);
	*state = wire_new(fds);
	return 0;
}

static int teardown(void **state)
{
	struct wire *w = *state;

	io_close(&w->io, false);
	if (w->fd >= 0)
		close(w->fd);
	world_free(&w->w);
	free(w);
	return 0;
}

static void wait_for(struct wire *w, unsigned events)
{
	io_want(w->io, events);
	loop_run(w->w.loop);
	io_want(w->io, 0);
}

static void test_read_write(void **state)
{
	struct wire *w = *state;
	char got[16];

	assert_int_equal(read_nothing(w->io, w->w.pool), ERR_AGAIN);
	assert_int_equal(write(w->fd, "ping", 4), 4);
	wait_for(w, IO_READ);
	assert_int_equal(w->on_io.last, IO_READ);
	read_text(w->io, w->w.pool, "ping");
	wait_for(w, IO_WRITE);
	assert_int_equal(w->on_io.last, IO_WRITE);
	write_text(w->io, w->w.pool, "pong");
	assert_int_equal(read(w->fd, got, sizeof(got)), 4);
	assert_memory_equal(got, "pong", 4);
	assert_int_equal(io_fd(w->io) >= 0, 1);
}

static void test_facts_and_options(void **state)
{
	struct wire *w = *state;
	struct io_info info;
	int on = 0;
	socklen_t len = sizeof(on);

	io_info(w->io, &info);
	assert_true(addr_is_loopback(&info.local));
	assert_true(addr_is_loopback(&info.peer));
	assert_true(info.local.port != 0 && info.peer.port != 0);
	assert_int_equal(getsockopt(io_fd(w->io), IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_int_equal(on, 1);
}

static void test_max_bounds_a_read(void **state)
{
	struct wire *w = *state;
	struct buf in;

	buf_init(&in, w->w.pool);
	assert_int_equal(write(w->fd, "0123456789", 10), 10);
	assert_int_equal(io_read(w->io, &in, 0), ERR_AGAIN);
	assert_int_equal(io_read(w->io, &in, 3), 3);
	assert_int_equal(io_read(w->io, &in, 6), 6);
	assert_int_equal(io_read(w->io, &in, 6), 1);
	assert_true(buf_eq(&in, STR("0123456789")));
	buf_clear(&in);
}

/* Small at first, up to 64 KiB under load, small again when the traffic is. */
static void test_read_size_follows_traffic(void **state)
{
	struct wire *w = *state;
	char block[16384] = {0};
	struct buf in;
	ssize_t n, first = 0, largest = 0;

	buf_init(&in, w->w.pool);
	for (int i = 0; i < 8; i++)
		assert_int_equal(write(w->fd, block, sizeof(block)), sizeof(block));
	while ((n = io_read(w->io, &in, IO_TURN_BYTES)) > 0) {
		first = first == 0 ? n : first;
		largest = n > largest ? n : largest;
	}
	assert_int_equal(n, ERR_AGAIN);
	assert_int_equal(buf_len(&in), 128 * 1024);
	assert_true(first <= 4096);
	assert_true(largest > 16384 && largest <= 65536);
	buf_clear(&in);
	for (int i = 0; i < 4; i++) {
		buf_clear(&in);
		assert_int_equal(write(w->fd, "x", 1), 1);
		assert_int_equal(io_read(w->io, &in, IO_TURN_BYTES), 1);
	}
	assert_true(buf_pool_used(w->w.pool) < 2 * BUF_SMALL);
	buf_clear(&in);
}

static void test_gathered_write(void **state)
{
	struct wire *w = *state;
	struct buf out, part;
	char got[1024];

	buf_init(&out, w->w.pool);
	buf_init(&part, w->w.pool);
	for (int i = 0; i < 300; i++) {
		buf_printf(&part, "%03d", i);
		buf_share(&out, &part, 0, 3);
		buf_clear(&part);
	}
	assert_int_equal(io_write(w->io, &out), 900);
	assert_int_equal(read(w->fd, got, sizeof(got)), 900);
	assert_memory_equal(got, "000001002", 9);
	assert_memory_equal(got + 891, "297298299", 9);
}

static void test_write_until_it_would_block(void **state)
{
	struct wire *w = *state;
	char block[16384] = {0};
	struct buf out;
	size_t taken = 0;
	ssize_t n;

	buf_init(&out, w->w.pool);
	for (int i = 0; i < 2048; i++) {
		if (buf_len(&out) == 0)
			buf_append(&out, block, sizeof(block));
		n = io_write(w->io, &out);
		if (n < 0)
			break;
		taken += (size_t)n;
	}
	assert_int_equal(n, ERR_AGAIN);
	assert_true(taken > 0);
	for (ssize_t got; taken > 0; taken -= (size_t)got) {
		got = read(w->fd, block, sizeof(block));
		assert_true(got > 0);
	}
	wait_for(w, IO_WRITE);
	assert_true(io_write(w->io, &out) > 0);
	buf_clear(&out);
}

static void test_half_close(void **state)
{
	struct wire *w = *state;
	char c;

	assert_int_equal(io_shutdown(w->io), 0);
	assert_int_equal(io_shutdown(w->io), 0);
	assert_int_equal(read(w->fd, &c, 1), 0);
	assert_int_equal(write(w->fd, "y", 1), 1);
	wait_for(w, IO_READ);
	read_text(w->io, w->w.pool, "y");
	shutdown(w->fd, SHUT_WR);
	wait_for(w, IO_READ);
	assert_int_equal(read_nothing(w->io, w->w.pool), 0);
	assert_int_equal(read_nothing(w->io, w->w.pool), 0);
}

static void reset_by_peer(struct wire *w)
{
	struct linger none = {.l_onoff = 1, .l_linger = 0};

	setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(w->fd);
	w->fd = -1;
}

static void test_peer_resets(void **state)
{
	struct wire *w = *state;

	reset_by_peer(w);
	wait_for(w, IO_READ);
	assert_int_equal(read_nothing(w->io, w->w.pool), ERR_RESET);
	assert_int_equal(read_nothing(w->io, w->w.pool), ERR_RESET);
	assert_int_equal(write_byte(w->io, w->w.pool), ERR_RESET);
}

/* The kernel reports a reset once; the reader must not take what follows for an orderly end. */
static void test_reset_seen_by_writer_first(void **state)
{
	struct wire *w = *state;

	assert_int_equal(write(w->fd, "last words", 10), 10);
	reset_by_peer(w);
	assert_int_equal(write_byte(w->io, w->w.pool), ERR_RESET);
	assert_int_equal(write_byte(w->io, w->w.pool), ERR_RESET);
	int n = 0;
	struct buf in;
	buf_init(&in, w->w.pool);
	while ((n = (int)io_read(w->io, &in, 4096)) > 0)
		continue;
	assert_int_equal(n, ERR_RESET);
	buf_clear(&in);
}

static void test_close_with_reset(void **state)
{
	struct wire *w = *state;
	char c;

	io_close(&w->io, true);
	assert_null(w->io);
	assert_int_equal(read(w->fd, &c, 1), -1);
	assert_int_equal(errno, ECONNRESET);
}

static void test_close_in_order(void **state)
{
	struct wire *w = *state;
	char c;

	io_close(&w->io, false);
	assert_int_equal(read(w->fd, &c, 1), 0);
}

/* Reads again and again in one turn, while bytes arrive between the reads. */
static void read_in_one_turn(void *arg, unsigned events)
{
	struct wire *w = arg;
	struct buf in;

	(void)events;
	buf_init(&in, w->w.pool);
	w->on_io.calls++;
	assert_int_equal(io_read(w->io, &in, 4096), 1);
	assert_int_equal(write(w->fd, "b", 1), 1);
	assert_int_equal(io_read(w->io, &in, 4096), ERR_AGAIN);
	buf_clear(&in);
	if (w->on_io.calls == 2)
		loop_stop(w->w.loop);
}

static void test_dry_for_the_rest_of_the_turn(void **state)
{
	struct wire *w = *state;

	io_set_user(w->io, read_in_one_turn, w);
	assert_int_equal(write(w->fd, "a", 1), 1);
	wait_for(w, IO_READ);
	assert_int_equal(w->on_io.calls, 2);
	read_text(w->io, w->w.pool, "b");
}

static void close_within(void *arg, unsigned events)
{
	struct wire *w = arg;

	(void)events;
	io_close(&w->io, false);
	w->on_io.calls++;
}

static void test_close_within_its_event(void **state)
{
	struct wire *w = *state;

	io_set_user(w->io, close_within, w);
	assert_int_equal(write(w->fd, "a", 1), 1);
	io_want(w->io, IO_READ | IO_WRITE);
	loop_run(w->w.loop);
	assert_int_equal(w->on_io.calls, 1);
}

#define UNIX(test) cmocka_unit_test_setup_teardown(test, setup_unix, teardown)
#define TCP(test) cmocka_unit_test_setup_teardown(test, setup_tcp, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIX(test_read_write),
		TCP(test_read_write),
		TCP(test_facts_and_options),
		UNIX(test_max_bounds_a_read),
		UNIX(test_read_size_follows_traffic),
		UNIX(test_gathered_write),
		UNIX(test_write_until_it_would_block),
		TCP(test_write_until_it_would_block),
		UNIX(test_half_close),
		TCP(test_half_close),
		TCP(test_peer_resets),
		TCP(test_reset_seen_by_writer_first),
		TCP(test_close_with_reset),
		TCP(test_close_in_order),
		UNIX(test_dry_for_the_rest_of_the_turn),
		UNIX(test_close_within_its_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
