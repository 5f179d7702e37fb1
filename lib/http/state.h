/*
 * What a connection and a stream are made of: shared by the gate (conn*.c, stream*.c) and the
 * codecs (h1_*.c, h2_*.c) through codec.h, and by nobody else. Who owns what is said at each
 * struct.
 */
#ifndef WEFT_HTTP_STATE_H
#define WEFT_HTTP_STATE_H

#include "lib/base/list.h"
#include "lib/http/conn.h"

#define HTTP_CONN_MAGIC 0x68636f6eu
#define HTTP_STREAM_MAGIC 0x68737472u

/* One exchange. Owned by its connection; freed at the end of the turn in which on_end was
 * delivered. */
struct http_stream {
	struct obj_head obj;
	struct list_node node; /* on conn->streams */
	struct http_conn *conn;
	struct arena arena;
	uint32_t id;
	const struct http_stream_events *ev;
	void *arg;
	void *codec; /* the codec's own state for this exchange */
	enum http_part in, out;
	struct http_head head_in;
	struct str method; /* of the request, copied: decides about bodies of responses */
	uint64_t bytes_in, bytes_out;
	uint64_t expect_in; /* declared length of the incoming body, or HTTP_LENGTH_UNKNOWN */
	uint64_t expect_out;
	size_t unconsumed;   /* body bytes delivered and not yet consumed */
	struct buf send;     /* body bytes that the codec has not encoded yet */
	uint64_t wire_mark;  /* conn->written when our head was queued */
	uint64_t queued_out; /* body bytes that the user gave us so far */
	struct str protocol; /* of the request: an upgrade or extended CONNECT was asked for */
	bool send_end;       /* our side is complete after send */
	bool wants_room;     /* the user waits for on_writable */
	bool out_void; /* our response has no body by definition: what the user sends is dropped */
	bool stopped;  /* stream_stop was called */
	bool tunnel;   /* bodies are raw bytes */
	bool ended;    /* on_end is due or done */
	bool reset_in; /* the peer reset it, with reset_code */
	uint32_t reset_code;
	enum reason reason;
	struct str detail;
	struct http_stream_times times;
	struct loop_timer idle;
	struct loop_task end_task, room_task;
};

/* Only moves forward. on_bytes is called in OPEN alone, flush in OPEN and FLUSHING. */
enum http_conn_state {
	HTTP_CONN_OPEN,
	HTTP_CONN_FLUSHING,  /* over; what is left to say is written */
	HTTP_CONN_LINGERING, /* server: FIN is sent; what still comes is dropped, lest RST eat our
				words */
	HTTP_CONN_ENDED      /* on_end is due or done */
};

/* Owned by its maker until on_end; owns io, streams, codec state. */
struct http_conn {
	struct obj_head obj;
	struct http_env env;
	struct io *io;
	enum http_role role;
	const struct http_codec *codec;
	void *codec_state;
	struct http_limits limits;
	const struct http_conn_events *ev;
	void *arg;
	struct list streams;
	size_t n_streams;
	struct buf in, out;
	uint64_t written; /* bytes that the io took */
	enum http_conn_state state;
	bool trusted, draining, eof, read_paused, reset_on_close;
	bool fin_when_flushed; /* set by the codec: FIN after c->out, reading goes on */
	bool fin_sent, write_blocked, write_failed;
	unsigned wanted;  /* io interest that is set */
	size_t read_size; /* of the next read */
	enum reason reason;
	const char *detail;
	struct loop_task flush_task, read_task, room_task, end_task;
	struct loop_timer idle_timer, flush_timer, header_timer;
};

#endif
