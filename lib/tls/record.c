/*
 * Record protection of TLS 1.3 with AES-GCM and ChaCha20-Poly1305 (RFC 8446 5.2, 5.3, 7.1 to 7.3).
 * Owns the key schedules of one direction for as long as a connection lives, so that a record costs
 * its nonce and nothing else. Called by io_tls.c and handshake.c.
 */
#include "lib/tls/record.h"

#include <string.h>

#include <mbedtls/hkdf.h>
#include <mbedtls/ssl_ciphersuites.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"

static const struct record_suite suites[] = {
	{"TLS_AES_128_GCM_SHA256", MBEDTLS_TLS1_3_AES_128_GCM_SHA256, MBEDTLS_MD_SHA256, 32, 16,
		false},
	{"TLS_CHACHA20_POLY1305_SHA256", MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, MBEDTLS_MD_SHA256,
		32, 32, true},
	{"TLS_AES_256_GCM_SHA384", MBEDTLS_TLS1_3_AES_256_GCM_SHA384, MBEDTLS_MD_SHA384, 48, 32,
		false},
};

const struct record_suite *record_suite_by_id(int id)
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (suites[i].id == id)
			return &suites[i];
	return NULL;
}

/* HKDF-Expand-Label with an empty context (RFC 8446 7.1). */
static void expand_label(const struct record_suite *suite, const uint8_t *secret, const char *label,
	uint8_t *out, size_t n)
{
	uint8_t info[2 + 1 + 6 + 12 + 1];
	size_t label_n = strlen(label);

	ASSERT(label_n <= 12);
	info[0] = 0;
	info[1] = (uint8_t)n;
	info[2] = (uint8_t)(6 + label_n);
	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, label_n);
	info[9 + label_n] = 0;
	int ret = mbedtls_hkdf_expand(mbedtls_md_info_from_type(suite->md), secret, suite->hash_n,
		info, 10 + label_n, out, n);
	ASSERT(ret == 0);
}

/* Key and nonce base from the secret. */
static void derive(struct record_key *k)
{
	uint8_t key[32];
	int ret;

	expand_label(k->suite, k->secret, "key", key, k->suite->key_n);
	expand_label(k->suite, k->secret, "iv", k->iv, sizeof(k->iv));
	if (k->suite->chacha)
		ret = mbedtls_chachapoly_setkey(&k->u.chacha, key);
	else
		ret = mbedtls_gcm_setkey(&k->u.gcm, MBEDTLS_CIPHER_ID_AES, key,
			k->suite->key_n * 8u);
	mem_wipe(key, sizeof(key));
	ASSERT(ret == 0);
	k->seq = 0;
}

void record_key_init(struct record_key *k, const struct record_suite *suite, const uint8_t *secret)
{
	k->suite = suite;
	memcpy(k->secret, secret, suite->hash_n);
	if (suite->chacha)
		mbedtls_chachapoly_init(&k->u.chacha);
	else
		mbedtls_gcm_init(&k->u.gcm);
	derive(k);
}

void record_key_free(struct record_key *k)
{
	if (k->suite == NULL)
		return;
	if (k->suite->chacha)
		mbedtls_chachapoly_free(&k->u.chacha);
	else
		mbedtls_gcm_free(&k->u.gcm);
	mem_wipe(k, sizeof(*k));
}

void record_key_update(struct record_key *k)
{
	uint8_t next[RECORD_SECRET_MAX];

	expand_label(k->suite, k->secret, "traffic upd", next, k->suite->hash_n);
	memcpy(k->secret, next, k->suite->hash_n);
	mem_wipe(next, sizeof(next));
	derive(k);
}

