/*
 * How the flow asks about addresses in the mesh's ranges that the snapshot does not have. The
 * answers come from sidecar/discovery (through proxy.c); without it nothing more is ever known.
 */
#ifndef WEFT_SIDECAR_SNAPSHOT_LOOKUP_H
#define WEFT_SIDECAR_SNAPSHOT_LOOKUP_H

#include "lib/net/addr.h"

enum lookup_answer {
	LOOKUP_UNKNOWN,    /* asked for now; flow_lookup_done follows, or does not */
	LOOKUP_NOT_MESHED, /* explicitly */
	LOOKUP_REFUSED     /* will not be known: no control plane, or its limits are reached */
};

/* Copied by flow_set_lookup; all members are required. ip has port 0. */
struct lookup {
	/* What is known; asks where nothing is. Never calls back from inside. */
	enum lookup_answer (*ask)(void *arg, const struct addr *ip);
	/* A destination of the snapshot is used (again): it is not to be forgotten. */
	void (*touch)(void *arg, const struct addr *ip);
	/* What was told of it proved wrong (identity mismatch, nobody there): ask again. */
	void (*refresh)(void *arg, const struct addr *ip);
	void *arg;
};

#endif
