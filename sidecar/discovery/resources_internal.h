/*
 * What the files of the table of resources share: versions, and what is done to a slot. Included by
 * resources.c, stage.c and settle.c.
 */
#ifndef WEFT_SIDECAR_DISCOVERY_RESOURCES_INTERNAL_H
#define WEFT_SIDECAR_DISCOVERY_RESOURCES_INTERNAL_H

#include "sidecar/discovery/resources.h"

struct version *version_take(struct resources *r, Weft__Mesh__V1__Resource *msg);
void version_drop(struct resources *r, struct version **v);
/* *to = from, counted. */
void version_set(struct resources *r, struct version **to, struct version *from);
/* A policy that denies what it selects, in the place of one that cannot be used. */
struct version *version_broken(struct resources *r, const char *name,
	const Weft__Mesh__V1__Resource *of, const char *why);
/* Fits what the slot is needed as. */
bool slot_fits(const struct slot *s, const Weft__Mesh__V1__Resource *msg);
/* All that is wanted came and is what it is wanted as. */
bool resources_complete(const struct resources *r);
/* For the next answer alone. */
void resources_reject(struct resources *r, const char *name, const ProtobufCBinaryData *hash,
	const char *field, const char *reason);
/* Refuses a version of the slot: what was before stays, or what stands for it. */
void slot_refuse(struct resources *r, struct slot *s, const Weft__Mesh__V1__Resource *version,
	const char *field, const char *reason);
/* Its refusal is over. */
void slot_forgive(struct slot *s);
/* good becomes cur, with the index. */
void slot_commit(struct resources *r, struct slot *s);

#endif
