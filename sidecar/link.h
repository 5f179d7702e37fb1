/*
 * How the sidecar reaches its control plane: address, then TLS under the mesh's roots, the server's
 * identity checked. The dialler of the gRPC channel; owned by struct live.
 */
#ifndef WEFT_SIDECAR_LINK_H
#define WEFT_SIDECAR_LINK_H

#include "lib/grpc/channel.h"
#include "lib/net/listen.h"

struct link;

/* Copied; what it points to is borrowed. */
struct link_config {
	struct loop *loop;
	struct net *net;
	struct buf_pool *bufs;
	const char *to;        /* "ADDRESS:PORT", "NAME:PORT" or "unix:FILE"; port 15012 if none */
	const char *root_file; /* PEM; read at each dial */
	const char *id;        /* SPIFFE ID of the server; empty: the default one */
	const char *trust_domain; /* empty: that of id, else that of the root file */
	uint32_t mark;
	uint64_t connect_ns, tls_ns; /* bounds of the two steps */
};

/* 0 or ERR_INVAL with text in err that names the flag. */
int link_new(const struct link_config *cfg, struct link **out, char *err, size_t size);
/* No dial runs any more (the channel went first). */
void link_free(struct link **l);
struct grpc_dialler link_dialler(struct link *l);
/* ":authority" of its calls. */
const char *link_authority(const struct link *l);
/* Roots in force for a trust domain, DER; those of ours count besides the file. Copied. */
void link_set_roots(struct link *l, struct str trust_domain, struct str roots_der);
/* Ours, as the flags or the root file tell; empty while the file could not be read. Borrowed until
 * the next dial. */
struct str link_trust_domain(const struct link *l);
/* Reads the root file for it, where nothing has told it yet and the file can be read. */
void link_learn_trust_domain(struct link *l);

#endif
