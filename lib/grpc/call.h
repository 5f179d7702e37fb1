/*
 * One gRPC call, seen the same by client and server: metadata, messages both ways, one status.
 * Unary and streaming calls differ only in how many messages their user sends and takes. On the
 * HTTP stream (lib/http); wire format by PROTOCOL-HTTP2.md of gRPC, identity encoding only.
 *
 * Order of events: on_open? (client: the server's metadata), on_message*, on_half_close? (server:
 * the client sends no more), then on_end exactly once and last. Events never come from inside a
 * call that the user makes on the same call. After on_end the pointer is dead at the end of the
 * turn.
 */
#ifndef WEFT_GRPC_CALL_H
#define WEFT_GRPC_CALL_H

#include <protobuf-c/protobuf-c.h>

#include "lib/http/stream.h"

enum grpc_status {
#define GRPC_STATUS(name, number) GRPC_##name = number,
#include "lib/grpc/status.def"
#undef GRPC_STATUS
};
#define GRPC_STATUS_MAX GRPC_UNAUTHENTICATED
#define GRPC_MESSAGE_BYTES (4u << 20) /* of one received message, unless told otherwise */

/* "UNAVAILABLE"; numbers that are none: "UNKNOWN". Static storage. */
const char *grpc_status_name(unsigned status);

struct grpc_call;

/* How a call ended. Borrowed for the event. */
struct grpc_end {
	enum grpc_status status;
	struct str message; /* decoded, escaped for a log; from a peer */
	/* client: no answer of a server but the failure of a connection or our own deadline */
	bool local;
	bool unprocessed;                   /* surely not seen by the server: may be sent again */
	const struct http_fields *trailers; /* client; NULL where none came */
};

/* User of one call. on_message and on_end are required. */
struct grpc_call_events {
	void (*on_open)(void *arg, struct grpc_call *c, const struct http_fields *metadata);
	/*
	 * bytes: one whole message, at most the call's limit; borrowed for the event. Server:
	 * messages wait while the send queue has no room, so that nobody makes us answer more than
	 * he reads; the one of a method that does not stream requests comes when it is certain that
	 * it is the only one.
	 */
	void (*on_message)(void *arg, struct grpc_call *c, struct str bytes);
	void (*on_half_close)(void *arg, struct grpc_call *c);
	/* The send queue has room again (grpc_call_send had returned <= 0). */
	void (*on_writable)(void *arg, struct grpc_call *c);
	void (*on_end)(void *arg, struct grpc_call *c, const struct grpc_end *end);
};

/* Server: at once, in the method's start function. Replaces the user. */
void grpc_call_set_user(struct grpc_call *c, const struct grpc_call_events *ev, void *arg);
/* Until the call is freed. */
struct arena *grpc_call_arena(struct grpc_call *c);
/* Server: the client's metadata; borrowed, as long as the call. */
const struct http_fields *grpc_call_metadata(const struct grpc_call *c);
/* "Bearer" credential of the call's "authorization"; empty: none, malformed or more than one. */
struct str grpc_call_bearer(const struct grpc_call *c);
/* Of the connection below: peer address, Unix uid, TLS facts. Empty once the stream is gone, as it
 * may be at on_end. */
void grpc_call_info(const struct grpc_call *c, struct io_info *info);
/* Server: the user knows who calls. While the call lasts its connection is not ended to make room
 * for others. */
void grpc_call_vouch(struct grpc_call *c);
/* Loop time of the deadline (grpc-timeout); 0: none. Past it the call ends by itself with
 * DEADLINE_EXCEEDED. */
uint64_t grpc_call_deadline(const struct grpc_call *c);

/*
 * Packs and queues one message. Returns the room left in the send queue: <= 0 means wait for
 * on_writable before sending more (nothing is lost where one does not). Dropped after the end.
 */
ssize_t grpc_call_send(struct grpc_call *c, const ProtobufCMessage *m);
/* The same for bytes that are packed already. */
ssize_t grpc_call_send_bytes(struct grpc_call *c, struct str bytes);
/* Bytes that were sent and have not left our queue. */
size_t grpc_call_queued(const struct grpc_call *c);
/*
 * Server: no on_message and no on_half_close come until it is resumed; what the client sends
 * meanwhile fills its window and waits there.
 */
void grpc_call_pause(struct grpc_call *c);
/* Events follow, deferred. */
void grpc_call_resume(struct grpc_call *c);
/* Client: no more messages of ours. */
void grpc_call_close_send(struct grpc_call *c);
/*
 * Server: ends the call with a status; message (may be NULL) is for people. Trailers-Only where
 * nothing was sent yet. on_end follows, deferred.
 */
void grpc_call_finish(struct grpc_call *c, enum grpc_status status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Server: a field for the trailers of grpc_call_finish; name lower-case. */
void grpc_call_add_trailer(struct grpc_call *c, struct str name, struct str value);
/* Client: gives up (RST_STREAM CANCEL); on_end with CANCELLED follows, deferred. */
void grpc_call_cancel(struct grpc_call *c);
/* No event comes any more; cancels what runs. For users that go first. Nulls; safe on NULL. */
void grpc_call_drop(struct grpc_call **c);

/* Unpacks bytes with a bound on what a small message may swell to; NULL where malformed or too
 * much. Free with protobuf_c_message_free_unpacked. */
ProtobufCMessage *grpc_unpack(const ProtobufCMessageDescriptor *d, struct str bytes);

#endif
