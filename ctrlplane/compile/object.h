/*
 * Kubernetes objects as the compiler uses them: decoded, checked one by one, not yet joined. Plain
 * data in the world's arena; decode*.c makes them, join.c fills in what follows from the others.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_OBJECT_H
#define WEFT_CTRLPLANE_COMPILE_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/net/addr.h"
#include "weft/mesh/v1/mesh.pb-c.h"

/* Policies in this namespace hold for the whole mesh; MeshConfig belongs there. */
#define ROOT_NAMESPACE "weft-system"
/* A pod with a container (or init container) of this name is meshed. */
#define SIDECAR_CONTAINER "weft-sidecar"
/* On a pod: the Unix user that its sidecar runs as, on the control plane's machine. */
#define UNIX_UID_ANNOTATION "mesh.weft.dev/unix-uid"

#define OBJECT_MAX_PORTS 256     /* of a Service or pod */
#define OBJECT_MAX_LABELS 256    /* of one object or selector */
#define OBJECT_MAX_VALUES 1024   /* of one list of a policy */
#define OBJECT_MAX_RULES 512     /* of a policy, sources and operations of a rule */
#define OBJECT_MAX_ADDRESSES 16  /* of a pod or Service */
#define OBJECT_MAX_CONTAINERS 64 /* of a pod */
#define OBJECT_MAX_SLICE 1000    /* endpoints of an EndpointSlice, as Kubernetes */
#define OBJECT_MAX_FACTS 1024    /* ports of a pod, declared or led to */

struct peer_auth;
struct traffic_policy;

struct label {
	struct str key, value;
};
struct labels {
	struct label *v;
	size_t n;
};

struct object_meta {
	struct str kind, ns, name, uid, file;
	uint32_t line;
	struct labels labels;
	struct str owner;   /* name of the controlling ownerReference */
	struct str created; /* creationTimestamp, RFC 3339: sorts as text */
	bool deleting;      /* has a deletionTimestamp */
	bool kept;          /* as it was: where it stood cannot be read now */
};

struct container_port {
	struct str name;
	uint16_t port;
};

/* What a pod's port is, from the Services that lead to it and the policies that name it. */
struct port_facts {
	uint16_t port;
	Weft__Mesh__V1__Protocol protocol;
	Weft__Mesh__V1__MtlsMode mtls;
	struct str service; /* that declared the protocol; empty: none did */
	bool contradicted;  /* another Service declared another one */
};

struct kube_pod {
	struct object_meta meta;
	struct str service_account;
	bool meshed, host_network, finished, ready;
	bool has_unix_uid;
	uint32_t unix_uid; /* that its sidecar runs under, outside of Kubernetes */
	struct addr *addrs;
	size_t n_addrs;
	struct container_port *ports; /* TCP alone */
	size_t n_ports;
	/* joined: */
	struct str service; /* one that selects it; empty: none */
	struct port_facts *facts;
	size_t n_facts, facts_room;
	Weft__Mesh__V1__MtlsMode mtls;
	const struct peer_auth *peer_auth; /* whose portLevelMtls holds; NULL: none */
};

struct service_port {
	struct str name;
	uint16_t port, target; /* target 0: by name */
	struct str target_name;
	Weft__Mesh__V1__Protocol protocol;
};

/* Of an EndpointSlice, as it says. */
struct slice_endpoint {
	struct addr *addrs;
	size_t n_addrs;
	struct str pod_ns, pod; /* its targetRef, where that is a Pod */
	bool ready;
};

struct slice_port {
	struct str name;
	uint16_t port;
};

struct kube_slice {
	struct object_meta meta;
	struct str service; /* of its own namespace */
	struct slice_endpoint *endpoints;
	size_t n_endpoints;
	struct slice_port *ports; /* TCP alone */
	size_t n_ports;
	/* joined: */
	struct kube_slice *next; /* of the same Service */
};

/* Somebody who serves; joined. */
struct service_endpoint {
	const struct kube_pod *pod; /* NULL: an address that no pod of the world has */
	struct str name;            /* the pod's, or the address as text */
	struct addr *addrs;
	size_t n_addrs;
	bool ready;
	Weft__Mesh__V1__MtlsMode mtls; /* without pod */
	uint16_t *targets;             /* one per port of the Service; 0: none */
};

struct kube_service {
	struct object_meta meta;
	struct labels selector; /* none: selects nothing */
	bool publish_not_ready;
	struct addr *vips;
	size_t n_vips;
	struct service_port *ports; /* TCP alone */
	size_t n_ports;
	/* joined: */
	struct kube_slice *slices; /* its endpoints, in the place of the selector's */
	struct service_endpoint *endpoints;
	size_t n_endpoints;
	struct traffic_policy *traffic; /* that holds; NULL: none */
};

#endif
