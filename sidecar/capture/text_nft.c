/*
 * The rules as an nft table. Pure; called by backend_nft.c and the golden tests.
 */
#include "sidecar/capture/text.h"

const char *text_nft_family(enum addr_family family)
{
	return family == ADDR_V4 ? "ip" : "ip6";
}

static void put_ports(FILE *out, const char *proto, const char *field, const struct port_list *l)
{
	fprintf(out, "%s %s { ", proto, field);
	for (size_t i = 0; i < l->n; i++) {
		fprintf(out, "%s%u", i > 0 ? ", " : "", l->v[i].lo);
		if (l->v[i].hi != l->v[i].lo)
			fprintf(out, "-%u", l->v[i].hi);
	}
	fputs(" } ", out);
}

/* The wildcard is a plus for iptables and for people, a star for nft. */
static void put_iface(FILE *out, bool incoming, const char *name)
{
	struct str s = str_from(name);
	bool wild = str_ends(s, STR("+"));

	if (wild)
		s = str_sub(s, 0, s.n - 1);
	fprintf(out, "%s \"%.*s%s\" ", incoming ? "iifname" : "oifname", STR_ARG(s),
		wild ? "*" : "");
}

static void put_match(const struct ruleset *rs, const struct rule *r, FILE *out)
{
	const struct chain_info *chain = chain_info(r->chain);
	const char *family = text_nft_family(rs->family), *proto = chain->udp ? "udp" : "tcp";
	char cidr[ADDR_TEXT];

	switch (r->match) {
	case MATCH_ALL:
		break;
	case MATCH_IFACE:
		put_iface(out, chain->incoming, r->iface);
		break;
	case MATCH_UID:
		fprintf(out, "meta skuid %u ", r->id);
		break;
	case MATCH_GID:
		fprintf(out, "meta skgid %u ", r->id);
		break;
	case MATCH_SRC:
		fprintf(out, "%s saddr %s ", family, cidr_format(&r->cidr, cidr));
		break;
	case MATCH_DST:
		fprintf(out, "%s daddr %s ", family, cidr_format(&r->cidr, cidr));
		break;
	case MATCH_SRC_DST:
		cidr_format(&r->cidr, cidr);
		fprintf(out, "%s saddr %s %s daddr %s ", family, cidr, family, cidr);
		break;
	case MATCH_SPORTS:
		put_ports(out, proto, "sport", r->ports);
		break;
	case MATCH_DPORTS:
		put_ports(out, proto, "dport", r->ports);
		break;
	case MATCH_RST:
		fputs("tcp flags & rst == rst ", out);
		break;
	case MATCH_REPLY:
		fputs("ct direction reply ", out);
		break;
	}
}

static void put_action(const struct ruleset *rs, const struct rule *r, FILE *out)
{
	switch (r->action) {
	case DO_RETURN:
		fputs("return", out);
		break;
	case DO_REDIRECT:
		/* nft wants the protocol in the rule itself. */
		fprintf(out, "meta l4proto tcp redirect to :%u", r->to_port);
		break;
	case DO_DROP:
		fputs("drop", out);
		break;
	case DO_REJECT:
		fprintf(out, "reject with %s type port-unreachable",
			rs->family == ADDR_V4 ? "icmp" : "icmpv6");
		break;
	}
	fputc('\n', out);
}

static void put_chain(const struct ruleset *rs, enum rule_chain id, FILE *out)
{
	const struct chain_info *chain = chain_info(id);
	struct str guards = str_from(chain->nft_guard), guard;

	fprintf(out, "\tchain %s {\n\t\ttype %s; policy accept;\n", chain->nft, chain->nft_base);
	while (str_split(&guards, ';', &guard))
		fprintf(out, "\t\t%.*s\n", STR_ARG(guard));
	for (size_t i = 0; i < rs->n; i++) {
		if (rs->v[i].chain != id)
			continue;
		if (rs->v[i].why != NULL)
			fprintf(out, "\t\t# %s\n", rs->v[i].why);
		fputs("\t\t", out);
		put_match(rs, &rs->v[i], out);
		put_action(rs, &rs->v[i], out);
	}
	fputs("\t}\n", out);
}

void text_nft_table(const struct ruleset *rs, FILE *out)
{
	fprintf(out, "table %s " CAPTURE_TABLE " {\n", text_nft_family(rs->family));
	for (int id = 0; id < CHAIN_COUNT; id++)
		if (ruleset_has_chain(rs, (enum rule_chain)id))
			put_chain(rs, (enum rule_chain)id, out);
	fputs("}\n", out);
}
