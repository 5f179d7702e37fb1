/*
 * An intermediate that somebody else's CA has issued: certificate, key and roots in three files,
 * which may be replaced while this runs. A set that does not fit together changes nothing. Part of
 * the authority.
 */
#include <stdio.h>

#include "ctrlplane/ca/authority_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"

/* The three are replaced one after the other: what was changed last is waited for. */
#define SETTLE_NS (500 * NS_PER_MS)

enum { GIVEN_CERT, GIVEN_KEY, GIVEN_ROOTS };

/* What the files say; owned by the stack of reload until it is put in force. */
struct given {
	struct cert_ca *ca;
	struct cert_chain *roots[CERT_BUNDLE_ROOTS];
	size_t n_roots;
	struct cert_bundle *bundle;
};

static void given_clear(struct given *g)
{
	cert_ca_free(&g->ca);
	while (g->n_roots > 0)
		cert_chain_unref(&g->roots[--g->n_roots]);
	cert_bundle_unref(&g->bundle);
}

static int load_ca(const struct authority *a, struct given *g, char *err, size_t size)
{
	const char *path = a->given[GIVEN_CERT];
	struct cert_chain *chain = NULL;
	struct cert_key *key = NULL;
	char *text;
	size_t n;
	int e = file_read(path, CERT_CHAIN_BYTES * 2, 0, &text, &n, err, size);
	if (e != 0)
		return e;
	e = cert_chain_parse(str_make(text, n), &chain);
	mem_free_secret(text, n);
	if (e != 0)
		snprintf(err, size, "%s: not a chain of 1 to %d certificates in PEM", path,
			CERT_CHAIN_MAX);
	if (e == 0)
		e = root_files_key(a->given[GIVEN_KEY], &key, err, size);
	if (e == 0) {
		e = cert_ca_load(chain, key, &g->ca);
		if (e != 0)
			snprintf(err, size,
				"%s: cannot sign with %s: the key must be that of the first "
				"certificate, each one a CA signed by the next, and room left for a "
				"leaf",
				path, a->given[GIVEN_KEY]);
	}
	cert_chain_unref(&chain);
	cert_key_unref(&key);
	return e;
}

static int load_roots(const struct authority *a, struct given *g, char *err, size_t size)
{
	const char *path = a->given[GIVEN_ROOTS];
	char *text;
	size_t n;
	int e = file_read(path, CERT_BUNDLE_BYTES, 0, &text, &n, err, size);
	if (e != 0)
		return e;
	int count = cert_chain_split(str_make(text, n), g->roots, CERT_BUNDLE_ROOTS);
	g->n_roots = count > 0 ? (size_t)count : 0;
	g->bundle = cert_bundle_new();
	e = count < 0 ? count
		      : cert_bundle_add(g->bundle, str_from(a->trust_domain), str_make(text, n));
	mem_free_secret(text, n);
	if (e == ERR_VERIFY)
		snprintf(err, size,
			"%s: not all of it are roots of %s: each must be a CA that may sign, with a "
			"P-256 or P-384 key, and with no SPIFFE ID or one of that trust domain",
			path, a->trust_domain);
	else if (e != 0)
		snprintf(err, size, "%s: not 1 to %d certificates in PEM", path, CERT_BUNDLE_ROOTS);
	return e;
}

/* A leaf is made and judged as a sidecar would: chain, path lengths, names and times in one. */
static int probe(const struct authority *a, const struct given *g, char *err, size_t size)
{
	char id[SPIFFE_ID_MAX + 1];
	struct cert_chain *chain = NULL;
	struct cert_key *key = cert_key_generate();
	int e = authority_own_id(a, id);
	struct cert_issue what = {.spiffe_id = str_from(id)};
	if (e == 0)
		e = authority_sign(a, g->ca, NULL, key, &what, &chain);
	if (e != 0)
		snprintf(err, size, "%s: cannot issue for trust domain %s: %s",
			a->given[GIVEN_CERT], a->trust_domain, err_text(e));
	cert_key_unref(&key);
	if (e != 0)
		return e;
	enum cert_verdict v = cert_verify(chain, g->bundle, authority_now(a), true, NULL);
	cert_chain_unref(&chain);
	if (v == CERT_GOOD)
		return 0;
	snprintf(err, size, "%s: what it issues does not hold under %s: %s", a->given[GIVEN_CERT],
		a->given[GIVEN_ROOTS], cert_verdict_text(v));
	return ERR_VERIFY;
}

static int reload(struct authority *a, char *err, size_t size)
{
	struct given g = {0};
	int e = load_ca(a, &g, err, size);
	if (e == 0)
		e = load_roots(a, &g, err, size);
	if (e == 0)
		e = probe(a, &g, err, size);
	if (e == 0) {
		struct cert_ca *old = a->ca;
		a->ca = g.ca;
		g.ca = old;
		a->own.signer = NULL;
		a->warned = 0;
		authority_put_roots(a, g.roots, g.n_roots);
		log_at(a->log, LOG_INFO, "ca", "an intermediate is in force",
			LOG_Z("file", a->given[GIVEN_CERT]),
			LOG_T("not_after", cert_chain_leaf(cert_ca_chain(a->ca))->not_after));
	}
	given_clear(&g);
	return e;
}

static void on_settled(void *arg)
{
	struct authority *a = arg;
	a->problem[0] = '\0';
	if (reload(a, a->problem, sizeof(a->problem)) != 0)
		log_at(a->log, LOG_ERROR, "ca",
			"the files of the intermediate do not hold; those before stay in force",
			LOG_Z("error", a->problem));
}

static void on_change(void *arg)
{
	struct authority *a = arg;
	loop_timer_start(&a->reload, SETTLE_NS);
}

int given_start(struct authority *a, char *err, size_t size)
{
	loop_timer_init(&a->reload, a->loop, on_settled, a);
	int e = reload(a, err, size);
	for (int i = 0; e == 0 && i < 3; i++)
		a->watches[i] = watch_start(a->loop, a->given[i], on_change, a);
	return e;
}

void given_stop(struct authority *a)
{
	for (int i = 0; i < 3; i++)
		watch_stop(&a->watches[i]);
	loop_timer_stop(&a->reload);
}
