/*
 * Certificate and key of a root as two files: read with every doubt, written so that no crash
 * leaves half of them. Owns nothing; used by own_root.c and given.c.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "certs/describe.h"
#include "ctrlplane/ca/authority_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"

#define KEY_FILE_BYTES 8192

int root_files_key(const char *path, struct cert_key **out, char *err, size_t size)
{
	char *text;
	size_t n;
	int e = file_read(path, KEY_FILE_BYTES, 077, &text, &n, err, size);
	if (e != 0)
		return e;
	e = cert_key_parse(str_make(text, n), out);
	mem_free_secret(text, n);
	if (e == ERR_VERIFY)
		snprintf(err, size, "%s: not a P-256 key, which every key of the mesh is", path);
	else if (e != 0)
		snprintf(err, size, "%s: torn, encrypted, or not a private key; restore it", path);
	return e;
}

/* The first certificate of the file. */
static int read_cert(const char *path, struct cert_chain **out, char *err, size_t size)
{
	struct cert_chain *all[CERT_BUNDLE_ROOTS];
	char *text;
	size_t n;
	int e = file_read(path, CERT_BUNDLE_BYTES, 0, &text, &n, err, size);
	if (e != 0)
		return e;
	int count = cert_chain_split(str_make(text, n), all, CERT_BUNDLE_ROOTS);
	mem_free_secret(text, n);
	if (count < 0) {
		snprintf(err, size, "%s: torn, or not a certificate in PEM; restore it", path);
		return ERR_VERIFY;
	}
	*out = all[0];
	for (int i = 1; i < count; i++)
		cert_chain_unref(&all[i]);
	return 0;
}

/* One of the two is not there. */
static int explain_half(const char *there, const char *missing, char *err, size_t size)
{
	snprintf(err, size,
		"%s is not there, but %s is; restore the missing file from a backup. Where there "
		"is none and it is the root, remove the other too to have a new one made",
		missing, there);
	return ERR_VERIFY;
}

/* 0, or why this certificate is none of ours. */
static int judge_cert(const struct authority *a, const char *path, const struct cert_chain *cert,
	char *err, size_t size)
{
	char domain[SPIFFE_TD_MAX + 1];
	int e = cert_trust_domain_of(cert_chain_der(cert), domain);
	if (e == 0 && strcmp(domain, a->trust_domain) != 0) {
		snprintf(err, size,
			"%s: of trust domain %s, and this control plane serves %s; use the data "
			"directory of that domain, or its name",
			path, domain, a->trust_domain);
		return ERR_VERIFY;
	}
	return 0;
}

static int join_pair(const char *cert_path, const char *key_path, struct cert_chain *cert,
	struct cert_key *key, struct cert_ca **out, char *err, size_t size)
{
	int e = cert_ca_load(cert, key, out);
	if (e == 0)
		return 0;
	if (!cert_chain_matches_key(cert, key))
		snprintf(err, size,
			"%s: not the key of %s; restore the two that belong together, or remove "
			"both to have a new root made",
			key_path, cert_path);
	else
		snprintf(err, size, "%s: not the certificate of a CA that may sign; restore it",
			cert_path);
	return ERR_VERIFY;
}

static int load_paths(const struct authority *a, const char *cert_path, const char *key_path,
	struct cert_ca **out, char *err, size_t size)
{
	struct cert_chain *cert = NULL;
	struct cert_key *key = NULL;
	int no_cert = read_cert(cert_path, &cert, err, size);
	int e = no_cert;
	if (e == 0 || e == ERR_NOTFOUND)
		e = root_files_key(key_path, &key, err, size);
	if (no_cert == ERR_NOTFOUND && e == 0)
		e = explain_half(key_path, cert_path, err, size);
	else if (no_cert == 0 && e == ERR_NOTFOUND)
		e = explain_half(cert_path, key_path, err, size);
	if (e == 0)
		e = judge_cert(a, cert_path, cert, err, size);
	if (e == 0)
		e = join_pair(cert_path, key_path, cert, key, out, err, size);
	cert_chain_unref(&cert);
	cert_key_unref(&key);
	return e;
}

static char *file_name(const struct authority *a, const char *name, const char *ending)
{
	return mem_printf("%s/%s.%s", a->dir, name, ending);
}

int root_files_load(const struct authority *a, const char *name, struct cert_ca **out, char *err,
	size_t size)
{
	char *cert = file_name(a, name, "pem"), *key = file_name(a, name, "key");
	int e = load_paths(a, cert, key, out, err, size);
	mem_free(cert);
	mem_free(key);
	return e;
}

/* The key goes first: a certificate without one is worth nothing. */
int root_files_save(const struct authority *a, const char *name, const struct cert_ca *ca,
	char *err, size_t size)
{
	char *cert_path = file_name(a, name, "pem"), *key_path = file_name(a, name, "key");
	char *key = cert_key_pem(cert_ca_key(ca)), *cert = cert_ca_cert_pem(ca);
	int e = file_replace(key_path, 0600, str_from(key), err, size);
	if (e == 0)
		e = file_replace(cert_path, 0644, str_from(cert), err, size);
	mem_free_secret(key, strlen(key));
	mem_free(cert);
	mem_free(cert_path);
	mem_free(key_path);
	return e;
}

static bool says_already(const char *path, const char *want)
{
	char *text, why[8];
	size_t n;
	if (file_read(path, CERT_BUNDLE_BYTES, 0, &text, &n, why, sizeof(why)) != 0)
		return false;
	bool same = str_eq(str_make(text, n), str_from(want));
	mem_free_secret(text, n);
	return same;
}

int root_files_publish(const struct authority *a, char *err, size_t size)
{
	char *path = file_name(a, "root", "pem"), *own = cert_ca_cert_pem(a->ca);
	char *next = a->next != NULL ? cert_ca_cert_pem(a->next) : mem_strdup("");
	char *both = mem_printf("%s%s", own, next);
	int e = says_already(path, both) ? 0 : file_replace(path, 0644, str_from(both), err, size);
	mem_free(both);
	mem_free(next);
	mem_free(own);
	mem_free(path);
	return e;
}

static int promote_one(const struct authority *a, const char *ending, char *err, size_t size)
{
	char *from = file_name(a, "next", ending), *to = file_name(a, "root", ending);
	int e = rename(from, to) == 0 || errno == ENOENT ? 0 : ERR_IO;
	if (e != 0)
		snprintf(err, size, "%s: %s", to, strerror(errno));
	mem_free(from);
	mem_free(to);
	return e;
}

int root_files_promote(const struct authority *a, char *err, size_t size)
{
	int e = promote_one(a, "key", err, size);
	return e != 0 ? e : promote_one(a, "pem", err, size);
}

void root_files_remove(const struct authority *a, const char *name)
{
	char *cert = file_name(a, name, "pem"), *key = file_name(a, name, "key");
	(void)unlink(cert);
	(void)unlink(key);
	mem_free(cert);
	mem_free(key);
}
