/*
 * A simulated network and clients on it that send and collect raw bytes, for tests of servers. The
 * test owns the rig and closes each client.
 */
#ifndef WEFT_TESTS_SUPPORT_RAW_CLIENT_H
#define WEFT_TESTS_SUPPORT_RAW_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/http/conn.h"
#include "lib/net/listen.h"

#define RAW_TURNS 10000
#define RAW_WALL_START (1760000000ull * NS_PER_S) /* Thu, 09 Oct 2025 08:53:20 GMT */

/* What every test needs; made by rig_open, freed by rig_close. */
struct rig {
	struct loop *loop;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct net *net;
	struct http_env env;
};

/* One connection; closed by raw_close. */
struct raw {
	struct rig *rig;
	struct io *io;
	struct buf in, out;
	char *text; /* the last raw_take; owned */
	bool deaf;  /* reads nothing */
	bool eof;
	int err;
};

void rig_open(struct rig *rig, size_t pipe_capacity);
void rig_settle(struct rig *rig);
/* Everything on it has been closed and settled: no byte may be left. */
void rig_close(struct rig *rig);
void raw_want(struct raw *r);
/* from: address of the client. */
void raw_open_from(struct raw *r, struct rig *rig, struct addr from, struct addr to);
struct addr raw_addr(const char *text);
void raw_open(struct raw *r, struct rig *rig, struct addr to);
void raw_send(struct raw *r, const char *text);
/* All that came since the last call, as text that lives until the next call. */
const char *raw_take(struct raw *r);
const char *raw_ask(struct raw *r, const char *text);
void raw_close(struct raw *r);
/* The status of the first response in text, or 0. */
int raw_status(const char *text);
/* Behind the first empty line. */
const char *raw_body(const char *text);
void raw_assert_has(const char *text, const char *piece);

#endif
