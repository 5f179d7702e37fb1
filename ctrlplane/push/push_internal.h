/*
 * The service and its streams as the files of push/ share them. push.c walks, admit.c lets in,
 * stream.c is one call, describe.c tells people.
 */
#ifndef WEFT_CTRLPLANE_PUSH_PUSH_INTERNAL_H
#define WEFT_CTRLPLANE_PUSH_PUSH_INTERNAL_H

#include "ctrlplane/push/bucket.h"
#include "ctrlplane/push/ledger.h"
#include "ctrlplane/push/push.h"

#define PUSH_MAX_FIRST (4u << 20)     /* bytes of a first request */
#define PUSH_MAX_REQUEST (256u << 10) /* and of the others */
#define PUSH_MAX_PARKED (32u << 20)   /* bytes of requests of all streams that wait */
#define PUSH_WAIT_NS (60 * NS_PER_S)  /* to be admitted */
#define PUSH_REQUEST_RATE 200         /* requests of one stream per second, and at once */
#define PUSH_REQUEST_BURST 2000
#define PUSH_REQUEST_UNIT 4096 /* bytes that count as a request of their own */
#define PUSH_NONCE 48

enum push_end {
#define PUSH_END(name, label, status, level, text) PUSH_END_##name,
#include "ctrlplane/push/end.def"
#undef PUSH_END
	PUSH_ENDS
};

enum push_phase {
	PUSH_WAITING, /* to be admitted; requests are parked */
	PUSH_OPEN,    /* no request yet */
	PUSH_LIVE,
	PUSH_ENDED
};

/* A request that came before its stream was admitted. Owned by the stream. */
struct push_parked {
	struct list_node node;
	size_t n;
	char bytes[];
};

/*
 * One call. Owned by itself from start to on_end; on exactly one list of the service.
 */
struct push_stream {
	struct obj_head obj;
	struct list_node node;
	struct push *push;
	struct grpc_call *call;
	enum push_phase phase;
	struct attested who; /* in the call's arena; empty before attestation */
	char *version;       /* of the sidecar; NULL before the first request */
	char *key;           /* "ns/name", in the arena */
	uint64_t connected;  /* wall time */
	struct list parked;
	size_t parked_bytes;
	struct bucket requests;
	struct loop_timer timer;  /* admission, first request, answer: one at a time */
	struct loop_timer resume; /* requests are read again */
	struct ledger ledger;     /* from admission on */
	bool has_ledger;
	char *reported; /* position of the first request; NULL: none */
	char *position; /* last sent; NULL: none */
	char *withheld; /* why the pod cannot be served now; NULL: it is */
	char nonce[PUSH_NONCE];
	uint64_t serial, responses, too_large; /* too_large: of the ledger, as logged */
	bool behind, half_closed;
	bool unanswered; /* a response is */
	bool full;       /* the send queue is */
	bool due;        /* to be looked at when it moves */
	bool asks;       /* is on the list of those */
};
#define PUSH_STREAM_MAGIC 0x70757374u

/* Owned by main; owns the lists, not the streams on them. */
struct push {
	struct obj_head obj;
	struct push_config cfg;
	struct grpc_method method;
	struct grpc_service service;
	struct store_listener listener;
	struct list idle, dirty, asking; /* admitted: nothing to do; the catalog changed; asks */
	struct list waiting;             /* to be admitted, in order */
	struct list ended;               /* until on_end comes */
	struct map *admitted, *queued;   /* by "ns/name", one stream each */
	size_t n_admitted, n_waiting, n_behind, parked_bytes;
	struct bucket admission;
	struct bucket told; /* lines about one stream: nobody fills the log */
	struct loop_timer admit_timer;
	struct loop_task admit_task, turn;
	uint64_t prefix, serial;
	bool asking_next;
	struct metric_series *responses, *resources, *removals, *rejections, *stale, *slowed;
	struct metric_series *ends[PUSH_ENDS];
};
#define PUSH_MAGIC 0x70757368u

/* --- push.c --- */
/* The (admitted) stream has something to look at, soon. */
void push_schedule(struct push *p, struct push_stream *s);

/* --- admit.c --- */
/* A new stream: waits for its turn, or has ended. */
void admit_enqueue(struct push *p, struct push_stream *s);
/* Lets in whom the rate allows. */
void admit_run(struct push *p);
void admit_on_timer(void *arg);
/* Takes the stream off whatever it is on. */
void admit_forget(struct push *p, struct push_stream *s);
const char *push_end_label(enum push_end why);

/* --- stream.c --- */
/* grpc_start_fn */
void stream_on_start(void *arg, struct grpc_call *c);
/* Admitted: begins, and takes what was parked. */
void stream_admit(struct push_stream *s);
/* Attests the caller; false where the stream has ended for it. */
bool stream_attest(struct push_stream *s);
/* The one exit by our own will; text NULL: the table's. */
void stream_end(struct push_stream *s, enum push_end why, const char *text);
/* Looks at what the catalog has for it, for about as long as one share of work; afterwards it is on
 * a list again, or ended. */
void stream_look(struct push_stream *s);
/* Waits for the source to reach what the sidecar reported; counted and said. */
void stream_set_behind(struct push_stream *s, bool behind);
/* Lets go of the call, and is freed. */
void stream_drop(struct push_stream *s);

/* --- request.c --- */
/* One request of an admitted stream; bytes are borrowed. */
void request_take(struct push_stream *s, struct str bytes);

#endif
