/*
 * Shared by ledger.c and ledger_pass.c.
 */
#ifndef WEFT_CTRLPLANE_PUSH_LEDGER_INTERNAL_H
#define WEFT_CTRLPLANE_PUSH_LEDGER_INTERNAL_H

#include "ctrlplane/push/ledger.h"

/* Made where there is none. */
struct ledger_resource *ledger_resource_of(struct ledger *l, struct str name);
/* Without a word to the peer. */
void ledger_forget(struct ledger *l, struct ledger_resource *r);
/* A rejection that is superseded. */
void ledger_unreject(struct ledger *l, struct ledger_resource *r);
/* Lets go of catalog and response; nothing where there is no pass. */
void ledger_end_pass(struct ledger *l);

#endif
