/*
 * What one run of capture does to the rules of a namespace: which families, which backend, what is
 * there, and the steps that lead from there to whole rules or none.
 */
#ifndef WEFT_SIDECAR_CAPTURE_PLAN_H
#define WEFT_SIDECAR_CAPTURE_PLAN_H

#include "sidecar/capture/backend.h"

enum plan_backend { PLAN_AUTO, PLAN_NFT, PLAN_IPTABLES };
enum plan_flavour { PLAN_FLAVOUR_AUTO, PLAN_FLAVOUR_NFT, PLAN_FLAVOUR_LEGACY };

/* Owned by capture_main; owns the rules and what the backends hold. */
struct plan {
	struct rules_by_family rules;
	struct holding held[BACKEND_COUNT]; /* before anything is changed */
	enum backend backend;
};

/* What the kernel and namespace have. */
struct plan_families {
	bool kernel_v6;  /* the kernel knows IPv6 */
	bool enabled_v6; /* and it is not turned off here */
};

struct plan_families plan_families_read(void);

/* Builds the rules for n families (IPv4, then IPv6) and reads what is there. cfg is borrowed. */
void plan_init(struct plan *p, const struct capture_config *cfg, size_t n);
void plan_clear(struct plan *p);

/*
 * Picks the backend. trial: ask the kernel too whether it would take the rules. 0, or ERR_NOTFOUND
 * with t where none is usable.
 */
int plan_choose(struct plan *p, enum plan_backend want, enum plan_flavour flavour, bool trial,
	struct trouble *t);

/* The backend that the flags ask for first, whether or not it is there: for printing. */
enum backend plan_first(enum plan_backend want, enum plan_flavour flavour);

/* Writes the rules, and removes those that another backend held. 0 or ERR_* with t, and then all is
 * as before. */
int plan_apply(struct plan *p, struct trouble *t);
/* After plan_apply: makes all as it was before. 0 or ERR_* with t. */
int plan_take_back(struct plan *p, struct trouble *t);
/* Removes what is ours from every usable backend; *removed says whether there was anything. 0 or
 * ERR_* with t. */
int plan_clean(struct plan *p, bool *removed, struct trouble *t);
/* What plan_apply would write in a namespace without rules of ours, family by family. */
void plan_print(const struct plan *p, FILE *out);

#endif
