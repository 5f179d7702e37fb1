/*
 * A real control plane in a test mesh: its source and data in a folder of the test's, pods of the
 * mesh as manifests, and sidecars that live from it.
 */
#ifndef TESTS_SUPPORT_MESH_CONTROL_H
#define TESTS_SUPPORT_MESH_CONTROL_H

#include "ctrlplane/ctrlplane.h"
#include "tests/support/mesh_support.h"

#define MESH_CONTROL "10.77.255.254"

/* Owned by the test, which ends it before its mesh. */
struct mesh_control {
	struct mesh *mesh;
	char folder[64];
	struct ctrlplane_params params;
	struct ctrlplane *cp; /* NULL: not there */
	struct rng rng;
	struct addr addr;  /* of gRPC */
	const char *extra; /* more manifests, borrowed; NULL: none */
	bool done;
};

/* flags: NULL-terminated, more for weft-ctrlplane. Does not start it. */
void mesh_control_init(struct mesh_control *c, struct mesh *m, const char *const *flags);
void mesh_control_fini(struct mesh_control *c);
void mesh_control_start(struct mesh_control *c);
/* In order; its data stays. */
void mesh_control_stop(struct mesh_control *c);
/* Manifests of the mesh's pods and of its service, and extra; read again where it runs. Settles. */
void mesh_control_write(struct mesh_control *c);
/* A token file for the pod, made by the control plane. */
void mesh_control_token(struct mesh_control *c, struct mesh_test_pod *p);
/* Parameters of a sidecar that lives from it, with a token and the root of now. */
void mesh_control_prepare(struct mesh_control *c, struct mesh_test_pod *p);
/* The pod's last-good file; valid until the next call. */
const char *mesh_control_state(const struct mesh_control *c, const struct mesh_test_pod *p);
/* Ends the pod's sidecar at once, as a kill would; its files stay. */
void mesh_control_kill(struct mesh_test_pod *p);

#endif
