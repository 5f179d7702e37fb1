/*
 * The table of mesh reasons and the lookup over both tables. Pure; used by reply.c, spans and
 * conn.c.
 */
#include "sidecar/flow/reason.h"

static const struct reason_info mesh_rows[] = {
#define MESH_REASON(name_, label_, http, grpc, text_) \
	{.name = #name_,                              \
		.label = (label_),                    \
		.http_status = (http),                \
		.grpc_status = (grpc),                \
		.h2_code = 8,                         \
		.retry = R_NEVER,                     \
		.text = (text_)},
#include "sidecar/flow/reason.def"
#undef MESH_REASON
};

const struct reason_info *flow_reason(int reason)
{
	if (reason >= REASON_MESH_BASE && reason < MESH_REASON_END)
		return &mesh_rows[reason - REASON_MESH_BASE];
	return reason_info(reason);
}
