/*
 * One accepted downstream connection, inbound or outbound: what it is made of while its protocol is
 * being found out, and its one exit. The steps are in inbound.c and outbound.c, raw TCP in tcp.c,
 * HTTP in session.c.
 */
#ifndef WEFT_SIDECAR_FLOW_CONN_H
#define WEFT_SIDECAR_FLOW_CONN_H

#include "lib/net/relay.h"
#include "sidecar/detect/detect.h"
#include "sidecar/flow/dest.h"
#include "sidecar/flow/flow.h"
#include "sidecar/flow/reason.h"
#include "sidecar/policy/authz.h"

#define FLOW_CONN_MAGIC 0x666c636eu

/* Where a connection is; moves only forward. */
enum conn_state {
	CONN_ACCEPTED,
	CONN_DETECT,  /* first bytes of the wire */
	CONN_TLS,     /* inbound: handshake */
	CONN_INNER,   /* inbound: first bytes inside weft/tcp */
	CONN_CONNECT, /* raw TCP: the upstream is being dialled */
	CONN_RELAY,
	CONN_HTTP,
	CONN_ENDED
};

/* Owned by struct flow through its list; freed at the end of the turn after conn_end. Owns io until
 * tls, relay or http has it. */
struct conn {
	struct obj_head obj;
	struct list_node node;
	struct flow *flow;
	struct snapshot *snap; /* reference: what was in force at accept */
	enum span_direction direction;
	enum conn_state state;
	uint64_t accepted_ns, decided_ns;
	struct addr orig, peer_addr;
	/* inbound: who called */
	bool mesh_peer;
	char peer_id[SPIFFE_ID_MAX + 1];
	struct spiffe_id peer;
	char alpn[16], cipher[48];
	struct authz_out verdict;
	char rule[160];
	/* outbound: where to */
	struct dest dest;
	/* what it is made of now */
	struct io *io;
	struct buf first; /* sniffed bytes that the next layer gets */
	struct detect *detect;
	struct tls_handshake *handshake;
	struct connect *connect;
	struct io *spec; /* outbound: dialled while the client was silent */
	bool spec_failed;
	char spec_text[224];
	int spec_reason;
	struct relay *relay;
	struct http_conn *http;
	struct loop_timer retire;             /* HTTP: before either leaf expires */
	struct list requests;                 /* struct request of this connection */
	const struct mesh_endpoint *endpoint; /* raw TCP: chosen */
	struct balance_load *load;
	struct loop_timer timer;
	struct span span; /* raw TCP */
	bool span_open;
	int abort_reason; /* raw TCP: why we ended it; 0: we did not */
};

/* Takes io. NULL (and io closed) where the bounds are reached; counted then. */
struct conn *conn_new(struct flow *f, enum span_direction direction, struct io *io);
void conn_set_state(struct conn *c, enum conn_state state);
/* The one exit; reason as in flow_reason(). detail (may be NULL) goes to the log. reset: RST where
 * a socket is still ours. */
void conn_end(struct conn *c, int reason, const char *detail, bool reset);
/* Ends a connection that never became an exchange, with its own reason label (NULL: the reason's)
 * in log and metric. */
void conn_refuse(struct conn *c, int reason, const char *label, const char *detail);
/* Puts sniffed bytes back under the next layer. */
void conn_push_back(struct conn *c, struct buf *bytes);

/* inbound.c */
/* The ALPN protocols that the inbound side accepts; NULL-terminated. */
const char *const *inbound_alpn(void);
/* Judges the peer under snap; fills verdict and rule. */
void inbound_judge(struct conn *c, const struct snapshot *snap);
/* The configuration changed: judges again and ends what is denied now, requests one by one. */
void inbound_rejudge(struct conn *c, const struct snapshot *snap);

/* tcp.c: relays raw bytes to target; first bytes are in c->first. Emits the span at the end. */
void tcp_start(struct conn *c, const struct connect_target *target, const char *protocol);
/* Takes over an upstream that is dialled already (server spoke first, or the client turned out
 * opaque). up_first may be NULL. */
void tcp_join(struct conn *c, struct io *up, struct buf *up_first, const char *protocol);
/* Ends a relay because of a policy; conn_end follows, deferred. */
void tcp_abort(struct conn *c, int reason, const char *detail);
/* Fills the span's facts that both flows know; slices are borrowed from snap and the connection. */
void conn_fill_span(const struct conn *c, const struct snapshot *snap, const struct dest *dest,
	struct span *s);

/* session.c: serves HTTP on c->io. */
void session_start(struct conn *c, enum http_version version);

/* outbound.c: the target of a raw TCP connection to the destination. 0 or a mesh reason; picks an
 * endpoint where there are several. */
int outbound_tcp_target(struct conn *c, struct connect_target *out, const char **detail);

#endif
