/*
 * IP addresses with port, and CIDR blocks. IPv4-mapped IPv6 addresses are turned into IPv4 on the
 * way in, so that one address has one spelling everywhere. Pure data: comparable, hashable with
 * memcmp.
 */
#ifndef WEFT_NET_ADDR_H
#define WEFT_NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/str.h"

enum addr_family { ADDR_NONE, ADDR_V4, ADDR_V6 };

/* Plain value. bytes holds 4 or 16 bytes in network order, the rest zero; port in host order. */
struct addr {
	uint8_t family;
	uint8_t pad;
	uint16_t port;
	uint8_t bytes[16];
};

/* Plain value; bits beyond prefix are zero. */
struct cidr {
	struct addr base;
	uint8_t prefix;
};

#define ADDR_TEXT 54 /* "[ffff:...:ffff]:65535" with NUL */

/* "10.0.0.1", "::1" (port 0), "10.0.0.1:80", "[::1]:80". ERR_INVAL. No names, no zone. */
int addr_parse(struct str s, struct addr *out);
/* Writes "10.0.0.1:80" / "[::1]:80"; the port is left out where it is 0. Returns dst. */
const char *addr_format(const struct addr *a, char dst[ADDR_TEXT]);
/* Without the port, IPv6 without brackets. */
const char *addr_format_ip(const struct addr *a, char dst[ADDR_TEXT]);
bool addr_eq(const struct addr *a, const struct addr *b);
bool addr_eq_ip(const struct addr *a, const struct addr *b);
struct addr addr_with_port(const struct addr *a, uint16_t port);
struct addr addr_any(enum addr_family family, uint16_t port);
bool addr_is_loopback(const struct addr *a);
bool addr_is_any(const struct addr *a);
/* 169.254/16 (metadata servers among them), fe80::/10. */
bool addr_is_link_local(const struct addr *a);
bool addr_is_multicast(const struct addr *a);
struct str addr_key(const struct addr *a); /* the whole struct as bytes, for maps; borrowed */

int addr_from_sockaddr(const struct sockaddr *sa, struct addr *out);
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);

/* "10.0.0.0/8", "fd00::/8", or an address alone (/32, /128). ERR_INVAL where host bits are set or
 * the prefix is too long. */
int cidr_parse(struct str s, struct cidr *out);
bool cidr_contains(const struct cidr *c, const struct addr *a);
const char *cidr_format(const struct cidr *c, char dst[ADDR_TEXT]);

#endif
