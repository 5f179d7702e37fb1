/*
 * Sets the stage for both directions and both families, and clears it. Owns the virtual interfaces
 * while it runs; called by capture.c after the rules are written.
 */
#include "sidecar/capture/probe.h"

#include <errno.h>
#include <ifaddrs.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "sidecar/capture/orig_dst.h"
#include "sidecar/capture/probe_internal.h"
#include "sidecar/capture/probe_link.h"

/* Addresses that belong to nobody: one for us, one to call. */
static const char *const documentation[][2] = {
	{"192.0.2.253", "192.0.2.254"},
	{"198.51.100.253", "198.51.100.254"},
	{"203.0.113.253", "203.0.113.254"},
	{"2001:db8:ffff:ffff::fffd", "2001:db8:ffff:ffff::fffe"},
	{"2001:db8:ffff:fffe::fffd", "2001:db8:ffff:fffe::fffe"},
};
#define DOCUMENTATION (sizeof(documentation) / sizeof(documentation[0]))

const char *probe_what(const struct probe *p, bool inbound)
{
	if (p->rules->family == ADDR_V4)
		return inbound ? "inbound IPv4" : "outbound IPv4";
	return inbound ? "inbound IPv6" : "outbound IPv6";
}

int probe_family(const struct probe *p)
{
	return p->rules->family == ADDR_V4 ? AF_INET : AF_INET6;
}

bool probe_wait(int fd, short events, uint64_t deadline)
{
	struct pollfd ready = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = clock_mono(clock_system());
		int ms = now < deadline ? (int)((deadline - now) / NS_PER_MS) + 1 : 0;
		int n = poll(&ready, 1, ms);
		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

void probe_close(int fd)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

int probe_listen(const struct probe *p, bool inbound, struct trouble *t)
{
	const struct capture_config *cfg = p->rules->cfg;
	uint16_t port = inbound ? cfg->inbound_port : cfg->outbound_port;
	struct addr any = addr_any(p->rules->family, port);
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&any, &ss);
	int on = 1, fd = socket(probe_family(p), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && probe_family(p) == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd >= 0 && bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, 16) == 0)
		return fd;
	int err = err_from_errno(errno);
	if (err != ERR_EXISTS)
		trouble_set(t,
			"free the port, or choose another with --inbound-port or --outbound-port",
			"%s probe: cannot listen on port %u: %s", probe_what(p, inbound), port,
			err_text(err));
	if (fd >= 0)
		close(fd);
	return err;
}

int probe_accept(int listener, const struct addr *want, uint64_t deadline)
{
	struct addr got = {.family = ADDR_NONE};
	bool right = false;

	while (!right && probe_wait(listener, POLLIN, deadline)) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		right = orig_dst_get(fd, &got) == 0 && addr_eq(&got, want);
		probe_close(fd);
	}
	return right ? 0 : ERR_TIMEOUT;
}

static bool is_local(const struct addr *a)
{
	struct ifaddrs *list = NULL;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (const struct ifaddrs *i = list; i != NULL && !found; i = i->ifa_next) {
		struct addr has;

		found = i->ifa_addr != NULL && addr_from_sockaddr(i->ifa_addr, &has) == 0 &&
			addr_eq_ip(&has, a);
	}
	freeifaddrs(list);
	return found;
}

/* Whether a call from here to the peer is one that the rules turn; finds a port that is not
 * excluded. */
static bool is_captured(struct probe *p)
{
	struct packet packet = {.src = p->local,
		.dst = p->peer,
		.uid = geteuid(),
		.gid = getegid(),
		.iface = PROBE_LINK_IN};

	for (uint16_t port = 1; port < 1024; port++) {
		packet.dst.port = p->peer.port = port;
		if (ruleset_verdict(p->rules, CHAIN_OUT, &packet) == DO_REDIRECT)
			return true;
	}
	return false;
}

/* Our address, and one beyond that the rules capture: a documentation address, or else the first of
 * an included block. */
static bool choose_addresses(struct probe *p, bool *captured)
{
	const struct cidr_list *included = &p->rules->cfg->include_outbound_cidrs;
	bool found = false;

	*captured = false;
	for (size_t i = 0; i < DOCUMENTATION && !*captured; i++) {
		struct addr local, peer;

		if (addr_parse(str_from(documentation[i][0]), &local) < 0 ||
			addr_parse(str_from(documentation[i][1]), &peer) < 0 ||
			local.family != p->rules->family || is_local(&local) || is_local(&peer))
			continue;
		p->local = local;
		p->peer = peer;
		found = true;
		*captured = is_captured(p);
	}
	for (size_t i = 0; found && !*captured && i < included->n; i++) {
		struct addr documented = p->peer;

		if (included->v[i].base.family != p->rules->family)
			continue;
		p->peer = included->v[i].base;
		*captured = !is_local(&p->peer) && is_captured(p);
		if (!*captured)
			p->peer = documented;
	}
	return found;
}

static int probe_one(struct probe *p, struct log *log, struct trouble *t)
{
	bool captured;

	if (!choose_addresses(p, &captured)) {
		trouble_set(t, "pass --no-probe", "no documentation address is free for the probe");
		return ERR_EXISTS;
	}
	int err = probe_link_addr(&p->local, &p->peer);
	if (err < 0) {
		trouble_set(t, "pass --no-probe if addresses cannot be added here",
			"cannot give an address to the probe's interface: %s", err_text(err));
		return err;
	}
	if (captured)
		err = probe_out(p, t);
	else
		log_at(log, LOG_INFO, "capture", "probe skipped: the rules capture no destination",
			LOG_Z("what", probe_what(p, false)));
	if (err == 0)
		err = probe_in(p, t);
	return err;
}

int probe_run(const struct rules_by_family *rules, struct log *log, struct trouble *t)
{
	struct probe base = {.index_out = 0};
	int err = probe_link_make(&base.index_out, base.mac_in);

	if (err < 0)
		trouble_set(t, "load the module veth on the node, or pass --no-probe",
			"cannot make a pair of interfaces for the probe: %s",
			err == ERR_INVAL ? "this kernel has no veth" : err_text(err));
	for (size_t i = 0; i < rules->n && err == 0; i++) {
		struct probe p = base;

		p.rules = &rules->v[i];
		err = probe_one(&p, log, t);
		if (err == 0)
			log_at(log, LOG_DEBUG, "capture", "probe passed",
				LOG_Z("family", i == 0 ? "IPv4" : "IPv6"));
	}
	probe_link_remove();
	return err;
}
