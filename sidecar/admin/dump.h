/*
 * The configuration in force as JSON for /config_dump: identity (never the key), own workload,
 * policies, destinations. Reads the snapshot, changes nothing.
 */
#ifndef WEFT_SIDECAR_ADMIN_DUMP_H
#define WEFT_SIDECAR_ADMIN_DUMP_H

#include "lib/json/json.h"
#include "sidecar/snapshot/snapshot.h"

/* Members of an open object. */
void dump_snapshot(struct json *j, const struct snapshot *s);

#endif
