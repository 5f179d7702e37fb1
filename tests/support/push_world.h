/*
 * A control plane's Discovery in one process: simulated loop and network, a store that tests fill
 * from YAML, the service, and clients on real channels. Owned by the test. Who calls is what the
 * bearer credential says ("shop/me"), see attest_by_name.h.
 */
#ifndef WEFT_TESTS_SUPPORT_PUSH_WORLD_H
#define WEFT_TESTS_SUPPORT_PUSH_WORLD_H

#include "ctrlplane/push/push.h"
#include "lib/grpc/channel.h"
#include "tests/support/discovery_text.h"

struct push_world {
	struct loop *loop;
	struct log *log;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct http_env env;
	struct net *net;
	struct metrics *metrics;
	struct store *store;
	struct grpc_server *server;
	struct push *push;
	struct push_config cfg;
	size_t max_conns; /* of the server */
	struct addr at;
	char dir[64], file[96];
	char logged[16384]; /* the beginning of the log */
	size_t n_logged;
};

/* Before push_world_open; cfg may be changed between the two. */
void push_world_init(struct push_world *w);
/* yaml NULL: nothing has been read yet. */
void push_world_open(struct push_world *w, const char *yaml);
void push_world_set(struct push_world *w, const char *yaml);
/* Another process over the same store. */
void push_world_restart(struct push_world *w);
void push_world_close(struct push_world *w);
/* A metric of the service, as text; asserts that it is there. name with labels. */
uint64_t push_world_metric(struct push_world *w, const char *name);
/* What push_describe says; mem_free. */
char *push_world_describe(struct push_world *w, const char *only);
/* "ID:NUMBER" so much later than now (or before). */
char *push_world_position(struct push_world *w, int by);

/* One sidecar. Owned by the test. */
struct push_client {
	struct push_world *w;
	struct grpc_channel *channel;
	struct grpc_call *call; /* NULL after the end */
	bool silent;            /* does not answer */
	/* May be NULL. */
	void (*on_response)(struct push_client *c, const Weft__Mesh__V1__DiscoveryResponse *m);
	void *arg;       /* the test's own */
	bool mute;       /* counts alone */
	struct text got; /* since the test looked */
	uint64_t responses, resources, bytes;
	char nonce[128];
	bool ended;
	enum grpc_status status;
	char message[256];
};

/* Calls as that pod (NULL: without a credential); nothing is sent yet. */
void push_client_open(struct push_client *c, struct push_world *w, const char *pod);
void push_client_send(struct push_client *c, const Weft__Mesh__V1__DiscoveryRequest *m);
/* One request with these keys, space-separated; first or not. */
void push_client_subscribe(struct push_client *c, const char *keys);
void push_client_unsubscribe(struct push_client *c, const char *keys);
/* Opens and subscribes, settles. */
void push_client_start(struct push_client *c, struct push_world *w, const char *pod,
	const char *keys);
/* Answers the last response. */
void push_client_ack(struct push_client *c);
void push_client_close(struct push_client *c);

void push_world_settle(struct push_world *w);

#endif
