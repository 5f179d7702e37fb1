/*
 * Connections of which nothing but bytes is left to be: dialled (raw.c), relayed and told of
 * (tcp.c). Used by both flows and the judge.
 */
#ifndef WEFT_SIDECAR_FLOW_RAW_H
#define WEFT_SIDECAR_FLOW_RAW_H

#include "sidecar/flow/conn.h"

/* raw.c */
/* The client is silent: dials in case the server speaks first. Inbound: the verdict allows it. */
void raw_speculate(struct conn *c);
/* Nothing of it is needed (any more). */
void raw_drop(struct conn *c);
/* Nothing but bytes: relays to what was dialled already, or dials. First bytes are in c->first. */
void raw_start(struct conn *c, const char *protocol);

/* tcp.c */
/* Begins the span. */
void tcp_open(struct conn *c, const char *protocol);
/* Emits it, where one was begun. */
void tcp_close_span(struct conn *c, const struct reason_info *info, const char *detail);
/* Relays; up_first may be NULL. */
void tcp_relay(struct conn *c, struct io *up, struct buf *up_first);
/* Ends a relay because of a policy; conn_end follows, deferred. */
void tcp_abort(struct conn *c, int reason, const char *detail);

#endif
