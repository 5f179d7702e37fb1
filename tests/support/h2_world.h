/*
 * Two HTTP/2 connections over memory on the simulated loop, with users that record all that they
 * are told and act by a script. Owned by each test; h2_world_close checks that nothing is left.
 */
#ifndef TESTS_SUPPORT_H2_WORLD_H
#define TESTS_SUPPORT_H2_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/arena.h"
#include "lib/http/conn.h"
#include "lib/net/io.h"
#include "lib/net/loop.h"

enum h2_event { H2_ON_HEAD, H2_ON_BODY, H2_ON_TRAILERS, H2_ON_WRITABLE, H2_ON_END };

struct h2_x;
typedef void h2_script_fn(struct h2_x *x, enum h2_event event);

/* One exchange as its user saw it; owned by its side, lives until the world is closed. */
struct h2_x {
	struct list_node node;
	struct h2_side *side;
	struct http_stream *s; /* NULL after on_end */
	struct arena arena;
	struct http_head head; /* the last one, copied */
	struct http_fields trailers;
	h2_script_fn *script;
	unsigned heads, interims, bodies, writables;
	uint16_t interim; /* last 1xx status */
	bool head_end, body_end, has_trailers, ended;
	bool hold;         /* nothing is consumed */
	bool wants_more;   /* feeds until sent == to_send */
	uint64_t got, sum; /* body bytes in: count and checksum */
	uint64_t sent, to_send;
	size_t held;
	enum reason reason;
	char detail[96];
	void *arg;
};

/* One end of the pair. */
struct h2_side {
	struct h2_world *w;
	struct http_conn *c; /* NULL after on_end */
	struct list exchanges;
	unsigned streams, rooms, idles, ends;
	size_t most;          /* streams at once */
	h2_script_fn *script; /* of new exchanges */
	bool hold;
	enum reason reason;
	char detail[96];
};

struct h2_world {
	struct loop *loop;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct http_env env;
	struct http_limits limits;
	size_t pipe; /* bytes that fit into the pipe, each way */
	struct io *io[2];
	struct h2_side client, server;
};

/* For cmocka: *state is a world, open; closed and freed. */
int h2_world_setup(void **state);
int h2_world_teardown(void **state);
#define H2_TEST(fn) cmocka_unit_test_setup_teardown(fn, h2_world_setup, h2_world_teardown)

void h2_world_open(struct h2_world *w);
/* Both connections; trusted or not. */
void h2_world_pair(struct h2_world *w, bool trusted);
/* One connection against io[1] or, client, io[0], whose other end the test plays itself. */
void h2_world_server(struct h2_world *w, bool trusted);
void h2_world_client(struct h2_world *w, bool trusted);
void h2_world_run(struct h2_world *w);
/* Ends what is still there and checks that nothing leaks. */
void h2_world_close(struct h2_world *w);

/* A request with these, length unknown; end: no body. Script NULL: records only. */
struct h2_x *h2_request(struct h2_world *w, const char *method, const char *path, bool end);
struct h2_x *h2_open(struct h2_side *side, const struct http_head *head, bool end,
	h2_script_fn *script);
/* n-th exchange of a side in order of opening, from 0. */
struct h2_x *h2_nth(struct h2_side *side, unsigned n);
/* A plain head on the arena of x. */
struct http_head h2_request_head(struct arena *a, const char *method, const char *path);
void h2_respond(struct h2_x *x, uint16_t status, bool end);
/* Sends n bytes of the test pattern, as fast as there is room; then ends. */
void h2_pour(struct h2_x *x, uint64_t n);
void h2_send_text(struct h2_x *x, const char *text, bool end);
/* What a body of n pattern bytes sums up to. */
uint64_t h2_pattern_sum(uint64_t n);
void h2_release_held(struct h2_x *x);
const char *h2_field(const struct http_fields *f, const char *name);

/* Scripts for servers: 200 without body when the request is whole; the request's body back. */
void h2_serve_ok(struct h2_x *x, enum h2_event event);
void h2_serve_echo(struct h2_x *x, enum h2_event event);

#endif
