/*
 * What the files of the HTTP/2 codec (h2_*.c) offer each other. One rule holds them together: no
 * callback of nghttp2 calls up. What it learns is noted on the stream, and h2_tell says it to the
 * gate when nghttp2 has returned; so users may do what they like in their events.
 */
#ifndef WEFT_HTTP_H2_H
#define WEFT_HTTP_H2_H

#include "lib/http/h2_state.h"

/* -- h2_conn.c: life of connection and streams -- */

/* Makes the codec's state of s; client: without an id yet. */
struct h2_stream *h2_stream_new(struct h2 *h, struct http_stream *s);
/* nghttp2's pointer to the stream, or NULL where it is none of ours any more. */
struct h2_stream *h2_find(struct h2 *h, int32_t id);
/* It no longer counts against the limit on streams. Idempotent. */
void h2_release(struct h2 *h, struct h2_stream *hs);
/* nghttp2 forgets whose the stream is: nothing more is told of it. */
void h2_detach(struct h2 *h, struct h2_stream *hs);
/* The session ends with GOAWAY of that code. From anywhere, callbacks too; h2_perish follows. */
void h2_doom(struct h2 *h, enum reason reason, uint32_t code, const char *detail);
/* The result of a call that may find the session's memory used up, which dooms it. */
void h2_try(struct h2 *h, int rv);
void h2_submit_reset(struct h2 *h, int32_t id, uint32_t code);
/* Ends the connection where it is doomed. Outside callbacks. */
void h2_perish(struct h2 *h);
/* Accounting of an untrusted peer: dooms the session where it is too much. */
void h2_act(struct h2 *h, enum h2_act act);
/* A stream of a client was thrown away before its answer was complete. */
void h2_blame(struct h2 *h);
/* Streams, GOAWAY or the peer's SETTINGS changed: the end may have come. */
void h2_rest(struct h2 *h);
/* First SETTINGS of the peer. */
void h2_settle(struct h2 *h);
void h2_on_goaway(struct h2 *h);

/* -- h2_intake.c, h2_recv.c: bytes in -- */

void h2_recv_callbacks(nghttp2_session_callbacks *cb);
void h2_on_bytes(struct http_conn *c, bool eof);
/* After a flush: reading goes on where it waited for one. */
void h2_recv_resume(struct h2 *h);

/* -- h2_sift.c -- */

/* *code: of the reset, where the verdict has one. */
enum h2_verdict h2_sift(const struct h2 *h, const struct h2_frame *f, uint32_t *code);

/* -- h2_tell.c: what nghttp2 learnt goes up -- */

void h2_note(struct h2 *h, struct h2_stream *hs);
/* Body bytes came in, nothing else. */
void h2_note_body(struct h2 *h, struct h2_stream *hs);
/* A fault of the peer on this stream; the first one counts. */
void h2_note_fault(struct h2 *h, struct h2_stream *hs, enum reason reason, const char *detail);
/* Tells what is due; all: body bytes too. Outside callbacks. */
void h2_tell(struct h2 *h, bool all);

/* -- h2_head.c, h2_nv.c: heads in and out -- */

/* A header block begins. */
void h2_block_begin(struct h2_stream *hs, bool trailers);
/* One field. 0, or ERR_LIMIT: not one more field of this block is to be decoded for the stream. */
int h2_block_field(struct h2_stream *hs, nghttp2_rcbuf *name, nghttp2_rcbuf *value, bool never);
void h2_block_end(struct h2_stream *hs);
/* Fields as nghttp2 wants them, copied into the arena of s. Returns how many. */
size_t h2_nv_head(struct http_stream *s, const struct http_head *head, bool end, nghttp2_nv **out);
size_t h2_nv_trailers(struct http_stream *s, const struct http_fields *fields, nghttp2_nv **out);

/* -- h2_send.c: bytes out -- */

void h2_send_callbacks(nghttp2_session_callbacks *cb);
bool h2_flush(struct http_conn *c);
void h2_send_head(struct http_stream *s, const struct http_head *head, bool end);
void h2_send_body(struct http_stream *s);
void h2_send_trailers(struct http_stream *s, const struct http_fields *trailers);
void h2_consume(struct http_stream *s, size_t n);
void h2_stop(struct http_stream *s);
void h2_reset(struct http_stream *s, enum reason reason);

#endif
