/*
 * The rules as input of iptables-restore. Pure; called by backend_ipt.c and the golden tests.
 */
#include "sidecar/capture/text.h"

/* A range counts as two, and iptables takes so many per rule. */
#define MULTIPORT_MAX 15

static void put_iface(FILE *out, bool incoming, const char *name)
{
	fprintf(out, " -%c %s", incoming ? 'i' : 'o', name);
}

/* What a rule matches, ports left out. */
static void put_match(const struct rule *r, FILE *out)
{
	char cidr[ADDR_TEXT];

	switch (r->match) {
	case MATCH_ALL:
	case MATCH_SPORTS:
	case MATCH_DPORTS:
		break;
	case MATCH_IFACE:
		put_iface(out, chain_info(r->chain)->incoming, r->iface);
		break;
	case MATCH_UID:
		fprintf(out, " -m owner --uid-owner %u", r->id);
		break;
	case MATCH_GID:
		fprintf(out, " -m owner --gid-owner %u", r->id);
		break;
	case MATCH_SRC:
		fprintf(out, " -s %s", cidr_format(&r->cidr, cidr));
		break;
	case MATCH_DST:
		fprintf(out, " -d %s", cidr_format(&r->cidr, cidr));
		break;
	case MATCH_SRC_DST:
		cidr_format(&r->cidr, cidr);
		fprintf(out, " -s %s -d %s", cidr, cidr);
		break;
	case MATCH_RST:
		fputs(" -p tcp -m tcp --tcp-flags RST RST", out);
		break;
	case MATCH_REPLY:
		fputs(" -m conntrack --ctdir REPLY", out);
		break;
	}
}

static void put_action(const struct ruleset *rs, const struct rule *r, FILE *out)
{
	switch (r->action) {
	case DO_RETURN:
		fputs(" -j RETURN\n", out);
		break;
	case DO_REDIRECT:
		fprintf(out, " -p tcp -j REDIRECT --to-ports %u\n", r->to_port);
		break;
	case DO_DROP:
		fputs(" -j DROP\n", out);
		break;
	case DO_REJECT:
		fprintf(out, " -j REJECT --reject-with %s\n",
			rs->family == ADDR_V4 ? "icmp-port-unreachable" : "icmp6-port-unreachable");
		break;
	}
}

/* One rule for as many ports as fit. */
static void put_port_rules(const struct ruleset *rs, const struct rule *r, FILE *out)
{
	const struct chain_info *chain = chain_info(r->chain);

	for (size_t i = 0; i < r->ports->n;) {
		fprintf(out, "-A %s -p %s -m multiport --%s", chain->ipt,
			chain->udp ? "udp" : "tcp", r->match == MATCH_SPORTS ? "sports" : "dports");
		size_t weight = 0;
		for (; i < r->ports->n; i++) {
			const struct port_range *p = &r->ports->v[i];
			size_t more = p->lo == p->hi ? 1 : 2;

			if (weight + more > MULTIPORT_MAX)
				break;
			fprintf(out, "%c%u", weight == 0 ? ' ' : ',', p->lo);
			if (more == 2)
				fprintf(out, ":%u", p->hi);
			weight += more;
		}
		put_action(rs, r, out);
	}
}

static void put_rules(const struct ruleset *rs, enum rule_chain chain, FILE *out)
{
	for (size_t i = 0; i < rs->n; i++) {
		const struct rule *r = &rs->v[i];

		if (r->chain != chain)
			continue;
		if (r->why != NULL)
			fprintf(out, "# %s\n", r->why);
		if (r->match == MATCH_SPORTS || r->match == MATCH_DPORTS) {
			put_port_rules(rs, r, out);
			continue;
		}
		fprintf(out, "-A %s", chain_info(chain)->ipt);
		put_match(r, out);
		put_action(rs, r, out);
	}
}

/* The tables in the order of their first chain in chains.def: nat, which redirects, is the last. */
static bool table_begins_at(enum rule_chain chain)
{
	return chain == 0 ||
		!str_eq(str_from(chain_info(chain)->table),
			str_from(chain_info((enum rule_chain)(chain - 1))->table));
}

static bool in_table(enum rule_chain chain, const char *table)
{
	return str_eq(str_from(chain_info(chain)->table), str_from(table));
}

static bool ruleset_has_table(const struct ruleset *rs, const char *table)
{
	for (size_t i = 0; i < rs->n; i++)
		if (in_table(rs->v[i].chain, table))
			return true;
	return false;
}

static void put_table_chains(const struct ruleset *rs, const char *table, FILE *out)
{
	for (int c = 0; c < CHAIN_COUNT; c++)
		if (in_table((enum rule_chain)c, table) &&
			ruleset_has_chain(rs, (enum rule_chain)c))
			fprintf(out, ":%s - [0:0]\n", chain_info((enum rule_chain)c)->ipt);
	for (int c = 0; c < CHAIN_COUNT; c++)
		if (in_table((enum rule_chain)c, table))
			put_rules(rs, (enum rule_chain)c, out);
}

static void put_table_hooks(const struct ruleset *rs, const char *table, FILE *out)
{
	for (int c = 0; c < CHAIN_COUNT; c++) {
		const struct chain_info *chain = chain_info((enum rule_chain)c);

		if (in_table((enum rule_chain)c, table) &&
			ruleset_has_chain(rs, (enum rule_chain)c))
			fprintf(out, "-I %s 1 %s -j %s\n", chain->hook, chain->guard, chain->ipt);
	}
}

