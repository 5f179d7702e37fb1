/*
 * What a control plane is made of: shared by ctrlplane.c, which wires it, and gauges.c, which
 * counts it.
 */
#ifndef WEFT_CTRLPLANE_CTRLPLANE_INTERNAL_H
#define WEFT_CTRLPLANE_CTRLPLANE_INTERNAL_H

#include "ctrlplane/admin.h"
#include "ctrlplane/ca/identity_service.h"
#include "ctrlplane/control.h"
#include "ctrlplane/ctrlplane.h"
#include "ctrlplane/secure.h"
#include "ctrlplane/source/dir.h"
#include "lib/grpc/health.h"
#include "lib/grpc/reflection.h"

#define CTRLPLANE_MAGIC 0x6374726cu

/* Owned by run.c or a test. */
struct ctrlplane {
	struct obj_head obj;
	struct ctrlplane_env env;
	const struct ctrlplane_params *params;
	struct http_env http;
	struct metrics *metrics;
	int lock; /* descriptor; -1: none */
	struct store *store;
	struct store_listener listener;
	struct dir_source *source;
	struct authority *authority;
	struct attest *attest;
	struct secure *secure;
	struct grpc_server *grpc;
	struct addr grpc_addr;
	struct grpc_health *health;
	struct grpc_reflection *reflection;
	struct identity_service *identity;
	struct push *push;
	struct ctrlplane_admin *admin;
	struct control *control;
	struct loop_timer housekeeping, deadline, look, flush;
	uint64_t ended; /* loop time */
	struct loop_task done_task;
	bool started, draining, quitting, ending, ready_said, told;
	ctrlplane_done_fn *done;
	void *done_arg;
};

/* gauges.c: what is counted at each scrape. Once. */
void ctrlplane_add_metrics(struct ctrlplane *c);

#endif
