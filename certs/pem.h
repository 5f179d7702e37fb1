/*
 * PEM (RFC 7468) to DER and back. Private to certs/.
 */
#ifndef WEFT_CERTS_PEM_H
#define WEFT_CERTS_PEM_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"

/* True where the text holds a PEM block of any kind; DER never does at its start. */
bool pem_looks(struct str text);
/*
 * All blocks of this label ("CERTIFICATE"), decoded one after the other into fresh memory
 * (mem_free_secret) of *n bytes, at most max. Text between blocks and blocks of other labels are
 * passed over. 0, ERR_NOTFOUND (no such block), ERR_INVAL, ERR_LIMIT.
 */
int pem_decode(struct str text, const char *label, size_t max, void **out, size_t *n);
/* One block, NUL-terminated, mem_free (mem_free_secret for keys). */
char *pem_encode(struct str der, const char *label);
/*
 * The DER of a document that is PEM or DER, in fresh memory (mem_free_secret). ERR_LIMIT where it
 * has more than max bytes. Otherwise as pem_decode.
 */
int pem_or_der(struct str in, const char *label, size_t max, void **out, size_t *n);

#endif
