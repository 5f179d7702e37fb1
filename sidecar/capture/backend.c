/*
 * Picks the implementation of a backend. Owns nothing; called by apply.c.
 */
#include "sidecar/capture/backend.h"

#include "lib/base/alloc.h"
#include "sidecar/capture/backend_internal.h"

const char *backend_name(enum backend b)
{
	static const char *const names[BACKEND_COUNT] = {"nft", "iptables-nft", "iptables-legacy"};

	return names[b];
}

void backend_look(enum backend b, size_t n, struct holding *h)
{
	*h = (struct holding){.usable = false};
	if (b == BACKEND_NFT)
		nft_look(n, h);
	else
		ipt_look(b == BACKEND_IPT_NFT ? "nft" : "legacy", n, h);
}

void holding_clear(struct holding *h)
{
	for (size_t i = 0; i < CAPTURE_FAMILIES; i++) {
		mem_free(h->nft[i]);
		ipt_state_clear(&h->ipt[i]);
	}
	*h = (struct holding){.usable = false};
}

int backend_try(enum backend b, const struct rules_by_family *rules, const struct holding *now,
	struct trouble *t)
{
	return b == BACKEND_NFT ? nft_try(rules, t) : ipt_try(rules, now, t);
}

int backend_apply(enum backend b, const struct rules_by_family *rules, const struct holding *now,
	struct trouble *t)
{
	return b == BACKEND_NFT ? nft_apply(rules, t) : ipt_apply(rules, now, t);
}

int backend_clean(enum backend b, const struct holding *now, struct trouble *t)
{
	return b == BACKEND_NFT ? nft_clean(now, t) : ipt_clean(now, t);
}

int backend_bring_back(enum backend b, const struct holding *then, struct trouble *t)
{
	return b == BACKEND_NFT ? nft_bring_back(then, t) : ipt_bring_back(then, t);
}
