/*
 * One control plane: owns everything between the source of its objects and its gRPC listeners.
 * Several live in one process in tests, for nothing is global; the edges (network, clock, log) are
 * injected. The order of the data is source -> store -> compile -> push; the CA stands beside it.
 */
#ifndef WEFT_CTRLPLANE_CTRLPLANE_H
#define WEFT_CTRLPLANE_CTRLPLANE_H

#include "ctrlplane/ca/authority.h"
#include "ctrlplane/params.h"
#include "ctrlplane/push/push.h"
#include "lib/grpc/server.h"

struct ctrlplane;

/* All borrowed; outlive the control plane. */
struct ctrlplane_env {
	struct loop *loop;
	struct net *net;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct log *log;
	struct rng *rng;
	struct addr bind; /* simulation: all listeners bind this address; ADDR_NONE: each its own */
};

/* The control plane has nothing left to do after a drain. */
typedef void ctrlplane_done_fn(void *arg);

/* params are borrowed. done (may be NULL) is called once, when a drain or quit is over. */
struct ctrlplane *ctrlplane_new(const struct ctrlplane_env *env,
	const struct ctrlplane_params *params, ctrlplane_done_fn *done, void *done_arg);
/*
 * Locks the data directory, reads the source, makes or loads the CA, opens the listeners. 0, or
 * ERR_* with text for people; then only ctrlplane_free may follow. ERR_EXISTS: another process has
 * the data directory.
 */
int ctrlplane_start(struct ctrlplane *c, char *err, size_t size);
/* Reads the source again. */
void ctrlplane_reload(struct ctrlplane *c);
/* Not ready at once, GOAWAY to all; what runs may end for drain-time, then everything ends. */
void ctrlplane_drain(struct ctrlplane *c);
/* Ends everything now; done follows. */
void ctrlplane_quit(struct ctrlplane *c);
/* True, or the reasons, one per line, are appended. */
bool ctrlplane_ready(const struct ctrlplane *c, struct buf *reasons);
/* After done, or where the start failed; nothing may run on the loop but what is deferred. */
void ctrlplane_free(struct ctrlplane **c);

/* Parts, borrowed: for the endpoints and for tests. After a start. */
struct store *ctrlplane_store(struct ctrlplane *c);
struct authority *ctrlplane_authority(struct ctrlplane *c);
struct attest *ctrlplane_attest(struct ctrlplane *c);
struct push *ctrlplane_push(struct ctrlplane *c);
struct metrics *ctrlplane_metrics(struct ctrlplane *c);
struct addr ctrlplane_grpc_addr(const struct ctrlplane *c);
struct addr ctrlplane_admin_address(const struct ctrlplane *c);
void ctrlplane_grpc_stats(const struct ctrlplane *c, struct grpc_server_stats *out);
/* Nanoseconds since the epoch. */
uint64_t ctrlplane_wall(const struct ctrlplane *c);
bool ctrlplane_draining(const struct ctrlplane *c);

#endif
