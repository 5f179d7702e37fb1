/*
 * The admin endpoints on a simulated network, spoken to in raw bytes: what each route says, which
 * listener serves which, and who is refused. Each test owns a rig, a registry and its listeners.
 */
#include "tests/support/raw_client.h"

#include "lib/base/process.h"
#include "lib/obs/admin.h"

struct fixture {
	struct rig rig;
	struct metrics *metrics;
	struct admin *local, *health, *scrape;
	bool ready, live;
	int more;
};

static bool is_ready(void *arg, struct buf *reasons)
{
	struct fixture *f = arg;

	if (!f->ready)
		buf_append_str(reasons, STR("no certificate yet\nno policy yet\n"));
	return f->ready;
}

static bool is_live(void *arg, struct buf *reasons)
{
	struct fixture *f = arg;

	(void)reasons;
	return f->live;
}

static void dump_config(void *arg, struct json *j)
{
	(void)arg;
	json_object(j);
	json_key_str(j, "token", STR("redacted"));
	json_object_end(j);
}

static void add_memory(void *arg, struct json *j)
{
	(void)arg;
	json_key_u64(j, "streams", 7);
}

static void on_clusters(void *arg, struct http_call *call)
{
	struct fixture *f = arg;

	f->more++;
	buf_append_str(call->out, STR("no clusters\n"));
}

static const struct http_route more[] = {
	{"/clusters", "GET,HEAD", on_clusters, 0, "where requests go"},
	{NULL, NULL, NULL, 0, NULL},
};

static struct admin *open_admin(struct fixture *f, const char *addr, unsigned served, bool local)
{
	const struct admin_source source = {
		.program = "demo",
		.arg = f,
		.metrics = f->metrics,
		.ready = is_ready,
		.live = is_live,
		.config_dump = dump_config,
		.memory = add_memory,
	};
	const struct admin_config cfg = {
		.listen = {.addr = raw_addr(addr)},
		.routes = served,
		.more = local ? more : NULL,
		.local_only = local,
	};
	struct admin *a = NULL;
	char err[128];

	assert_int_equal(admin_open(&f->rig.env, f->rig.net, &source, &cfg, &a, err, sizeof(err)),
		0);
	return a;
}

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	rig_open(&f.rig, 64 * 1024);
	f.metrics = metrics_new(100, 42);
	f.live = true;
	admin_add_process_metrics(f.metrics);
	f.local = open_admin(&f, "127.0.0.1:15000", ADMIN_ALL, true);
	f.scrape = open_admin(&f, "10.0.0.1:15020", ADMIN_METRICS | ADMIN_HEALTH, false);
	f.health = open_admin(&f, "10.0.0.1:15021", ADMIN_HEALTH, false);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	admin_close(&f->local);
	admin_close(&f->health);
	admin_close(&f->scrape);
	admin_close(&f->scrape);
	rig_close(&f->rig);
	metrics_free(&f->metrics);
	return 0;
}

/* One GET on a connection of its own; the caller frees the text. */
static char *get_from(struct fixture *f, const char *from, const struct admin *a, const char *path,
	const char *lines)
{
	char request[512];
	struct raw r;

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n%s\r\n", path, lines);
	raw_open_from(&r, &f->rig, raw_addr(from), admin_addr(a));
	char *text = strdup(raw_ask(&r, request));

	raw_close(&r);
	return text;
}

static char *get_local(struct fixture *f, const char *path)
{
	return get_from(f, "127.0.0.1", f->local, path, "Host: localhost:15000\r\n");
}

static char *get_health(struct fixture *f, const char *path)
{
	return get_from(f, "10.0.0.9", f->health, path, "Host: 10.0.0.1:15021\r\n");
}

/* Status and, where piece is not NULL, a piece of the text; frees it. */
static void check(char *text, int status, const char *piece)
{
	if (raw_status(text) != status)
		fail_msg("not %d: %s", status, text);
	if (piece != NULL)
		raw_assert_has(text, piece);
	free(text);
}

static void test_index_lists_the_routes(void **state)
{
	struct fixture *f = *state;
	char *text = get_local(f, "/");

	raw_assert_has(text, process_version());
	raw_assert_has(text, "\n/metrics ");
	raw_assert_has(text, "\n/config_dump ");
	raw_assert_has(text, "\n/clusters            where requests go\n");
	raw_assert_has(text, "\r\ncache-control: no-store\r\n");
	check(text, 200, "\r\ncontent-type: text/plain; charset=utf-8\r\n");
}

static void test_metrics(void **state)
{
	struct fixture *f = *state;
	char *text = get_local(f, "/metrics");

	raw_assert_has(text, "\r\ncontent-type: " METRIC_CONTENT_TYPE "\r\n");
	raw_assert_has(text, "\nprocess_open_fds ");
	check(text, 200, "\n# TYPE process_resident_memory_bytes gauge\n");
}

