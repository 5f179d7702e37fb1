/*
 * Gauges and counters of the control plane itself, asked at each scrape. Owns nothing; what its
 * services count they add themselves.
 */
#include "ctrlplane/ctrlplane_internal.h"

void ctrlplane_grpc_stats(const struct ctrlplane *c, struct grpc_server_stats *out)
{
	*out = (struct grpc_server_stats){0};
	if (c->grpc != NULL)
		grpc_server_stats(c->grpc, out);
}

static int64_t gauge_ready(void *arg)
{
	return ((struct ctrlplane *)arg)->ready_said;
}

static int64_t gauge_conns(void *arg)
{
	struct grpc_server_stats s;
	ctrlplane_grpc_stats(arg, &s);
	return (int64_t)s.conns;
}

static int64_t gauge_calls(void *arg)
{
	struct grpc_server_stats s;
	ctrlplane_grpc_stats(arg, &s);
	return (int64_t)s.calls;
}

static int64_t count_accepted(void *arg)
{
	struct grpc_server_stats s;
	ctrlplane_grpc_stats(arg, &s);
	return (int64_t)s.accepted;
}

static int64_t count_refused(void *arg)
{
	struct grpc_server_stats s;
	ctrlplane_grpc_stats(arg, &s);
	return (int64_t)s.refused;
}

static int64_t count_calls(void *arg)
{
	struct grpc_server_stats s;
	ctrlplane_grpc_stats(arg, &s);
	return (int64_t)s.started;
}

static int64_t count_log_dropped(void *arg)
{
	return (int64_t)log_dropped(((struct ctrlplane *)arg)->env.log);
}

static int64_t gauge_buffers(void *arg)
{
	return (int64_t)buf_pool_used(((struct ctrlplane *)arg)->env.bufs);
}

void ctrlplane_add_metrics(struct ctrlplane *c)
{
	static const struct {
		const char *name;
		enum metric_kind kind;
		const char *help;
		metric_read_fn *fn;
	} rows[] = {
		{"weft_ctrlplane_ready", METRIC_GAUGE, "1 while it is ready.", gauge_ready},
		{"weft_ctrlplane_connections_open", METRIC_GAUGE, "gRPC connections.", gauge_conns},
		{"weft_ctrlplane_calls_open", METRIC_GAUGE, "gRPC calls, streams among them.",
			gauge_calls},
		{"weft_ctrlplane_connections_accepted_total", METRIC_COUNTER,
			"gRPC connections that were accepted.", count_accepted},
		{"weft_ctrlplane_connections_refused_total", METRIC_COUNTER,
			"gRPC connections that were over a limit.", count_refused},
		{"weft_ctrlplane_calls_total", METRIC_COUNTER, "gRPC calls that began.",
			count_calls},
		{"weft_buffer_bytes", METRIC_GAUGE, "Bytes of all buffers in use.", gauge_buffers},
		{"weft_log_dropped_total", METRIC_COUNTER,
			"Log lines that the descriptor did not take.", count_log_dropped},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		metrics_add_callback(c->metrics, rows[i].name, rows[i].kind, rows[i].help,
			rows[i].fn, c);
	admin_add_process_metrics(c->metrics);
}
