/*
 * Small files as a whole: read with a bound and a look at who else could, replaced so that no
 * reader and no crash ever meets a half-written one. Used for keys, states and positions; owns
 * nothing between calls. Blocks for as long as the disk does.
 */
#ifndef WEFT_BASE_FILE_H
#define WEFT_BASE_FILE_H

#include "lib/base/str.h"

/*
 * The whole of a regular file of at most max bytes into fresh memory, with a NUL behind it
 * (mem_free_secret(p, n)). forbidden: permission bits that it must not have (077 for secrets). 0,
 * ERR_NOTFOUND, ERR_LIMIT, ERR_DENIED (mode, owner), ERR_IO; text names the file, and the remedy
 * for a mode.
 */
int file_read(const char *path, size_t max, unsigned forbidden, char **p, size_t *n, char *err,
	size_t size);
/*
 * bytes under that name with that mode: written beside it, synced, renamed over it, and the folder
 * synced. Where it fails, what was there before is there still. 0, or ERR_IO with text.
 */
int file_replace(const char *path, unsigned mode, struct str bytes, char *err, size_t size);

#endif
