/*
 * The key exchange of the WebSocket opening handshake (RFC 6455 4.2.2), needed where only one side
 * of a proxied tunnel speaks HTTP/1 (RFC 8441 drops it). SHA-1 (RFC 3174) is a checksum against
 * confused servers here and protects nothing.
 */
#include "lib/base/rand.h"
#include "lib/http/h1_write.h"

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static uint32_t sha1_round(unsigned t, const uint32_t h[5])
{
	if (t < 20)
		return ((h[1] & h[2]) | (~h[1] & h[3])) + 0x5a827999u;
	if (t < 40)
		return (h[1] ^ h[2] ^ h[3]) + 0x6ed9eba1u;
	if (t < 60)
		return ((h[1] & h[2]) | (h[1] & h[3]) | (h[2] & h[3])) + 0x8f1bbcdcu;
	return (h[1] ^ h[2] ^ h[3]) + 0xca62c1d6u;
}

static void sha1_block(uint32_t state[5], const uint8_t block[64])
{
	uint32_t w[80], h[5];

	for (unsigned t = 0; t < 16; t++)
		w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
			(uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
	for (unsigned t = 16; t < 80; t++)
		w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
	memcpy(h, state, sizeof(h));
	for (unsigned t = 0; t < 80; t++) {
		uint32_t x = rotate(h[0], 5) + sha1_round(t, h) + h[4] + w[t];

		h[4] = h[3];
		h[3] = h[2];
		h[2] = rotate(h[1], 30);
		h[1] = h[0];
		h[0] = x;
	}
	for (unsigned i = 0; i < 5; i++)
		state[i] += h[i];
}

/* n <= 119: at most two blocks. */
static void sha1(const void *p, size_t n, uint8_t digest[20])
{
	uint32_t state[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
	uint8_t blocks[128] = {0};
	size_t size = n < 56 ? 64 : 128;

	memcpy(blocks, p, n);
	blocks[n] = 0x80;
	blocks[size - 2] = (uint8_t)(n * 8 >> 8);
	blocks[size - 1] = (uint8_t)(n * 8);
	for (size_t at = 0; at < size; at += 64)
		sha1_block(state, blocks + at);
	for (unsigned i = 0; i < 20; i++)
		digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < n)
			v |= p[i + 2];
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*out = '\0';
}

void ws_key_make(char key[WS_KEY_SIZE])
{
	struct rng rng;
	uint64_t nonce[2];

	rng_seed_system(&rng);
	nonce[0] = rng_next(&rng);
	nonce[1] = rng_next(&rng);
	base64((const uint8_t *)nonce, sizeof(nonce), key);
}

void ws_accept_make(struct str key, char accept[WS_ACCEPT_SIZE])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	uint8_t digest[20];
	char text[64 + sizeof(guid)];
	size_t n = key.n <= 64 ? key.n : 64;

	memcpy(text, key.p, n);
	memcpy(text + n, guid, sizeof(guid) - 1);
	sha1(text, n + sizeof(guid) - 1, digest);
	base64(digest, sizeof(digest), accept);
}
