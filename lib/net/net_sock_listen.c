/*
 * Listeners of the kernel's network: bind with errors that people understand, accept in bounded
 * portions, and survive the want of descriptors without spinning. A listener owns its descriptor, a
 * reserve descriptor and, for Unix sockets, the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/net/io_internal.h"
#include "lib/net/net_internal.h"

/* Out of descriptors: connections wait in the kernel's queue and are tried again this often, ... */
#define STARVED_PAUSE_NS (100 * NS_PER_MS)
/* ... and after this long they are refused, so that nobody hangs on a listener that cannot serve.
 */
#define STARVED_PATIENCE_NS NS_PER_S

/* Owned as struct listener is. */
struct sock_listener {
	struct listener l;
	struct loop_fd watch;
	struct loop_timer retry; /* runs while starved */
	uint64_t starved_since;  /* 0: descriptors were there at the last accept */
	int reserve;             /* given up for a moment to refuse a connection; -1: none */
	dev_t dev;               /* the Unix socket's file, */
	ino_t ino;               /* so that nobody else's is removed */
};

static struct sock_listener *listener_of(struct listener *l)
{
	return CONTAINER_OF(l, struct sock_listener, l);
}

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* --- accepting --- */

static void watch_again(struct sock_listener *s)
{
	bool on = !s->l.paused && !s->l.closed && !loop_timer_running(&s->retry);

	loop_fd_want(&s->watch, on ? LOOP_READ : 0);
}

static void on_retry(void *arg)
{
	watch_again(arg);
}

/* Refuses up to a turn's portion of waiting connections with RST, one at a time on the reserve. */
static void refuse_waiting(struct sock_listener *s)
{
	for (int i = 0; i < s->l.accepts_per_turn && s->reserve >= 0; i++) {
		close(s->reserve);
		int fd = accept4(s->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			s->l.starved++;
			io_sock_linger_none(fd);
			close(fd);
		}
		s->reserve = open_reserve();
		if (fd < 0)
			return;
	}
}

static void on_starved(struct sock_listener *s, int errno_value)
{
	struct loop *loop = s->l.net->loop;
	char name[ADDR_TEXT];

	s->l.starved++;
	if (s->starved_since == 0) {
		s->starved_since = loop_now(loop);
		log_at(s->l.net->log, LOG_WARN, "listen", "cannot accept, connections wait",
			LOG_Z("listener", listener_name(&s->l, name)),
			LOG_Z("error", err_text(err_from_errno(errno_value))));
	} else if (loop_now(loop) - s->starved_since >= STARVED_PATIENCE_NS) {
		refuse_waiting(s);
	}
	loop_timer_start(&s->retry, STARVED_PAUSE_NS);
	watch_again(s);
}

/* What accept says of a connection that is gone already, or of the network it came by. */
static bool is_passing(int e)
{
	static const int passing[] = {EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT,
		EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, ECONNRESET};

	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
		if (e == passing[i])
			return true;
	}
	return false;
}

static void on_accepted(struct sock_listener *s, int fd, const struct sockaddr_storage *from)
{
	struct addr peer;

	s->starved_since = 0;
	if (s->reserve < 0)
		s->reserve = open_reserve();
	addr_from_sockaddr((const struct sockaddr *)from, &peer);
	listener_deliver(&s->l, io_sock_adopt(s->l.net->loop, fd, &peer));
}

/* Level-triggered: what is left after a turn's portion comes with the next turn. */
static void on_acceptable(void *arg, unsigned events)
{
	struct sock_listener *s = arg;

	(void)events;
	for (int i = 0; i < s->l.accepts_per_turn; i++) {
		struct sockaddr_storage from = {0};
		socklen_t len = sizeof(from);
		int fd = accept4(s->watch.fd, (struct sockaddr *)&from, &len,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			on_accepted(s, fd, &from);
		} else if (errno == EAGAIN) {
			return;
		} else if (!is_passing(errno)) {
			on_starved(s, errno);
			return;
		}
		if (s->l.paused || s->l.closed)
			return;
	}
}

/* --- life --- */

static void sock_listener_pause(struct listener *l)
{
	watch_again(listener_of(l));
}

static void listener_burn(void *ptr)
{
	listener_destroy(&((struct sock_listener *)ptr)->l);
}

static void remove_socket_file(const struct sock_listener *s)
{
	struct stat st;

	if (s->l.unix_path != NULL && s->ino != 0 && lstat(s->l.unix_path, &st) == 0 &&
		st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->l.unix_path);
}

static void sock_listener_close(struct listener *l)
{
	struct sock_listener *s = listener_of(l);

	loop_timer_stop(&s->retry);
	loop_fd_stop(&s->watch);
	remove_socket_file(s);
	if (s->watch.fd >= 0)
		close(s->watch.fd);
	if (s->reserve >= 0)
		close(s->reserve);
	s->watch.fd = s->reserve = -1;
	loop_defer_free(l->net->loop, s, listener_burn);
}

