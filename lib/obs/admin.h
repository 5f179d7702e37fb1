/*
 * The endpoints that tell people and their tools how a program is: metrics, health,
 * configuration, version, memory. Read-only. Each listener serves a table of its own, so that
 * health, metrics and the private rest may live on different ports. Owned by the program's root
 * object.
 */
#ifndef WEFT_OBS_ADMIN_H
#define WEFT_OBS_ADMIN_H

#include "lib/http/server.h"
#include "lib/json/json.h"
#include "lib/obs/metric.h"

struct admin;

/*
 * Where the answers come from. Copied by admin_open; what it points to is borrowed until
 * admin_close. Callbacks run on the loop, answer at once and may not close the admin server.
 */
struct admin_source {
	const char *program; /* "weft-sidecar" */
	void *arg;           /* of the callbacks */
	const struct metrics *metrics;
	/* True: ready. Else the reasons, one per line, are appended to reasons. NULL: always. */
	bool (*ready)(void *arg, struct buf *reasons);
	bool (*live)(void *arg, struct buf *reasons);
	/* Writes one JSON value; redaction is its work. NULL: no such route. */
	void (*config_dump)(void *arg, struct json *j);
	/* More members for /memory, inside of its object. May be NULL. */
	void (*memory)(void *arg, struct json *j);
};

/* Standard routes; a listener serves those that it names. */
enum admin_routes {
	ADMIN_INDEX = 1,    /* / */
	ADMIN_METRICS = 2,  /* /metrics */
	ADMIN_HEALTH = 4,   /* /healthz/ready, /healthz/live */
	ADMIN_CONFIG = 8,   /* /config_dump */
	ADMIN_VERSION = 16, /* /version */
	ADMIN_MEMORY = 32,  /* /memory */
	ADMIN_ALL = 63
};

/* One listener. Copied by admin_open; more is borrowed until admin_close. */
struct admin_config {
	struct listen_config listen;
	unsigned routes; /* of enum admin_routes */
	/* More routes, ended by path NULL, or NULL; handlers get source.arg. Methods: "GET,HEAD".
	 */
	const struct http_route *more;
	/*
	 * For the private listener: the peer must be on a loopback address and Host must name
	 * localhost, 127.0.0.1 or [::1] with our port, so that no foreign name can be pointed
	 * here. Requests that a browser makes for another site are refused on every listener.
	 */
	bool local_only;
	/* Of enum admin_routes: what local_only leaves open to everybody, e.g. metrics and health.
	 */
	unsigned open_routes;
	size_t max_conns; /* 0: the server's default */
};

/* 0 or ERR_* with text in err. */
int admin_open(const struct http_env *env, struct net *net, const struct admin_source *source,
	const struct admin_config *cfg, struct admin **out, char *err, size_t size);
struct addr admin_addr(const struct admin *a);
/* No callback comes after it; connections end as http_server_close says. Nulls; safe on NULL. */
void admin_close(struct admin **a);

/*
 * process_resident_memory_bytes, process_open_fds, process_max_fds: the names that Prometheus
 * has.
 */
void admin_add_process_metrics(struct metrics *m);

#endif
