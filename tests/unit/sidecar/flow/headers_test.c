/*
 * Reserved fields go, in every spelling that some application reads as theirs, and nothing else
 * does; identity is what TLS said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sidecar/flow/request.h"

static struct str string(const char *z)
{
	return str_from(z);
}

static void test_reserved(void **state)
{
	static const char *const reserved[] = {"x-forwarded-client-cert", "X-Forwarded-Client-Cert",
		"x_forwarded_client_cert", "x-forwarded_client-cert", "X_FORWARDED_CLIENT_CERT",
		"x.forwarded.client.cert", "x~forwarded!client$cert", "x-weft-", "x-weft-reason",
		"X-Weft-Anything-At-All", "x_weft_reason", "x.weft.reason", "x-weft_"};
	static const char *const kept[] = {"x-forwarded-for", "x-forwarded-client-certs",
		"x-forwarded-client-cer", "xforwardedclientcert", "x-weft", "x-wefts-y",
		"xx-weft-y", "authorization", "forwarded", "x--weft-y", "a", "cookie",
		"x-forwarded-client-cert-"};
	struct arena arena;
	struct http_fields f;
	(void)state;
	arena_init(&arena, NULL);
	http_fields_init(&f, &arena);
	size_t n_reserved = sizeof(reserved) / sizeof(reserved[0]);
	size_t n_kept = sizeof(kept) / sizeof(kept[0]);
	for (size_t i = 0; i < n_reserved || i < n_kept; i++) {
		if (i < n_reserved)
			http_fields_add(&f, string(reserved[i]), STR("forged"));
		if (i < n_kept)
			http_fields_add(&f, string(kept[i]), STR("mine"));
	}
	assert_int_equal(headers_strip_reserved(&f), n_reserved);
	assert_int_equal(f.n, n_kept);
	for (size_t i = 0; i < n_kept; i++) {
		assert_true(str_eq(f.v[i].name, string(kept[i]))); /* in order */
		assert_true(str_eq(f.v[i].value, STR("mine")));
	}
	assert_int_equal(headers_strip_reserved(&f), 0);
	arena_clear(&arena);
}

static void test_identity(void **state)
{
	struct arena arena;
	struct http_fields f;
	(void)state;
	arena_init(&arena, NULL);
	http_fields_init(&f, &arena);
	headers_set_identity(&f, STR("spiffe://td/ns/a/sa/b"), STR_NULL); /* plaintext: never */
	assert_int_equal(f.n, 0);
	headers_set_identity(&f, STR("spiffe://td/ns/a/sa/b"), STR("spiffe://td/ns/c/sa/d"));
	assert_int_equal(http_fields_count(&f, STR("x-forwarded-client-cert")), 1);
	assert_true(str_eq(http_fields_get(&f, STR("x-forwarded-client-cert")),
		STR("By=spiffe://td/ns/a/sa/b;URI=spiffe://td/ns/c/sa/d")));
	arena_clear(&arena);
}

/* Every reason has a row with a label and a text; what has a status is one that can be sent. */
static void test_reasons(void **state)
{
	(void)state;
	for (int i = 0; i < MESH_REASON_END; i++) {
		const struct reason_info *info = flow_reason(i);
		if (i >= REASON_COUNT && i < REASON_MESH_BASE)
			continue;
		assert_true(info->label != NULL && info->label[0] != '\0');
		assert_true(info->text != NULL && info->text[0] != '\0');
		assert_true(info->http_status == 0 ||
			(info->http_status >= 400 && info->http_status < 600));
		assert_in_range(info->grpc_status, 0, 16);
	}
	assert_string_equal(flow_reason(MESH_DENIED)->label, "RBAC");
	assert_int_equal(flow_reason(MESH_DENIED)->retry, R_NEVER);
	assert_ptr_equal(flow_reason(-1), flow_reason(REASON_INTERNAL));
	assert_ptr_equal(flow_reason(MESH_REASON_END), flow_reason(REASON_INTERNAL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_reasons),
	};
	return cmocka_run_group_tests_name("headers and reasons", tests, NULL, NULL);
}
