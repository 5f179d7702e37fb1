/*
 * Ethernet, IPv4 (RFC 791), IPv6 (RFC 8200) and TCP (RFC 9293) headers without options. Pure;
 * called by probe.c.
 */
#include "sidecar/capture/probe_frame.h"

#define ETHER 14u
#define IPV4 20u
#define IPV6 40u
#define TCP 20u
#define PROTO_TCP 6

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

/* RFC 1071, over an even number of bytes. */
static uint32_t sum_of(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i += 2)
		sum += get16(p + i);
	return sum;
}

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void put_ipv4(uint8_t *p, const struct frame_tcp *t)
{
	p[0] = 0x45;
	put16(p + 2, IPV4 + TCP);
	put16(p + 6, 0x4000); /* do not fragment */
	p[8] = 64;
	p[9] = PROTO_TCP;
	memcpy(p + 12, t->src.bytes, 4);
	memcpy(p + 16, t->dst.bytes, 4);
	put16(p + 10, fold(sum_of(p, IPV4, 0)));
}

static void put_ipv6(uint8_t *p, const struct frame_tcp *t)
{
	p[0] = 0x60;
	put16(p + 4, TCP);
	p[6] = PROTO_TCP;
	p[7] = 64;
	memcpy(p + 8, t->src.bytes, 16);
	memcpy(p + 24, t->dst.bytes, 16);
}

static void put_tcp(uint8_t *p, const struct frame_tcp *t)
{
	size_t n = t->src.family == ADDR_V4 ? 4 : 16;

	put16(p, t->src.port);
	put16(p + 2, t->dst.port);
	put32(p + 4, t->seq);
	put32(p + 8, t->ack);
	p[12] = TCP / 4 << 4;
	p[13] = t->flags;
	put16(p + 14, 65535);
	/* The pseudo header counts addresses, protocol and length. */
	uint32_t sum = sum_of(t->src.bytes, n, 0) + sum_of(t->dst.bytes, n, 0) + PROTO_TCP + TCP;
	put16(p + 16, fold(sum_of(p, TCP, sum)));
}

size_t frame_build(const struct frame_tcp *t, const uint8_t mac[6], uint8_t dst[FRAME_MAX])
{
	bool v4 = t->src.family == ADDR_V4;
	size_t ip = v4 ? IPV4 : IPV6;

	memset(dst, 0, FRAME_MAX);
	memcpy(dst, mac, 6);
	dst[6] = 2; /* a locally administered source */
	put16(dst + 12, v4 ? 0x0800 : 0x86dd);
	if (v4)
		put_ipv4(dst + ETHER, t);
	else
		put_ipv6(dst + ETHER, t);
	put_tcp(dst + ETHER + ip, t);
	return ETHER + ip + TCP;
}

static void get_addr(enum addr_family family, const uint8_t *p, struct addr *a)
{
	*a = (struct addr){.family = (uint8_t)family};
	memcpy(a->bytes, p, family == ADDR_V4 ? 4 : 16);
}

/* Length of the IP header, or 0. */
static size_t parse_ip(const uint8_t *p, size_t n, uint32_t type, struct frame_tcp *t)
{
	if (type == 0x0800 && n >= IPV4 && p[0] >> 4 == 4 && p[9] == PROTO_TCP) {
		get_addr(ADDR_V4, p + 12, &t->src);
		get_addr(ADDR_V4, p + 16, &t->dst);
		return (p[0] & 15u) * 4u;
	}
	if (type == 0x86dd && n >= IPV6 && p[0] >> 4 == 6 && p[6] == PROTO_TCP) {
		get_addr(ADDR_V6, p + 8, &t->src);
		get_addr(ADDR_V6, p + 24, &t->dst);
		return IPV6;
	}
	return 0;
}

bool frame_parse(const uint8_t *p, size_t n, struct frame_tcp *t)
{
	*t = (struct frame_tcp){.seq = 0};
	if (n < ETHER)
		return false;
	size_t ip = parse_ip(p + ETHER, n - ETHER, get16(p + 12), t);
	if (ip < IPV4 || n < ETHER + ip + TCP)
		return false;
	p += ETHER + ip;
	t->src.port = (uint16_t)get16(p);
	t->dst.port = (uint16_t)get16(p + 2);
	t->seq = get32(p + 4);
	t->ack = get32(p + 8);
	t->flags = p[13];
	return true;
}