static const struct listener_ops sock_listener_ops = {
	.pause = sock_listener_pause,
	.close = sock_listener_close,
};

/* --- opening --- */

static const char *bind_text(int e, bool path)
{
	switch (e) {
	case EADDRINUSE:
		return path ? "already in use by another process; stop that process or choose "
			      "another path"
			    : "address already in use by another process; stop that process or "
			      "choose another port";
	case EACCES:
		if (path)
			return "permission denied in its folder";
		return "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE";
	case EADDRNOTAVAIL:
		return "no interface of this host has this address";
	case ENOENT:
	case ENOTDIR:
		return "its folder is not there";
	case EAFNOSUPPORT:
		return "this host does not support this address family";
	case EMFILE:
	case ENFILE:
		return "out of file descriptors";
	case EPERM:
		return "not permitted; transparent listeners need CAP_NET_ADMIN";
	default:
		return err_text(err_from_errno(e));
	}
}

static int bind_error(const struct sock_listener *s, int e, char *err, size_t size)
{
	return listener_error(&s->l, err_from_errno(e), bind_text(e, s->l.unix_path != NULL), err,
		size);
}

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

/* 0 or -1 and errno. Accepted sockets inherit the options. */
static int prepare_tcp(int fd, const struct listen_config *cfg)
{
	bool v6 = cfg->addr.family == ADDR_V6;

	io_sock_no_delay(fd);
	if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0)
		return -1;
	if (cfg->reuse_port && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
		return -1;
	if (v6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, cfg->v6_only) < 0)
		return -1;
	if (!cfg->transparent)
		return 0;
	return v6 ? set_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
		  : set_option(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
}

static int bind_tcp(struct sock_listener *s, const struct listen_config *cfg)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&cfg->addr, &ss);

	if (len == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	s->watch.fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->watch.fd < 0 || prepare_tcp(s->watch.fd, cfg) < 0)
		return -1;
	return bind(s->watch.fd, (struct sockaddr *)&ss, len);
}

/* True unless it is certain that no process listens there. A live one answers at once, or is full.
 */
static bool somebody_answers(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return true;
	bool dead = connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 &&
		(errno == ECONNREFUSED || errno == ENOENT);
	close(fd);
	return !dead;
}

/* Removes what a killed predecessor left; other people's files are never touched. */
static bool clear_stale(const struct sockaddr_un *un)
{
	struct stat st;

	if (lstat(un->sun_path, &st) < 0)
		return errno == ENOENT;
	return S_ISSOCK(st.st_mode) && !somebody_answers(un) && unlink(un->sun_path) == 0;
}

/*
 * The mode is set before the bind, so there is no moment in which others may connect, and without
 * the umask, which all threads share.
 */
static int bind_unix(struct sock_listener *s, mode_t mode)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct stat st;

	if (str_copy(un.sun_path, sizeof(un.sun_path), str_from(s->l.unix_path)) < 0) {
		errno = ENAMETOOLONG;
		return -1;
	}
	s->watch.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->watch.fd < 0 || fchmod(s->watch.fd, mode) < 0)
		return -1;
	int n = bind(s->watch.fd, (struct sockaddr *)&un, sizeof(un));
	if (n < 0 && errno == EADDRINUSE) {
		if (!clear_stale(&un)) {
			errno = EADDRINUSE;
			return -1;
		}
		n = bind(s->watch.fd, (struct sockaddr *)&un, sizeof(un));
	}
	if (n < 0 || lstat(un.sun_path, &st) < 0)
		return -1;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return (st.st_mode & 0777) == mode ? 0 : chmod(un.sun_path, mode);
}

static void learn_port(struct sock_listener *s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr bound;

	if (getsockname(s->watch.fd, (struct sockaddr *)&ss, &len) == 0 &&
		addr_from_sockaddr((struct sockaddr *)&ss, &bound) == 0)
		s->l.addr = bound;
}

int sock_listen(struct net *net, const struct listen_config *cfg, struct listener **out, char *err,
	size_t size)
{
	struct sock_listener *s = MEM_NEW(struct sock_listener);
	struct listener *l = &s->l;
	mode_t mode = cfg->unix_mode != 0 ? cfg->unix_mode : 0600;

	listener_init(l, &sock_listener_ops, net, cfg);
	loop_fd_init(&s->watch, net->loop, -1, on_acceptable, s);
	loop_timer_init(&s->retry, net->loop, on_retry, s);
	s->reserve = open_reserve();
	if ((l->unix_path != NULL ? bind_unix(s, mode) : bind_tcp(s, cfg)) < 0 ||
		listen(s->watch.fd, cfg->backlog > 0 ? cfg->backlog : LISTEN_BACKLOG) < 0) {
		int e = bind_error(s, errno, err, size);
		listener_close(&l);
		return e;
	}
	if (l->unix_path == NULL)
		learn_port(s);
	loop_fd_want(&s->watch, LOOP_READ);
	*out = l;
	return 0;
}
