/*
 * The kernel's network: connections by non-blocking connect. A dial owns its descriptor until it
 * becomes an io; made by main through net_new. The listeners are in net_sock_listen.c.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/net/io_internal.h"
#include "lib/net/net_internal.h"

/* Owned as struct dial is; owns the descriptor. */
struct sock_dial {
	struct dial dial;
	struct loop_fd watch; /* fd -1: none */
};

static struct sock_dial *dial_of(struct dial *d)
{
	return CONTAINER_OF(d, struct sock_dial, dial);
}

static void sock_dial_stop(struct dial *d)
{
	struct sock_dial *s = dial_of(d);

	loop_fd_stop(&s->watch);
	if (s->watch.fd >= 0)
		close(s->watch.fd);
	s->watch.fd = -1;
}

static const struct dial_ops sock_dial_ops = {.stop = sock_dial_stop};

static bool local_name(int fd, struct addr *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	return getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
		addr_from_sockaddr((struct sockaddr *)&ss, out) == 0;
}

static bool has_peer(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	return getpeername(fd, (struct sockaddr *)&ss, &len) == 0;
}

/*
 * A port of our own that nobody listens on may be chosen as source port, and the connection then
 * meets itself: to the caller that is a refusal.
 */
static void connected(struct sock_dial *s)
{
	struct addr local;
	int fd = s->watch.fd;

	if (s->dial.unix_path == NULL && local_name(fd, &local) &&
		addr_eq(&local, &s->dial.cfg.to)) {
		dial_finish(&s->dial, NULL, ERR_REFUSED);
		return;
	}
	loop_fd_stop(&s->watch);
	s->watch.fd = -1;
	dial_finish(&s->dial, io_sock_adopt(s->dial.net->loop, fd, &s->dial.cfg.to), 0);
}

static int pending_error(int fd)
{
	int e = 0;
	socklen_t len = sizeof(e);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		return errno;
	return e;
}

/* The event alone proves nothing: the loop may report a descriptor's earlier life. */
static void on_connectable(void *arg, unsigned events)
{
	struct sock_dial *s = arg;

	(void)events;
	if (has_peer(s->watch.fd)) {
		connected(s);
		return;
	}
	int e = pending_error(s->watch.fd);
	if (e != 0)
		dial_finish(&s->dial, NULL, err_from_errno(e));
}

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

/* 0 or -1 and errno. The source port is chosen at connect, so that sources share ports. */
static int sock_dial_prepare(int fd, const struct dial_config *cfg)
{
	struct sockaddr_storage ss;

	io_sock_no_delay(fd);
	if (cfg->user_timeout_ms > 0 &&
		set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, cfg->user_timeout_ms) < 0)
		return -1;
	if (cfg->mark != 0 && set_option(fd, SOL_SOCKET, SO_MARK, (int)cfg->mark) < 0)
		return -1;
	if (cfg->from.family == ADDR_NONE)
		return 0;
	(void)set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	socklen_t len = addr_to_sockaddr(&cfg->from, &ss);
	return bind(fd, (struct sockaddr *)&ss, len);
}

/* Where it goes, as the kernel wants it; 0: that cannot be said. */
static socklen_t sock_dial_name(const struct dial *d, struct sockaddr_storage *ss)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if (d->unix_path == NULL)
		return addr_to_sockaddr(&d->cfg.to, ss);
	if (str_copy(un.sun_path, sizeof(un.sun_path), str_from(d->unix_path)) < 0)
		return 0;
	memcpy(ss, &un, sizeof(un));
	return sizeof(un);
}

/*
 * 0: connected or under way; -1 and errno. A Unix socket whose queue is full says EAGAIN and never
 * reports room: that is a refusal.
 */
static int sock_dial_connect(struct sock_dial *s)
{
	const struct dial_config *cfg = &s->dial.cfg;
	struct sockaddr_storage ss;
	socklen_t len = sock_dial_name(&s->dial, &ss);

	if (len == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	s->watch.fd = fd;
	if (s->dial.unix_path == NULL && sock_dial_prepare(fd, cfg) < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS || errno == EINTR)
		return 0;
	if (errno == EAGAIN)
		errno = ECONNREFUSED;
	return -1;
}

static struct dial *sock_dial(struct net *net, const struct dial_config *cfg)
{
	struct sock_dial *s = MEM_NEW(struct sock_dial);

	dial_init(&s->dial, &sock_dial_ops, net, cfg);
	loop_fd_init(&s->watch, net->loop, -1, on_connectable, s);
	if (sock_dial_connect(s) < 0)
		dial_finish(&s->dial, NULL, err_from_errno(errno));
	else
		loop_fd_want(&s->watch, LOOP_WRITE);
	return &s->dial;
}

static void sock_net_free(struct net *net)
{
	mem_free(net);
}

static const struct net_ops sock_net_ops = {
	.listen = sock_listen,
	.dial = sock_dial,
	.free = sock_net_free,
};

struct net *net_new(struct loop *loop, struct buf_pool *pool, struct log *log)
{
	struct net *net = MEM_NEW(struct net);

	net_init(net, &sock_net_ops, loop, pool, log);
	return net;
}
