/*
 * Randomness in the shape that mbedTLS asks for. Only for certs/ and lib/tls; everyone else calls
 * crypto_random.
 */
#ifndef WEFT_CRYPTO_RNG_H
#define WEFT_CRYPTO_RNG_H

#include <stddef.h>

/* mbedTLS's f_rng; unused is its p_rng (NULL). Never fails: aborts where the kernel has no
 * randomness. */
int crypto_rng(void *unused, unsigned char *out, size_t n);

#endif
