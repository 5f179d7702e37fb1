/*
 * What lib/tls needs of keys beyond certs/key.h, in mbedTLS's own types. Nobody else includes this.
 */
#ifndef WEFT_CERTS_BACKEND_H
#define WEFT_CERTS_BACKEND_H

#include <mbedtls/pk.h>

#include "certs/key.h"

/*
 * The key for mbedtls_ssl_conf_own_cert and signing. Borrowed; lives as long as a reference to k.
 * Only read by the backend, so that several connections may share it.
 */
mbedtls_pk_context *cert_key_backend(const struct cert_key *k);

#endif
