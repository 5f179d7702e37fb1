/*
 * Record protection against the traces of RFC 8448 section 3, and what must never open. Pure: no
 * connection, no loop.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mbedtls/ssl_ciphersuites.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/crypto/crypto.h"
#include "lib/tls/record.h"

/* RFC 8448 section 3: application traffic secrets, and records under them. */
static const char client_secret[] =
	"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
static const char server_secret[] =
	"a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
static const char client_data[] =
	"1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b39"
	"5bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
static const char client_alert[] = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";
static const char server_data[] =
	"17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6df"
	"fc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d";
static const char server_alert[] = "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9";

static size_t unhex(const char *hex, uint8_t *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		const char *hi = strchr(digits, hex[2 * i]), *lo = strchr(digits, hex[2 * i + 1]);
		out[i] = (uint8_t)((hi - digits) << 4 | (lo - digits));
	}
	return n;
}

static void key_from(struct record_key *k, int suite, const char *hex)
{
	uint8_t secret[RECORD_SECRET_MAX] = {0};

	unhex(hex, secret);
	record_key_init(k, record_suite_by_id(suite), secret);
}

/* The record's parts, its body cut into pieces of step bytes. */
static void parts_of(struct record_sealed *r, uint8_t *record, size_t n, size_t step)
{
	size_t body = n - RECORD_HEADER - RECORD_TAG;

	memcpy(r->header, record, RECORD_HEADER);
	memcpy(r->tag, record + n - RECORD_TAG, RECORD_TAG);
	r->n_body = 0;
	for (size_t at = 0; at < body; at += step) {
		assert_true(r->n_body < 8);
		size_t piece = body - at < step ? body - at : step;
		r->body[r->n_body++] = (struct iovec){record + RECORD_HEADER + at, piece};
	}
}

static void seals_as_the_rfc_does(void **state)
{
	uint8_t payload[50], alert[2] = {1, 0}, expect[128], out[128];
	struct iovec in[3] = {{payload, 7}, {payload + 7, 0}, {payload + 7, 43}};
	struct iovec whole = {alert, 2};
	struct record_key k;

	(void)state;
	for (uint8_t i = 0; i < 50; i++)
		payload[i] = i;
	key_from(&k, MBEDTLS_TLS1_3_AES_128_GCM_SHA256, client_secret);
	record_seal(&k, RECORD_APPLICATION_DATA, in, 3, out);
	assert_memory_equal(out, expect, unhex(client_data, expect));
	record_seal(&k, RECORD_ALERT, &whole, 1, out);
	assert_memory_equal(out, expect, unhex(client_alert, expect));
	assert_int_equal(k.seq, 2);
	record_key_free(&k);
}

static void opens_what_the_rfc_sealed(void **state)
{
	uint8_t record[128], plain[64], type;
	struct iovec out[2] = {{plain, 19}, {plain + 19, 45}};
	struct record_sealed r;
	struct record_key k;
	size_t n;

	(void)state;
	key_from(&k, MBEDTLS_TLS1_3_AES_128_GCM_SHA256, server_secret);
	k.seq = 1; /* the first one is the ticket */
	parts_of(&r, record, unhex(server_data, record), 11);
	assert_int_equal(record_open(&k, &r, out, 2, &type, &n), 0);
	assert_int_equal(type, RECORD_APPLICATION_DATA);
	assert_int_equal(n, 50);
	for (uint8_t i = 0; i < 50; i++)
		assert_int_equal(plain[i], i);
	parts_of(&r, record, unhex(server_alert, record), 64);
	assert_int_equal(record_open(&k, &r, out, 2, &type, &n), 0);
	assert_int_equal(type, RECORD_ALERT);
	assert_int_equal(n, 2);
	record_key_free(&k);
}

