/*
 * What server.c (methods, calls, life) and server_conn.c (listeners, handshakes, connections)
 * share. Not for use outside of them.
 */
#ifndef WEFT_GRPC_SERVER_INTERNAL_H
#define WEFT_GRPC_SERVER_INTERNAL_H

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/grpc/call_internal.h"
#include "lib/grpc/server.h"

#define GRPC_SERVER_MAGIC 0x67727376u

/* Owned by its maker until grpc_server_close, then by itself until all connections have ended. */
struct grpc_server {
	struct obj_head obj;
	struct http_env env;
	struct net *net;
	struct grpc_server_config cfg;
	struct http_limits limits;
	struct map *routes; /* path -> struct grpc_route, owned */
	const struct grpc_service **services;
	size_t n_services;
	struct listener **listeners;
	size_t n_listeners;
	struct list conns, calls, handshakes;
	size_t n_conns, n_handshakes;
	bool closing, draining, paused;
	struct loop_timer close_timer;
	struct loop_orphan orphan; /* while it closes, so that the loop knows of it */
	struct grpc_server_stats stats;
};

struct grpc_server *grpc_server_cast(void *arg);
/* Its memory goes where nothing of it runs any more. */
void grpc_server_finish_if_over(struct grpc_server *s);
/* A stream began on a connection: conn is what server_conn.c knows it by. */
void grpc_server_accept_call(struct grpc_server *s, void *conn, struct http_stream *stream);

/* server_conn.c */
void grpc_server_stop_listening(struct grpc_server *s);
void grpc_server_drain_conns(struct grpc_server *s);
/* One more, or one less, of its calls is vouched for. */
void grpc_server_conn_vouched(void *conn, bool vouched);
/* Of a connection: it has another call, and none that is vouched for. */
bool grpc_server_conn_is_greedy(const void *conn);
/* What has not ended by then is cut. */
void grpc_server_on_close_timer(void *arg);

#endif
