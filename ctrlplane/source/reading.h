/*
 * One reading of a directory into a world, apart from any loop: it may block for as long as the
 * disk does, and is made for a thread of its own. Private to the source.
 */
#ifndef WEFT_CTRLPLANE_SOURCE_READING_H
#define WEFT_CTRLPLANE_SOURCE_READING_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrlplane/compile/world.h"

/* A file that changed less than so long ago may be in the middle of being written. */
#define READING_QUIET_NS 100000000ull

/* On its owner's stack or in it; borrows path and good. Nobody else may touch good meanwhile. */
struct reading {
	const char *path;
	struct good *good;
	bool hasty;    /* reads files that have just changed too */
	bool if_other; /* reads nothing where the files look as they did at print */
	uint64_t print;
	/* Out: */
	struct world *world; /* joined, for the caller; NULL: not read */
	/* To be read again soon: not read because a file has just changed, or read without one that
	 * changed meanwhile. */
	bool early;
};

void reading_run(struct reading *r);

#endif
