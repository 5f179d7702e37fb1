/*
 * The inside of struct live for its two files: live.c (in force) and live_file.c (kept). Not for
 * anybody else.
 */
#ifndef WEFT_SIDECAR_LIVE_INTERNAL_H
#define WEFT_SIDECAR_LIVE_INTERNAL_H

#include "sidecar/discovery/discovery.h"
#include "sidecar/identity/identity.h"
#include "sidecar/keeper.h"
#include "sidecar/link.h"
#include "sidecar/live.h"

#define LIVE_MAGIC 0x6c697665u

/* Owned by struct proxy. */
struct live {
	struct obj_head obj;
	struct live_config cfg;
	struct link *link;
	struct grpc_channel *channel;
	struct identity *identity;
	struct discovery *discovery;
	struct keeper *keeper;
	void *key; /* of identity as PKCS#8, for states; wiped */
	size_t key_n;
	int64_t heard_at; /* wall clock (s) of the last contact; what written_at says */
	struct loop_timer tick;
	bool discovering, connected, saved_whole;
	uint64_t files_refused;
	char refusal[512];
	uint8_t rules[SHA256_SIZE]; /* of the configuration that was last written for them */
};

static inline struct live *live_check(void *p)
{
	return OBJ_CAST(struct live, LIVE_MAGIC, p);
}

static inline int64_t live_wall_s(const struct live *l)
{
	return (int64_t)(loop_wall(l->cfg.http.loop) / NS_PER_S);
}

/* --- live.c --- */
/* Adds to required and used what makes a whole State of them; borrowed until the next event. */
void live_complete(struct live *l, Weft__Mesh__V1__State *st);
/* Adds certificate, key and session alone. */
void live_add_identity(struct live *l, Weft__Mesh__V1__State *st);
/* The roots of our own trust domain are those of now, for link and identity. */
void live_take_roots(struct live *l, const Weft__Mesh__V1__State *st);

/* --- live_file.c --- */
/* As struct keeper_config wants it. */
bool live_fill_state(void *live, Weft__Mesh__V1__State *st);
/* What the last-good file has, where it holds. */
void live_restore(struct live *l);

#endif
