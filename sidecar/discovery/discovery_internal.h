/*
 * What the files of this room share: the object itself, with its stream. Included by them alone.
 */
#ifndef WEFT_SIDECAR_DISCOVERY_INTERNAL_H
#define WEFT_SIDECAR_DISCOVERY_INTERNAL_H

#include "lib/base/obj.h"
#include "sidecar/discovery/discovery.h"
#include "sidecar/discovery/keys.h"
#include "sidecar/discovery/resources.h"

#define DISCOVERY_MAGIC 0x64697363u
#define DISCOVERY_PATH "/weft.mesh.v1.Discovery/Stream"
#define MESSAGE_BYTES (16u << 20) /* of one response */
#define HELD_BYTES (2u << 20)     /* of the list of what is held: a server takes 4 MiB */
#define FIRST_BYTES (1u << 20)    /* of the keys beside it */
#define KEYS_BYTES (100u << 10)   /* of the keys in one of the other requests: it takes 256 KiB */
/* So often something is said, and so many times at once before that; what comes up meanwhile goes
 * out together. */
#define FLUSH_EVERY (20 * NS_PER_MS)
#define FLUSH_BURST 8
#define POSITION_MAX 256
#define NONCE_MAX 256
/* Between tries: a random time below the least, doubled with each failure up to the most. */
#define BACKOFF_LEAST (100 * NS_PER_MS)
#define BACKOFF_MOST (30 * NS_PER_S)
#define BACKOFF_EXHAUSTED (1 * NS_PER_S)  /* at least, where the server has no room */
#define STREAM_LIVED (5 * NS_PER_S)       /* so long, and delivered: the next failure is a first */
#define FIRST_RESPONSE_NS (90 * NS_PER_S) /* until a stream must have delivered: it may queue */

/* Owned by struct discovery. Waiting (timer), or a call. */
struct stream {
	struct grpc_call *call;  /* NULL: none */
	struct loop_timer timer; /* next try; while there is a call, its first response is due */
	uint64_t opened, since, last; /* loop time of the call, its first and its last response */
	unsigned failures;            /* in a row */
	bool started, delivered;
	bool blocked;                              /* the send queue is full */
	bool greeted;                              /* the first request is out */
	struct loop_timer pace;                    /* until more may be said */
	uint64_t credited;                         /* until when credit was given */
	unsigned credit;                           /* flushes that may be made at once */
	uint64_t tries, responses, torn, requests; /* counts since the start */
	char nonce[NONCE_MAX + 1]; /* of the response that is to be answered; empty: none */
	char failure[512];         /* of the last try; empty: it did not fail */
};

/* Owned by struct proxy. */
struct discovery {
	struct obj_head obj;
	struct discovery_config cfg;
	struct resources res;
	struct keys keys;
	struct stream stream;
	char position[POSITION_MAX + 1];
	struct loop_task after;  /* tells, bounds, puts in force */
	struct loop_task flush;  /* what is to be said, in one message */
	struct loop_timer retry; /* of what the server refused; of what was over a bound */
	bool changed, was_ready;
	uint64_t forgotten;           /* destinations beyond max_destinations */
	Weft__Mesh__V1__State filled; /* what discovery_fill lent */
};

void stream_init(struct discovery *d);
void stream_start(struct discovery *d);
void stream_kick(struct discovery *d);
void stream_fini(struct discovery *d);
/* Sends what is to be said, where it can. */
void stream_flush(struct discovery *d);
bool stream_connected(const struct discovery *d);

/* One response, unpacked: taken apart and laid over. 0, or ERR_PROTOCOL where it is none that a
 * server may send. */
int discovery_take(struct discovery *d, Weft__Mesh__V1__DiscoveryResponse *m);

#endif
