/*
 * For tests of HTTP: a world (simulated loop, pools), a wire (the far end of a connection in
 * memory, as raw bytes) and a user of the waist that does what it is told and writes down what it
 * hears. Works over either codec; asserts by itself where a rule of the waist is broken.
 */
#ifndef TESTS_SUPPORT_HTTP_SUPPORT_H
#define TESTS_SUPPORT_HTTP_SUPPORT_H

#include "lib/base/rand.h"
#include "lib/http/conn.h"
#include "lib/net/io.h"
#include "lib/net/loop.h"

/* Owned by the test; owns loop and pools. */
struct http_world {
	struct loop *loop;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct http_env env;
	struct http_limits limits;
	size_t capacity; /* of connections in memory, each way */
};

void http_world_init(struct http_world *w);
/* Everything made in it must be over: bytes that are still held are a leak, and abort. */
void http_world_fini(struct http_world *w);
void http_world_pair(struct http_world *w, struct io *ends[2]);
/* Runs until nothing is due; a livelock aborts. */
void http_world_settle(struct http_world *w);

/* --- the far end, as bytes --- */

/* Owned by the test; owns its end of the pair. */
struct wire {
	struct http_world *w;
	struct io *io;
	struct buf got; /* what came, not yet taken by the test */
	uint64_t total; /* bytes that came in all */
	uint64_t sum;   /* of all of them, in order */
	bool deaf;      /* reads nothing */
	bool discard;   /* counts, keeps nothing */
	bool eof;
	int err;
};

void wire_init(struct wire *x, struct http_world *w, struct io *io);
void wire_fini(struct wire *x);
void wire_listen(struct wire *x, bool on);
/* Sends all of text, settling in between. piece: bytes at a time; 0: at once. rng not
 * NULL: 1..piece at a time. */
void wire_send(struct wire *x, struct str text, size_t piece, struct rng *rng);
/* At once, as much as the far end has room for; returns how much. Does not settle. */
size_t wire_push(struct wire *x, struct str text);
void wire_shutdown(struct wire *x);
void wire_close(struct wire *x, bool reset);
/* What came since the last call, as a string with NUL; the caller frees it. */
char *wire_take(struct wire *x);

/* --- the user --- */

struct http_user;

/* One exchange as its user saw it; owned by the user, lives until its fini. */
struct exchange {
	struct http_user *user;
	struct http_stream *stream; /* NULL after on_end */
	unsigned number;            /* 1.. in order of appearance */
	struct str method;
	uint16_t status; /* of the last head */
	unsigned interims;
	struct http_head *head;
	char body[256]; /* the beginning of what came since the last line about it */
	uint64_t body_bytes, body_sum;
	uint64_t held;   /* bytes not consumed */
	uint64_t source; /* bytes that a source still has to send */
	uint64_t sent_sum;
	unsigned char tone; /* of the source's bytes */
	bool in_done, writable_due, ended;
	enum reason reason;
	void *arg; /* the test's own */
};

enum http_reply { REPLY_NONE, REPLY_AT_HEAD, REPLY_AT_END };

/*
 * Owned by the test. What it does is set before events come; what it hears is in log, one line per
 * event, bodies summed up so that the text does not depend on how bytes were cut.
 */
struct http_user {
	struct http_world *w;
	struct http_conn *conn; /* NULL after on_end */
	enum http_reply reply;
	uint16_t reply_status;
	const char *reply_body;    /* NULL: no body */
	bool reply_chunked;        /* length unknown */
	const char *reply_trailer; /* value of x-trailer; with reply_chunked */
	uint64_t reply_source;     /* instead of reply_body: so many bytes, as room comes */
	bool hold;                 /* does not consume */
	bool stop;                 /* stops the peer's body at the head */
	bool echo;                 /* tunnels and bodies: sends back what comes */
	/* Called after the event was written down, before any reply; may be NULL. */
	void (*on_head)(struct exchange *x);
	void (*on_body)(struct exchange *x);
	void (*on_end)(struct exchange *x);
	struct exchange *x[256];
	unsigned n;
	char *log;
	size_t log_n, log_cap;
	unsigned rooms, idles;
	bool ended;
	enum reason reason;
	void *arg; /* the test's own */
};

/* Zeroes it; set what it shall do afterwards. */
void http_user_init(struct http_user *u, struct http_world *w);
/* Adopts io. */
void http_user_start(struct http_user *u, struct io *io, enum http_role role,
	enum http_version version);
/* Ends the connection where it still runs, settles, frees. */
void http_user_fini(struct http_user *u);
/* Client: a new exchange with that head; fields is "name: value\n..." or NULL. NULL where there is
 * no room. */
struct exchange *http_user_request(struct http_user *u, const char *method, const char *path,
	const char *fields, uint64_t length, bool end);
/* Client: the same with a head of the caller's. */
struct exchange *http_user_open(struct http_user *u, const struct http_head *head, bool end);
ssize_t exchange_send(struct exchange *x, struct str text, bool end);
/* Starts a source of n bytes; more follows with on_writable; ends the side. */
void exchange_source(struct exchange *x, uint64_t n);
void exchange_reply(struct exchange *x, uint16_t status, const char *fields, const char *body);
void exchange_interim(struct exchange *x, uint16_t status);
/* Consumes what is held. */
void exchange_consume(struct exchange *x);
/* Adds the fields of "name: value\n..." */
void http_support_fields(struct http_fields *f, const char *text);
/* What was written down since the last call; valid until the next event. */
const char *http_user_log(struct http_user *u);
/* Order-sensitive sum, to compare long bodies. */
uint64_t http_support_sum(uint64_t sum, const void *p, size_t n);

#endif
