/*
 * Turns spans into golden metrics and access log lines. Owns nothing but its table of families; the
 * registry and the log are the proxy's. Called by flow alone, once per exchange.
 */
#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "sidecar/telemetry/span.h"

static const char *const request_labels[] = {"direction", "source_workload", "source_namespace",
	"source_identity", "destination_workload", "destination_namespace", "destination_identity",
	"destination_service", "protocol", "code", "grpc_status", "reason", "tls", NULL};
static const char *const brief_labels[] = {"direction", "destination_workload",
	"destination_namespace", "destination_service", "protocol", NULL};
static const char *const tcp_labels[] = {"direction", "source_workload", "source_namespace",
	"source_identity", "destination_workload", "destination_namespace", "destination_identity",
	"destination_service", "tls", NULL};
static const char *const tcp_end_labels[] = {"direction", "source_workload", "source_namespace",
	"source_identity", "destination_workload", "destination_namespace", "destination_identity",
	"destination_service", "reason", "tls", NULL};
static const char *const plaintext_labels[] = {
	"source_workload", "source_namespace", "destination_port", NULL};
static const char *const refused_labels[] = {"direction", "reason", NULL};
static const char *const lookup_labels[] = {"result", NULL};
static const char *const detect_labels[] = {"direction", "verdict", NULL};

static const double duration_buckets[] = {
	0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 0};
static const double size_buckets[] = {
	128, 1024, 16384, 131072, 1048576, 16777216, 134217728, 1073741824, 0};

static const struct metric_def family_defs[] = {
#define FAMILY(id, metric_kind, metric_name, label_names, bounds, text) \
	{.name = (metric_name),                                         \
		.kind = (metric_kind),                                  \
		.help = (text),                                         \
		.labels = (label_names),                                \
		.buckets = (bounds)},
#include "sidecar/telemetry/families.def"
#undef FAMILY
};

enum family {
#define FAMILY(id, metric_kind, metric_name, label_names, bounds, text) FAMILY_##id,
#include "sidecar/telemetry/families.def"
#undef FAMILY
	FAMILY_COUNT
};

/* Owned by the proxy. */
struct telemetry {
	struct log *access_log;
	struct metric *family[FAMILY_COUNT];
};

struct telemetry *telemetry_new(struct metrics *metrics, struct log *access_log)
{
	struct telemetry *t = MEM_NEW(struct telemetry);
	t->access_log = access_log;
	for (size_t i = 0; i < FAMILY_COUNT; i++)
		t->family[i] = metrics_add(metrics, &family_defs[i]);
	return t;
}

void telemetry_free(struct telemetry **t)
{
	mem_free(*t);
	*t = NULL;
}

static struct str direction_name(enum span_direction d)
{
	return d == SPAN_INBOUND ? STR("inbound") : STR("outbound");
}

static struct str or_unknown(struct str s)
{
	return s.n > 0 ? s : STR("unknown");
}

static void count(struct telemetry *t, enum family f, const struct str *values, size_t n,
	uint64_t by)
{
	metric_add(metric_get(t->family[f], values, n), by);
}

#define LABELS 7

static void find_labels(struct span *s, struct str *out[LABELS])
{
	out[0] = &s->source.workload;
	out[1] = &s->source.ns;
	out[2] = &s->source.identity;
	out[3] = &s->dest.workload;
	out[4] = &s->dest.ns;
	out[5] = &s->dest.identity;
	out[6] = &s->service;
}

size_t span_labels_size(const struct span *s)
{
	return s->source.workload.n + s->source.ns.n + s->source.identity.n + s->dest.workload.n +
		s->dest.ns.n + s->dest.identity.n + s->service.n;
}

void span_labels_keep(struct span *s, char *dst)
{
	struct str *v[LABELS];
	find_labels(s, v);
	for (int i = 0; i < LABELS; i++) {
		if (v[i]->n > 0)
			memcpy(dst, v[i]->p, v[i]->n);
		*v[i] = str_make(dst, v[i]->n);
		dst += v[i]->n;
	}
}

#define N(array) (sizeof(array) / sizeof((array)[0]))

static void emit_request_metrics(struct telemetry *t, const struct span *s, uint64_t now)
{
	char code[8], grpc[8] = "";
	struct str dir = direction_name(s->direction), protocol = str_from(s->protocol);
	snprintf(code, sizeof(code), "%u", s->status);
	if (s->grpc_status >= 0)
		snprintf(grpc, sizeof(grpc), "%d", s->grpc_status);
	const struct str full[] = {dir, or_unknown(s->source.workload), or_unknown(s->source.ns),
		or_unknown(s->source.identity), or_unknown(s->dest.workload),
		or_unknown(s->dest.ns), or_unknown(s->dest.identity), or_unknown(s->service),
		protocol, str_from(code), str_from(grpc), str_from(s->reason_label),
		s->tls ? STR("mtls") : STR("none")};
	const struct str brief[] = {dir, or_unknown(s->dest.workload), or_unknown(s->dest.ns),
		or_unknown(s->service), protocol};
	count(t, FAMILY_requests, full, N(full), 1);
	metric_observe(metric_get(t->family[FAMILY_duration], brief, N(brief)),
		(double)(now - s->start_ns) / NS_PER_S);
	metric_observe(metric_get(t->family[FAMILY_request_bytes], brief, N(brief)),
		(double)s->bytes_in);
	metric_observe(metric_get(t->family[FAMILY_response_bytes], brief, N(brief)),
		(double)s->bytes_out);
}

