/*
 * TLS 1.3 with SPIFFE on both sides, as a layer of the io stack. Handshake (tls_handshake_start)
 * and record layer (the io that it yields) are separate objects. Only here and in certs and
 * lib/crypto is the TLS library visible.
 */
#ifndef WEFT_TLS_TLS_H
#define WEFT_TLS_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "certs/chain.h"
#include "certs/key.h"
#include "lib/net/io.h"

/*
 * Everything that many connections share: own chain and key, bundle, ALPN list. Refcounted and
 * immutable, so that rotation makes a new one and never touches a handshake that runs on the old.
 */
struct tls_ctx;

enum tls_role { TLS_SERVER, TLS_CLIENT };

struct tls_ctx_config {
	enum tls_role role;
	struct cert_chain *chain; /* referenced; chain and key may be NULL for a client that has no
				     certificate yet */
	struct cert_key *key;     /* referenced */
	struct cert_bundle *bundle; /* referenced; may be NULL with anonymous_client */
	const char *const *alpn;    /* NULL-terminated, in order of preference; copied */
	const struct clock *clock;  /* wall clock for validity; borrowed, outlives the ctx */
	bool anonymous_client;      /* server: no client certificate is asked for (control plane,
				       webhook) */
};

/* 0, or ERR_INVAL with text in err (key does not match, empty bundle, ...). */
int tls_ctx_new(const struct tls_ctx_config *cfg, struct tls_ctx **out, char *err, size_t size);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx);
void tls_ctx_unref(struct tls_ctx **ctx);
const struct cert_leaf *tls_ctx_leaf(const struct tls_ctx *ctx);

/* How a handshake ended badly. */
struct tls_failure {
	int err; /* ERR_VERIFY, ERR_PROTOCOL, ERR_LIMIT, ERR_TIMEOUT, ERR_CLOSED, or of the io below
		  */
	enum cert_verdict verdict; /* CERT_GOOD where the certificate was not the cause */
	char text[160];            /* for the log: "peer certificate: the certificate has expired
				      (spiffe://...)" */
	bool alert_from_peer;      /* the peer refused us; text names the alert */
	char peer_id[256]; /* what the refused peer claimed, escaped and cut; empty: unknown */
};

/* io: the encrypted stream, owned by the callee; NULL on failure. Exactly once, never from inside
 * tls_handshake_start. */
typedef void tls_done_fn(void *arg, struct io *io, const struct tls_failure *failure);

struct tls_handshake;

struct tls_handshake_config {
	struct tls_ctx *ctx; /* referenced for as long as the io lives */
	struct buf_pool *bufs;
	struct cert_expect expect; /* copied; client: id is required. server: empty */
	struct str sni;            /* client; may be empty; over 255 bytes: none */
	const char *const *alpn;   /* client: offers of this connection instead of the ctx's; NULL:
				      the ctx's. Copied, each different list once per ctx */
	uint64_t timeout_ns;       /* 0: 10 s */
};

/*
 * Takes below. The peer's chain is judged by cert_verify inside the handshake, so a refused peer
 * gets an alert and we no application data. TLS 1.3 only; no early data; no post-handshake
 * authentication; server: the client must present a certificate (unless anonymous_client), and ALPN
 * must match one of ours.
 */
struct tls_handshake *tls_handshake_start(struct io *below, const struct tls_handshake_config *cfg,
	tls_done_fn *done, void *arg);
/* No call to done after it; closes below. Safe on NULL. */
void tls_handshake_cancel(struct tls_handshake **h);

/*
 * Of the io that a handshake yields, through any layers above it. Keys are renewed on both sides
 * long before 2^24 records (KeyUpdate, RFC 8446 4.6.3); where the peer does not renew its own when
 * asked, the io ends with ERR_LIMIT. An end of the stream without close_notify is ERR_RESET. A
 * client learns only from its first read (or write) that the server refused its certificate:
 * ERR_VERIFY, which no io says after data has come.
 */
/* Why the stream ended badly, for the log ("the peer refused us: alert unknown_ca (48)"); borrowed,
 * empty where it has not. */
struct str tls_io_failure(const struct io *io);
/* Records opened and sealed. */
uint64_t tls_io_records(const struct io *io);
/* The verified chain of the peer for judging again (revocation, rotation of the bundle); borrowed,
 * NULL for anonymous clients. */
const struct cert_chain *tls_io_peer_chain(const struct io *io);

#endif
