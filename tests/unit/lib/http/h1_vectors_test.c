/*
 * The table of requests in h1_vectors.def against the HTTP/1 server, each whole, byte by byte and
 * cut at random places: the answer, and what reached the user, must be the same, and a refusal must
 * close the connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/http_support.h"

#define RANDOM_CUTS 8

struct row {
	const char *what;
	const char *bytes;
	size_t n;
	int status;
	unsigned requests;
};

static const struct row rows[] = {
#define ROW(what, bytes, status, requests) {what, bytes, sizeof(bytes) - 1, status, requests},
#include "tests/unit/lib/http/h1_vectors.def"
#undef ROW
};

/* What came of one row. */
struct verdict {
	int status;
	unsigned requests;
	bool closed;
};

static void count_head(struct exchange *x)
{
	(*(unsigned *)x->user->arg)++;
}

static struct verdict feed(const struct row *row, size_t piece, struct rng *rng)
{
	struct http_world w;
	struct http_user u;
	struct wire x;
	struct io *ends[2];
	struct verdict v = {0};

	http_world_init(&w);
	http_world_pair(&w, ends);
	wire_init(&x, &w, ends[0]);
	http_user_init(&u, &w);
	u.reply = REPLY_AT_END;
	u.reply_body = "ok";
	u.on_head = count_head;
	u.arg = &v.requests;
	http_user_start(&u, ends[1], HTTP_SERVER, HTTP_V1);
	wire_send(&x, str_make(row->bytes, row->n), piece, rng);
	http_world_settle(&w);
	char *got = wire_take(&x);

	if (strlen(got) > 12)
		v.status = atoi(got + 9);
	v.closed = x.eof || x.err != 0;
	free(got);
	wire_fini(&x);
	http_user_fini(&u);
	http_world_fini(&w);
	return v;
}

static bool holds(const struct row *row, const char *how, size_t piece, struct rng *rng)
{
	struct verdict v = feed(row, piece, rng);
	bool ok = v.status == row->status && v.requests == row->requests &&
		(row->status == 200 || v.closed);

	if (!ok)
		print_error("%s (%s): status %d, %u requests, %s\n", row->what, how, v.status,
			v.requests, v.closed ? "closed" : "open");
	return ok;
}

static void test_table(void **state)
{
	struct rng rng;
	unsigned failures = 0;

	(void)state;
	rng_seed(&rng, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		failures += !holds(&rows[i], "whole", 0, NULL);
		failures += !holds(&rows[i], "byte by byte", 1, NULL);
		for (unsigned cut = 0; cut < RANDOM_CUTS; cut++)
			failures += !holds(&rows[i], "random cuts", 24, &rng);
	}
	assert_int_equal(failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
