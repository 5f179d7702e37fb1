/*
 * Buf: named cases for each rule of the contract. The comparison of random operations with a flat
 * model is in buf_model_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"

/* Two bufs on one pool; made and freed around each test. */
struct fixture {
	struct buf_pool *pool;
	struct buf a, b;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->pool = buf_pool_new(1 << 20);
	buf_init(&f->a, f->pool);
	buf_init(&f->b, f->pool);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	buf_clear(&f->a);
	buf_clear(&f->b);
	assert_int_equal(buf_pool_used(f->pool), 0);
	buf_pool_free(&f->pool);
	assert_null(f->pool);
	free(f);
	return 0;
}

static void test_empty_holds_nothing(void **state)
{
	struct fixture *f = *state;
	size_t room;

	assert_int_equal(buf_pool_used(f->pool), 0);
	assert_int_equal(buf_peek(&f->a).n, 0);
	assert_int_equal(buf_find(&f->a, 0, 'x'), -1);
	assert_true(buf_eq(&f->a, STR("")));
	assert_non_null(buf_reserve(&f->a, 10, &room));
	assert_true(buf_pool_used(f->pool) > 0);
	buf_commit(&f->a, 0);
	assert_int_equal(buf_pool_used(f->pool), 0);
	buf_append(&f->a, "hello", 5);
	buf_consume(&f->a, 5);
	assert_int_equal(buf_pool_used(f->pool), 0);
}

static void test_reserve_room(void **state)
{
	struct fixture *f = *state;
	size_t room;

	memset(buf_reserve(&f->a, 1, &room), 'x', 3);
	assert_int_equal(room, BUF_SMALL);
	buf_commit(&f->a, 3);
	uint8_t *at = buf_reserve(&f->a, 100, &room);
	assert_int_equal(room, BUF_SMALL - 3);
	assert_ptr_equal(at, buf_peek(&f->a).p + 3);
	at = buf_reserve(&f->a, BUF_LARGE, &room);
	assert_int_equal(room, BUF_LARGE);
	memset(at, 'y', room);
	buf_commit(&f->a, room);
	assert_int_equal(buf_len(&f->a), BUF_LARGE + 3);
	assert_int_equal(buf_find(&f->a, 0, 'y'), 3);
}

static void test_reserve_replaced_by_larger(void **state)
{
	struct fixture *f = *state;
	size_t room;

	buf_reserve(&f->a, 1, &room);
	buf_reserve(&f->a, BUF_SMALL + 1, &room);
	assert_true(room >= BUF_SMALL + 1);
	buf_commit(&f->a, 0);
	assert_int_equal(buf_pool_used(f->pool), 0);
}

static void test_shared_room_is_never_overwritten(void **state)
{
	struct fixture *f = *state;

	buf_append(&f->a, "abc", 3);
	buf_share(&f->b, &f->a, 0, 3);
	buf_append(&f->a, "AAA", 3);
	buf_append(&f->b, "BBB", 3);
	assert_true(buf_eq(&f->a, STR("abcAAA")));
	assert_true(buf_eq(&f->b, STR("abcBBB")));
	/* the writer goes on in place, the other owner has to take a chunk */
	assert_int_equal(buf_peek(&f->a).n, 6);
	assert_int_equal(buf_peek(&f->b).n, 3);
}

static void test_truncated_writer_keeps_shared_bytes(void **state)
{
	struct fixture *f = *state;

	buf_append(&f->a, "abcdef", 6);
	buf_share(&f->b, &f->a, 0, 6);
	buf_truncate(&f->a, 3);
	buf_append(&f->a, "XYZ", 3);
	assert_true(buf_eq(&f->a, STR("abcXYZ")));
	assert_true(buf_eq(&f->b, STR("abcdef")));
}

