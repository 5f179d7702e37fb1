/*
 * Error numbers shared by every room: small negative integers, named after what the caller can do
 * about them. Functions that can fail return 0 (or a count) or one of these; details for people
 * travel beside them as text.
 */
#ifndef WEFT_BASE_ERR_H
#define WEFT_BASE_ERR_H

#include <stddef.h>

enum err {
	ERR_AGAIN = -1,       /* would block: ask for readiness and come back */
	ERR_CLOSED = -2,      /* the peer closed in order */
	ERR_RESET = -3,       /* the peer or the network broke the connection */
	ERR_REFUSED = -4,     /* nobody listens there */
	ERR_UNREACHABLE = -5, /* no route, host or network down */
	ERR_TIMEOUT = -6,
	ERR_PROTOCOL = -7, /* bytes that the protocol forbids */
	ERR_LIMIT = -8,    /* a named bound was reached */
	ERR_INVAL = -9,    /* an argument or input is malformed */
	ERR_NOTFOUND = -10,
	ERR_EXISTS = -11, /* already there; also: address in use */
	ERR_DENIED = -12, /* permission or policy */
	ERR_VERIFY = -13, /* a signature, certificate or checksum does not hold */
	ERR_EXPIRED = -14,
	ERR_IO = -15,     /* the system refused (disk, kernel); errno was logged by the caller */
	ERR_NOFILES = -16 /* out of descriptors */
};

/* Short lower-case text for an ERR_* (never NULL; unknown numbers give "unknown error"). Static
 * storage. */
const char *err_text(int err);

/* Maps errno of a socket or file call to an ERR_*. EAGAIN and EINTR give ERR_AGAIN. */
int err_from_errno(int errno_value);

/* Adds more to the text for people in err[size], as far as there is room. */
void err_append(char *err, size_t size, const char *more);

#endif
