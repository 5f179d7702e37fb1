/*
 * Small files that must not lose what they say: a kind, a checksum and lines of text, read whole or
 * refused whole. Private to ctrlplane/ca: tokens, revocations and the steps of a rotation are kept
 * so.
 */
#ifndef WEFT_CTRLPLANE_CA_SEALED_H
#define WEFT_CTRLPLANE_CA_SEALED_H

#include "lib/base/str.h"

/* A file that was read; owns mem, into which body points. */
struct sealed {
	char *mem;
	size_t n;
	struct str body;
};

/*
 * kind: "weft-tokens 1". remedy: what to do about a file that is torn, for the text. 0,
 * ERR_NOTFOUND, ERR_VERIFY (another kind, torn), or of file_read; text names file and remedy. Mode
 * 0600 is demanded.
 */
int sealed_read(const char *path, const char *kind, const char *remedy, size_t max,
	struct sealed *out, char *err, size_t size);
/* Overwrites it in memory; safe on a zeroed one. */
void sealed_clear(struct sealed *s);
/* Replaces the file, on disk when it returns: 0 or ERR_IO with text. */
int sealed_write(const char *path, const char *kind, struct str body, char *err, size_t size);

#endif
