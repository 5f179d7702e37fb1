/*
 * Objects that say what holds for others: modes, authorization, traffic, the mesh. Plain data in
 * the world's arena, as what is in object.h.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_OBJECT_POLICY_H
#define WEFT_CTRLPLANE_COMPILE_OBJECT_POLICY_H

#include "ctrlplane/compile/object.h"

/* What a policy holds for. An empty selector is everything in the namespace (or the mesh). */
struct policy_scope {
	struct str ns;
	struct labels selector;
};

struct port_mode {
	uint16_t port;
	Weft__Mesh__V1__MtlsMode mode; /* UNSPECIFIED: as the workload */
};

struct peer_auth {
	struct object_meta meta;
	struct policy_scope scope;
	bool broken; /* STRICT for what it selects, whatever else says */
	bool stray;  /* broken, and nobody knows which one it is */
	Weft__Mesh__V1__MtlsMode mode;
	struct port_mode *ports;
	size_t n_ports;
	bool shadowed; /* that an older one holds in its place was said */
};

struct authz {
	struct object_meta meta;
	struct policy_scope scope;
	bool stray;                                 /* broken, and nobody knows which one it is */
	Weft__Mesh__V1__AuthorizationPolicy policy; /* compiled; its broken is set where it is */
};

struct traffic_policy {
	struct object_meta meta;
	struct str *services; /* of its own namespace */
	size_t n_services;
	Weft__Mesh__V1__LoadBalancer balancer;
};

struct mesh_config {
	struct object_meta meta; /* name empty: the defaults */
	Weft__Mesh__V1__Mesh mesh;
};

#endif
