/*
 * Who this sidecar is: key, CSR, leaf and session credential, renewed from half-life on with
 * jitter, for ever. Calls Identity.Sign over the channel to the control plane; owned by struct
 * proxy.
 */
#ifndef WEFT_SIDECAR_IDENTITY_IDENTITY_H
#define WEFT_SIDECAR_IDENTITY_IDENTITY_H

#include "certs/chain.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/grpc/channel.h"
#include "lib/json/json.h"

struct identity;

/* Copied; what it points to is borrowed. */
struct identity_config {
	struct loop *loop;
	struct log *log;
	struct rng *rng;
	struct grpc_channel *channel;
	struct metrics *metrics;
	const char *token_file; /* read again at each use; missing or empty: none */
	struct str pod_uid;     /* that the leaf must carry; empty: whatever it says */
	/* Ours, once a dial has told it; empty: whatever the answer says. */
	struct str (*trust_domain)(void *arg);
	/* A leaf came (chain, key, session are new), or the session alone. */
	void (*changed)(void *arg);
	void *arg; /* of both */
};

struct identity *identity_new(const struct identity_config *cfg);
/* From the last-good file, before identity_start; chain and key are referenced, may be NULL. */
void identity_restore(struct identity *i, struct cert_chain *chain, struct cert_key *key,
	struct str session);
void identity_start(struct identity *i);
/* The control plane is there again, or the token may have changed: tries soon where it waits after
 * a failure. */
void identity_kick(struct identity *i);
/* The session was refused elsewhere: asks for another with the token, where there is one. */
void identity_refused(struct identity *i);
/* The roots changed: renews (with jitter) where the leaf does not hang from the first of them. */
void identity_roots(struct identity *i, struct str roots_der);
void identity_free(struct identity **i);

/* Borrowed until the next event; NULL before there is one. */
struct cert_chain *identity_chain(const struct identity *i);
struct cert_key *identity_key(const struct identity *i);
/* The session, else the token file's content; empty: none. */
struct str identity_credential(void *identity);
struct str identity_session(const struct identity *i);
/* Why there is none that holds, one line each; true where there is one, whether or not its renewal
 * fails. */
bool identity_ready(const struct identity *i, struct buf *reasons);
/* Members of an open JSON object. */
void identity_describe(const struct identity *i, struct json *j);

#endif
