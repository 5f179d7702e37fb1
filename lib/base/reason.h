/*
 * The reason enum: why something ended, and everything derived from it. Transport reasons are in
 * reason.def; the mesh's own (no route, denied, ...) are in sidecar/flow/reason.def and number from
 * REASON_MESH_BASE on, looked up through the same struct.
 */
#ifndef WEFT_BASE_REASON_H
#define WEFT_BASE_REASON_H

#include <stdint.h>

enum reason_retry { R_NEVER, R_SAFE, R_ALWAYS };

enum reason {
#define REASON(name, label, http, grpc, h2, retry, text) REASON_##name,
#include "lib/base/reason.def"
#undef REASON
	REASON_COUNT,
	REASON_MESH_BASE = 64
};

/* One row. Static storage. */
struct reason_info {
	const char *name; /* "UPSTREAM_RESET" */
	const char *label;
	uint16_t http_status;
	uint8_t grpc_status;
	uint8_t h2_code; /* RFC 9113 section 7 */
	enum reason_retry retry;
	const char *text;
};

/* Row of a transport reason; INTERNAL's for numbers that are none. */
const struct reason_info *reason_info(int reason);

/* The reason a failed dial (connect and handshake, ERR_*) has: nothing was sent yet, so most may be
 * tried again. */
enum reason reason_from_connect_err(int err);
/*
 * The reason a failed call (ERR_*) on an established connection towards the upstream / the
 * downstream has. A time-out or lost route is never one of the reasons that promise that nothing
 * was processed.
 */
enum reason reason_from_upstream_err(int err);
enum reason reason_from_downstream_err(int err);
/* From an H2 error code received on a stream from the upstream / downstream. */
enum reason reason_from_h2(uint32_t code, int from_upstream);

#endif
