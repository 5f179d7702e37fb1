/*
 * The few rtnetlink requests that the probe needs (rtnetlink(7)). Owns its socket for the length of
 * a call. Called by probe.c, and by capture.c to clean up.
 */
#include "sidecar/capture/probe_link.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/obj.h"

/* A request under construction; on the stack. */
struct rtnl {
	struct nlmsghdr head;
	uint8_t body[512];
};

static void *rtnl_put(struct rtnl *r, const void *p, size_t n)
{
	size_t at = r->head.nlmsg_len;

	ASSERT(at + NLMSG_ALIGN(n) <= sizeof(*r));
	uint8_t *to = (uint8_t *)r + at;
	memset(to, 0, NLMSG_ALIGN(n));
	if (n > 0)
		memcpy(to, p, n);
	r->head.nlmsg_len += (uint32_t)NLMSG_ALIGN(n);
	return to;
}

static void rtnl_begin(struct rtnl *r, uint16_t type, uint16_t flags)
{
	r->head = (struct nlmsghdr){.nlmsg_len = NLMSG_HDRLEN,
		.nlmsg_type = type,
		.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)};
}

static void rtnl_attr(struct rtnl *r, uint16_t type, const void *p, size_t n)
{
	struct rtattr attr = {.rta_len = (uint16_t)RTA_LENGTH(n), .rta_type = type};

	rtnl_put(r, &attr, sizeof(attr));
	rtnl_put(r, p, n);
}

/* A nested attribute: its length is known when it is closed. */
static struct rtattr *rtnl_open(struct rtnl *r, uint16_t type)
{
	struct rtattr attr = {.rta_type = type};

	return rtnl_put(r, &attr, sizeof(attr));
}

static void rtnl_close(struct rtnl *r, struct rtattr *attr)
{
	attr->rta_len = (uint16_t)((uint8_t *)r + r->head.nlmsg_len - (uint8_t *)attr);
}

/* Sends it and waits for the kernel's verdict: 0 or -errno. */
static int rtnl_talk(const struct rtnl *r)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr err;
		uint8_t rest[1024];
	} answer = {.err = {.error = -EIO}};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	ssize_t n = send(fd, r, r->head.nlmsg_len, 0);
	if (n >= 0)
		n = recv(fd, &answer, sizeof(answer), 0);
	int err = n < 0 ? -errno : answer.err.error;
	close(fd);
	return err;
}

static int from_errno(int negative)
{
	if (negative == -EOPNOTSUPP)
		return ERR_INVAL;
	return negative == 0 ? 0 : err_from_errno(-negative);
}

int probe_link_remove(void)
{
	struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
	struct rtnl r;

	rtnl_begin(&r, RTM_DELLINK, 0);
	rtnl_put(&r, &info, sizeof(info));
	rtnl_attr(&r, IFLA_IFNAME, PROBE_LINK_IN, sizeof(PROBE_LINK_IN));
	int err = rtnl_talk(&r);
	return err == -ENODEV ? 0 : from_errno(err);
}

static int make_pair(void)
{
	struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
	struct rtnl r;

	rtnl_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_put(&r, &info, sizeof(info));
	rtnl_attr(&r, IFLA_IFNAME, PROBE_LINK_IN, sizeof(PROBE_LINK_IN));
	struct rtattr *link = rtnl_open(&r, IFLA_LINKINFO);
	rtnl_attr(&r, IFLA_INFO_KIND, "veth", sizeof("veth") - 1);
	struct rtattr *data = rtnl_open(&r, IFLA_INFO_DATA);
	struct rtattr *peer = rtnl_open(&r, VETH_INFO_PEER);
	rtnl_put(&r, &info, sizeof(info));
	rtnl_attr(&r, IFLA_IFNAME, PROBE_LINK_OUT, sizeof(PROBE_LINK_OUT));
	rtnl_close(&r, peer);
	rtnl_close(&r, data);
	rtnl_close(&r, link);
	return rtnl_talk(&r);
}

/* No link-local address: nothing is announced. Without IPv6 there is nothing to turn off, and the
 * request fails. */
static void make_quiet(const char *name)
{
	uint8_t none = IN6_ADDR_GEN_MODE_NONE;
	struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)if_nametoindex(name)};
	struct rtnl r;

	rtnl_begin(&r, RTM_NEWLINK, 0);
	rtnl_put(&r, &info, sizeof(info));
	struct rtattr *spec = rtnl_open(&r, IFLA_AF_SPEC);
	struct rtattr *v6 = rtnl_open(&r, AF_INET6);
	rtnl_attr(&r, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
	rtnl_close(&r, v6);
	rtnl_close(&r, spec);
	rtnl_talk(&r);
}

/* No address resolution either: the neighbour is always at the other end. */
static int set_up(const char *name)
{
	struct ifinfomsg info = {.ifi_family = AF_UNSPEC,
		.ifi_index = (int)if_nametoindex(name),
		.ifi_flags = IFF_UP | IFF_NOARP,
		.ifi_change = IFF_UP | IFF_NOARP};
	struct rtnl r;

	make_quiet(name);
	rtnl_begin(&r, RTM_NEWLINK, 0);
	rtnl_put(&r, &info, sizeof(info));
	return rtnl_talk(&r);
}

static int read_mac(const char *name, uint8_t mac[6])
{
	struct ifreq req = {.ifr_flags = 0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	str_copy(req.ifr_name, sizeof(req.ifr_name), str_from(name));
	int err = ioctl(fd, SIOCGIFHWADDR, &req) < 0 ? -errno : 0;
	memcpy(mac, req.ifr_hwaddr.sa_data, 6);
	close(fd);
	return err;
}

int probe_link_make(int *index_out, uint8_t mac_in[6])
{
	probe_link_remove();
	int err = make_pair();
	if (err == 0)
		err = set_up(PROBE_LINK_IN);
	if (err == 0)
		err = set_up(PROBE_LINK_OUT);
	if (err == 0)
		err = read_mac(PROBE_LINK_IN, mac_in);
	*index_out = (int)if_nametoindex(PROBE_LINK_OUT);
	return from_errno(err);
}

/* A namespace may give new interfaces no IPv6 though the others have it. Where /proc/sys is
 * read-only, the address fails. */
static void allow_v6(void)
{
	FILE *f = fopen("/proc/sys/net/ipv6/conf/" PROBE_LINK_IN "/disable_ipv6", "we");

	if (f == NULL)
		return;
	fputs("0", f);
	fclose(f);
}

int probe_link_addr(const struct addr *local, const struct addr *peer)
{
	size_t n = local->family == ADDR_V4 ? 4 : 16;
	uint32_t flags = IFA_F_NODAD;
	struct ifaddrmsg info = {.ifa_family = local->family == ADDR_V4 ? AF_INET : AF_INET6,
		.ifa_prefixlen = (uint8_t)(n * 8),
		.ifa_flags = IFA_F_NODAD,
		.ifa_index = if_nametoindex(PROBE_LINK_IN)};
	struct rtnl r;

	if (local->family == ADDR_V6)
		allow_v6();
	rtnl_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_put(&r, &info, sizeof(info));
	rtnl_attr(&r, IFA_LOCAL, local->bytes, n);
	rtnl_attr(&r, IFA_ADDRESS, peer->bytes, n);
	rtnl_attr(&r, IFA_FLAGS, &flags, sizeof(flags));
	return from_errno(rtnl_talk(&r));
}