/* The nonce of the next record: the sequence number over the end of the IV (RFC 8446 5.3). */
static void next_nonce(struct record_key *k, uint8_t nonce[12])
{
	memcpy(nonce, k->iv, 12);
	for (int i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(k->seq >> (8 * i));
	k->seq++;
}

static int cipher_start(struct record_key *k, bool encrypt, const uint8_t header[RECORD_HEADER])
{
	uint8_t nonce[12];
	int ret;

	next_nonce(k, nonce);
	if (k->suite->chacha) {
		ret = mbedtls_chachapoly_starts(&k->u.chacha, nonce,
			encrypt ? MBEDTLS_CHACHAPOLY_ENCRYPT : MBEDTLS_CHACHAPOLY_DECRYPT);
		return ret != 0
			? ret
			: mbedtls_chachapoly_update_aad(&k->u.chacha, header, RECORD_HEADER);
	}
	ret = mbedtls_gcm_starts(&k->u.gcm, encrypt ? MBEDTLS_GCM_ENCRYPT : MBEDTLS_GCM_DECRYPT,
		nonce, sizeof(nonce));
	return ret != 0 ? ret : mbedtls_gcm_update_ad(&k->u.gcm, header, RECORD_HEADER);
}

/* As many bytes come out as go in: both ciphers are streams. */
static int cipher_update(struct record_key *k, const uint8_t *in, size_t n, uint8_t *out)
{
	size_t done = n;

	if (n == 0)
		return 0;
	if (k->suite->chacha)
		return mbedtls_chachapoly_update(&k->u.chacha, n, in, out);
	int ret = mbedtls_gcm_update(&k->u.gcm, in, n, out, n, &done);
	ASSERT(ret != 0 || done == n);
	return ret;
}

static int cipher_finish(struct record_key *k, uint8_t tag[RECORD_TAG])
{
	size_t done = 0;

	if (k->suite->chacha)
		return mbedtls_chachapoly_finish(&k->u.chacha, tag);
	return mbedtls_gcm_finish(&k->u.gcm, NULL, 0, &done, tag, RECORD_TAG);
}

void record_seal(struct record_key *k, enum record_type type, const struct iovec *in, int n_in,
	uint8_t *dst)
{
	uint8_t inner = (uint8_t)type;
	size_t n = 0, at = RECORD_HEADER;

	for (int i = 0; i < n_in; i++)
		n += in[i].iov_len;
	ASSERT(n <= RECORD_CONTENT_MAX);
	size_t len = n + 1 + RECORD_TAG;
	dst[0] = RECORD_APPLICATION_DATA;
	dst[1] = 3;
	dst[2] = 3;
	dst[3] = (uint8_t)(len >> 8);
	dst[4] = (uint8_t)len;
	int ret = cipher_start(k, true, dst);
	for (int i = 0; i < n_in && ret == 0; i++) {
		ret = cipher_update(k, in[i].iov_base, in[i].iov_len, dst + at);
		at += in[i].iov_len;
	}
	if (ret == 0)
		ret = cipher_update(k, &inner, 1, dst + at);
	if (ret == 0)
		ret = cipher_finish(k, dst + at + 1);
	ASSERT(ret == 0);
}

/* Runs the cipher from the pieces of in to the pieces of out, which need not be cut alike. */
static int decrypt_pieces(struct record_key *k, const struct record_sealed *r,
	const struct iovec *out, int n_out)
{
	int o = 0;
	size_t used = 0;

	for (int i = 0; i < r->n_body; i++) {
		const uint8_t *p = r->body[i].iov_base;
		size_t left = r->body[i].iov_len;
		while (left > 0) {
			if (o < n_out && used == out[o].iov_len) {
				o++;
				used = 0;
				continue;
			}
			ASSERT(o < n_out);
			size_t n = out[o].iov_len - used;
			if (n > left)
				n = left;
			int ret = cipher_update(k, p, n, (uint8_t *)out[o].iov_base + used);
			if (ret != 0)
				return ret;
			p += n;
			left -= n;
			used += n;
		}
	}
	return 0;
}

uint8_t record_byte(const struct iovec *iov, size_t i)
{
	while (i >= iov->iov_len) {
		i -= iov->iov_len;
		iov++;
	}
	return ((const uint8_t *)iov->iov_base)[i];
}

static void wipe(const struct iovec *out, int n_out, size_t n)
{
	for (int i = 0; i < n_out && n > 0; i++) {
		size_t piece = out[i].iov_len < n ? out[i].iov_len : n;
		mem_wipe(out[i].iov_base, piece);
		n -= piece;
	}
}

int record_open(struct record_key *k, const struct record_sealed *r, const struct iovec *out,
	int n_out, uint8_t *type, size_t *content)
{
	uint8_t tag[RECORD_TAG];
	size_t n = 0;

	for (int i = 0; i < r->n_body; i++)
		n += r->body[i].iov_len;
	int ret = cipher_start(k, false, r->header);
	if (ret == 0)
		ret = decrypt_pieces(k, r, out, n_out);
	if (ret == 0)
		ret = cipher_finish(k, tag);
	if (ret != 0 || !crypto_equal(tag, r->tag, sizeof(tag))) {
		wipe(out, n_out, n);
		return ERR_VERIFY;
	}
	/* Behind the content stands its type, behind that padding of zeros. */
	while (n > 0 && record_byte(out, n - 1) == 0)
		n--;
	if (n == 0)
		return ERR_PROTOCOL;
	*type = record_byte(out, n - 1);
	*content = n - 1;
	return 0;
}
