/*
 * What a gRPC caller hears when something fails behind two sidecars: before the response has begun
 * and in the middle of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_support.h"

#define GRPC_CALL "content-type: application/grpc\nte: trailers\n"

struct call {
	struct mesh m;
	struct mesh_test_pod *client, *web;
	struct mesh_app app;
	struct http_user u;
	struct exchange *x;
};

/* A head of that content type, the beginning of a message, and a reset. */
static void break_off(struct exchange *x, const char *fields)
{
	struct http_head head;
	http_head_init(&head, HTTP_RESPONSE, stream_arena(x->stream));
	head.status = 200;
	head.length = HTTP_LENGTH_UNKNOWN;
	http_support_fields(&head.fields, fields);
	stream_send_head(x->stream, &head, false);
	exchange_send(x, STR("\0\0\0\0\x0bhello"), false);
}

static void break_off_grpc(struct exchange *x)
{
	break_off(x, "content-type: application/grpc+proto\n");
}

static void break_off_web(struct exchange *x)
{
	break_off(x, "content-type: application/grpc-web\n");
}

static void grpc_app(struct http_user *u)
{
	u->on_head = break_off_grpc;
}

static void web_app(struct http_user *u)
{
	u->on_head = break_off_web;
}

static void begin(struct call *c, void (*setup)(struct http_user *u))
{
	mesh_init(&c->m);
	c->client = mesh_pod(&c->m, "client", true);
	c->web = mesh_pod(&c->m, "web", true);
	if (setup != NULL)
		mesh_app_start(&c->app, c->web, 8080, HTTP_V2, setup);
	mesh_apply(&c->m);
	http_user_init(&c->u, &c->m.w);
	http_user_start(&c->u, mesh_dial(&c->m, c->client, "10.96.0.1:80"), HTTP_CLIENT, HTTP_V2);
	mesh_settle(&c->m);
	c->x = http_user_request(&c->u, "POST", "/echo.Echo/Say", GRPC_CALL, HTTP_LENGTH_UNKNOWN,
		false);
	assert_non_null(c->x);
	mesh_settle(&c->m);
}

static void finish(struct call *c)
{
	http_user_fini(&c->u);
	mesh_fini(&c->m);
}

static void test_not_reached_is_unavailable(void **state)
{
	struct call c;
	(void)state;
	begin(&c, NULL);
	assert_int_equal(c.x->status, 200);
	assert_true(c.x->ended && c.x->reason == REASON_OK);
	assert_non_null(strstr(http_user_log(&c.u), "grpc-status: 14"));
	finish(&c);
}

static void test_cut_is_told_in_trailers(void **state)
{
	struct call c;
	(void)state;
	begin(&c, grpc_app);
	assert_int_equal(c.x->status, 200);
	assert_false(c.x->ended);
	stream_reset(c.app.users[0]->x[0]->stream, REASON_INTERNAL);
	mesh_settle(&c.m);
	const char *log = http_user_log(&c.u);
	assert_true(c.x->ended && c.x->reason == REASON_OK);
	assert_non_null(strstr(log, "grpc-status: 14"));
	assert_non_null(strstr(log, "x-weft-reason: UR"));
	assert_true(mesh_logged(&c.m, "\"grpc_status\":14"));
	mesh_app_stop(&c.app);
	finish(&c);
}

static void test_what_has_no_trailers_is_reset(void **state)
{
	struct call c;
	(void)state;
	begin(&c, web_app);
	stream_reset(c.app.users[0]->x[0]->stream, REASON_INTERNAL);
	mesh_settle(&c.m);
	assert_true(c.x->ended && c.x->reason != REASON_OK);
	mesh_app_stop(&c.app);
	finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_reached_is_unavailable),
		cmocka_unit_test(test_cut_is_told_in_trailers),
		cmocka_unit_test(test_what_has_no_trailers_is_reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
