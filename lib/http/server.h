/*
 * A small HTTP server for our own endpoints (admin, metrics, health): routes of a table, whole requests in memory up to a
 * bound, whole responses. Owns its listener and connections. Not on the data path.
 */
#ifndef WEFT_HTTP_SERVER_H
#define WEFT_HTTP_SERVER_H

#include "lib/http/conn.h"
#include "lib/net/listen.h"

struct http_server;

/* One request to a handler and its answer; lives for the exchange. */
struct http_call {
	const struct http_head *head;
	struct str path, query;
	struct buf *body;	 /* at most the route's max_body */
	const struct io_info *info;
	struct arena *arena;
	/* answer: status 200 and text/plain unless changed */
	uint16_t status;
	struct str content_type;
	struct http_fields *fields; /* more response fields */
	struct buf *out;
};

typedef void http_handler_fn(void *arg, struct http_call *call);

/* path is matched exactly. methods: comma-separated, e.g. "GET,HEAD"; others get 405 with Allow. Static storage. */
struct http_route {
	const char *path;
	const char *methods;
	http_handler_fn *fn;
	size_t max_body;
};

/* Refuses a request before routing (wrong Host, foreign Origin): returns 0, or a status with *why set. */
typedef int http_guard_fn(void *arg, const struct http_head *head, const struct io_info *info, const char **why);

struct http_server_config {
	struct listen_config listen;
	const struct http_route *routes; /* ended by path NULL */
	http_guard_fn *guard;		 /* may be NULL */
	void *arg;
	size_t max_conns; /* 0: 128 */
};

/* 0 or ERR_* with text in err. */
int http_server_open(const struct http_env *env, struct net *net, const struct http_server_config *cfg, struct http_server **out, char *err, size_t size);
struct addr http_server_addr(const struct http_server *s);
void http_server_close(struct http_server **s);

#endif
