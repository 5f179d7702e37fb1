/*
 * Buf against a model: four bufs on one pool do thousands of random operations, and after each one
 * hold the same bytes as four flat arrays to which the same was done. The seed is fixed; a failing
 * one is printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/rand.h"

enum { BUFS = 4, MODEL_MAX = 200000, OPS = 20000 };

/* A flat twin of a buf; owned by the test. */
struct model {
	uint8_t *p;
	size_t n;
};

/* All of one run; made and freed by the test. */
struct run {
	struct rng rng;
	struct buf_pool *pool;
	struct buf buf[BUFS];
	struct model model[BUFS];
	uint8_t scratch[MODEL_MAX];
};

static size_t pick_size(struct run *r, size_t max)
{
	static const size_t bounds[] = {4, 100, 3000, 20000};
	size_t n = rng_below(&r->rng, bounds[rng_below(&r->rng, 4)] + 1);

	return n < max ? n : max;
}

static size_t model_room(const struct model *m)
{
	return MODEL_MAX - m->n;
}

static void model_insert(struct model *m, size_t at, const void *p, size_t n)
{
	memmove(m->p + at + n, m->p + at, m->n - at);
	memcpy(m->p + at, p, n);
	m->n += n;
}

static void model_drop_front(struct model *m, size_t n)
{
	memmove(m->p, m->p + n, m->n - n);
	m->n -= n;
}

static void fill(struct run *r, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)rng_next(&r->rng);
}

static void op_append(struct run *r, int i, int j)
{
	size_t n = pick_size(r, model_room(&r->model[i]));

	(void)j;
	fill(r, r->scratch, n);
	buf_append(&r->buf[i], r->scratch, n);
	model_insert(&r->model[i], r->model[i].n, r->scratch, n);
}

static void op_reserve(struct run *r, int i, int j)
{
	size_t room, want = 1 + pick_size(r, BUF_LARGE - 1);

	(void)j;
	uint8_t *at = buf_reserve(&r->buf[i], want, &room);
	assert_true(room >= want);
	size_t n = pick_size(r, room < model_room(&r->model[i]) ? room : model_room(&r->model[i]));
	fill(r, at, n);
	model_insert(&r->model[i], r->model[i].n, at, n);
	buf_commit(&r->buf[i], n);
}

static void op_reserve_iov(struct run *r, int i, int j)
{
	struct iovec iov[5];
	size_t total = 0, left;
	int max = 1 + (int)rng_below(&r->rng, 5);
	int count = buf_reserve_iov(&r->buf[i], pick_size(r, 60000), iov, max);

	(void)j;
	assert_in_range(count, 1, max);
	for (int k = 0; k < count; k++)
		total += iov[k].iov_len;
	left = pick_size(r, total < model_room(&r->model[i]) ? total : model_room(&r->model[i]));
	size_t n = left;
	for (int k = 0; left > 0; k++) {
		size_t piece = iov[k].iov_len < left ? iov[k].iov_len : left;
		fill(r, iov[k].iov_base, piece);
		model_insert(&r->model[i], r->model[i].n, iov[k].iov_base, piece);
		left -= piece;
	}
	buf_commit_iov(&r->buf[i], n);
}

static void op_consume(struct run *r, int i, int j)
{
	size_t n = pick_size(r, r->model[i].n);

	(void)j;
	buf_consume(&r->buf[i], n);
	model_drop_front(&r->model[i], n);
}

static void op_truncate(struct run *r, int i, int j)
{
	size_t n = pick_size(r, r->model[i].n);

	(void)j;
	buf_truncate(&r->buf[i], n);
	r->model[i].n -= n;
}

static void op_prepend(struct run *r, int i, int j)
{
	size_t n = rng_below(&r->rng, BUF_HEADROOM + 1);

	(void)j;
	if (n > model_room(&r->model[i]))
		return;
	fill(r, r->scratch, n);
	buf_prepend(&r->buf[i], r->scratch, n);
	model_insert(&r->model[i], 0, r->scratch, n);
}

static void op_move(struct run *r, int i, int j)
{
	size_t n = rng_below(&r->rng, 4) == 0 ? r->model[i].n : pick_size(r, r->model[i].n);

	if (i == j || n > model_room(&r->model[j]))
		return;
	buf_move(&r->buf[j], &r->buf[i], n);
	model_insert(&r->model[j], r->model[j].n, r->model[i].p, n);
	model_drop_front(&r->model[i], n);
}

