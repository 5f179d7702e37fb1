/*
 * Chooses a backend and drives it: apply, take back, clean. What changes rules runs in the commit's
 * process. Called by capture.c.
 */
#include "sidecar/capture/plan.h"

#include <stdio.h>

#include "lib/base/err.h"
#include "sidecar/capture/commit.h"

/* First byte of a file of the kernel's, or 0. */
static char first_byte(const char *path, bool *exists)
{
	FILE *f = fopen(path, "re");

	*exists = f != NULL;
	if (f == NULL)
		return 0;
	int c = fgetc(f);
	fclose(f);
	return c == EOF ? 0 : (char)c;
}

struct plan_families plan_families_read(void)
{
	bool exists, has_addresses = first_byte("/proc/net/if_inet6", &exists) != 0, sysctl;
	bool off = first_byte("/proc/sys/net/ipv6/conf/all/disable_ipv6", &sysctl) == '1';

	return (struct plan_families){
		.kernel_v6 = exists,
		.enabled_v6 = exists && (has_addresses || !off),
	};
}

void plan_init(struct plan *p, const struct capture_config *cfg, size_t n)
{
	p->rules.n = n;
	for (size_t i = 0; i < n; i++)
		ruleset_build(&p->rules.v[i], cfg, i == 0 ? ADDR_V4 : ADDR_V6);
	for (int b = 0; b < BACKEND_COUNT; b++)
		backend_look((enum backend)b, n, &p->held[b]);
}

void plan_clear(struct plan *p)
{
	for (size_t i = 0; i < p->rules.n; i++)
		ruleset_clear(&p->rules.v[i]);
	for (int b = 0; b < BACKEND_COUNT; b++)
		holding_clear(&p->held[b]);
}

/* Backends in the order in which they are tried; returns how many. */
static size_t order_of_trial(const struct plan *p, enum plan_backend want,
	enum plan_flavour flavour, enum backend order[BACKEND_COUNT])
{
	bool legacy_first =
		p->held[BACKEND_IPT_LEGACY].foreign > 0 && p->held[BACKEND_IPT_NFT].foreign == 0;
	size_t n = 0;

	if (want == PLAN_NFT) {
		order[n++] = BACKEND_NFT;
		return n;
	}
	if (flavour != PLAN_FLAVOUR_AUTO) {
		order[n++] = flavour == PLAN_FLAVOUR_NFT ? BACKEND_IPT_NFT : BACKEND_IPT_LEGACY;
		return n;
	}
	/* Rules of others in the legacy tables alone: there ours have a place among them. */
	if (legacy_first)
		order[n++] = BACKEND_IPT_LEGACY;
	if (want == PLAN_AUTO)
		order[n++] = BACKEND_NFT;
	order[n++] = BACKEND_IPT_NFT;
	if (!legacy_first)
		order[n++] = BACKEND_IPT_LEGACY;
	/* What holds rules of ours comes first, so that a second run changes nothing. */
	for (size_t i = 1; i < n; i++) {
		if (!p->held[order[i]].ours || p->held[order[0]].ours)
			continue;
		enum backend first = order[i];
		for (size_t k = i; k > 0; k--)
			order[k] = order[k - 1];
		order[0] = first;
	}
	return n;
}

int plan_choose(struct plan *p, enum plan_backend want, enum plan_flavour flavour, bool trial,
	struct trouble *t)
{
	enum backend order[BACKEND_COUNT];
	size_t n = order_of_trial(p, want, flavour, order), told = 0;
	char all[sizeof(t->what)] = "";

	for (size_t i = 0; i < n; i++) {
		const struct holding *h = &p->held[order[i]];
		struct trouble why = h->why;

		if (h->usable && (!trial || backend_try(order[i], &p->rules, h, &why) == 0)) {
			p->backend = order[i];
			return 0;
		}
		if (i == 0)
			*t = why;
		int len = snprintf(all + told, sizeof(all) - told, "%s%s: %.160s",
			i > 0 ? "; " : "", backend_name(order[i]), why.what);
		if (len > 0 && (size_t)len < sizeof(all) - told)
			told += (size_t)len;
	}
	memcpy(t->what, all, sizeof(all));
	return ERR_NOTFOUND;
}

enum backend plan_first(enum plan_backend want, enum plan_flavour flavour)
{
	if (flavour == PLAN_FLAVOUR_LEGACY)
		return BACKEND_IPT_LEGACY;
	return flavour == PLAN_FLAVOUR_NFT || want == PLAN_IPTABLES ? BACKEND_IPT_NFT : BACKEND_NFT;
}

static int clean_and_bring_back(struct plan *p, struct trouble *t)
{
	int err = 0;

	for (int b = 0; b < BACKEND_COUNT; b++) {
		struct holding now;

		if (!p->held[b].usable || ((enum backend)b != p->backend && !p->held[b].ours))
			continue;
		backend_look((enum backend)b, p->rules.n, &now);
		int e = backend_clean((enum backend)b, &now, t);
		if (e == 0)
			e = backend_bring_back((enum backend)b, &p->held[b], t);
		holding_clear(&now);
		err = e < 0 ? e : err;
	}
	return err;
}

static int take_back(void *arg, struct trouble *t)
{
	return clean_and_bring_back(arg, t);
}

static int apply(void *arg, struct trouble *t)
{
	struct plan *p = arg;
	int err = backend_apply(p->backend, &p->rules, &p->held[p->backend], t);

	/* The new rules stand before the old ones of another backend go, so that there is no gap.
	 */
	for (int b = 0; b < BACKEND_COUNT && err == 0; b++) {
		if ((enum backend)b == p->backend || !p->held[b].ours)
			continue;
		err = backend_clean((enum backend)b, &p->held[b], t);
		if (err < 0) {
			struct trouble ignored;

			clean_and_bring_back(p, &ignored);
		}
	}
	return err;
}

static int clean(void *arg, struct trouble *t)
{
	struct plan *p = arg;
	int err = 0;

	for (int b = 0; b < BACKEND_COUNT; b++) {
		int e = p->held[b].ours ? backend_clean((enum backend)b, &p->held[b], t) : 0;

		err = e < 0 ? e : err;
	}
	return err;
}

int plan_apply(struct plan *p, struct trouble *t)
{
	return commit_run(apply, p, t);
}

int plan_take_back(struct plan *p, struct trouble *t)
{
	return commit_run(take_back, p, t);
}

int plan_clean(struct plan *p, bool *removed, struct trouble *t)
{
	bool usable = false;

	*removed = false;
	for (int b = 0; b < BACKEND_COUNT; b++) {
		usable = usable || p->held[b].usable;
		*removed = *removed || p->held[b].ours;
	}
	if (!usable) {
		*t = p->held[BACKEND_NFT].why;
		return ERR_NOTFOUND;
	}
	return commit_run(clean, p, t);
}

void plan_print(const struct plan *p, FILE *out)
{
	for (size_t i = 0; i < p->rules.n; i++) {
		fprintf(out, "# %s, %s\n", i == 0 ? "IPv4" : "IPv6", backend_name(p->backend));
		if (p->backend == BACKEND_NFT)
			text_nft_table(&p->rules.v[i], out);
		else
			text_ipt_print(&p->rules.v[i], out);
	}
}
