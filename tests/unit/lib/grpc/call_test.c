/*
 * Calls of all kinds between our client and our server: messages of every size, statuses,
 * deadlines, cancelling and dropping at any moment, backpressure. Each test owns a grpc_world.
 */
#include "tests/support/grpc_world.h"

#include "grpc/health/v1/health.pb-c.h"
#include "lib/net/net_sim.h"

static int setup(void **state)
{
	static struct grpc_world w;

	grpc_world_open(&w);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct grpc_world *w = *state;

	grpc_world_close(w);
	for (unsigned i = 0; i < w->n_client; i++)
		assert_true(w->client[i].ends <= 1);
	for (unsigned i = 0; i < w->n_serving; i++)
		assert_true(w->serving[i].ends <= 1);
	return 0;
}

/* --- kinds --- */

static void test_unary(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_ask(w, "Echo", "hello");

	grpc_user_expect_end(u, GRPC_OK, "");
	assert_int_equal(u->messages, 1);
	assert_string_equal(u->last, "hello");
	assert_int_equal(u->opened, 1);
	assert_true(u->trailers);
	assert_false(u->local || u->unprocessed);
	assert_string_equal(w->serving[0].method, "Echo");
	grpc_user_expect_end(&w->serving[0], GRPC_OK, "");
	u = grpc_world_ask(w, "Echo", "");
	grpc_user_expect_end(u, GRPC_OK, "");
	assert_int_equal(u->messages, 1);
	assert_int_equal(u->bytes, 0);
	assert_int_equal(w->dials, 1);
}

static void test_streams(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_call(w, "Chat", 0);

	for (int i = 0; i < 10; i++) {
		assert_true(grpc_user_send(u, "again") > 0);
		if (i % 3 == 0)
			grpc_world_settle(w);
	}
	grpc_world_settle(w);
	assert_int_equal(u->messages, 10);
	assert_int_equal(u->ends, 0);
	grpc_call_close_send(u->call);
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_OK, "");
	w->script.echo = false;
	u = grpc_world_call(w, "Sink", 0);
	for (int i = 0; i < 10; i++)
		grpc_user_send(u, "more");
	grpc_call_close_send(u->call);
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_OK, "");
	assert_int_equal(w->serving[1].messages, 10);
	assert_int_equal(u->messages, 0);
	w->script.answers = 7;
	w->script.answer_size = 3;
	w->script.finish = false;
	u = grpc_world_ask(w, "Source", "go");
	grpc_user_expect_end(u, GRPC_OK, "");
	assert_int_equal(u->messages, 7);
	assert_int_equal(u->bytes, 21);
}

static void test_big_messages(void **state)
{
	struct grpc_world *w = *state;
	static char big[1 << 20];
	static const size_t sizes[] = {2043, 2048, 16384, 16379, 300000, 1 << 20};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct grpc_user *u = grpc_world_call(w, "Echo", 0);

		memset(big, 'a' + (int)i, sizeof(big));
		grpc_call_send_bytes(u->call, str_make(big, sizes[i]));
		grpc_call_close_send(u->call);
		grpc_world_settle(w);
		grpc_user_expect_end(u, GRPC_OK, "");
		assert_int_equal(u->messages, 1);
		assert_int_equal(u->bytes, sizes[i]);
		assert_int_equal(u->last[10], 'a' + (int)i);
	}
}

static void test_message_limits(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_call_config cfg = {.path = "/test.Bytes/Echo", .max_message = 4};
	char *big = calloc(1, (1 << 20) + 1);
	struct grpc_user *u = grpc_world_call(w, "Echo", 0);

	grpc_call_send_bytes(u->call, str_make(big, (1 << 20) + 1));
	grpc_call_close_send(u->call);
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_RESOURCE_EXHAUSTED, "a message exceeds the limit");
	assert_false(u->local);
	assert_int_equal(w->serving[0].messages, 0);
	grpc_user_expect_end(&w->serving[0], GRPC_RESOURCE_EXHAUSTED, NULL);
	u = grpc_world_call_cfg(w, &cfg);
	grpc_user_send(u, "hello");
	grpc_call_close_send(u->call);
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_RESOURCE_EXHAUSTED, NULL);
	assert_int_equal(u->messages, 0);
	u = grpc_world_ask(w, "Echo", "and the connection goes on");
	grpc_user_expect_end(u, GRPC_OK, "");
	assert_int_equal(w->dials, 1);
	free(big);
}