static void op_share(struct run *r, int i, int j)
{
	size_t from = pick_size(r, r->model[i].n), n = pick_size(r, r->model[i].n - from);

	if (i == j || n > model_room(&r->model[j]))
		return;
	buf_share(&r->buf[j], &r->buf[i], from, n);
	model_insert(&r->model[j], r->model[j].n, r->model[i].p + from, n);
}

static void op_pullup(struct run *r, int i, int j)
{
	size_t n = pick_size(r, BUF_LARGE);

	(void)j;
	if (n == 0)
		return;
	const uint8_t *p = buf_pullup(&r->buf[i], n);
	assert_int_equal(p != NULL, n <= r->model[i].n);
	if (p != NULL)
		assert_memory_equal(p, r->model[i].p, n);
}

static void op_find(struct run *r, int i, int j)
{
	size_t from = pick_size(r, r->model[i].n);
	uint8_t c = (uint8_t)rng_next(&r->rng);
	const uint8_t *at = memchr(r->model[i].p + from, c, r->model[i].n - from);

	(void)j;
	assert_int_equal(buf_find(&r->buf[i], from, (char)c), at != NULL ? at - r->model[i].p : -1);
}

static void op_clear(struct run *r, int i, int j)
{
	(void)j;
	if (rng_below(&r->rng, 8) != 0)
		return;
	buf_clear(&r->buf[i]);
	r->model[i].n = 0;
}

static void op_abandon(struct run *r, int i, int j)
{
	struct iovec iov[3];
	size_t room;

	(void)j;
	if (rng_below(&r->rng, 2) != 0)
		buf_reserve(&r->buf[i], 1 + pick_size(r, BUF_LARGE - 1), &room);
	else
		buf_reserve_iov(&r->buf[i], pick_size(r, 60000), iov, 3);
}

static void check(struct run *r, int i)
{
	struct iovec iov[64];
	const struct buf *b = &r->buf[i];
	const struct model *m = &r->model[i];

	assert_int_equal(buf_len(b), m->n);
	assert_true(buf_eq(b, str_make(m->p, m->n)));
	size_t limit = pick_size(r, MODEL_MAX), got = 0;
	int count = buf_iov(b, limit, iov, 64);
	for (int k = 0; k < count; k++) {
		assert_true(iov[k].iov_len > 0);
		assert_memory_equal(iov[k].iov_base, m->p + got, iov[k].iov_len);
		got += iov[k].iov_len;
	}
	assert_true(got <= limit);
	assert_true(count == 64 || got == (limit < m->n ? limit : m->n));
	size_t from = pick_size(r, m->n), n = buf_copy_out(b, from, r->scratch, 500);
	assert_int_equal(n, m->n - from < 500 ? m->n - from : 500);
	assert_memory_equal(r->scratch, m->p + from, n);
}

typedef void op_fn(struct run *r, int i, int j);

static void run_seed(uint64_t seed)
{
	static op_fn *const ops[] = {op_append, op_reserve, op_reserve_iov, op_consume, op_consume,
		op_truncate, op_prepend, op_move, op_move, op_share, op_share, op_pullup, op_find,
		op_clear, op_abandon};
	struct run *r = calloc(1, sizeof(*r));

	print_message("seed %llu\n", (unsigned long long)seed);
	rng_seed(&r->rng, seed);
	r->pool = buf_pool_new(100000);
	for (int i = 0; i < BUFS; i++) {
		buf_init(&r->buf[i], r->pool);
		r->model[i].p = malloc(MODEL_MAX + 1);
	}
	for (int k = 0; k < OPS; k++) {
		int i = (int)rng_below(&r->rng, BUFS), j = (int)rng_below(&r->rng, BUFS);
		ops[rng_below(&r->rng, sizeof(ops) / sizeof(ops[0]))](r, i, j);
		if (k % 16 == 0)
			for (int n = 0; n < BUFS; n++)
				check(r, n);
		else
			check(r, k % 2 ? i : j);
	}
	for (int i = 0; i < BUFS; i++) {
		buf_clear(&r->buf[i]);
		free(r->model[i].p);
	}
	assert_int_equal(buf_pool_used(r->pool), 0);
	buf_pool_free(&r->pool);
	free(r);
}

static void test_random_operations(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++)
		run_seed(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_operations)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