static void test_health(void **state)
{
	struct fixture *f = *state;
	char *text = get_health(f, "/healthz/ready");

	assert_string_equal(raw_body(text), "no certificate yet\nno policy yet\n");
	check(text, 503, NULL);
	f->ready = true;
	check(get_health(f, "/healthz/ready"), 200, "\r\n\r\nready\n");
	check(get_health(f, "/healthz/live"), 200, "\r\n\r\nlive\n");
	f->live = false;
	check(get_health(f, "/healthz/live"), 503, "\r\n\r\nno reason was given\n");
}

static void test_json_routes(void **state)
{
	struct fixture *f = *state;
	char *text = get_local(f, "/config_dump");

	raw_assert_has(text, "\r\ncontent-type: application/json\r\n");
	assert_string_equal(raw_body(text), "{\n  \"token\": \"redacted\"\n}\n");
	check(text, 200, NULL);
	check(get_local(f, "/version"), 200, "{\n  \"name\": \"demo\",\n  \"version\": \"");
	text = get_local(f, "/memory");
	raw_assert_has(text, "\"resident_bytes\": ");
	raw_assert_has(text, "\"open_files\": ");
	raw_assert_has(text, "\"buffer_bytes\": ");
	check(text, 200, "\"streams\": 7\n}\n");
}

static void test_routes_of_the_program(void **state)
{
	struct fixture *f = *state;

	check(get_local(f, "/clusters"), 200, "\r\n\r\nno clusters\n");
	assert_int_equal(f->more, 1);
}

static void test_each_listener_has_its_own_table(void **state)
{
	struct fixture *f = *state;
	static const char *const private[] = {"/", "/config_dump", "/memory", "/clusters"};

	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++)
		check(get_health(f, private[i]), 404, NULL);
	check(get_health(f, "/metrics"), 404, NULL);
	check(get_from(f, "10.0.0.9", f->scrape, "/metrics", "Host: 10.0.0.1:15020\r\n"), 200,
		NULL);
	check(get_from(f, "10.0.0.9", f->scrape, "/config_dump", "Host: 10.0.0.1:15020\r\n"), 404,
		NULL);
}

static void test_only_get_and_head(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		char request[128];
		struct raw r;

		snprintf(request, sizeof(request),
			"%s /metrics HTTP/1.1\r\nHost: localhost:15000\r\nContent-Length: 0\r\n\r\n",
			methods[i]);
		raw_open(&r, &f->rig, admin_addr(f->local));
		const char *text = raw_ask(&r, request);

		assert_int_equal(raw_status(text), 405);
		raw_assert_has(text, "\r\nallow: GET,HEAD\r\n");
		raw_close(&r);
	}
}

static void test_head(void **state)
{
	struct fixture *f = *state;
	struct raw r;

	raw_open(&r, &f->rig, admin_addr(f->local));
	const char *text =
		raw_ask(&r, "HEAD /healthz/ready HTTP/1.1\r\nHost: localhost:15000\r\n\r\n");

	assert_int_equal(raw_status(text), 503);
	assert_string_equal(raw_body(text), "");
	raw_close(&r);
}

struct ask {
	const char *lines;
	int status;
};

static void test_who_may_ask_the_private_listener(void **state)
{
	static const struct ask asks[] = {
		{"Host: localhost:15000\r\n", 200},
		{"Host: LocalHost:15000\r\n", 200},
		{"Host: 127.0.0.1:15000\r\n", 200},
		{"Host: [::1]:15000\r\n", 200},
		/* a name of somebody else's, pointed at our address */
		{"Host: rebind.example:15000\r\n", 403},
		{"Host: localhost.rebind.example:15000\r\n", 403},
		{"Host: 127.0.0.1.rebind.example:15000\r\n", 403},
		{"Host: rebind.example\r\n", 403},
		{"Host: 10.0.0.1:15000\r\n", 403},
		{"Host: localhost\r\n", 403},
		{"Host: localhost:15001\r\n", 403},
		{"Host: :15000\r\n", 403},
		{"Host: \r\n", 403},
		/* browsers */
		{"Host: localhost:15000\r\nOrigin: http://localhost:15000\r\n", 200},
		{"Host: localhost:15000\r\nOrigin: http://127.0.0.1:15000\r\n", 403},
		{"Host: localhost:15000\r\nOrigin: http://localhost:3000\r\n", 403},
		{"Host: localhost:15000\r\nOrigin: https://localhost:15000\r\n", 403},
		{"Host: localhost:15000\r\nOrigin: https://evil.example\r\n", 403},
		{"Host: localhost:15000\r\nOrigin: null\r\n", 403},
		{"Host: localhost:15000\r\nOrigin: http://localhost:15000\r\n"
		 "Origin: http://evil.example\r\n",
			403},
		{"Host: localhost:15000\r\nSec-Fetch-Site: none\r\n", 200},
		{"Host: localhost:15000\r\nSec-Fetch-Site: same-origin\r\n", 200},
		{"Host: localhost:15000\r\nSec-Fetch-Site: same-site\r\n", 403},
		{"Host: localhost:15000\r\nSec-Fetch-Site: cross-site\r\n", 403},
		{"Host: localhost:15000\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
			403},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		char *text = get_from(f, "127.0.0.1", f->local, "/version", asks[i].lines);

		/* The codec itself may refuse what is no authority at all. */
		if (raw_status(text) != asks[i].status &&
			!(asks[i].status == 403 && raw_status(text) == 400))
			fail_msg("not %d for %s: %s", asks[i].status, asks[i].lines, text);
		free(text);
	}
	check(get_from(f, "10.0.0.9", f->local, "/version", "Host: localhost:15000\r\n"), 403,
		"only to connections from a loopback address\n");
	check(get_from(f, "::1", f->local, "/version", "Host: [::1]:15000\r\n"), 200, NULL);
}

