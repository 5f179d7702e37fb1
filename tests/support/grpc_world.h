/*
 * For tests of gRPC: a server with a service of bytes and a channel to it on a simulated network,
 * and users of calls that do what they are told and write down what they hear. Owned by each test.
 */
#ifndef WEFT_TESTS_SUPPORT_GRPC_WORLD_H
#define WEFT_TESTS_SUPPORT_GRPC_WORLD_H

#include "tests/support/raw_client.h"

#include "lib/grpc/channel.h"
#include "lib/grpc/server.h"

/* A user of one call, of either role; lives in its world. */
struct grpc_user {
	struct grpc_world *w;
	struct grpc_call *call; /* NULL after on_end */
	const char *method;     /* server: which one */
	unsigned opened, messages, half_closes, writables, ends;
	size_t bytes;
	char last[64]; /* the beginning of the last message */
	enum grpc_status status;
	char text[256];
	bool local, unprocessed, trailers;
	char trailer[64]; /* x-trailer */
	/* what it does; answers are the server's */
	bool echo;   /* each message comes back */
	bool finish; /* OK at half-close */
	bool vouch;  /* server: whoever calls is known */
	bool drop_at_message, finish_at_message, pause_at_message;
	unsigned answers; /* messages of answer_size after a request, then finish */
	size_t answer_size;
};

#define GRPC_USERS 512

/* Owned by the test; owns everything in it. */
struct grpc_world {
	struct rig rig;
	struct grpc_server *server;
	struct grpc_channel *channel;
	struct addr addr, from; /* from: of what grpc_world_dial dials; may be none */
	struct dial *dial;
	struct grpc_dialler dialler;
	grpc_dialled_fn *dialled;
	void *dialled_arg;
	unsigned dials;
	struct grpc_user client[GRPC_USERS], serving[GRPC_USERS];
	unsigned n_client, n_serving;
	struct grpc_service service;
	/* what serving users are made with */
	struct grpc_user script;
};

/* The service test.Bytes has Echo, Sink (unary answer to a stream), Source and Chat; max_message is
 * 1 MiB. Before open: what the server is to be. */
void grpc_world_init(struct grpc_world *w, size_t pipe_capacity);
void grpc_world_serve(struct grpc_world *w, const struct grpc_server_config *cfg);
void grpc_world_connect(struct grpc_world *w);
/* A connection of the test's own to the server; settles. */
struct io *grpc_world_dial(struct grpc_world *w);
/* All of it. */
void grpc_world_open(struct grpc_world *w);
/* Everything ends; no byte is left. */
void grpc_world_close(struct grpc_world *w);
void grpc_world_settle(struct grpc_world *w);
void grpc_world_advance(struct grpc_world *w, uint64_t ns);

/* A call to test.Bytes/METHOD; timeout 0: none. */
struct grpc_user *grpc_world_call(struct grpc_world *w, const char *method, uint64_t timeout_ns);
struct grpc_user *grpc_world_call_cfg(struct grpc_world *w, const struct grpc_call_config *cfg);
ssize_t grpc_user_send(struct grpc_user *u, const char *text);
/* One message, then no more; settles. */
struct grpc_user *grpc_world_ask(struct grpc_world *w, const char *method, const char *text);
/* It ended once, so. */
void grpc_user_expect_end(const struct grpc_user *u, enum grpc_status status, const char *text);

#endif
