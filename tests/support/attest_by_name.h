/*
 * In the place of attestation, for tests of what stands on it: the bearer credential is the pod's
 * name. Included by one file of a test, which then must not link ctrlplane/ca/attest.c.
 */
#ifndef WEFT_TESTS_SUPPORT_ATTEST_BY_NAME_H
#define WEFT_TESTS_SUPPORT_ATTEST_BY_NAME_H

#include <stdio.h>

#include "ctrlplane/ca/attest.h"
#include "lib/base/obj.h"

/* a is the store. */
enum grpc_status attest_call(struct attest *a, const struct grpc_call *c, struct arena *arena,
	struct attested *out, char *err, size_t size)
{
	struct catalog *catalog = store_catalog((struct store *)(void *)a);
	struct str name = grpc_call_bearer(c), ns;
	ASSERT(catalog != NULL);
	if (name.n == 0) {
		snprintf(err, size, "no credential");
		return GRPC_UNAUTHENTICATED;
	}
	if (!str_split(&name, '/', &ns) || catalog_pod(catalog, ns, name) == NULL) {
		snprintf(err, size, "no such pod");
		return GRPC_PERMISSION_DENIED;
	}
	*out = (struct attested){.how = ATTEST_SESSION,
		.ns = arena_str(arena, ns),
		.pod = arena_str(arena, name),
		.uid = arena_str(arena, catalog_pod(catalog, ns, name)->meta.uid),
		.spiffe_id = arena_printf(arena, "spiffe://cluster.local/ns/%.*s/sa/default",
			STR_ARG(ns))};
	return GRPC_OK;
}

#endif
