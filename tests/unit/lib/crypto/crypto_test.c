/*
 * Primitives against published vectors: FIPS 180-2, RFC 4231.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/crypto/crypto.h"
#include "lib/crypto/rng.h"

static void assert_hex(const uint8_t *p, size_t n, const char *want)
{
	char *hex = mem_alloc(2 * n + 1);
	crypto_hex(p, n, hex);
	assert_string_equal(hex, want);
	mem_free(hex);
}

static void sha256_vectors(void **state)
{
	(void)state;
	uint8_t out[SHA256_SIZE];
	crypto_sha256("", 0, out);
	assert_hex(out, sizeof(out),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	crypto_sha256("abc", 3, out);
	assert_hex(out, sizeof(out),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void hmac_vectors(void **state)
{
	(void)state;
	uint8_t out[SHA256_SIZE], key[131];
	crypto_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
	assert_hex(out, sizeof(out),
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	static const char text[] = "Test Using Larger Than Block-Size Key - Hash Key First";
	crypto_hmac_sha256(key, sizeof(key), text, sizeof(text) - 1, out);
	assert_hex(out, sizeof(out),
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void random_differs(void **state)
{
	(void)state;
	uint8_t a[64] = {0}, b[64] = {0};
	crypto_random(a, sizeof(a));
	assert_int_equal(crypto_rng(NULL, b, sizeof(b)), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	crypto_random(a, 0);
}

static void equal_compares(void **state)
{
	(void)state;
	assert_true(crypto_equal("", "", 0));
	assert_true(crypto_equal("abc", "abc", 3));
	assert_false(crypto_equal("abc", "abd", 3));
	assert_false(crypto_equal("xbc", "abc", 3));
}

static void hex_writes(void **state)
{
	(void)state;
	assert_hex((const uint8_t *)"", 0, "");
	assert_hex((const uint8_t *)"\x00\x0f\xf0\xff", 4, "000ff0ff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_vectors),
		cmocka_unit_test(hmac_vectors),
		cmocka_unit_test(random_differs),
		cmocka_unit_test(equal_compares),
		cmocka_unit_test(hex_writes),
	};
	if (crypto_init() != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	crypto_cleanup();
	return failed;
}
