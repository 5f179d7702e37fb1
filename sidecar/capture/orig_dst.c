/*
 * SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST: the destination that conntrack keeps for the answer's
 * way back. Owns nothing; called by the flows through the accept path, and by the probe.
 */
#include "sidecar/capture/orig_dst.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/base/err.h"

/* linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h, which clash with netinet/in.h. */
#define ORIG_DST_V4 80
#define ORIG_DST_V6 80

/* 1: IPv4, also as a mapped address; 0: IPv6; or ERR_*. */
static int local_is_v4(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return err_from_errno(errno);
	if (ss.ss_family == AF_INET)
		return 1;
	if (ss.ss_family != AF_INET6)
		return ERR_INVAL;
	return IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)&ss)->sin6_addr) ? 1 : 0;
}

int orig_dst_get(int fd, struct addr *out)
{
	struct sockaddr_storage ss = {0};
	int v4 = local_is_v4(fd);

	if (v4 < 0)
		return v4;
	socklen_t len = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? ORIG_DST_V4 : ORIG_DST_V6, &ss,
		    &len) == 0)
		return addr_from_sockaddr((struct sockaddr *)&ss, out);
	/* No conntrack entry, or no conntrack in this kernel or namespace. */
	if (errno == ENOENT || errno == ENOPROTOOPT)
		return ERR_NOTFOUND;
	return errno == ENOTCONN ? ERR_INVAL : err_from_errno(errno);
}
