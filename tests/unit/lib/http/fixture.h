/*
 * What the tests of lib/http share: cmocka's headers, one connection with a scripted user on our
 * side and a wire on the other, and comparisons of what either saw. Owned by each test.
 */
#ifndef TESTS_UNIT_LIB_HTTP_FIXTURE_H
#define TESTS_UNIT_LIB_HTTP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/http_support.h"

/* Owned by the test function, by way of begin and finish. */
struct fixture {
	struct http_world w;
	struct http_user u;
	struct wire x;
};

/* Sets up the world; limits may be changed before connect. */
static inline void begin(struct fixture *f)
{
	http_world_init(&f->w);
	http_user_init(&f->u, &f->w);
}

static inline void connect_as(struct fixture *f, enum http_role role)
{
	struct io *ends[2];

	http_world_pair(&f->w, ends);
	wire_init(&f->x, &f->w, ends[0]);
	http_user_start(&f->u, ends[1], role, HTTP_V1);
	http_world_settle(&f->w);
}

static inline void finish(struct fixture *f)
{
	wire_fini(&f->x);
	http_user_fini(&f->u);
	http_world_fini(&f->w);
}

/* A server that answers every request at its end with "ok", unless the test changes that before. */
static inline void begin_server(struct fixture *f)
{
	begin(f);
	f->u.reply = REPLY_AT_END;
	f->u.reply_body = "ok";
	connect_as(f, HTTP_SERVER);
}

static inline void begin_client(struct fixture *f)
{
	begin(f);
	connect_as(f, HTTP_CLIENT);
}

static inline void send_text(struct fixture *f, const char *text)
{
	wire_send(&f->x, str_from(text), 0, NULL);
}

/* What the far end got since the last call is exactly text. */
static inline void expect_wire(struct fixture *f, const char *text)
{
	http_world_settle(&f->w);
	char *got = wire_take(&f->x);

	assert_string_equal(got, text);
	free(got);
}

static inline void expect_wire_begins(struct fixture *f, const char *text)
{
	http_world_settle(&f->w);
	char *got = wire_take(&f->x);

	if (strncmp(got, text, strlen(text)) != 0)
		assert_string_equal(got, text);
	free(got);
}

/* What the user heard since the last call is exactly text. */
static inline void expect_log(struct fixture *f, const char *text)
{
	http_world_settle(&f->w);
	assert_string_equal(http_user_log(&f->u), text);
}

static inline void expect_open(struct fixture *f)
{
	http_world_settle(&f->w);
	assert_false(f->x.eof);
	assert_int_equal(f->x.err, 0);
	assert_false(f->u.ended);
}

/* The far end saw an orderly end. */
static inline void expect_fin(struct fixture *f)
{
	http_world_settle(&f->w);
	assert_true(f->x.eof);
	assert_int_equal(f->x.err, 0);
}

static inline void expect_reset(struct fixture *f)
{
	http_world_settle(&f->w);
	assert_int_equal(f->x.err, ERR_RESET);
}

/* A run of n bytes of c, NUL-terminated; the caller frees it. */
static inline char *run_of(char c, size_t n)
{
	char *p = malloc(n + 1);

	memset(p, c, n);
	p[n] = '\0';
	return p;
}

#endif
