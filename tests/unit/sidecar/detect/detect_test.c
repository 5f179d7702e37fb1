/*
 * Detection over a connection in memory: its times (grace, bound from the first byte, silence), its
 * ends, and who owns the bytes afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "sidecar/detect/detect.h"
#include "tests/support/http_support.h"

#define MAX_EVENTS 8

/* A detection at one end, a wire at the other, and what was heard. */
struct world {
	struct http_world w;
	struct io *io;
	struct wire far;
	struct detect *detect;
	enum detect_event events[MAX_EVENTS];
	unsigned n;
	enum sniff_verdict verdict;
	struct sniff_facts facts;
	struct buf bytes;
	int err;
	bool stop_when_quiet, close_inside;
};

static void on_detect(void *arg, enum detect_event ev, enum sniff_verdict verdict,
	const struct sniff_facts *facts, struct buf *bytes, int err)
{
	struct world *w = arg;
	assert_true(w->n < MAX_EVENTS);
	w->events[w->n++] = ev;
	w->verdict = verdict;
	w->facts = *facts;
	w->err = err;
	if (ev == DETECT_QUIET) {
		if (w->stop_when_quiet)
			detect_stop(&w->detect, &w->bytes);
		return;
	}
	w->detect = NULL;
	if (!w->close_inside)
		buf_move_all(&w->bytes, bytes); /* else they are dropped */
	else
		io_close(&w->io, true);
}

static void begin(struct world *w, struct detect_config cfg)
{
	struct io *ends[2];
	memset(w, 0, sizeof(*w));
	http_world_init(&w->w);
	http_world_pair(&w->w, ends);
	w->io = ends[0];
	buf_init(&w->bytes, w->w.bufs);
	wire_init(&w->far, &w->w, ends[1]);
	w->detect = detect_start(w->io, w->w.bufs, &cfg, on_detect, w);
	assert_int_equal(w->n, 0); /* never from inside */
}

static void finish(struct world *w)
{
	detect_stop(&w->detect, NULL);
	buf_clear(&w->bytes);
	io_close(&w->io, false);
	wire_fini(&w->far);
	http_world_fini(&w->w);
}

static void advance(struct world *w, uint64_t ns)
{
	loop_sim_advance(w->w.loop, ns);
	http_world_settle(&w->w);
}

static const struct detect_config usual = {
	.grace_ns = 3 * NS_PER_MS, .timeout_ns = 10 * NS_PER_S, .silence_ns = 60 * NS_PER_S};

