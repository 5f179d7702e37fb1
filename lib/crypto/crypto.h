/*
 * Cryptographic primitives behind one interface: hash, HMAC, random, constant-time comparison. The
 * library's one-time start is here too. Keys and signatures are in certs/, records in lib/tls; both
 * use the same backend.
 */
#ifndef WEFT_CRYPTO_CRYPTO_H
#define WEFT_CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

#define SHA256_SIZE 32

/* Once per process, before anything else of lib/crypto, certs or lib/tls (from process_init). 0 or
 * ERR_IO. */
int crypto_init(void);
void crypto_cleanup(void);

void crypto_sha256(const void *p, size_t n, uint8_t out[SHA256_SIZE]);
void crypto_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n,
	uint8_t out[SHA256_SIZE]);
/* Unpredictable bytes from the kernel-seeded generator; aborts where there are none. */
void crypto_random(void *out, size_t n);
/* Time depends on n alone. */
bool crypto_equal(const void *a, const void *b, size_t n);
/* Lower-case hex with NUL; dst holds 2 * n + 1. */
void crypto_hex(const void *p, size_t n, char *dst);

#endif
