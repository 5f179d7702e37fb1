/*
 * One reading of the source as it is served: resources by name, destinations by address and host
 * name, what each pod must have. Immutable and refcounted; resources are compiled when first asked
 * for and kept. Pure but for memory.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_CATALOG_H
#define WEFT_CTRLPLANE_COMPILE_CATALOG_H

#include "ctrlplane/compile/compile.h"

/* Refcounted; owns its world, copies of bundles and serials, and all that was compiled. */
struct catalog;

/* A compiled resource: what is sent, and what it is compared by. Borrowed from the catalog. */
struct compiled {
	struct str name;   /* "Service/shop/web" */
	struct str hash;   /* SHA-256 */
	struct str packed; /* the whole weft.mesh.v1.Resource */
	const Weft__Mesh__V1__Resource *resource;
};

/* What Required says of one pod; names of resources of the same catalog. Borrowed. */
struct catalog_required {
	struct str workload, mesh, revocations;
	const struct str *bundles, *policies;
	size_t n_bundles, n_policies;
};

/* Takes a joined world. bundles and revoked are copied. */
struct catalog *catalog_new(struct world *w, const struct compile_bundle *bundles, size_t n_bundles,
	const struct str *revoked, size_t n_revoked);
struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog **c);
const struct world *catalog_world(const struct catalog *c);

/* NULL where there is none. */
const struct compiled *catalog_resource(struct catalog *c, struct str name);
/* The Service or Pod that has the address (port 0), or the host name ("shop/web", "web.shop",
 * "web.shop.svc", "web.shop.svc.cluster.local."); NULL: nobody. */
const struct compiled *catalog_by_address(struct catalog *c, const struct addr *ip);
/* True where several claim the address: it is nobody's, but nobody may be told that it is outside
 * the mesh. */
bool catalog_contested(const struct catalog *c, const struct addr *ip);
const struct compiled *catalog_by_name(struct catalog *c, struct str host);
/* 0, or ERR_NOTFOUND / ERR_INVAL (not meshed, finished, no address) with text. */
int catalog_required(struct catalog *c, struct str ns, struct str pod,
	const struct catalog_required **out, char *err, size_t size);

/* Who a pod is, for attestation: NULL where there is no such meshed pod. */
const struct kube_pod *catalog_pod(const struct catalog *c, struct str ns, struct str pod);
/* The pod whose annotation mesh.weft.dev/unix-uid is uid; NULL: none, or more than one. */
const struct kube_pod *catalog_pod_by_unix_uid(const struct catalog *c, uint32_t uid);

#endif
