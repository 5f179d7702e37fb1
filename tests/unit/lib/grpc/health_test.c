/*
 * Health and reflection as a client sees them. Each test owns a grpc_world with both on its server.
 */
#include "tests/support/grpc_world.h"

#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "lib/grpc/descriptors.h"
#include "lib/grpc/health.h"
#include "lib/grpc/reflection.h"

struct site {
	struct grpc_world w;
	struct grpc_health *health;
	struct grpc_reflection *reflection;
	/* of a unary call */
	unsigned answers;
	enum grpc_status status;
	int serving;
	/* of a stream */
	struct grpc_call *call;
	struct str last;
	unsigned messages, ends;
};

static int setup(void **state)
{
	static struct site s;
	struct grpc_server_config cfg = {0};
	struct listen_config listen;
	char err[64];

	memset(&s, 0, sizeof(s));
	grpc_world_init(&s.w, 64 * 1024);
	listen = (struct listen_config){.addr = s.w.addr};
	s.w.server = grpc_server_new(&s.w.rig.env, s.w.rig.net, &cfg);
	s.health = grpc_health_new(s.w.server);
	s.reflection = grpc_reflection_new(s.w.server);
	grpc_server_add(s.w.server, &s.w.service);
	assert_int_equal(grpc_server_listen(s.w.server, &listen, NULL, err, sizeof(err)), 0);
	grpc_world_connect(&s.w);
	*state = &s;
	return 0;
}

static int teardown(void **state)
{
	struct site *s = *state;

	grpc_channel_free(&s->w.channel);
	grpc_server_close(&s->w.server);
	grpc_health_free(&s->health);
	grpc_reflection_free(&s->reflection);
	grpc_world_close(&s->w);
	free((char *)(uintptr_t)s->last.p);
	return 0;
}

/* --- users --- */

static void on_answer(void *arg, const struct grpc_end *end, const ProtobufCMessage *m)
{
	struct site *s = arg;

	s->answers++;
	s->status = end->status;
	assert_true((m != NULL) == (end->status == GRPC_OK));
	if (m != NULL)
		s->serving = (int)((const Grpc__Health__V1__HealthCheckResponse *)m)->status;
}

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	struct site *s = arg;

	(void)c;
	s->messages++;
	free((char *)(uintptr_t)s->last.p);
	char *copy = malloc(bytes.n + 1);

	memcpy(copy, bytes.p, bytes.n);
	s->last = str_make(copy, bytes.n);
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	struct site *s = arg;

	(void)c;
	s->call = NULL;
	s->ends++;
	s->status = end->status;
}

static const struct grpc_call_events events = {.on_message = on_message, .on_end = on_end};

static int check(struct site *s, const char *service)
{
	Grpc__Health__V1__HealthCheckRequest r = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	struct grpc_call_config cfg = {.path = "/grpc.health.v1.Health/Check"};
	unsigned before = s->answers;

	r.service = (char *)(uintptr_t)service;
	s->serving = -1;
	grpc_channel_unary(s->w.channel, &cfg, &r.base,
		&grpc__health__v1__health_check_response__descriptor, on_answer, s);
	grpc_world_settle(&s->w);
	assert_int_equal(s->answers, before + 1);
	return s->status == GRPC_OK ? s->serving : -(int)s->status;
}

/* --- health --- */

static void test_check(void **state)
{
	struct site *s = *state;

	assert_int_equal(check(s, ""), 2);
	assert_int_equal(check(s, "weft.mesh.v1.Discovery"), -GRPC_NOT_FOUND);
	grpc_health_set(s->health, "", true);
	grpc_health_set(s->health, "weft.mesh.v1.Discovery", false);
	assert_int_equal(check(s, ""), 1);
	assert_int_equal(check(s, "weft.mesh.v1.Discovery"), 2);
	grpc_health_set(s->health, "weft.mesh.v1.Discovery", true);
	assert_int_equal(check(s, "weft.mesh.v1.Discovery"), 1);
}

