/*
 * An HTTP connection: an io, a role, a codec (HTTP/1 on llhttp, HTTP/2 on nghttp2) and its streams.
 * Owns the io and all streams; owned by whoever made it until on_end, which is called exactly once,
 * after which it frees itself at the end of the turn.
 */
#ifndef WEFT_HTTP_CONN_H
#define WEFT_HTTP_CONN_H

#include "lib/base/rand.h"
#include "lib/http/stream.h"

enum http_role { HTTP_SERVER, HTTP_CLIENT };
enum http_version { HTTP_V1, HTTP_V2 };

/* Bounds and times of a connection, by name; see lib/http/limits.def for defaults. Copied by
 * http_conn_new. */
struct http_limits {
#define HTTP_LIMIT(name, type, value, text) type name;
#include "lib/http/limits.def"
#undef HTTP_LIMIT
};
/* The defaults. */
struct http_limits http_limits_default(void);

struct http_conn_events {
	/* Server role: a new exchange began; call stream_set_user at once. */
	void (*on_stream)(void *arg, struct http_conn *c, struct http_stream *s);
	/* Client: room for another stream, or none left; pools look again. May be NULL. */
	void (*on_room)(void *arg, struct http_conn *c);
	/* The last stream is gone; the pool may keep or end the connection. May be NULL. */
	void (*on_idle)(void *arg, struct http_conn *c);
	/* Exactly once and last; every stream has had its on_end. */
	void (*on_end)(void *arg, struct http_conn *c, enum reason reason);
};

/* What a connection needs from its worker; all borrowed. */
struct http_env {
	struct loop *loop;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
};

/*
 * Adopts io (its bytes may have been sniffed: put an io_prefix on top). trusted: the peer is
 * another sidecar, whose session is shared by many: a bad message is a stream error, limits that
 * kill a session are off (HTTP/2 only). Starts reading at once.
 */
struct http_conn *http_conn_new(const struct http_env *env, struct io *io, enum http_role role,
	enum http_version version, const struct http_limits *limits, bool trusted,
	const struct http_conn_events *ev, void *arg);

/* Client: how many more streams may be opened now (HTTP/1: 1 when idle, else 0). 0 when draining.
 */
uint32_t http_conn_room(const struct http_conn *c);
/* Client: a new exchange, or NULL where there is no room. */
struct http_stream *http_conn_open(struct http_conn *c);
/* No new streams; those that run finish, then on_end(OK). HTTP/1: "Connection: close"; HTTP/2:
 * GOAWAY in two phases (RFC 9113 6.8). */
void http_conn_drain(struct http_conn *c);
/* Ends now: every stream gets on_end(reason), then the connection. */
void http_conn_end(struct http_conn *c, enum reason reason);

enum http_version http_conn_version(const struct http_conn *c);
struct io *http_conn_io(const struct http_conn *c); /* borrowed: for io_info */
size_t http_conn_streams(const struct http_conn *c);
bool http_conn_draining(const struct http_conn *c);
/* HTTP/2: the peer's SETTINGS have RFC 8441 ENABLE_CONNECT_PROTOCOL; HTTP/1: true (Upgrade). Before
 * SETTINGS came: false. */
bool http_conn_can_upgrade(const struct http_conn *c);
/* HTTP/2: the peer's first SETTINGS came; HTTP/1: true. */
bool http_conn_settled(const struct http_conn *c);
void *http_conn_user(const struct http_conn *c);
/* Text of the last protocol error, for the log; empty: none. Static storage. */
struct str http_conn_detail(const struct http_conn *c);

#endif
