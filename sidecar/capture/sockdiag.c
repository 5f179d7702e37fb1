/*
 * Speaks NETLINK_SOCK_DIAG: one request, answers until done. Owns its socket for the length of a
 * call; called by older.c and probe.c.
 */
#include "sidecar/capture/sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"

/* Numbers of include/net/tcp_states.h, which no header for programs has. */
enum {
	STATE_FIN_WAIT1 = 4,
	STATE_FIN_WAIT2 = 5,
	STATE_TIME_WAIT = 6,
	STATE_CLOSE = 7,
	STATE_LAST_ACK = 9,
	STATE_LISTEN = 10,
	STATE_CLOSING = 11
};
#define STATES_WANTED (0xfffu & ~(1u << STATE_TIME_WAIT) & ~(1u << STATE_CLOSE) & ~1u)

#define ANSWER_MAX 65536

/* A request as it goes out. */
struct request {
	struct nlmsghdr head;
	struct inet_diag_req_v2 diag;
};

static int diag_open(void)
{
	struct timeval limit = {.tv_sec = 5};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return err_from_errno(errno);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static int diag_send(int fd, const struct request *req)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n;

	do
		n = sendto(fd, req, sizeof(*req), 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_from_errno(errno) : 0;
}

static struct addr addr_of(uint8_t family, const __be32 *words, __be16 port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
	struct addr a = {.family = ADDR_NONE};

	memcpy(&v6.sin6_addr, words, sizeof(v6.sin6_addr));
	memcpy(&v4.sin_addr, words, sizeof(v4.sin_addr));
	if (family == AF_INET)
		addr_from_sockaddr((struct sockaddr *)&v4, &a);
	else
		addr_from_sockaddr((struct sockaddr *)&v6, &a);
	return a;
}

static bool is_orphan(const struct inet_diag_msg *m)
{
	return m->idiag_inode == 0 &&
		(m->idiag_state == STATE_FIN_WAIT1 || m->idiag_state == STATE_FIN_WAIT2 ||
			m->idiag_state == STATE_LAST_ACK || m->idiag_state == STATE_CLOSING);
}

static void keep(struct tcp_sockets *l, const struct inet_diag_msg *m)
{
	if (l->n == l->cap) {
		l->cap = l->cap != 0 ? l->cap * 2 : 64;
		l->v = mem_resize(l->v, l->cap * sizeof(l->v[0]));
	}
	l->v[l->n++] = (struct tcp_socket){
		.local = addr_of(m->idiag_family, m->id.idiag_src, m->id.idiag_sport),
		.peer = addr_of(m->idiag_family, m->id.idiag_dst, m->id.idiag_dport),
		.uid = m->idiag_uid,
		.inode = m->idiag_inode,
		.listening = m->idiag_state == STATE_LISTEN,
		.orphan = is_orphan(m),
		.family = m->idiag_family,
		.state = m->idiag_state,
		.iface = m->id.idiag_if,
		.cookie = {m->id.idiag_cookie[0], m->id.idiag_cookie[1]},
	};
}

/* 1: more to come; 0: done; ERR_*. */
static int take_answer(struct tcp_sockets *l, struct nlmsghdr *m, size_t len)
{
	for (; NLMSG_OK(m, len); m = NLMSG_NEXT(m, len)) {
		if (m->nlmsg_type == NLMSG_DONE)
			return 0;
		if (m->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(m);
			return e->error != 0 ? err_from_errno(-e->error) : 0;
		}
		if (m->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
			m->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			keep(l, NLMSG_DATA(m));
	}
	return 1;
}

static int list_family(int fd, uint8_t family, struct tcp_sockets *l)
{
	struct request req = {
		.head = {.nlmsg_len = sizeof(req),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.diag = {.sdiag_family = family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = STATES_WANTED},
	};
	struct nlmsghdr *answer = mem_alloc(ANSWER_MAX);
	int err = diag_send(fd, &req);

	for (int more = 1; err == 0 && more == 1;) {
		ssize_t n = recv(fd, answer, ANSWER_MAX, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = errno == EAGAIN ? ERR_TIMEOUT : err_from_errno(errno);
		else
			more = take_answer(l, answer, (size_t)n);
		if (more < 0)
			err = more;
	}
	mem_free(answer);
	return err;
}

int sockdiag_list(struct tcp_sockets *l)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int fd = diag_open(), err = fd < 0 ? fd : 0;

	*l = (struct tcp_sockets){.n = 0};
	for (size_t i = 0; i < 2 && err == 0; i++) {
		err = list_family(fd, families[i], l);
		/* A kernel without IPv6 has no such list. */
		if (families[i] == AF_INET6 && err == ERR_NOTFOUND)
			err = 0;
	}
	if (fd >= 0)
		close(fd);
	return err;
}

void tcp_sockets_clear(struct tcp_sockets *l)
{
	mem_free(l->v);
	*l = (struct tcp_sockets){.n = 0};
}

static void put_addr(const struct addr *a, uint8_t family, __be32 *words, __be16 *port)
{
	*port = htons(a->port);
	if (family == AF_INET6 && a->family == ADDR_V4) {
		words[2] = htonl(0xffff);
		memcpy(&words[3], a->bytes, 4);
		return;
	}
	memcpy(words, a->bytes, family == AF_INET ? 4 : 16);
}

int sockdiag_destroy(const struct tcp_socket *s)
{
	struct request req = {
		.head = {.nlmsg_len = sizeof(req),
			.nlmsg_type = SOCK_DESTROY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.diag = {.sdiag_family = s->family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = 1u << s->state,
			.id = {.idiag_if = s->iface, .idiag_cookie = {s->cookie[0], s->cookie[1]}}},
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr err;
	} answer = {.err = {.error = -EIO}};

	put_addr(&s->local, s->family, req.diag.id.idiag_src, &req.diag.id.idiag_sport);
	put_addr(&s->peer, s->family, req.diag.id.idiag_dst, &req.diag.id.idiag_dport);
	int fd = diag_open(), err = fd < 0 ? fd : diag_send(fd, &req);
	if (err == 0 && recv(fd, &answer, sizeof(answer), 0) < 0)
		err = ERR_IO;
	if (fd >= 0)
		close(fd);
	if (err < 0 || answer.err.error == 0 || answer.err.error == -ENOENT)
		return err;
	if (answer.err.error == -EOPNOTSUPP || answer.err.error == -EINVAL)
		return ERR_INVAL;
	return answer.err.error == -EPERM ? ERR_DENIED : ERR_IO;
}
