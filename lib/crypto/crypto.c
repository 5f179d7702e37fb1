/*
 * Hash, HMAC, randomness and the one-time start of the cryptographic backend (mbedTLS and its PSA
 * core). Owns nothing of its own: random bytes come from getrandom(2) each time, so that no state
 * can be forked, leaked or shared between threads. Called by process start, and by everything that
 * hashes or needs secrets.
 */
#include "lib/crypto/crypto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include <mbedtls/constant_time.h>
#include <mbedtls/md.h>
#include <mbedtls/platform.h>
#include <mbedtls/sha256.h>
#include <psa/crypto.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"
#include "lib/crypto/rng.h"

/* The backend's allocations abort like ours, so that want of memory never looks like a bad
 * certificate. */
static void *on_calloc(size_t n, size_t size)
{
	if (n == 0 || size == 0)
		return mem_alloc(1);
	return mem_alloc_array(n, size);
}

static void on_free(void *p)
{
	mem_free(p);
}

int crypto_init(void)
{
	if (mbedtls_platform_set_calloc_free(on_calloc, on_free) != 0)
		return ERR_IO;
	return psa_crypto_init() == PSA_SUCCESS ? 0 : ERR_IO;
}

void crypto_cleanup(void)
{
	mbedtls_psa_crypto_free();
}

void crypto_sha256(const void *p, size_t n, uint8_t out[SHA256_SIZE])
{
	ASSERT(mbedtls_sha256(p, n, out, 0) == 0);
}

void crypto_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n,
	uint8_t out[SHA256_SIZE])
{
	const mbedtls_md_info_t *md = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
	ASSERT(mbedtls_md_hmac(md, key, key_n, p, n, out) == 0);
}

void crypto_random(void *out, size_t n)
{
	uint8_t *at = out;
	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			perror("getrandom");
			abort();
		}
		at += got;
		n -= (size_t)got;
	}
}

int crypto_rng(void *unused, unsigned char *out, size_t n)
{
	(void)unused;
	crypto_random(out, n);
	return 0;
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
	return n == 0 || mbedtls_ct_memcmp(a, b, n) == 0;
}

void crypto_hex(const void *p, size_t n, char *dst)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = p;
	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digits[in[i] >> 4];
		dst[2 * i + 1] = digits[in[i] & 15];
	}
	dst[2 * n] = '\0';
}
