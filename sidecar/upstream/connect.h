/*
 * One ready byte stream to an upstream: TCP, then TLS with the exact identity where the endpoint is
 * meshed, or a pipe in memory to our own inbound. Says in one struct how it failed. Used by the
 * pools and by raw TCP flows.
 */
#ifndef WEFT_SIDECAR_UPSTREAM_CONNECT_H
#define WEFT_SIDECAR_UPSTREAM_CONNECT_H

#include "lib/base/reason.h"
#include "lib/net/listen.h"
#include "lib/tls/tls.h"

/* Opens the far end of a pipe to this pod's own inbound flow; returns the near end. */
typedef struct io *connect_self_fn(void *arg, const struct addr *to, const char *alpn);

/* What connecting needs from its worker; all borrowed. */
struct connect_env {
	struct net *net;
	struct buf_pool *bufs;
	connect_self_fn *self;
	void *self_arg;
	/* The verdict on a verified chain under the configuration of now (revocation; another
	 * bundle than that of ctx); NULL: all are good. */
	enum cert_verdict (*judge)(void *arg, const struct cert_chain *chain,
		const struct tls_ctx *ctx);
	void *judge_arg;
	uint64_t connect_timeout_ns, tls_timeout_ns;
	int user_timeout_ms;
	uint32_t mark;
};

/* Where to and how; copied. */
struct connect_target {
	struct addr to, from;
	struct tls_ctx *ctx; /* NULL: plaintext */
	const char *alpn;    /* static storage; for self connections too */
	struct str id, uid;  /* expected identity, with ctx */
	bool self;
};

struct connect_failure {
	enum reason reason;
	enum cert_verdict verdict;
	char text[224];
};

/* Who answered is good, but somebody else than was to be reached (rule 7). */
static inline bool cert_is_stranger(enum cert_verdict v)
{
	return v == CERT_IDENTITY || v == CERT_POD_UID;
}

/* io is NULL on failure. Exactly once, never from inside connect_start. */
typedef void connect_done_fn(void *arg, struct io *io, const struct connect_failure *failure);

/*
 * How long an HTTP connection over io may take new requests: until RETIRE_MARGIN before the first
 * of both leaves expires, or half of its time where that is shorter. False where it has no leaves.
 */
#define RETIRE_MARGIN (60 * NS_PER_S)
/* What was just made, perhaps for lack of anything better, lives so long at least: an upgrade needs
 * the peer's SETTINGS first. */
#define CONNECT_LEAST_LIFE NS_PER_S
bool upstream_retire_in(const struct io *io, uint64_t *ns);

struct connect;
struct connect *connect_start(const struct connect_env *env, const struct connect_target *target,
	connect_done_fn *done, void *arg);
/* No call to done after it. Safe on NULL. */
void connect_cancel(struct connect **c);

#endif
