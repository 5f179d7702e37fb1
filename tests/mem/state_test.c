/*
 * The state file in the life of a sidecar: none yet, a good one, a bad one after it, one that has
 * become too old. What is in force is the last good one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

/* A folder of the test's with the state of the web pod; reloads go there. */
struct place {
	char folder[64], path[96];
};

static void place_make(struct place *f, struct mesh_test_pod *pod)
{
	strcpy(f->folder, "/tmp/weft-state-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/state", f->folder);
	mem_free(pod->params.state);
	pod->params.state = mem_strdup(f->path);
}

static void place_remove(const struct place *f)
{
	unlink(f->path);
	rmdir(f->folder);
}

static char *not_ready(struct mesh_test_pod *pod)
{
	struct buf reasons;
	buf_init(&reasons, pod->mesh->w.bufs);
	bool ready = proxy_ready(pod->proxy, &reasons);
	size_t n = buf_len(&reasons);
	char *text = calloc(1, n + 1);
	buf_copy_out(&reasons, 0, text, n);
	buf_clear(&reasons);
	assert_int_equal(ready, n == 0);
	return text;
}

static void expect_not_ready(struct mesh_test_pod *pod, const char *part)
{
	char *text = not_ready(pod);
	assert_has(text, part);
	free(text);
}

static void expect_ready(struct mesh_test_pod *pod)
{
	char *text = not_ready(pod);
	assert_string_equal(text, "");
	free(text);
}

static void test_without_configuration_everything_is_refused(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	struct place f;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply_one(&p->m, p->client);
	mesh_start_proxy(p->web);
	place_make(&f, p->web);
	expect_not_ready(p->web, "no configuration");
	pair_wire(p, &x);
	pair_expect(&x, GET, "503 Service Unavailable");
	assert_int_equal(app.accepted, 0);
	assert_int_equal(mesh_metric(p->web, "weft_connections_refused_total",
				 "reason=\"not_ready\"", "direction=\"inbound\"", NULL),
		1);
	/* Outbound too. */
	struct wire y;
	wire_init(&y, &p->m.w, mesh_dial(&p->m, p->web, "10.96.0.1:80"));
	mesh_settle(&p->m);
	assert_int_equal(y.err, ERR_RESET);
	wire_fini(&y);
	/* A file that is not there yet is no refusal, and is said. */
	proxy_reload(p->web->proxy);
	expect_not_ready(p->web, f.path);
	assert_int_equal(mesh_metric(p->web, "weft_state_refused_total", NULL), 0);
	/* It comes. */
	mesh_save_state(&p->m, p->web, f.path);
	proxy_reload(p->web->proxy);
	expect_ready(p->web);
	pair_expect(&x, GET, "200 OK");
	wire_fini(&x);
	mesh_app_stop(&app);
	place_remove(&f);
	mesh_assert_idle(&p->m);
}

