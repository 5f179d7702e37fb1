/*
 * The redirect rules as data: one list of rules per address family, made from the configuration
 * alone. It is printed for iptables-restore and for nft, and answers whether a given connection is
 * captured, so that every reader has the same rules.
 */
#ifndef WEFT_SIDECAR_CAPTURE_RULES_H
#define WEFT_SIDECAR_CAPTURE_RULES_H

#include <stdio.h>

#include "sidecar/capture/config.h"

enum rule_chain {
#define CHAIN(id, table, hook, guard, ipt, nft, base, nft_guard) CHAIN_##id,
#include "sidecar/capture/chains.def"
#undef CHAIN
	CHAIN_COUNT
};

/* One row of chains.def. Static storage. */
struct chain_info {
	const char *table, *hook, *guard, *ipt, *nft, *nft_base, *nft_guard;
	bool incoming, udp;
};

const struct chain_info *chain_info(enum rule_chain chain);

enum rule_match {
	MATCH_ALL,
	MATCH_IFACE,   /* iface, by the chain's direction */
	MATCH_UID,     /* id; packets of this pod alone */
	MATCH_GID,     /* id */
	MATCH_SRC,     /* cidr */
	MATCH_DST,     /* cidr */
	MATCH_SRC_DST, /* both in cidr */
	MATCH_SPORTS,  /* ports */
	MATCH_DPORTS,  /* ports */
	MATCH_RST,     /* a TCP reset */
	MATCH_REPLY    /* in the direction of the answer */
};

enum rule_action { DO_RETURN, DO_REDIRECT, DO_DROP, DO_REJECT };

/* Plain value; ports and iface point into the configuration. */
struct rule {
	enum rule_chain chain;
	enum rule_match match;
	enum rule_action action;
	uint16_t to_port; /* DO_REDIRECT */
	uint32_t id;
	const char *iface;
	const struct port_list *ports;
	struct cidr cidr;
	const char *why; /* printed as a comment; NULL: as the rule before */
};

/* Owns the list; borrows the configuration, which outlives it. */
struct ruleset {
	enum addr_family family;
	const struct capture_config *cfg;
	struct port_list inbound; /* the port that incoming connections are redirected to */
	struct rule *v;
	size_t n, cap;
};

void ruleset_build(struct ruleset *rs, const struct capture_config *cfg, enum addr_family family);
void ruleset_clear(struct ruleset *rs);
bool ruleset_has_chain(const struct ruleset *rs, enum rule_chain chain);

/* A first packet of a connection. uid and gid mean something on the way out; iface may be NULL
 * (none matches). */
struct packet {
	struct addr src, dst;
	uint32_t uid, gid;
	const char *iface;
};

/* What the chain does with it; DO_RETURN: nothing. */
enum rule_action ruleset_verdict(const struct ruleset *rs, enum rule_chain chain,
	const struct packet *p);

#endif