static void test_decided_at_once(void **state)
{
	struct world w;
	(void)state;
	begin(&w, usual);
	wire_send(&w.far, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\nmore"), 0, NULL);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.events[0], DETECT_DECIDED);
	assert_int_equal(w.verdict, SNIFF_HTTP1);
	assert_true(buf_eq(&w.bytes, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\nmore")));
	/* Nothing follows, and nobody reads on. */
	wire_send(&w.far, STR("even more"), 0, NULL);
	advance(&w, 100 * NS_PER_S);
	assert_int_equal(w.n, 1);
	struct buf rest;
	buf_init(&rest, w.w.bufs);
	assert_int_equal(io_read(w.io, &rest, 100), 9);
	buf_clear(&rest);
	finish(&w);
}

/* Byte by byte, with time between: the bound runs from the first one. */
static void test_in_pieces(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\n";
	struct world w;
	(void)state;
	begin(&w, usual);
	for (size_t i = 0; i + 1 < sizeof(text); i++) {
		assert_int_equal(w.n, 0);
		wire_send(&w.far, str_make(text + i, 1), 0, NULL);
		advance(&w, 100 * NS_PER_MS);
	}
	assert_int_equal(w.n, 1);
	assert_int_equal(w.events[0], DETECT_DECIDED);
	assert_true(buf_eq(&w.bytes, STR("GET / HTTP/1.1\r\n")));
	finish(&w);
}

static void test_grace(void **state)
{
	struct world w;
	(void)state;
	begin(&w, usual);
	advance(&w, 2 * NS_PER_MS);
	assert_int_equal(w.n, 0);
	advance(&w, 2 * NS_PER_MS);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.events[0], DETECT_QUIET);
	assert_int_equal(w.verdict, SNIFF_MORE);
	/* Quiet once; detection goes on. */
	advance(&w, 30 * NS_PER_S);
	assert_int_equal(w.n, 1);
	wire_send(&w.far, STR("\1\2"), 0, NULL);
	assert_int_equal(w.n, 2);
	assert_int_equal(w.events[1], DETECT_DECIDED);
	assert_int_equal(w.verdict, SNIFF_OPAQUE);
	finish(&w);
	/* Not where bytes came in time, nor where there is none. */
	begin(&w, usual);
	wire_send(&w.far, STR("GE"), 0, NULL);
	advance(&w, NS_PER_S);
	assert_int_equal(w.n, 0);
	finish(&w);
	begin(&w, (struct detect_config){0});
	advance(&w, 3600 * NS_PER_S);
	assert_int_equal(w.n, 0);
	finish(&w);
}

static void test_stop_when_quiet(void **state)
{
	struct world w;
	(void)state;
	begin(&w, usual);
	w.stop_when_quiet = true;
	advance(&w, NS_PER_S);
	assert_null(w.detect);
	assert_int_equal(w.n, 1);
	wire_send(&w.far, STR("late"), 0, NULL);
	advance(&w, 100 * NS_PER_S);
	assert_int_equal(w.n, 1);
	finish(&w);
}

static void test_undecided_for_too_long(void **state)
{
	struct world w;
	(void)state;
	begin(&w, usual);
	wire_send(&w.far, STR("GET /"), 0, NULL);
	advance(&w, 9 * NS_PER_S);
	wire_send(&w.far, STR("x"), 0, NULL); /* does not begin it anew */
	assert_int_equal(w.n, 0);
	advance(&w, 2 * NS_PER_S);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.events[0], DETECT_TIMEOUT);
	assert_int_equal(w.verdict, SNIFF_OPAQUE);
	assert_true(buf_eq(&w.bytes, STR("GET /x")));
	finish(&w);
}

static void test_silence(void **state)
{
	struct world w;
	(void)state;
	begin(&w, usual);
	advance(&w, 59 * NS_PER_S);
	assert_int_equal(w.n, 1); /* quiet */
	advance(&w, 2 * NS_PER_S);
	assert_int_equal(w.n, 2);
	assert_int_equal(w.events[1], DETECT_FAILED);
	assert_int_equal(w.err, ERR_TIMEOUT);
	finish(&w);
}

static void test_ends(void **state)
{
	struct world w;
	(void)state;
	begin(&w, usual);
	wire_shutdown(&w.far);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.events[0], DETECT_ENDED);
	assert_int_equal(buf_len(&w.bytes), 0);
	finish(&w);
	/* Behind some bytes the end decides. */
	begin(&w, usual);
	wire_send(&w.far, STR("GE"), 0, NULL);
	wire_shutdown(&w.far);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.events[0], DETECT_DECIDED);
	assert_int_equal(w.verdict, SNIFF_OPAQUE);
	assert_true(buf_eq(&w.bytes, STR("GE")));
	finish(&w);
	begin(&w, usual);
	wire_send(&w.far, STR("GE"), 0, NULL);
	wire_close(&w.far, true);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.events[0], DETECT_FAILED);
	assert_int_equal(w.err, ERR_RESET);
	finish(&w);
}

/* Stopped with bytes in hand: they are the caller's, or dropped. */
static void test_stop(void **state)
{
	struct world w;
	(void)state;
	for (int keep = 0; keep < 2; keep++) {
		begin(&w, usual);
		wire_send(&w.far, STR("POST /x"), 0, NULL);
		detect_stop(&w.detect, keep ? &w.bytes : NULL);
		assert_null(w.detect);
		detect_stop(&w.detect, NULL);
		assert_int_equal(buf_len(&w.bytes), keep ? 7 : 0);
		advance(&w, 100 * NS_PER_S);
		assert_int_equal(w.n, 0);
		finish(&w);
	}
}

/* The callee may close the connection then and there, and leave the bytes. */
static void test_closed_inside(void **state)
{
	struct world w;
	(void)state;
	begin(&w, usual);
	w.close_inside = true;
	wire_send(&w.far, STR("\1\2\3"), 0, NULL);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.far.err, ERR_RESET);
	finish(&w);
}

/* No more is read than is looked at. */
static void test_bound(void **state)
{
	struct world w;
	char *text = mem_alloc(3 * SNIFF_MAX);
	(void)state;
	memset(text, 'a', 3 * SNIFF_MAX);
	memcpy(text, "GET /", 5);
	begin(&w, usual);
	wire_send(&w.far, str_make(text, 3 * SNIFF_MAX), 1000, NULL);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.verdict, SNIFF_HTTP1);
	assert_int_equal(buf_len(&w.bytes), SNIFF_MAX);
	finish(&w);
	mem_free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decided_at_once),
		cmocka_unit_test(test_in_pieces),
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_stop_when_quiet),
		cmocka_unit_test(test_undecided_for_too_long),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_closed_inside),
		cmocka_unit_test(test_bound),
	};
	return cmocka_run_group_tests_name("detect", tests, NULL, NULL);
}
