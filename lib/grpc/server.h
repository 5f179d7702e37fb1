/*
 * A gRPC server: listeners, connections, and methods by path. Health and reflection are methods
 * like others (health.h, reflection.h). Owns its listeners and connections; made by the control
 * plane and by tests.
 */
#ifndef WEFT_GRPC_SERVER_H
#define WEFT_GRPC_SERVER_H

#include "lib/grpc/call.h"
#include "lib/http/conn.h"
#include "lib/net/listen.h"

struct grpc_server;

/*
 * A method begins: sets the call's user at once, or finishes the call. arg is the service's.
 * Unary methods too: the request comes by on_message, the answer is one grpc_call_send and
 * grpc_call_finish.
 */
typedef void grpc_start_fn(void *arg, struct grpc_call *c);

struct grpc_method {
	const char *name; /* "Check" */
	grpc_start_fn *start;
	bool client_streams, server_streams;
	size_t max_message; /* of a received one; 0: GRPC_MESSAGE_BYTES */
};

/* Borrowed until the server has gone. */
struct grpc_service {
	const char *name; /* "grpc.health.v1.Health" */
	const struct grpc_method *methods;
	size_t n_methods;
	void *arg;
};

/*
 * Turns an accepted io into one that carries HTTP/2, e.g. by a TLS handshake. Takes io; calls done
 * exactly once (never from inside) with an io, or NULL where it failed.
 */
typedef void grpc_ready_fn(void *ready_arg, struct io *io);
typedef void grpc_secure_fn(void *arg, struct io *io, grpc_ready_fn *ready, void *ready_arg);

/* Copied by grpc_server_new; what it points to is borrowed. */
struct grpc_server_config {
	grpc_secure_fn *secure; /* NULL: plaintext, for tests */
	void *secure_arg;
	/* 0: 1024. One more takes the place of one without a call, or else of one of whose calls
	 * nobody is known (grpc_call_vouch), or is closed at once. Where more calls are open than
	 * that, connections of nobody known get one each. */
	size_t max_conns;
	/* 0: 256 at a time; more wait in the kernel's queue. One address has three quarters of them
	 * at most: the next ones are closed at once. */
	size_t max_handshakes;
	/* 0: 128 MiB; of messages that are not whole yet, or wait, over all calls. Beyond it a call
	 * that holds more than its share is refused. */
	size_t max_buffered;
	uint64_t keepalive_ns;      /* PING on a connection that is silent so long; 0: 30 s */
	uint64_t keepalive_wait_ns; /* 0: 10 s */
	struct log *log;            /* may be NULL */
};

/* Of what happened since the start. */
struct grpc_server_stats {
	size_t conns, calls, buffered; /* now */
	uint64_t accepted, refused, started, ended[GRPC_STATUS_MAX + 1];
};

struct grpc_server *grpc_server_new(const struct http_env *env, struct net *net,
	const struct grpc_server_config *cfg);
/* Before the first listen. Paths must be unique: asserted. */
void grpc_server_add(struct grpc_server *s, const struct grpc_service *service);
/* Services so far; for reflection. */
size_t grpc_server_services(const struct grpc_server *s, const struct grpc_service *const **out);
/* 0 or ERR_* with text in err. Any number of times. */
int grpc_server_listen(struct grpc_server *s, const struct listen_config *cfg, struct addr *bound,
	char *err, size_t size);
void grpc_server_stats(const struct grpc_server *s, struct grpc_server_stats *out);
/* Listens no more, GOAWAY to all; calls go on until their users end them. */
void grpc_server_drain(struct grpc_server *s);
/*
 * Ends every call with UNAVAILABLE: its on_end comes before this returns, and nothing after that.
 * Connections have two seconds to say so to their peers; the loop frees what is left then. Nulls;
 * safe on NULL.
 */
void grpc_server_close(struct grpc_server **s);

#endif
