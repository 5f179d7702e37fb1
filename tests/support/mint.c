/*
 * The mint of tests: puts any certificate together with the writer of certs/. What it makes belongs
 * to the test.
 */
#include "tests/support/mint.h"

#include <stdarg.h>

#include "certs/oid.h"
#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"

static void add_names(struct x509_exts *e, const struct mint *m)
{
	struct x509_name names[3];
	size_t n = 0;
	while (n < 3 && m->uris[n] != NULL) {
		names[n] = (struct x509_name){6, str_from(m->uris[n])};
		n++;
	}
	if (n > 0)
		x509_ext_names(e, m->subject == NULL, names, n);
}

static unsigned key_usage(const struct mint *m)
{
	if (m->key_usage != 0)
		return m->key_usage;
	return m->ca ? X509_KEY_CERT_SIGN | X509_CRL_SIGN : X509_DIGITAL_SIGNATURE;
}

static void add_extensions(struct x509_exts *e, const struct mint *m)
{
	if (m->no_extensions)
		return;
	if (!m->no_constraints)
		x509_ext_basic_constraints(e, m->ca, m->path_len - 1);
	if (key_usage(m) != MINT_NO_KEY_USAGE)
		x509_ext_key_usage(e, key_usage(m));
	if (m->eku.n > 0)
		x509_ext_ext_key_usage(e, &m->eku, 1);
	if (m->unknown.n > 0)
		x509_ext_add(e, m->unknown, m->unknown_critical, STR("\x05\x00"));
	if (m->pod_uid != NULL)
		x509_ext_pod_uid(e, str_from(m->pod_uid));
	add_names(e, m);
}

struct minted *mint(const struct mint *m, const struct minted *issuer)
{
	struct minted *out = MEM_NEW(struct minted);
	struct x509_exts exts;
	x509_exts_init(&exts);
	add_extensions(&exts, m);
	out->key = m->key != NULL ? cert_key_ref(m->key) : cert_key_generate();
	if (m->subject != NULL)
		out->name = x509_make_name(STR("tests"), str_from(m->subject));
	struct x509_new cert = {.issuer = issuer != NULL ? issuer->name : out->name,
		.subject = out->name,
		.spki = x509_spki_of(out->key),
		.not_before = m->not_before != 0 ? m->not_before : MINT_NOW - 3600,
		.not_after = m->not_after != 0 ? m->not_after : MINT_NOW + 3600,
		.exts = &exts};
	crypto_random(cert.serial, sizeof(cert.serial));
	ASSERT(x509_write_cert(&cert, issuer != NULL ? issuer->key : out->key, &out->der) == 0);
	mem_free((void *)(uintptr_t)cert.spki.p);
	x509_exts_clear(&exts);
	return out;
}

void minted_free(struct minted *first, ...)
{
	va_list list;
	va_start(list, first);
	for (struct minted *m = first; m != NULL; m = va_arg(list, struct minted *)) {
		cert_key_unref(&m->key);
		mem_free((void *)(uintptr_t)m->der.p);
		mem_free((void *)(uintptr_t)m->name.p);
		mem_free(m);
	}
	va_end(list);
}

static struct str join(const struct minted *first, va_list list)
{
	char *all = NULL;
	size_t n = 0;
	for (const struct minted *m = first; m != NULL; m = va_arg(list, const struct minted *)) {
		all = mem_resize(all, n + m->der.n);
		memcpy(all + n, m->der.p, m->der.n);
		n += m->der.n;
	}
	return str_make(all, n);
}

struct str mint_join(const struct minted *first, ...)
{
	va_list list;
	va_start(list, first);
	struct str all = join(first, list);
	va_end(list);
	return all;
}

struct cert_chain *mint_chain(const struct minted *first, ...)
{
	va_list list;
	struct cert_chain *chain = NULL;
	va_start(list, first);
	struct str all = join(first, list);
	va_end(list);
	ASSERT(cert_chain_parse(all, &chain) == 0);
	mem_free((void *)(uintptr_t)all.p);
	return chain;
}

struct cert_bundle *mint_bundle(const char *trust_domain, const struct minted *first, ...)
{
	va_list list;
	struct cert_bundle *b = cert_bundle_new();
	va_start(list, first);
	struct str all = join(first, list);
	va_end(list);
	ASSERT(cert_bundle_add(b, str_from(trust_domain), all) == 0);
	mem_free((void *)(uintptr_t)all.p);
	return b;
}
