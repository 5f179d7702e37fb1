/*
 * What gRPC needs of HTTP/2, through the mesh: unary and bidirectional calls, trailers,
 * Trailers-Only errors of the application and of ours, and the status in the metrics.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

static void send_status(struct exchange *x, const char *status)
{
	struct http_fields trailers;
	http_fields_init(&trailers, stream_arena(x->stream));
	http_fields_add(&trailers, STR("grpc-status"), str_from(status));
	http_fields_add(&trailers, STR("grpc-message"), STR("as it is"));
	stream_send_trailers(x->stream, &trailers);
}

static void grpc_head(struct exchange *x)
{
	struct http_head h;
	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = 200;
	h.length = HTTP_LENGTH_UNKNOWN;
	http_fields_add(&h.fields, STR("content-type"), STR("application/grpc+proto"));
	bool only = str_eq(x->head->path, STR("/svc/Missing"));
	if (only)
		http_fields_add(&h.fields, STR("grpc-status"), STR("12"));
	assert_true(x->head->te_trailers);
	stream_send_head(x->stream, &h, only);
}

/* Echoes messages; the status follows when the client has said all. */
static void grpc_body(struct exchange *x)
{
	if (stream_out_part(x->stream) != PART_BODY)
		return;
	if (stream_in_part(x->stream) == PART_DONE)
		send_status(x, str_eq(x->head->path, STR("/svc/Fail")) ? "5" : "0");
	else
		exchange_send(x, STR("\0\0\0\0\2ok"), false);
}

static void app_grpc(struct http_user *u)
{
	u->on_head = grpc_head;
	u->on_body = grpc_body;
}

static struct exchange *call(struct http_user *u, const char *path)
{
	struct arena arena;
	struct http_head h;
	arena_init(&arena, u->w->arenas);
	http_head_init(&h, HTTP_REQUEST, &arena);
	h.method = STR("POST");
	h.scheme = STR("http");
	h.authority = STR("web");
	h.path = str_from(path);
	h.te_trailers = true;
	h.length = HTTP_LENGTH_UNKNOWN;
	http_fields_add(&h.fields, STR("content-type"), STR("application/grpc+proto"));
	struct exchange *x = http_user_open(u, &h, false);
	arena_clear(&arena);
	return x;
}

static void start(struct pair *p, struct mesh_app *app, struct http_user *u)
{
	mesh_app_start(app, p->web, 8080, HTTP_V2, app_grpc);
	mesh_apply(&p->m);
	pair_client(p, u, HTTP_V2);
}

static void stop(struct pair *p, struct mesh_app *app, struct http_user *u)
{
	http_user_fini(u);
	mesh_app_stop(app);
	mesh_assert_idle(&p->m);
}

static unsigned counted(struct mesh_test_pod *pod, const char *status)
{
	return (unsigned)mesh_metric(pod, "weft_requests_total", "protocol=\"grpc\"", status, NULL);
}

static void test_unary(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	start(p, &app, &u);
	for (int i = 0; i < 3; i++) {
		struct exchange *x = call(&u, "/svc/Say");
		exchange_send(x, STR("\0\0\0\0\2hi"), true);
		mesh_settle(&p->m);
		assert_true(x->ended && x->reason == REASON_OK);
		assert_has(http_user_log(&u), "  grpc-status: 0\n");
	}
	struct exchange *x = call(&u, "/svc/Fail");
	exchange_send(x, STR("\0\0\0\0\2hi"), true);
	mesh_settle(&p->m);
	assert_has(http_user_log(&u), "  grpc-status: 5\n  grpc-message: as it is\n");
	stop(p, &app, &u);
	assert_int_equal(counted(p->client, "grpc_status=\"0\""), 3);
	assert_int_equal(counted(p->web, "grpc_status=\"0\""), 3);
	assert_int_equal(counted(p->client, "grpc_status=\"5\""), 1);
	assert_int_equal(counted(p->web, "grpc_status=\"5\""), 1);
}

