/*
 * grpc.health.v1: Check and Watch over a table of names. Owned by whoever serves; Watch streams end
 * with the server.
 */
#ifndef WEFT_GRPC_HEALTH_H
#define WEFT_GRPC_HEALTH_H

#include "lib/grpc/server.h"

struct grpc_health;

/* Adds itself to the server, which must go first. The name "" (the server as a whole) is there and
 * not serving. */
struct grpc_health *grpc_health_new(struct grpc_server *s);
/* service: "" or a full service name; static storage. Watchers hear of changes. */
void grpc_health_set(struct grpc_health *h, const char *service, bool serving);
void grpc_health_free(struct grpc_health **h);

#endif
