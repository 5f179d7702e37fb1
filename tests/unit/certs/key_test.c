/*
 * Private keys: made, written, read back in each encoding, and refused where they are of another
 * kind or broken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <mbedtls/pk.h>

#include "certs/backend.h"
#include "certs/der.h"
#include "certs/derout.h"
#include "certs/key.h"
#include "certs/pem.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"

/* A PKCS#8 document (RFC 5208) of any algorithm, with a private key that is nonsense. */
static struct str make_pkcs8(struct str oid, uint8_t *buf, size_t size)
{
	struct der_out o;
	der_out_init(&o, buf, size);
	der_put_element(&o, MBEDTLS_ASN1_OCTET_STRING, STR("\x30\x03\x02\x01\x00"));
	size_t mark = o.used;
	der_put_element(&o, MBEDTLS_ASN1_OID, oid);
	der_wrap(&o, DER_SEQUENCE, mark);
	der_put_small_int(&o, 0);
	der_wrap(&o, DER_SEQUENCE, 0);
	return der_out_get(&o);
}

/* The form of a PKCS#1 RSA key (RFC 8017 A.1.2): a version and integers. */
static struct str make_pkcs1(uint8_t *buf, size_t size)
{
	struct der_out o;
	der_out_init(&o, buf, size);
	for (int i = 0; i < 8; i++)
		der_put_small_int(&o, 65537);
	der_put_small_int(&o, 0);
	der_wrap(&o, DER_SEQUENCE, 0);
	return der_out_get(&o);
}

/* What a key is recognised by: the SEC1 encoding of it. */
static bool same_key(const struct cert_key *a, const struct cert_key *b)
{
	size_t n, m;
	void *p = cert_key_der(a, &n), *q = cert_key_der(b, &m);
	bool same = n == m && memcmp(p, q, n) == 0;
	mem_free_secret(p, n);
	mem_free_secret(q, m);
	return same;
}

static void round_trip(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate(), *from_pem, *from_der;
	char *pem = cert_key_pem(k);
	size_t n;
	void *der = cert_key_der(k, &n);
	assert_int_equal(strncmp(pem, "-----BEGIN PRIVATE KEY-----\n", 28), 0);
	assert_int_equal(cert_key_parse(str_from(pem), &from_pem), 0);
	assert_int_equal(cert_key_parse(str_make(der, n), &from_der), 0);
	assert_true(same_key(k, from_pem) && same_key(k, from_der));
	mem_free_secret(pem, strlen(pem));
	mem_free_secret(der, n);
	cert_key_unref(&k);
	cert_key_unref(&from_pem);
	cert_key_unref(&from_der);
	assert_null(k);
	cert_key_unref(&k);
}

static void keys_differ(void **state)
{
	(void)state;
	struct cert_key *a = cert_key_generate(), *b = cert_key_generate(), *c = cert_key_ref(a);
	assert_false(same_key(a, b));
	assert_true(same_key(a, c));
	cert_key_unref(&a);
	assert_true(same_key(c, c));
	cert_key_unref(&b);
	cert_key_unref(&c);
}

/* SEC1 (RFC 5915) as PEM, with the parameters before it that OpenSSL writes, and as DER. */
static void sec1(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate(), *got;
	unsigned char pem[1024], der[256];
	assert_int_equal(mbedtls_pk_write_key_pem(cert_key_backend(k), pem, sizeof(pem)), 0);
	char *file = mem_printf("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
				"-----END EC PARAMETERS-----\n%s",
		(char *)pem);
	assert_non_null(strstr(file, "-----BEGIN EC PRIVATE KEY-----"));
	assert_int_equal(cert_key_parse(str_from(file), &got), 0);
	assert_true(same_key(k, got));
	cert_key_unref(&got);
	int n = mbedtls_pk_write_key_der(cert_key_backend(k), der, sizeof(der));
	assert_true(n > 0);
	assert_int_equal(cert_key_parse(str_make(der + sizeof(der) - n, (size_t)n), &got), 0);
	assert_true(same_key(k, got));
	cert_key_unref(&got);
	mem_free_secret(file, strlen(file));
	cert_key_unref(&k);
}

