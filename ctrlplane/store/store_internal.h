/*
 * The inside of the store: what is in force, and the position that counts its changes.
 */
#ifndef WEFT_CTRLPLANE_STORE_STORE_INTERNAL_H
#define WEFT_CTRLPLANE_STORE_STORE_INTERNAL_H

#include "ctrlplane/store/store.h"
#include "lib/crypto/crypto.h"

#define POSITION_ID 32 /* hex digits */
#define POSITION_TEXT (POSITION_ID + 22)

/* Plain value: what position_file holds. hash is that of the inputs that have this number. */
struct position {
	char id[POSITION_ID + 1];
	uint64_t number;
	uint8_t hash[SHA256_SIZE];
};

struct store {
	struct log *log;
	char *file;
	struct position at;
	char text[POSITION_TEXT]; /* of the catalog in force */
	struct catalog *catalog;
	struct world *world; /* the last complete one; may wait for bundles or the disk */
	struct arena bundle_arena, serial_arena;
	const struct compile_bundle *bundles;
	const struct str *revoked;
	size_t n_bundles, n_revoked;
	/* About the last reading. */
	bool read, complete;
	struct world_counts counts;
	struct arena said_arena;
	struct problems said;
	bool foreign;   /* no bundle is of the world's trust domain */
	bool unwritten; /* the position could not be put on disk */
	struct list listeners;
	struct loop_task notify;
	struct loop_timer retry;
};

/* From the file, or a new one with a random ID and number 0 where there is no file. 0, or ERR_*
 * with text: a file that is no position is not written over. */
int position_load(const char *file, struct position *out, char *err, size_t size);
int position_save(const char *file, const struct position *p, char *err, size_t size);
void position_format(const struct position *p, char *dst, size_t size);
/* Over everything that the catalog follows from. */
void position_hash(const struct store *s, uint8_t out[SHA256_SIZE]);

#endif
