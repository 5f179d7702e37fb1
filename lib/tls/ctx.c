/*
 * TLS contexts: everything that many connections share, checked once and never changed, so that
 * rotation is a new context beside the old. Owns references on chain, key and bundle and the TLS
 * library's configurations built from them. Used by handshake.c.
 */
#include "lib/tls/ctx.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"

/* In order of preference; the lists must outlive every configuration. */
static const int ciphers[] = {MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
	MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS1_3_AES_256_GCM_SHA384, 0};
static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
	MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
/* Leaves are P-256; the second is taken so that a leaf of the other curve is refused by its
 * verdict, not for want of a signature. */
static const uint16_t signatures[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256,
	MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384, MBEDTLS_TLS1_3_SIG_NONE};

static int random_bytes(void *arg, unsigned char *out, size_t n)
{
	(void)arg;
	crypto_random(out, n);
	return 0;
}

/*
 * The library knows no trust anchor at all: by itself it trusts nobody, and only the verdict of
 * tls_judge clears that. But before it asks for that it tries the signatures of the chain, in many
 * orders where all certificates bear one name: half a second of work for 16 KiB from anybody. So it
 * gives up here where there are more than any verdict would take.
 */
static int no_anchors(void *arg, const mbedtls_x509_crt *child, mbedtls_x509_crt **candidates)
{
	int n = 0;

	(void)arg;
	*candidates = NULL;
	while (child != NULL && n <= CERT_CHAIN_MAX) {
		child = child->next;
		n++;
	}
	return n <= CERT_CHAIN_MAX ? 0 : MBEDTLS_ERR_X509_FATAL_ERROR;
}

static int authmode(const struct tls_ctx *ctx)
{
	bool verify = ctx->role == TLS_CLIENT || !ctx->anonymous_client;

	return verify ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE;
}

