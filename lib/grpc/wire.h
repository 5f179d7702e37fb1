/*
 * The small grammars of gRPC over HTTP/2 (PROTOCOL-HTTP2.md): content types, timeouts, messages of
 * a status, and what HTTP and HTTP/2 say in gRPC's terms. Pure; used by the files of lib/grpc.
 */
#ifndef WEFT_GRPC_WIRE_H
#define WEFT_GRPC_WIRE_H

#include "lib/base/arena.h"
#include "lib/base/reason.h"
#include "lib/grpc/call.h"

#define GRPC_PREFIX 5      /* compressed flag, length */
#define GRPC_TEXT_MAX 1024 /* of a status's message, before it is encoded */
#define GRPC_TIMEOUT_DIGITS 8
#define GRPC_TIMEOUT_TEXT (GRPC_TIMEOUT_DIGITS + 2)

/* "application/grpc", with "+proto" and parameters or without. */
bool grpc_is_content_type(struct str s);
/* "100m" to nanoseconds, clamped to what fits: 0 or ERR_INVAL. */
int grpc_parse_timeout(struct str s, uint64_t *ns);
/* Rounded up to what eight digits can say. */
void grpc_format_timeout(uint64_t ns, char dst[GRPC_TIMEOUT_TEXT]);
/* grpc-status; text that is none: UNKNOWN. */
enum grpc_status grpc_parse_status(struct str s);
/* grpc-message: percent-encoded for the wire, cut to GRPC_TEXT_MAX; decoded and escaped for a log.
 */
struct str grpc_encode_text(struct arena *arena, struct str text);
struct str grpc_decode_text(struct arena *arena, struct str wire);
/* http-grpc-status-mapping.md */
enum grpc_status grpc_from_http(uint16_t status);
/* Of a stream that ended without a status: code is that of the peer's RST_STREAM. */
enum grpc_status grpc_from_h2(uint32_t code);
enum grpc_status grpc_from_reason(enum reason reason, bool server);

#endif
