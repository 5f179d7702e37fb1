/*
 * The bottom layer over a stream socket: gathers writes, sizes reads by the traffic, maps errors.
 * Owns the descriptor; made by listeners, dials and tests, closed through io_close.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/net/io_internal.h"

#define SOCK_READ_PIECES 8
#define SOCK_WRITE_PIECES 64

/* What one read asks for, by how full the last ones were: multiples of the chunk sizes of struct
 * buf. */
static const size_t read_sizes[] = {BUF_SMALL, BUF_LARGE, 4 * BUF_LARGE};
#define READ_SIZES (sizeof(read_sizes) / sizeof(read_sizes[0]))

/* Owned by the layer above or the user, freed by io_close; owns the descriptor. */
struct sock {
	struct io io;
	struct loop_fd watch;
	struct addr peer;
	uint64_t dry_turn;  /* turn in which the kernel had no more to read */
	uint64_t full_turn; /* turn in which the kernel took no more */
	int read_err;       /* sticky */
	int write_err;      /* sticky; what arrived before it can still be read */
	uint8_t read_size;  /* index in read_sizes */
	bool shut;
};

static const struct io_ops sock_ops;

static struct sock *sock_of(struct io *io)
{
	return CONTAINER_OF(OBJ_CAST(struct io, IO_MAGIC, io), struct sock, io);
}

static const struct sock *sock_of_const(const struct io *io)
{
	return CONTAINER_OF(io, const struct sock, io);
}

static void on_ready(void *arg, unsigned events)
{
	struct sock *s = arg;

	if (s->io.fn != NULL)
		s->io.fn(s->io.arg, events);
}

/* Within the turn in which a call came back short the next one would say "would block": it is not
 * made. */
static bool this_turn(const struct sock *s, uint64_t turn)
{
	return turn != 0 && turn == loop_turn(s->io.loop);
}

static int sock_fail(int *sticky, int errno_value)
{
	int err = err_from_errno(errno_value);

	if (err != ERR_AGAIN)
		*sticky = err;
	return err;
}

/* At most want bytes: a reserve is rounded up to chunks. */
static int cut_iov(struct iovec *iov, int n, size_t want)
{
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len >= want) {
			iov[i].iov_len = want;
			return i + 1;
		}
		want -= iov[i].iov_len;
	}
	return n;
}

static size_t iov_total(const struct iovec *iov, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}

/* Full reads ask for more next time; reads that would have fitted twice into the next smaller size,
 * for less. */
static void adapt(struct sock *s, size_t asked, size_t got)
{
	if (got == asked && asked == read_sizes[s->read_size] && s->read_size + 1u < READ_SIZES)
		s->read_size++;
	else if (s->read_size > 0 && got <= read_sizes[s->read_size - 1] / 2)
		s->read_size--;
}

