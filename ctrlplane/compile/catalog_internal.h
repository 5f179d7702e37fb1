/*
 * The inside of a catalog, shared by what compiles (catalog.c) and what finds by host name
 * (catalog_name.c).
 */
#ifndef WEFT_CTRLPLANE_COMPILE_CATALOG_INTERNAL_H
#define WEFT_CTRLPLANE_COMPILE_CATALOG_INTERNAL_H

#include "ctrlplane/compile/catalog.h"
#include "ctrlplane/compile/world_internal.h"

struct catalog {
	unsigned refs;
	struct world *w;
	struct arena arena; /* all that follows, and the resources */
	const struct compile_bundle *bundles;
	const struct str *bundle_names;
	struct str *revoked;
	size_t n_bundles, n_revoked;
	struct map *compiled; /* name -> struct compiled */
	struct map *required; /* address of a kube_pod -> struct catalog_required */
};

/* The resource "kind/ns/name", of an object of the world. */
const struct compiled *catalog_object(struct catalog *c, const char *kind, struct str ns,
	struct str name);

#endif
