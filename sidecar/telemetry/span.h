/*
 * Facts of one exchange (an HTTP request or a TCP connection), written by flow as they become known
 * and emitted exactly once: access log line, golden metrics. Plain data; slices are borrowed until
 * span_emit.
 */
#ifndef WEFT_SIDECAR_TELEMETRY_SPAN_H
#define WEFT_SIDECAR_TELEMETRY_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/log.h"
#include "lib/net/addr.h"
#include "lib/obs/metric.h"

enum span_direction { SPAN_INBOUND, SPAN_OUTBOUND };

/* One side of an exchange, as labels. */
struct span_party {
	struct str workload, ns, identity;
};

/* Embedded in the request or connection that it tells of. */
struct span {
	enum span_direction direction;
	bool http, emitted;
	bool tls;             /* mutual TLS on the mesh side of this proxy */
	uint64_t start_ns;    /* loop time */
	uint64_t detect_ns;   /* how long the protocol decision took */
	uint64_t upstream_ns; /* until the upstream exchange was ready; 0: never */
	const char *protocol; /* "http/1.1", "http/2", "grpc", "tcp", "tls" */
	struct addr downstream, destination, upstream;
	struct span_party source, dest;
	struct str service; /* its name, the namespace is the destination's; empty: none */
	struct str method, authority, path, request_id;
	struct str cipher; /* of the mesh side, where known; static storage or the connection's */
	uint16_t status;
	int grpc_status;              /* -1: no gRPC */
	uint64_t bytes_in, bytes_out; /* request / response body; TCP: from / to the downstream */
	uint32_t attempts;
	const char *reason_label, *reason_text; /* static storage; "-" where all is well */
	char rule[160];                         /* policy and rule that decided */
	char detail[224];                       /* more words for the log */
};

/* The strings that flow borrows from its configuration: their bytes in all, and a copy of them in
 * dst, which is so large and outlives the span. */
size_t span_labels_size(const struct span *s);
void span_labels_keep(struct span *s, char *dst);

struct telemetry;

/* Families live in metrics (borrowed); log is the access log, NULL: off. */
struct telemetry *telemetry_new(struct metrics *metrics, struct log *access_log);
void telemetry_free(struct telemetry **t);
/* Writes line and metrics; asserts that it is the first time. now: loop time. */
void span_emit(struct telemetry *t, struct span *span, uint64_t now);
/* One refused connection that never became an exchange (weft_connections_refused_total). */
void telemetry_refused(struct telemetry *t, enum span_direction direction,
	const char *reason_label);
/* A plaintext connection was admitted (weft_plaintext_connections_total); the source as its address
 * tells, empty: unknown. */
void telemetry_plaintext(struct telemetry *t, struct str workload, struct str ns, uint16_t port);
/* An outbound connection whose destination the snapshot did not have (weft_lookup_total). */
void telemetry_lookup(struct telemetry *t, const char *result);
/* Counter of protocol decisions with the time they took (weft_detections_total,
 * weft_detection_duration_seconds). */
void telemetry_detected(struct telemetry *t, enum span_direction direction, const char *verdict,
	uint64_t ns);
/* A TCP connection was admitted (weft_tcp_connections_opened_total). */
void telemetry_tcp_opened(struct telemetry *t, const struct span *span);

#endif
