/*
 * A small HTTP/1 server for our own endpoints (admin, metrics, health): routes of a table, whole
 * requests in memory up to a bound, whole responses. Owns its listener and connections. Not on
 * the data path.
 */
#ifndef WEFT_HTTP_SERVER_H
#define WEFT_HTTP_SERVER_H

#include "lib/http/conn.h"
#include "lib/net/listen.h"

struct http_server;

/* One request to a handler and its answer; lives for the exchange. Handlers answer at once. */
struct http_call {
	const struct http_head *head;
	struct str path, query;
	struct buf *body; /* at most the route's max_body */
	const struct io_info *info;
	struct arena *arena;
	/* answer: status 200 and text/plain unless changed */
	uint16_t status;
	struct str content_type;
	struct http_fields *fields; /* more response fields */
	struct buf *out;
};

typedef void http_handler_fn(void *arg, struct http_call *call);

/*
 * path is matched exactly. methods: comma-separated, e.g. "GET,HEAD"; others get 405 with Allow.
 * A HEAD is handled like a GET and its body dropped. max_body 0: a request with a body is
 * refused. Borrowed until http_server_close.
 */
struct http_route {
	const char *path;
	const char *methods;
	http_handler_fn *fn;
	size_t max_body;
	const char *help; /* one line for an index of routes; the server does not read it */
};

/*
 * Refuses a request before routing (wrong Host, foreign Origin): returns 0, or a status with *why
 * set to text without newline (static, or in the head's arena).
 */
typedef int http_guard_fn(void *arg, const struct http_head *head, const struct io_info *info,
	const char **why);

/* Copied by http_server_open; what it points to is borrowed until http_server_close. */
struct http_server_config {
	struct listen_config listen;
	const struct http_route *routes; /* ended by path NULL */
	http_guard_fn *guard;            /* may be NULL */
	void *arg;                       /* of guard and handlers */
	size_t max_conns;                /* 0: 128 */
};

/*
 * Over max_conns an idle connection makes room, or else the new one is closed. A request must be
 * complete, and its answer taken, within HTTP_SERVER_CALL_NS each. While more than
 * HTTP_SERVER_PENDING bytes of answers wait for their readers, requests get 503.
 */
#define HTTP_SERVER_CALL_NS (30 * NS_PER_S)
#define HTTP_SERVER_PENDING (8 * 1024 * 1024)
#define HTTP_SERVER_CLOSE_NS (5 * NS_PER_S)

/* 0 or ERR_* with text in err. */
int http_server_open(const struct http_env *env, struct net *net,
	const struct http_server_config *cfg, struct http_server **out, char *err, size_t size);
struct addr http_server_addr(const struct http_server *s);
size_t http_server_conns(const struct http_server *s);
/*
 * Stops listening; no guard and no handler is called any more. Answers on their way are finished,
 * for at most HTTP_SERVER_CLOSE_NS, then everything is freed by the loop. Nulls the pointer; safe
 * on NULL.
 */
void http_server_close(struct http_server **s);

#endif
