/*
 * Builds the list of rules and answers questions from it. Pure: no system call, no clock. Owns the
 * rules of a ruleset; called by apply.c, older.c, probe.c and the golden tests.
 */
#include "sidecar/capture/rules.h"

#include "lib/base/alloc.h"

static const struct chain_info chain_rows[CHAIN_COUNT] = {
#define CHAIN(id, table, hook, guard, ipt, nft, base, nft_guard)                   \
	[CHAIN_##id] = {table, hook, guard, ipt, nft, base, nft_guard,             \
		CHAIN_##id == CHAIN_IN || CHAIN_##id == CHAIN_INVALID_IN ||        \
			CHAIN_##id == CHAIN_UDP_IN || CHAIN_##id == CHAIN_PAST_IN, \
		CHAIN_##id == CHAIN_UDP_IN || CHAIN_##id == CHAIN_UDP_OUT},
#include "sidecar/capture/chains.def"
#undef CHAIN
};

const struct chain_info *chain_info(enum rule_chain chain)
{
	return &chain_rows[chain];
}

static void add(struct ruleset *rs, struct rule rule)
{
	if (rs->n == rs->cap) {
		rs->cap = rs->cap != 0 ? rs->cap * 2 : 64;
		rs->v = mem_resize(rs->v, rs->cap * sizeof(rs->v[0]));
	}
	rs->v[rs->n++] = rule;
}

/* The lists below add a rule per item; only the first carries the comment. */
static void add_ifaces(struct ruleset *rs, enum rule_chain chain)
{
	const struct iface_list *l = &rs->cfg->exclude_interfaces;

	for (size_t i = 0; i < l->n; i++)
		add(rs,
			(struct rule){.chain = chain,
				.match = MATCH_IFACE,
				.iface = l->v[i],
				.why = i == 0 ? "excluded interfaces" : NULL});
}

static void add_ports(struct ruleset *rs, enum rule_chain chain, enum rule_match match,
	const struct port_list *l, const char *why)
{
	if (l->n > 0)
		add(rs, (struct rule){.chain = chain, .match = match, .ports = l, .why = why});
}

static void add_cidrs(struct ruleset *rs, enum rule_chain chain, enum rule_match match,
	const struct cidr_list *l, struct rule rule)
{
	rule.chain = chain;
	rule.match = match;
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].base.family != rs->family)
			continue;
		rule.cidr = l->v[i];
		add(rs, rule);
		rule.why = NULL;
	}
}

static void add_owner(struct ruleset *rs, enum rule_chain chain, const char *why)
{
	add(rs,
		(struct rule){
			.chain = chain, .match = MATCH_UID, .id = rs->cfg->proxy_uid, .why = why});
	add(rs, (struct rule){.chain = chain, .match = MATCH_GID, .id = rs->cfg->proxy_gid});
}

static struct cidr loopback_of(enum addr_family family)
{
	struct cidr c;

	cidr_parse(family == ADDR_V4 ? STR("127.0.0.0/8") : STR("::1/128"), &c);
	return c;
}

static void add_loopback(struct ruleset *rs, enum rule_chain chain, enum rule_match match)
{
	add(rs,
		(struct rule){.chain = chain,
			.match = match,
			.cidr = loopback_of(rs->family),
			.why = "loopback stays private"});
}

static void build_in(struct ruleset *rs)
{
	const struct capture_config *cfg = rs->cfg;

	add_ifaces(rs, CHAIN_IN);
	add_ports(rs, CHAIN_IN, MATCH_DPORTS, &cfg->own_ports, "the sidecar's ports for others");
	add_ports(rs, CHAIN_IN, MATCH_DPORTS, &cfg->exclude_inbound_ports, "excluded ports");
	add(rs,
		(struct rule){.chain = CHAIN_IN,
			.action = DO_REDIRECT,
			.to_port = cfg->inbound_port,
			.why = "everything else goes to the sidecar"});
}

/*
 * A pod that calls itself by its own address is captured like any call: the sidecar turns it round
 * in memory. The sidecar's connections, those to the pod's own address among them, are not.
 */
