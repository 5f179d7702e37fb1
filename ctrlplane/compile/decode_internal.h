/*
 * What the decoders of each kind share: the object at hand, and the pieces that many objects have.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_DECODE_INTERNAL_H
#define WEFT_CTRLPLANE_COMPILE_DECODE_INTERNAL_H

#include "ctrlplane/compile/world_internal.h"
#include "lib/yaml/read.h"

/* One object being decoded; on the stack of decode.c. */
struct decoder {
	struct world *w;
	struct yaml_reader r; /* reports as errors of this object */
	struct object_meta meta;
	bool meta_ok;
	bool named; /* it is known which object it is */
	bool again; /* an object of this name was there before */
	struct seen_object *seen;
	const struct redo *redo; /* it is an earlier form; NULL: what is there */
	struct str first_problem;
};

/* One per kind; each adds to the world, or leaves it as it was and has reported why. */
void decode_namespace(struct decoder *d);
void decode_service(struct decoder *d);
void decode_pod(struct decoder *d);
void decode_slice(struct decoder *d);
void decode_authz(struct decoder *d);
void decode_peer_auth(struct decoder *d);
void decode_mesh_config(struct decoder *d);
void decode_traffic(struct decoder *d);
/* A denial in the place of a security object whose kind this version does not know. */
void decode_unknown_security(struct decoder *d);

/* A warning or note about a node of the object. */
void decode_tell(struct decoder *d, enum problem_severity s, const struct yaml_node *node,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* apiVersion, kind, metadata, spec and status are all that the object may have at its top. */
void decode_check_top(struct decoder *d);
void decode_labels(struct decoder *d, const struct yaml_node *map, struct labels *out);
/* spec.selector.matchLabels of a policy. False where it cannot be read: out is then empty. */
bool decode_selector(struct decoder *d, const struct yaml_node *spec, struct labels *out);
bool decode_port(struct decoder *d, const struct yaml_node *node, uint16_t *out);
/* An address that can be somebody's: no loopback, link-local, multicast or unspecified one. */
bool decode_address(struct decoder *d, const struct yaml_node *node, struct addr *out);
/* Addresses of an object that is refused: whose they are is not known then. */
void decode_doubt(struct decoder *d, struct addr *addrs, size_t n);
bool decode_block(struct decoder *d, const struct yaml_node *node, Weft__Mesh__V1__IpBlock **out);
/* False with a report where a list has more than max children. */
bool decode_within(struct decoder *d, const struct yaml_node *list, size_t max);

bool dns_label_valid(struct str s);     /* RFC 1123 label */
bool dns_subdomain_valid(struct str s); /* labels with dots between them */

/* Protocol that a name stands for: an appProtocol, or the part of a port's name before '-'. False
 * where it stands for none. */
bool protocol_by_name(struct str name, Weft__Mesh__V1__Protocol *out);
/* The same for a whole port name: "http-metrics", "grpc-web". */
bool protocol_by_port_name(struct str name, Weft__Mesh__V1__Protocol *out);

#endif
