/*
 * How a handshake ended badly, as facts and as text for the log. Reads the struct tls_handshake of
 * its caller, handshake.c; the library's error numbers end here.
 */
#include <stdio.h>
#include <string.h>

#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509.h>

#include "lib/tls/handshake.h"

/* Printable ASCII as it is, the rest as \xNN; cut to fit. */
static void escape(char *dst, size_t size, struct str s)
{
	size_t at = 0;

	for (size_t i = 0; i < s.n && at + 5 <= size; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c >= 0x20 && c < 0x7f && c != '\\')
			dst[at++] = (char)c;
		else
			at += (size_t)snprintf(dst + at, size - at, "\\x%02x", c);
	}
	dst[at] = '\0';
}

static void name_peer(const struct tls_handshake *h, struct tls_failure *f)
{
	f->peer_id[0] = '\0';
	if (h->peer != NULL)
		escape(f->peer_id, sizeof(f->peer_id), cert_chain_leaf(h->peer)->id.id);
}

static void describe_verdict(enum cert_verdict verdict, struct tls_failure *f)
{
	f->err = ERR_VERIFY;
	f->verdict = verdict;
	if (f->peer_id[0] != '\0')
		snprintf(f->text, sizeof(f->text), "peer certificate: %s (%.64s)",
			cert_verdict_text(verdict), f->peer_id);
	else
		snprintf(f->text, sizeof(f->text), "peer certificate: %s",
			cert_verdict_text(verdict));
}

/* The library could not even read the peer's certificate: for want of the algorithm, or because it
 * is malformed. */
static enum cert_verdict verdict_of_parser(int ret)
{
	int high = -(-ret & 0xff80);

	if (high == MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG || high == MBEDTLS_ERR_PK_UNKNOWN_PK_ALG ||
		high == MBEDTLS_ERR_PK_UNKNOWN_NAMED_CURVE ||
		high == MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE)
		return CERT_ALGORITHM;
	return CERT_MALFORMED;
}

static bool is_parser_error(int ret)
{
	int high = -ret & 0xff80;

	return (high >= 0x2080 && high <= 0x3000) || (high >= 0x3880 && high <= 0x3f80);
}

/* CERT_GOOD: the certificate was not the cause. */
static enum cert_verdict verdict_of(const struct tls_handshake *h, int ret)
{
	if (h->judged && h->verdict != CERT_GOOD)
		return h->verdict;
	if (ret == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE)
		return CERT_MISSING;
	if (ret == MBEDTLS_ERR_SSL_BAD_CERTIFICATE)
		return CERT_KEY_USAGE;
	/* The library gives up on its own only where a chain is longer than any that we take. */
	if (ret == MBEDTLS_ERR_X509_FATAL_ERROR || ret == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)
		return CERT_TOO_LONG;
	return is_parser_error(ret) ? verdict_of_parser(ret) : CERT_GOOD;
}

static const char *library_text(int ret)
{
	switch (ret) {
	case MBEDTLS_ERR_SSL_INVALID_RECORD:
		return "not a TLS record";
	case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
		return "the peer does not speak TLS 1.3";
	case MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL:
		return "no ALPN protocol in common";
	case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
		return "unexpected handshake message";
	case MBEDTLS_ERR_SSL_DECODE_ERROR:
		return "malformed handshake message";
	case MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER:
		return "illegal parameter in the handshake";
	case MBEDTLS_ERR_SSL_INVALID_MAC:
		return "a handshake record does not authenticate";
	case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
		return "no parameters in common, or a bad signature";
	default:
		return NULL;
	}
}

static void describe_alert(uint8_t number, struct tls_failure *f)
{
	f->err = alert_err(number);
	f->alert_from_peer = true;
	if (number == ALERT_CLOSE_NOTIFY || number == ALERT_USER_CANCELED)
		f->err = ERR_CLOSED;
	snprintf(f->text, sizeof(f->text), "the peer refused the handshake: alert %s (%u)",
		alert_name(number), number);
}

void tls_failure_library(struct tls_handshake *h, int ret, struct tls_failure *f)
{
	enum cert_verdict verdict = verdict_of(h, ret);
	/* A client may refuse us in the clear where the library already expects it to be protected
	 * (RFC 8446 A.1). */
	bool alert = ret == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE ||
		ret == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || ret == MBEDTLS_ERR_SSL_INVALID_MAC;
	const char *text = library_text(ret);
	uint8_t number = 0;

	*f = (struct tls_failure){.err = ERR_PROTOCOL};
	name_peer(h, f);
	if (h->traffic.too_much) {
		tls_failure_own(h, ERR_LIMIT, "the handshake has too many bytes", f);
		return;
	}
	if (alert && tls_bio_alert(h, &number)) {
		describe_alert(number, f);
		return;
	}
	/* The library says so also of a server that sends an empty list of certificates. */
	if (ret == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && h->ctx->role == TLS_CLIENT && !h->judged)
		verdict = CERT_MISSING;
	if (verdict != CERT_GOOD)
		describe_verdict(verdict, f);
	else if (text != NULL)
		snprintf(f->text, sizeof(f->text), "TLS handshake: %s", text);
	else
		snprintf(f->text, sizeof(f->text), "TLS handshake: %s",
			mbedtls_high_level_strerr(ret) != NULL ? mbedtls_high_level_strerr(ret)
							       : "failed");
}

void tls_failure_own(struct tls_handshake *h, int err, const char *text, struct tls_failure *f)
{
	*f = (struct tls_failure){.err = err};
	name_peer(h, f);
	snprintf(f->text, sizeof(f->text), "TLS handshake: %s", text);
}
