/*
 * The inside of a world, shared by what fills it (decode), joins it and emits from it.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_WORLD_INTERNAL_H
#define WEFT_CTRLPLANE_COMPILE_WORLD_INTERNAL_H

#include "ctrlplane/compile/good_internal.h"
#include "ctrlplane/compile/world.h"
#include "lib/base/map.h"
#include "lib/crypto/crypto.h"

/* Room for "kind/ns/name": kinds are ours, namespaces have at most 63 bytes and names 253 (and what
 * tells two apart). */
#define OBJECT_KEY_MAX 512

/* Growing array of pointers to objects that begin with their struct object_meta; the array is in
 * the heap, what it points to in the arena. */
struct object_list {
	void **v;
	size_t n, room;
};

/* The first object of a name that was read; in the arena. */
struct seen_object {
	struct object_meta meta;
	struct blob *blob; /* NULL where nothing is remembered */
	uint32_t ordinal;
	bool valid;
	bool twice;  /* and there was another one */
	bool redone; /* what it was before holds */
};

/* A part of the source that could not be read; in the arena. */
struct hole {
	struct hole *next;
	const char *path; /* a file, or a folder with all that is in it */
	bool soft;        /* one object of the file alone, without a name */
	bool strange;     /* it was never read whole: it may hold what is missing elsewhere */
	bool rest;        /* too many to tell apart: may hold anything */
	size_t kept;
};

/* An earlier form that is decoded in the place of what is there now; in the arena. */
struct redo {
	struct str key;
	const struct form *form;
	struct object_meta now; /* where the object is, or was, and what */
	bool kept;              /* for a hole */
};

struct world {
	unsigned refs;
	struct arena arena;
	struct problems problems;
	struct map *seen; /* "kind/ns/name" -> struct seen_object */
	struct map *uids; /* UID of a pod -> struct object_meta */
	/* What is remembered, and what of it is used; see settle.c. */
	struct good *good; /* borrowed until world_join */
	struct object_list blobs, redos;
	struct hole *holes;
	size_t n_holes, hard_holes;
	/* The file that is being decoded. */
	struct blob *blob;
	uint32_t ordinal;     /* of its next object */
	struct redo **wanted; /* NULL: all of it */
	size_t n_wanted;
	struct object_list pods, services, slices, peer_auths, authz, traffic;
	struct object_list doubtful; /* struct addr that objects have which were refused */
	struct mesh_config config;
	struct map *owners;    /* address -> struct claim; filled by join */
	struct map *unix_uids; /* uint32_t -> struct kube_pod that alone has it; filled by join */
	size_t files, namespaces, broken;
	bool unreadable;    /* more than is taken */
	bool config_broken; /* and no MeshConfig in its place */
	bool complete;
	uint8_t digest[SHA256_SIZE]; /* of all that was read, in order */
};

/* Who was the first to claim an address, and whether it stayed alone. */
struct claim {
	const struct object_meta *by;
	bool contested;
};

void object_list_add(struct object_list *l, void *object);
void object_list_sort(struct object_list *l);

struct str object_title(struct arena *a, const struct object_meta *m);
/* About an object that is already decoded. */
void world_tell(struct world *w, enum problem_severity s, const struct object_meta *m,
	const char *field, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* True where every label of the selector is among the labels. */
bool labels_match(const struct labels *selector, const struct labels *labels);
struct str labels_get(const struct labels *l, const char *key);
/* Scope of AuthorizationPolicies: namespace (the root namespace is all) and selector. */
bool scope_selects(const struct policy_scope *s, const struct kube_pod *pod);

int str_order(struct str a, struct str b);
/* Order by namespace and name. */
int object_order(const struct object_meta *a, const struct object_meta *b);

/* What holds without a MeshConfig. */
void world_default_config(struct world *w);
/* A part that could not be read; hard: a whole file or folder, soft: an object without a name. */
void world_add_hole(struct world *w, const char *path, bool soft);
/* The objects of a file; those that are wanted, where some are. 0, or ERR_* where it cannot be
 * parsed: then none of them. */
struct yaml_error;
int decode_bytes(struct world *w, const char *file, struct str bytes, struct yaml_error *error);
/* Puts earlier forms in the place of what is broken or cannot be read. Before everything is joined;
 * lists are not sorted yet. */
void world_settle(struct world *w);

/* The steps of world_join, in this order; lists are sorted before. */
void join_names(struct world *w);
void join_uids(struct world *w);
void join_unix_uids(struct world *w);
void join_addresses(struct world *w);
void join_modes(struct world *w);
void join_services(struct world *w);
void join_traffic(struct world *w);
void join_domains(struct world *w);

/* The object of a sorted list that has the name; the first where there are several. */
void *list_find(const struct object_list *l, struct str ns, struct str name);
/* The objects of a sorted list that are in a namespace: positions from..to-1. */
void list_range(const struct object_list *l, struct str ns, size_t *from, size_t *to);

/* That can be called by its own address: one on the host's network has none. */
bool pod_is_callable(const struct kube_pod *pod);
/* Container port that a Service's port leads to in this pod; 0: none of that name. */
uint16_t pod_target(const struct kube_pod *pod, const struct service_port *port);
/* Mode of what has no labels that a selector could find. */
Weft__Mesh__V1__MtlsMode namespace_mode(struct world *w, struct str ns);
/* Endpoints of a Service from its slices. */
void join_slices(struct world *w, struct kube_service *svc);
/* A Service's port leads to that port of a pod. */
void join_port(struct world *w, struct kube_service *svc, struct kube_pod *pod, size_t i,
	uint16_t target);
/* Effective mode of a pod's port. */
Weft__Mesh__V1__MtlsMode pod_port_mode(const struct kube_pod *pod, uint16_t port);

#endif
