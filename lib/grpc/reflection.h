/*
 * grpc.reflection.v1 and v1alpha: lets generic clients list services and fetch descriptors, which
 * are embedded at build time (all of proto/). Owned by whoever serves.
 */
#ifndef WEFT_GRPC_REFLECTION_H
#define WEFT_GRPC_REFLECTION_H

#include "lib/grpc/server.h"

struct grpc_reflection;

/* Adds itself to the server, which must go first; lists the services that the server has then or
 * later. */
struct grpc_reflection *grpc_reflection_new(struct grpc_server *s);
void grpc_reflection_free(struct grpc_reflection **r);

#endif
