/*
 * Opens admin, metrics and health listeners in each address family, and the control socket. Owns
 * those servers; proxy.c answers through callbacks.
 */
#include "sidecar/endpoints.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "sidecar/proxy.h"

#define MAX_SERVERS 6

/* Owned by struct proxy. */
struct endpoints {
	struct endpoints_config cfg;
	struct admin *servers[MAX_SERVERS];
	size_t n;
	struct http_server *control;
};

static void config_dump(void *arg, struct json *j)
{
	struct endpoints *e = arg;
	json_object(j);
	e->cfg.describe(e->cfg.proxy, j);
	json_object_end(j);
}

static bool ready(void *arg, struct buf *reasons)
{
	struct endpoints *e = arg;
	return e->cfg.ready(e->cfg.proxy, reasons);
}

/* -- control socket
 * ------------------------------------------------------------------------------------------------
 */

static void handle_drain(void *arg, struct http_call *call)
{
	struct endpoints *e = arg;
	proxy_drain(e->cfg.proxy);
	buf_printf(call->out, "draining\n");
}

static void handle_quit(void *arg, struct http_call *call)
{
	struct endpoints *e = arg;
	proxy_quit_soon(e->cfg.proxy);
	buf_printf(call->out, "ending\n");
}

static void handle_reload(void *arg, struct http_call *call)
{
	struct endpoints *e = arg;
	proxy_reload(e->cfg.proxy);
	buf_printf(call->out, "state file read again; see the log\n");
}

static void handle_log_level(void *arg, struct http_call *call)
{
	struct endpoints *e = arg;
	enum log_level level;
	if (!str_starts(call->query, STR("level=")) ||
		log_level_parse(str_sub(call->query, 6, call->query.n), &level) != 0) {
		call->status = 400;
		buf_printf(call->out, "use /log-level?level=error|warn|info|debug|trace\n");
		return;
	}
	log_level_set(e->cfg.log, level);
	buf_printf(call->out, "log level is %s\n", log_level_name(level));
}

static const struct http_route control_routes[] = {
	{"/drain", "POST", handle_drain, 0, "fail readiness, drain, exit when idle"},
	{"/quit", "POST", handle_quit, 0, "end now, what runs is reset"},
	{"/reload", "POST", handle_reload, 0, "read the state file again"},
	{"/log-level", "POST", handle_log_level, 0, "?level=error|warn|info|debug|trace"},
	{NULL, NULL, NULL, 0, NULL},
};

static int open_control(struct endpoints *e, const struct http_env *http, struct net *net,
	char *err, size_t size)
{
	struct http_server_config cfg = {.listen = {.unix_path = e->cfg.params->control_socket},
		.routes = control_routes,
		.arg = e};
	if (e->cfg.params->control_socket[0] == '\0')
		return 0;
	char why[256] = "";
	int code = http_server_open(http, net, &cfg, &e->control, why, sizeof(why));
	if (code != 0)
		snprintf(err, size, "control socket %s (--control-socket)", why);
	return code;
}

/* -- listeners
 * ------------------------------------------------------------------------------------------------------
 */

struct place {
	uint16_t port;
	unsigned routes;
	bool local;
	const char *flag;
};

static int open_one(struct endpoints *e, const struct http_env *http, struct net *net,
	const struct place *at, enum addr_family family, char *err, size_t size)
{
	struct admin_source src = {.program = "weft-sidecar",
		.arg = e,
		.metrics = e->cfg.metrics,
		.ready = ready,
		.config_dump = config_dump};
	struct admin_config cfg = {
		.listen = {.addr = addr_any(family, at->port), .v6_only = family == ADDR_V6},
		.routes = at->routes,
		.local_only = at->local};
	if (e->cfg.bind.family != ADDR_NONE)
		cfg.listen.addr = e->cfg.bind;
	else if (at->local)
		(void)addr_parse(family == ADDR_V4 ? STR("127.0.0.1") : STR("::1"),
			&cfg.listen.addr);
	cfg.listen.addr.port = at->port;
	int r = admin_open(http, net, &src, &cfg, &e->servers[e->n], err, size);
	if (r == 0)
		e->n++;
	else
		err_append(err, size, at->flag);
	return r;
}

int endpoints_open(const struct http_env *http, struct net *net, const struct endpoints_config *cfg,
	struct endpoints **out, char *err, size_t size)
{
	const struct place places[] = {
		{(uint16_t)cfg->params->admin_port, ADMIN_ALL, true, " (--admin-port)"},
		{(uint16_t)cfg->params->metrics_port, ADMIN_METRICS, false, " (--metrics-port)"},
		{(uint16_t)cfg->params->health_port, ADMIN_HEALTH, false, " (--health-port)"},
	};
	static const enum addr_family families[2] = {ADDR_V4, ADDR_V6};
	struct endpoints *e = MEM_NEW(struct endpoints);
	int r = 0;
	e->cfg = *cfg;
	admin_add_process_metrics(cfg->metrics);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && r == 0; i++)
		for (size_t f = 0; f < 2 && r == 0; f++) {
			if (cfg->bind.family != ADDR_NONE && cfg->bind.family != families[f])
				continue;
			r = open_one(e, http, net, &places[i], families[f], err, size);
			if (r == ERR_UNREACHABLE && families[f] == ADDR_V6)
				r = 0; /* no IPv6 on this machine */
		}
	if (r == 0)
		r = open_control(e, http, net, err, size);
	if (r != 0)
		endpoints_close(&e);
	*out = e;
	return r;
}

void endpoints_close(struct endpoints **ep)
{
	struct endpoints *e = *ep;
	if (e == NULL)
		return;
	*ep = NULL;
	for (size_t i = 0; i < e->n; i++)
		admin_close(&e->servers[i]);
	if (e->control != NULL)
		http_server_close(&e->control);
	mem_free(e);
}
