/*
 * What to capture, as plain checked values: the input of the rules. Pure data; made by capture.c
 * from the flags, or by a test.
 */
#ifndef WEFT_SIDECAR_CAPTURE_CONFIG_H
#define WEFT_SIDECAR_CAPTURE_CONFIG_H

#include <net/if.h>

#include "lib/net/addr.h"

#define CAPTURE_MAX_RANGES 64
#define CAPTURE_MAX_CIDRS 64
#define CAPTURE_MAX_IFACES 8
#define CAPTURE_TROUBLE 320 /* room for what is wrong, in words */

/* Both ends included. */
struct port_range {
	uint16_t lo, hi;
};

/* Sorted, no overlaps, no neighbours that could be one. */
struct port_list {
	size_t n;
	struct port_range v[CAPTURE_MAX_RANGES];
};

/* Both families, in the order given. */
struct cidr_list {
	size_t n;
	struct cidr v[CAPTURE_MAX_CIDRS];
};

/* Names as people write them: a last + stands for any ending. */
struct iface_list {
	size_t n;
	char v[CAPTURE_MAX_IFACES][IFNAMSIZ];
};

/* Plain value. */
struct capture_config {
	uint16_t inbound_port, outbound_port;
	uint32_t proxy_uid, proxy_gid;
	bool udp_deny;
	struct port_list own_ports; /* the sidecar's, open to others */
	struct port_list exclude_inbound_ports, exclude_outbound_ports;
	struct cidr_list include_outbound_cidrs; /* empty: all */
	struct cidr_list exclude_outbound_cidrs;
	struct iface_list exclude_interfaces;
};

/*
 * Parse comma-separated lists (an empty one is empty). ERR_INVAL or ERR_LIMIT, with the offending
 * item and what is accepted in trouble.
 */
int port_list_parse(struct str text, struct port_list *out, char trouble[CAPTURE_TROUBLE]);
int cidr_list_parse(struct str text, struct cidr_list *out, char trouble[CAPTURE_TROUBLE]);
int iface_list_parse(struct str text, struct iface_list *out, char trouble[CAPTURE_TROUBLE]);

bool port_list_has(const struct port_list *l, uint16_t port);
/* Whether the name is one that the pattern stands for. */
bool iface_matches(const char *pattern, const char *name);

/* What the single values cannot say: 0, or ERR_INVAL with trouble. */
int capture_config_check(const struct capture_config *cfg, char trouble[CAPTURE_TROUBLE]);

#endif
