/*
 * Admin endpoints on the small HTTP server: the standard routes and the table of each listener.
 * Owns the server and the table; who may ask is in admin_guard.c. Opened by the root object of
 * each program, once per port.
 */
#include "lib/obs/admin.h"

#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/base/process.h"
#include "lib/obs/admin_internal.h"

#define ADMIN_MAGIC 0x61646d6eu

/* Owned by whoever opened it. */
struct admin {
	struct obj_head obj;
	struct http_env env;
	struct admin_source source;
	struct admin_config cfg;
	struct http_server *server;
	struct http_route *routes; /* owned */
};

static struct admin *admin_cast(void *arg)
{
	return OBJ_CAST(struct admin, ADMIN_MAGIC, arg);
}

/* --- handlers --- */

/* What is true now is not to be kept, nor to be embedded by other sites. */
static void add_common_fields(struct http_call *call)
{
	http_fields_add(call->fields, STR("cache-control"), STR("no-store"));
	http_fields_add(call->fields, STR("cross-origin-resource-policy"), STR("same-origin"));
}

static void on_index(void *arg, struct http_call *call)
{
	const struct admin *a = admin_cast(arg);

	add_common_fields(call);
	buf_printf(call->out, "%s %s\n\n", a->source.program, process_version());
	for (const struct http_route *r = a->routes; r->path != NULL; r++)
		buf_printf(call->out, "%-20s %s\n", r->path, r->help != NULL ? r->help : "");
}

static void on_metrics(void *arg, struct http_call *call)
{
	const struct admin *a = admin_cast(arg);

	add_common_fields(call);
	call->content_type = STR(METRIC_CONTENT_TYPE);
	metrics_render(a->source.metrics, call->out);
}

static void answer_health(const struct admin *a, struct http_call *call,
	bool (*ask)(void *arg, struct buf *reasons), struct str yes)
{
	add_common_fields(call);
	if (ask == NULL || ask(a->source.arg, call->out)) {
		buf_clear(call->out);
		buf_append_str(call->out, yes);
		return;
	}
	call->status = 503;
	if (buf_len(call->out) == 0)
		buf_append_str(call->out, STR("no reason was given\n"));
}

static void on_ready(void *arg, struct http_call *call)
{
	const struct admin *a = admin_cast(arg);

	answer_health(a, call, a->source.ready, STR("ready\n"));
}

static void on_live(void *arg, struct http_call *call)
{
	const struct admin *a = admin_cast(arg);

	answer_health(a, call, a->source.live, STR("live\n"));
}

static void begin_json(struct http_call *call, struct json *j)
{
	add_common_fields(call);
	call->content_type = STR("application/json");
	json_init(j, call->out, true);
}

static void on_config_dump(void *arg, struct http_call *call)
{
	const struct admin *a = admin_cast(arg);
	struct json j;

	begin_json(call, &j);
	a->source.config_dump(a->source.arg, &j);
	buf_append_str(call->out, STR("\n"));
}

static void on_version(void *arg, struct http_call *call)
{
	const struct admin *a = admin_cast(arg);
	struct json j;

	begin_json(call, &j);
	json_object(&j);
	json_key_str(&j, "name", str_from(a->source.program));
	json_key_str(&j, "version", str_from(process_version()));
	json_object_end(&j);
	buf_append_str(call->out, STR("\n"));
}

static void on_memory(void *arg, struct http_call *call)
{
	const struct admin *a = admin_cast(arg);
	struct json j;

	begin_json(call, &j);
	json_object(&j);
	json_key_u64(&j, "resident_bytes", process_rss_bytes());
	json_key_u64(&j, "buffer_bytes", buf_pool_used(a->env.bufs));
	json_key_u64(&j, "open_files", process_open_files());
	json_key_u64(&j, "max_files", process_max_files());
	if (a->source.metrics != NULL)
		json_key_u64(&j, "metric_series", metrics_series(a->source.metrics));
	if (a->source.memory != NULL)
		a->source.memory(a->source.arg, &j);
	json_object_end(&j);
	buf_append_str(call->out, STR("\n"));
}

/* A route of the program's own: its handler wants the program's argument, not ours. */
static void on_more(void *arg, struct http_call *call)
{
	const struct admin *a = admin_cast(arg);

	add_common_fields(call);
	for (const struct http_route *r = a->cfg.more; r->path != NULL; r++)
		if (str_eq(str_from(r->path), call->path))
			r->fn(a->source.arg, call);
}

/* --- the table of a listener --- */

/* Static storage. */
struct standard_route {
	unsigned bit;
	struct http_route route;
};