static void test_a_single_request_is_one_message(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_call(w, "Echo", 0);

	grpc_call_close_send(u->call);
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_UNIMPLEMENTED, "no request message");
	u = grpc_world_call(w, "Source", 0);
	grpc_user_send(u, "one");
	grpc_world_settle(w);
	assert_int_equal(w->serving[1].messages, 0);
	grpc_user_send(u, "two");
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_UNIMPLEMENTED, "more than one request message");
	u = grpc_world_call(w, "Echo", 0);
	grpc_user_send(u, "never ends");
	grpc_world_advance(w, 61 * NS_PER_S);
	grpc_user_expect_end(u, GRPC_DEADLINE_EXCEEDED, "the request did not come in time");
	assert_false(u->local);
	for (unsigned i = 0; i < w->n_serving; i++)
		assert_int_equal(w->serving[i].messages, 0);
}

/* --- unary calls of messages --- */

struct asked {
	unsigned answers;
	enum grpc_status status;
	bool unpacked;
	char text[64];
};

static void on_answer(void *arg, const struct grpc_end *end, const ProtobufCMessage *m)
{
	struct asked *a = arg;

	a->answers++;
	a->status = end->status;
	a->unpacked = m != NULL;
	snprintf(a->text, sizeof(a->text), "%.*s", STR_ARG(end->message));
}

static struct grpc_call *ask(struct grpc_world *w, struct asked *a, const char *service,
	const ProtobufCMessageDescriptor *answer)
{
	Grpc__Health__V1__HealthCheckRequest r = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	struct grpc_call_config cfg = {.path = "/test.Bytes/Source"};

	*a = (struct asked){0};
	r.service = (char *)(uintptr_t)service;
	return grpc_channel_unary(w->channel, &cfg, &r.base, answer, on_answer, a);
}

static void expect_answer(struct grpc_world *w, struct asked *a, enum grpc_status status,
	const char *text)
{
	grpc_world_settle(w);
	assert_int_equal(a->answers, 1);
	assert_int_equal(a->status, status);
	assert_true(a->unpacked == (status == GRPC_OK));
	assert_string_equal(a->text, text);
}

static void test_unary_messages(void **state)
{
	struct grpc_world *w = *state;
	const ProtobufCMessageDescriptor *same =
		&grpc__health__v1__health_check_request__descriptor;
	struct asked a;

	ask(w, &a, "abc", same);
	expect_answer(w, &a, GRPC_OK, "");
	ask(w, &a, "", same);
	expect_answer(w, &a, GRPC_OK, "");
	ask(w, &a, "abc", &grpc__health__v1__health_check_response__descriptor);
	expect_answer(w, &a, GRPC_INTERNAL, "malformed answer");
	w->script.echo = false;
	ask(w, &a, "abc", same);
	expect_answer(w, &a, GRPC_INTERNAL, "no answer but a status of OK");
	w->script.answers = 2;
	w->script.finish = false;
	ask(w, &a, "abc", same);
	expect_answer(w, &a, GRPC_INTERNAL, "more than one answer");
	w->script.finish_at_message = true;
	ask(w, &a, "abc", same);
	expect_answer(w, &a, GRPC_ABORTED, "enough of \\n\\u0003abc");
	struct grpc_call *c = ask(w, &a, "abc", same);

	grpc_call_drop(&c);
	grpc_world_settle(w);
	assert_int_equal(a.answers, 0);
}

/* --- statuses --- */

static void test_status_and_text(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_call(w, "Chat", 0);

	grpc_world_settle(w);
	grpc_call_add_trailer(w->serving[0].call, STR("x-trailer"), STR("yes"));
	grpc_call_finish(w->serving[0].call, GRPC_NOT_FOUND, " 100%% \xc3\xa4 \"x\"\n%s ", "end");
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_NOT_FOUND, " 100% \xc3\xa4 \\\"x\\\"\\nend ");
	assert_string_equal(u->trailer, "yes");
	assert_int_equal(u->opened, 0);
	u = grpc_world_call(w, "Chat", 0);
	grpc_user_send(u, "x");
	grpc_world_settle(w);
	grpc_call_add_trailer(w->serving[1].call, STR("x-trailer"), STR("again"));
	grpc_call_finish(w->serving[1].call, GRPC_UNAUTHENTICATED, NULL);
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_UNAUTHENTICATED, "");
	assert_string_equal(u->trailer, "again");
	assert_int_equal(u->messages, 1);
}

static void test_unknown_paths(void **state)
{
	static const char *const paths[] = {
		"/test.Bytes/None", "/none/Echo", "/", "/test.Bytes/Echo/", "/test.Bytes/Echo?x"};
	struct grpc_world *w = *state;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct grpc_call_config cfg = {.path = paths[i]};
		struct grpc_user *u = grpc_world_call_cfg(w, &cfg);

		grpc_user_send(u, "x");
		grpc_world_settle(w);
		grpc_user_expect_end(u, GRPC_UNIMPLEMENTED, "no such method");
		assert_false(u->local);
	}
	assert_int_equal(w->n_serving, 0);
}

