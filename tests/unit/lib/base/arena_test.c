/*
 * Arena: alignment, growth, requests over a block, and blocks that come back so that a warm owner
 * allocates nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <malloc.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/arena.h"
#include "lib/base/rand.h"

static void test_alignment_and_growth(void **state)
{
	struct arena_pool *pool = arena_pool_new(8);
	struct arena a;
	uint8_t *last = NULL;

	(void)state;
	arena_init(&a, pool);
	for (size_t i = 0; i < 2000; i++) {
		uint8_t *p = arena_alloc(&a, i % 40);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_ptr_not_equal(p, last);
		memset(p, (int)i, i % 40);
		last = p;
	}
	assert_true(a.total >= 2000 * 16);
	arena_clear(&a);
	assert_int_equal(a.total, 0);
	arena_pool_free(&pool);
	assert_null(pool);
}

static void test_large_requests_keep_the_block(void **state)
{
	struct arena_pool *pool = arena_pool_new(8);
	struct arena a;

	(void)state;
	arena_init(&a, pool);
	memset(arena_alloc(&a, 3 * ARENA_BLOCK), 1, 3 * ARENA_BLOCK);
	char *first = arena_alloc(&a, 16);
	memset(arena_alloc(&a, 100000), 2, 100000);
	char *second = arena_alloc(&a, 16);
	assert_ptr_equal(second, first + 16);
	arena_clear(&a);
	arena_pool_free(&pool);
}

static void test_text(void **state)
{
	struct arena a;
	char big[2 * ARENA_BLOCK];

	(void)state;
	arena_init(&a, NULL);
	assert_string_equal(arena_strdup(&a, STR("hello")), "hello");
	assert_string_equal(arena_strdup(&a, STR_NULL), "");
	struct str s = arena_printf(&a, "%d-%s", 7, "x");
	assert_true(str_eq(s, STR("7-x")));
	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	s = arena_printf(&a, "%s", big);
	assert_int_equal(s.n, sizeof(big) - 1);
	assert_string_equal(s.p, big);
	s = arena_str(&a, STR("a\0b"));
	assert_int_equal(s.n, 3);
	int *zeros = arena_zalloc(&a, 100 * sizeof(int));
	for (int i = 0; i < 100; i++)
		assert_int_equal(zeros[i], 0);
	arena_clear(&a);
}

static void use(struct arena_pool *pool, struct rng *rng)
{
	struct arena a;

	arena_init(&a, pool);
	for (int i = 0; i < 100; i++)
		memset(arena_alloc(&a, rng_below(rng, 300)), i, 1);
	arena_clear(&a);
}

static void test_warm_pool_calls_no_malloc(void **state)
{
	struct arena_pool *pool = arena_pool_new(64);
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	use(pool, &rng);
	/* the same work again: what is in use before and after counts every block once */
	struct mallinfo2 before = mallinfo2();
	for (int i = 0; i < 50; i++) {
		rng_seed(&rng, 1);
		use(pool, &rng);
	}
	struct mallinfo2 after = mallinfo2();
	assert_int_equal(before.uordblks, after.uordblks);
	assert_int_equal(before.arena, after.arena);
	arena_pool_free(&pool);
}

static void test_trim_frees_what_is_idle(void **state)
{
	struct arena_pool *pool = arena_pool_new(64);
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	struct mallinfo2 before = mallinfo2();
	use(pool, &rng);
	arena_pool_trim(pool);
	mem_release();
	assert_int_equal(mallinfo2().uordblks, before.uordblks);
	use(pool, &rng);
	arena_pool_free(&pool);
}

static void test_pool_gives_back_the_same_block(void **state)
{
	struct arena_pool *pool = arena_pool_new(1);
	struct arena a, b;

	(void)state;
	arena_init(&a, pool);
	arena_init(&b, pool);
	void *p = arena_alloc(&a, 10), *q = arena_alloc(&b, 10);
	assert_ptr_not_equal(p, q);
	arena_clear(&a);
	arena_clear(&b); /* over the idle bound: freed */
	assert_ptr_equal(arena_alloc(&a, 10), p);
	arena_clear(&a);
	arena_pool_free(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment_and_growth),
		cmocka_unit_test(test_large_requests_keep_the_block),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_warm_pool_calls_no_malloc),
		cmocka_unit_test(test_trim_frees_what_is_idle),
		cmocka_unit_test(test_pool_gives_back_the_same_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
