/*
 * Two pods and the usual applications; see mesh_pair.h. Owns nothing beyond the state of its test.
 */
#include "tests/support/mesh_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"

static int setup(void **state, bool v6)
{
	struct pair *p = mem_alloc(sizeof(*p));
	mesh_init(&p->m);
	p->m.v6 = v6;
	p->client = mesh_pod(&p->m, "client", true);
	p->web = mesh_pod(&p->m, "web", true);
	*state = p;
	return 0;
}

int pair_setup(void **state)
{
	return setup(state, false);
}

int pair_setup_v6(void **state)
{
	return setup(state, true);
}

int pair_teardown(void **state)
{
	struct pair *p = *state;
	mesh_fini(&p->m);
	mem_free(p);
	return 0;
}

/* -- applications
 * ---------------------------------------------------------------------------------------------------
 */

void app_hello(struct http_user *u)
{
	u->reply = REPLY_AT_END;
	u->reply_status = 200;
	u->reply_body = "hello";
}

static void echo_head(struct exchange *x)
{
	struct http_head head;
	http_head_init(&head, HTTP_RESPONSE, stream_arena(x->stream));
	head.status = 200;
	head.length = HTTP_LENGTH_UNKNOWN;
	stream_send_head(x->stream, &head, false);
}

void app_echo(struct http_user *u)
{
	u->echo = true;
	u->on_head = echo_head;
}

void app_silent(struct http_user *u)
{
	u->reply = REPLY_NONE;
}

void app_early(struct http_user *u)
{
	u->reply = REPLY_AT_HEAD;
	u->reply_status = 413;
	u->reply_body = "too much";
	u->stop = true;
}

/* -- clients
 * --------------------------------------------------------------------------------------------------------
 */

void pair_wire(struct pair *p, struct wire *x)
{
	struct io *io = mesh_dial(&p->m, p->client, mesh_vip(&p->m));
	assert_non_null(io);
	wire_init(x, &p->m.w, io);
}

void pair_client(struct pair *p, struct http_user *u, enum http_version version)
{
	struct io *io = mesh_dial(&p->m, p->client, mesh_vip(&p->m));
	assert_non_null(io);
	http_user_init(u, &p->m.w);
	http_user_start(u, io, HTTP_CLIENT, version);
	mesh_settle(&p->m);
}

char *pair_ask(struct wire *x, const char *text)
{
	wire_send(x, str_from(text), 0, NULL);
	return wire_take(x);
}

void pair_expect(struct wire *x, const char *text, const char *part)
{
	char *got = pair_ask(x, text);
	assert_has(got, part);
	free(got);
}

void assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("no \"%s\" in:\n%s", part, text);
}

void assert_has_not(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		fail_msg("\"%s\" in:\n%s", part, text);
}

unsigned pair_requests(struct mesh_test_pod *p, const char *label)
{
	return (unsigned)mesh_metric(p, "weft_requests_total", label != NULL ? label : "", NULL);
}
