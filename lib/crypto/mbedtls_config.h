/*
 * The one configuration of mbedTLS (3.6 series): what is compiled into the static library and what
 * our own files see of its headers. TLS 1.3 with P-256, X25519 and AEADs only; whatever is not
 * named here does not exist in the binaries. Read through MBEDTLS_CONFIG_FILE, set by the Makefile.
 */
#ifndef WEFT_LIB_CRYPTO_MBEDTLS_CONFIG_H
#define WEFT_LIB_CRYPTO_MBEDTLS_CONFIG_H

/* The platform. Memory functions are replaceable, so that lib/crypto can hand out its own. */
#define MBEDTLS_HAVE_ASM
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_HAVE_TIME_DATE
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_DEPRECATED_REMOVED
#define MBEDTLS_THREADING_C
#define MBEDTLS_THREADING_PTHREAD
#define MBEDTLS_ERROR_C
#define MBEDTLS_VERSION_C

/* Random: getrandom(2) through the platform entropy source, stretched by CTR_DRBG. */
#define MBEDTLS_ENTROPY_C
#define MBEDTLS_CTR_DRBG_C

/* Hashes. SHA-1 and MD5 are absent, so no signature that uses them can ever verify. */
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_HKDF_C

/*
 * AEADs. MBEDTLS_GCM_LARGE_TABLE is off: it adds 4 KiB to each direction of each connection, and
 * serves only processors without carry-less multiplication.
 */
#define MBEDTLS_CIPHER_C
#define MBEDTLS_AES_C
#define MBEDTLS_AESNI_C
#define MBEDTLS_GCM_C
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C

/*
 * Elliptic curves: P-256 signs and agrees on keys, X25519 only agrees on keys, P-384 is for CA
 * keys that come from elsewhere, and so that a leaf which has one is refused by name. Nonces are
 * deterministic (RFC 6979), so that a weak random source never gives a signing key away. RSA is
 * left out: a mesh certificate has a P-256 key, and every root that vouches for one P-256 or P-384.
 */
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED
#define MBEDTLS_ECP_DP_CURVE25519_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 1
#define MBEDTLS_ECP_WINDOW_SIZE 5
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECDSA_DETERMINISTIC
#define MBEDTLS_HMAC_DRBG_C

/*
 * PSA serves the key schedule of TLS 1.3. Its key store grows on demand: with the fixed one of 32
 * slots, the 33rd handshake in progress would fail. MBEDTLS_USE_PSA_CRYPTO stays off: with it,
 * TLS records would look their key up in that store, under its lock, each time.
 */
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_PSA_KEY_STORE_DYNAMIC
#define MBEDTLS_PSA_ASSUME_EXCLUSIVE_BUFFERS

/* Encodings and X.509: certificates and signing requests, parsed and written. */
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_BASE64_C
#define MBEDTLS_OID_C
#define MBEDTLS_PEM_PARSE_C
#define MBEDTLS_PEM_WRITE_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_PK_WRITE_C
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_CSR_PARSE_C
#define MBEDTLS_X509_CREATE_C
#define MBEDTLS_X509_CRT_WRITE_C
#define MBEDTLS_X509_CSR_WRITE_C
#define MBEDTLS_X509_TRUSTED_CERTIFICATE_CALLBACK

/*
 * TLS 1.3, both roles. The compatibility mode is what accepts the dummy change_cipher_spec that
 * most other stacks send (RFC 8446, D.4). No 1.2, no renegotiation, no early data, no DTLS.
 * MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH is off: it shrinks buffers only where a maximum fragment
 * length was negotiated, and lib/tls keeps no buffers in idle connections anyway.
 */
#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C
#define MBEDTLS_SSL_SRV_C
#define MBEDTLS_SSL_PROTO_TLS1_3
#define MBEDTLS_SSL_TLS1_3_COMPATIBILITY_MODE
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_KEEP_PEER_CERTIFICATE
#define MBEDTLS_SSL_ALPN
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_SESSION_TICKETS
#define MBEDTLS_SSL_TICKET_C

#endif
