/*
 * The decision about a peer, inside the handshake: collects the chain that it presented, asks
 * cert_verify, and tells the TLS library. Works on the struct tls_handshake of its caller, the
 * library's certificate verification.
 */
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/tls/handshake.h"

/* All that the peer presented, leaf first: the library hangs the rest of the message behind the
 * leaf. */
static int collect(const mbedtls_x509_crt *leaf, struct cert_chain **out)
{
	size_t n = 0, at = 0;

	for (const mbedtls_x509_crt *c = leaf; c != NULL; c = c->next) {
		n += c->raw.len;
		if (n > CERT_CHAIN_BYTES)
			return ERR_LIMIT;
	}
	char *der = mem_alloc(n);
	for (const mbedtls_x509_crt *c = leaf; c != NULL; c = c->next) {
		memcpy(der + at, c->raw.p, c->raw.len);
		at += c->raw.len;
	}
	int ret = cert_chain_parse(str_make(der, n), out);
	mem_free(der);
	return ret;
}

static enum cert_verdict judge(struct tls_handshake *h, const mbedtls_x509_crt *leaf)
{
	struct cert_expect expect = {str_from(h->expect_id), str_from(h->expect_uid)};
	/* The library passes over certificates whose signature algorithm it does not know; here
	 * nothing else was there. */
	if (leaf->raw.p == NULL)
		return CERT_ALGORITHM;
	/* A client that does not know whom it expects must not be content with just anybody. */
	if (h->ctx->role == TLS_CLIENT && expect.id.n == 0)
		return CERT_IDENTITY;
	int ret = collect(leaf, &h->peer);
	if (ret < 0)
		return cert_verdict_of_parse(ret);
	return cert_verify(h->peer, h->ctx->bundle, tls_ctx_now(h->ctx), h->ctx->role == TLS_CLIENT,
		&expect);
}

int tls_judge(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct tls_handshake *h = OBJ_CAST(struct tls_handshake, TLS_HANDSHAKE_MAGIC, arg);

	/* The leaf comes last and decides for all; what the library thinks of the others is of no
	 * account, as it knows no anchors. */
	*flags = 0;
	if (depth > 0)
		return 0;
	cert_chain_unref(&h->peer);
	h->verdict = judge(h, crt);
	h->judged = true;
	if (h->verdict != CERT_GOOD)
		*flags = MBEDTLS_X509_BADCERT_OTHER;
	return 0;
}
