/*
 * Names against a name server of the test's own on loopback: answers of both families, none, a
 * server that is silent, garbage, and questions that are given up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/net/resolve.h"

/* A server on a real loop, and what was answered. */
struct world {
	struct loop *loop;
	int fd;
	struct loop_fd watch;
	char servers[64];
	unsigned asked;
	bool garbage;
	struct addr found[RESOLVE_ADDRESSES];
	size_t n;
	char text[128];
	unsigned calls;
	struct loop_timer guard;
};

/* The name of a question in dots, and its type. */
static unsigned read_question(const uint8_t *p, size_t n, char *name, size_t size, size_t *end)
{
	size_t at = 12, out = 0;
	while (at < n && p[at] != 0) {
		size_t len = p[at++];
		assert_true(at + len < n && out + len + 2 < size);
		memcpy(name + out, p + at, len);
		out += len;
		name[out++] = '.';
		at += len;
	}
	name[out > 0 ? out - 1 : 0] = '\0';
	*end = at + 5;
	assert_true(*end <= n);
	return (unsigned)(p[at + 1] << 8 | p[at + 2]);
}

static size_t add_record(uint8_t *p, size_t at, unsigned type, const void *data, size_t n)
{
	const uint8_t head[] = {0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 60, 0, (uint8_t)n};
	memcpy(p + at, head, sizeof(head));
	memcpy(p + at + sizeof(head), data, n);
	return at + sizeof(head) + n;
}

static size_t make_answer(struct world *w, uint8_t *p, size_t n)
{
	static const uint8_t v4[2][4] = {{10, 1, 2, 3}, {10, 1, 2, 4}};
	static const uint8_t v6[16] = {0xfd, 0, [15] = 9};
	char name[256];
	size_t at;
	unsigned type = read_question(p, n, name, sizeof(name), &at), records = 0;
	bool known = strcmp(name, "ctrl.test") == 0;
	p[2] = 0x81; /* response, recursion */
	p[3] = known ? 0x80 : 0x83;
	p[8] = p[9] = p[10] = p[11] = 0; /* what the question carried besides */
	for (size_t i = 0; known && type == 1 && i < 2; i++, records++)
		at = add_record(p, at, type, v4[i], 4);
	for (size_t i = 0; known && type == 28 && i < 1; i++, records++)
		at = add_record(p, at, type, v6, 16);
	p[7] = (uint8_t)records;
	if (w->garbage)
		memset(p + 12, 0xff, at - 12);
	return at;
}

static void on_question(void *arg, unsigned events)
{
	struct world *w = arg;
	uint8_t p[1500];
	struct sockaddr_storage from;
	socklen_t from_n = sizeof(from);
	(void)events;
	ssize_t n = recvfrom(w->fd, p, 512, 0, (struct sockaddr *)&from, &from_n);
	if (n < 12)
		return;
	w->asked++;
	char name[256];
	size_t end;
	read_question(p, (size_t)n, name, sizeof(name), &end);
	if (strcmp(name, "silent.test") == 0)
		return;
	size_t out = make_answer(w, p, (size_t)n);
	assert_int_equal(sendto(w->fd, p, out, 0, (struct sockaddr *)&from, from_n), out);
}

static void on_guard(void *arg)
{
	(void)arg;
	fail_msg("no answer within half a minute");
}

