/*
 * A state as JSON: everything but the key, in the field names of proto/weft/mesh/v1/mesh.proto in
 * lower camel case, with addresses, blocks, hashes and enumerations as people write them.
 */
#ifndef WEFT_CLI_STATE_JSON_H
#define WEFT_CLI_STATE_JSON_H

#include "lib/json/json.h"
#include "weft/mesh/v1/mesh.pb-c.h"

/* Writes the resources as an array. With hashes: each with its hash. */
void state_json_resources(struct json *j, Weft__Mesh__V1__Resource *const *list, size_t n,
	bool hashes);

/* "STRICT", "HTTP2", "ALLOW", ...; "?" for a number that this version does not know. */
const char *state_mode_text(Weft__Mesh__V1__MtlsMode mode);
const char *state_protocol_text(Weft__Mesh__V1__Protocol protocol);
/* dst has room for ADDR_TEXT bytes; "?" where the bytes are no address. */
const char *state_address_text(const ProtobufCBinaryData *bytes, char *dst);

#endif