/* RFC 8446 alone: no early data (not compiled in), no tickets, no PSK, no renegotiation. */
static int conf_setup(struct tls_ctx *ctx, struct tls_variant *v)
{
	mbedtls_ssl_config *conf = &v->conf;
	bool server = ctx->role == TLS_SERVER;
	int ret = mbedtls_ssl_config_defaults(conf,
		server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
		MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);

	if (ret != 0)
		return ret;
	mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_tls13_key_exchange_modes(conf,
		MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
	mbedtls_ssl_conf_rng(conf, random_bytes, NULL);
	mbedtls_ssl_conf_ciphersuites(conf, ciphers);
	mbedtls_ssl_conf_groups(conf, groups);
	mbedtls_ssl_conf_sig_algs(conf, signatures);
	mbedtls_ssl_conf_authmode(conf, authmode(ctx));
	mbedtls_ssl_conf_ca_cb(conf, no_anchors, NULL);
	if (server) {
		mbedtls_ssl_conf_cert_cb(conf, tls_on_client_hello);
		mbedtls_ssl_conf_new_session_tickets(conf, 0);
	} else {
		mbedtls_ssl_conf_session_tickets(conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
	}
	if (ctx->chain != NULL)
		ret = mbedtls_ssl_conf_own_cert(conf, &ctx->own_crt, &ctx->own_key);
	if (ret == 0 && v->alpn[0] != NULL)
		ret = mbedtls_ssl_conf_alpn_protocols(conf, (const char **)v->alpn);
	return ret;
}

static size_t list_length(const char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

static bool list_equal(const char *const *a, const char *const *b)
{
	size_t n = list_length(a);

	if (list_length(b) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

static void variant_free(struct tls_variant *v)
{
	mbedtls_ssl_config_free(&v->conf);
	for (size_t i = 0; v->alpn[i] != NULL; i++)
		mem_free(v->alpn[i]);
	mem_free(v->alpn);
	mem_free(v);
}

static struct tls_variant *variant_new(struct tls_ctx *ctx, const char *const *alpn)
{
	struct tls_variant *v = MEM_NEW(struct tls_variant);
	size_t n = list_length(alpn);

	v->alpn = mem_alloc_array(n + 1, sizeof(*v->alpn));
	for (size_t i = 0; i < n; i++)
		v->alpn[i] = mem_strdup(alpn[i]);
	mbedtls_ssl_config_init(&v->conf);
	int ret = conf_setup(ctx, v);
	ASSERT(ret == 0);
	v->next = ctx->variants;
	ctx->variants = v;
	return v;
}

const struct tls_variant *tls_ctx_variant(struct tls_ctx *ctx, const char *const *alpn)
{
	if (alpn == NULL)
		return ctx->own_alpn;
	for (struct tls_variant *v = ctx->variants; v != NULL; v = v->next)
		if (list_equal((const char *const *)v->alpn, alpn))
			return v;
	return variant_new(ctx, alpn);
}

static int fail(char *err, size_t size, const char *text)
{
	snprintf(err, size, "%s", text);
	return ERR_INVAL;
}

/* An empty bundle vouches for nobody: more likely a mistake than a wish. */
static bool bundle_empty(const struct cert_bundle *bundle)
{
	struct cert_bundle *none = cert_bundle_new();
	bool empty = strcmp(cert_bundle_epoch(bundle), cert_bundle_epoch(none)) == 0;

	cert_bundle_unref(&none);
	return empty;
}

static int check(const struct tls_ctx_config *cfg, char *err, size_t size)
{
	if (cfg->clock == NULL)
		return fail(err, size, "no clock");
	if ((cfg->chain == NULL) != (cfg->key == NULL))
		return fail(err, size, "a certificate needs its key, and a key its certificate");
	if (cfg->role == TLS_SERVER && cfg->chain == NULL)
		return fail(err, size, "a server needs a certificate");
	if (cfg->chain != NULL && !cert_chain_matches_key(cfg->chain, cfg->key))
		return fail(err, size, "the private key does not belong to the certificate");
	bool verifies = cfg->role == TLS_CLIENT || !cfg->anonymous_client;
	if (verifies && (cfg->bundle == NULL || bundle_empty(cfg->bundle)))
		return fail(err, size, "the trust bundle is empty");
	for (size_t i = 0; cfg->alpn != NULL && cfg->alpn[i] != NULL; i++)
		if (cfg->alpn[i][0] == '\0' || strlen(cfg->alpn[i]) > 255)
			return fail(err, size, "an ALPN protocol must have 1 to 255 bytes");
	return 0;
}

/* Our certificate and key in the form that the library's signing side wants. */
static int load_own(struct tls_ctx *ctx)
{
	struct str der = cert_chain_der(ctx->chain);
	size_t n;

	while (der.n > 0) {
		if (mbedtls_x509_crt_parse_der(&ctx->own_crt, (const unsigned char *)der.p,
			    der.n) != 0)
			return ERR_INVAL;
		const mbedtls_x509_crt *last = &ctx->own_crt;
		while (last->next != NULL)
			last = last->next;
		der = str_sub(der, last->raw.len, der.n);
	}
	void *key = cert_key_der(ctx->key, &n);
	int ret = mbedtls_pk_parse_key(&ctx->own_key, key, n, NULL, 0, random_bytes, NULL);
	mem_free_secret(key, n);
	return ret == 0 ? 0 : ERR_INVAL;
}

int tls_ctx_new(const struct tls_ctx_config *cfg, struct tls_ctx **out, char *err, size_t size)
{
	int ret = check(cfg, err, size);

	*out = NULL;
	if (ret < 0)
		return ret;
	struct tls_ctx *ctx = MEM_NEW(struct tls_ctx);
	ctx->refs = 1;
	ctx->role = cfg->role;
	ctx->anonymous_client = cfg->role == TLS_SERVER && cfg->anonymous_client;
	ctx->clock = cfg->clock;
	mbedtls_x509_crt_init(&ctx->own_crt);
	mbedtls_pk_init(&ctx->own_key);
	if (cfg->bundle != NULL)
		ctx->bundle = cert_bundle_ref(cfg->bundle);
	if (cfg->chain != NULL) {
		ctx->chain = cert_chain_ref(cfg->chain);
		ctx->key = cert_key_ref(cfg->key);
		if (load_own(ctx) < 0) {
			tls_ctx_unref(&ctx);
			return fail(err, size,
				"the TLS library cannot read our certificate or key");
		}
	}
	ctx->own_alpn = variant_new(ctx, cfg->alpn);
	*out = ctx;
	return 0;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx)
{
	ctx->refs++;
	return ctx;
}

void tls_ctx_unref(struct tls_ctx **ctx_p)
{
	struct tls_ctx *ctx = *ctx_p;

	*ctx_p = NULL;
	if (ctx == NULL || --ctx->refs > 0)
		return;
	while (ctx->variants != NULL) {
		struct tls_variant *v = ctx->variants;
		ctx->variants = v->next;
		variant_free(v);
	}
	mbedtls_pk_free(&ctx->own_key);
	mbedtls_x509_crt_free(&ctx->own_crt);
	cert_chain_unref(&ctx->chain);
	cert_key_unref(&ctx->key);
	cert_bundle_unref(&ctx->bundle);
	mem_free(ctx);
}

const struct cert_leaf *tls_ctx_leaf(const struct tls_ctx *ctx)
{
	return ctx->chain != NULL ? cert_chain_leaf(ctx->chain) : NULL;
}

int64_t tls_ctx_now(const struct tls_ctx *ctx)
{
	return (int64_t)(clock_wall(ctx->clock) / NS_PER_S);
}
