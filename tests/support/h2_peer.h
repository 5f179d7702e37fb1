/*
 * An HTTP/2 peer that the test plays itself, frame by frame, so that it can say what no library
 * would. Owned by the test; owns its end of the pipe and what it has received.
 */
#ifndef TESTS_SUPPORT_H2_PEER_H
#define TESTS_SUPPORT_H2_PEER_H

#include <nghttp2/nghttp2.h>

#include "tests/support/h2_world.h"

/* A frame that came. */
struct h2_got {
	uint32_t length;
	uint8_t type, flags;
	int32_t id;
	uint32_t code;   /* of RST_STREAM and GOAWAY; increment of WINDOW_UPDATE */
	int32_t last;    /* of GOAWAY */
	uint16_t status; /* of HEADERS */
	int grpc_status; /* of HEADERS; -1: none */
	uint8_t head[8]; /* first bytes of the payload */
};

struct h2_peer {
	struct h2_world *w;
	struct io *io;
	struct buf in, out;
	nghttp2_hd_inflater *inflater;
	struct h2_got *got;
	size_t n_got, cap_got;
	uint64_t data_bytes; /* of all DATA */
	bool deaf;           /* reads nothing */
	bool closed;         /* the other end closed or reset */
	unsigned split;      /* not 0: writes pieces of at most so many bytes */
	struct rng rng;
};

/* Takes w->io[0] (playing the client) or w->io[1] (playing the server) and sends its preface. */
void h2_peer_client(struct h2_peer *p, struct h2_world *w);
/* As the first, but it acknowledges no SETTINGS. */
void h2_peer_client_mute(struct h2_peer *p, struct h2_world *w);
/* Takes its end and sends nothing yet. */
void h2_peer_bare(struct h2_peer *p, struct h2_world *w, unsigned end);
void h2_peer_server(struct h2_peer *p, struct h2_world *w);
void h2_peer_close(struct h2_peer *p);

/* Queue. */
void h2_put_raw(struct h2_peer *p, const void *bytes, size_t n);
void h2_put(struct h2_peer *p, uint8_t type, uint8_t flags, int32_t id, const void *payload,
	size_t n);
void h2_put_u32(struct h2_peer *p, uint8_t type, int32_t id, uint32_t value);
void h2_put_settings(struct h2_peer *p, uint16_t id, uint32_t value);
/* fields: name, value, ... ended by NULL; literals, never indexed nor compressed. */
void h2_put_headers(struct h2_peer *p, uint8_t flags, int32_t id, const char *const *fields);
/* A request that is whole (END_STREAM) or begins a body. */
void h2_put_get(struct h2_peer *p, int32_t id);
void h2_put_post(struct h2_peer *p, int32_t id);
/* A response head, ":status: 200". */
void h2_put_ok(struct h2_peer *p, uint8_t flags, int32_t id);

/* Writes what is queued, reads what comes, until nothing moves. */
void h2_peer_run(struct h2_peer *p);
/* Frames of that type on that stream (id -1: any) that came so far. */
size_t h2_seen(const struct h2_peer *p, uint8_t type, int32_t id);
/* The last one, or NULL. */
const struct h2_got *h2_last(const struct h2_peer *p, uint8_t type, int32_t id);
/* Status of the last HEADERS on that stream, 0: none. */
unsigned h2_status(const struct h2_peer *p, int32_t id);

#endif
