/*
 * What the control plane serves with: a leaf of its own and the context around it, made when asked
 * for and made again from half of the leaf's life on. Owned by the authority.
 */
#include <stdio.h>

#include "ctrlplane/ca/authority_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

#define OWN_NAMESPACE "weft-system"
#define OWN_ACCOUNT "weft-ctrlplane"
/* Between attempts that fail. */
#define RETRY_NS NS_PER_S

int authority_own_id(const struct authority *a, char *dst)
{
	return spiffe_format(dst, SPIFFE_ID_MAX + 1, str_from(a->trust_domain), STR(OWN_NAMESPACE),
		STR(OWN_ACCOUNT));
}

static void add_name(struct authority *a, struct str name)
{
	struct authority_own *own = &a->own;
	for (size_t i = 0; i < own->n_dns; i++)
		if (str_eq_nocase(own->dns[i], name))
			return;
	if (own->n_dns < CERT_DNS_NAMES && cert_dns_valid(name))
		own->dns[own->n_dns++] = name;
	else
		log_at(a->log, LOG_WARN, "ca", "a DNS name is left out of the serving certificate",
			LOG_S("name", name));
}

void authority_set_dns_names(struct authority *a, const char *names)
{
	struct authority_own *own = &a->own;
	struct str rest, name;
	own->n_dns = 0;
	add_name(a, STR("localhost"));
	add_name(a, STR(OWN_ACCOUNT "." OWN_NAMESPACE ".svc"));
	if (str_copy(own->dns_text, sizeof(own->dns_text), str_from(names)) != 0)
		log_at(a->log, LOG_WARN, "ca",
			"the DNS names of the serving certificate are too long",
			LOG_U("most_bytes", sizeof(own->dns_text) - 1));
	rest = str_from(own->dns_text);
	while (rest.n > 0 && str_split(&rest, ',', &name))
		if (str_trim(name).n > 0)
			add_name(a, str_trim(name));
	own->signer = NULL;
}

/*
 * Whose leaf every sidecar can verify, the one that knows only the root in its file among them: the
 * old root's for as long as it is trusted, for that is what the file says first.
 */
static struct cert_ca *serving_signer(const struct authority *a)
{
	const struct cert_leaf *old = cert_chain_leaf(cert_ca_chain(a->ca));
	return a->next != NULL && old->not_after <= authority_now(a) ? a->next : a->ca;
}

static int make_ctx(const struct authority *a, struct cert_chain *chain, struct cert_key *key,
	struct tls_ctx **out, char *err, size_t size)
{
	const char *const alpn[] = {"h2", NULL};
	const struct tls_ctx_config cfg = {.role = TLS_SERVER,
		.chain = chain,
		.key = key,
		.alpn = alpn,
		.clock = loop_clock(a->loop),
		.anonymous_client = true};
	return tls_ctx_new(&cfg, out, err, size);
}

static int renew(struct authority *a, struct cert_ca *signer, char *err, size_t size)
{
	struct authority_own *own = &a->own;
	char id[SPIFFE_ID_MAX + 1];
	struct cert_chain *chain = NULL;
	struct cert_key *key = cert_key_generate();
	struct tls_ctx *ctx = NULL;
	int e = authority_own_id(a, id);
	struct cert_issue what = {.spiffe_id = str_from(id), .dns = own->dns, .n_dns = own->n_dns};
	if (e == 0)
		e = authority_sign(a, signer, NULL, key, &what, &chain);
	if (e != 0)
		snprintf(err, size, "%s", err_text(e));
	else
		e = make_ctx(a, chain, key, &ctx, err, size);
	if (e == 0) {
		int64_t now = authority_now(a), end = cert_chain_leaf(chain)->not_after;
		tls_ctx_unref(&own->ctx);
		own->ctx = ctx;
		own->signer = signer;
		own->not_after = end;
		own->renew_at = now + (end - now) / 2;
		log_at(a->log, LOG_INFO, "ca", "a serving certificate", LOG_Z("id", id),
			LOG_S("serial", cert_chain_leaf(chain)->serial), LOG_T("not_after", end));
	}
	cert_chain_unref(&chain);
	cert_key_unref(&key);
	return e;
}

struct tls_ctx *authority_serving(struct authority *a)
{
	struct authority_own *own = &a->own;
	struct cert_ca *signer = serving_signer(a);
	uint64_t now = loop_now(a->loop);
	char err[160];
	if (own->ctx != NULL && own->signer == signer && authority_now(a) < own->renew_at)
		return own->ctx;
	if (own->ctx != NULL && own->failed_at != 0 && now - own->failed_at < RETRY_NS)
		return own->ctx;
	int e = renew(a, signer, err, sizeof(err));
	own->failed_at = e != 0 ? now : 0;
	if (e != 0)
		log_at(a->log, LOG_ERROR, "ca", "no new serving certificate", LOG_Z("error", err));
	return own->ctx;
}

void serving_stop(struct authority *a)
{
	tls_ctx_unref(&a->own.ctx);
}