static void test_share_between_reserve_and_commit(void **state)
{
	struct fixture *f = *state;
	size_t room;

	buf_append(&f->a, "abc", 3);
	uint8_t *at = buf_reserve(&f->a, 8, &room);
	buf_share(&f->b, &f->a, 0, 3);
	buf_append(&f->b, "other", 5);
	memcpy(at, "own", 3);
	buf_commit(&f->a, 3);
	assert_true(buf_eq(&f->a, STR("abcown")));
	assert_true(buf_eq(&f->b, STR("abcother")));
}

static void test_sole_owner_left_may_write_again(void **state)
{
	struct fixture *f = *state;

	buf_append(&f->a, "abc", 3);
	buf_share(&f->b, &f->a, 0, 3);
	buf_clear(&f->a);
	size_t used = buf_pool_used(f->pool);
	buf_append(&f->b, "def", 3);
	assert_int_equal(buf_pool_used(f->pool), used);
	assert_true(buf_eq(&f->b, STR("abcdef")));
}

static void test_move_copies_nothing(void **state)
{
	struct fixture *f = *state;

	buf_append(&f->a, "header body", 11);
	const char *p = buf_peek(&f->a).p;
	buf_move(&f->b, &f->a, 7);
	assert_ptr_equal(buf_peek(&f->b).p, p);
	assert_ptr_equal(buf_peek(&f->a).p, p + 7);
	assert_true(buf_eq(&f->b, STR("header ")));
	assert_true(buf_eq(&f->a, STR("body")));
	/* neighbours grow together again */
	buf_move_all(&f->b, &f->a);
	assert_int_equal(buf_peek(&f->b).n, 11);
	assert_int_equal(buf_len(&f->a), 0);
}

/* One byte at a time, each in a chunk of its own: the queue holds as many chunks as it has bytes
 * for, not one for each. */
static void test_queue_of_small_pieces_is_packed(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 10000; i++) {
		char c = (char)('a' + i % 26);
		buf_append(&f->a, &c, 1);
		buf_move_all(&f->b, &f->a);
	}
	assert_int_equal(buf_len(&f->b), 10000);
	assert_true(buf_pool_used(f->pool) < 10000 + 3 * 4096);
	assert_int_equal(buf_peek(&f->b).p[27], 'b');
	assert_int_equal(buf_find(&f->b, 9990, 'o'), 9998);
}

static void test_prepend(void **state)
{
	struct fixture *f = *state;
	char head[BUF_HEADROOM];

	memset(head, 'h', sizeof(head));
	buf_prepend(&f->a, "x", 1);
	assert_true(buf_eq(&f->a, STR("x")));
	buf_clear(&f->a);
	buf_append(&f->a, "body", 4);
	size_t used = buf_pool_used(f->pool);
	buf_prepend(&f->a, head, sizeof(head));
	assert_int_equal(buf_pool_used(f->pool), used);
	assert_int_equal(buf_peek(&f->a).n, BUF_HEADROOM + 4);
	buf_prepend(&f->a, "z", 1);
	assert_true(buf_pool_used(f->pool) > used);
	assert_int_equal(buf_find(&f->a, 0, 'b'), BUF_HEADROOM + 1);
}

static void test_prepend_leaves_shared_alone(void **state)
{
	struct fixture *f = *state;

	buf_append(&f->a, "0123456789", 10);
	buf_share(&f->b, &f->a, 5, 5);
	buf_prepend(&f->b, "xx", 2);
	assert_true(buf_eq(&f->a, STR("0123456789")));
	assert_true(buf_eq(&f->b, STR("xx56789")));
}

static void test_pullup(void **state)
{
	struct fixture *f = *state;

	assert_null(buf_pullup(&f->a, 1));
	for (int i = 0; i < 5; i++) {
		buf_append(&f->b, "0123456789", 10);
		buf_share(&f->a, &f->b, (size_t)i, 10 - (size_t)i);
		buf_clear(&f->b);
	}
	assert_null(buf_pullup(&f->a, 41));
	const uint8_t *p = buf_pullup(&f->a, 40);
	assert_memory_equal(p, "0123456789123456789234567893456789456789", 40);
	assert_int_equal(buf_len(&f->a), 40);
	assert_int_equal(buf_peek(&f->a).n, 40);
	assert_ptr_equal(buf_pullup(&f->a, 7), p);
}

