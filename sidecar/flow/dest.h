/*
 * Which destination is this? Pure: snapshot and original destination in, answer out. By VIP and
 * port, then by pod address; never by bare port, never by a header.
 */
#ifndef WEFT_SIDECAR_FLOW_DEST_H
#define WEFT_SIDECAR_FLOW_DEST_H

#include "sidecar/snapshot/snapshot.h"

enum dest_kind {
	DEST_SERVICE,     /* a VIP and one of its ports */
	DEST_POD,         /* a pod by its own address */
	DEST_SELF,        /* this pod by its own address */
	DEST_PASSTHROUGH, /* outside the mesh's ranges, or nobody's in the mesh: as it is */
	DEST_REFUSED
};

/* Borrowed from the snapshot. */
struct dest {
	enum dest_kind kind;
	struct addr addr; /* original destination */
	const struct mesh_service *service;
	int port_index; /* of the service's ports */
	const struct mesh_pod *pod;
	enum mesh_protocol protocol;
	int reason; /* DEST_REFUSED: a mesh reason */
};

/* not_meshed: it is known that nobody in the mesh has that address, so that it is treated as one
 * outside of the ranges where the snapshot does not have it. */
void dest_find(const struct snapshot *s, const struct addr *orig, bool not_meshed,
	struct dest *out);

/* How one endpoint is to be reached. 0, or a mesh reason. secure: with mutual TLS (self included).
 */
struct dest_hop {
	struct addr to;
	struct str id, uid;
	bool secure, self;
};
int dest_hop(const struct snapshot *s, const struct dest *d, const struct mesh_endpoint *ep,
	struct dest_hop *out);
/* What ep, of another snapshot, is called in the destination of now; NULL: it is not there. */
const struct mesh_endpoint *dest_find_again(const struct dest *d, const struct mesh_endpoint *ep);
/* Rule 2 for what was chosen under another snapshot, to be dialled in plaintext now: ep (NULL: as
 * it was, passed on) at to. 0 where s says the same, or a mesh reason. */
int dest_still(const struct snapshot *s, const struct addr *orig, const struct mesh_endpoint *ep,
	const struct addr *to);

#endif