static void test_early_end(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_server_stats stats;

	w->script.finish_at_message = true;
	for (int i = 0; i < 300; i++) {
		struct grpc_user *u = grpc_world_call(w, "Chat", 0);

		grpc_user_send(u, "first");
		grpc_world_settle(w);
		grpc_user_expect_end(u, GRPC_ABORTED, "enough of first");
	}
	/* No flood: the server began it. */
	assert_int_equal(w->dials, 1);
	grpc_server_stats(w->server, &stats);
	assert_int_equal(stats.started, 300);
	assert_int_equal(stats.ended[GRPC_ABORTED], 300);
	assert_int_equal(stats.calls, 0);
	assert_int_equal(stats.conns, 1);
}

/* --- time --- */

static void test_deadlines(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_call(w, "Chat", 5 * NS_PER_S);

	grpc_world_settle(w);
	assert_int_equal(grpc_call_deadline(w->serving[0].call),
		loop_now(w->rig.loop) + 5 * NS_PER_S);
	grpc_world_advance(w, 5 * NS_PER_S - NS_PER_MS);
	assert_int_equal(u->ends, 0);
	grpc_world_advance(w, 2 * NS_PER_MS);
	grpc_user_expect_end(u, GRPC_DEADLINE_EXCEEDED, NULL);
	assert_int_equal(w->serving[0].ends, 1);
	/* While connecting too. */
	net_sim_fail(w->rig.net, &w->addr, ERR_TIMEOUT);
	grpc_channel_reset(w->channel);
	u = grpc_world_call(w, "Echo", NS_PER_S);
	grpc_user_send(u, "x");
	grpc_world_advance(w, 2 * NS_PER_S);
	grpc_user_expect_end(u, GRPC_DEADLINE_EXCEEDED, NULL);
	assert_true(u->local && u->unprocessed);
}

/* --- going first --- */

static void test_cancel(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_call(w, "Chat", 0);

	grpc_user_send(u, "x");
	grpc_world_settle(w);
	grpc_call_cancel(u->call);
	assert_int_equal(u->ends, 0);
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_CANCELLED, NULL);
	assert_true(u->local);
	grpc_user_expect_end(&w->serving[0], GRPC_CANCELLED, NULL);
	u = grpc_world_call(w, "Chat", 0);
	grpc_call_cancel(u->call);
	grpc_call_cancel(u->call);
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_CANCELLED, NULL);
	assert_true(u->unprocessed);
	assert_int_equal(w->n_serving, 1);
}

static void test_drops(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_call(w, "Chat", 0);

	grpc_call_drop(&u->call);
	grpc_call_drop(&u->call);
	u = grpc_world_call(w, "Chat", 0);
	grpc_user_send(u, "x");
	grpc_world_settle(w);
	grpc_call_drop(&u->call);
	grpc_world_settle(w);
	assert_int_equal(u->ends, 0);
	grpc_user_expect_end(&w->serving[0], GRPC_CANCELLED, NULL);
	/* From inside of events, both roles. */
	w->script.drop_at_message = true;
	u = grpc_world_call(w, "Chat", 0);
	grpc_user_send(u, "x");
	grpc_user_send(u, "y");
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_CANCELLED, "the server gave the call up");
	assert_int_equal(w->serving[1].messages, 1);
	assert_int_equal(w->serving[1].ends, 0);
	w->script.drop_at_message = false;
	u = grpc_world_call(w, "Chat", 0);
	u->drop_at_message = true;
	grpc_user_send(u, "x");
	grpc_user_send(u, "y");
	grpc_world_settle(w);
	assert_int_equal(u->messages, 1);
	assert_int_equal(u->ends, 0);
	assert_int_equal(w->serving[2].ends, 1);
}

static void test_nothing_after_the_end(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_call(w, "Chat", 0);

	grpc_world_settle(w);
	struct grpc_call *c = w->serving[0].call;

	grpc_call_finish(c, GRPC_OK, NULL);
	grpc_call_finish(c, GRPC_INTERNAL, "too late");
	assert_int_equal(grpc_call_send_bytes(c, STR("too late")), 0);
	assert_int_equal(w->serving[0].ends, 0);
	grpc_world_settle(w);
	grpc_user_expect_end(&w->serving[0], GRPC_OK, "");
	grpc_user_expect_end(u, GRPC_OK, "");
	assert_int_equal(u->messages, 0);
}

/* --- backpressure --- */

static void test_a_server_that_sends_much(void **state)
{
	struct grpc_world *w = *state;

	w->script.echo = w->script.finish = false;
	w->script.answers = 200;
	w->script.answer_size = 30000;
	struct grpc_user *u = grpc_world_ask(w, "Source", "go");

	grpc_user_expect_end(u, GRPC_OK, "");
	assert_int_equal(u->messages, 200);
	assert_int_equal(u->bytes, 200 * 30000);
	assert_true(w->serving[0].writables > 10);
}

