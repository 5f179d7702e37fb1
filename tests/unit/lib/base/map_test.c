/*
 * Map: replace and remove, walking in order of insertion also while entries go, churn against a
 * plain array, and the seed's effect.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "lib/base/map.h"
#include "lib/base/rand.h"

static void test_put_get_remove(void **state)
{
	struct map *m = map_new(7);
	int one, two;

	(void)state;
	assert_null(map_get(m, STR("a")));
	assert_null(map_put(m, STR("a"), &one));
	assert_ptr_equal(map_get(m, STR("a")), &one);
	assert_ptr_equal(map_put(m, STR("a"), &two), &one);
	assert_int_equal(map_count(m), 1);
	assert_null(map_put(m, STR(""), &one));
	assert_null(map_put(m, STR("a\0b"), &one));
	assert_ptr_equal(map_get(m, STR_NULL), &one);
	assert_null(map_get(m, STR("a\0c")));
	assert_int_equal(map_count(m), 3);
	assert_ptr_equal(map_remove(m, STR("a")), &two);
	assert_null(map_remove(m, STR("a")));
	assert_int_equal(map_count(m), 2);
	map_free(&m);
	assert_null(m);
	map_free(&m);
}

static void test_key_is_copied(void **state)
{
	struct map *m = map_new(7);
	char key[4] = "key";
	int value;

	(void)state;
	map_put(m, str_make(key, 3), &value);
	key[0] = 'x';
	assert_ptr_equal(map_get(m, STR("key")), &value);
	map_free(&m);
}

static void put_numbers(struct map *m, int *values, int from, int to)
{
	for (int i = from; i < to; i++) {
		char key[16];
		int n = snprintf(key, sizeof(key), "k%d", i);
		map_put(m, str_make(key, (size_t)n), &values[i]);
	}
}

static void test_walk_in_order(void **state)
{
	struct map *m = map_new(1);
	int values[1000];
	struct map_entry *cursor = NULL;
	void *value;
	int i = 0;

	(void)state;
	put_numbers(m, values, 0, 1000);
	while (map_next(m, &cursor, NULL, &value))
		assert_ptr_equal(value, &values[i++]);
	assert_int_equal(i, 1000);
	assert_false(map_next(m, &cursor, NULL, &value)); /* the end stays the end */
	map_free(&m);
}

static void test_walk_and_remove(void **state)
{
	struct map *m = map_new(1);
	int values[1000], seen = 0;
	struct map_entry *cursor = NULL;
	struct str key;
	void *value;

	(void)state;
	put_numbers(m, values, 0, 1000);
	while (map_next(m, &cursor, &key, &value)) {
		assert_ptr_equal(value, &values[seen++]);
		char copy[16];
		int n = snprintf(copy, sizeof(copy), "%.*s", STR_ARG(key));
		assert_ptr_equal(map_remove(m, str_make(copy, (size_t)n)), value);
	}
	assert_int_equal(seen, 1000);
	assert_int_equal(map_count(m), 0);
	cursor = NULL;
	assert_false(map_next(m, &cursor, NULL, NULL));
	map_free(&m);
}

static void test_walk_of_the_empty(void **state)
{
	struct map *m = map_new(1);
	struct map_entry *cursor = NULL;

	(void)state;
	assert_false(map_next(m, &cursor, NULL, NULL));
	map_free(&m);
}

/* Keys 0..KEYS-1 come and go at random; the model knows which are there. */
static void test_churn(void **state)
{
	enum { KEYS = 3000, STEPS = 200000 };
	static int values[KEYS];
	void *model[KEYS] = {NULL};
	struct map *m = map_new(99);
	struct rng rng;
	size_t count = 0;

	(void)state;
	rng_seed(&rng, 5);
	for (int i = 0; i < STEPS; i++) {
		/* tides: mostly growing, then mostly shrinking */
		uint64_t grow = i / 20000 % 2 == 0 ? 7 : 2, k = rng_below(&rng, KEYS);
		struct str key = str_make(&k, sizeof(k));
		void *old;
		if (rng_below(&rng, 10) < grow) {
			void *value = &values[rng_below(&rng, KEYS)];
			old = map_put(m, key, value);
			assert_ptr_equal(old, model[k]);
			count += model[k] == NULL;
			model[k] = value;
		} else {
			old = map_remove(m, key);
			assert_ptr_equal(old, model[k]);
			count -= model[k] != NULL;
			model[k] = NULL;
		}
		assert_int_equal(map_count(m), count);
	}
	for (uint64_t k = 0; k < KEYS; k++)
		assert_ptr_equal(map_get(m, str_make(&k, sizeof(k))), model[k]);
	map_free(&m);
}

static void test_seed_changes_hashes(void **state)
{
	(void)state;
	assert_true(hash_bytes("abc", 3, 1) == hash_bytes("abc", 3, 1));
	assert_true(hash_bytes("abc", 3, 1) != hash_bytes("abc", 3, 2));
	assert_true(hash_bytes("abc", 3, 1) != hash_bytes("abd", 3, 1));
	assert_true(hash_bytes(NULL, 0, 1) == hash_bytes("", 0, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get_remove),
		cmocka_unit_test(test_key_is_copied),
		cmocka_unit_test(test_walk_in_order),
		cmocka_unit_test(test_walk_and_remove),
		cmocka_unit_test(test_walk_of_the_empty),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_seed_changes_hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
