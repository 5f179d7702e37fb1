/*
 * The small modules: slices, errors, reasons, clock text, random numbers, allocation, lists,
 * process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/process.h"
#include "lib/base/rand.h"
#include "lib/base/reason.h"
#include "lib/base/str.h"

static void test_str_compare(void **state)
{
	(void)state;
	assert_true(str_eq(STR_NULL, STR("")));
	assert_false(str_eq(STR("a"), STR("A")));
	assert_true(str_eq_nocase(STR("Content-Length"), STR("cONTENT-lENGTH")));
	assert_false(str_eq_nocase(STR("\xc4"), STR("\xe4"))); /* ASCII letters only */
	assert_false(str_eq_nocase(STR("@"), STR("`")));
	assert_true(str_starts(STR("weft/h2"), STR("weft/")));
	assert_false(str_starts(STR("weft"), STR("weft/")));
	assert_true(str_starts(STR_NULL, STR("")));
	assert_true(str_ends(STR("a.yaml"), STR(".yaml")));
	assert_false(str_ends(STR("yaml"), STR(".yaml")));
	assert_true(str_starts_nocase(STR("X-Weft-A"), STR("x-weft-")));
}

static void test_str_cut(void **state)
{
	struct str rest = STR("a,,b,"), piece;
	const char *const want[] = {"a", "", "b", ""};

	(void)state;
	assert_int_equal(str_find(STR("abc"), 'c'), 2);
	assert_int_equal(str_find(STR_NULL, 'c'), -1);
	assert_true(str_eq(str_sub(STR("abc"), 1, SIZE_MAX), STR("bc")));
	assert_int_equal(str_sub(STR("abc"), 9, 1).n, 0);
	assert_int_equal(str_sub(STR_NULL, 1, 1).n, 0);
	assert_true(str_eq(str_trim(STR(" \ta b\t ")), STR("a b")));
	assert_true(str_eq(str_trim(STR("\n")), STR("\n")));
	assert_int_equal(str_trim(STR("  ")).n, 0);
	for (size_t i = 0; i < 4; i++) {
		assert_true(str_split(&rest, ',', &piece));
		assert_true(str_eq(piece, str_from(want[i])));
	}
	assert_false(str_split(&rest, ',', &piece));
	rest = STR("");
	assert_true(str_split(&rest, ',', &piece));
	assert_false(str_split(&rest, ',', &piece));
}

static void test_str_numbers(void **state)
{
	uint64_t n = 7;

	(void)state;
	assert_int_equal(str_to_u64(STR("0"), 10, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &n), ERR_LIMIT);
	assert_int_equal(str_to_u64(STR("99999999999999999999999999"), UINT64_MAX, &n), ERR_LIMIT);
	assert_int_equal(str_to_u64(STR("11"), 10, &n), ERR_LIMIT);
	const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "0x1", "1e3", "99999999999999999999x"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(str_to_u64(str_from(bad[i]), UINT64_MAX, &n), ERR_INVAL);
	assert_true(n == UINT64_MAX); /* untouched on failure */
}

static void test_str_copy(void **state)
{
	char dst[4] = "xxx";

	(void)state;
	assert_int_equal(str_copy(dst, sizeof(dst), STR("abc")), 0);
	assert_string_equal(dst, "abc");
	assert_int_equal(str_copy(dst, sizeof(dst), STR("abcd")), ERR_LIMIT);
	assert_string_equal(dst, "");
	assert_int_equal(str_copy(dst, sizeof(dst), STR_NULL), 0);
	assert_int_equal(str_copy(dst, 0, STR("")), ERR_LIMIT);
}

static void test_err(void **state)
{
	(void)state;
	for (int e = ERR_NOFILES; e < 0; e++)
		assert_string_not_equal(err_text(e), "unknown error");
	assert_string_equal(err_text(-99), "unknown error");
	assert_int_equal(err_from_errno(EWOULDBLOCK), ERR_AGAIN);
	assert_int_equal(err_from_errno(EINTR), ERR_AGAIN);
	assert_int_equal(err_from_errno(EPIPE), ERR_RESET);
	assert_int_equal(err_from_errno(EADDRINUSE), ERR_EXISTS);
	assert_int_equal(err_from_errno(EMFILE), ERR_NOFILES);
	assert_int_equal(err_from_errno(ENOSPC), ERR_IO);
}

static void test_reason_table(void **state)
{
	(void)state;
	for (int r = 0; r < REASON_COUNT; r++) {
		const struct reason_info *info = reason_info(r);
		assert_true(info->http_status == 0 ||
			(info->http_status >= 400 && info->http_status < 600));
		assert_true(info->grpc_status <= 16);
		assert_true(info->h2_code <= 13);
		assert_non_null(info->label);
	}
	assert_string_equal(reason_info(REASON_OK)->name, "OK");
	assert_string_equal(reason_info(REASON_COUNT)->name, "INTERNAL");
	assert_string_equal(reason_info(-1)->name, "INTERNAL");
}

/* What is promised to be unprocessed may be sent twice: no failure of an established connection may
 * say so. */