static void test_malformed_request(void **state)
{
	struct site *s = *state;
	struct grpc_call_config cfg = {.path = "/grpc.health.v1.Health/Check"};
	struct grpc_user *u = grpc_world_call_cfg(&s->w, &cfg);

	grpc_user_send(u, "\x0a\xff");
	grpc_call_close_send(u->call);
	grpc_world_settle(&s->w);
	grpc_user_expect_end(u, GRPC_INTERNAL, "malformed request");
}

static int watched(struct site *s)
{
	Grpc__Health__V1__HealthCheckResponse *r =
		grpc__health__v1__health_check_response__unpack(NULL, s->last.n,
			(const uint8_t *)s->last.p);
	int status = (int)r->status;

	grpc__health__v1__health_check_response__free_unpacked(r, NULL);
	return status;
}

static void test_watch(void **state)
{
	struct site *s = *state;
	Grpc__Health__V1__HealthCheckRequest r = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	struct grpc_call_config cfg = {.path = "/grpc.health.v1.Health/Watch"};

	r.service = (char *)(uintptr_t)"later";
	s->call = grpc_channel_call(s->w.channel, &cfg, &events, s);
	grpc_call_send(s->call, &r.base);
	grpc_call_close_send(s->call);
	grpc_world_settle(&s->w);
	assert_int_equal(s->messages, 1);
	assert_int_equal(watched(s), 3);
	grpc_health_set(s->health, "later", true);
	grpc_health_set(s->health, "other", true);
	grpc_world_settle(&s->w);
	assert_int_equal(s->messages, 2);
	assert_int_equal(watched(s), 1);
	grpc_health_set(s->health, "later", true);
	grpc_world_settle(&s->w);
	assert_int_equal(s->messages, 2);
	grpc_health_set(s->health, "later", false);
	grpc_world_settle(&s->w);
	assert_int_equal(watched(s), 2);
	assert_int_equal(s->ends, 0);
	grpc_call_drop(&s->call);
	grpc_world_settle(&s->w);
	grpc_health_set(s->health, "later", true);
	/* One that lives until the server ends. */
	s->call = grpc_channel_call(s->w.channel, &cfg, &events, s);
	grpc_call_send(s->call, &r.base);
	grpc_call_close_send(s->call);
	grpc_world_settle(&s->w);
	grpc_server_close(&s->w.server);
	grpc_world_settle(&s->w);
	assert_int_equal(s->ends, 1);
	assert_int_equal(s->status, GRPC_UNAVAILABLE);
}

/* --- reflection --- */

static Grpc__Reflection__V1__ServerReflectionResponse *ask(struct site *s,
	const Grpc__Reflection__V1__ServerReflectionRequest *q)
{
	unsigned before = s->messages;

	grpc_call_send(s->call, &q->base);
	grpc_world_settle(&s->w);
	assert_int_equal(s->messages, before + 1);
	Grpc__Reflection__V1__ServerReflectionResponse *a =
		grpc__reflection__v1__server_reflection_response__unpack(NULL, s->last.n,
			(const uint8_t *)s->last.p);

	assert_non_null(a);
	assert_non_null(a->original_request);
	assert_int_equal(a->original_request->message_request_case, q->message_request_case);
	return a;
}

static Grpc__Reflection__V1__ServerReflectionResponse *ask_text(struct site *s, int kind,
	const char *text)
{
	Grpc__Reflection__V1__ServerReflectionRequest q =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;

	q.message_request_case =
		(Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase)kind;
	q.file_by_filename = (char *)(uintptr_t)text; /* all of these are one union */
	return ask(s, &q);
}

static void expect_files(Grpc__Reflection__V1__ServerReflectionResponse *a, const char *first,
	size_t n)
{
	assert_int_equal(a->message_response_case, 4);
	assert_int_equal(a->file_descriptor_response->n_file_descriptor_proto, n);
	const ProtobufCBinaryData *d = &a->file_descriptor_response->file_descriptor_proto[0];

	/* name is the first field. */
	assert_int_equal(d->data[0], 0x0a);
	assert_int_equal(d->data[1], strlen(first));
	assert_memory_equal(d->data + 2, first, strlen(first));
	grpc__reflection__v1__server_reflection_response__free_unpacked(a, NULL);
}