static void test_trailers_only(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	start(p, &app, &u);
	struct exchange *x = call(&u, "/svc/Missing");
	exchange_send(x, STR("\0\0\0\0\2hi"), true);
	mesh_settle(&p->m);
	assert_true(x->ended && x->reason == REASON_OK);
	assert_int_equal(x->body_bytes, 0);
	assert_has(http_user_log(&u), "  grpc-status: 12\n");
	stop(p, &app, &u);
	assert_int_equal(counted(p->client, "grpc_status=\"12\""), 1);
	assert_int_equal(counted(p->web, "grpc_status=\"12\""), 1);
}

static void test_bidirectional(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	start(p, &app, &u);
	struct exchange *x = call(&u, "/svc/Chat");
	mesh_settle(&p->m);
	assert_int_equal(x->status, 200); /* before a byte of the request */
	for (unsigned i = 1; i <= 50; i++) {
		exchange_send(x, STR("\0\0\0\0\2hi"), false);
		mesh_settle(&p->m);
		assert_int_equal(x->body_bytes, 7 * i);
	}
	exchange_send(x, STR(""), true);
	mesh_settle(&p->m);
	assert_true(x->ended && x->reason == REASON_OK);
	stop(p, &app, &u);
	assert_int_equal(counted(p->client, "grpc_status=\"0\""), 1);
}

/* Our own answers are Trailers-Only with the status of the reason. */
static void test_our_own_answers(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	mesh_policy(&p->m, "no-client", MESH_DENY, "cluster.local/ns/default/sa/client", 0);
	start(p, &app, &u);
	struct exchange *x = call(&u, "/svc/Say");
	exchange_send(x, STR("\0\0\0\0\2hi"), true);
	mesh_settle(&p->m);
	assert_int_equal(x->status, 200);
	assert_has(http_user_log(&u), "  grpc-status: 7\n");
	mesh_policies_clear(&p->m);
	mesh_apply(&p->m);
	/* The application is gone. */
	mesh_app_stop(&app);
	x = call(&u, "/svc/Say");
	exchange_send(x, STR("\0\0\0\0\2hi"), true);
	mesh_settle(&p->m);
	assert_has(http_user_log(&u), "  grpc-status: 14\n");
	http_user_fini(&u);
	mesh_assert_idle(&p->m);
	assert_int_equal(counted(p->web, "reason=\"RBAC\""), 1);
	assert_int_equal(counted(p->client, "grpc_status=\"7\""), 1);
	assert_int_equal(counted(p->client, "grpc_status=\"14\""), 1);
}

/* A call that its client cancels ends at the application at once. */
static void test_cancelled_call(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct http_user u;
	start(p, &app, &u);
	struct exchange *x = call(&u, "/svc/Chat");
	exchange_send(x, STR("\0\0\0\0\2hi"), false);
	mesh_settle(&p->m);
	stream_reset(x->stream, REASON_CANCELLED);
	mesh_settle(&p->m);
	assert_true(app.users[0]->x[0]->ended);
	assert_int_equal(app.users[0]->x[0]->reason, REASON_CANCELLED);
	assert_false(app.users[0]->ended); /* the connection lives on */
	/* Its siblings do not notice. */
	x = call(&u, "/svc/Say");
	exchange_send(x, STR("\0\0\0\0\2hi"), true);
	mesh_settle(&p->m);
	assert_true(x->ended && x->reason == REASON_OK);
	assert_int_equal(app.accepted, 1);
	stop(p, &app, &u);
	assert_int_equal(counted(p->client, "reason=\"DR\""), 1);
	assert_int_equal(counted(p->web, "reason=\"DR\""), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_unary),
		PAIR_TEST_V6(test_unary),
		PAIR_TEST(test_trailers_only),
		PAIR_TEST(test_bidirectional),
		PAIR_TEST(test_our_own_answers),
		PAIR_TEST(test_cancelled_call),
	};
	return cmocka_run_group_tests_name("gRPC through the mesh", tests, NULL, NULL);
}
