/*
 * The rules in the two languages that the kernel's tools read. Pure: text in, text out, compared
 * with golden files in the tests.
 */
#ifndef WEFT_SIDECAR_CAPTURE_TEXT_H
#define WEFT_SIDECAR_CAPTURE_TEXT_H

#include "sidecar/capture/rules.h"

#define CAPTURE_TABLE "weft"         /* our nft tables, one per family */
#define CAPTURE_CHAIN_PREFIX "WEFT_" /* our iptables chains */

/* One line of iptables-save that is ours: a chain, a rule in it, or a rule elsewhere that jumps to
 * it. */
struct ipt_line {
	char table[16];
	char *text; /* without newline, owned */
	enum ipt_line_kind { IPT_CHAIN, IPT_RULE, IPT_JUMP } kind;
};

/* What a family holds of ours now. Owns the lines. */
struct ipt_state {
	struct ipt_line *v;
	size_t n, cap;
	size_t foreign; /* rules that are not ours */
};

/* Reads the output of iptables-save. */
void ipt_state_parse(struct ipt_state *st, struct str saved);
void ipt_state_clear(struct ipt_state *st);

/*
 * For iptables-restore --noflush. The chains do nothing until the hooks jump to them; where they do
 * already, the first text replaces the rules in force, a table at a time.
 */
void text_ipt_chains(const struct ruleset *rs, FILE *out);
/* Makes exactly one jump to each chain, at the head of its hook, and removes chains of ours that rs
 * has not. */
void text_ipt_hooks(const struct ruleset *rs, const struct ipt_state *now, FILE *out);
/* Removes all that is ours. Nothing where there is nothing. */
void text_ipt_clean(const struct ipt_state *now, FILE *out);
/* Brings back a state that was parsed before; the family holds nothing of ours now. */
void text_ipt_state(const struct ipt_state *then, FILE *out);
/* What a family without rules of ours would get, in one piece, for people. */
void text_ipt_print(const struct ruleset *rs, FILE *out);

/* The family's table for nft -f. */
void text_nft_table(const struct ruleset *rs, FILE *out);
/* "ip" or "ip6". */
const char *text_nft_family(enum addr_family family);

#endif
