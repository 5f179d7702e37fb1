/*
 * The HTTP/1 codec's own state, shared by its files: h1_conn.c (life and decisions), h1_recv.c
 * (bytes to events), h1_head.c (heads from llhttp), h1_line.c (start lines), h1_send.c and
 * h1_write.c (events to bytes). Nobody else includes it.
 */
#ifndef WEFT_HTTP_H1_H
#define WEFT_HTTP_H1_H

/* llhttp's types of parsers have the names of our kinds of heads. */
#define HTTP_REQUEST LLHTTP_REQUEST
#define HTTP_RESPONSE LLHTTP_RESPONSE
#include <llhttp.h>
#undef HTTP_REQUEST
#undef HTTP_RESPONSE

#include "lib/http/codec.h"

/* Where the reading side is. */
enum h1_phase {
	H1_IDLE,   /* between messages */
	H1_LINE,   /* in a start line */
	H1_FIELDS, /* in the fields of a head */
	H1_BODY,
	H1_WAIT,   /* the message is complete, its exchange is not */
	H1_HOLD,   /* server: upgrade or CONNECT was asked for; what follows is the tunnel's or the
		      next request */
	H1_TUNNEL, /* raw bytes */
	H1_SHUT    /* tunnel whose peer has ended its side */
};

enum h1_framing {
	H1_NONE,    /* no body */
	H1_LENGTH,  /* content-length */
	H1_CHUNKED, /* transfer-encoding: chunked */
	H1_CLOSE,   /* ends with the connection */
	H1_RAW      /* tunnel */
};

/* What the parser paused for. */
enum h1_event { H1_NOTHING, H1_HEAD_DONE, H1_CHUNK, H1_DATA, H1_MESSAGE_DONE };

/* Position in a start line (RFC 9112 3 and 4), one byte at a time. Plain state. */
struct h1_line {
	uint8_t part;
	uint8_t at;
	bool request;
};

/* Text of fields on its way into the arena, piece by piece. Borrows the stream's arena. */
struct h1_text {
	char *p; /* the piece being built */
	size_t n, cap;
};

/* Codec state of a connection; owned by it (c->codec_state). */
struct h1 {
	struct obj_head obj;
	struct http_conn *c;
	struct http_stream *cur; /* the exchange under way, or NULL */
	llhttp_t parser;
	uint32_t last_id;

	/* reading */
	enum h1_phase phase;
	enum h1_framing in;
	struct h1_line line;
	uint8_t blanks; /* CR and LF seen before a request line */
	struct h1_text text;
	struct str name;
	struct http_fields *fields; /* where the fields being parsed go */
	struct http_fields trailers;
	size_t field_bytes,
		field_limit; /* name + value + 32 each, of this exchange's heads or trailers */
	size_t head_raw;     /* bytes of the head as on the wire */
	size_t overhead;     /* bytes of chunk framing since the last body byte */
	bool in_trailers;    /* the last chunk's line was seen */
	uint64_t left;       /* H1_LENGTH: body bytes to come */
	enum h1_event event;
	const char *data; /* H1_DATA: span within the bytes being executed */
	size_t data_len;
	enum reason why; /* set by callbacks that refuse; REASON_OK: none */
	const char *detail;
	unsigned interims;
	size_t dropped; /* body bytes that nobody wanted */

	/* writing */
	enum h1_framing out;
	struct buf trailers_out;
	struct str ws_key; /* client: what the server's 101 must answer; in the stream's arena */
	bool keep_alive, head_sent, continue_sent, refused, tunnel_wanted;

	/* ends a connection whose rest of a body, or last request, does not come */
	struct loop_timer patience;
};

#define H1_MAGIC 0x68747431u
/* Encoded bytes that wait for the socket: more stays in the stream's queue, where it counts as the
 * user's. */
#define H1_WIRE_HIGH ((size_t)64 * 1024)

static inline struct h1 *h1_of(const struct http_conn *c)
{
	return OBJ_CAST(struct h1, H1_MAGIC, c->codec_state);
}

/* --- h1_line.c --- */

void h1_line_init(struct h1_line *l, bool request);
/* Looks at up to n bytes, not beyond the line's LF. Returns NULL, or what is wrong. *used: bytes
 * looked at; *done: LF met. */
const char *h1_line_scan(struct h1_line *l, const char *p, size_t n, size_t *used, bool *done);

/* --- h1_head.c --- */

/* Prepares the parser for a message whose head belongs to h->cur. */
void h1_head_begin(struct h1 *h);
/* Runs the parser; it pauses at each event. Returns 0, or -1 with h->why and h->detail set. *used:
 * bytes taken. */
int h1_parse(struct h1 *h, const char *p, size_t n, size_t *used);
/* Fills in what the start line says. Returns NULL, or what is wrong. */
const char *h1_head_finish(struct h1 *h);
/* The message has more than a head. */
void h1_trailers_begin(struct h1 *h);

/* --- h1_recv.c --- */

void h1_on_bytes(struct http_conn *c, bool eof);
/* --- h1_send.c --- */

void h1_send_head(struct http_stream *s, const struct http_head *head, bool end);
void h1_send_body(struct http_stream *s);
void h1_send_trailers(struct http_stream *s, const struct http_fields *trailers);
bool h1_flush(struct http_conn *c);
/* Queues a plain response with detail as its text; the caller closes the connection. False where
 * the reason has no status. */
bool h1_refuse(struct h1 *h, enum reason reason, const char *detail);

/* --- h1_conn.c --- */

/* Ends the exchange where both sides are done, and decides what becomes of the connection. From
 * on_bytes and flush only. */
void h1_settle(struct h1 *h);
/* Lets go of the exchange and of all that lies in its arena. */
void h1_detach(struct h1 *h);

#endif
