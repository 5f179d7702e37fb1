/*
 * One request as one object: the downstream stream, a body tee, and attempts at upstreams. Steps
 * (request.def) decide; forward.c moves bodies; whatever ends it goes through request_fail or the
 * end of the downstream stream.
 */
#ifndef WEFT_SIDECAR_FLOW_REQUEST_H
#define WEFT_SIDECAR_FLOW_REQUEST_H

#include "sidecar/flow/conn.h"

#define REQUEST_MAGIC 0x72717374u
#define REQUEST_ATTEMPTS 3

enum request_step {
#define STEP(name, fn, text) STEP_##name,
#include "sidecar/flow/request.def"
#undef STEP
	STEP_DONE
};

enum step_next {
	NEXT_CONTINUE,
	NEXT_WAIT, /* an event resumes */
	NEXT_END   /* answered or failed */
};

enum attempt_state { ATTEMPT_NONE, ATTEMPT_WAITING, ATTEMPT_OPEN, ATTEMPT_OVER };

/* One try at one endpoint. Embedded in its request. */
struct attempt {
	enum attempt_state state;
	const struct mesh_endpoint *endpoint; /* NULL: the application, or an address alone */
	struct balance_load *load;
	struct connect_target target;
	struct pool_wait *wait;
	struct http_stream *up; /* NULL before OPEN and after its on_end */
	bool reused, head_sent;
	bool unreachable; /* no connection came about, or the peer refused us in the handshake */
	uint64_t body_sent;
	size_t unconsumed; /* response bytes that wait for room downstream */
};

/*
 * Owned by itself: taken from the flow's free list, given back when neither the downstream stream
 * nor an upstream stream can call any more. References the snapshot that it was admitted under.
 */
struct request {
	struct obj_head obj;
	struct list_node node;         /* on conn->requests, or the free list */
	struct list_node starved_node; /* on flow->starved */
	struct flow *flow;
	struct conn *conn; /* NULL after the downstream stream ended */
	struct snapshot *snap;
	struct dest dest;         /* outbound: under snap */
	struct http_stream *down; /* NULL after its on_end */
	struct http_head *head;   /* the downstream stream's; changed by step_headers */
	enum http_version down_version;
	enum request_step step;
	struct attempt attempts[REQUEST_ATTEMPTS];
	uint32_t n_attempts;
	struct attempt *cur; /* the chosen attempt; NULL: none */
	uint32_t ups;        /* upstream streams that have not had their on_end */
	/* the body tee */
	struct buf held;       /* received, not yet sent to the chosen attempt */
	struct buf replay;     /* second references to what was sent, while it may be sent again */
	bool replay_lost;      /* the bound was passed or the response has begun */
	struct loop_task trim; /* looks whether the bound was passed */
	size_t unconsumed;     /* received bytes that the downstream was not told of yet */
	bool body_end, body_sent_end, stopped;
	struct http_fields *trailers;
	/* response */
	bool committed, response_done, tunnel, grpc, failed;
	bool grpc_open; /* a gRPC response has begun: its status is still to come, in trailers */
	int last_reason;
	char last_text[224];
	struct loop_timer timer;
	struct span span;
};

/* session.c: a new stream of c. */
void request_start(struct conn *c, struct http_stream *s);
/* Runs steps until one waits or ends. */
void request_run(struct request *r);
/* Failure before or after the response began: an error reply, or a reset. detail may be NULL. */
void request_fail(struct request *r, int reason, const char *detail);

/* attempt.c */
void attempt_acquire(struct request *r);
/* Takes the stream, makes this the chosen attempt. */
void attempt_open(struct request *r, struct http_stream *up);
/* Gives up the chosen attempt, resetting its stream. */
void attempt_drop(struct request *r, enum reason reason);
/* Tries again where reason and body allow, else fails the request. */
void attempt_failed(struct request *r, int reason, const char *text);

/* request.c: its answer has begun, so it needs no configuration any more: a long one shall keep no
 * old one alive. */
void request_let_go(struct request *r);

/* The downstream stream had its on_end: the request goes when its last upstream stream has had its
 * own. */
void request_down_gone(struct request *r);

/* forward.c */
/* Task: drops a replay buffer that has grown too large; arg is the request. */
void forward_on_trim(void *arg);
/* Timer: opens the windows of starved requests again where the budget permits; arg is the flow. */
void forward_on_starved(void *arg);
void forward_request_body(struct request *r);
void forward_down_body(struct request *r, struct buf *bytes, bool end);
void forward_down_room(struct request *r);
void forward_up_head(struct request *r, struct http_head *head, bool end);
void forward_up_body(struct request *r, struct buf *bytes, bool end);
void forward_up_trailers(struct request *r, struct http_fields *trailers);
void forward_up_room(struct request *r);

/* reply.c: answers for ourselves; the head must not have gone out. */
void reply_reason(struct request *r, int reason);
/* The response has begun: ends it with the reason where its protocol can say it, else by a reset.
 */
void reply_cut(struct request *r, int reason);

/* headers.c */
/* Removes every field that only Weft may set, in every spelling. Returns how many. */
size_t headers_strip_reserved(struct http_fields *fields);
/* Inbound: what the application learns of its caller. */
void headers_set_identity(struct http_fields *fields, struct str own_id, struct str peer_id);

#endif
