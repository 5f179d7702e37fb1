/*
 * What the files of the snapshot builder share: where errors go, and the converters of values.
 * Included by build*.c alone.
 */
#ifndef WEFT_SIDECAR_SNAPSHOT_BUILD_INTERNAL_H
#define WEFT_SIDECAR_SNAPSHOT_BUILD_INTERNAL_H

#include "sidecar/snapshot/build.h"

/* On the stack of snapshot_build; borrowed by all. */
struct build {
	struct snapshot *s;
	const char *resource; /* name of the one at hand, for errors */
	struct snapshot_fault *fault;
};

/* Writes the fault and returns ERR_INVAL. */
int build_fail(struct build *b, const char *field, const char *text);
struct str build_str(struct build *b, const char *z);
/* 4 or 16 bytes, an IPv4 address always 4. */
int build_addr(struct build *b, const char *field, const ProtobufCBinaryData *bytes,
	struct addr *out);
/* The same, of somebody: neither loopback nor link-local, multicast or any. */
int build_unicast(struct build *b, const char *field, const ProtobufCBinaryData *bytes,
	struct addr *out);
int build_cidrs(struct build *b, const char *field, size_t n, Weft__Mesh__V1__IpBlock *const *in,
	struct cidrs *out);
int build_ports(struct build *b, size_t n, Weft__Mesh__V1__WorkloadPort *const *in,
	enum mesh_mtls mode, bool zero_ok, struct mesh_port **out);
int build_protocol(struct build *b, Weft__Mesh__V1__Protocol in, enum mesh_protocol *out);
/* UNSPECIFIED gives fallback. */
int build_mtls(struct build *b, Weft__Mesh__V1__MtlsMode in, enum mesh_mtls fallback,
	enum mesh_mtls *out);

/* Fills in the digest of all that is no destination. */
void build_rules(struct build *b, const Weft__Mesh__V1__State *st);
int build_policy(struct build *b, const Weft__Mesh__V1__AuthorizationPolicy *in,
	struct authz_policy *out);
int build_workload(struct build *b, const Weft__Mesh__V1__Workload *in);
int build_service(struct build *b, const Weft__Mesh__V1__Service *in, struct mesh_service *out);
int build_pod(struct build *b, const Weft__Mesh__V1__Pod *in, struct mesh_pod *out);

#endif
