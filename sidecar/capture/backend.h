/*
 * The three ways to hand rules to the kernel: nft, and iptables in two flavours. Each can tell what
 * it holds of ours, write a ruleset, remove what is ours and bring back what was there.
 */
#ifndef WEFT_SIDECAR_CAPTURE_BACKEND_H
#define WEFT_SIDECAR_CAPTURE_BACKEND_H

#include "sidecar/capture/text.h"
#include "sidecar/capture/trouble.h"

enum backend { BACKEND_NFT, BACKEND_IPT_NFT, BACKEND_IPT_LEGACY, BACKEND_COUNT };

#define CAPTURE_FAMILIES 2

/* The rules of the families that this namespace has; IPv4 is always the first. Owned by
 * capture_main. */
struct rules_by_family {
	size_t n;
	struct ruleset v[CAPTURE_FAMILIES];
};

/* What a backend has in force now, by family (0: IPv4, 1: IPv6). Owned by the caller,
 * holding_clear. */
struct holding {
	bool usable;
	bool ours;                   /* rules or chains of ours are there */
	size_t foreign;              /* rules that are not ours */
	struct trouble why;          /* where it is not usable */
	char *nft[CAPTURE_FAMILIES]; /* our table as nft prints it, or NULL */
	struct ipt_state ipt[CAPTURE_FAMILIES];
	char save[CAPTURE_FAMILIES][32], restore[CAPTURE_FAMILIES][32]; /* the programs */
};

const char *backend_name(enum backend b);

/* Reads what is there for the first n families; changes nothing. usable: the programs are there and
 * run. */
void backend_look(enum backend b, size_t n, struct holding *h);
void holding_clear(struct holding *h);

/* Whether the kernel would take the rules, as far as that can be known beforehand. 0 or ERR_* with
 * t. */
int backend_try(enum backend b, const struct rules_by_family *rules, const struct holding *now,
	struct trouble *t);
/*
 * Writes the rules of all families or of none: 0, or ERR_* with t, and then what was there before
 * is there again. now is what backend_look found.
 */
int backend_apply(enum backend b, const struct rules_by_family *rules, const struct holding *now,
	struct trouble *t);
/* Removes what is ours. 0 or ERR_* with t. */
int backend_clean(enum backend b, const struct holding *now, struct trouble *t);
/* Brings back what then holds, on a backend that holds nothing of ours. 0 or ERR_* with t. */
int backend_bring_back(enum backend b, const struct holding *then, struct trouble *t);

#endif
