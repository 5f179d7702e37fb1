/*
 * What the control plane says of itself over HTTP. Owns the server; everything it shows is asked of
 * the control plane's parts while it answers.
 */
#include "ctrlplane/admin.h"

#include "ctrlplane/ctrlplane.h"
#include "ctrlplane/query.h"
#include "lib/base/alloc.h"

/* Owned by ctrlplane.c. */
struct ctrlplane_admin {
	struct ctrlplane_admin_config cfg;
	struct admin *server;
};

static struct ctrlplane *of(void *arg)
{
	return ((struct ctrlplane_admin *)arg)->cfg.ctrlplane;
}

static bool ready(void *arg, struct buf *reasons)
{
	return ctrlplane_ready(of(arg), reasons);
}

/* The lines of why it is not ready, as an array. */
static void json_reasons(struct json *j, struct ctrlplane *c)
{
	struct buf reasons;
	struct str line, rest;
	buf_init(&reasons, j->out->pool);
	bool good = ctrlplane_ready(c, &reasons);
	json_key_bool(j, "ready", good);
	json_key(j, "notReady");
	json_array(j);
	size_t n = good ? 0 : buf_len(&reasons);
	if (n > BUF_LARGE)
		n = BUF_LARGE;
	rest = n > 0 ? str_make(buf_pullup(&reasons, n), n) : STR_NULL;
	while (rest.n > 0 && str_split(&rest, '\n', &line))
		json_str(j, line);
	json_array_end(j);
	buf_clear(&reasons);
}

static void json_params(struct json *j, const struct ctrlplane_params *params)
{
	size_t n;
	const struct param *table = ctrlplane_params_table(&n);
	json_key(j, "parameters");
	json_object(j);
	for (size_t i = 0; i < n; i++) {
		char value[4200];
		if (table[i].flag != NULL &&
			conf_format_value(&table[i], params, value, sizeof(value)) >= 0)
			json_key_str(j, table[i].flag, str_from(value));
	}
	json_object_end(j);
}

static void config_dump(void *arg, struct json *j)
{
	struct ctrlplane *c = of(arg);
	json_object(j);
	json_key_bool(j, "draining", ctrlplane_draining(c));
	json_reasons(j, c);
	store_describe(ctrlplane_store(c), j);
	json_key(j, "ca");
	json_object(j);
	authority_describe(ctrlplane_authority(c), j);
	json_object_end(j);
	json_key(j, "credentials");
	json_object(j);
	attest_describe(ctrlplane_attest(c), j);
	json_object_end(j);
	json_params(j, ((struct ctrlplane_admin *)arg)->cfg.params);
	json_object_end(j);
}

static void memory(void *arg, struct json *j)
{
	struct ctrlplane *c = of(arg);
	struct grpc_server_stats stats;
	ctrlplane_grpc_stats(c, &stats);
	json_key_u64(j, "connections", stats.conns);
	json_key_u64(j, "calls", stats.calls);
}

/* --- routes of our own --- */

static void begin(struct http_call *call, struct json *j)
{
	call->content_type = STR("application/json");
	json_init(j, call->out, true);
	json_object(j);
}

static void end(struct http_call *call, struct json *j)
{
	json_object_end(j);
	buf_append_str(call->out, STR("\n"));
}

/* Pods of the source that have a sidecar, and no stream here. */
static void json_absent(struct json *j, struct ctrlplane *c, struct str only)
{
	const struct catalog *catalog = store_catalog(ctrlplane_store(c));
	const struct kube_pod *pod;
	json_key(j, "notConnected");
	json_array(j);
	for (size_t i = 0;
		catalog != NULL && (pod = world_pod_at(catalog_world(catalog), i)) != NULL; i++) {
		char name[512], id[SPIFFE_ID_MAX + 1];
		int n = snprintf(name, sizeof(name), "%.*s/%.*s", STR_ARG(pod->meta.ns),
			STR_ARG(pod->meta.name));
		struct str text = str_make(name, (size_t)n);
		if (!pod->meshed || pod->finished || (only.n > 0 && !str_eq(text, only)) ||
			push_connected(ctrlplane_push(c), text))
			continue;
		json_object(j);
		json_key_str(j, "pod", text);
		if (compile_identity(catalog_world(catalog), pod, id, sizeof(id)) == 0)
			json_key_str(j, "identity", str_from(id));
		json_object_end(j);
	}
	json_array_end(j);
}

static void on_proxies(void *arg, struct http_call *call)
{
	static const char *const known[] = {"pod", NULL};
	struct ctrlplane *c = of(arg);
	struct str only = STR_NULL, unknown;
	struct json j;
	if (!query_known(call->query, known, &unknown) ||
		(call->query.n > 0 &&
			(!query_get(call->query, STR("pod"), call->arena, &only) ||
				str_find(only, '/') <= 0))) {
		call->status = 400;
		buf_printf(call->out, "use /proxies or /proxies?pod=NAMESPACE/NAME\n");
		return;
	}
	begin(call, &j);
	json_reasons(&j, c);
	json_key_str(&j, "position", store_position(ctrlplane_store(c)));
	json_key(&j, "proxies");
	push_describe(ctrlplane_push(c), &j, only);
	json_absent(&j, c, only);
	end(call, &j);
}

static void on_problems(void *arg, struct http_call *call)
{
	struct ctrlplane *c = of(arg);
	struct json j;
	begin(call, &j);
	json_reasons(&j, c);
	store_describe(ctrlplane_store(c), &j);
	end(call, &j);
}

static void on_ca(void *arg, struct http_call *call)
{
	struct json j;
	begin(call, &j);
	authority_describe(ctrlplane_authority(of(arg)), &j);
	end(call, &j);
}

static const struct http_route routes[] = {
	{"/proxies", "GET,HEAD", on_proxies, 0,
		"sidecars: what each has and refused; ?pod=NAMESPACE/NAME in full"},
	{"/problems", "GET,HEAD", on_problems, 0, "what is wrong with the source"},
	{"/ca", "GET,HEAD", on_ca, 0, "roots, rotation and what was issued"},
	{NULL, NULL, NULL, 0, NULL},
};

int ctrlplane_admin_open(const struct http_env *http, struct net *net,
	const struct ctrlplane_admin_config *cfg, struct ctrlplane_admin **out, char *err,
	size_t size)
{
	struct ctrlplane_admin *a = MEM_NEW(struct ctrlplane_admin);
	const struct admin_source source = {.program = "weft-ctrlplane",
		.arg = a,
		.metrics = cfg->metrics,
		.ready = ready,
		.config_dump = config_dump,
		.memory = memory};
	const struct admin_config admin = {.listen = cfg->listen,
		.routes = ADMIN_ALL,
		.more = routes,
		.local_only = true,
		.open_routes = ADMIN_METRICS | ADMIN_HEALTH};
	a->cfg = *cfg;
	int e = admin_open(http, net, &source, &admin, &a->server, err, size);
	if (e != 0) {
		mem_free(a);
		a = NULL;
	}
	*out = a;
	return e;
}

struct addr ctrlplane_admin_addr(const struct ctrlplane_admin *a)
{
	return admin_addr(a->server);
}

void ctrlplane_admin_close(struct ctrlplane_admin **ap)
{
	struct ctrlplane_admin *a = *ap;
	if (a == NULL)
		return;
	*ap = NULL;
	admin_close(&a->server);
	mem_free(a);
}
