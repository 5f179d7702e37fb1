/*
 * The sidecar's own endpoints: admin (loopback, read-only), metrics, health, and the control socket
 * through which a sidecar is changed. Owned by struct proxy.
 */
#ifndef WEFT_SIDECAR_ENDPOINTS_H
#define WEFT_SIDECAR_ENDPOINTS_H

#include "lib/obs/admin.h"
#include "sidecar/params.h"

struct endpoints;
struct proxy;

/* Borrowed until endpoints_close. */
struct endpoints_config {
	const struct sidecar_params *params;
	struct addr bind; /* simulation: where all bind; ADDR_NONE: each its own */
	struct metrics *metrics;
	struct log *log;
	struct proxy *proxy; /* argument of the callbacks */
	bool (*ready)(void *proxy, struct buf *reasons);
	/* Members of the open object of /config_dump. */
	void (*describe)(void *proxy, struct json *j);
};

/* 0 or ERR_* with text in err; nothing stays open then. */
int endpoints_open(const struct http_env *http, struct net *net, const struct endpoints_config *cfg,
	struct endpoints **out, char *err, size_t size);
/* Safe on NULL. */
void endpoints_close(struct endpoints **e);

#endif