static void build_out(struct ruleset *rs)
{
	const struct capture_config *cfg = rs->cfg;
	struct rule redirect = {.chain = CHAIN_OUT,
		.action = DO_REDIRECT,
		.to_port = cfg->outbound_port,
		.why = "everything else goes to the sidecar"};

	add_ifaces(rs, CHAIN_OUT);
	add_owner(rs, CHAIN_OUT, "the sidecar itself");
	add_loopback(rs, CHAIN_OUT, MATCH_DST);
	add_ports(rs, CHAIN_OUT, MATCH_DPORTS, &cfg->exclude_outbound_ports, "excluded ports");
	add_cidrs(rs, CHAIN_OUT, MATCH_DST, &cfg->exclude_outbound_cidrs,
		(struct rule){.why = "excluded destinations"});
	if (cfg->include_outbound_cidrs.n == 0) {
		add(rs, redirect);
		return;
	}
	redirect.why = "these destinations go to the sidecar";
	add_cidrs(rs, CHAIN_OUT, MATCH_DST, &cfg->include_outbound_cidrs, redirect);
}

/*
 * What conntrack cannot place is not translated: coming in it would meet a socket that does not
 * know it and be answered by a reset in the pod's name, going out it would carry the application's
 * bytes as they are.
 */
static void build_invalid(struct ruleset *rs)
{
	const struct capture_config *cfg = rs->cfg;

	add_ifaces(rs, CHAIN_INVALID_IN);
	add_loopback(rs, CHAIN_INVALID_IN, MATCH_SRC_DST);
	add_ports(rs, CHAIN_INVALID_IN, MATCH_DPORTS, &cfg->own_ports,
		"the sidecar's ports for others");
	add_ports(rs, CHAIN_INVALID_IN, MATCH_DPORTS, &cfg->exclude_inbound_ports,
		"excluded ports");
	add_ports(rs, CHAIN_INVALID_IN, MATCH_SPORTS, &cfg->exclude_outbound_ports, NULL);
	add_cidrs(rs, CHAIN_INVALID_IN, MATCH_SRC, &cfg->exclude_outbound_cidrs,
		(struct rule){.why = "excluded destinations"});
	add(rs,
		(struct rule){.chain = CHAIN_INVALID_IN,
			.action = DO_DROP,
			.why = "belongs to no connection"});

	add_ifaces(rs, CHAIN_INVALID_OUT);
	add_loopback(rs, CHAIN_INVALID_OUT, MATCH_SRC_DST);
	add(rs,
		(struct rule){.chain = CHAIN_INVALID_OUT,
			.match = MATCH_RST,
			.why = "a reset carries nothing, and ends connections older than these rules"});
	add_ports(rs, CHAIN_INVALID_OUT, MATCH_SPORTS, &cfg->own_ports,
		"the sidecar's ports for others");
	add_ports(rs, CHAIN_INVALID_OUT, MATCH_SPORTS, &cfg->exclude_inbound_ports,
		"excluded ports");
	add_ports(rs, CHAIN_INVALID_OUT, MATCH_DPORTS, &cfg->exclude_outbound_ports, NULL);
	add_cidrs(rs, CHAIN_INVALID_OUT, MATCH_DST, &cfg->exclude_outbound_cidrs,
		(struct rule){.why = "excluded destinations"});
	add(rs,
		(struct rule){.chain = CHAIN_INVALID_OUT,
			.action = DO_DROP,
			.why = "belongs to no connection"});
}

/*
 * A first packet that the rules below redirect, and that was not: conntrack took it for one of a
 * connection that has ended and was never translated, because the sidecar used the same four
 * numbers a moment ago and was answered by a reset. It would go out, or in, past the sidecar for as
 * long as the new connection lives. Dropped, the client sends it again, and the old entry has gone
 * by then.
 */
static void build_past(struct ruleset *rs)
{
	const struct capture_config *cfg = rs->cfg;
	struct rule drop = {.chain = CHAIN_PAST_OUT,
		.action = DO_DROP,
		.why = "captured by the rules, but not translated"};

	add(rs,
		(struct rule){.chain = CHAIN_PAST_IN,
			.match = MATCH_IFACE,
			.iface = "lo",
			.why = "what comes from the pod itself was judged on its way out"});
	add_ifaces(rs, CHAIN_PAST_IN);
	add_ports(rs, CHAIN_PAST_IN, MATCH_DPORTS, &cfg->own_ports,
		"the sidecar's ports for others");
	add_ports(rs, CHAIN_PAST_IN, MATCH_DPORTS, &cfg->exclude_inbound_ports, "excluded ports");
	add_ports(rs, CHAIN_PAST_IN, MATCH_DPORTS, &rs->inbound,
		"meant for the sidecar itself, which refuses it: redirecting changes nothing");
	add(rs, (struct rule){.chain = CHAIN_PAST_IN, .action = DO_DROP, .why = drop.why});

	add_ifaces(rs, CHAIN_PAST_OUT);
	add_owner(rs, CHAIN_PAST_OUT, "the sidecar itself");
	add_loopback(rs, CHAIN_PAST_OUT, MATCH_DST);
	add_ports(rs, CHAIN_PAST_OUT, MATCH_DPORTS, &cfg->exclude_outbound_ports, "excluded ports");
	add_cidrs(rs, CHAIN_PAST_OUT, MATCH_DST, &cfg->exclude_outbound_cidrs,
		(struct rule){.why = "excluded destinations"});
	if (cfg->include_outbound_cidrs.n == 0)
		add(rs, drop);
	else
		add_cidrs(rs, CHAIN_PAST_OUT, MATCH_DST, &cfg->include_outbound_cidrs, drop);
}

