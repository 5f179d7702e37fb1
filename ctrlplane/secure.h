/*
 * TLS on the gRPC listeners: each accepted connection is taken through a handshake with the serving
 * certificate of the moment. Owns the handshakes that run; owned by ctrlplane.c.
 */
#ifndef WEFT_CTRLPLANE_SECURE_H
#define WEFT_CTRLPLANE_SECURE_H

#include "ctrlplane/ca/authority.h"
#include "lib/grpc/server.h"
#include "lib/obs/metric.h"

struct secure;

/* All borrowed until secure_end. */
struct secure_config {
	struct loop *loop;
	struct buf_pool *bufs;
	struct log *log;
	struct metrics *metrics;
	struct authority *authority;
};

struct secure *secure_new(const struct secure_config *cfg);
/* A grpc_secure_fn; arg is the struct secure. */
void secure_start(void *arg, struct io *io, grpc_ready_fn *ready, void *ready_arg);
/* Ends the handshakes that run (their ready is called with NULL); before the server is closed.
 * Nulls; safe on NULL. */
void secure_end(struct secure **s);

#endif