/* The nine labels of a TCP connection. */
static void tcp_values(const struct span *s, struct str v[9])
{
	v[0] = direction_name(s->direction);
	v[1] = or_unknown(s->source.workload);
	v[2] = or_unknown(s->source.ns);
	v[3] = or_unknown(s->source.identity);
	v[4] = or_unknown(s->dest.workload);
	v[5] = or_unknown(s->dest.ns);
	v[6] = or_unknown(s->dest.identity);
	v[7] = or_unknown(s->service);
	v[8] = s->tls ? STR("mtls") : STR("none");
}

void telemetry_tcp_opened(struct telemetry *t, const struct span *span)
{
	struct str v[9];
	tcp_values(span, v);
	count(t, FAMILY_tcp_opened, v, 9, 1);
}

static void emit_tcp_metrics(struct telemetry *t, const struct span *s)
{
	struct str v[9], end[10];
	tcp_values(s, v);
	memcpy(end, v, 8 * sizeof(v[0]));
	end[8] = str_from(s->reason_label);
	end[9] = v[8];
	count(t, FAMILY_tcp_closed, end, 10, 1);
	count(t, FAMILY_tcp_received, v, 9, s->bytes_in);
	count(t, FAMILY_tcp_sent, v, 9, s->bytes_out);
}

/* The path without its query: tokens travel there. */
static struct str path_only(struct str path)
{
	ptrdiff_t q = str_find(path, '?');
	return q >= 0 ? str_sub(path, 0, (size_t)q) : path;
}

static void emit_line(const struct telemetry *t, const struct span *s, uint64_t now)
{
	char from[ADDR_TEXT], to[ADDR_TEXT], up[ADDR_TEXT] = "";
	struct log_field f[32];
	size_t n = 0;
	if (s->upstream.family != ADDR_NONE)
		addr_format(&s->upstream, up);
	f[n++] = LOG_S("direction", direction_name(s->direction));
	f[n++] = LOG_Z("protocol", s->protocol);
	if (s->http) {
		f[n++] = LOG_S("method", s->method);
		f[n++] = LOG_S("authority", s->authority);
		f[n++] = LOG_S("path", path_only(s->path));
		f[n++] = LOG_U("status", s->status);
		if (s->grpc_status >= 0)
			f[n++] = LOG_I("grpc_status", s->grpc_status);
		if (s->request_id.n > 0)
			f[n++] = LOG_S("request_id", s->request_id);
	}
	f[n++] = LOG_Z("reason", s->reason_label);
	if (s->reason_label[0] != '-')
		f[n++] = LOG_Z("text", s->reason_text);
	if (s->detail[0] != '\0')
		f[n++] = LOG_Z("detail", s->detail);
	if (s->rule[0] != '\0')
		f[n++] = LOG_Z("policy", s->rule);
	f[n++] = LOG_D("duration_ms", now - s->start_ns);
	if (s->upstream_ns > 0)
		f[n++] = LOG_D("upstream_ready_ms", s->upstream_ns - s->start_ns);
	if (s->detect_ns > 0)
		f[n++] = LOG_D("detect_ms", s->detect_ns);
	f[n++] = LOG_U("bytes_in", s->bytes_in);
	f[n++] = LOG_U("bytes_out", s->bytes_out);
	f[n++] = LOG_Z("downstream", addr_format(&s->downstream, from));
	f[n++] = LOG_Z("destination", addr_format(&s->destination, to));
	f[n++] = LOG_Z("upstream", up);
	f[n++] = LOG_S("source_identity", s->source.identity);
	f[n++] = LOG_S("destination_identity", s->dest.identity);
	f[n++] = LOG_S("service", s->service);
	f[n++] = LOG_Z("tls", s->tls ? "mtls" : "none");
	if (s->cipher.n > 0)
		f[n++] = LOG_S("cipher", s->cipher);
	if (s->attempts > 1)
		f[n++] = LOG_U("attempts", s->attempts);
	log_event(t->access_log, LOG_INFO, "access", s->http ? "request" : "connection", f, n);
}

void span_emit(struct telemetry *t, struct span *span, uint64_t now)
{
	ASSERT(!span->emitted);
	span->emitted = true;
	if (span->http)
		emit_request_metrics(t, span, now);
	else
		emit_tcp_metrics(t, span);
	if (t->access_log != NULL && log_on(t->access_log, LOG_INFO))
		emit_line(t, span, now);
}

void telemetry_refused(struct telemetry *t, enum span_direction direction, const char *reason_label)
{
	const struct str v[] = {direction_name(direction), str_from(reason_label)};
	count(t, FAMILY_refused, v, N(v), 1);
}

void telemetry_plaintext(struct telemetry *t, struct str workload, struct str ns, uint16_t port)
{
	char text[8];
	snprintf(text, sizeof(text), "%u", port);
	const struct str v[] = {or_unknown(workload), or_unknown(ns), str_from(text)};
	count(t, FAMILY_plaintext, v, N(v), 1);
}

void telemetry_lookup(struct telemetry *t, const char *result)
{
	const struct str v[] = {str_from(result)};
	count(t, FAMILY_lookup, v, N(v), 1);
}

void telemetry_detected(struct telemetry *t, enum span_direction direction, const char *verdict,
	uint64_t ns)
{
	const struct str v[] = {direction_name(direction), str_from(verdict)};
	count(t, FAMILY_detected, v, N(v), 1);
	metric_observe(metric_get(t->family[FAMILY_detect_time], v, N(v)), (double)ns / NS_PER_S);
}
