/*
 * Pods by their labels, so that a selector looks at those alone that have one of its labels.
 * Private to the join.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_LABEL_INDEX_H
#define WEFT_CTRLPLANE_COMPILE_LABEL_INDEX_H

#include "ctrlplane/compile/world_internal.h"

/* Owned by the join; borrows the world's pods. */
struct label_index;

/* Pods in the order of the world. */
struct label_index *label_index_new(struct world *w);
void label_index_free(struct label_index **x);
/* Pods of the namespace that may match the selector (which has a label), in order: those with its
 * rarest label. */
const struct object_list *label_index_find(const struct label_index *x, struct str ns,
	const struct labels *selector);

#endif
