/*
 * The tables of alert.def as code, and the mapping from verdicts and from the TLS library's errors.
 * Owns nothing. Called by handshake.c when it refuses and by io_tls.c when it is refused.
 */
#include "lib/tls/alert.h"

#include <mbedtls/ssl.h>

const char *alert_name(uint8_t number)
{
	switch (number) {
#define ALERT(value, name, text, err) \
	case value:                   \
		return text;
#include "lib/tls/alert.def"
#undef ALERT
	case ALERT_CLOSE_NOTIFY:
		return "close_notify";
	case ALERT_USER_CANCELED:
		return "user_canceled";
	default:
		return "unknown";
	}
}

int alert_err(uint8_t number)
{
	switch (number) {
#define ALERT(value, name, text, err) \
	case value:                   \
		return err;
#include "lib/tls/alert.def"
#undef ALERT
	default:
		return ERR_PROTOCOL;
	}
}

enum alert alert_for_verdict(enum cert_verdict verdict)
{
	switch (verdict) {
	case CERT_MISSING:
		return ALERT_CERTIFICATE_REQUIRED;
	case CERT_MALFORMED:
	case CERT_TOO_LONG:
	case CERT_NO_SAN:
	case CERT_TWO_SANS:
	case CERT_BAD_ID:
	case CERT_CA_LEAF:
		return ALERT_BAD_CERTIFICATE;
	case CERT_KEY_USAGE:
	case CERT_CRITICAL:
	case CERT_ALGORITHM:
		return ALERT_UNSUPPORTED_CERTIFICATE;
	case CERT_TRUST_DOMAIN:
	case CERT_UNTRUSTED:
		return ALERT_UNKNOWN_CA;
	case CERT_EXPIRED:
	case CERT_NOT_YET_VALID:
		return ALERT_CERTIFICATE_EXPIRED;
	case CERT_REVOKED:
		return ALERT_CERTIFICATE_REVOKED;
	case CERT_IDENTITY:
	case CERT_POD_UID:
		return ALERT_ACCESS_DENIED;
	case CERT_GOOD:
	case CERT_VERDICT_COUNT:
		break;
	}
	return ALERT_CERTIFICATE_UNKNOWN;
}

enum alert alert_for_library(int ret)
{
	switch (ret) {
	case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
		return ALERT_CERTIFICATE_REQUIRED;
	case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
	case MBEDTLS_ERR_SSL_INVALID_RECORD:
		return ALERT_UNEXPECTED_MESSAGE;
	case MBEDTLS_ERR_SSL_INVALID_MAC:
		return ALERT_BAD_RECORD_MAC;
	case MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER:
		return ALERT_ILLEGAL_PARAMETER;
	case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
		return ALERT_DECRYPT_ERROR;
	case MBEDTLS_ERR_SSL_INTERNAL_ERROR:
	case MBEDTLS_ERR_SSL_ALLOC_FAILED:
		return ALERT_INTERNAL_ERROR;
	case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
		return ALERT_UNSUPPORTED_CERTIFICATE;
	default:
		return ALERT_DECODE_ERROR;
	}
}
