/*
 * All reasons in one number space: transport's from lib/base/reason.def, the mesh's own from
 * flow/reason.def. What flow replies, counts and logs for a failure is one lookup here.
 */
#ifndef WEFT_SIDECAR_FLOW_REASON_H
#define WEFT_SIDECAR_FLOW_REASON_H

#include "lib/base/reason.h"

enum mesh_reason {
	MESH_REASON_FIRST = REASON_MESH_BASE - 1,
#define MESH_REASON(name, label, http, grpc, text) MESH_##name,
#include "sidecar/flow/reason.def"
#undef MESH_REASON
	MESH_REASON_END
};

/* Row of a transport or mesh reason; never NULL. */
const struct reason_info *flow_reason(int reason);

#endif
