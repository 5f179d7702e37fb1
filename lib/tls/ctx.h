/*
 * The inside of a tls_ctx: what a handshake takes from it. Private to lib/tls.
 */
#ifndef WEFT_TLS_CTX_H
#define WEFT_TLS_CTX_H

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "lib/tls/tls.h"

/* The library's configuration for one list of ALPN protocols; owned by the ctx, as the library
 * keeps that list in it. */
struct tls_variant {
	struct tls_variant *next;
	const char *const *alpn;
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
	const char *const *alpn;
	const struct clock *clock;
	mbedtls_x509_crt own_crt;
	mbedtls_pk_context own_key;
	struct tls_variant
		*variants; /* one per list in use; lists have static storage, so there are few */
};

/* The configuration for this list (NULL: the ctx's own). Borrowed. */
const mbedtls_ssl_config *tls_ctx_conf(struct tls_ctx *ctx, const char *const *alpn);
/* Wall clock in seconds since the epoch. */
int64_t tls_ctx_now(const struct tls_ctx *ctx);
/* In the library's server configurations: called when a ClientHello has been read; set to a
 * handshake's own check. */
int tls_on_client_hello(mbedtls_ssl_context *ssl);

#endif
