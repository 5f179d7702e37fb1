/*
 * The inside of struct identity for its two files: identity.c (attempts) and tell.c (answers). Not
 * for anybody else.
 */
#ifndef WEFT_SIDECAR_IDENTITY_INTERNAL_H
#define WEFT_SIDECAR_IDENTITY_INTERNAL_H

#include "lib/base/obj.h"
#include "lib/obs/metric.h"
#include "sidecar/identity/identity.h"
#include "sidecar/identity/schedule.h"

#define IDENTITY_MAGIC 0x6964656eu

/* What an attempt is authenticated by. */
enum proof { PROOF_SESSION, PROOF_TOKEN, PROOF_NONE };

enum outcome { ISSUED, REFUSED, UNREACHABLE, REJECTED, OUTCOMES };

/* Owned by struct live; owns all it points to but what cfg borrows. */
struct identity {
	struct obj_head obj;
	struct identity_config cfg;
	char *token_file, *pod_uid;
	struct cert_chain *chain; /* in force, with key; NULL before the first */
	struct cert_key *key;
	struct cert_key *asked; /* sent, and no answer accepted yet */
	char *session, *token;  /* token: as it was read last; NULL: none */
	char token_error[256];  /* why there is none */
	uint8_t *roots;         /* in force for our trust domain, DER; NULL before the first */
	size_t roots_n;
	struct grpc_call *call; /* the attempt that is under way */
	enum proof proof;       /* its, or the last one's */
	bool distrust_session;  /* it was refused: the next attempt begins with the token */
	uint64_t refused_at;    /* loop time of identity_refused; 0: never */
	struct schedule schedule;
	struct loop_timer due; /* the next attempt */
	char error[512];       /* of the last attempt; empty: it succeeded, or there was none */
	bool started, skewed;
	bool recheck; /* the roots changed while an attempt was under way */
	uint64_t renewals;
	struct metric_series *outcomes[OUTCOMES]; /* held; NULL: nobody counts */
};

static inline struct identity *identity_check(void *p)
{
	return OBJ_CAST(struct identity, IDENTITY_MAGIC, p);
}

static inline int64_t identity_wall_s(const struct identity *i)
{
	return (int64_t)(loop_wall(i->cfg.loop) / NS_PER_S);
}

/* The token file of now, kept until it is read again; empty: none, and token_error says why. */
struct str identity_read_token(struct identity *i);

#endif
