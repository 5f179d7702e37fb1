/*
 * What server.c (listener, connections, closing) and server_call.c (one exchange) share. Not for
 * use outside of them.
 */
#ifndef WEFT_HTTP_SERVER_INTERNAL_H
#define WEFT_HTTP_SERVER_INTERNAL_H

#include "lib/http/server.h"

/*
 * Owned by its opener until http_server_close, then by the loop until its last connection ended.
 */
struct http_server {
	struct obj_head obj;
	struct http_env env;
	struct http_server_config cfg;
	struct http_limits limits;
	struct listener *listener;
	struct list conns; /* server_conn, but those that were told to make room */
	size_t n_conns;    /* on that list */
	size_t alive;      /* server_conn that exist */
	size_t pending;    /* bytes of answers whose exchange has not ended */
	bool closing;
	struct loop_timer close_timer;
	struct loop_orphan orphan; /* while it closes, so that the loop knows of it */
};

/* Owned by its server; freed when the HTTP connection ended. */
struct server_conn {
	struct obj_head obj;
	struct list_node node;
	struct http_server *server;
	struct http_conn *http;
};

/* Takes a stream that just began; the exchange lives in the stream's arena. */
void server_call_begin(struct http_server *server, struct http_stream *s);

#endif
