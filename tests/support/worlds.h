/*
 * Worlds from YAML in a test's own text: made, joined, their problems as lines, their states
 * compiled.
 */
#ifndef WEFT_TESTS_SUPPORT_WORLDS_H
#define WEFT_TESTS_SUPPORT_WORLDS_H

#include "ctrlplane/compile/compile.h"
#include "ctrlplane/compile/world.h"

#define WORLDS_NOW 1800000000ll

/* One file "f.yaml", joined. world_free. */
struct world *worlds_of(const char *yaml);
/* All problems, a line each, NUL-terminated; mem_free. */
char *worlds_said(const struct world *w);
/* Fails the test where the problems are not exactly these. */
void worlds_expect(const struct world *w, const char *said);
/* The state of a pod in namespace shop, which must compile; in the arena. */
Weft__Mesh__V1__State *worlds_state(const struct world *w, const char *pod, struct arena *a);
/* Puts an identity of a new CA into the state, valid until not_after, and the CA's root in the
 * place of the own trust domain's bundle; all in the arena. crypto_init must have been called. */
void worlds_identify(Weft__Mesh__V1__State *st, struct arena *a, int64_t not_after);
/* The resource of that name in the state, or NULL. */
const Weft__Mesh__V1__Resource *worlds_resource(const Weft__Mesh__V1__State *st, const char *name);

/* Pieces of YAML. */
#define OURS(kind, name) \
	"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: " kind "\nmetadata: {name: " name "}\n"
#define POD(name, ip, labels, more)                              \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name \
	", namespace: shop, labels: " labels "}\n"               \
	"spec: {containers: [{name: app}, {name: weft-sidecar}]}\nstatus: {podIP: " ip more "}\n"

#endif
