/*
 * weft.mesh.v1.Discovery: one stream per sidecar, what it subscribed to and what it must have, and
 * nothing else. At most one response is unanswered per stream, so that a slow reader holds up
 * itself alone and changes meanwhile melt into one. Owned by main.
 */
#ifndef WEFT_CTRLPLANE_PUSH_PUSH_H
#define WEFT_CTRLPLANE_PUSH_PUSH_H

#include "ctrlplane/ca/attest.h"
#include "lib/grpc/server.h"
#include "lib/obs/metric.h"

struct push;

struct push_config {
	struct loop *loop;
	struct log *log;
	struct store *store;
	struct attest *attest;
	struct metrics *metrics;
	uint32_t max_streams;
	/* Streams admitted per second, and at once; the others wait in a queue of max_waiting, or
	 * get RESOURCE_EXHAUSTED. */
	uint32_t admit_rate, admit_burst, max_waiting;
	uint32_t max_keys;  /* subscriptions of one stream */
	uint64_t answer_ns; /* a response that is not answered for so long ends the stream */
};

/* Adds itself to the server, which must go first. */
struct push *push_new(struct grpc_server *s, const struct push_config *cfg);
void push_free(struct push **p);
/*
 * Who is connected, as JSON: an array with one object per stream (pod, uid, identity, version,
 * address, connected, position, behind, resources, subscriptions, rejections with resource, field
 * and reason). only: one pod "NS/NAME" with each resource and its state (sent, acknowledged,
 * rejected); empty: all, in short form.
 */
void push_describe(struct push *p, struct json *j, struct str only);
/* Whether the pod "NS/NAME" has a stream, waiting for admission or served. */
bool push_connected(const struct push *p, struct str pod);

#endif
