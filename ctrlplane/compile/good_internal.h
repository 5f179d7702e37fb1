/*
 * The inside of what is remembered, for the world that fills and asks it.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_GOOD_INTERNAL_H
#define WEFT_CTRLPLANE_COMPILE_GOOD_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrlplane/compile/good.h"
#include "lib/base/map.h"
#include "lib/crypto/crypto.h"

/* One version of one file. Refcounted by forms, and by good for the newest that could be parsed. */
struct blob {
	unsigned refs, reading; /* reading: the last one that met it */
	char *file;
	bool whole; /* every document in it was an object */
	struct str bytes;
	uint8_t hash[SHA256_SIZE];
};

/* Where an object is: the how-manieth of a blob. Owned by good; owns a reference on the blob. */
struct form {
	struct blob *blob;
	uint32_t ordinal, line;
};

struct good {
	struct map *forms; /* "kind/ns/name" -> struct form */
	struct map *files; /* name -> struct blob */
	unsigned reading;  /* this one's number */
	bool complete;     /* once all of the source could be read */
};

/* The version that is known already where the bytes are the same; one reference for the caller. */
struct blob *good_blob(struct good *g, const char *file, struct str bytes);
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob **b);

/* This is what the object is now. */
void good_put(struct good *g, struct str key, const struct form *now);
void good_drop(struct good *g, struct str key);
/* The file could be parsed in this version. */
void good_put_file(struct good *g, struct blob *b);
/* Forgets the files that this reading did not meet, and begins the next one. */
void good_end_reading(struct good *g);

#endif
