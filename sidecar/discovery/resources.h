/*
 * Resources by name: what is in force, what came and is to be, and what must be there. A response
 * is laid over them; one candidate State then goes to apply, and only what holds together stays.
 * Pure but for memory and those two calls; owned by struct discovery.
 */
#ifndef WEFT_SIDECAR_DISCOVERY_RESOURCES_H
#define WEFT_SIDECAR_DISCOVERY_RESOURCES_H

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "sidecar/snapshot/snapshot.h"
#include "weft/mesh/v1/discovery.pb-c.h"

#define RESOURCE_NAME_MAX 512       /* bytes of a resource's name */
#define RESOURCE_HASH_MAX 64        /* bytes of a hash, which is opaque here */
#define RESOURCES_BYTES (48u << 20) /* of all of them, packed: the last-good file takes 64 MiB */
#define REQUIRED_BUNDLES 64         /* names in one list of Required */
#define REQUIRED_POLICIES 10000
#define SETTLE_TRIES 8     /* resources put back one by one before a response is as a whole */
#define REJECTIONS_MAX 128 /* in one answer; more are counted */

/* One version, refcounted. */
struct version {
	uint32_t refs;
	size_t bytes; /* packed */
	Weft__Mesh__V1__Resource *msg;
};

/* What Required names a resource as. */
enum role { ROLE_NONE, ROLE_WORKLOAD, ROLE_MESH, ROLE_REVOCATIONS, ROLE_BUNDLE, ROLE_POLICY };

/* Why the newest version that came is not in force. Owned by its slot. */
struct refusal {
	size_t hash_n;
	uint8_t hash[RESOURCE_HASH_MAX];
	struct snapshot_fault fault; /* without the resource's name */
};

/*
 * One name. Lives as long as Required (old or new) or a key names it; owned by the table. good is
 * in force; cur is what the next State has: the same, or newer.
 */
struct slot {
	struct list_node lru; /* destinations that may be forgotten, the least used first */
	struct list keys;     /* struct key, by its sibling */
	struct version *good, *cur;
	struct refusal *refusal;
	uint64_t refreshed; /* when it was last asked for again */
	uint32_t pins;      /* keys that may not be forgotten */
	uint8_t force, want,
		next; /* enum role in what is in force, in what shall be, in the making */
	bool fresh;   /* came by the response at hand */
	char name[];
};

/* A Required message; slots in the order of the state. */
struct required {
	bool known, bundles, policies; /* it came; its lists were there */
	struct slot **v;
	size_t n;
};

/* Puts a State in force, as discovery_user.apply. */
typedef int resources_apply_fn(void *arg, Weft__Mesh__V1__State *st, struct snapshot_fault *fault);
typedef int resources_check_fn(void *arg, const Weft__Mesh__V1__Resource *r,
	struct snapshot_fault *fault);

struct resources_config {
	resources_check_fn *check;
	resources_apply_fn *apply;
	void *arg;
	struct log *log;
	uint64_t seed;
};

/* Owned by struct discovery. */
struct resources {
	struct resources_config cfg;
	struct map *slots; /* by name */
	struct map *index; /* addr with port 0 -> the slot in force that has it */
	struct list lru;
	size_t n_lru;
	size_t bytes; /* of all versions held */
	struct required want, force;
	bool dirty;          /* what is to be differs from what is in force */
	bool settling;       /* inside apply */
	struct slot **fresh; /* of the response at hand */
	size_t n_fresh;
	struct arena rejected_a; /* of what the next answer refuses */
	Weft__Mesh__V1__Rejection *rejected[REJECTIONS_MAX];
	size_t n_rejected;
	uint64_t unasked, refused, applied; /* counts since the start */
	struct snapshot_fault failure; /* of the last settling as a whole; reason[0] == 0: none */
};

void resources_init(struct resources *r, const struct resources_config *cfg);
void resources_fini(struct resources *r);

/* NULL where there is none. */
struct slot *resources_find(const struct resources *r, struct str name);
/* Makes it; NULL where the name is none (empty, too long). */
struct slot *resources_slot(struct resources *r, const char *name);
/* Frees it where nobody names it any more. */
void resources_release(struct resources *r, struct slot *s);
/* Of one of its keys, as a destination: keeps the LRU right. */
void resources_touch(struct resources *r, struct slot *s);
/* The slot in force that has the address (port 0), or NULL. */
struct slot *resources_by_address(const struct resources *r, const struct addr *ip);
/* Calls fn for each address that its version in force can be dialled at; stops where fn is true. */
bool slot_each_address(const struct slot *s, bool (*fn)(void *arg, const struct addr *ip),
	void *arg);

/* New Required: 0, or ERR_INVAL / ERR_LIMIT (refused; what was wanted stays wanted). */
int resources_require(struct resources *r, const Weft__Mesh__V1__Required *q);
/* Takes the messages of a response: pointers are NULL afterwards. */
void resources_stage(struct resources *r, Weft__Mesh__V1__Resource **v, size_t n);
void resources_remove(struct resources *r, char *const *names, size_t n);
/* Puts in force what can be, where something is to change; true where a new State is in force. */
bool resources_settle(struct resources *r);
/* One that is in force already: its slot, for keys to be linked to, or NULL where it is none or is
 * there. Copied. */
struct slot *resources_restore_one(struct resources *r, const Weft__Mesh__V1__Resource *m);
/* What is required, of a last-good file that is in force. Copied. */
void resources_restore(struct resources *r, const Weft__Mesh__V1__State *st);

/* Required is in force: this pod may carry traffic. */
bool resources_ready(const struct resources *r);
/* What is missing of what is wanted, a line each (bounded); true where nothing is. */
bool resources_missing(const struct resources *r, struct buf *lines);
/* Arrays of what is in force for the state; mem_free. */
void resources_fill(const struct resources *r, Weft__Mesh__V1__State *st);
void resources_unfill(Weft__Mesh__V1__State *st);
/* What the server need not send again; in the arena, at most max bytes on the wire. */
void resources_held(const struct resources *r, struct arena *a, size_t max,
	Weft__Mesh__V1__DiscoveryRequest *out);
/* The answer went out. */
void resources_answered(struct resources *r);

#endif
