/*
 * The inside of a tls_ctx: what a handshake takes from it. Private to lib/tls.
 */
#ifndef WEFT_TLS_CTX_H
#define WEFT_TLS_CTX_H

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "lib/tls/tls.h"

/* The library's configuration for one list of ALPN protocols; owned by the ctx, and owns the list,
 * which the library keeps a pointer to. */
struct tls_variant {
	struct tls_variant *next;
	char **alpn; /* NULL-terminated */
	mbedtls_ssl_config conf;
};

/* Refcounted; frees itself with the last reference. All pointers are references of its own, clock
 * is borrowed. */
struct tls_ctx {
	unsigned refs;
	enum tls_role role;
	bool anonymous_client;
	struct cert_chain *chain; /* NULL: an anonymous client */
	struct cert_key *key;
	struct cert_bundle *bundle; /* NULL: nobody to verify */
	const struct clock *clock;
	mbedtls_x509_crt own_crt;
	mbedtls_pk_context own_key;
	struct tls_variant *own_alpn; /* that of its configuration; borrowed from variants */
	struct tls_variant *variants; /* one per different list */
};

/* The configuration for this list (NULL: the ctx's own). Borrowed. */
const struct tls_variant *tls_ctx_variant(struct tls_ctx *ctx, const char *const *alpn);
/* Wall clock in seconds since the epoch. */
int64_t tls_ctx_now(const struct tls_ctx *ctx);
/* In the library's server configurations: called when a ClientHello has been read; set to a
 * handshake's own check. */
int tls_on_client_hello(mbedtls_ssl_context *ssl);

#endif