static void test_iov(void **state)
{
	struct fixture *f = *state;
	struct iovec iov[8];

	buf_append(&f->a, "12345678", 8);
	int n = buf_reserve_iov(&f->a, 40000, iov, 8);
	assert_true(n >= 3);
	size_t total = 0;
	for (int i = 0; i < n; i++) {
		memset(iov[i].iov_base, 'a' + i, iov[i].iov_len);
		total += iov[i].iov_len;
	}
	assert_true(total >= 40000);
	buf_commit_iov(&f->a, iov[0].iov_len + 1);
	assert_int_equal(buf_len(&f->a), 8 + iov[0].iov_len + 1);
	assert_int_equal(buf_find(&f->a, 0, 'b'), (ptrdiff_t)(8 + iov[0].iov_len));
	n = buf_iov(&f->a, 10, iov, 8);
	assert_int_equal(n, 1);
	assert_int_equal(iov[0].iov_len, 10);
	assert_memory_equal(iov[0].iov_base, "12345678aa", 10);
	assert_int_equal(buf_iov(&f->a, SIZE_MAX, iov, 8), 2);
}

static void test_iov_nothing_came(void **state)
{
	struct fixture *f = *state;
	struct iovec iov[4];
	size_t room;

	assert_int_equal(buf_reserve_iov(&f->a, 50000, iov, 2), 2);
	buf_commit_iov(&f->a, 0);
	assert_int_equal(buf_pool_used(f->pool), 0);
	/* a reservation given up for another kind leaves no hole */
	buf_reserve_iov(&f->a, 50000, iov, 4);
	buf_reserve(&f->a, 1, &room)[0] = 'x';
	buf_commit(&f->a, 1);
	buf_append(&f->a, "y", 1);
	assert_true(buf_eq(&f->a, STR("xy")));
	assert_int_equal(buf_iov(&f->a, SIZE_MAX, iov, 4), 1);
}

static void test_printf(void **state)
{
	struct fixture *f = *state;
	char big[5000];

	memset(big, 'q', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	buf_printf(&f->a, "%s-%d", "n", 42);
	assert_true(buf_eq(&f->a, STR("n-42")));
	buf_printf(&f->a, "%s", big);
	assert_int_equal(buf_len(&f->a), 4 + 4999);
	buf_printf(&f->a, "%s", "");
	assert_int_equal(buf_len(&f->a), 4 + 4999);
}

static void test_pool_reuses_last_first(void **state)
{
	struct fixture *f = *state;

	buf_append(&f->a, "x", 1);
	const char *p = buf_peek(&f->a).p;
	buf_clear(&f->a);
	buf_append(&f->b, "y", 1);
	assert_ptr_equal(buf_peek(&f->b).p, p);
	buf_clear(&f->b);
	buf_pool_trim(f->pool);
	buf_append(&f->b, "y", 1);
}

static void test_pool_idle_bound(void **state)
{
	struct fixture *f = *state;
	struct buf_pool *small = buf_pool_new(0);
	struct buf b;

	(void)f;
	buf_init(&b, small);
	buf_append(&b, "x", 1);
	buf_clear(&b);
	assert_int_equal(buf_pool_used(small), 0);
	buf_pool_free(&small);
	buf_pool_free(&small);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(empty_holds_nothing),
		T(reserve_room),
		T(reserve_replaced_by_larger),
		T(shared_room_is_never_overwritten),
		T(truncated_writer_keeps_shared_bytes),
		T(share_between_reserve_and_commit),
		T(sole_owner_left_may_write_again),
		T(move_copies_nothing),
		T(queue_of_small_pieces_is_packed),
		T(prepend),
		T(prepend_leaves_shared_alone),
		T(pullup),
		T(iov),
		T(iov_nothing_came),
		T(printf),
		T(pool_reuses_last_first),
		T(pool_idle_bound),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
