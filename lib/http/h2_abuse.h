/*
 * Accounting of what an untrusted peer makes us do over HTTP/2: two token buckets, one for streams
 * that are thrown away before they are answered, one for frames that carry nothing. Pure: time
 * comes in as a value; h2_recv.c and h2_send.c report, h2_conn.c acts.
 */
#ifndef WEFT_HTTP_H2_ABUSE_H
#define WEFT_HTTP_H2_ABUSE_H

#include <stdbool.h>
#include <stdint.h>

struct http_limits;

/* Plain state, embedded in struct h2_abuse. */
struct h2_bucket {
	uint64_t tokens, burst, rate; /* rate: tokens per second */
	uint64_t since;               /* nanoseconds up to which tokens were added */
	uint64_t part;                /* of the next token, in token nanoseconds */
};

void h2_bucket_init(struct h2_bucket *b, uint64_t burst, uint64_t rate, uint64_t now);
/* Takes n tokens; false (and takes none) where there are not so many. */
bool h2_bucket_take(struct h2_bucket *b, uint64_t n, uint64_t now);
/* Gives n tokens back, up to the burst. */
void h2_bucket_give(struct h2_bucket *b, uint64_t n);

/* What happened on the connection; the cost or credit of each is a row in h2_abuse.c. */
enum h2_act {
	H2_ACT_REQUEST,    /* a request began */
	H2_ACT_DATA_IN,    /* DATA with something in it, or the end of a stream */
	H2_ACT_DATA_OUT,   /* DATA that we sent: it may be answered by WINDOW_UPDATE, or by a PING
			      that measures the path */
	H2_ACT_SLIVER_OUT, /* DATA that the peer's window cut to next to nothing */
	H2_ACT_EMPTY_DATA, /* DATA without bytes and without END_STREAM */
	H2_ACT_PING,
	H2_ACT_SETTINGS,
	H2_ACT_WINDOW_UPDATE,
	H2_ACT_PRIORITY,
	H2_ACT_CONTINUATION,
	H2_ACT_STRAY,   /* RST_STREAM, and frames of types that we do not know */
	H2_ACT_REFUSED, /* a stream beyond what we allow */
	H2_ACT_COUNT
};

/* Embedded in struct h2. */
struct h2_abuse {
	struct h2_bucket resets, frames;
};

void h2_abuse_init(struct h2_abuse *a, const struct http_limits *limits, uint64_t now);
/*
 * A stream is thrown away before it was answered: by RST_STREAM of the peer (rapid reset,
 * CVE-2023-44487), or by ours that a fault of the peer forced on us (CVE-2025-8671). False: too
 * many.
 */
bool h2_abuse_reset(struct h2_abuse *a, uint64_t now);
/* False: too many frames that carry nothing. */
bool h2_abuse_act(struct h2_abuse *a, enum h2_act act, uint64_t now);

#endif
