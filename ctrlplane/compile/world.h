/*
 * All objects of a source together: documents go in, problems and compiled resources come out. Pure
 * but for memory: no files, no clock. Made by the command line (and a control plane) for one
 * reading of its source.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_WORLD_H
#define WEFT_CTRLPLANE_COMPILE_WORLD_H

#include "ctrlplane/compile/good.h"
#include "ctrlplane/compile/object_policy.h"
#include "ctrlplane/compile/problem.h"

#define WORLD_MAX_PODS 100000
#define WORLD_MAX_SERVICES 20000
#define WORLD_MAX_SLICES 40000
#define WORLD_MAX_POLICIES 10000
#define WORLD_MAX_NAMESPACES 20000

/* Refcounted, not across threads; owns everything that was decoded. */
struct world;

struct world *world_new(void);
/*
 * Falls back on what is remembered for what does not validate or cannot be read, and what is good
 * in this world is remembered by world_join. Before the first file; g must live until world_join.
 */
void world_remember(struct world *w, struct good *g);
struct world *world_ref(struct world *w);
/* Drops a reference. */
void world_free(struct world **w);

/*
 * Reads every object of one file of YAML or JSON. What does not validate is left out (security
 * objects: put in as denials) and reported; nothing is when the file itself cannot be read.
 */
void world_add(struct world *w, const char *file, struct str bytes);
/* A file or directory that could not be read: an error, and the world is not complete. */
void world_unread(struct world *w, const char *path, const char *why);
/* After world_join: all of the source was read, or holds as it was where it was complete before; so
 * what is not there does not exist. */
bool world_complete(const struct world *w);
/* After the last file: who has which address, which pods a Service has, modes. Once. */
void world_join(struct world *w);

const struct problems *world_problems(const struct world *w);
/*
 * True where the errors are all of objects that could be left out or put in as denials: what
 * --fail-closed may write. Not where a file could not be read, or MeshConfig is broken.
 */
bool world_can_fail_closed(const struct world *w);

/* SHA-256 over the names and bytes of the files, in the order of reading: equal inputs make equal
 * resources. 32 bytes. */
const uint8_t *world_digest(const struct world *w);

struct world_counts {
	size_t files, namespaces, services, pods, meshed, policies, peer_auths, broken;
};
void world_count(const struct world *w, struct world_counts *out);

/* NULL where there is none. After world_join. */
const struct kube_pod *world_pod(const struct world *w, struct str ns, struct str name);
/* All pods one by one, in order of namespace and name; NULL past the last. After world_join. */
const struct kube_pod *world_pod_at(const struct world *w, size_t i);
const struct kube_service *world_service(const struct world *w, struct str ns, struct str name);
struct str world_trust_domain(const struct world *w);

#endif
