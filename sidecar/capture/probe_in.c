/*
 * The inbound half of the probe: a handshake made by hand on the far end of the virtual interfaces,
 * so that its packets come in like a stranger's. Owns its sockets for the length of the call.
 * Called by probe.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "sidecar/capture/probe_frame.h"
#include "sidecar/capture/probe_internal.h"
#include "sidecar/capture/probe_link.h"

#define SYN_INTERVAL (200 * NS_PER_MS)
#define PORT_TRIES 32
#define REMEDY_IN                                                                                              \
	"a rule of somebody else stands in the way (nft list ruleset, iptables-save, ip6tables-save), or the " \
	"kernel lacks redirection; the rules are taken back"

/* Takes a port of ours that nobody listens on and that the rules capture; the descriptor holds it.
 */
static int reserve_port(const struct probe *p, struct addr *to)
{
	struct packet packet = {
		.src = p->peer, .uid = UINT32_MAX, .gid = UINT32_MAX, .iface = PROBE_LINK_IN};

	for (int i = 0; i < PORT_TRIES; i++) {
		struct addr at = addr_with_port(&p->local, 0);
		struct sockaddr_storage ss;
		socklen_t len = addr_to_sockaddr(&at, &ss);
		int fd = socket(probe_family(p), SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return err_from_errno(errno);
		if (bind(fd, (struct sockaddr *)&ss, len) == 0 && (len = sizeof(ss)) != 0 &&
			getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
			addr_from_sockaddr((struct sockaddr *)&ss, to) == 0) {
			packet.dst = *to;
			if (ruleset_verdict(p->rules, CHAIN_IN, &packet) == DO_REDIRECT)
				return fd;
		}
		close(fd);
	}
	return ERR_NOTFOUND;
}

static int packet_socket(const struct probe *p)
{
	uint16_t protocol = p->rules->family == ADDR_V4 ? ETH_P_IP : ETH_P_IPV6;
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = p->index_out};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(protocol));

	if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	int err = err_from_errno(errno);
	if (fd >= 0)
		close(fd);
	return err;
}

static int send_frame(const struct probe *p, int fd, const struct frame_tcp *t)
{
	uint8_t bytes[FRAME_MAX];
	size_t n = frame_build(t, p->mac_in, bytes);

	return send(fd, bytes, n, 0) == (ssize_t)n ? 0 : err_from_errno(errno);
}

/* Waits for the answer to the SYN: 0 with it, ERR_RESET, or ERR_TIMEOUT. */
static int await_answer(int fd, const struct frame_tcp *syn, struct frame_tcp *answer,
	uint64_t deadline)
{
	uint8_t bytes[2048];

	while (probe_wait(fd, POLLIN, deadline)) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
		if (n < 0 || !frame_parse(bytes, (size_t)n, answer))
			continue;
		if (!addr_eq(&answer->src, &syn->dst) || !addr_eq(&answer->dst, &syn->src) ||
			answer->ack != syn->seq + 1)
			continue;
		return (answer->flags & FRAME_RST) != 0 ? ERR_RESET : 0;
	}
	return ERR_TIMEOUT;
}

/* Shakes hands with whoever answers for to; *ours is how to go on. 0 or ERR_*. */
static int handshake(const struct probe *p, int fd, const struct addr *to, uint64_t deadline,
	struct frame_tcp *ours)
{
	struct rng rng;
	struct frame_tcp answer;
	int err = ERR_TIMEOUT;

	rng_seed_system(&rng);
	*ours = (struct frame_tcp){
		.src = addr_with_port(&p->peer, (uint16_t)rng_between(&rng, 32768, 60999)),
		.dst = *to,
		.seq = (uint32_t)rng_next(&rng),
		.flags = FRAME_SYN,
	};
	while (err == ERR_TIMEOUT && clock_mono(clock_system()) < deadline) {
		err = send_frame(p, fd, ours);
		if (err == 0)
			err = await_answer(fd, ours, &answer,
				clock_mono(clock_system()) + SYN_INTERVAL);
	}
	if (err < 0)
		return err;
	ours->seq++;
	ours->ack = answer.seq + 1;
	ours->flags = FRAME_ACK;
	return send_frame(p, fd, ours);
}

/* With the sockets in place. An answer from a port that nobody listens on is a redirected one. */
static int call(const struct probe *p, int fd, int listener, const struct addr *to,
	struct trouble *t)
{
	uint64_t deadline = clock_mono(clock_system()) + PROBE_TIMEOUT;
	uint16_t port = p->rules->cfg->inbound_port;
	struct frame_tcp ours;
	int err = handshake(p, fd, to, deadline, &ours);

	if (err < 0) {
		trouble_set(t, REMEDY_IN, "%s probe: a call from outside did not reach port %u: %s",
			probe_what(p, true), port,
			err == ERR_TIMEOUT ? "no answer" : err_text(err));
		return err;
	}
	if (listener >= 0)
		err = probe_accept(listener, to, deadline);
	if (err < 0)
		trouble_set(t, REMEDY_IN,
			"%s probe: a call from outside was answered, but not by port %u",
			probe_what(p, true), port);
	ours.flags = FRAME_RST | FRAME_ACK;
	send_frame(p, fd, &ours);
	return err;
}

int probe_in(const struct probe *p, struct trouble *t)
{
	struct addr to;
	int listener = probe_listen(p, true, t);

	if (listener < 0 && listener != ERR_EXISTS)
		return listener;
	int port = reserve_port(p, &to), fd = packet_socket(p), err = port < 0 ? port : fd;
	if (err < 0)
		trouble_set(t, "give the container NET_RAW, or pass --no-probe",
			"%s probe: cannot send packets by hand: %s", probe_what(p, true),
			err_text(err));
	else
		err = call(p, fd, listener, &to, t);
	if (port >= 0)
		close(port);
	if (fd >= 0)
		close(fd);
	if (listener >= 0)
		close(listener);
	return err;
}
