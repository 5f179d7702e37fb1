/*
 * The certificate authority: root or intermediate, what is trusted, what is revoked, and the leaves
 * that it issues; keys in files of mode 0600. Puts bundles and revocations into the store. Owned by
 * main.
 */
#ifndef WEFT_CTRLPLANE_CA_AUTHORITY_H
#define WEFT_CTRLPLANE_CA_AUTHORITY_H

#include "certs/issue.h"
#include "ctrlplane/store/store.h"
#include "lib/obs/metric.h"
#include "lib/tls/tls.h"

struct authority;

/* Borrowed for the call. */
struct authority_config {
	/* Made with mode 0700; for one control plane at a time. root.pem: what sidecars are to be
	 * given, the signing root first, and during a rotation the next one behind it. */
	const char *data_dir;
	/* An intermediate instead of a root of our own: all three or none. Watched. */
	const char *cert_file, *key_file, *roots_file;
	const char *trust_domain;
	uint64_t leaf_ns, root_ns;
	uint64_t backdate_ns;
	struct loop *loop;
	struct log *log;
	struct store *store;
	/* weft_ca_issued_total, weft_root_expiry_seconds; not rendered after authority_stop. May be
	 * NULL. */
	struct metrics *metrics;
};

/* 0 or ERR_* with text that names file and remedy. */
int authority_start(const struct authority_config *cfg, struct authority **out, char *err,
	size_t size);
void authority_stop(struct authority **a);

/* A leaf for an attested workload: 0 or ERR_* with text (ERR_DENIED: of another trust domain, or
 * the control plane's own). Logged with identity and serial. */
int authority_issue(struct authority *a, const struct cert_csr *csr, struct str spiffe_id,
	struct str pod_uid, struct cert_chain **out, char *err, size_t size);
/*
 * The control plane's own serving context (spiffe://TD/ns/weft-system/sa/weft-ctrlplane and DNS
 * names), ALPN h2, anonymous clients; renewed by itself. Borrowed until the next turn.
 */
struct tls_ctx *authority_serving(struct authority *a);
/* Comma-separated DNS names of the serving certificate beside localhost and
 * weft-ctrlplane.weft-system.svc; what is none is left out and logged. */
void authority_set_dns_names(struct authority *a, const char *names);

/*
 * Replacing the root, in steps that lose nothing: the new one is published beside the old one;
 * after overlap_ns leaves are signed by it (and its place at the front of the bundle makes sidecars
 * renew); after another leaf lifetime the old one leaves the bundle. Survives restarts. ERR_EXISTS
 * while one is under way, ERR_DENIED with an intermediate given by files.
 */
int authority_rotate(struct authority *a, uint64_t overlap_ns, char *err, size_t size);
/* Adds a serial to the revoked ones, for good. 0 or ERR_*. */
int authority_revoke(struct authority *a, struct str serial, char *err, size_t size);
/* Roots in force, concatenated DER of our own trust domain; borrowed until the next turn. */
struct str authority_roots(const struct authority *a);
/* Members of an open JSON object: roots with expiry, rotation, leaves issued. */
void authority_describe(const struct authority *a, struct json *j);

#endif