static void test_a_client_that_sends_before_there_is_a_connection(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_call(w, "Chat", 0);
	static char block[30000];
	ssize_t room = 1;
	unsigned n = 0;

	while (room > 0 && n < 100) {
		room = grpc_call_send_bytes(u->call, str_make(block, sizeof(block)));
		n++;
	}
	assert_int_equal(n, 3);
	assert_int_equal(grpc_call_queued(u->call), n * (sizeof(block) + 5));
	grpc_world_settle(w);
	assert_int_equal(u->writables, 1);
	assert_int_equal(u->messages, n);
	assert_int_equal(grpc_call_queued(u->call), 0);
}

static void test_a_server_that_pauses(void **state)
{
	struct grpc_world *w = *state;
	static char block[30000];

	w->script.echo = false;
	w->script.pause_at_message = true;
	struct grpc_user *u = grpc_world_call(w, "Sink", 0);

	for (int i = 0; i < 20; i++)
		grpc_call_send_bytes(u->call, str_make(block, sizeof(block)));
	grpc_call_close_send(u->call);
	for (unsigned i = 1; i <= 20; i++) {
		grpc_world_settle(w);
		assert_int_equal(w->serving[0].messages, i);
		assert_int_equal(w->serving[0].half_closes, 0);
		grpc_call_resume(w->serving[0].call);
		assert_int_equal(w->serving[0].messages, i);
	}
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_OK, "");
	/* Between a single request and its end. */
	u = grpc_world_ask(w, "Echo", "x");
	assert_int_equal(u->ends, 0);
	assert_int_equal(w->serving[1].messages, 1);
	grpc_call_resume(w->serving[1].call);
	grpc_world_settle(w);
	grpc_user_expect_end(u, GRPC_OK, "");
}

/* A long stream of small messages both ways is no flood. */
static void test_many_small_messages(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_user *u = grpc_world_call(w, "Chat", 0);

	for (unsigned i = 0; i < 20000; i++) {
		grpc_user_send(u, "x");
		grpc_world_settle(w);
	}
	assert_int_equal(u->messages, 20000);
	assert_int_equal(u->ends, 0);
	assert_int_equal(w->dials, 1);
}

/* --- metadata --- */

static void test_metadata(void **state)
{
	struct grpc_world *w = *state;
	struct grpc_metadatum fields[] = {
		{STR("authorization"), STR("Bearer wts_abc-_~+/x=="), true},
		{STR("x-more"), STR("yes"), false},
	};
	struct grpc_call_config cfg = {
		.path = "/test.Bytes/Chat", .metadata = fields, .n_metadata = 2};
	static const char *const bad[] = {
		"Basic abc", "Bearer", "Bearer a b", "Bearer =", "bearer"};
	struct io_info info;

	grpc_world_call_cfg(w, &cfg);
	grpc_world_settle(w);
	struct grpc_call *c = w->serving[0].call;

	assert_true(str_eq(grpc_call_bearer(c), STR("wts_abc-_~+/x==")));
	assert_true(str_eq(http_fields_get(grpc_call_metadata(c), STR("x-more")), STR("yes")));
	grpc_call_info(c, &info);
	assert_true(addr_is_loopback(&info.local));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fields[0].value = str_from(bad[i]);
		grpc_world_call_cfg(w, &cfg);
		grpc_world_settle(w);
		assert_int_equal(grpc_call_bearer(w->serving[w->n_serving - 1].call).n, 0);
	}
	fields[0].value = STR("Bearer a");
	fields[1] = fields[0];
	grpc_world_call_cfg(w, &cfg);
	grpc_world_settle(w);
	assert_int_equal(grpc_call_bearer(w->serving[w->n_serving - 1].call).n, 0);
}

int main(void)
{
#define CALL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CALL_TEST(test_unary),
		CALL_TEST(test_streams),
		CALL_TEST(test_big_messages),
		CALL_TEST(test_message_limits),
		CALL_TEST(test_a_single_request_is_one_message),
		CALL_TEST(test_unary_messages),
		CALL_TEST(test_status_and_text),
		CALL_TEST(test_unknown_paths),
		CALL_TEST(test_early_end),
		CALL_TEST(test_deadlines),
		CALL_TEST(test_cancel),
		CALL_TEST(test_drops),
		CALL_TEST(test_nothing_after_the_end),
		CALL_TEST(test_a_server_that_sends_much),
		CALL_TEST(test_a_client_that_sends_before_there_is_a_connection),
		CALL_TEST(test_a_server_that_pauses),
		CALL_TEST(test_many_small_messages),
		CALL_TEST(test_metadata),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
