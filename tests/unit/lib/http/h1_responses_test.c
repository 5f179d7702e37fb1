/*
 * The table of responses in h1_responses.def against the HTTP/1 client, each whole, byte by byte
 * and cut at random places: how the exchange ends and whether the connection is used again.
 */
#include "tests/unit/lib/http/fixture.h"

#define RANDOM_CUTS 8

struct row {
	const char *what;
	const char *bytes;
	size_t n;
	enum reason reason;
	bool reused, eof;
};

static const struct row rows[] = {
#define ROW(what, bytes, reason, reused, eof) \
	{what, bytes, sizeof(bytes) - 1, REASON_##reason, reused, eof},
#include "tests/unit/lib/http/h1_responses.def"
#undef ROW
};

static bool holds(const struct row *row, const char *how, size_t piece, struct rng *rng)
{
	struct fixture f;

	begin_client(&f);
	struct exchange *x = http_user_request(&f.u, "GET", "/", NULL, 0, true);

	http_world_settle(&f.w);
	wire_send(&f.x, str_make(row->bytes, row->n), piece, rng);
	if (row->eof)
		wire_shutdown(&f.x);
	http_world_settle(&f.w);
	bool reused = f.u.conn != NULL && http_conn_room(f.u.conn) == 1;
	bool ok = x->ended && x->reason == row->reason && reused == row->reused;

	if (!ok)
		print_error("%s (%s): %s, %s\n", row->what, how,
			x->ended ? reason_info((int)x->reason)->name : "not ended",
			reused ? "reused" : "not reused");
	finish(&f);
	return ok;
}

static void test_table(void **state)
{
	struct rng rng;
	unsigned failures = 0;

	(void)state;
	rng_seed(&rng, 2);
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
