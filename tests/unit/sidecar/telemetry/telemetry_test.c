/*
 * Spans as metrics and as access log lines, word for word: what operators and dashboards read, and
 * what must never be there (queries, credentials).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "sidecar/telemetry/span.h"

#define START (5 * NS_PER_S)

/* A registry, a log into memory, and a clock that stands still. */
struct world {
	struct metrics *metrics;
	struct telemetry *telemetry;
	struct log *log;
	struct clock clock;
	char line[4096];
	unsigned lines;
};

static uint64_t mono(const struct clock *c)
{
	(void)c;
	return START;
}

static uint64_t wall(const struct clock *c)
{
	(void)c;
	return 1800000000ull * NS_PER_S;
}

static void on_line(void *arg, struct str line)
{
	struct world *w = arg;
	w->lines++;
	assert_int_equal(str_copy(w->line, sizeof(w->line), line), 0);
}

static int setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	memset(w, 0, sizeof(*w));
	w->clock = (struct clock){.mono_ns = mono, .wall_ns = wall};
	w->metrics = metrics_new(100, 1);
	w->log = log_new_sink(on_line, w, LOG_INFO, LOG_JSON, &w->clock);
	w->telemetry = telemetry_new(w->metrics, w->log);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	telemetry_free(&w->telemetry);
	log_free(&w->log);
	metrics_free(&w->metrics);
	mem_free(w);
	return 0;
}

static struct addr at(const char *text)
{
	struct addr a;
	assert_int_equal(addr_parse(str_from(text), &a), 0);
	return a;
}

static struct span request(void)
{
	return (struct span){
		.direction = SPAN_INBOUND,
		.http = true,
		.tls = true,
		.start_ns = START - 25 * NS_PER_MS,
		.upstream_ns = START - 20 * NS_PER_MS,
		.protocol = "http/1.1",
		.downstream = at("10.0.0.1:40000"),
		.destination = at("10.0.0.2:8080"),
		.upstream = at("10.0.0.2:8080"),
		.source = {STR("web"), STR("shop"), STR("spiffe://td/ns/shop/sa/web")},
		.dest = {STR("cart"), STR("shop"), STR("spiffe://td/ns/shop/sa/cart")},
		.service = STR("cart"),
		.method = STR("GET"),
		.authority = STR("cart.shop"),
		.path = STR("/items?token=secret&x=1"),
		.request_id = STR("r-1"),
		.status = 200,
		.grpc_status = -1,
		.bytes_in = 10,
		.bytes_out = 2000,
		.attempts = 1,
		.reason_label = "-",
		.reason_text = "",
	};
}

/* The series lines of the families that begin with that name, without HELP and TYPE. */
static char *series(struct world *w, const char *name)
{
	struct buf_pool *pool = buf_pool_new(0);
	struct buf text;
	buf_init(&text, pool);
	metrics_render(w->metrics, &text);
	size_t n = buf_len(&text);
	char *all = calloc(1, n + 1), *out = calloc(1, n + 1), *save = NULL;
	buf_copy_out(&text, 0, all, n);
	for (char *line = strtok_r(all, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, name, strlen(name)) == 0) {
			strcat(out, line);
			strcat(out, "\n");
		}
	free(all);
	buf_clear(&text);
	buf_pool_free(&pool);
	return out;
}

static void assert_series(struct world *w, const char *name, const char *expected)
{
	char *got = series(w, name);
	assert_string_equal(got, expected);
	free(got);
}

static void assert_line(struct world *w, const char *expected)
{
	size_t n = strlen(w->line);
	while (n > 0 && w->line[n - 1] == '\n')
		w->line[--n] = '\0';
	assert_string_equal(w->line, expected);
}

static void test_request(void **state)
{
	struct world *w = *state;
	struct span s = request();
	span_emit(w->telemetry, &s, START);
	assert_true(s.emitted);
	assert_series(w, "weft_requests_total",
		"weft_requests_total{direction=\"inbound\",source_workload=\"web\","
		"source_namespace=\"shop\",source_identity=\"spiffe://td/ns/shop/sa/web\","
		"destination_workload=\"cart\",destination_namespace=\"shop\","
		"destination_identity=\"spiffe://td/ns/shop/sa/cart\",destination_service=\"cart\","
		"protocol=\"http/1.1\",code=\"200\",grpc_status=\"\",reason=\"-\",tls=\"mtls\"} 1\n");
	assert_series(w, "weft_request_duration_seconds_sum",
		"weft_request_duration_seconds_sum{direction=\"inbound\",destination_workload=\"cart\","
		"destination_namespace=\"shop\",destination_service=\"cart\","
		"protocol=\"http/1.1\"} 0.025\n");
	assert_series(w, "weft_request_bytes_sum",
		"weft_request_bytes_sum{direction=\"inbound\",destination_workload=\"cart\","
		"destination_namespace=\"shop\",destination_service=\"cart\","
		"protocol=\"http/1.1\"} 10\n");
	assert_series(w, "weft_response_bytes_sum",
		"weft_response_bytes_sum{direction=\"inbound\",destination_workload=\"cart\","
		"destination_namespace=\"shop\",destination_service=\"cart\","
		"protocol=\"http/1.1\"} 2000\n");
	assert_line(w,
		"{\"time\":\"2027-01-15T08:00:00.000Z\",\"level\":\"info\",\"room\":\"access\","
		"\"msg\":\"request\",\"direction\":\"inbound\",\"protocol\":\"http/1.1\","
		"\"method\":\"GET\",\"authority\":\"cart.shop\",\"path\":\"/items\",\"status\":200,"
		"\"request_id\":\"r-1\",\"reason\":\"-\",\"duration_ms\":25.000,"
		"\"upstream_ready_ms\":5.000,\"bytes_in\":10,\"bytes_out\":2000,"
		"\"downstream\":\"10.0.0.1:40000\",\"destination\":\"10.0.0.2:8080\","
		"\"upstream\":\"10.0.0.2:8080\",\"source_identity\":\"spiffe://td/ns/shop/sa/web\","
		"\"destination_identity\":\"spiffe://td/ns/shop/sa/cart\",\"service\":\"cart\","
		"\"tls\":\"mtls\"}");
	assert_null(strstr(w->line, "secret"));
}

