/*
 * Finds what is ours in the output of iptables-save. Pure; owns the lines it keeps. Called by
 * backend_ipt.c and the tests.
 */
#include "lib/base/alloc.h"
#include "sidecar/capture/text.h"

static void keep(struct ipt_state *st, struct str table, enum ipt_line_kind kind, struct str text)
{
	if (st->n == st->cap) {
		st->cap = st->cap != 0 ? st->cap * 2 : 32;
		st->v = mem_resize(st->v, st->cap * sizeof(st->v[0]));
	}
	struct ipt_line *line = &st->v[st->n++];
	str_copy(line->table, sizeof(line->table), table);
	line->kind = kind;
	line->text = mem_strndup(text.p, text.n);
}

/* "-A CHAIN rest": the chain. */
static struct str chain_of(struct str line)
{
	struct str rest = str_sub(line, strlen("-A "), line.n), chain = STR_NULL;

	str_split(&rest, ' ', &chain);
	return chain;
}

/* Whether the rule's target is a chain of ours: " -j WEFT_X" or " -g WEFT_X" somewhere in it. */
static bool jumps_to_us(struct str line)
{
	struct str word, before = STR_NULL;

	while (str_split(&line, ' ', &word)) {
		bool target = str_eq(before, STR("-j")) || str_eq(before, STR("-g"));

		if (target && str_starts(word, STR(CAPTURE_CHAIN_PREFIX)))
			return true;
		before = word;
	}
	return false;
}

static void parse_rule(struct ipt_state *st, struct str table, struct str line)
{
	if (str_starts(chain_of(line), STR(CAPTURE_CHAIN_PREFIX)))
		keep(st, table, IPT_RULE, line);
	else if (jumps_to_us(line))
		keep(st, table, IPT_JUMP, line);
	else
		st->foreign++;
}

void ipt_state_parse(struct ipt_state *st, struct str saved)
{
	struct str table = STR_NULL, line, name;

	*st = (struct ipt_state){.n = 0};
	while (str_split(&saved, '\n', &line)) {
		if (str_starts(line, STR("*"))) {
			table = str_sub(line, 1, line.n);
		} else if (str_starts(line, STR(":" CAPTURE_CHAIN_PREFIX))) {
			struct str rest = str_sub(line, 1, line.n);

			str_split(&rest, ' ', &name);
			keep(st, table, IPT_CHAIN, name);
		} else if (str_starts(line, STR("-A "))) {
			parse_rule(st, table, line);
		}
	}
}

void ipt_state_clear(struct ipt_state *st)
{
	for (size_t i = 0; i < st->n; i++)
		mem_free(st->v[i].text);
	mem_free(st->v);
	*st = (struct ipt_state){.n = 0};
}
