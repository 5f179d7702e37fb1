/*
 * The `dir` source: a directory of Kubernetes YAML, watched. Reads it whole after each change (a
 * burst of changes together), keeps the last good form of every file and object that does not
 * validate any more, and puts the world into the store. Owned by main.
 */
#ifndef WEFT_CTRLPLANE_SOURCE_DIR_H
#define WEFT_CTRLPLANE_SOURCE_DIR_H

#include "ctrlplane/store/store.h"

struct dir_source;

/* The first reading is done before it returns; a directory that is not there yet is waited for
 * (the store is not ready, and says why). 0 or ERR_* with text. */
int dir_source_start(struct loop *loop, struct log *log, const char *path, struct store *store,
	struct dir_source **out, char *err, size_t size);
/* Reads again now. */
void dir_source_reload(struct dir_source *d);
/* Safe on NULL. */
void dir_source_stop(struct dir_source **d);

#endif