static void test_failed_request(void **state)
{
	struct world *w = *state;
	struct span s = request();
	s.direction = SPAN_OUTBOUND;
	s.tls = false;
	s.protocol = "grpc";
	s.status = 200;
	s.grpc_status = 14;
	s.attempts = 3;
	s.upstream_ns = 0;
	s.detect_ns = 3 * NS_PER_MS;
	s.reason_label = "UF";
	s.reason_text = "could not connect to the upstream";
	s.cipher = STR("TLS_X");
	s.source = s.dest = (struct span_party){0};
	s.service = s.request_id = STR_NULL;
	strcpy(s.detail, "connect to 10.0.0.2:8080: refused");
	strcpy(s.rule, "shop/p rule 1");
	span_emit(w->telemetry, &s, START);
	assert_series(w, "weft_requests_total",
		"weft_requests_total{direction=\"outbound\",source_workload=\"unknown\","
		"source_namespace=\"unknown\",source_identity=\"unknown\","
		"destination_workload=\"unknown\",destination_namespace=\"unknown\","
		"destination_identity=\"unknown\",destination_service=\"unknown\","
		"protocol=\"grpc\",code=\"200\",grpc_status=\"14\",reason=\"UF\",tls=\"none\"} 1\n");
	assert_line(w,
		"{\"time\":\"2027-01-15T08:00:00.000Z\",\"level\":\"info\",\"room\":\"access\","
		"\"msg\":\"request\",\"direction\":\"outbound\",\"protocol\":\"grpc\","
		"\"method\":\"GET\",\"authority\":\"cart.shop\",\"path\":\"/items\",\"status\":200,"
		"\"grpc_status\":14,\"reason\":\"UF\",\"text\":\"could not connect to the upstream\","
		"\"detail\":\"connect to 10.0.0.2:8080: refused\",\"policy\":\"shop/p rule 1\","
		"\"duration_ms\":25.000,\"detect_ms\":3.000,\"bytes_in\":10,\"bytes_out\":2000,"
		"\"downstream\":\"10.0.0.1:40000\",\"destination\":\"10.0.0.2:8080\","
		"\"upstream\":\"10.0.0.2:8080\",\"source_identity\":\"\",\"destination_identity\":\"\","
		"\"service\":\"\",\"tls\":\"none\",\"cipher\":\"TLS_X\",\"attempts\":3}");
}

static void test_tcp(void **state)
{
	static const char labels[] = "direction=\"inbound\",source_workload=\"web\","
				     "source_namespace=\"shop\","
				     "source_identity=\"spiffe://td/ns/shop/sa/web\","
				     "destination_workload=\"cart\",destination_namespace=\"shop\","
				     "destination_identity=\"spiffe://td/ns/shop/sa/cart\","
				     "destination_service=\"cart\",";
	struct world *w = *state;
	struct span s = request();
	char expected[1024];
	s.http = false;
	s.protocol = "tcp";
	s.reason_label = "SI";
	s.reason_text = "nothing moved for too long";
	telemetry_tcp_opened(w->telemetry, &s);
	span_emit(w->telemetry, &s, START);
	snprintf(expected, sizeof(expected),
		"weft_tcp_connections_opened_total{%stls=\"mtls\"} 1\n", labels);
	assert_series(w, "weft_tcp_connections_opened_total", expected);
	snprintf(expected, sizeof(expected),
		"weft_tcp_connections_closed_total{%sreason=\"SI\",tls=\"mtls\"} 1\n", labels);
	assert_series(w, "weft_tcp_connections_closed_total", expected);
	snprintf(expected, sizeof(expected), "weft_tcp_received_bytes_total{%stls=\"mtls\"} 10\n",
		labels);
	assert_series(w, "weft_tcp_received_bytes_total", expected);
	snprintf(expected, sizeof(expected), "weft_tcp_sent_bytes_total{%stls=\"mtls\"} 2000\n",
		labels);
	assert_series(w, "weft_tcp_sent_bytes_total", expected);
	assert_series(w, "weft_requests_total", "");
	assert_line(w,
		"{\"time\":\"2027-01-15T08:00:00.000Z\",\"level\":\"info\",\"room\":\"access\","
		"\"msg\":\"connection\",\"direction\":\"inbound\",\"protocol\":\"tcp\","
		"\"reason\":\"SI\",\"text\":\"nothing moved for too long\",\"duration_ms\":25.000,"
		"\"upstream_ready_ms\":5.000,\"bytes_in\":10,\"bytes_out\":2000,"
		"\"downstream\":\"10.0.0.1:40000\",\"destination\":\"10.0.0.2:8080\","
		"\"upstream\":\"10.0.0.2:8080\",\"source_identity\":\"spiffe://td/ns/shop/sa/web\","
		"\"destination_identity\":\"spiffe://td/ns/shop/sa/cart\",\"service\":\"cart\","
		"\"tls\":\"mtls\"}");
}

