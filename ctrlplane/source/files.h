/*
 * Which files are manifests, and their bytes: the one set of rules by which the control plane and
 * the command line read directories. Owns nothing between calls.
 */
#ifndef WEFT_CTRLPLANE_SOURCE_FILES_H
#define WEFT_CTRLPLANE_SOURCE_FILES_H

#include <stdbool.h>
#include <stddef.h>

#define FILES_MAX 20000
#define FILES_MAX_DEPTH 16 /* of directories */

/* What could not be walked or read: a file or directory, and why. */
typedef void files_trouble_fn(void *arg, const char *path, const char *why);

/* Names of files in the order of reading. Owned by its embedder, who clears it. */
struct files {
	char **v;
	size_t n, room;
	bool full; /* it was told that there are too many */
	files_trouble_fn *trouble;
	void *arg;
};

void files_clear(struct files *f);
/*
 * Adds what a path names: a file whatever its name, a directory with all below it that ends in
 * .yaml, .yml or .json (what begins with '.' is left out), in order of names. What cannot be walked
 * is told, and the rest is gone through all the same.
 */
void files_walk(struct files *f, const char *path);
/*
 * All bytes of a file of any kind, or of a descriptor (path is then its name); at most one more
 * than a parser takes. mem_free(*out). 0, or an errno.
 */
int files_read(const char *path, char **out, size_t *n);
int files_read_fd(int fd, char **out, size_t *n);

#endif
