/*
 * The last-good file of a sidecar: magic, length, SHA-256, then a State message. Read whole or
 * refused whole, written by temporary file, fsync and rename with mode 0600. Used by the sidecar
 * and by `weft compile`.
 */
#ifndef WEFT_SIDECAR_STATE_H
#define WEFT_SIDECAR_STATE_H

#include "sidecar/snapshot/snapshot.h"
#include "weft/mesh/v1/mesh.pb-c.h"

#define STATE_FORMAT 1
#define STATE_MAX_BYTES (64u << 20)

/* What the reader demands; empty or zero: not demanded. */
struct state_expect {
	struct str trust_domain, pod_uid;
	int64_t now;       /* seconds since the epoch */
	int64_t max_stale; /* seconds; 0: any age */
};

/*
 * 0 with a snapshot (one reference), or ERR_IO, ERR_VERIFY (torn or foreign), ERR_EXPIRED (too old,
 * leaf expired), ERR_INVAL (does not validate); err then names file, resource, field and remedy.
 */
int state_load(const char *path, const struct state_expect *expect, uint64_t seed,
	struct snapshot **out, char *err, size_t size);
/* From bytes in memory; name stands for the file in errors. */
int state_parse(const char *name, struct str bytes, const struct state_expect *expect,
	uint64_t seed, struct snapshot **out, char *err, size_t size);
/*
 * The message alone, of the right frame, checksum and format but not validated, for showing it;
 * freed with state_free. 0, ERR_IO, ERR_NOTFOUND or ERR_VERIFY with text.
 */
int state_read(const char *path, Weft__Mesh__V1__State **out, char *err, size_t size);
int state_decode(const char *name, struct str bytes, Weft__Mesh__V1__State **out, char *err,
	size_t size);
/*
 * The same checks as state_parse on a message that state_read gave. ERR_EXPIRED says that the file
 * is a good one of the right pod whose time is over.
 */
int state_accept(const char *name, const Weft__Mesh__V1__State *st,
	const struct state_expect *expect, uint64_t seed, struct snapshot **out, char *err,
	size_t size);
/* Of the trust domain and pod that are expected: 0, or ERR_VERIFY with text. */
int state_check_owner(const char *name, const Weft__Mesh__V1__State *st,
	const struct state_expect *expect, char *err, size_t size);
/* Wipes the key. */
void state_free(Weft__Mesh__V1__State **state);
/* Writes atomically. 0, ERR_IO or ERR_LIMIT (more than a reader takes) with text. */
int state_save(const char *path, const Weft__Mesh__V1__State *state, char *err, size_t size);
/* The bytes that state_save would write: mem_free_secret(p, n). */
void *state_encode(const Weft__Mesh__V1__State *state, size_t *n);

#endif
