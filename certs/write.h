/*
 * Making certificates and CSRs: extensions are collected, the rest is put around them and signed.
 * Private to certs/ and its tests, which make with it what no CA of ours would.
 */
#ifndef WEFT_CERTS_WRITE_H
#define WEFT_CERTS_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "certs/derout.h"
#include "certs/key.h"
#include "lib/base/arena.h"

#define X509_EXTS_MAX 16
#define X509_SERIAL_SIZE 16
#define X509_KEY_ID_SIZE 20

struct x509_ext {
	struct str oid, value; /* value: the DER inside the OCTET STRING */
	bool critical;
};

/* On the caller's stack; owns the values through the arena. x509_exts_clear ends it. */
struct x509_exts {
	struct arena mem;
	struct x509_ext list[X509_EXTS_MAX];
	size_t n;
};

/* A name for the SubjectAltName: tag number of RFC 5280 4.2.1.6 (2 DNS, 6 URI) and its text. */
struct x509_name {
	uint8_t tag;
	struct str text;
};

void x509_exts_init(struct x509_exts *e);
void x509_exts_clear(struct x509_exts *e);
/* value is copied. */
void x509_ext_add(struct x509_exts *e, struct str oid, bool critical, struct str value);
/* path_len -1: no limit. */
void x509_ext_basic_constraints(struct x509_exts *e, bool ca, int path_len);
/* bits: X509_* of certs/x509.h, below 8. */
void x509_ext_key_usage(struct x509_exts *e, unsigned bits);
void x509_ext_ext_key_usage(struct x509_exts *e, const struct str *oids, size_t n);
void x509_ext_names(struct x509_exts *e, bool critical, const struct x509_name *names, size_t n);
void x509_ext_subject_key_id(struct x509_exts *e, const uint8_t id[X509_KEY_ID_SIZE]);
void x509_ext_authority_key_id(struct x509_exts *e, struct str id);
void x509_ext_pod_uid(struct x509_exts *e, struct str uid);

/* SubjectPublicKeyInfo of a key into fresh memory (mem_free). */
struct str x509_spki_of(const struct cert_key *k);
/* Key identifier by RFC 7093 section 2 (1): 160 bits of SHA-256 over the public key. */
void x509_key_id(struct str spki, uint8_t id[X509_KEY_ID_SIZE]);
/* A Name of organisation (cut at 64 bytes) and common name, in fresh memory (mem_free). */
struct str x509_make_name(struct str organisation, struct str common_name);

/* What is signed. Everything borrowed. */
struct x509_new {
	struct str issuer, subject; /* Name, whole element; subject empty: no name */
	struct str spki;
	uint8_t serial[X509_SERIAL_SIZE];
	int64_t not_before, not_after;
	const struct x509_exts *exts;
};

/* DER in fresh memory (mem_free). 0 or ERR_INVAL (a time out of range). */
int x509_write_cert(const struct x509_new *cert, const struct cert_key *signer, struct str *der);
/* PKCS#10 (RFC 2986) with no subject name. */
struct str x509_write_csr(const struct cert_key *k, const struct x509_exts *exts);

#endif
