/*
 * What the files of the gate (conn.c, conn_io.c, stream.c, stream_up.c) share and nobody else sees.
 * The codecs use codec.h, users stream.h and conn.h.
 */
#ifndef WEFT_HTTP_GATE_H
#define WEFT_HTTP_GATE_H

#include "lib/http/codec.h"

/* --- conn_io.c: bytes in and out --- */

/* Readiness of c->io. */
void http_conn_on_io(void *arg, unsigned events);
/* Flush phase: encode, one write, then what comes after the last byte. */
void http_conn_on_flush(void *arg);
/* Deferred: the codec may go on with what c->in holds. */
void http_conn_on_read_again(void *arg);
/* flush_timer: the peer takes no bytes, or lingering is over. */
void http_conn_on_flush_timeout(void *arg);
/* Sets the io's interest to what the state asks for. */
void http_conn_want(struct http_conn *c);

/* --- conn.c: life --- */

/* No more bytes either way: on_end follows, deferred. */
void http_conn_finish(struct http_conn *c);
/* A stream came or went: the idle timer runs where none is left. */
void http_conn_count_stream(struct http_conn *c, int delta);
/* Starts a timer; 0 stops it. */
void http_timer_set(struct loop_timer *t, uint64_t ns);

/* --- stream.c, stream_up.c --- */

/* In its arena, on c->streams. */
struct http_stream *http_stream_new(struct http_conn *c, uint32_t id);
/* Something moved: the idle timer starts anew. */
void http_stream_touch(struct http_stream *s);
/* on_end now, then the stream is off the list and freed at the end of the turn. */
void http_stream_deliver_end(struct http_stream *s);
/* Deferred forms, for the stream's tasks and timer. */
void http_stream_on_end_task(void *arg);
void http_stream_on_room_task(void *arg);
void http_stream_on_idle(void *arg);
/* True where that final status turns this exchange into a tunnel. */
bool http_stream_opens_tunnel(const struct http_stream *s, uint16_t status);

#endif