static void put_each_table(const struct ruleset *rs, FILE *out,
	void (*put)(const struct ruleset *, const char *, FILE *))
{
	for (int c = 0; c < CHAIN_COUNT; c++) {
		const char *table = chain_info((enum rule_chain)c)->table;

		if (!table_begins_at((enum rule_chain)c) || !ruleset_has_table(rs, table))
			continue;
		fprintf(out, "*%s\n", table);
		put(rs, table, out);
		fputs("COMMIT\n", out);
	}
}

void text_ipt_chains(const struct ruleset *rs, FILE *out)
{
	put_each_table(rs, out, put_table_chains);
}

static void put_table_whole(const struct ruleset *rs, const char *table, FILE *out)
{
	put_table_chains(rs, table, out);
	put_table_hooks(rs, table, out);
}

void text_ipt_print(const struct ruleset *rs, FILE *out)
{
	put_each_table(rs, out, put_table_whole);
}

static bool line_in(const struct ipt_line *line, const char *table, enum ipt_line_kind kind)
{
	return line->kind == kind && str_eq(str_from(line->table), str_from(table));
}

static size_t count_in(const struct ipt_state *st, const char *table)
{
	size_t n = 0;

	for (size_t i = 0; i < st->n; i++)
		n += str_eq(str_from(st->v[i].table), str_from(table));
	return n;
}

/* "-A OUTPUT ..." of the saved state with another verb. */
static void put_line_as(const char *verb, const struct ipt_line *line, FILE *out)
{
	fprintf(out, "%s%s\n", verb, line->text + strlen("-A"));
}

static void put_unhook(const struct ipt_state *now, const char *table, FILE *out)
{
	for (size_t i = 0; i < now->n; i++)
		if (line_in(&now->v[i], table, IPT_JUMP))
			put_line_as("-D", &now->v[i], out);
}

static bool ruleset_has_named(const struct ruleset *rs, const char *table, const char *name)
{
	for (int c = 0; rs != NULL && c < CHAIN_COUNT; c++)
		if (in_table((enum rule_chain)c, table) &&
			ruleset_has_chain(rs, (enum rule_chain)c) &&
			str_eq(str_from(chain_info((enum rule_chain)c)->ipt), str_from(name)))
			return true;
	return false;
}

/* Removes our chains but those of rs, which may be NULL. */
static void put_remove_chains(const struct ruleset *rs, const struct ipt_state *now,
	const char *table, FILE *out)
{
	for (size_t i = 0; i < now->n; i++)
		if (line_in(&now->v[i], table, IPT_CHAIN) &&
			!ruleset_has_named(rs, table, now->v[i].text))
			fprintf(out, "-F %s\n", now->v[i].text);
	for (size_t i = 0; i < now->n; i++)
		if (line_in(&now->v[i], table, IPT_CHAIN) &&
			!ruleset_has_named(rs, table, now->v[i].text))
			fprintf(out, "-X %s\n", now->v[i].text);
}

void text_ipt_hooks(const struct ruleset *rs, const struct ipt_state *now, FILE *out)
{
	for (int c = 0; c < CHAIN_COUNT; c++) {
		const char *table = chain_info((enum rule_chain)c)->table;

		if (!table_begins_at((enum rule_chain)c) ||
			(!ruleset_has_table(rs, table) && count_in(now, table) == 0))
			continue;
		fprintf(out, "*%s\n", table);
		put_unhook(now, table, out);
		put_table_hooks(rs, table, out);
		put_remove_chains(rs, now, table, out);
		fputs("COMMIT\n", out);
	}
}

/* The first line of each table in the state, so that tables that chains.def does not know are seen
 * too. */
static bool first_of_table(const struct ipt_state *st, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (str_eq(str_from(st->v[i].table), str_from(st->v[at].table)))
			return false;
	return true;
}

void text_ipt_clean(const struct ipt_state *now, FILE *out)
{
	for (size_t i = 0; i < now->n; i++) {
		const char *table = now->v[i].table;

		if (!first_of_table(now, i))
			continue;
		fprintf(out, "*%s\n", table);
		put_unhook(now, table, out);
		put_remove_chains(NULL, now, table, out);
		fputs("COMMIT\n", out);
	}
}

void text_ipt_state(const struct ipt_state *then, FILE *out)
{
	for (size_t i = 0; i < then->n; i++) {
		const char *table = then->v[i].table;

		if (!first_of_table(then, i))
			continue;
		fprintf(out, "*%s\n", table);
		for (size_t k = 0; k < then->n; k++)
			if (line_in(&then->v[k], table, IPT_CHAIN))
				fprintf(out, ":%s - [0:0]\n", then->v[k].text);
		for (size_t k = 0; k < then->n; k++)
			if (line_in(&then->v[k], table, IPT_RULE))
				put_line_as("-A", &then->v[k], out);
		for (size_t k = 0; k < then->n; k++)
			if (line_in(&then->v[k], table, IPT_JUMP))
				put_line_as("-I", &then->v[k], out);
		fputs("COMMIT\n", out);
	}
}
