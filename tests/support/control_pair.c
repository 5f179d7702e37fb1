/*
 * Sets up and looks at a pair of pods that live from a control plane; see control_pair.h. Owns
 * nothing beyond the state of its test.
 */
#include "tests/support/control_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"

static int begin(void **state, const char *const *flags)
{
	struct control_pair *w = MEM_NEW(struct control_pair);
	mesh_init(&w->pair.m);
	w->pair.client = mesh_pod(&w->pair.m, "client", true);
	w->pair.web = mesh_pod(&w->pair.m, "web", true);
	mesh_control_init(&w->control, &w->pair.m, flags);
	mesh_control_start(&w->control);
	mesh_control_prepare(&w->control, w->pair.client);
	mesh_control_prepare(&w->control, w->pair.web);
	mesh_app_start(&w->app, w->pair.web, 8080, HTTP_V1, app_hello);
	mesh_start_proxy(w->pair.client);
	mesh_start_proxy(w->pair.web);
	mesh_advance(&w->pair.m, 2 * NS_PER_S);
	*state = w;
	return 0;
}

int control_pair_setup(void **state)
{
	return begin(state, NULL);
}

/* Leaves of a minute, as many as anybody asks for. */
int control_pair_setup_brief(void **state)
{
	static const char *const flags[] = {
		"--leaf-lifetime=60s", "--issue-per-minute=10000", "--issue-burst=1000", NULL};
	return begin(state, flags);
}

int control_pair_teardown(void **state)
{
	struct control_pair *w = *state;
	mesh_app_stop(&w->app);
	for (size_t i = 0; i < w->pair.m.n_pods; i++)
		if (w->pair.m.pods[i].proxy != NULL)
			mesh_control_kill(&w->pair.m.pods[i]);
	mesh_control_fini(&w->control);
	mesh_fini(&w->pair.m);
	mem_free(w);
	return 0;
}

static char *reasons(struct mesh_test_pod *pod)
{
	struct buf b;
	buf_init(&b, pod->mesh->log_bufs);
	bool ready = proxy_ready(pod->proxy, &b);
	size_t n = buf_len(&b);
	char *text = calloc(1, n + 1);
	buf_copy_out(&b, 0, text, n);
	buf_clear(&b);
	assert_int_equal(ready, n == 0);
	return text;
}

void expect_ready(struct mesh_test_pod *pod)
{
	char *text = reasons(pod);
	if (text[0] != '\0') {
		mesh_print_log(pod->mesh);
		fail_msg("%s is not ready: %s", pod->name, text);
	}
	free(text);
}

void expect_not_ready(struct mesh_test_pod *pod, const char *part)
{
	char *text = reasons(pod);
	assert_has(text, part);
	free(text);
}

/* One request on a connection of its own. */
void expect_answer(struct control_pair *w, const char *part)
{
	struct wire x;
	pair_wire(&w->pair, &x);
	wire_send(&x, STR(GET), 0, NULL);
	mesh_advance(&w->pair.m, 5 * NS_PER_S);
	char *got = wire_take(&x);
	if (strstr(got, part) == NULL)
		mesh_print_log(&w->pair.m);
	assert_has(got, part);
	free(got);
	wire_fini(&x);
	mesh_settle(&w->pair.m);
}
