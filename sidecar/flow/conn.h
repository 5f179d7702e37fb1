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
#define CONN_ATTEMPTS 3 /* endpoints that raw TCP tries */

/* Where a connection is; moves only forward. */
enum conn_state {
	CONN_ACCEPTED,
	CONN_LOOKUP,  /* outbound: the destination is not known yet */
	CONN_DETECT,  /* first bytes of the wire */
	CONN_TLS,     /* inbound: handshake */
	CONN_INNER,   /* inbound: first bytes inside weft/tcp */
	CONN_CONNECT, /* raw TCP: the upstream is being dialled */
	CONN_RELAY,
	CONN_HTTP,
	CONN_ENDED
};

/* An upstream that is dialled while the client is silent; embedded in its connection (raw.c). */
struct spec {
	struct io *io; /* connected, and silent too */
	bool failed;
	int reason;
	char text[224];
};

/* Owned by struct flow through its list; freed at the end of the turn after conn_end. Owns io until
 * tls, relay or http has it. */
struct conn {
	struct obj_head obj;
	struct list_node node;
	struct flow *flow;
	struct snapshot *snap; /* reference: what was in force at accept, or later (conn_refresh);
				  NULL once it relays or serves: it may do so for long */
	uint32_t generation;   /* of the configuration that it was last looked at under */
	uint32_t rules;        /* flow->rules_generation that it was last judged under */
	enum span_direction direction;
	enum conn_state state;
	uint64_t accepted_ns, decided_ns;
	struct addr orig, peer_addr;
	/* inbound: who called */
	bool mesh_peer;
	char *peer_id; /* owned; NULL: none */
	struct spiffe_id peer;
	char alpn[16], cipher[48];
	struct authz_out verdict;
	char rule[160];
	/* the verified chain of the peer, outbound of the upstream; NULL: none, or HTTP's pools
	 * have it */
	struct cert_chain *peer_chain;
	uint32_t trusted_at; /* generation under whose bundle the chain was verified */
	/* outbound: where to */
	struct dest dest;
	struct list_node wait_node; /* on flow->waiting or ->answered */
	bool used;                  /* counted in flow->uses */
	bool has_early;             /* a byte that came while it waited */
	uint8_t early;
	const char *unknown; /* why the destination is not known; static storage */
	/* what it is made of now */
	struct io *io;
	struct buf first; /* sniffed bytes that the next layer gets */
	struct detect *detect;
	struct tls_handshake *handshake;
	struct connect *connect;
	struct spec spec;
	struct relay *relay;
	uint64_t relay_started; /* loop time; 0: not yet */
	struct http_conn *http;
	struct loop_timer retire;             /* HTTP: before either leaf expires */
	struct list requests;                 /* struct request of this connection */
	const struct mesh_endpoint *endpoint; /* raw TCP: chosen */
	const struct mesh_endpoint *tried[CONN_ATTEMPTS];
	uint32_t n_tried;
	struct balance_load *load;
	struct loop_timer timer;
	struct span span; /* raw TCP */
	char *labels;     /* what the span borrowed from snap; owned */
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

/* Takes the configuration in force, where nothing is borrowed from the one before: no endpoint is
 * chosen and no span is open. */
void conn_refresh(struct conn *c);
/* The same where an endpoint is chosen and in force still; else nothing happens. So that who is
 * silent for long keeps no old configuration alive. */
void conn_follow(struct conn *c);
/* It needs its snapshot no more: nothing is to be borrowed from that any longer. */
void conn_let_go(struct conn *c);
/* References the chain that the peer of io presented. */
void conn_keep_chain(struct conn *c, const struct io *io);
/* Fills the span's facts that both flows know; slices are borrowed from snap and the connection. */
void conn_fill_span(const struct conn *c, const struct snapshot *snap, const struct dest *dest,
	struct span *s);

/* inbound.c */
/* The ALPN protocols that the inbound side accepts; NULL-terminated. */
const char *const *inbound_alpn(void);
/* Judges the peer under snap; fills verdict and rule. */
void inbound_judge(struct conn *c, const struct snapshot *snap);
/* A connection without TLS goes to the application. */
void inbound_count_plaintext(struct conn *c);

/* judge.c */
/* What the configuration in force says of a chain that was verified under the bundle of generation
 * judged. */
enum cert_verdict flow_judge_chain(const struct flow *f, const struct cert_chain *chain,
	uint32_t judged, bool server);

/* session.c: serves HTTP on c->io. */
void session_start(struct conn *c, enum http_version version);

/* outbound.c: the client is silent; dials where the server may speak first. */
void outbound_speculate(struct conn *c);
/* outbound.c: the target of a raw TCP connection to the destination. 0 or a mesh reason; picks an
 * endpoint where there are several. */
int outbound_tcp_target(struct conn *c, struct connect_target *out, const char **detail);

#endif
