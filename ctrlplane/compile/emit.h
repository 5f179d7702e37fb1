/*
 * Resources of the wire from joined objects, one function per kind. Private to compile/.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_EMIT_H
#define WEFT_CTRLPLANE_COMPILE_EMIT_H

#include "ctrlplane/compile/compile.h"
#include "ctrlplane/compile/world_internal.h"

/* On the stack of compile_state; borrows both. */
struct emitter {
	const struct world *w;
	struct arena *a;
};

/*
 * Each gives a whole Resource: its name is kind/namespace/name, and its hash the SHA-256 of the
 * Resource with nothing but the content set, packed. That is canonical: protobuf-c writes fields in
 * the order of their numbers, lists that mean sets are sorted, and there are no maps.
 */
Weft__Mesh__V1__Resource *emit_workload(struct emitter *e, const struct kube_pod *pod);
Weft__Mesh__V1__Resource *emit_mesh(struct emitter *e);
Weft__Mesh__V1__Resource *emit_bundle(struct emitter *e, const struct compile_bundle *b);
/* serials: of leaves, as struct cert_leaf has them; sorted by the callee. */
Weft__Mesh__V1__Resource *emit_revocations(struct emitter *e, const struct str *serials, size_t n);
Weft__Mesh__V1__Resource *emit_policy(struct emitter *e, const struct authz *policy);
Weft__Mesh__V1__Resource *emit_service(struct emitter *e, const struct kube_service *svc);
Weft__Mesh__V1__Resource *emit_pod(struct emitter *e, const struct kube_pod *pod);

/* What metrics call the workload and service that a pod belongs to. */
struct str pod_workload_name(const struct kube_pod *pod);
struct str pod_service_name(const struct kube_pod *pod);

#endif
