/*
 * The allocator of nghttp2 sessions: reuse, the bound, and that a warm session asks the system for
 * nothing more.
 */
#include <string.h>

#include "lib/http/h2.h"
#include "tests/support/h2_world.h"

static void blocks_are_used_again(void **state)
{
	struct h2_mem m;

	(void)state;
	h2_mem_init(&m, 1 << 20);
	void *a = m.vt.malloc(100, &m), *b = m.vt.malloc(128, &m);

	assert_int_equal(m.used, 256);
	m.vt.free(a, &m);
	assert_ptr_equal(m.vt.malloc(70, &m), a);
	assert_int_equal(m.fresh, 2);
	m.vt.free(a, &m);
	m.vt.free(b, &m);
	m.vt.free(NULL, &m);
	assert_int_equal(m.used, 0);
	assert_int_equal(m.idle_bytes, 256);
	h2_mem_trim(&m);
	assert_int_equal(m.idle_bytes, 0);
}

static void cleared_and_grown(void **state)
{
	struct h2_mem m;
	static const uint8_t zero[64];

	(void)state;
	h2_mem_init(&m, 1 << 20);
	uint8_t *a = m.vt.malloc(64, &m);

	memset(a, 0xff, 64);
	m.vt.free(a, &m);
	a = m.vt.calloc(8, 8, &m);
	assert_memory_equal(a, zero, 64);
	memset(a, 7, 64);
	a = m.vt.realloc(a, 50, &m);
	a = m.vt.realloc(a, 20000, &m);
	assert_int_equal(a[63], 7);
	a = m.vt.realloc(a, 30000, &m);
	assert_int_equal(a[0], 7);
	assert_null(m.vt.calloc(SIZE_MAX, 2, &m));
	m.vt.free(a, &m);
	a = m.vt.realloc(NULL, 10, &m);
	assert_non_null(a);
	m.vt.free(a, &m);
	assert_int_equal(m.used, 0);
	h2_mem_trim(&m);
}

static void the_bound_holds(void **state)
{
	struct h2_mem m;
	void *p[4];

	(void)state;
	h2_mem_init(&m, 4096);
	for (unsigned i = 0; i < 4; i++)
		assert_non_null(p[i] = m.vt.malloc(1000, &m));
	assert_null(m.vt.malloc(1, &m));
	assert_null(m.vt.realloc(p[0], 2000, &m));
	assert_null(m.vt.malloc(SIZE_MAX, &m));
	for (unsigned i = 0; i < 4; i++)
		m.vt.free(p[i], &m);
	assert_non_null(p[0] = m.vt.malloc(4096, &m));
	m.vt.free(p[0], &m);
	h2_mem_trim(&m);
}

static void serve_body(struct h2_x *x, enum h2_event event)
{
	if (event != H2_ON_BODY || !x->body_end)
		return;
	h2_respond(x, 200, false);
	h2_pour(x, 20000);
}

static void one_round(struct h2_world *w)
{
	for (unsigned i = 0; i < 20; i++)
		h2_pour(h2_request(w, "POST", "/warm", false), 30000);
	h2_world_run(w);
}

static void warm_requests_ask_the_system_for_nothing(void **state)
{
	struct h2_world *w = *state;

	w->server.script = serve_body;
	h2_world_pair(w, true);
	one_round(w);
	one_round(w);
	size_t client = h2_of(w->client.c)->mem.fresh, server = h2_of(w->server.c)->mem.fresh;

	for (unsigned i = 0; i < 20; i++)
		one_round(w);
	assert_int_equal(h2_of(w->client.c)->mem.fresh, client);
	assert_int_equal(h2_of(w->server.c)->mem.fresh, server);
	/* And an idle session keeps nothing of it. */
	loop_sim_advance(w->loop, 2 * NS_PER_S);
	assert_int_equal(h2_of(w->client.c)->mem.idle_bytes, 0);
	assert_int_equal(h2_of(w->server.c)->mem.idle_bytes, 0);
	assert_int_equal(buf_pool_used(w->bufs), 0);
	assert_true(h2_of(w->server.c)->mem.used < 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_used_again),
		cmocka_unit_test(cleared_and_grown),
		cmocka_unit_test(the_bound_holds),
		H2_TEST(warm_requests_ask_the_system_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
