/*
 * The proxy's own gauges and counters, read when somebody scrapes. Owns nothing; called by proxy.c.
 */
#include "sidecar/proxy_internal.h"

/* Zeros without a control plane. */
static struct live_stats live_now(const struct proxy *p)
{
	struct live_stats s = {0};
	if (p->live != NULL)
		live_stats(p->live, &s);
	return s;
}

static int64_t gauge_state_age(void *arg)
{
	const struct proxy *p = arg;
	return p->flow->snap != NULL ? proxy_wall_s(p) - p->flow->snap->written_at : -1;
}

static int64_t gauge_leaf_expiry(void *arg)
{
	const struct proxy *p = arg;
	return p->flow->snap != NULL
		? cert_chain_leaf(p->flow->snap->chain)->not_after - proxy_wall_s(p)
		: -1;
}

static int64_t gauge_conns(void *arg)
{
	return (int64_t)((struct proxy *)arg)->flow->stats.conns;
}

static int64_t gauge_requests(void *arg)
{
	return (int64_t)((struct proxy *)arg)->flow->stats.requests;
}

static int64_t gauge_buffers(void *arg)
{
	return (int64_t)buf_pool_used(((struct proxy *)arg)->env.bufs);
}

static int64_t gauge_pool_conns(void *arg)
{
	return (int64_t)pools_conns(((struct proxy *)arg)->flow->pools);
}

static int64_t gauge_learned(void *arg)
{
	return (int64_t)learned_count(((struct proxy *)arg)->flow->learned);
}

static int64_t count_log_dropped(void *arg)
{
	return (int64_t)log_dropped(((struct proxy *)arg)->env.log);
}

static int64_t count_starved(void *arg)
{
	const struct proxy *p = arg;
	uint64_t n = 0;
	for (int i = 0; i < 2; i++) {
		n += p->inbound[i] != NULL ? listener_starved(p->inbound[i]) : 0;
		n += p->outbound[i] != NULL ? listener_starved(p->outbound[i]) : 0;
	}
	return (int64_t)n;
}

static int64_t count_state_refused(void *arg)
{
	const struct proxy *p = arg;
	return (int64_t)(p->state_refused + live_now(p).files_refused);
}

static int64_t gauge_connected(void *arg)
{
	return live_now(arg).connected;
}

static int64_t gauge_subscriptions(void *arg)
{
	return (int64_t)live_now(arg).subscriptions;
}

static int64_t count_rejections(void *arg)
{
	return (int64_t)live_now(arg).rejections;
}

static int64_t count_write_failures(void *arg)
{
	return (int64_t)live_now(arg).write_failures;
}

void proxy_add_gauges(struct proxy *p)
{
	static const struct {
		const char *name;
		enum metric_kind kind;
		const char *help;
		metric_read_fn *fn;
	} rows[] = {
		{"weft_state_age_seconds", METRIC_GAUGE,
			"Age of the configuration in force; -1: none.", gauge_state_age},
		{"weft_certificate_expiry_seconds", METRIC_GAUGE,
			"Seconds until the own leaf expires; -1: none.", gauge_leaf_expiry},
		{"weft_connections_open", METRIC_GAUGE, "Downstream connections.", gauge_conns},
		{"weft_requests_in_flight", METRIC_GAUGE, "Requests that have not ended.",
			gauge_requests},
		{"weft_buffer_bytes", METRIC_GAUGE, "Bytes of all buffers in use.", gauge_buffers},
		{"weft_upstream_connections_open", METRIC_GAUGE, "Pooled upstream connections.",
			gauge_pool_conns},
		{"weft_learned_destinations", METRIC_GAUGE,
			"Destinations whose server spoke first.", gauge_learned},
		{"weft_log_dropped_total", METRIC_COUNTER,
			"Log lines that the descriptor did not take.", count_log_dropped},
		{"weft_accepts_starved_total", METRIC_COUNTER,
			"Accepts put off because descriptors ran out.", count_starved},
		{"weft_state_refused_total", METRIC_COUNTER, "State files that did not validate.",
			count_state_refused},
		{"weft_discovery_connected", METRIC_GAUGE,
			"1 while the control plane's stream is open and complete.",
			gauge_connected},
		{"weft_discovery_subscriptions", METRIC_GAUGE,
			"Destinations that the control plane was asked for.", gauge_subscriptions},
		{"weft_discovery_rejections_total", METRIC_COUNTER,
			"Resources of the control plane that did not validate.", count_rejections},
		{"weft_state_write_failures_total", METRIC_COUNTER,
			"Attempts to write the last good state that failed.", count_write_failures},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		metrics_add_callback(p->metrics, rows[i].name, rows[i].kind, rows[i].help,
			rows[i].fn, p);
}
