/*
 * The state of the HTTP/2 codec: per connection and per exchange. Shared by the files h2_*.c, which
 * see it through h2.h; nobody else does.
 */
#ifndef WEFT_HTTP_H2_STATE_H
#define WEFT_HTTP_H2_STATE_H

#include <nghttp2/nghttp2.h>

#include "lib/http/codec.h"
#include "lib/http/h2_abuse.h"
#include "lib/http/h2_mem.h"

#define H2_MAGIC 0x68325f63u
#define H2_STREAM_MAGIC 0x68325f73u

#define H2_PREFACE_LEN 24
#define H2_FRAME_HEAD 9
/* The longest payload that we permit and use (RFC 9113 4.2). */
#define H2_FRAME_MAX 16384
/* A stream that has more to send than this waits for its turn after each such piece. */
#define H2_QUANTUM 16384
/* Heads 1xx that one exchange may have. */
#define H2_INTERIM_MAX 32
/* Beyond that many times its limit the rest of a header block is not even decoded for the stream.
 */
#define H2_FAR_BEYOND 4

/* What the first bytes of a frame say. */
struct h2_frame {
	uint32_t length;
	uint8_t type, flags;
	int32_t id;
	uint32_t increment; /* WINDOW_UPDATE of the right length */
	uint32_t padding;   /* DATA: bytes that are padding, its length field among them */
};

/* What becomes of a frame before nghttp2 sees it; see h2_sift.c. */
enum h2_verdict {
	H2_PASS,
	H2_DROP,   /* without a word */
	H2_REFUSE, /* reset the stream, drop the frame */
	H2_REJECT, /* reset the stream, then pass: nghttp2 ignores frames of streams that it resets
		    */
	H2_STALL,  /* reset the stream, pass when the reset is written */
	H2_UNBIND, /* pass without the dependency in its priority fields */
	H2_BREAK   /* an error of the connection that nghttp2 lets pass */
};

/* Where the byte stream from the peer is. Embedded in struct h2. */
struct h2_intake {
	uint32_t left;    /* bytes of this frame, or of the preface, that nghttp2 still gets */
	uint32_t skip;    /* bytes of this frame that are dropped */
	bool in_block;    /* a header block goes on in CONTINUATION frames */
	int32_t stalled;  /* stream whose reset must be written first; 0: none */
	bool pressed;     /* reading rests until the queues are shorter */
	bool timed;       /* we started the header timer */
	const char *base; /* first byte of c->in while nghttp2 reads from there */
};

enum h2_drain { H2_DRAIN_NONE, H2_DRAIN_NOTICE, H2_DRAIN_FINAL, H2_DRAIN_SAID };

/* The codec's state of a connection. Owned by it (c->codec_state). */
struct h2 {
	struct obj_head obj;
	struct http_conn *c;
	nghttp2_session *session;
	struct h2_mem mem;
	struct h2_abuse abuse;
	struct h2_intake intake;
	struct h2_stream *reading; /* whose header block comes in; may be NULL */
	struct list ready;         /* streams that wait for a turn to send */
	struct list due;           /* streams with something to tell */
	struct list filling; /* streams that have body bytes only, told when all input is read */
	uint32_t open;       /* streams that count against the limit */
	bool wary;           /* the peer is not trusted */
	bool settled, goaway_in, goaway_out, doomed, heard, probing;
	enum h2_drain drain;
	enum reason reason; /* where doomed; with the code of our GOAWAY */
	uint32_t code;
	const char *detail;
	struct loop_timer grace, ping, trim;
	struct loop_task rest; /* looks whether all is over */
};

/* One crumb of a cookie field, in the stream's arena. */
struct h2_crumb {
	struct h2_crumb *next;
	struct str value;
};

/* A header block while its fields come in. */
struct h2_block {
	struct http_fields *fields; /* of the head, or of the trailers */
	size_t size, count, max;    /* RFC 9113 10.5.1, but for pseudo fields */
	size_t pseudo_size;
	struct h2_crumb *crumbs, **crumbs_end;
	size_t crumbs_size;
	struct str status; /* :status of a response */
	bool trailers, over;
};

/* The codec's state of an exchange, in the arena of the http_stream. */
struct h2_stream {
	struct obj_head obj;
	struct http_stream *s;
	struct list_node ready; /* on h2->ready */
	struct list_node due;   /* on h2->due or h2->filling */
	struct h2_block block;
	struct http_fields trailers_in;
	struct buf rx; /* body bytes not told yet */
	const nghttp2_nv *trailers;
	size_t n_trailers;
	uint32_t quantum; /* bytes that may be sent in this turn */
	uint32_t interim;
	uint32_t close_code;
	enum reason fault; /* OK: none */
	const char *detail;
	/* came in and is not told yet */
	bool got_head, got_trailers, got_end;
	bool head_in, end_in;  /* the final head, the end were told */
	bool spoke, end_out;   /* some head of ours was queued, our end is written */
	bool counted;          /* in h2->open */
	bool on_wire;          /* client: the request's head is encoded */
	bool reset_in, closed; /* the peer reset it; nghttp2 has let go of it */
};

static inline struct h2 *h2_of(const struct http_conn *c)
{
	return OBJ_CAST(struct h2, H2_MAGIC, c->codec_state);
}

/* NULL where the gate has no codec state yet. */
static inline struct h2_stream *h2_stream_of(const struct http_stream *s)
{
	return s->codec != NULL ? OBJ_CAST(struct h2_stream, H2_STREAM_MAGIC, s->codec) : NULL;
}

#endif
