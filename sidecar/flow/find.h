/*
 * From an original destination to what is known of it: at once, or after a wait (lookup.c). Used by
 * outbound.c for connections and by request.c for requests.
 */
#ifndef WEFT_SIDECAR_FLOW_FIND_H
#define WEFT_SIDECAR_FLOW_FIND_H

#include "sidecar/flow/conn.h"

/* Finds c->dest, waiting for it where need be; outbound_start follows, perhaps from inside. */
void lookup_start(struct conn *c);
/* Which destination c->orig is, as far as is known now; what is not known is asked for, and refused
 * with reason discovery for the time being: true then. */
bool lookup_find(struct conn *c, const struct snapshot *s, struct dest *out);
/* What was passed on as nobody's is nobody's still, by the answer of now. */
bool lookup_still_nobody(const struct conn *c);
/* What was told of a destination of the snapshot proved wrong. */
void lookup_refresh(const struct flow *f, const struct dest *d);
/* Who calls in plaintext is not known by name: asked for, so that the next time it is. */
void lookup_source(const struct conn *c);
/* Waits no more. */
void lookup_leave(struct conn *c);
/* The destination is not used by it any more. */
void lookup_unuse(struct conn *c);

/* outbound.c: c->dest is known, or refused. */
void outbound_start(struct conn *c);

#endif