static void expect_error(Grpc__Reflection__V1__ServerReflectionResponse *a, int code)
{
	assert_int_equal(a->message_response_case, 7);
	assert_int_equal(a->error_response->error_code, code);
	grpc__reflection__v1__server_reflection_response__free_unpacked(a, NULL);
}

static void ask_all(struct site *s)
{
	Grpc__Reflection__V1__ServerReflectionResponse *a = ask_text(s, 7, "*");

	assert_int_equal(a->message_response_case, 6);
	assert_int_equal(a->list_services_response->n_service, 4);
	assert_string_equal(a->list_services_response->service[0]->name, "grpc.health.v1.Health");
	grpc__reflection__v1__server_reflection_response__free_unpacked(a, NULL);
	expect_files(ask_text(s, 3, "weft/mesh/v1/discovery.proto"), "weft/mesh/v1/discovery.proto",
		2);
	expect_files(ask_text(s, 4, "weft.mesh.v1.Discovery"), "weft/mesh/v1/discovery.proto", 2);
	expect_files(ask_text(s, 4, ".grpc.health.v1.Health.Watch"), "grpc/health/v1/health.proto",
		1);
	expect_files(ask_text(s, 4, "grpc.health.v1.HealthCheckResponse.SERVING"),
		"grpc/health/v1/health.proto", 1);
	expect_error(ask_text(s, 3, "none.proto"), GRPC_NOT_FOUND);
	expect_error(ask_text(s, 4, "none"), GRPC_NOT_FOUND);
	expect_error(ask_text(s, 4, ""), GRPC_NOT_FOUND);
	expect_error(ask_text(s, 6, "weft.mesh.v1.Discovery"), GRPC_NOT_FOUND);
	expect_error(ask_text(s, 0, NULL), GRPC_INVALID_ARGUMENT);
	Grpc__Reflection__V1__ExtensionRequest extension =
		GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
	Grpc__Reflection__V1__ServerReflectionRequest q =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;

	q.message_request_case = 5;
	q.file_containing_extension = &extension;
	expect_error(ask(s, &q), GRPC_NOT_FOUND);
}

static void test_reflection(void **state)
{
	static const char *const paths[] = {
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
	struct site *s = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct grpc_call_config cfg = {.path = paths[i]};

		s->call = grpc_channel_call(s->w.channel, &cfg, &events, s);
		ask_all(s);
		grpc_call_close_send(s->call);
		grpc_world_settle(&s->w);
		assert_int_equal(s->ends, i + 1);
		assert_int_equal(s->status, GRPC_OK);
	}
}

/* Who asks without reading is not answered without bound. */
static void test_reflection_waits_for_slow_readers(void **state)
{
	struct site *s = *state;
	struct grpc_call_config cfg = {
		.path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"};
	Grpc__Reflection__V1__ServerReflectionRequest q =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;

	q.message_request_case = 4;
	q.file_containing_symbol = (char *)(uintptr_t)"weft.mesh.v1.Discovery";
	s->call = grpc_channel_call(s->w.channel, &cfg, &events, s);
	for (unsigned i = 0; i < 2000; i++)
		grpc_call_send(s->call, &q.base);
	loop_sim_settle(s->w.rig.loop, 3);
	size_t used = buf_pool_used(s->w.rig.bufs);

	assert_true(used < 4 * 1024 * 1024);
	grpc_world_settle(&s->w);
	assert_int_equal(s->messages, 2000);
}

static void test_descriptors(void **state)
{
	(void)state;
	assert_true(grpc_n_descriptors >= 6);
	for (size_t i = 0; i < grpc_n_descriptors; i++) {
		assert_int_equal(grpc_descriptors[i].needs[0], i);
		assert_true(grpc_descriptors[i].n_symbols > 3);
	}
}

int main(void)
{
#define SITE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		SITE_TEST(test_check),
		SITE_TEST(test_malformed_request),
		SITE_TEST(test_watch),
		SITE_TEST(test_reflection),
		SITE_TEST(test_reflection_waits_for_slow_readers),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
