/*
 * The files of proto/ as serialised FileDescriptorProtos, for reflection. The table is written at
 * build time by tools/gen-descriptors; read by reflection.c.
 */
#ifndef WEFT_GRPC_DESCRIPTORS_H
#define WEFT_GRPC_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

/* One file. Static storage. */
struct grpc_descriptor {
	const char *name; /* "weft/mesh/v1/mesh.proto" */
	const uint8_t *bytes;
	size_t n;
	const char *const *symbols; /* full names, without a leading dot */
	size_t n_symbols;
	const size_t *needs; /* itself, then what it imports, directly or not */
	size_t n_needs;
};

extern const struct grpc_descriptor grpc_descriptors[];
extern const size_t grpc_n_descriptors;

#endif