static void test_other_counters(void **state)
{
	struct world *w = *state;
	telemetry_refused(w->telemetry, SPAN_INBOUND, "cert_expired");
	telemetry_refused(w->telemetry, SPAN_INBOUND, "cert_expired");
	telemetry_plaintext(w->telemetry, STR("old"), STR("shop"), 8080);
	telemetry_plaintext(w->telemetry, STR_NULL, STR_NULL, 80);
	telemetry_detected(w->telemetry, SPAN_OUTBOUND, "server-first", 4 * NS_PER_MS);
	assert_series(w, "weft_connections_refused_total",
		"weft_connections_refused_total{direction=\"inbound\",reason=\"cert_expired\"} 2\n");
	assert_series(w, "weft_plaintext_connections_total",
		"weft_plaintext_connections_total{source_workload=\"old\",source_namespace=\"shop\","
		"destination_port=\"8080\"} 1\n"
		"weft_plaintext_connections_total{source_workload=\"unknown\","
		"source_namespace=\"unknown\",destination_port=\"80\"} 1\n");
	assert_series(w, "weft_detections_total",
		"weft_detections_total{direction=\"outbound\",verdict=\"server-first\"} 1\n");
	assert_series(w, "weft_detection_duration_seconds_sum",
		"weft_detection_duration_seconds_sum{direction=\"outbound\","
		"verdict=\"server-first\"} 0.004\n");
	assert_int_equal(w->lines, 0);
}

/* A path that is a query alone, or none; a log that is off or less verbose. */
static void test_odd_spans(void **state)
{
	struct world *w = *state;
	struct span s = request();
	s.path = STR("?token=secret");
	span_emit(w->telemetry, &s, START);
	assert_non_null(strstr(w->line, "\"path\":\"\""));
	s = request();
	s.method = s.path = s.authority = STR_NULL;
	s.status = 0;
	span_emit(w->telemetry, &s, START);
	assert_non_null(strstr(w->line, "\"method\":\"\""));
	assert_int_equal(w->lines, 2);
	log_level_set(w->log, LOG_ERROR);
	s = request();
	span_emit(w->telemetry, &s, START);
	assert_int_equal(w->lines, 2);
	struct metrics *m = metrics_new(10, 1);
	struct telemetry *off = telemetry_new(m, NULL);
	s = request();
	span_emit(off, &s, START);
	assert_int_equal(w->lines, 2);
	telemetry_free(&off);
	metrics_free(&m);
}

/* What was borrowed is gone when the span is told. */
static void test_labels_are_kept(void **state)
{
	struct world *w = *state;
	char name[] = "shop", id[] = "spiffe://td/ns/shop/sa/web", kept[128];
	struct span s = {.direction = SPAN_OUTBOUND,
		.protocol = "tcp",
		.reason_label = "-",
		.grpc_status = -1,
		.dest = {.workload = str_from(name), .identity = str_from(id)},
		.service = str_from(name)};
	assert_true(span_labels_size(&s) == 2 * strlen(name) + strlen(id));
	span_labels_keep(&s, kept);
	memset(name, 'x', strlen(name));
	memset(id, 'x', strlen(id));
	assert_true(str_eq(s.dest.workload, STR("shop")));
	assert_true(str_eq(s.service, STR("shop")));
	assert_int_equal(s.source.workload.n, 0);
	span_emit(w->telemetry, &s, START);
	assert_non_null(strstr(w->line,
		"\"destination_identity\":\"spiffe://td/ns/shop/sa/web\",\"service\":\"shop\""));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_request),
		T(test_failed_request),
		T(test_tcp),
		T(test_other_counters),
		T(test_odd_spans),
		T(test_labels_are_kept),
	};
	return cmocka_run_group_tests_name("telemetry", tests, NULL, NULL);
}