static const struct port_list dns_port = {.n = 1, .v = {{53, 53}}};

static void build_udp(struct ruleset *rs)
{
	const struct capture_config *cfg = rs->cfg;
	const enum rule_chain both[] = {CHAIN_UDP_IN, CHAIN_UDP_OUT};

	for (size_t i = 0; i < 2; i++) {
		add(rs,
			(struct rule){.chain = both[i],
				.match = MATCH_IFACE,
				.iface = "lo",
				.why = "loopback stays private"});
		add_ifaces(rs, both[i]);
		if (both[i] == CHAIN_UDP_OUT)
			add_owner(rs, both[i], "the sidecar itself");
		add(rs,
			(struct rule){.chain = both[i],
				.match = MATCH_REPLY,
				.why = "answers to what was allowed"});
		add_ports(rs, both[i], MATCH_DPORTS, &dns_port, "DNS");
		add_ports(rs, both[i], MATCH_DPORTS,
			both[i] == CHAIN_UDP_IN ? &cfg->exclude_inbound_ports
						: &cfg->exclude_outbound_ports,
			"excluded ports");
		if (both[i] == CHAIN_UDP_OUT)
			add_cidrs(rs, both[i], MATCH_DST, &cfg->exclude_outbound_cidrs,
				(struct rule){.why = "excluded destinations"});
		add(rs,
			(struct rule){.chain = both[i],
				.action = DO_REJECT,
				.why = "nobody protects UDP here"});
	}
}

void ruleset_build(struct ruleset *rs, const struct capture_config *cfg, enum addr_family family)
{
	*rs = (struct ruleset){.family = family, .cfg = cfg};
	rs->inbound.n = 1;
	rs->inbound.v[0] = (struct port_range){cfg->inbound_port, cfg->inbound_port};
	build_invalid(rs);
	if (cfg->udp_deny)
		build_udp(rs);
	build_past(rs);
	build_in(rs);
	build_out(rs);
}

void ruleset_clear(struct ruleset *rs)
{
	mem_free(rs->v);
	*rs = (struct ruleset){.family = ADDR_NONE};
}

bool ruleset_has_chain(const struct ruleset *rs, enum rule_chain chain)
{
	for (size_t i = 0; i < rs->n; i++)
		if (rs->v[i].chain == chain)
			return true;
	return false;
}

static bool rule_matches(const struct rule *r, const struct packet *p)
{
	switch (r->match) {
	case MATCH_ALL:
		return true;
	case MATCH_IFACE:
		return p->iface != NULL && iface_matches(r->iface, p->iface);
	case MATCH_UID:
		return p->uid == r->id;
	case MATCH_GID:
		return p->gid == r->id;
	case MATCH_SRC:
		return cidr_contains(&r->cidr, &p->src);
	case MATCH_DST:
		return cidr_contains(&r->cidr, &p->dst);
	case MATCH_SRC_DST:
		return cidr_contains(&r->cidr, &p->src) && cidr_contains(&r->cidr, &p->dst);
	case MATCH_SPORTS:
		return port_list_has(r->ports, p->src.port);
	case MATCH_DPORTS:
		return port_list_has(r->ports, p->dst.port);
	case MATCH_RST: /* a first packet is neither */
	case MATCH_REPLY:
		return false;
	}
	return false;
}

enum rule_action ruleset_verdict(const struct ruleset *rs, enum rule_chain chain,
	const struct packet *p)
{
	for (size_t i = 0; i < rs->n; i++)
		if (rs->v[i].chain == chain && rule_matches(&rs->v[i], p))
			return rs->v[i].action;
	return DO_RETURN;
}
