/*
 * A burst leaves nothing behind: when it is over for a while, free lists are empty.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/flow/flow.h"
#include "tests/support/mesh_support.h"

#define CLIENTS 80

static void reply(struct http_user *u)
{
	u->reply = REPLY_AT_END;
	u->reply_status = 200;
	u->reply_body = "hello";
}

static void test_quiet_after_a_burst(void **state)
{
	struct mesh m;
	struct mesh_app app;
	struct wire x[CLIENTS];
	(void)state;
	mesh_init(&m);
	struct mesh_test_pod *client = mesh_pod(&m, "client", true);
	struct mesh_test_pod *web = mesh_pod(&m, "web", true);
	mesh_app_start(&app, web, 8080, HTTP_V1, reply);
	mesh_apply(&m);
	struct flow *f = proxy_flow(client->proxy);
	for (int i = 0; i < CLIENTS; i++) {
		wire_init(&x[i], &m.w, mesh_dial(&m, client, "10.96.0.1:80"));
		wire_send(&x[i], STR("GET / HTTP/1.1\r\nHost: web\r\n\r\n"), 0, NULL);
	}
	/* A load that comes back within the time is no quiet. */
	mesh_advance(&m, 9 * NS_PER_S);
	assert_in_range(f->peak_load, CLIENTS, 2 * CLIENTS);
	assert_false(list_empty(&f->free_requests));
	for (int i = 1; i < CLIENTS; i++)
		wire_close(&x[i], false);
	mesh_advance(&m, 9 * NS_PER_S);
	assert_false(list_empty(&f->free_requests));
	mesh_advance(&m, 2 * NS_PER_S);
	assert_true(list_empty(&f->free_requests));
	assert_int_equal(f->peak_load, 1);
	/* And on it goes. */
	wire_send(&x[0], STR("GET / HTTP/1.1\r\nHost: web\r\n\r\n"), 0, NULL);
	char *got = wire_take(&x[0]);
	assert_non_null(strstr(got, "hello"));
	free(got);
	for (int i = 0; i < CLIENTS; i++)
		wire_fini(&x[i]);
	mesh_app_stop(&app);
	mesh_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_quiet_after_a_burst)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
