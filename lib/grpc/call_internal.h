/*
 * What the files of lib/grpc share of a call: its state, and who does what. call.c holds its life
 * and what its user does; call_recv.c what the peer sends; call_server.c and call_client.c the head
 * and the end of either role; server.c and channel.c own calls.
 */
#ifndef WEFT_GRPC_CALL_INTERNAL_H
#define WEFT_GRPC_CALL_INTERNAL_H

#include "lib/base/list.h"
#include "lib/grpc/call.h"
#include "lib/http/conn.h"

#define GRPC_CALL_MAGIC 0x67726370u

/* Whoever has the call on a list. Static storage. */
struct grpc_call_owner {
	/* Exactly once, before on_end: the owner forgets the call. c->end says how it ended. */
	void (*on_over)(void *owner, struct grpc_call *c);
	/* rx became longer, or shorter, by that. False: it is too much; the call is refused. NULL:
	 * nobody counts. */
	bool (*on_buffered)(void *owner, struct grpc_call *c, ssize_t delta);
	/* Server: the head of the request, checked by HTTP alone. NULL for clients. */
	void (*on_head)(void *owner, struct grpc_call *c, const struct http_head *head);
	/* Server: it was vouched for, or is over after that; there is a stream yet. */
	void (*on_vouched)(void *owner, struct grpc_call *c, bool vouched);
};

/* Owned by itself until its end was told and its stream is gone; borrowed by user and owner. */
struct grpc_call {
	struct obj_head obj;
	struct list_node node; /* the owner's */
	const struct grpc_call_owner *owner;
	void *owner_arg;
	struct http_env env;
	struct arena arena;
	bool server;
	struct http_stream *stream; /* NULL: not yet (client), or gone */
	void *conn;                 /* server: the owner's, for as long as there is a stream */
	bool vouched;
	const struct grpc_call_events *ev;
	void *arg;
	/* receiving */
	struct buf rx;
	size_t unconsumed; /* of rx, towards the stream's window */
	size_t max_message;
	size_t counted_rx; /* of rx, in the owner's account */
	bool single;       /* server: the request is exactly one message */
	bool in_end;       /* the peer sends no more */
	bool half_closed;  /* and our user knows */
	bool paused;
	/* sending */
	struct buf tx; /* client: until there is a stream */
	size_t room;   /* for tx */
	bool head_out, closing, wants_room;
	struct http_fields metadata; /* server: the client's; client: ours until it is sent */
	struct http_fields trailers; /* server: ours; client: the server's */
	struct str path, authority;  /* client */
	/* ending */
	bool counted; /* server: in the statistics */
	bool over;    /* the end is known, and told soon */
	bool told;
	struct grpc_end end;
	uint64_t deadline;
	struct loop_timer deadline_timer, patience;
	struct loop_task end_task, room_task, resume_task;
};

struct grpc_call *grpc_call_new(const struct http_env *env, bool server,
	const struct grpc_call_owner *owner, void *owner_arg);
struct grpc_call *grpc_call_cast(void *arg);
/* ns: of the loop's time; 0: none. */
void grpc_call_set_deadline(struct grpc_call *c, uint64_t at);
/* The end is known: told later in this turn. Text is copied. The first one counts. */
void grpc_call_conclude(struct grpc_call *c, enum grpc_status status, struct str text);
/* The end is told now, where it is known. */
void grpc_call_tell(struct grpc_call *c);
/* Frees what is over. */
void grpc_call_settle(struct grpc_call *c);

/* pack.c: appends; returns the bytes. */
size_t grpc_pack(struct buf *out, const ProtobufCMessage *m);

/* call_recv.c: body, trailers' place and room of the stream, for both roles. */
void grpc_call_on_body(void *arg, struct http_stream *s, struct buf *bytes, bool end);
void grpc_call_on_writable(void *arg, struct http_stream *s);
/* Hands over what is complete. */
void grpc_call_pump(struct grpc_call *c);
/* Tells the owner what is in rx now. */
void grpc_call_account(struct grpc_call *c);
/* The peer's fault: answers with that status (server) or gives up (client). */
void grpc_call_refuse(struct grpc_call *c, enum grpc_status status, const char *text);

/* call_server.c */
void grpc_call_accept(struct grpc_call *c, struct http_stream *s);
/* Its head is accepted: it may send one message, or many, of at most max bytes each. */
void grpc_call_begin(struct grpc_call *c, bool single, size_t max);
/* Ends with HTTP alone: not a gRPC request. */
void grpc_call_refuse_http(struct grpc_call *c, uint16_t status);
void grpc_call_finish_str(struct grpc_call *c, enum grpc_status status, struct str text);

/* call_client.c */
void grpc_call_open(struct grpc_call *c, struct http_conn *conn);
/* A client's call ends for a reason of our own. */
void grpc_call_abandon(struct grpc_call *c, enum grpc_status status, const char *text);
/* All of a client's peer is there: the status, from trailers or a head; NULL: none came. */
void grpc_call_close_client(struct grpc_call *c, const struct http_fields *fields);

#endif
