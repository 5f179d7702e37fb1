/*
 * Parameters in the query of a request to our own endpoints: "pod=shop/web&lifetime=10m". Pure;
 * used by admin.c and control.c.
 */
#ifndef WEFT_CTRLPLANE_QUERY_H
#define WEFT_CTRLPLANE_QUERY_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

/*
 * The first value of key, percent-decoded (RFC 3986 2.1; '+' stays as it is), in the arena or
 * borrowed from query. False where the key is not there or its value is malformed (a bad escape, or
 * one of a control character).
 */
bool query_get(struct str query, struct str key, struct arena *a, struct str *value);
/* True where each key of the query is one of known (ended by NULL); else *unknown is the first that
 * is not. */
bool query_known(struct str query, const char *const *known, struct str *unknown);

#endif
