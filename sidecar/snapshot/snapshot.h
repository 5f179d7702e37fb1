/*
 * The configuration that the data path reads: immutable, typed, refcounted resources in an index.
 * Plain data for all stages; built and validated from protobuf by snapshot/build.c, replaced as a
 * whole by a pointer swap; each connection and request holds a reference.
 */
#ifndef WEFT_SIDECAR_SNAPSHOT_H
#define WEFT_SIDECAR_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "certs/chain.h"
#include "lib/base/arena.h"
#include "lib/base/map.h"
#include "lib/crypto/crypto.h"
#include "lib/net/addr.h"
#include "sidecar/snapshot/policy.h"

enum mesh_protocol {
	MESH_PROTO_SNIFF,
	MESH_PROTO_HTTP,
	MESH_PROTO_HTTP2,
	MESH_PROTO_TCP,
	MESH_PROTO_TLS
};
enum mesh_mtls { MTLS_STRICT, MTLS_PERMISSIVE, MTLS_DISABLE };
enum mesh_balancer { BALANCER_P2C, BALANCER_ROUND_ROBIN };
enum mesh_outbound { OUTBOUND_ALLOW_ANY, OUTBOUND_REGISTRY_ONLY };

/* Plain value. */
struct mesh_port {
	uint16_t port;
	enum mesh_protocol protocol;
	enum mesh_mtls mtls;
};

/* Everything below is owned by the snapshot's arena. */
struct mesh_endpoint {
	struct addr v4, v6; /* port 0; ADDR_NONE where it has none */
	struct str uid, spiffe_id, ns, name, workload;
	bool meshed, ready;
	bool self; /* this pod */
	enum mesh_mtls mtls;
	struct mesh_port
		*ports; /* in the order of the service's ports; of a pod: its declared ports */
	size_t n_ports;
	uint32_t index; /* in its service */
};

struct mesh_service_port {
	uint16_t port;
	struct str name;
	enum mesh_protocol protocol;
};

struct mesh_service {
	struct str ns, name;
	struct addr *vips; /* port 0 */
	size_t n_vips;
	struct mesh_service_port *ports;
	size_t n_ports;
	struct mesh_endpoint *endpoints;
	size_t n_endpoints;
	enum mesh_balancer balancer;
};

struct mesh_pod {
	struct mesh_endpoint endpoint;
	struct str service;
};

/* This pod. */
struct mesh_workload {
	struct str ns, name, uid, service_account, workload, service, spiffe_id;
	struct addr *addrs; /* port 0 */
	size_t n_addrs;
	struct mesh_port *ports;
	size_t n_ports;
	enum mesh_mtls mtls;
};

/* Why a resource, or a state as a whole, cannot be in force. Plain value. */
struct snapshot_fault {
	const char *resource; /* as the state spells it, borrowed from there; "(...)": none */
	char field[64];
	char reason[256];
};

/* Refcounted; freed with the last reference, with all of the above. */
struct snapshot {
	uint32_t refs;
	struct arena arena;
	struct str trust_domain, position;
	int64_t written_at;
	struct mesh_workload self;
	struct authz_policy *policies;
	size_t n_policies;
	struct cidrs mesh_ranges;
	enum mesh_outbound outbound;
	struct mesh_service *services;
	size_t n_services;
	struct mesh_pod *pods;
	size_t n_pods;
	size_t n_disputed;          /* addresses that two claim: neither has them */
	struct map *by_vip;         /* addr with port 0 -> struct mesh_service */
	struct map *by_pod;         /* addr with port 0 -> struct mesh_pod */
	struct map *revoked;        /* serial in lower-case hex -> itself */
	uint8_t rules[SHA256_SIZE]; /* the same where all but destinations is the same */
	struct cert_chain *chain;
	struct cert_key *key;
	struct cert_bundle *bundle;
};

struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot **s);
/* Whoever wrote it says that it still holds at that time (seconds since the epoch): the one thing
 * of it that ever changes. */
void snapshot_renew(struct snapshot *s, int64_t written_at);

const struct mesh_service *snapshot_service(const struct snapshot *s, const struct addr *vip);
const struct mesh_pod *snapshot_pod(const struct snapshot *s, const struct addr *ip);
/* Position of the service's port, or -1. */
int mesh_service_port_index(const struct mesh_service *svc, uint16_t port);
bool snapshot_is_self(const struct snapshot *s, const struct addr *ip);
bool snapshot_in_mesh(const struct snapshot *s, const struct addr *ip);
/* Declared protocol and mode of one of our own ports (defaults where not declared). */
struct mesh_port snapshot_own_port(const struct snapshot *s, uint16_t port);

#endif