static const struct standard_route standard[] = {
	{ADMIN_INDEX, {"/", "GET,HEAD", on_index, 0, "this list"}},
	{ADMIN_METRICS, {"/metrics", "GET,HEAD", on_metrics, 0, "metrics as Prometheus text"}},
	{ADMIN_HEALTH,
		{"/healthz/ready", "GET,HEAD", on_ready, 0, "200, or 503 with what is missing"}},
	{ADMIN_HEALTH, {"/healthz/live", "GET,HEAD", on_live, 0, "200 while the program works"}},
	{ADMIN_CONFIG,
		{"/config_dump", "GET,HEAD", on_config_dump, 0,
			"configuration in force, without secrets, as JSON"}},
	{ADMIN_VERSION, {"/version", "GET,HEAD", on_version, 0, "name and version as JSON"}},
	{ADMIN_MEMORY,
		{"/memory", "GET,HEAD", on_memory, 0, "memory, buffers and open files as JSON"}},
};

#define N_STANDARD (sizeof(standard) / sizeof(standard[0]))

static size_t count_more(const struct http_route *more)
{
	size_t n = 0;

	while (more != NULL && more[n].path != NULL)
		n++;
	return n;
}

static bool is_served(const struct admin *a, unsigned bit)
{
	if (bit == ADMIN_CONFIG && a->source.config_dump == NULL)
		return false;
	if (bit == ADMIN_METRICS && a->source.metrics == NULL)
		return false;
	return (a->cfg.routes & bit) != 0;
}

static void make_routes(struct admin *a)
{
	size_t n_more = count_more(a->cfg.more), n = 0;

	a->routes = mem_alloc_array(N_STANDARD + n_more + 1, sizeof(*a->routes));
	for (size_t i = 0; i < N_STANDARD; i++)
		if (is_served(a, standard[i].bit))
			a->routes[n++] = standard[i].route;
	for (size_t i = 0; i < n_more; i++) {
		a->routes[n] = a->cfg.more[i];
		a->routes[n++].fn = on_more;
	}
}

/* --- opening and closing --- */

/* The exact path, as the router takes it. */
static bool is_open(const struct admin *a, struct str target)
{
	struct str path;

	if (!str_split(&target, '?', &path))
		return false;
	for (size_t i = 0; i < N_STANDARD; i++)
		if ((standard[i].bit & a->cfg.open_routes) != 0 &&
			str_eq(path, str_from(standard[i].route.path)))
			return true;
	return false;
}

static int guard(void *arg, const struct http_head *head, const struct io_info *info,
	const char **why)
{
	const struct admin *a = admin_cast(arg);
	int status = 0;

	if (a->cfg.local_only && !is_open(a, head->path))
		status = admin_check_local(head, info, http_server_addr(a->server).port, why);
	return status != 0 ? status : admin_check_browser(head, why);
}

static void free_admin(void *ptr)
{
	struct admin *a = admin_cast(ptr);

	mem_free(a->routes);
	a->obj.magic = 0;
	mem_free(a);
}

int admin_open(const struct http_env *env, struct net *net, const struct admin_source *source,
	const struct admin_config *cfg, struct admin **out, char *err, size_t size)
{
	struct admin *a = MEM_NEW(struct admin);

	a->obj.magic = ADMIN_MAGIC;
	a->env = *env;
	a->source = *source;
	a->cfg = *cfg;
	make_routes(a);
	struct http_server_config server = {
		.listen = cfg->listen,
		.routes = a->routes,
		.guard = guard,
		.arg = a,
		.max_conns = cfg->max_conns,
	};
	int rc = http_server_open(env, net, &server, &a->server, err, size);

	if (rc != 0) {
		free_admin(a);
		return rc;
	}
	*out = a;
	return 0;
}

struct addr admin_addr(const struct admin *a)
{
	return http_server_addr(a->server);
}

void admin_close(struct admin **admin)
{
	struct admin *a = *admin;

	if (a == NULL)
		return;
	*admin = NULL;
	http_server_close(&a->server);
	loop_defer_free(a->env.loop, a, free_admin);
}

/* --- the process itself --- */

static int64_t read_rss(void *arg)
{
	(void)arg;
	return (int64_t)process_rss_bytes();
}

static int64_t read_open_files(void *arg)
{
	(void)arg;
	return (int64_t)process_open_files();
}

static int64_t read_max_files(void *arg)
{
	(void)arg;
	return (int64_t)process_max_files();
}

void admin_add_process_metrics(struct metrics *m)
{
	metrics_add_callback(m, "process_resident_memory_bytes", METRIC_GAUGE,
		"Resident memory of this process.", read_rss, NULL);
	metrics_add_callback(m, "process_open_fds", METRIC_GAUGE, "Open file descriptors.",
		read_open_files, NULL);
	metrics_add_callback(m, "process_max_fds", METRIC_GAUGE,
		"File descriptors that may be open.", read_max_files, NULL);
}
