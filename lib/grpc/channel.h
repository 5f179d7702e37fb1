/*
 * The client's side: one HTTP/2 connection to one server, dialled on the first call and again
 * after a failure when the next call comes. Backing off between tries is the caller's affair,
 * for it alone knows what it can wait for. Owns the connection; owned by its maker.
 */
#ifndef WEFT_GRPC_CHANNEL_H
#define WEFT_GRPC_CHANNEL_H

#include "lib/grpc/call.h"
#include "lib/http/conn.h"

struct grpc_channel;

/*
 * Yields an io that is ready for HTTP/2 (connected, TLS done, ALPN checked), or NULL with a text.
 * done is called exactly once, never from inside start, and not after cancel.
 */
typedef void grpc_dialled_fn(void *done_arg, struct io *io, int err, const char *text);
struct grpc_dialler {
	void *(*start)(void *arg, grpc_dialled_fn *done, void *done_arg); /* -> handle for cancel */
	void (*cancel)(void *arg, void *handle);
	void *arg;
};

/* Copied; what it points to is borrowed. */
struct grpc_channel_config {
	struct grpc_dialler dialler;
	const char *authority;      /* ":authority" */
	uint64_t keepalive_ns;      /* 0: 30 s; PINGs while calls are open */
	uint64_t keepalive_wait_ns; /* 0: 10 s */
};

struct grpc_channel *grpc_channel_new(const struct http_env *env,
	const struct grpc_channel_config *cfg);
/* Ends the connection and all calls (their on_end comes); a new call dials again. */
void grpc_channel_reset(struct grpc_channel *ch);
/* Nulls; safe on NULL. No event comes after it. */
void grpc_channel_free(struct grpc_channel **ch);
/* Why the last dial or connection failed; empty: it did not. Borrowed until the next event. */
struct str grpc_channel_failure(const struct grpc_channel *ch);
bool grpc_channel_connected(const struct grpc_channel *ch);

/* One metadata field of a call. */
struct grpc_metadatum {
	struct str name, value; /* lower-case name; sent as never indexed where secret */
	bool secret;
};

struct grpc_call_config {
	const char *path; /* "/grpc.health.v1.Health/Check" */
	const struct grpc_metadatum *metadata;
	size_t n_metadata;
	uint64_t timeout_ns; /* 0: no deadline. Also bounds connecting */
	size_t max_message;  /* of a received one; 0: GRPC_MESSAGE_BYTES */
};

/* Never NULL; failures come by on_end. Messages may be sent at once. */
struct grpc_call *grpc_channel_call(struct grpc_channel *ch, const struct grpc_call_config *cfg,
	const struct grpc_call_events *ev, void *arg);

/*
 * A unary call: sends request, and done gets the answer (unpacked, freed after done; NULL where the
 * status is not OK) exactly once. cancel by grpc_call_drop.
 */
typedef void grpc_unary_fn(void *arg, const struct grpc_end *end, const ProtobufCMessage *answer);
struct grpc_call *grpc_channel_unary(struct grpc_channel *ch, const struct grpc_call_config *cfg,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
	grpc_unary_fn *done, void *arg);

#endif
