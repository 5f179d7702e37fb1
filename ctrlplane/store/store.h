/*
 * What is in force in this control plane: the catalog, its position, whether the source is known to
 * be complete, and what is wrong with it. A source puts new worlds in, the CA bundles and
 * revocations; push and attestation read, and hear of changes. Owned by main.
 */
#ifndef WEFT_CTRLPLANE_STORE_STORE_H
#define WEFT_CTRLPLANE_STORE_STORE_H

#include "ctrlplane/compile/catalog.h"
#include "lib/json/json.h"
#include "lib/base/log.h"
#include "lib/base/list.h"
#include "lib/net/loop.h"

struct store;

/* position_file: where the position survives a restart (mode 0600, replaced atomically). 0, or
 * ERR_* with text. */
int store_new(struct loop *loop, struct log *log, const char *position_file, struct store **out,
	char *err, size_t size);
void store_free(struct store **s);

/*
 * A joined world (taken) after each reading of the source. complete: all of it could be read, so
 * that what is missing was deleted; a world that is not complete is put in force only where there
 * was none complete before it and never makes the store ready. Where contents are as before,
 * nothing changes but the problems.
 */
void store_set_world(struct store *s, struct world *w, bool complete);
/* Copied. */
void store_set_bundles(struct store *s, const struct compile_bundle *bundles, size_t n);
void store_set_revoked(struct store *s, const struct str *serials, size_t n);

/* NULL before the first complete world and the first bundles: then nothing may be told to anybody.
 * Borrowed until the next change; take a reference to keep it. */
struct catalog *store_catalog(const struct store *s);
/* "ID:NUMBER" of the catalog in force: same ID, greater number is later. Empty with no catalog. */
struct str store_position(const struct store *s);
/* -1, 0, 1 as a is before, at, or after b; 2 where they cannot be compared (another source). */
int position_compare(struct str a, struct str b);
/* Why not ready, one line each; true where it is. */
bool store_ready(const struct store *s, struct buf *reasons);
/* Members of an open JSON object: position, counts, problems. */
void store_describe(const struct store *s, struct json *j);

/* Called deferred after each change of the catalog. Embedded in its owner, who removes it. */
struct store_listener {
	struct list_node node;
	void (*fn)(void *arg);
	void *arg;
};
void store_listen(struct store *s, struct store_listener *l);
void store_unlisten(struct store_listener *l);

#endif
