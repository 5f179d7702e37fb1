/*
 * The control socket: what changes a control plane (tokens, the CA, log level, reload, drain), for
 * its own user alone. Owned by ctrlplane.c.
 */
#ifndef WEFT_CTRLPLANE_CONTROL_H
#define WEFT_CTRLPLANE_CONTROL_H

#include "lib/http/server.h"
#include "lib/base/log.h"

struct ctrlplane;

/* Borrowed until control_close. */
struct control_config {
	struct ctrlplane *ctrlplane;
	struct log *log;
	const char *path;
	/* How long a new root is published before leaves are signed by it, unless the request says.
	 */
	uint64_t overlap_ns;
};

struct control;

/* 0 or ERR_* with text in err. */
int control_open(const struct http_env *http, struct net *net, const struct control_config *cfg,
	struct control **out, char *err, size_t size);
/* Safe on NULL. */
void control_close(struct control **c);

#endif
