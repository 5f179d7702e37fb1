/*
 * What tests of TLS stand on: a trust domain with its CA, leaves of every kind, and connections in
 * memory on a simulated loop. Each test opens a world and closes it; a leak of buffers fails the
 * test there.
 */
#ifndef WEFT_TESTS_TLS_WORLD_H
#define WEFT_TESTS_TLS_WORLD_H

#include "certs/issue.h"
#include "lib/tls/tls.h"

#define WORLD_START 1800000000 /* seconds since the epoch */
#define WORLD_TD "mesh.test"
#define WORLD_SERVER "spiffe://mesh.test/ns/shop/sa/server"
#define WORLD_CLIENT "spiffe://mesh.test/ns/shop/sa/client"
#define WORLD_UID "0f6d9f5e-11f0-4a7c-9e36-5d8f0f2b1c11"

/* Owned by the test; tls_world_close ends it. */
struct tls_world {
	struct loop *loop;
	struct buf_pool *bufs;
	struct cert_ca *ca;
	struct cert_bundle *bundle; /* of WORLD_TD alone */
};

void tls_world_open(struct tls_world *w);
/* Fails the test where a chunk of the pool is still in use. */
void tls_world_close(struct tls_world *w);

/* A leaf of ca (NULL: the world's) with a key of its own. The caller unrefs both. */
struct cert_chain *tls_world_leaf(struct tls_world *w, const struct cert_ca *ca, const char *id,
	const char *uid, enum cert_flaw flaw, struct cert_key **key);
/* A context with a leaf like that (id NULL: an anonymous client), ALPN "weft/h2" and "weft/tcp".
 * The caller unrefs it. */
struct tls_ctx *tls_world_ctx(struct tls_world *w, enum tls_role role, const char *id,
	enum cert_flaw flaw);
/* The same with everything chosen; chain, key, bundle and clock are filled in where they are NULL.
 */
struct tls_ctx *tls_world_ctx_of(struct tls_world *w, struct tls_ctx_config cfg);

/* One end of a connection: the handshake that runs, then the io or why there is none. */
struct tls_end {
	struct tls_handshake *handshake;
	struct io *io;
	struct tls_failure failure;
	int calls; /* of done */
};

/* The two ends, and what they stand on while the handshake runs. */
struct tls_pair {
	struct tls_end server, client;
	struct io *mem[2]; /* borrowed: of the server, of the client */
};

/* Starts both handshakes over a pipe with room for capacity bytes; id and uid are what the client
 * expects (NULL: WORLD_SERVER, none). */
void tls_pair_start(struct tls_world *w, struct tls_pair *p, struct tls_ctx *server,
	struct tls_ctx *client, size_t capacity, const char *id, const char *uid);
/* One end over the given io. */
void tls_end_start(struct tls_world *w, struct tls_end *end, struct io *below,
	const struct tls_handshake_config *cfg);
/* tls_pair_start, run until nothing moves; unrefs both contexts. */
void tls_pair_run(struct tls_world *w, struct tls_pair *p, struct tls_ctx *server,
	struct tls_ctx *client);
/* Both good contexts and a finished handshake; fails the test where it does not succeed. */
void tls_pair_good(struct tls_world *w, struct tls_pair *p);
/* Cancels or closes what is left, and runs until nothing moves. */
void tls_pair_close(struct tls_world *w, struct tls_pair *p);
/* Runs until nothing moves. */
void tls_world_settle(struct tls_world *w);

/* Writes n bytes of text into io (which must take them at once) and settles. */
void tls_world_send(struct tls_world *w, struct io *io, const void *bytes, size_t n);
/* Reads until the io has no more; returns how it ended (ERR_AGAIN, 0, ERR_*). out holds size bytes,
 * *n is how many came. */
int tls_world_receive(struct tls_world *w, struct io *io, void *out, size_t size, size_t *n);

/* Fails the test where part is not in text. */
void tls_assert_has(const char *text, const char *part);
/* Fails the test unless the io has ended with err and no data, and its failure text names the
 * alert. */
void tls_assert_refused(struct tls_world *w, struct io *io, int err, const char *alert);

#endif
