/*
 * Bounds and times of the HTTP/1 server: everything overlong has its answer, everything slow its
 * timer on the fake clock, and no peer makes us hold more than the window.
 */
#include "tests/unit/lib/http/fixture.h"

#define HEAD "GET / HTTP/1.1\r\nHost: a\r\n"

/* A request of three parts to a fresh server; the first answer begins with status, and a refusal
 * closes. */
static void ask(const char *before, const char *middle, const char *after, const char *status)
{
	size_t n = strlen(before) + strlen(middle) + strlen(after);
	char *text = calloc(1, n + 1);
	struct fixture f;

	strcat(strcat(strcat(text, before), middle), after);
	begin_server(&f);
	send_text(&f, text);
	char *got = wire_take(&f.x);

	if (strncmp(got + 9, status, 3) != 0)
		assert_string_equal(got, status);
	free(got);
	if (strcmp(status, "200") == 0)
		expect_open(&f);
	else
		expect_fin(&f);
	finish(&f);
	free(text);
}

static void test_overlong_targets(void **state)
{
	struct http_limits l = http_limits_default();
	char *fits = run_of('x', l.target_bytes - 1), *over = run_of('x', l.target_bytes);
	char *far_over = run_of('x', 200 * 1024);

	(void)state;
	ask("GET /", fits, " HTTP/1.1\r\nHost: a\r\n\r\n", "200");
	ask("GET /", over, " HTTP/1.1\r\nHost: a\r\n\r\n", "414");
	ask("GET /", far_over, "", "414");
	ask("GET http://a/", far_over, " HTTP/1.1\r\nHost: a\r\n\r\n", "414");
	free(fits);
	free(over);
	free(far_over);
}

static void test_overlong_fields(void **state)
{
	struct http_limits l = http_limits_default();
	/* host: 4 + 1 + 32; x: 1 + 32 */
	char *fits = run_of('y', l.header_bytes - 37 - 33),
	     *over = run_of('y', l.header_bytes - 37 - 32);
	char *far_over = run_of('y', 200 * 1024), *blanks = run_of(' ', 200 * 1024);

	(void)state;
	ask(HEAD "X: ", fits, "\r\n\r\n", "200");
	ask(HEAD "X: ", over, "\r\n\r\n", "431");
	ask(HEAD "X: ", far_over, "", "431");
	ask(HEAD, far_over, ": x\r\n\r\n", "431");
	/* white space is no field, and bounded all the same */
	ask(HEAD "X: ", blanks, "y\r\n\r\n", "431");
	free(fits);
	free(over);
	free(far_over);
	free(blanks);
}

static void test_number_of_fields(void **state)
{
	struct http_limits l = http_limits_default();
	char fits[16 * 200] = "", over[16 * 200] = "";

	(void)state;
	for (size_t i = 0; i < l.header_count; i++) {
		if (i + 1 < l.header_count)
			strcat(fits, "X: y\r\n");
		strcat(over, "X: y\r\n");
	}
	ask(HEAD, fits, "\r\n", "200");
	ask(HEAD, over, "\r\n", "431");
}

static void test_connection_options(void **state)
{
	(void)state;
	ask(HEAD, "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\n", "\r\n", "200");
	ask(HEAD, "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n", "\r\n", "400");
}

static void test_chunk_framing(void **state)
{
	static const char begin_chunks[] =
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
	char *extension = run_of('e', 512), *long_extension = run_of('e', 4096);
	char *zeros = run_of('0', 4096), *trailer = run_of('t', 17 * 1024);
	char text[8192];

	(void)state;
	snprintf(text, sizeof(text), "%s5;%s\r\nhello\r\n0\r\n\r\n", begin_chunks, extension);
	ask(text, "", "", "200");
	snprintf(text, sizeof(text), "%s5;%s\r\nhello\r\n0\r\n\r\n", begin_chunks, long_extension);
	ask(text, "", "", "400");
	snprintf(text, sizeof(text), "%s%s5\r\nhello\r\n0\r\n\r\n", begin_chunks, zeros);
	ask(text, "", "", "400");
	snprintf(text, sizeof(text), "%s0\r\nX: ", begin_chunks);
	ask(text, trailer, "\r\n\r\n", "431");
	free(extension);
	free(long_extension);
	free(zeros);
	free(trailer);
}

static void test_slow_head(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	/* Silence before a request is idleness, not a slow head. */
	loop_sim_advance(f.w.loop, 2 * f.w.limits.header_timeout);
	expect_open(&f);
	for (unsigned i = 0; i < 20; i++) {
		wire_send(&f.x, str_make(&HEAD[i], 1), 0, NULL);
		loop_sim_advance(f.w.loop, f.w.limits.header_timeout / 16);
	}
	expect_wire_begins(&f, "HTTP/1.1 408 Request Timeout\r\n");
	expect_fin(&f);
	assert_int_equal(f.u.x[0]->reason, REASON_HEADER_TIMEOUT);
	finish(&f);
}

