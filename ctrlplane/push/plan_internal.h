/*
 * Shared by plan.c and plan_pass.c.
 */
#ifndef WEFT_CTRLPLANE_PUSH_PLAN_INTERNAL_H
#define WEFT_CTRLPLANE_PUSH_PLAN_INTERNAL_H

#include "ctrlplane/push/plan.h"

/* Made where there is none. */
struct plan_resource *plan_resource_of(struct plan *p, struct str name);
/* Without a word to the peer. */
void plan_forget(struct plan *p, struct plan_resource *r);
/* A rejection that is superseded. */
void plan_unreject(struct plan *p, struct plan_resource *r);
/* Lets go of catalog and response; nothing where there is no pass. */
void plan_end_pass(struct plan *p);

#endif
