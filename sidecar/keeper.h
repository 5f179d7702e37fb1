/*
 * Keeps the last-good file up to date: changes of one moment are written together, what cannot be
 * written is tried again. Owned by struct live.
 */
#ifndef WEFT_SIDECAR_KEEPER_H
#define WEFT_SIDECAR_KEEPER_H

#include "lib/base/log.h"
#include "lib/json/json.h"
#include "lib/net/loop.h"
#include "sidecar/snapshot/state.h"

struct keeper;

/* Copied; what it points to is borrowed. */
struct keeper_config {
	struct loop *loop;
	struct log *log;
	const char *path;
	/* Fills in the state to be written, borrowed until the call returns; false: nothing is
	 * worth writing now. */
	bool (*fill)(void *arg, Weft__Mesh__V1__State *st);
	void *arg;
};

struct keeper *keeper_new(const struct keeper_config *cfg);
/* Warns once where the file would reach a disk: it holds a private key. */
void keeper_check_place(struct keeper *k);
/* Something changed: written within a second. */
void keeper_touch(struct keeper *k);
/* Writes at once what waits. */
void keeper_flush(struct keeper *k);
/* Wall clock (s) of what was written last; 0: nothing was. */
int64_t keeper_written_at(const struct keeper *k);
uint64_t keeper_failures(const struct keeper *k);
/* Members of an open JSON object. */
void keeper_describe(const struct keeper *k, struct json *j);
void keeper_free(struct keeper **k);

#endif
