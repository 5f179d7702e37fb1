/*
 * The two implementations behind backend.c.
 */
#ifndef WEFT_SIDECAR_CAPTURE_BACKEND_INTERNAL_H
#define WEFT_SIDECAR_CAPTURE_BACKEND_INTERNAL_H

#include "sidecar/capture/backend.h"

void nft_look(size_t n, struct holding *h);
int nft_try(const struct rules_by_family *rules, struct trouble *t);
int nft_apply(const struct rules_by_family *rules, struct trouble *t);
int nft_clean(const struct holding *now, struct trouble *t);
int nft_bring_back(const struct holding *then, struct trouble *t);

/* flavour: "nft" or "legacy". */
void ipt_look(const char *flavour, size_t n, struct holding *h);
int ipt_try(const struct rules_by_family *rules, const struct holding *now, struct trouble *t);
int ipt_apply(const struct rules_by_family *rules, const struct holding *now, struct trouble *t);
int ipt_clean(const struct holding *now, struct trouble *t);
int ipt_bring_back(const struct holding *then, struct trouble *t);

#endif