static int setup(void **state)
{
	struct world *w = MEM_NEW(struct world);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(at);
	w->loop = loop_new(NULL);
	w->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(w->fd >= 0);
	assert_int_equal(bind(w->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(w->fd, (struct sockaddr *)&at, &n), 0);
	snprintf(w->servers, sizeof(w->servers), "127.0.0.1:%u", ntohs(at.sin_port));
	loop_fd_init(&w->watch, w->loop, w->fd, on_question, w);
	loop_fd_want(&w->watch, LOOP_READ);
	loop_timer_init(&w->guard, w->loop, on_guard, w);
	loop_timer_start(&w->guard, 30 * NS_PER_S);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	loop_timer_stop(&w->guard);
	loop_fd_stop(&w->watch);
	close(w->fd);
	loop_free(&w->loop);
	mem_free(w);
	return 0;
}

static void on_done(void *arg, const struct addr *v, size_t n, const char *text)
{
	struct world *w = arg;
	w->calls++;
	w->n = n;
	memcpy(w->found, v, n * sizeof(*v));
	snprintf(w->text, sizeof(w->text), "%s", text);
	loop_stop(w->loop);
}

static void ask(struct world *w, const char *name)
{
	w->calls = 0;
	resolve_start(w->loop, w->servers, name, on_done, w);
	assert_int_equal(w->calls, 0);
	loop_run(w->loop);
	assert_int_equal(w->calls, 1);
}

static bool has(const struct world *w, const char *ip)
{
	struct addr a;
	assert_int_equal(addr_parse(str_from(ip), &a), 0);
	for (size_t i = 0; i < w->n; i++)
		if (addr_eq(&a, &w->found[i]))
			return true;
	return false;
}

static void test_found(void **state)
{
	struct world *w = *state;
	ask(w, "ctrl.test");
	assert_int_equal(w->n, 3);
	assert_true(has(w, "10.1.2.3") && has(w, "10.1.2.4") && has(w, "fd00::9"));
	ask(w, "ctrl.test."); /* asked again, not kept */
	assert_int_equal(w->n, 3);
	assert_true(w->asked >= 4);
}

static void test_hosts_file(void **state)
{
	struct world *w = *state;
	ask(w, "localhost");
	assert_true(w->n > 0);
	assert_true(has(w, "127.0.0.1") || has(w, "::1"));
	assert_int_equal(w->asked, 0);
}

static void test_not_found(void **state)
{
	struct world *w = *state;
	ask(w, "nobody.test");
	assert_int_equal(w->n, 0);
	assert_true(strlen(w->text) > 0);
	w->garbage = true;
	ask(w, "ctrl.test");
	assert_int_equal(w->n, 0);
	assert_true(strlen(w->text) > 0);
}

/* Bounded in time; this test waits for that bound. */
static void test_silent_server(void **state)
{
	struct world *w = *state;
	uint64_t before = clock_mono(clock_system());
	ask(w, "silent.test");
	assert_int_equal(w->n, 0);
	assert_true(clock_mono(clock_system()) - before < 10 * NS_PER_S);
}

static void on_enough(void *arg)
{
	loop_stop(((struct world *)arg)->loop);
}

static void test_cancelled(void **state)
{
	struct world *w = *state;
	struct loop_timer enough;
	struct resolve *r[3];
	r[0] = resolve_start(w->loop, w->servers, "ctrl.test", on_done, w);
	resolve_cancel(&r[0]);
	assert_null(r[0]);
	resolve_cancel(&r[0]);
	r[1] = resolve_start(w->loop, w->servers, "localhost", on_done, w);
	resolve_cancel(&r[1]);
	r[2] = resolve_start(w->loop, w->servers, "silent.test", on_done, w);
	loop_timer_init(&enough, w->loop, on_enough, w);
	loop_timer_start(&enough, 50 * NS_PER_MS);
	loop_run(w->loop);
	resolve_cancel(&r[2]);
	loop_timer_start(&enough, NS_PER_MS);
	loop_run(w->loop);
	assert_int_equal(w->calls, 0);
	r[0] = resolve_start(w->loop, "nonsense:::", "ctrl.test", on_done, w);
	loop_run(w->loop);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->n, 0);
}

static void test_names(void **state)
{
	static const char *const good[] = {"a", "localhost", "weft-ctrlplane.weft-system.svc",
		"a.b.", "1a.2b", "x1-y2.example"};
	static const char *const bad[] = {"", ".", "a..b", "-a", "a-", "a_b", "a b", "10.0.0.1",
		"10.0.0.256", "a.5", "a.b..", "caf\xc3\xa9", "a/b"};
	char label[65];
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!resolve_name_valid(str_from(good[i])))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (resolve_name_valid(str_from(bad[i])))
			fail_msg("\"%s\"", bad[i]);
	memset(label, 'a', 64);
	label[64] = '\0';
	assert_false(resolve_name_valid(str_from(label)));
	assert_true(resolve_name_valid(str_make(label, 63)));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_found),
		TEST(test_hosts_file),
		TEST(test_not_found),
		TEST(test_silent_server),
		TEST(test_cancelled),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
