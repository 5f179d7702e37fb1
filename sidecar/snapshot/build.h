/*
 * From protobuf resources to a snapshot, with all validation. Pure but for allocation; used by
 * state.c.
 */
#ifndef WEFT_SIDECAR_SNAPSHOT_BUILD_H
#define WEFT_SIDECAR_SNAPSHOT_BUILD_H

#include "sidecar/snapshot/snapshot.h"
#include "weft/mesh/v1/mesh.pb-c.h"

/* Most objects of one kind in one snapshot. */
#define SNAPSHOT_MAX_SERVICES 20000
#define SNAPSHOT_MAX_PODS 100000
#define SNAPSHOT_MAX_POLICIES 10000

/* 0 with one reference, or ERR_INVAL / ERR_LIMIT / ERR_VERIFY with resource, field and reason in
 * err. */
int snapshot_build(const Weft__Mesh__V1__State *state, uint64_t seed, struct snapshot **out,
	char *err, size_t size);
/* The same with what is wrong apart. out NULL: validates the resources alone; the state needs no
 * identity, and nothing comes of it. */
int snapshot_try(const Weft__Mesh__V1__State *state, uint64_t seed, struct snapshot **out,
	struct snapshot_fault *fault);
/* One resource by itself, in a state of that trust domain. 0 or ERR_*. */
int snapshot_check_resource(const char *trust_domain, const Weft__Mesh__V1__Resource *resource,
	struct snapshot_fault *fault);

#endif