static ssize_t sock_recv(struct sock *s, struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	ssize_t got;

	do
		got = recvmsg(s->watch.fd, &msg, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	return got;
}

/* The kernel tells of a reset once: where a write learned of it, the reader's end of stream is no
 * orderly one. */
static ssize_t sock_read(struct io *io, struct buf *in, size_t max)
{
	struct sock *s = sock_of(io);
	struct iovec iov[SOCK_READ_PIECES];

	if (s->read_err != 0)
		return s->read_err;
	if (max == 0 || this_turn(s, s->dry_turn))
		return ERR_AGAIN;
	size_t want = read_sizes[s->read_size] < max ? read_sizes[s->read_size] : max;
	int n = cut_iov(iov, buf_reserve_iov(in, want, iov, SOCK_READ_PIECES), want);
	size_t asked = iov_total(iov, n);
	ssize_t got = sock_recv(s, iov, n);
	buf_commit_iov(in, got > 0 ? (size_t)got : 0);
	if (got < 0)
		return sock_fail(&s->read_err, errno);
	if (got == 0)
		return s->write_err;
	adapt(s, asked, (size_t)got);
	if ((size_t)got < asked)
		s->dry_turn = loop_turn(io->loop);
	return got;
}

static ssize_t sock_send(struct sock *s, struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	ssize_t sent;

	do
		sent = sendmsg(s->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent;
}

/* Bytes that were taken before an error count; the error comes with the next call. */
static ssize_t sock_write(struct io *io, struct buf *out)
{
	struct sock *s = sock_of(io);
	struct iovec iov[SOCK_WRITE_PIECES];
	ssize_t total = 0;

	if (s->write_err != 0)
		return s->write_err;
	if (buf_len(out) > 0 && this_turn(s, s->full_turn))
		return ERR_AGAIN;
	while (buf_len(out) > 0) {
		int n = buf_iov(out, buf_len(out), iov, SOCK_WRITE_PIECES);
		size_t offered = iov_total(iov, n);
		ssize_t sent = sock_send(s, iov, n);
		if (sent < 0) {
			int err = sock_fail(&s->write_err, errno);
			return total > 0 ? total : err;
		}
		buf_consume(out, (size_t)sent);
		total += sent;
		if ((size_t)sent < offered) {
			s->full_turn = loop_turn(io->loop);
			break;
		}
	}
	return total;
}

static int sock_shutdown(struct io *io)
{
	struct sock *s = sock_of(io);

	if (s->shut)
		return 0;
	s->shut = true;
	if (s->write_err != 0)
		return s->write_err;
	if (shutdown(s->watch.fd, SHUT_WR) < 0)
		return sock_fail(&s->write_err, errno);
	return 0;
}

/*
 * With nothing wanted, nothing is watched: a peer that resets then is noticed by the next read or
 * write, not by a loop that spins on a hang-up that nobody takes.
 */
static void sock_want(struct io *io, unsigned events)
{
	loop_fd_want(&sock_of(io)->watch, events);
}

/* A socket pair has credentials too: those of its maker. */
static void unix_peer(int fd, struct io_info *info)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || len != sizeof(cred) ||
		cred.uid == (uid_t)-1)
		return;
	info->unix_uid = cred.uid;
	info->unix_uid_known = true;
}

static void sock_info(const struct io *io, struct io_info *info)
{
	const struct sock *s = sock_of_const(io);
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	info->peer = s->peer;
	if (getsockname(s->watch.fd, (struct sockaddr *)&ss, &len) != 0)
		return;
	addr_from_sockaddr((struct sockaddr *)&ss, &info->local);
	if (ss.ss_family == AF_UNIX)
		unix_peer(s->watch.fd, info);
}

static void sock_close(struct io *io, bool reset)
{
	struct sock *s = sock_of(io);

	loop_fd_stop(&s->watch);
	if (reset)
		io_sock_linger_none(s->watch.fd);
	close(s->watch.fd);
	s->watch.fd = -1;
	loop_defer_free(io->loop, s, mem_free);
}

static const struct io_ops sock_ops = {
	.name = "sock",
	.read = sock_read,
	.write = sock_write,
	.shutdown = sock_shutdown,
	.want = sock_want,
	.info = sock_info,
	.close = sock_close,
};

/* Fails on sockets that are not TCP, which have no such delay. */
void io_sock_no_delay(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void io_sock_linger_none(int fd)
{
	struct linger none = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

struct io *io_sock_adopt(struct loop *loop, int fd, const struct addr *peer)
{
	struct sock *s = MEM_NEW(struct sock);

	s->io.obj.magic = IO_MAGIC;
	s->io.ops = &sock_ops;
	s->io.loop = loop;
	s->peer = *peer;
	loop_fd_init(&s->watch, loop, fd, on_ready, s);
	return &s->io;
}

struct io *io_sock_new(struct loop *loop, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr peer = {0};

	io_sock_no_delay(fd);
	if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
		addr_from_sockaddr((struct sockaddr *)&ss, &peer);
	return io_sock_adopt(loop, fd, &peer);
}

int io_fd(const struct io *io)
{
	const struct io *bottom = io_bottom(io);

	return bottom->ops == &sock_ops ? sock_of_const(bottom)->watch.fd : -1;
}
