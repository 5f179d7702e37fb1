/*
 * A server with a few routes on a simulated network, for the tests of lib/http/server. Each test
 * owns one.
 */
#ifndef WEFT_TESTS_HTTP_SERVER_RIG_H
#define WEFT_TESTS_HTTP_SERVER_RIG_H

#include "tests/support/raw_client.h"

#include "lib/http/server.h"

#define BIG (1024 * 1024)

struct server_rig {
	struct rig rig;
	struct http_server *server;
	struct addr addr;
	int handled;
	char seen[64]; /* body and query of the last request */
};

static inline void on_hello(void *arg, struct http_call *call)
{
	struct server_rig *f = arg;

	f->handled++;
	snprintf(f->seen, sizeof(f->seen), "%.*s", STR_ARG(call->query));
	buf_printf(call->out, "hello %.*s\n", STR_ARG(call->path));
}

static inline void on_echo(void *arg, struct http_call *call)
{
	struct server_rig *f = arg;
	size_t n = buf_copy_out(call->body, 0, f->seen, sizeof(f->seen) - 1);

	f->handled++;
	f->seen[n] = '\0';
	call->status = 201;
	call->content_type = STR("application/octet-stream");
	http_fields_add(call->fields, STR("x-more"), STR("yes"));
	buf_move_all(call->out, call->body);
}

static inline void on_big(void *arg, struct http_call *call)
{
	struct server_rig *f = arg;
	static const char block[1024];

	f->handled++;
	for (int i = 0; i < BIG / (int)sizeof(block); i++)
		buf_append(call->out, block, sizeof(block));
}

static inline void on_empty(void *arg, struct http_call *call)
{
	(void)arg;
	(void)call;
}

static inline int server_rig_guard(void *arg, const struct http_head *head,
	const struct io_info *info, const char **why)
{
	(void)arg;
	assert_true(addr_is_loopback(&info->peer));
	if (!http_fields_has(&head->fields, STR("x-evil")))
		return 0;
	*why = "evil is not served";
	return 403;
}

static const struct http_route server_rig_routes[] = {
	{"/hello", "GET,HEAD", on_hello, 0, NULL},
	{"/echo", "POST, PUT", on_echo, 16, NULL},
	{"/big", "GET", on_big, 0, NULL},
	{"/empty", "GET", on_empty, 0, NULL},
	{NULL, NULL, NULL, 0, NULL},
};

static inline void server_rig_open(struct server_rig *f, size_t pipe_capacity, size_t max_conns)
{
	char err[128];

	memset(f, 0, sizeof(*f));
	rig_open(&f->rig, pipe_capacity);
	struct http_server_config cfg = {
		.listen = {.addr = raw_addr("127.0.0.1:15000")},
		.routes = server_rig_routes,
		.guard = server_rig_guard,
		.arg = f,
		.max_conns = max_conns,
	};

	assert_int_equal(http_server_open(&f->rig.env, f->rig.net, &cfg, &f->server, err,
				 sizeof(err)),
		0);
	f->addr = http_server_addr(f->server);
}

static inline int server_rig_setup(void **state)
{
	static struct server_rig f;

	server_rig_open(&f, 64 * 1024, 0);
	*state = &f;
	return 0;
}

static inline int server_rig_teardown(void **state)
{
	struct server_rig *f = *state;

	http_server_close(&f->server);
	http_server_close(&f->server);
	loop_sim_advance(f->rig.loop, HTTP_SERVER_CLOSE_NS + NS_PER_S);
	rig_close(&f->rig);
	return 0;
}

#endif
