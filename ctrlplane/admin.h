/*
 * The admin endpoint of the control plane, read-only: metrics and health for everybody, what is in
 * force, who is connected and what is wrong for this machine alone. Owned by ctrlplane.c.
 */
#ifndef WEFT_CTRLPLANE_ADMIN_H
#define WEFT_CTRLPLANE_ADMIN_H

#include "lib/obs/admin.h"

struct ctrlplane;
struct ctrlplane_params;

/* Borrowed until ctrlplane_admin_close. */
struct ctrlplane_admin_config {
	struct ctrlplane *ctrlplane;
	const struct ctrlplane_params *params;
	struct metrics *metrics;
	struct listen_config listen;
};

struct ctrlplane_admin;

/* 0 or ERR_* with text in err. */
int ctrlplane_admin_open(const struct http_env *http, struct net *net,
	const struct ctrlplane_admin_config *cfg, struct ctrlplane_admin **out, char *err,
	size_t size);
struct addr ctrlplane_admin_addr(const struct ctrlplane_admin *a);
/* Safe on NULL. */
void ctrlplane_admin_close(struct ctrlplane_admin **a);

#endif
