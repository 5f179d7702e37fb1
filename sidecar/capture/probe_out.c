/*
 * The outbound half of the probe: calls an address that nobody has, and is answered by the outbound
 * listener. Owns its sockets for the length of the call. Called by probe.c.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "sidecar/capture/probe_internal.h"
#include "sidecar/capture/sockdiag.h"

#define REMEDY_OUT                                                                                             \
	"a rule of somebody else stands in the way (nft list ruleset, iptables-save, ip6tables-save), or the " \
	"kernel lacks redirection; the rules are taken back"

/* Begins the call and waits for its end: 0, or ERR_*. */
static int call(int fd, const struct addr *to, uint64_t deadline)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(to, &ss);
	int err = 0;

	/* A route over an interface of this instant counts only after the kernel's next look at it.
	 */
	while (connect(fd, (struct sockaddr *)&ss, len) < 0) {
		if (errno == EINPROGRESS)
			break;
		err = err_from_errno(errno);
		if (err != ERR_UNREACHABLE || clock_mono(clock_system()) >= deadline)
			return err;
		poll(NULL, 0, 10);
	}
	if (!probe_wait(fd, POLLOUT, deadline))
		return ERR_TIMEOUT;
	err = 0;
	len = sizeof(err);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	return err != 0 ? err_from_errno(err) : 0;
}

/* A sidecar listens already: the other end of our connection must be on its port. */
static int seen_at_listener(const struct probe *p, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr mine;
	struct tcp_sockets all;
	bool found = false;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
		addr_from_sockaddr((struct sockaddr *)&ss, &mine) < 0)
		return ERR_IO;
	int err = sockdiag_list(&all);
	for (size_t i = 0; err == 0 && i < all.n && !found; i++)
		found = all.v[i].local.port == p->rules->cfg->outbound_port &&
			addr_eq(&all.v[i].peer, &mine);
	tcp_sockets_clear(&all);
	return err < 0 ? err : (found ? 0 : ERR_NOTFOUND);
}

int probe_out(const struct probe *p, struct trouble *t)
{
	uint64_t deadline = clock_mono(clock_system()) + PROBE_TIMEOUT;
	int listener = probe_listen(p, false, t);
	char text[ADDR_TEXT];

	if (listener < 0 && listener != ERR_EXISTS)
		return listener;
	int fd = socket(probe_family(p), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = fd < 0 ? err_from_errno(errno) : call(fd, &p->peer, deadline);
	if (err < 0)
		trouble_set(t, REMEDY_OUT, "%s probe: a call to %s did not reach port %u: %s",
			probe_what(p, false), addr_format(&p->peer, text),
			p->rules->cfg->outbound_port, err_text(err));
	if (err == 0) {
		err = listener >= 0 ? probe_accept(listener, &p->peer, deadline)
				    : seen_at_listener(p, fd);
		if (err < 0)
			trouble_set(t, REMEDY_OUT,
				"%s probe: a call to %s was answered, but not by port %u",
				probe_what(p, false), addr_format(&p->peer, text),
				p->rules->cfg->outbound_port);
	}
	probe_close(fd);
	if (listener >= 0)
		close(listener);
	return err;
}
