/*
 * How long an HTTP connection may take requests, by the leaves of both ends: always less than
 * either lives, never so short that connections chase each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sidecar/upstream/connect.h"

#define NOW 1800000000ll

/* A layer that knows nothing but two dates. */
struct dated {
	struct io io;
	int64_t own, peer;
};

static void dated_info(const struct io *io, struct io_info *info)
{
	const struct dated *d = CONTAINER_OF(io, struct dated, io);
	info->own_not_after = d->own;
	info->peer_not_after = d->peer;
}

static void test_margins(void **state)
{
	static const struct {
		int64_t own, peer; /* seconds from now; 0: no leaf */
		uint64_t expect_ms;
	} rows[] = {
		{86400, 86400, 86340000}, /* a day: a minute before */
		{86400, 3600, 3540000},   /* the first of both counts */
		{3600, 0, 3540000},
		{0, 3600, 3540000},
		{150, 150, 90000},
		{120, 120, 60000},
		{100, 100, 50000}, /* half of what is left, where a minute is more */
		{10, 10, 5000},
		{10, 3, 1500},
		{2, 10, 1000},
		{1, 10, 1000}, /* what was just made lives so long at least */
		{-5, 10, 1000},
	};
	static const struct io_ops ops = {.name = "dated", .info = dated_info};
	struct loop *loop = loop_new_sim((uint64_t)NOW * NS_PER_S);
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dated d = {.io = {.obj = {IO_MAGIC}, .ops = &ops, .loop = loop},
			.own = rows[i].own != 0 ? NOW + rows[i].own : 0,
			.peer = rows[i].peer != 0 ? NOW + rows[i].peer : 0};
		uint64_t ns;
		assert_true(upstream_retire_in(&d.io, &ns));
		if (ns != rows[i].expect_ms * NS_PER_MS)
			fail_msg("row %zu: %llu ms", i, (unsigned long long)(ns / NS_PER_MS));
	}
	struct dated none = {.io = {.obj = {IO_MAGIC}, .ops = &ops, .loop = loop}};
	uint64_t ns;
	assert_false(upstream_retire_in(&none.io, &ns));
	loop_free(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_margins),
	};
	return cmocka_run_group_tests_name("retirement", tests, NULL, NULL);
}