static void test_idle_connection(void **state)
{
	struct fixture f;

	(void)state;
	begin_server(&f);
	send_text(&f, HEAD "\r\n");
	loop_sim_advance(f.w.loop, f.w.limits.idle_timeout - NS_PER_S);
	expect_open(&f);
	send_text(&f, HEAD "\r\n");
	loop_sim_advance(f.w.loop, f.w.limits.idle_timeout - NS_PER_S);
	expect_open(&f);
	loop_sim_advance(f.w.loop, 2 * NS_PER_S);
	expect_fin(&f);
	loop_sim_advance(f.w.loop, f.w.limits.linger_timeout + 1);
	assert_int_equal(f.u.reason, REASON_IDLE_TIMEOUT);
	finish(&f);
}

static void test_idle_exchange(void **state)
{
	struct fixture f;

	(void)state;
	/* a body that stops coming */
	begin_server(&f);
	send_text(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
	loop_sim_advance(f.w.loop, f.w.limits.stream_idle_timeout - NS_PER_S);
	send_text(&f, "def");
	loop_sim_advance(f.w.loop, f.w.limits.stream_idle_timeout - NS_PER_S);
	expect_open(&f);
	loop_sim_advance(f.w.loop, 2 * NS_PER_S);
	expect_wire_begins(&f, "HTTP/1.1 408 ");
	expect_fin(&f);
	assert_int_equal(f.u.x[0]->reason, REASON_IDLE_TIMEOUT);
	finish(&f);
	/* 0 is for ever */
	begin(&f);
	f.w.limits.stream_idle_timeout = f.w.limits.idle_timeout = 0;
	connect_as(&f, HTTP_SERVER);
	send_text(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
	loop_sim_advance(f.w.loop, 100000 * NS_PER_S);
	expect_open(&f);
	finish(&f);
}

static void test_peer_that_takes_nothing(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.w.limits.stream_idle_timeout = 0;
	f.u.reply = REPLY_AT_END;
	f.u.reply_source = 1 << 20;
	connect_as(&f, HTTP_SERVER);
	wire_listen(&f.x, false);
	send_text(&f, HEAD "\r\n");
	loop_sim_advance(f.w.loop, f.w.limits.flush_timeout - NS_PER_S);
	assert_false(f.u.ended);
	loop_sim_advance(f.w.loop, 2 * NS_PER_S);
	assert_true(f.u.ended);
	assert_int_equal(f.u.reason, REASON_IDLE_TIMEOUT);
	wire_listen(&f.x, true);
	expect_reset(&f);
	finish(&f);
}

/* A peer in the middle of a long body reads our last words: only time ends the lingering. */
static void test_lingering_is_bounded_in_time(void **state)
{
	struct fixture f;
	char *kilo = run_of('x', 1024);

	(void)state;
	begin_server(&f);
	send_text(&f, "bad\r\n");
	expect_wire_begins(&f, "HTTP/1.1 400 ");
	for (size_t sent = 0; sent < 16 * f.w.limits.drain_body_bytes; sent += 1024)
		wire_send(&f.x, str_make(kilo, 1024), 0, NULL);
	assert_false(f.u.ended);
	loop_sim_advance(f.w.loop, f.w.limits.linger_timeout + 1);
	assert_true(f.u.ended);
	finish(&f);
	free(kilo);
}

/* A user that does not consume: no more than the window reaches it, and little more is taken from
 * the socket. */
static void hold_all(const char *head, const char *piece)
{
	struct fixture f;
	size_t pushed = 0, n;

	begin(&f);
	f.u.hold = true;
	connect_as(&f, HTTP_SERVER);
	send_text(&f, head);
	do {
		n = wire_push(&f.x, str_from(piece));
		pushed += n;
		http_world_settle(&f.w);
	} while (n == strlen(piece));
	assert_in_range(f.u.x[0]->held, f.w.limits.stream_window / 2, f.w.limits.stream_window);
	assert_in_range(pushed, f.w.limits.stream_window, f.w.limits.stream_window + 3 * 64 * 1024);
	/* Half a window consumed: it goes on. */
	exchange_consume(f.u.x[0]);
	http_world_settle(&f.w);
	assert_true(f.u.x[0]->held > 0);
	finish(&f);
}

static void test_window(void **state)
{
	char *kilo = run_of('x', 1000);
	char chunk[1100];

	(void)state;
	snprintf(chunk, sizeof(chunk), "3e8\r\n%s\r\n", kilo);
	hold_all("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n", kilo);
	hold_all("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", chunk);
	free(kilo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlong_targets),
		cmocka_unit_test(test_overlong_fields),
		cmocka_unit_test(test_number_of_fields),
		cmocka_unit_test(test_connection_options),
		cmocka_unit_test(test_chunk_framing),
		cmocka_unit_test(test_slow_head),
		cmocka_unit_test(test_idle_connection),
		cmocka_unit_test(test_idle_exchange),
		cmocka_unit_test(test_peer_that_takes_nothing),
		cmocka_unit_test(test_lingering_is_bounded_in_time),
		cmocka_unit_test(test_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