static void test_what_local_only_leaves_open(void **state)
{
	static const struct {
		const char *path;
		int status;
	} asks[] = {
		{"/metrics", 200},
		{"/metrics?x=y", 200},
		{"/healthz/ready", 503},
		{"/healthz/live", 200},
		{"/", 403},
		{"/config_dump", 403},
		{"/version", 403},
		{"/memory?/metrics", 403},
		{"/clusters", 403},
		{"/clusters?a=/metrics", 403},
		{"/metrics/", 403},
		{"//metrics", 403},
		{"/healthz", 403},
	};
	struct fixture *f = *state;
	const struct admin_source source = {.program = "demo",
		.arg = f,
		.metrics = f->metrics,
		.ready = is_ready,
		.config_dump = dump_config};
	const struct admin_config cfg = {.listen = {.addr = raw_addr("10.0.0.1:15014")},
		.routes = ADMIN_ALL,
		.more = more,
		.local_only = true,
		.open_routes = ADMIN_METRICS | ADMIN_HEALTH};
	struct admin *a;
	char err[128];

	assert_int_equal(admin_open(&f->rig.env, f->rig.net, &source, &cfg, &a, err, sizeof(err)),
		0);
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
		check(get_from(f, "10.0.0.9", a, asks[i].path, "Host: 10.0.0.1:15014\r\n"),
			asks[i].status, NULL);
	assert_int_equal(f->more, 0);
	check(get_from(f, "10.0.0.9", a, "/metrics", "Host: x\r\nOrigin: http://evil.example\r\n"),
		403, "of another origin");
	check(get_from(f, "127.0.0.1", a, "/config_dump", "Host: localhost:15014\r\n"), 200, NULL);
	check(get_from(f, "127.0.0.1", a, "/config_dump", "Host: rebind.example:15014\r\n"), 403,
		NULL);
	admin_close(&a);
}

static void test_browsers_are_refused_on_open_listeners_too(void **state)
{
	struct fixture *f = *state;

	check(get_from(f, "10.0.0.9", f->scrape, "/metrics", "Host: any.name\r\n"), 200, NULL);
	check(get_from(f, "10.0.0.9", f->scrape, "/metrics",
		      "Host: any.name\r\nOrigin: http://evil.example\r\n"),
		403, "of another origin");
	check(get_from(f, "10.0.0.9", f->scrape, "/metrics",
		      "Host: any.name\r\nSec-Fetch-Site: cross-site\r\n"),
		403, "of another site");
}

static void test_without_sources_there_are_no_routes(void **state)
{
	struct fixture *f = *state;
	const struct admin_source source = {.program = "demo"};
	const struct admin_config cfg = {
		.listen = {.addr = raw_addr("127.0.0.1:15014")}, .routes = ADMIN_ALL};
	struct admin *a;
	char err[128];

	assert_int_equal(admin_open(&f->rig.env, f->rig.net, &source, &cfg, &a, err, sizeof(err)),
		0);
	check(get_from(f, "127.0.0.1", a, "/metrics", "Host: x\r\n"), 404, NULL);
	check(get_from(f, "127.0.0.1", a, "/config_dump", "Host: x\r\n"), 404, NULL);
	check(get_from(f, "127.0.0.1", a, "/healthz/ready", "Host: x\r\n"), 200, "ready\n");
	check(get_from(f, "127.0.0.1", a, "/memory", "Host: x\r\n"), 200, NULL);
	admin_close(&a);
}

int main(void)
{
#define ADMIN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		ADMIN_TEST(test_index_lists_the_routes),
		ADMIN_TEST(test_metrics),
		ADMIN_TEST(test_health),
		ADMIN_TEST(test_json_routes),
		ADMIN_TEST(test_routes_of_the_program),
		ADMIN_TEST(test_each_listener_has_its_own_table),
		ADMIN_TEST(test_only_get_and_head),
		ADMIN_TEST(test_head),
		ADMIN_TEST(test_who_may_ask_the_private_listener),
		ADMIN_TEST(test_what_local_only_leaves_open),
		ADMIN_TEST(test_browsers_are_refused_on_open_listeners_too),
		ADMIN_TEST(test_without_sources_there_are_no_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
