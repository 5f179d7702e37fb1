/*
 * The seam between the gate (conn.c, stream.c) and the codecs (h1_*.c, h2_*.c); nobody else
 * includes it, nor state.h. Down-calls queue and mark the connection for the flush phase; up-calls
 * are made only from on_bytes, flush, timers and deferred tasks, never from inside a down-call.
 */
#ifndef WEFT_HTTP_CODEC_H
#define WEFT_HTTP_CODEC_H

#include "lib/http/state.h"

/* One row per codec; static storage. Every member is required. */
struct http_codec {
	enum http_version version;
	/* Makes c->codec_state. HTTP/2 queues its preface and SETTINGS. */
	void (*init)(struct http_conn *c);
	/* Frees c->codec_state; all streams are gone. */
	void (*fini)(struct http_conn *c);
	/* Bytes arrived in c->in; takes what it can parse now (HTTP/1 leaves pipelined or paused
	 * bytes). eof: nothing more will come. */
	void (*on_bytes)(struct http_conn *c, bool eof);
	/* Encodes what is queued, appending to c->out, until it holds about WIRE_HIGH bytes. True
	 * where more is waiting. */
	bool (*flush)(struct http_conn *c);
	uint32_t (*room)(const struct http_conn *c);
	/* Client: prepares s->codec for a new exchange. */
	void (*open)(struct http_stream *s);
	void (*send_head)(struct http_stream *s, const struct http_head *head, bool end);
	/* s->send has grown and/or s->send_end is set. */
	void (*send_body)(struct http_stream *s);
	void (*send_trailers)(struct http_stream *s, const struct http_fields *trailers);
	void (*consume)(struct http_stream *s, size_t n);
	void (*stop)(struct http_stream *s);
	/* Queues what tells the peer (RST_STREAM; HTTP/1 marks the connection for closing). The
	 * gate makes the on_end. */
	void (*reset)(struct http_stream *s, enum reason reason);
	void (*drain)(struct http_conn *c);
	/* The last reference to s goes; frees s->codec. */
	void (*forget)(struct http_stream *s);
	bool (*can_upgrade)(const struct http_conn *c);
	bool (*settled)(const struct http_conn *c);
};

extern const struct http_codec http_codec_h1, http_codec_h2;

#define HTTP_WIRE_HIGH (256 * 1024)

/* --- up: from codecs to the gate (conn.c, stream.c) --- */

/* A new exchange (server: delivers on_stream). NULL where the connection ends meanwhile. */
struct http_stream *http_stream_begin(struct http_conn *c, uint32_t id);
/*
 * The head in s->head_in (made by http_head_init on s->arena) is complete. The gate checks what
 * holds for both codecs (http_check_head), sets expect_in, delivers on_head. end: HTTP/2's
 * END_STREAM; HTTP/1 passes false, the gate derives it from the length (s->in is PART_DONE then).
 * Neutral form of tunnels: an upgrade request is GET with head.protocol, and 101 accepts it. HTTP/2
 * maps: :method CONNECT with :protocol comes up as it is and is made GET by the check; a 2xx answer
 * to it goes up as 101, and 101 goes out as :status 200; another 2xx is a refusal. False: the gate
 * refused it (or the user reset the stream); the codec goes no further with this message.
 */
bool http_up_head(struct http_stream *s, bool end);
/* Body bytes; taken from bytes entirely. The gate counts against expect_in: too many or, at end,
 * too few is PROTOCOL / UPSTREAM_PROTOCOL. False as above. */
bool http_up_body(struct http_stream *s, struct buf *bytes, bool end);
bool http_up_trailers(struct http_stream *s, struct http_fields *trailers);
/* n bytes of s->send were encoded (already removed from it). Delivers on_writable, deferred, where
 * the user waits. out_done: our side is complete on the wire. */
void http_up_sent(struct http_stream *s, size_t n, bool out_done);
/* The exchange is over for the codec. on_end is delivered deferred, exactly once. */
void http_up_end(struct http_stream *s, enum reason reason, const char *detail);
/* Peer's fault on this stream: codec->reset (HTTP/1 server: a plain error response where nothing
 * was sent yet), then ends it. */
void http_up_fail(struct http_stream *s, enum reason reason, const char *detail);
/*
 * The connection as a whole is over: its streams end with reason now (deferred), itself once all is
 * flushed (or at once where reset). REASON_OK is the orderly way out. Idempotent; callable from
 * anywhere.
 */
void http_conn_fail(struct http_conn *c, enum reason reason, const char *detail, bool reset);
/* Asks for the flush phase. */
void http_conn_kick(struct http_conn *c);
/* Client: tell the pool that room changed (deferred). */
void http_up_room(struct http_conn *c);
/* Reading: pause while nothing may be taken, resume runs on_bytes again (deferred) with what c->in
 * holds. */
void http_conn_pause_read(struct http_conn *c);
void http_conn_resume_read(struct http_conn *c);
/* HTTP/1 client: no byte of this exchange has left us, so that the peer cannot have processed it.
 */
bool http_stream_unsent(const struct http_stream *s);
/* PROTOCOL or UPSTREAM_PROTOCOL: whose fault malformed input is. */
enum reason http_conn_fault(const struct http_conn *c);

/* --- checks that both codecs share (check.c): 0 or a reason with *detail set --- */

/*
 * A request or response head after the codec filled it in: method, path, authority, fields (names
 * lower-case tokens, values clean), limits, hop-by-hop fields and those named by Connection
 * removed, framing fields taken out, te only "trailers", Host against authority, Upgrade only
 * websocket, CONNECT. Sets authority (from Host), length, protocol, te_trailers, expect_continue,
 * keep_alive. Called by http_up_head.
 */
int http_check_head(struct http_head *head, const struct http_limits *limits, const char **detail);
/* Removes from trailers what may not be there (RFC 9110 6.5.1: framing, routing, authentication,
 * content fields). */
void http_check_trailers(struct http_fields *trailers);

#endif
