/*
 * The HTTP waist: one exchange, seen the same by server and client, over HTTP/1 and HTTP/2.
 * stream.c is the gate between codec and user: it keeps the order of events, counts bytes against
 * the declared length and stamps times. Nothing above it knows which codec is below.
 *
 * Order of events to the user: on_head (1xx any number, then one final), on_body*, on_trailers?,
 * then on_end exactly once and last. Events are never delivered from inside a call that the user
 * makes on the same stream. After on_end the pointer is dead at the end of the turn.
 */
#ifndef WEFT_HTTP_STREAM_H
#define WEFT_HTTP_STREAM_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/reason.h"
#include "lib/http/head.h"
#include "lib/net/io.h"

struct http_conn;
struct http_stream;

/* User of one stream. All members but on_trailers and on_writable are required. */
struct http_stream_events {
	/* end: the message has no body and no trailers. Server: the request. Client: responses, 1xx
	 * first. head lives as long as the stream. */
	void (*on_head)(void *arg, struct http_stream *s, struct http_head *head, bool end);
	/*
	 * Take what you like out of bytes (buf_move); what is left in it is dropped. Bytes count
	 * against the receive window until stream_consume says that they have left us.
	 */
	void (*on_body)(void *arg, struct http_stream *s, struct buf *bytes, bool end);
	/* Trailers end the message. */
	void (*on_trailers)(void *arg, struct http_stream *s, struct http_fields *trailers);
	/* The send queue fell below the low-water mark (stream_send_body had returned <= 0). */
	void (*on_writable)(void *arg, struct http_stream *s);
	void (*on_end)(void *arg, struct http_stream *s, enum reason reason);
};

/* Monotonic loop times of what happened; 0: not yet. */
struct http_stream_times {
	uint64_t start, head_in, first_in, last_in, head_out, first_out, last_out;
};

/* Where one direction of an exchange is. Only moves forward. */
enum http_part { PART_HEAD, PART_BODY, PART_TRAILERS, PART_DONE };

void stream_set_user(struct http_stream *s, const struct http_stream_events *ev, void *arg);
void *stream_user(const struct http_stream *s);
struct http_conn *stream_conn(const struct http_stream *s);
/* Lives until the stream is freed; heads and the user's per-exchange data go here. */
struct arena *stream_arena(struct http_stream *s);
const struct http_stream_times *stream_times(const struct http_stream *s);
enum http_part stream_in_part(const struct http_stream *s);
enum http_part stream_out_part(const struct http_stream *s);
uint64_t stream_bytes_in(const struct http_stream *s); /* body bytes received */
uint64_t stream_bytes_out(const struct http_stream
		*s); /* body bytes handed to the codec's wire buffer */
uint32_t stream_id(const struct http_stream *s);
/* Text for logs where the codec knows more than the reason ("two content-length fields"); empty
 * where not. Static or arena. */
struct str stream_detail(const struct http_stream *s);

/* HTTP/2: the peer ended the stream by RST_STREAM, with that code (RFC 9113 7). For on_end. */
bool stream_was_reset(const struct http_stream *s, uint32_t *code);

/*
 * Sends a head: on the server 1xx (kind HTTP_RESPONSE, status 100..199 but 101) any number of
 * times, then one final; on the client the request. end: no body follows. Slices are copied.
 * Framing is chosen by the codec from length; illegal fields were refused on the way in, and are
 * dropped on the way out. After a 101 or a 2xx to CONNECT / extended CONNECT both bodies are raw
 * bytes until each side ends.
 */
void stream_send_head(struct http_stream *s, const struct http_head *head, bool end);
/* Takes all of bytes, always. Returns the room left in the send queue: <= 0 means wait for
 * on_writable before sending more. */
ssize_t stream_send_body(struct http_stream *s, struct buf *bytes, bool end);
/* Room now, without sending. */
ssize_t stream_room(const struct http_stream *s);
/* Body bytes that were sent and not encoded yet. */
size_t stream_queued(const struct http_stream *s);
/* Ends our side with trailers (HTTP/1: sent where the body is chunked, else dropped). */
void stream_send_trailers(struct http_stream *s, const struct http_fields *trailers);
/* n body bytes have left us: the peer may send as many more. */
void stream_consume(struct http_stream *s, size_t n);
/*
 * No more of the peer's body, please: what still comes is dropped; our direction goes on. HTTP/1: a
 * bounded drain, then close; HTTP/2: RST_STREAM NO_ERROR once our END_STREAM went out (RFC
 * 9113 8.1).
 */
void stream_stop(struct http_stream *s);
/* Aborts both directions; on_end(reason) follows, deferred. HTTP/1: closes the connection (RST
 * where a response was cut); HTTP/2: RST_STREAM. */
void stream_reset(struct http_stream *s, enum reason reason);

#endif
