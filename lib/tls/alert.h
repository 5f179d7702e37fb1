/*
 * TLS alerts: their names, what a received one means, and which one says what we hold against the
 * peer. Pure tables over alert.def. Private to lib/tls.
 */
#ifndef WEFT_TLS_ALERT_H
#define WEFT_TLS_ALERT_H

#include <stdint.h>

#include "certs/chain.h"
#include "lib/base/err.h"

/* The two that are not errors (RFC 8446 6.1), and the levels that TLS 1.3 ignores but still writes.
 */
#define ALERT_CLOSE_NOTIFY 0
#define ALERT_USER_CANCELED 90
#define ALERT_LEVEL_WARNING 1
#define ALERT_LEVEL_FATAL 2

enum alert {
#define ALERT(number, name, text, err) ALERT_##name = number,
#include "lib/tls/alert.def"
#undef ALERT
};

/* "certificate_expired"; "unknown" for numbers outside the table. Static storage. */
const char *alert_name(uint8_t number);
/* ERR_VERIFY where the peer objects to our certificate, else ERR_PROTOCOL or ERR_RESET. */
int alert_err(uint8_t number);
/* How a verdict is told to the peer. */
enum alert alert_for_verdict(enum cert_verdict verdict);
/* How an error of the library is told to a peer by us. */
enum alert alert_for_library(int ret);

#endif