static void opens_nothing_that_was_touched(void **state)
{
	uint8_t record[128], plain[64], type;
	struct iovec out = {plain, sizeof(plain)};
	struct record_sealed r;
	struct record_key k;
	size_t content;

	(void)state;
	size_t n = unhex(client_data, record);
	for (size_t i = 0; i < n; i++) {
		memset(plain, 0xee, sizeof(plain));
		record[i] ^= 1;
		parts_of(&r, record, n, 64);
		key_from(&k, MBEDTLS_TLS1_3_AES_128_GCM_SHA256, client_secret);
		assert_int_equal(record_open(&k, &r, &out, 1, &type, &content), ERR_VERIFY);
		/* Nothing of it is left to be seen. */
		for (size_t j = 0; j < 50; j++)
			assert_int_equal(plain[j], 0);
		record_key_free(&k);
		record[i] ^= 1;
	}
}

static void padding_alone_is_no_record(void **state)
{
	uint8_t zeros[4] = {0}, record[64], plain[64], type = 0;
	struct iovec in = {zeros, 4}, out = {plain, sizeof(plain)};
	struct record_sealed r;
	struct record_key a, b;
	size_t n;

	(void)state;
	key_from(&a, MBEDTLS_TLS1_3_AES_128_GCM_SHA256, client_secret);
	key_from(&b, MBEDTLS_TLS1_3_AES_128_GCM_SHA256, client_secret);
	record_seal(&a, (enum record_type)0, &in, 1, record);
	parts_of(&r, record, 4 + RECORD_OVERHEAD, 64);
	assert_int_equal(record_open(&b, &r, &out, 1, &type, &n), ERR_PROTOCOL);
	/* A type with padding behind it is one: four zeros of content end in the type that seal
	 * adds. */
	zeros[0] = 9;
	zeros[1] = RECORD_ALERT;
	record_seal(&a, (enum record_type)0, &in, 1, record);
	parts_of(&r, record, 4 + RECORD_OVERHEAD, 64);
	assert_int_equal(record_open(&b, &r, &out, 1, &type, &n), 0);
	assert_int_equal(type, RECORD_ALERT);
	assert_int_equal(n, 1);
	assert_int_equal(plain[0], 9);
	record_key_free(&a);
	record_key_free(&b);
}

static void every_suite_agrees_with_itself_across_updates(void **state)
{
	static const int ids[] = {MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
		MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS1_3_AES_256_GCM_SHA384};
	uint8_t text[] = "the same words each time", record[128], plain[128], before[128] = {0},
		type;
	struct iovec in = {text, sizeof(text)}, out = {plain, sizeof(plain)};
	struct record_sealed r;
	struct record_key a, b;
	size_t n, sealed = sizeof(text) + RECORD_OVERHEAD;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		key_from(&a, ids[i], client_secret);
		key_from(&b, ids[i], client_secret);
		for (int round = 0; round < 6; round++) {
			record_seal(&a, RECORD_APPLICATION_DATA, &in, 1, record);
			assert_memory_not_equal(record + 5, before, sealed - 5);
			memcpy(before, record, sealed);
			parts_of(&r, record, sealed, 5);
			assert_int_equal(record_open(&b, &r, &out, 1, &type, &n), 0);
			assert_int_equal(n, sizeof(text));
			assert_memory_equal(plain, text, n);
			if (round % 2 == 1) {
				record_key_update(&a);
				record_key_update(&b);
				assert_int_equal(a.seq, 0);
			}
		}
		/* One generation apart is another key. */
		record_key_update(&a);
		record_seal(&a, RECORD_APPLICATION_DATA, &in, 1, record);
		parts_of(&r, record, sealed, 64);
		assert_int_equal(record_open(&b, &r, &out, 1, &type, &n), ERR_VERIFY);
		record_key_free(&a);
		record_key_free(&b);
	}
	assert_null(record_suite_by_id(0x1304)); /* AES-128-CCM */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seals_as_the_rfc_does),
		cmocka_unit_test(opens_what_the_rfc_sealed),
		cmocka_unit_test(opens_nothing_that_was_touched),
		cmocka_unit_test(padding_alone_is_no_record),
		cmocka_unit_test(every_suite_agrees_with_itself_across_updates),
	};

	if (crypto_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
