/*
 * Private keys (P-256) as opaque, refcounted objects; the private part never leaves them but as PEM
 * for files of mode 0600.
 */
#ifndef WEFT_CERTS_KEY_H
#define WEFT_CERTS_KEY_H

#include <stddef.h>

#include "lib/base/str.h"

/* Refcounted; shared by TLS contexts and the identity that made it. */
struct cert_key;

struct cert_key *cert_key_generate(void);
/* On P-384, which nobody accepts in a leaf: for the flaw OTHER_CURVE. */
struct cert_key *cert_key_generate_p384(void);
/* PKCS#8 or SEC1 PEM, or DER, P-256 only, not encrypted. 0, ERR_INVAL (malformed), ERR_LIMIT (8
 * KiB), ERR_VERIFY (other curve or algorithm). */
int cert_key_parse(struct str pem_or_der, struct cert_key **out);
struct cert_key *cert_key_ref(struct cert_key *k);
void cert_key_unref(struct cert_key **k);
/* PKCS#8 PEM, NUL-terminated, to be freed with mem_free_secret(p, strlen(p)). */
char *cert_key_pem(const struct cert_key *k);
/* PKCS#8 DER into a fresh buffer (mem_free_secret). */
void *cert_key_der(const struct cert_key *k, size_t *n);

#endif