static void overwrite(const char *path, long at, const char *bytes, size_t n)
{
	FILE *file = fopen(path, "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	assert_int_equal(fwrite(bytes, 1, n, file), n);
	fclose(file);
}

static void truncate_to(const char *path, long n)
{
	assert_int_equal(truncate(path, n), 0);
}

/* Whatever comes after a good one, requests go on under the good one. */
static void test_a_bad_state_keeps_the_old(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	struct place f;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	place_make(&f, p->web);
	pair_wire(p, &x);
	pair_expect(&x, GET, "200 OK");
	for (int i = 0; i < 5; i++) {
		mesh_save_state(&p->m, p->web, f.path);
		const struct snapshot *before = proxy_flow(p->web->proxy)->snap;
		switch (i) {
		case 0:
			truncate_to(f.path, 0);
			break;
		case 1:
			truncate_to(f.path, 300);
			break;
		case 2:
			overwrite(f.path, 200, "\xff\xff", 2);
			break;
		case 3:
			overwrite(f.path, 0, "nonsense", 8);
			break;
		default: /* of another pod */
			strcpy(p->web->uid, "uid-other");
			mesh_save_state(&p->m, p->web, f.path);
			strcpy(p->web->uid, "uid-web");
			mem_free(p->web->params.pod_uid);
			p->web->params.pod_uid = mem_strdup("uid-web");
			break;
		}
		proxy_reload(p->web->proxy);
		assert_ptr_equal(proxy_flow(p->web->proxy)->snap, before);
		assert_int_equal(mesh_metric(p->web, "weft_state_refused_total", NULL), i + 1);
		expect_ready(p->web);
		pair_expect(&x, GET, "200 OK");
		assert_int_equal(pools_opened(proxy_flow(p->client->proxy)->pools), 1);
	}
	assert_true(mesh_logged(&p->m, "the last good one stays in force"));
	mesh_save_state(&p->m, p->web, f.path);
	const struct snapshot *before = proxy_flow(p->web->proxy)->snap;
	proxy_reload(p->web->proxy);
	assert_ptr_not_equal(proxy_flow(p->web->proxy)->snap, before);
	wire_fini(&x);
	mesh_app_stop(&app);
	place_remove(&f);
	mesh_assert_idle(&p->m);
}

/* Beyond max-stale new connections are refused; what is open goes on. */
static void test_stale(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x, y;
	p->web->params.max_stale = 3600 * NS_PER_S;
	p->m.state_age = 3000;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	expect_ready(p->web);
	assert_int_equal(mesh_metric(p->web, "weft_state_age_seconds", NULL), 3000);
	pair_wire(p, &x);
	pair_expect(&x, GET, "200 OK");
	for (int i = 0; i < 11; i++) { /* keeps the connection in use */
		mesh_advance(&p->m, 60 * NS_PER_S);
		pair_expect(&x, GET, "200 OK");
	}
	expect_not_ready(p->web, "older than max-stale");
	wire_init(&y, &p->m.w, mesh_dial(&p->m, p->web, "10.96.0.1:80"));
	mesh_settle(&p->m);
	assert_int_equal(y.err, ERR_RESET);
	wire_fini(&y);
	assert_int_equal(mesh_metric(p->web, "weft_connections_refused_total", "reason=\"stale\"",
				 NULL),
		1);
	p->m.state_age = 0;
	mesh_apply_one(&p->m, p->web);
	expect_ready(p->web);
	wire_init(&y, &p->m.w, mesh_dial(&p->m, p->web, "10.96.0.1:80"));
	pair_expect(&y, GET, "200 OK");
	wire_fini(&y);
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

/* Its own leaf runs out: not ready, and nobody believes it any more. */
static void test_own_leaf_expires(void **state)
{
	struct pair *p = *state;
	struct mesh_app app;
	struct wire x;
	p->m.leaf_seconds = 300;
	mesh_app_start(&app, p->web, 8080, HTTP_V1, app_hello);
	mesh_apply(&p->m);
	p->m.leaf_seconds = 0;
	mesh_apply_one(&p->m, p->client);
	pair_wire(p, &x);
	pair_expect(&x, GET, "200 OK");
	mesh_advance(&p->m, 400 * NS_PER_S);
	expect_not_ready(p->web, "certificate has expired");
	pair_expect(&x, GET, "(UF)");
	assert_int_equal(mesh_metric(p->client, "weft_connections_refused_total",
				 "reason=\"cert_expired\"", NULL),
		1);
	mesh_apply_one(&p->m, p->web);
	mesh_advance(&p->m, 6 * NS_PER_S);
	pair_expect(&x, GET, "200 OK");
	wire_fini(&x);
	mesh_app_stop(&app);
	mesh_assert_idle(&p->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(test_without_configuration_everything_is_refused),
		PAIR_TEST(test_a_bad_state_keeps_the_old),
		PAIR_TEST(test_stale),
		PAIR_TEST(test_own_leaf_expires),
	};
	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
