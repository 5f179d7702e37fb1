/*
 * weft.mesh.v1.Identity: attestation, issuance limit per identity, issuing. Owned by main.
 */
#ifndef WEFT_CTRLPLANE_CA_IDENTITY_SERVICE_H
#define WEFT_CTRLPLANE_CA_IDENTITY_SERVICE_H

#include "ctrlplane/ca/attest.h"
#include "ctrlplane/ca/authority.h"
#include "lib/grpc/server.h"
#include "lib/obs/metric.h"

struct identity_service;

struct identity_service_config {
	struct loop *loop;
	struct log *log;
	struct attest *attest;
	struct authority *authority;
	struct metrics *metrics;
	uint32_t burst;      /* leaves per identity at once */
	uint32_t per_minute; /* and then */
};

/* Adds itself to the server, which must go first. */
struct identity_service *identity_service_new(struct grpc_server *s,
	const struct identity_service_config *cfg);
void identity_service_free(struct identity_service **i);

#endif
