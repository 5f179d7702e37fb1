/*
 * The insides of the authority, shared by its parts: own roots and their rotation, an intermediate
 * given by files, what is revoked, what it serves with, how it describes itself. Private to
 * ctrlplane/ca.
 */
#ifndef WEFT_CTRLPLANE_CA_AUTHORITY_INTERNAL_H
#define WEFT_CTRLPLANE_CA_AUTHORITY_INTERNAL_H

#include "ctrlplane/ca/authority.h"
#include "lib/net/watch.h"

#define AUTHORITY_REVOKED_MAX 10000
#define AUTHORITY_DNS_TEXT 2048

/* Where a rotation is. What a file says of it is done, or is done again at start. */
enum rotation_phase {
	ROTATION_NONE,
	ROTATION_PUBLISHED, /* the next root is trusted behind the one that signs */
	ROTATION_SIGNING,   /* the next root signs; the one before is trusted behind it */
	ROTATION_INSTALL    /* in the file alone: next.* are becoming root.* */
};

/* The context that the control plane serves with; made when asked for. */
struct authority_own {
	struct tls_ctx *ctx;
	const struct cert_ca *signer; /* that its leaf is of; compared alone */
	int64_t renew_at, not_after;  /* seconds since the epoch */
	uint64_t failed_at;           /* loop time of the last failure; 0: none */
	char dns_text[AUTHORITY_DNS_TEXT];
	struct str dns[CERT_DNS_NAMES];
	size_t n_dns;
};

/* Owned by main. */
struct authority {
	struct loop *loop;
	struct log *log;
	struct store *store;
	char *dir, *trust_domain;
	char *given[3]; /* certificate, key, roots; NULL: a root of our own */
	uint64_t leaf_ns, root_ns, backdate_ns;
	int lock;                  /* descriptor; -1: none */
	struct cert_ca *ca, *next; /* next: of a rotation, NULL without */
	enum rotation_phase phase;
	int64_t step_at; /* when the next phase begins, seconds since the epoch */
	struct cert_chain *roots[CERT_BUNDLE_ROOTS]; /* in force, the signing one first */
	size_t n_roots;
	char *roots_der; /* the same, one after the other */
	size_t roots_der_n;
	struct loop_timer tick, reload;
	struct watch *watches[3];
	char problem[256]; /* of the last attempt to read or write files; empty: none */
	struct authority_own own;
	char **revoked;
	size_t n_revoked;
	uint64_t issued;
	unsigned warned; /* how many of the warnings before the end were given */
	struct metric_series *issued_series;
};

/* Seconds since the epoch. */
int64_t authority_now(const struct authority *a);
/* DIR/NAME in fresh memory (mem_free). */
char *authority_path(const struct authority *a, const char *name);
/* Who signs leaves of workloads, now. */
struct cert_ca *authority_signer(const struct authority *a);
/* Takes the roots (n of them, signing one first) and tells the store. */
void authority_put_roots(struct authority *a, struct cert_chain *const *roots, size_t n);
/* A leaf signed by ca, from now on (backdated) for a leaf's lifetime. 0 or ERR_*. */
int authority_sign(const struct authority *a, const struct cert_ca *ca, const struct cert_csr *csr,
	const struct cert_key *key, struct cert_issue *what, struct cert_chain **out);
/* spiffe://TD/ns/weft-system/sa/weft-ctrlplane; dst has SPIFFE_ID_MAX + 1 bytes. 0 or ERR_*. */
int authority_own_id(const struct authority *a, char *dst);

/* --- own_root.c: our own root in files --- */
/* Reads or makes it, goes on with a rotation. 0 or ERR_* with text. */
int own_root_start(struct authority *a, char *err, size_t size);
int own_root_rotate(struct authority *a, uint64_t overlap_ns, char *err, size_t size);
/* Does the steps of a rotation that are due. Nanoseconds until it must be called again at the
 * latest. */
uint64_t own_root_step(struct authority *a);
const char *rotation_phase_name(enum rotation_phase phase);

/* --- root_files.c: pairs of certificate and key in files --- */
/*
 * DIR/NAME.pem (its first certificate) and DIR/NAME.key. 0, ERR_NOTFOUND (neither is there), or
 * ERR_* with text that names file and remedy.
 */
int root_files_load(const struct authority *a, const char *name, struct cert_ca **out, char *err,
	size_t size);
int root_files_save(const struct authority *a, const char *name, const struct cert_ca *ca,
	char *err, size_t size);
/* root.pem says both during a rotation. Nothing is written where it says so already. */
int root_files_publish(const struct authority *a, char *err, size_t size);
/* next.* become root.*; those that became it before are passed over. 0 or ERR_IO with text. */
int root_files_promote(const struct authority *a, char *err, size_t size);
void root_files_remove(const struct authority *a, const char *name);
/* A private key from a file of mode 0600. 0 or ERR_* with text. */
int root_files_key(const char *path, struct cert_key **out, char *err, size_t size);

/* --- given.c: an intermediate given by files --- */
int given_start(struct authority *a, char *err, size_t size);
void given_stop(struct authority *a);

/* --- revoked.c --- */
int revoked_load(struct authority *a, char *err, size_t size);
void revoked_clear(struct authority *a);

/* --- serving.c --- */
void serving_stop(struct authority *a);

#endif