static void test_reason_of_sent_requests(void **state)
{
	(void)state;
	for (int e = ERR_NOFILES; e < 0; e++) {
		if (e == ERR_VERIFY || e == ERR_EXPIRED)
			continue; /* these precede the first byte */
		assert_int_not_equal(reason_info((int)reason_from_upstream_err(e))->retry,
			R_ALWAYS);
	}
	assert_int_equal(reason_from_connect_err(ERR_TIMEOUT), REASON_CONNECT_TIMEOUT);
	assert_int_equal(reason_from_connect_err(ERR_VERIFY), REASON_TLS_FAILED);
	assert_int_equal(reason_from_connect_err(ERR_NOFILES), REASON_OVERLOAD);
	assert_int_equal(reason_from_downstream_err(ERR_RESET), REASON_CLOSED);
	assert_int_equal(reason_from_downstream_err(ERR_PROTOCOL), REASON_PROTOCOL);
	assert_int_equal(reason_from_h2(7, 1), REASON_NOT_PROCESSED);
	assert_int_equal(reason_from_h2(7, 0), REASON_CANCELLED);
	assert_int_equal(reason_from_h2(8, 1), REASON_UPSTREAM_RESET);
}

static void test_clock(void **state)
{
	char text[CLOCK_TEXT];
	const struct clock *c = clock_system();

	(void)state;
	clock_format(0, text, sizeof(text));
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_format(951782399999999999ull, text, sizeof(text));
	assert_string_equal(text, "2000-02-28T23:59:59.999Z");
	clock_format(UINT64_MAX, text, sizeof(text));
	assert_string_equal(text, "2554-07-21T23:34:33.709Z");
	uint64_t a = clock_mono(c), b = clock_mono(c);
	assert_true(b >= a && a > 0);
	assert_true(clock_wall(c) > 1700000000 * NS_PER_S);
}

static void test_rand(void **state)
{
	struct rng a, b;
	uint64_t seen[10] = {0};

	(void)state;
	rng_seed(&a, 42);
	rng_seed(&b, 42);
	for (int i = 0; i < 100; i++)
		assert_true(rng_next(&a) == rng_next(&b));
	for (int i = 0; i < 100000; i++)
		seen[rng_below(&a, 10)]++;
	for (int i = 0; i < 10; i++)
		assert_in_range(seen[i], 9500, 10500);
	assert_int_equal(rng_below(&a, 1), 0);
	assert_int_equal(rng_between(&a, 5, 5), 5);
	for (int i = 0; i < 1000; i++)
		assert_in_range(rng_between(&a, 3, 9), 3, 9);
	rng_between(&a, 0, UINT64_MAX);
	rng_seed_system(&a);
	rng_seed_system(&b);
	assert_true(rng_next(&a) != rng_next(&b));
}

static void test_alloc(void **state)
{
	(void)state;
	char *p = mem_alloc_array(10, 3);
	for (int i = 0; i < 30; i++)
		assert_int_equal(p[i], 0);
	p = mem_resize(p, 100);
	memset(p, 's', 100);
	mem_free_secret(p, 100);
	p = mem_strndup("abcdef", 3);
	assert_string_equal(p, "abc");
	mem_free(p);
	p = mem_strndup("ab", 30);
	assert_string_equal(p, "ab");
	mem_free(p);
	p = mem_printf("%d/%s", 1, "x");
	assert_string_equal(p, "1/x");
	mem_wipe(p, 3);
	assert_memory_equal(p, "\0\0\0", 3);
	mem_free(p);
	p = mem_strdup("");
	assert_string_equal(p, "");
	mem_free(p);
	mem_free(mem_alloc(0));
	mem_free(NULL);
}

/* An element on a list. */
struct item {
	int n;
	struct list_node node;
};

static int sum_of(const struct list *l)
{
	int sum = 0;

	LIST_EACH(l, n)
	sum = sum * 10 + CONTAINER_OF(n, struct item, node)->n;
	return sum;
}

static void test_list(void **state)
{
	struct item items[5];
	struct list a, b;

	(void)state;
	list_init(&a);
	list_init(&b);
	assert_null(list_pop(&a));
	for (int i = 0; i < 5; i++) {
		items[i].n = i + 1;
		list_node_init(&items[i].node);
		assert_false(list_linked(&items[i].node));
		if (i % 2 == 0)
			list_append(&a, &items[i].node);
		else
			list_prepend(&a, &items[i].node);
	}
	assert_int_equal(sum_of(&a), 42135);
	LIST_EACH(&a, n)
	if (CONTAINER_OF(n, struct item, node)->n > 3)
		list_remove(n);
	assert_int_equal(sum_of(&a), 213);
	list_remove(&items[4].node);
	list_append(&b, &items[4].node);
	list_splice(&b, &a);
	assert_true(list_empty(&a));
	assert_int_equal(sum_of(&b), 5213);
	assert_ptr_equal(list_last(&b), &items[2].node);
	assert_ptr_equal(list_pop(&b), &items[4].node);
	list_splice(&b, &a);
	assert_int_equal(sum_of(&b), 213);
}

static void test_process(void **state)
{
	(void)state;
	assert_int_equal(process_init(), 0);
	assert_int_equal(umask(077), 077);
	assert_true(process_max_files() > 3);
	assert_true(process_rss_bytes() > 100000);
	uint64_t before = process_open_files();
	int fd = open("/dev/null", O_RDONLY);
	assert_int_equal(process_open_files(), before + 1);
	close(fd);
	assert_int_equal(process_open_files(), before);
	assert_non_null(strstr(process_version(), " ("));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_str_compare),
		cmocka_unit_test(test_str_cut),
		cmocka_unit_test(test_str_numbers),
		cmocka_unit_test(test_str_copy),
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_reason_table),
		cmocka_unit_test(test_reason_of_sent_requests),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_rand),
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