static void assert_foreign(struct str der, const char *label)
{
	struct cert_key *k;
	char *pem = pem_encode(der, label);
	assert_int_equal(cert_key_parse(der, &k), ERR_VERIFY);
	assert_int_equal(cert_key_parse(str_from(pem), &k), ERR_VERIFY);
	mem_free(pem);
}

static void other_kinds(void **state)
{
	(void)state;
	uint8_t buf[256];
	size_t n;
	assert_foreign(make_pkcs1(buf, sizeof(buf)), "RSA PRIVATE KEY");
	/* rsaEncryption (RFC 8017), Ed25519 (RFC 8410) */
	assert_foreign(make_pkcs8(STR("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"), buf, sizeof(buf)),
		"PRIVATE KEY");
	assert_foreign(make_pkcs8(STR("\x2b\x65\x70"), buf, sizeof(buf)), "PRIVATE KEY");
	struct cert_key *p384 = cert_key_generate_p384();
	void *der = cert_key_der(p384, &n);
	assert_foreign(str_make(der, n), "PRIVATE KEY");
	mem_free_secret(der, n);
	int len = mbedtls_pk_write_key_der(cert_key_backend(p384), buf, sizeof(buf));
	assert_true(len > 0);
	assert_foreign(str_make(buf + sizeof(buf) - len, (size_t)len), "EC PRIVATE KEY");
	cert_key_unref(&p384);
}

/* The public part in the file is not believed: it follows from the private one. */
static void public_part_is_computed(void **state)
{
	(void)state;
	struct cert_key *a = cert_key_generate(), *b = cert_key_generate(), *got;
	size_t n, m;
	uint8_t *p = cert_key_der(a, &n), *q = cert_key_der(b, &m);
	assert_int_equal(n, m);
	/* The uncompressed point is the last thing in the encoding. */
	memcpy(p + n - 65, q + m - 65, 65);
	if (cert_key_parse(str_make(p, n), &got) == 0) {
		assert_true(same_key(a, got));
		cert_key_unref(&got);
	}
	mem_free_secret(p, n);
	mem_free_secret(q, m);
	cert_key_unref(&a);
	cert_key_unref(&b);
}

static void malformed(void **state)
{
	(void)state;
	static const struct str rows[] = {STR(""), STR("x"), STR("\x30\x00"),
		STR("\x30\x82\xff\xff"), STR("-----BEGIN PRIVATE KEY-----\n"),
		STR("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
		STR("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")};
	struct cert_key *k;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (cert_key_parse(rows[i], &k) != ERR_INVAL)
			fail_msg("row %zu", i);
	char *encrypted = pem_encode(STR("\x30\x03\x02\x01\x00"), "ENCRYPTED PRIVATE KEY");
	assert_int_equal(cert_key_parse(str_from(encrypted), &k), ERR_INVAL);
	mem_free(encrypted);
}

static void truncated_and_huge(void **state)
{
	(void)state;
	struct cert_key *k = cert_key_generate(), *got;
	size_t n;
	void *der = cert_key_der(k, &n);
	for (size_t i = 0; i < n; i++) {
		char *part = mem_alloc(i + 1);
		memcpy(part, der, i);
		if (cert_key_parse(str_make(part, i), &got) == 0)
			fail_msg("%zu bytes", i);
		mem_free(part);
	}
	char *huge = mem_alloc(1 << 20);
	assert_int_equal(cert_key_parse(str_make(huge, 1 << 20), &got), ERR_LIMIT);
	mem_free(huge);
	mem_free_secret(der, n);
	cert_key_unref(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(keys_differ),
		cmocka_unit_test(sec1),
		cmocka_unit_test(public_part_is_computed),
		cmocka_unit_test(other_kinds),
		cmocka_unit_test(malformed),
		cmocka_unit_test(truncated_and_huge),
	};
	if (crypto_init() != 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	crypto_cleanup();
	return failed;
}
