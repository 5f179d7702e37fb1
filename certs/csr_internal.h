/*
 * What issuing takes from a CSR: its public key. Private to certs/.
 */
#ifndef WEFT_CERTS_CSR_INTERNAL_H
#define WEFT_CERTS_CSR_INTERNAL_H

#include "certs/issue.h"
#include "certs/x509.h"

/* SubjectPublicKeyInfo; borrowed. */
struct str cert_csr_spki(const struct cert_csr *csr);

#endif
