/*
 * From a joined world to what one sidecar needs: resources in canonical form with their hashes,
 * together a State without identity. Pure: the time and the bundles are handed in. Called by the
 * command line (and a control plane).
 */
#ifndef WEFT_CTRLPLANE_COMPILE_COMPILE_H
#define WEFT_CTRLPLANE_COMPILE_COMPILE_H

#include "certs/spiffe.h"
#include "ctrlplane/compile/world.h"

#define COMPILE_MAX_BUNDLES 64
#define COMPILE_STATE_FORMAT 1 /* what the sidecar's reader calls STATE_FORMAT */

/* Roots of a trust domain, DER one after the other. Borrowed. */
struct compile_bundle {
	struct str trust_domain, roots;
};

/* What is compiled. Borrowed for the call. */
struct compile_in {
	struct str ns, pod;
	int64_t now;                          /* seconds since the epoch: State.written_at */
	const struct compile_bundle *bundles; /* the mesh's own among them */
	size_t n_bundles;
	const struct str *revoked; /* serials of leaves */
	size_t n_revoked;
};

/*
 * The state of one pod: required are its own record, Mesh, bundles, revocations and the policies
 * that select it; used are all Services and pods of the world, since the source is known to be
 * complete. chain, key and position are left to the caller. Everything is in the arena or borrowed
 * from world and bundles, so it is packed and never freed by protobuf. 0; ERR_NOTFOUND (no such
 * pod), ERR_INVAL (no sidecar, no address, on the host's network, finished, no own bundle) with
 * text in err.
 */
int compile_state(const struct world *w, const struct compile_in *in, struct arena *a,
	Weft__Mesh__V1__State **out, char *err, size_t size);

/* A pod that a state can be made for. 0, or ERR_NOTFOUND / ERR_INVAL as above. */
int compile_pod(const struct world *w, struct str ns, struct str name, const struct kube_pod **out,
	char *err, size_t size);

/* The SPIFFE ID of a pod. dst has SPIFFE_ID_MAX + 1 bytes. 0 or ERR_INVAL. */
int compile_identity(const struct world *w, const struct kube_pod *pod, char *dst, size_t size);

#endif
